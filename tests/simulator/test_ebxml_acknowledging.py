"""Each behaviour of the simulated partners on ebXML towards what we send, and the state that the adapter ends in."""

from __future__ import annotations

import pytest

from adapter.simulator import world as place
from tests.simulator.ebxml_rig import BOTH, HOUR_S, EbxmlRig

HTTP, MAIL = place.TINDVIK_FRISKLIV, place.MYRDAL_FRISKLIV


@pytest.mark.parametrize("clinic", BOTH)
def test_a_referral_is_acknowledged_and_accepted_on_either_road(rig: EbxmlRig, clinic: int) -> None:
    sent = rig.refer(clinic, "ack now", "apprec ok")
    rig.rounds(3)
    assert rig.state(sent) == ("confirmed", "accepted")
    assert rig.seen(clinic) == ["payload", "Acknowledgment"]  # the referral, and our receipt of the AppRec
    assert rig.seen(clinic, "out") == ["Acknowledgment", "payload"]


@pytest.mark.parametrize("clinic", BOTH)
def test_a_late_acknowledgment_comes_by_itself(rig: EbxmlRig, clinic: int) -> None:
    sent = rig.refer(clinic, "ack late 90", "silent")
    rig.rounds(1, seconds=30)
    assert rig.state(sent) == ("unknown", "awaited")
    rig.advance(70)
    rig.rounds(1)
    assert rig.state(sent) == ("confirmed", "awaited")
    assert rig.seen(clinic) == ["payload"]


@pytest.mark.parametrize("clinic", BOTH)
def test_a_lost_acknowledgment_is_healed_by_a_resend_of_the_same_envelope(rig: EbxmlRig, clinic: int) -> None:
    sent = rig.refer(clinic, "ack lost", "silent")
    rig.rounds(1, seconds=1)
    assert rig.state(sent) == ("unknown", "awaited")
    rig.advance(12 * HOUR_S)
    rig.rounds(2)
    assert rig.state(sent) == ("confirmed", "awaited")
    first, second = rig.side.entries(clinic, "in", "payload")
    assert (first.digest, first.message_id) == (second.digest, second.message_id)
    assert [entry.note for entry in rig.side.entries(clinic)] == ["", "lost", "repeated", ""]
