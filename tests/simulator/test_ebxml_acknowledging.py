"""Each behaviour of the simulated partners on ebXML towards what we send, and the state that the adapter ends in."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapter.ebxml.opening import open_http
from adapter.errors import SettingsError
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


@pytest.mark.parametrize("clinic", BOTH)
def test_who_never_answers_gets_the_envelope_six_times_and_then_a_person_is_told(rig: EbxmlRig, clinic: int) -> None:
    sent = rig.refer(clinic, "ack never")
    for _ in range(8):
        rig.rounds(1)
        rig.advance(12 * HOUR_S)
    assert rig.state(sent)[0] == "abandoned"
    assert len({entry.digest for entry in rig.side.entries(clinic, "in")}) == 1
    assert rig.seen(clinic) == ["payload"] * 6
    assert rig.seen(clinic, "out") == []
    assert rig.attention() != []


@pytest.mark.parametrize("clinic", BOTH)
def test_an_acknowledgment_that_comes_twice_counts_once(rig: EbxmlRig, clinic: int) -> None:
    sent = rig.refer(clinic, "ack twice", "silent")
    rig.rounds(3)
    assert rig.state(sent) == ("confirmed", "awaited")
    assert rig.seen(clinic, "out") == ["Acknowledgment"] * 2
    assert rig.kinds(sent).count("confirmed") == 1


@pytest.mark.parametrize("flaw", ["forged", "unsigned", "other references"])
@pytest.mark.parametrize("clinic", BOTH)
def test_p19_an_acknowledgment_without_proof_changes_nothing(rig: EbxmlRig, clinic: int, flaw: str) -> None:
    sent = rig.refer(clinic, f"ack {flaw}", "silent")
    rig.rounds(1, seconds=1)
    rig.rounds(1, seconds=1)
    assert rig.state(sent) == ("unknown", "awaited")
    assert "unproved signal" in rig.kinds(sent)


@pytest.mark.parametrize("behaviour", ["reject SecurityFailure", "transport reject"])
@pytest.mark.parametrize("clinic", BOTH)
def test_an_error_in_place_of_the_acknowledgment_refuses_the_message(
    rig: EbxmlRig, clinic: int, behaviour: str
) -> None:
    sent = rig.refer(clinic, behaviour)
    rig.rounds(2)
    assert rig.state(sent)[0] == "refused"
    assert "transport rejected" in rig.attention()
    assert rig.seen(clinic, "out") == ["MessageError"]


def test_p19_an_unsigned_error_counts_in_the_response_and_not_by_mail(rig: EbxmlRig) -> None:
    answered = rig.refer(HTTP, "reject unsigned SecurityFailure")
    mailed = rig.refer(MAIL, "reject unsigned SecurityFailure")
    rig.rounds(2)
    assert rig.state(answered)[0] == "refused"
    assert rig.state(mailed)[0] == "unknown"


@pytest.mark.parametrize("clinic", BOTH)
def test_a_warning_is_a_receipt(rig: EbxmlRig, clinic: int) -> None:
    sent = rig.refer(clinic, "warn Inconsistent")
    rig.rounds(3)
    assert rig.state(sent) == ("confirmed", "accepted")


@pytest.mark.parametrize("clinic", BOTH)
def test_an_error_days_after_the_acknowledgment_is_seen_by_a_person(rig: EbxmlRig, clinic: int) -> None:
    sent = rig.refer(clinic, "error late 259200 DeliveryFailure", "silent")
    rig.rounds(2)
    assert rig.state(sent)[0] == "confirmed"
    rig.advance(3 * 24 * HOUR_S)
    rig.rounds(1)
    assert rig.seen(clinic, "out") == ["Acknowledgment", "MessageError"]
    assert rig.attention() == ["signal says otherwise"]
    assert rig.adapter.alarms() != []  # until it is settled


@pytest.mark.parametrize("clinic", BOTH)
def test_an_old_certificate_that_is_not_the_registered_one_proves_nothing(rig: EbxmlRig, clinic: int) -> None:
    sent = rig.refer(clinic, "certificate old", "silent")
    rig.rounds(1, seconds=1)
    rig.rounds(1, seconds=1)
    assert rig.state(sent)[0] == "unknown"
    assert "unproved signal" in rig.kinds(sent)


def test_an_expired_certificate_that_is_registered_still_is_the_partners(tmp_path: Path) -> None:
    rig = EbxmlRig(tmp_path, parts={HTTP: ("certificate expired", "silent")})
    try:
        sent = rig.refer(HTTP)
        rig.rounds(1)
        assert rig.state(sent)[0] == "confirmed"
    finally:
        rig.close()


@pytest.mark.parametrize("clinic", BOTH)
def test_one_message_may_be_treated_apart(rig: EbxmlRig, clinic: int) -> None:
    rig.world.script(clinic, "ack now")
    sent = rig.refer(clinic)
    msg_id = rig.adapter.show(sent)["message"]["msg_id"]
    rig.world.script(clinic, "reject Unknown", msg_id=msg_id)
    other = rig.refer(clinic)
    rig.rounds(3)
    assert (rig.state(sent)[0], rig.state(other)[0]) == ("refused", "confirmed")


def test_what_the_partner_cannot_decrypt_is_answered_with_an_error(rig: EbxmlRig) -> None:
    sent = rig.refer(HTTP)
    rig.adapter.parts.book()  # the old certificate is known to us
    partner = rig.side.partners[HTTP]
    partner.keys = replace(partner.keys, sealing=rig.side.partners[MAIL].keys.sealing)
    rig.rounds(1)
    assert rig.state(sent)[0] == "refused"
    assert rig.side.entries(HTTP)[0].note == "not decrypted"


def test_the_same_envelope_at_the_same_moment_is_one_message(rig: EbxmlRig) -> None:
    kept: list[tuple[Sequence[tuple[str, str]], bytes]] = []
    partner = rig.side.partners[HTTP]
    sent = rig.refer(HTTP)
    post = rig.adapter.parts.ebxml_http.post  # type: ignore[union-attr]

    def watched(url: str, headers: Any, pieces: Any) -> Any:
        octets, named = b"".join(pieces), list(headers)
        kept.append((named, octets))
        return post(url, named, [octets])

    object.__setattr__(rig.adapter.parts.ebxml_http, "post", watched)
    rig.rounds(1)
    assert rig.state(sent)[0] == "confirmed"
    [(headers, body)] = kept
    partner._seen.clear()  # it has never been there
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: partner.take(open_http(headers, body)), range(4)))
    assert len({one.signal for one in said}) == 1
    assert [entry.note for entry in rig.side.entries(HTTP, "in", "payload")] == ["", "", *["repeated"] * 3]


@pytest.mark.parametrize("behaviour", ["ack late", "error late soon", "reject SomethingElse", "ack", "acknowledge"])
def test_a_behaviour_that_does_not_exist_is_refused(rig: EbxmlRig, behaviour: str) -> None:
    with pytest.raises(SettingsError):
        rig.world.script(HTTP, behaviour)
