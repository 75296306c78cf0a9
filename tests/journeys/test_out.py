"""A message on its way out, through a real server on loopback."""

from __future__ import annotations

from collections.abc import Callable

from adapter.simulator import world as place
from tests.journeys.rig import Rig, inquiry, referral

MakeRig = Callable[..., Rig]


def test_a_referral_reaches_the_frisklivssentral_and_its_apprec_is_matched(rig: Rig) -> None:
    sent = rig.send(referral())
    rig.rounds(2)
    assert rig.state(sent) == [("confirmed", "accepted")]
    (entry,) = [entry for entry in rig.world.ledger if entry.sender == place.SOLVANG_GP]
    assert entry.receivers == (place.GRANLI_FRISKLIV,)


def test_p24_the_receiver_is_found_by_municipality_and_service_type(rig: Rig) -> None:
    plain = referral()
    plain["receiver"] = {"municipality": "9901", "service_code": "KX04"}
    assert rig.adapter.show(rig.send(plain))["deliveries"][0]["party"] == place.GRANLI_FRISKLIV


def test_an_inquiry_signed_by_a_person_is_accepted_by_nav(rig: Rig) -> None:
    sent = rig.send(inquiry())
    rig.rounds(2)
    assert rig.state(sent) == [("confirmed", "accepted")]
