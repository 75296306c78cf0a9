"""What partners say of our messages, when it is late, doubled, contradictory or somebody else's (P19, HITS 1171 8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapter.ebxml.words import Participant
from adapter.simulator import world as place
from tests.journeys.clinic import CLINIC, Clinic, EbxmlRig, Got, PinnedRig, beside
from tests.journeys.rig import referral


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[EbxmlRig]:
    with beside(tmp_path, PinnedRig) as made:
        yield made


def sent(rig: EbxmlRig, what: str = "acknowledge") -> tuple[str, Got]:
    rig.clinic.script = [what]
    message_id = rig.send(referral(CLINIC))
    rig.rounds(1)
    return message_id, rig.clinic.got[0]


def say(clinic: Clinic, got: Got, what: str) -> Any:
    """A signal that comes by itself, about a message that the clinic got."""
    said = clinic._answer(what, got.words, got.opened)
    assert said is not None
    return clinic.post(said[1])


def open_alarms(rig: EbxmlRig) -> list[str]:
    return [str(one["name"]).partition(":")[0] for one in rig.adapter.alarms()]


def test_p19_an_acknowledgment_from_another_party_is_an_event_and_an_alarm(rig: EbxmlRig, clinic: Clinic) -> None:
    message_id, got = sent(rig, "silent")
    other = replace(got.words, receiver=Participant.of(place.BEKKELIA_GP))
    assert clinic.post(clinic.receipt(other, got.opened)).status == 204
    assert rig.state(message_id) == [("unknown", "awaited")]
    event = rig.adapter.show(message_id)["events"][-1]
    assert (event["kind"], event["detail"]["reason"]) == ("unproved signal", "another party")
    assert open_alarms(rig) == ["signal"]
    assert clinic.post(clinic.receipt(got.words, got.opened)).status == 204
    assert rig.state(message_id) == [("confirmed", "awaited")]
    assert open_alarms(rig) == []


@pytest.mark.parametrize("what", ["forged", "unsigned", "other references"])
def test_p19_a_receipt_that_is_no_proof_alarms(rig: EbxmlRig, clinic: Clinic, what: str) -> None:
    message_id, got = sent(rig, "silent")
    clinic.post(clinic.receipt(got.words, got.opened, what))
    assert "unproved signal" in rig.kinds(message_id)
    assert open_alarms(rig) == ["signal"]


def test_p19_the_alarm_of_a_forged_receipt_holds_until_the_proof_comes(rig: EbxmlRig, clinic: Clinic) -> None:
    message_id, got = sent(rig, "silent")
    clinic.post(clinic.receipt(got.words, got.opened, "forged"))
    rig.rounds(2)  # with their housekeeping
    assert (open_alarms(rig), rig.attention()) == (["signal"], ["unproved signal"])
    clinic.post(clinic.receipt(got.words, got.opened))
    rig.rounds(1)
    assert (rig.state(message_id), open_alarms(rig), rig.attention()) == ([("confirmed", "awaited")], [], [])


def test_an_error_after_the_acknowledgment_changes_nothing_and_tells_a_person(rig: EbxmlRig, clinic: Clinic) -> None:
    message_id, got = sent(rig)
    rig.advance(days=4)
    assert say(clinic, got, "error").status == 204
    assert rig.state(message_id) == [("confirmed", "awaited")]
    assert rig.kinds(message_id)[-1] == "signal says otherwise"
    assert open_alarms(rig) == ["signal"]


def test_an_error_days_after_we_gave_up_is_kept_and_told(rig: EbxmlRig, clinic: Clinic) -> None:
    message_id, got = sent(rig, "silent")
    clinic.script = ["silent"] * 20
    for _ in range(20):
        rig.advance(hours=6)
        rig.adapter.run_once()
    assert rig.state(message_id)[0][0] == "abandoned"
    say(clinic, got, "error")
    shown = rig.adapter.show(message_id)
    told = [one["detail"]["errors"] for one in shown["events"] if one["kind"] == "signal says otherwise"]
    assert told == [["SecurityFailure"]]
    assert any(one["role"].startswith("signal-") for one in shown["payloads"])
    assert rig.state(message_id)[0][0] == "abandoned"


def test_an_acknowledgment_after_an_error_does_not_turn_it_back(rig: EbxmlRig, clinic: Clinic) -> None:
    message_id, got = sent(rig, "error")
    assert rig.state(message_id) == [("refused", "awaited")]
    reply = clinic.post(clinic.receipt(got.words, got.opened))
    assert reply.status == 204
    assert rig.kinds(reply.message_id)[-1] == "signal without a message"
    assert rig.state(message_id) == [("refused", "awaited")]


@pytest.mark.parametrize(("first", "again"), [("acknowledge", "acknowledge"), ("warning", "warning")])
def test_the_same_word_twice_is_one_receipt(rig: EbxmlRig, clinic: Clinic, first: str, again: str) -> None:
    message_id, got = sent(rig, first)
    say(clinic, got, again)
    assert rig.kinds(message_id)[-1] == "signal seen again"
    assert open_alarms(rig) == []


def test_a_warning_that_comes_late_confirms_what_was_given_up(rig: EbxmlRig, clinic: Clinic) -> None:
    message_id, got = sent(rig, "silent")
    say(clinic, got, "warning")
    assert rig.state(message_id) == [("confirmed", "awaited")]


def test_a_receipt_for_a_message_whose_bytes_are_deleted_does_not_fail(rig: EbxmlRig, clinic: Clinic) -> None:
    message_id, got = sent(rig)
    with rig.adapter.parts.store.transaction() as db:
        db.exec_driver_sql("UPDATE payload SET content = NULL")  # as retention does (P28)
    assert clinic.post(clinic.receipt(got.words, got.opened)).status == 204
    assert rig.kinds(message_id)[-1] == "unproved signal"
    assert open_alarms(rig) == []


@pytest.mark.parametrize("what", ["acknowledge", "error", "warning"])
def test_a_signal_about_a_message_that_we_never_sent_is_an_event(rig: EbxmlRig, clinic: Clinic, what: str) -> None:
    _, got = sent(rig)
    stranger = replace(got, words=replace(got.words, message_id=clinic.new_id()))
    reply = say(clinic, stranger, what)
    assert reply.status == 204
    assert rig.kinds(reply.message_id)[-1] == "signal without a message"
