"""The simulated partners' own messages over ebXML: AppRecs, answers, questions, repeats, forgeries and Pings."""

from __future__ import annotations

import pytest

from adapter.simulator import world as place
from tests.simulator.ebxml_rig import BOTH, HOUR_S, SAMPLES, EbxmlRig

NAVS = [place.NAV_MAIL, place.NAV_HTTP]
STATUS = ("DIALOG_STATUS_HENVISNING", "accepted")


@pytest.mark.parametrize("clinic", BOTH)
def test_a_rejecting_apprec_comes_back_in_the_conversation_of_the_referral(rig: EbxmlRig, clinic: int) -> None:
    sent = rig.refer(clinic, "apprec rejected E21")
    rig.rounds(3)
    assert rig.state(sent) == ("confirmed", "rejected")
    referral, apprec = (rig.side.entries(clinic, way, "payload")[0] for way in ("in", "out"))
    assert (apprec.action, apprec.service) == ("APPREC", referral.service)
    assert apprec.conversation_id == referral.conversation_id


@pytest.mark.parametrize("clinic", BOTH)
def test_the_clinic_writes_back_and_gets_our_apprec_when_the_ehr_took_it(rig: EbxmlRig, clinic: int) -> None:
    rig.refer(clinic, "apprec ok", "reply")
    rig.rounds(2)
    assert STATUS in rig.received()
    [taken] = rig.adapter.take("ehr", tenant="solvang")
    rig.adapter.confirm(taken.token, "accept")
    rig.rounds(2)
    assert rig.seen(clinic) == ["payload", "Acknowledgment", "Acknowledgment", "payload"]
    [receipt] = rig.side.office.receipts[1:]
    assert (receipt.acknowledger, receipt.status) == (place.SOLVANG_GP, "Ok")


@pytest.mark.parametrize("clinic", BOTH)
def test_a_message_that_comes_twice_is_handed_over_once_and_acknowledged_twice(rig: EbxmlRig, clinic: int) -> None:
    rig.refer(clinic, "silent", "duplicate", "reply")
    rig.world.script(clinic, "apprec ok", "duplicate", "reply")
    rig.rounds(3)
    assert rig.received().count(STATUS) == 1
    ids = [entry.about for entry in rig.side.entries(clinic, "in", "Acknowledgment")]
    assert sorted(ids) == sorted(entry.message_id for entry in rig.side.entries(clinic, "out", "payload"))
    assert len(set(ids)) == 2
    assert len(ids) == 4


@pytest.mark.parametrize("form", ["raw", "mime", "gzip"])
def test_every_form_inside_the_encryption_is_read(rig: EbxmlRig, form: str) -> None:
    rig.refer(place.TINDVIK_FRISKLIV, f"cms {form}", "apprec ok", "reply")
    rig.rounds(2)
    assert STATUS in rig.received()


@pytest.mark.parametrize("flaw", ["letters forged", "unsigned parts"])
@pytest.mark.parametrize("clinic", BOTH)
def test_what_the_registered_key_has_not_signed_is_answered_with_an_error(
    rig: EbxmlRig, clinic: int, flaw: str
) -> None:
    sent = rig.refer(clinic, flaw, "apprec ok")
    rig.rounds(2)
    assert rig.state(sent) == ("confirmed", "awaited")
    assert rig.received() == []
    assert rig.seen(clinic) == ["payload", "MessageError"]


@pytest.mark.parametrize("clinic", BOTH)
def test_a_letter_of_the_tests_own_goes_the_partners_road(rig: EbxmlRig, clinic: int) -> None:
    document = (SAMPLES / "good" / "inbound-dialogue.xml").read_bytes()
    document = document.replace(b"8091101", str(clinic).encode())
    rig.side.send(document, sender=clinic, receiver=place.SOLVANG_GP)
    rig.rounds(1)
    assert len(rig.received()) == 1
    assert rig.seen(clinic) == ["Acknowledgment"]


@pytest.mark.parametrize("partner", [*BOTH, *NAVS])
def test_a_ping_is_answered(rig: EbxmlRig, partner: int) -> None:
    asked = rig.side.ping(partner, place.SOLVANG_GP)
    rig.rounds(1)
    [pong] = rig.side.entries(partner, "in", "Pong")
    assert pong.about == asked


# -- NAV ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nav", NAVS)
def test_nav_takes_a_doctors_signed_inquiry_and_answers_under_its_own_names(rig: EbxmlRig, nav: int) -> None:
    sent = rig.inquire(nav)
    rig.rounds(3)
    assert rig.state(sent) == ("confirmed", "accepted")
    inquiry, apprec = (rig.side.entries(nav, way, "payload")[0] for way in ("in", "out"))
    assert (inquiry.service, inquiry.action) == ("HenvendelseFraLege", "Henvendelse")
    assert (apprec.service, apprec.action) == ("HenvendelseFraLege", "Bekreftelse")
    assert apprec.about == inquiry.message_id  # NAV's replies name the message that they answer


@pytest.mark.parametrize("nav", NAVS)
def test_nav_asks_and_reminds_over_ebxml(rig: EbxmlRig, nav: int) -> None:
    rig.world.script(nav, "judge", "ask", "remind 86400")
    rig.inquire(nav)
    rig.rounds(2)
    assert ("DIALOG_FORESPORSEL", "accepted") in rig.received()
    rig.advance(24 * HOUR_S)
    rig.rounds(1)
    assert rig.received().count(("DIALOG_FORESPORSEL", "accepted")) == 2
    asked = rig.side.entries(nav, "out", "payload")[1]
    assert (asked.service, asked.action) == ("ForesporselFraSaksbehandler", "Foresporsel")
