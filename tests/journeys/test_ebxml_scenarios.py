"""The eight scenarios of HITS 1171:2017 chapter 9, between two adapters, through a real SMTP server and real mailboxes.

Each test says how many envelopes of each kind went over the wire, as the chapter's figures have it (lost ones count).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.journeys.pair import ACK, APPREC, ERROR, Death, Pair, keys_of
from tests.journeys.rig import load, referral
from tests.transport.mail_servers import Dovecot, Sink

REFERRAL, QUESTION, ANSWER = "HENVISNING_NYTILSTAND", "DIALOG_FORESPORSEL", "DIALOG_SVAR"
RESEND_H = 12  # HIS 1037 5.2


@pytest.fixture
def pair(tmp_path: Path, dovecot: Dovecot, sink: Sink) -> Iterator[Pair]:
    made = Pair(tmp_path, dovecot, sink)
    yield made
    made.close()


def test_9_1_1_a_message_and_its_apprec_are_four_envelopes(pair: Pair) -> None:
    solvang, granli = pair.solvang, pair.granli
    sent = solvang.send(referral(), granli)
    pair.rounds(1)
    granli.consume()
    pair.rounds(3)
    assert pair.network.counts() == {REFERRAL: 1, ACK: 2, APPREC: 1}
    us, them = solvang.address, granli.address
    assert [letter.sender for letter in pair.network.letters] == [us, them, them, us]
    settled_once(pair, sent)
    assert conversations(pair) == {solvang.msg_id(sent)}


def test_9_1_2_with_an_answer_and_its_apprec_they_are_eight_in_one_conversation(pair: Pair) -> None:
    solvang, granli = pair.solvang, pair.granli
    asked = solvang.send(load("dialogue-foresporsel"), granli)
    pair.rounds(1)
    granli.consume()
    pair.rounds(1)
    told = {"parent": solvang.msg_id(asked), "conversation": solvang.msg_id(asked)}
    answered = granli.send(load("dialogue-svar"), solvang, conversation=told)
    pair.rounds(2)
    solvang.consume()
    pair.rounds(3)
    assert pair.network.counts() == {QUESTION: 1, ANSWER: 1, ACK: 4, APPREC: 2}
    settled_once(pair, asked)
    assert granli.state(answered) == ("confirmed", "accepted")
    assert solvang.handed_over() == [granli.msg_id(answered)]
    assert (solvang.steps(), solvang.receipts()) == ({"matched": 1, "receipted": 1}, ["confirmed"])
    assert conversations(pair) == {solvang.msg_id(asked)}


def test_9_2_a_message_that_is_rejected_was_acknowledged_all_the_same(pair: Pair) -> None:
    solvang, granli = pair.solvang, pair.granli
    sent = solvang.send(referral(), granli)
    pair.rounds(1)
    granli.consume("reject", ["E21"])
    pair.rounds(3)
    assert pair.network.counts() == {REFERRAL: 1, ACK: 2, APPREC: 1}
    assert solvang.state(sent) == ("confirmed", "rejected")
    [row] = solvang.adapter.show(sent)["deliveries"]
    assert [error["code"] for error in row["errors"]] == ["E21"]
    assert solvang.attention() == ["rejected"]
    assert granli.handed_over() == [solvang.msg_id(sent)]
    assert (granli.steps(), granli.receipts()) == ({"rejected": 1}, ["confirmed"])


def test_9_3_without_an_apprec_the_sender_is_told_when_the_time_is_over(pair: Pair) -> None:
    solvang, granli = pair.solvang, pair.granli
    sent = solvang.send(referral(), granli)
    pair.rounds(2)
    assert solvang.state(sent) == ("confirmed", "awaited")
    for _ in range(5):
        pair.rounds(1, seconds=24 * 3600)
    assert pair.network.counts() == {REFERRAL: 1, ACK: 1}
    assert solvang.state(sent) == ("confirmed", "overdue")
    assert solvang.attention() == ["overdue"]
    assert granli.steps() == {"accepted": 1}  # it still waits for its reader, and is never accepted by itself
    granli.consume()
    pair.rounds(3)
    settled_once(pair, sent)  # a late answer is taken
    assert solvang.attention() == []


def test_9_4_a_lost_message_is_sent_again(pair: Pair) -> None:
    solvang, granli = pair.solvang, pair.granli
    pair.network.losing = [REFERRAL]
    sent = solvang.send(referral(), granli)
    pair.rounds(3)
    assert (solvang.state(sent), granli.steps()) == (("unknown", "awaited"), {})
    pair.advance(hours=RESEND_H)
    pair.rounds(1)
    granli.consume()
    pair.rounds(3)
    assert pair.network.counts() == {REFERRAL: 2, ACK: 2, APPREC: 1}
    assert same_envelope(pair, REFERRAL)
    settled_once(pair, sent)


@pytest.mark.parametrize("last", ["sending", "sealed"])
def test_9_4_a_message_whose_worker_died_on_it_goes_out_when_the_next_one_is_up(pair: Pair, last: str) -> None:
    solvang, granli = pair.solvang, pair.granli
    sent = solvang.send(referral(), granli)
    solvang.dies_after(last)
    with pytest.raises(Death):
        pair.rounds(1)
    solvang.open()
    pair.rounds(4, seconds=300)  # the dead worker's claim runs out: nothing waits twelve hours for a proof of nothing
    granli.consume()
    pair.rounds(3)
    assert pair.network.counts() == {REFERRAL: 1, ACK: 2, APPREC: 1}
    settled_once(pair, sent)


def test_9_5_a_message_that_arrived_and_was_never_acknowledged_is_taken_as_new(pair: Pair) -> None:
    solvang, granli = pair.solvang, pair.granli
    sent = solvang.send(referral(), granli)
    granli.dies_after("envelope received")
    with pytest.raises(Death):
        pair.rounds(1)
    granli.open()
    granli.loses_its_mailbox()
    pair.advance(hours=RESEND_H)
    pair.rounds(2)
    granli.consume()
    pair.rounds(3)
    assert pair.network.counts() == {REFERRAL: 2, ACK: 2, APPREC: 1}
    assert same_envelope(pair, REFERRAL)
    assert granli.events()["envelope repeated"] == 0
    settled_once(pair, sent)


def test_9_5_a_message_that_was_only_kept_is_acknowledged_after_the_crash(pair: Pair) -> None:
    solvang, granli = pair.solvang, pair.granli
    sent = solvang.send(referral(), granli)
    granli.dies_after("envelope received")
    with pytest.raises(Death):
        pair.rounds(1)
    granli.open()
    pair.advance(minutes=15)  # the dead worker's lease on the mailbox runs out
    pair.rounds(1)
    granli.consume()
    pair.rounds(3)
    assert pair.network.counts() == {REFERRAL: 1, ACK: 2, APPREC: 1}
    settled_once(pair, sent)


def test_9_6_when_the_acknowledgment_is_lost_the_same_one_is_given_again(pair: Pair) -> None:
    solvang, granli = pair.solvang, pair.granli
    pair.network.losing = [ACK]
    sent = solvang.send(referral(), granli)
    pair.rounds(3)
    assert (solvang.state(sent), granli.steps()) == (("unknown", "awaited"), {"accepted": 1})
    pair.advance(hours=RESEND_H)
    pair.rounds(2)
    assert pair.network.counts() == {REFERRAL: 2, ACK: 2}
    assert same_envelope(pair, REFERRAL)
    assert same_envelope(pair, ACK)
    granli.consume()
    pair.rounds(3)
    assert pair.network.counts() == {REFERRAL: 2, ACK: 3, APPREC: 1}
    settled_once(pair, sent)
    assert granli.events()["envelope repeated"] == 1


def test_9_6_the_acknowledgment_of_an_apprec_is_given_again_too(pair: Pair) -> None:
    solvang, granli = pair.solvang, pair.granli
    sent = solvang.send(referral(), granli)
    pair.rounds(1)
    granli.consume()
    pair.rounds(1)
    pair.network.losing = [ACK]
    pair.rounds(2)
    assert (solvang.state(sent), granli.receipts()) == (("confirmed", "accepted"), ["unknown"])
    pair.advance(hours=RESEND_H)
    pair.rounds(3)
    assert pair.network.counts() == {REFERRAL: 1, ACK: 3, APPREC: 2}
    assert same_envelope(pair, APPREC)
    settled_once(pair, sent)


def test_9_6_a_partner_that_was_away_for_days_takes_it_once_and_acknowledges_each_with_the_same(pair: Pair) -> None:
    solvang, granli = pair.solvang, pair.granli
    sent = solvang.send(referral(), granli)
    for _ in range(3):  # at once, after twelve hours, and after a day
        solvang.adapter.run_once()
        pair.advance(hours=RESEND_H, minutes=1)
    assert solvang.attention() == ["transport overdue"]
    pair.rounds(2)
    granli.consume()
    pair.rounds(3)
    assert pair.network.counts() == {REFERRAL: 4, ACK: 5, APPREC: 1}
    assert len({letter.octets for letter in pair.network.of(REFERRAL)}) == 1
    assert len({letter.octets for letter in pair.network.of(ACK)}) == 2  # that of the referral, and the AppRec's
    settled_once(pair, sent)
    assert solvang.attention() == []


def test_9_7_an_error_that_comes_days_later_still_refuses_the_message(pair: Pair) -> None:
    solvang, granli = pair.solvang, pair.granli
    solvang.keys = keys_of("solvang", solvang.number, generation=2)
    solvang.open()
    sent = solvang.send(referral(), granli)
    for _ in range(2):
        solvang.adapter.run_once()
        pair.advance(hours=RESEND_H, minutes=1)
    granli.adapter.run_once()
    pair.rounds(2)
    assert solvang.state(sent) == ("refused", "awaited")
    assert "transport rejected" in solvang.attention()
    assert pair.network.counts() == {REFERRAL: 2, ERROR: 2}
    named = {letter.words.ref_to_message_id for letter in pair.network.of(ERROR)}
    assert named == {letter.words.message_id for letter in pair.network.of(REFERRAL)}
    assert (len(named), granli.steps()) == (1, {})


def test_9_7_a_faulty_envelope_is_told_and_the_corrected_one_is_a_new_one(pair: Pair) -> None:
    solvang, granli = pair.solvang, pair.granli
    registered = solvang.keys
    solvang.keys = keys_of("solvang", solvang.number, generation=2)  # not what the register has
    solvang.open()
    sent = solvang.send(referral(), granli)
    pair.rounds(2)
    assert pair.network.counts() == {REFERRAL: 1, ERROR: 1}
    [faulty], [report] = pair.network.of(REFERRAL), pair.network.of(ERROR)
    assert report.words.ref_to_message_id == faulty.words.message_id
    assert report.words.report is not None
    assert [error.code for error in report.words.report.errors] == ["SecurityFailure"]
    assert (solvang.state(sent), granli.steps()) == (("refused", "awaited"), {})
    assert solvang.attention() == ["transport rejected"]
    solvang.keys = registered
    solvang.open()
    solvang.adapter.requeue(sent, "the right key is in place")
    pair.rounds(1)
    granli.consume()
    pair.rounds(3)
    assert pair.network.counts() == {REFERRAL: 2, ERROR: 1, ACK: 2, APPREC: 1}
    first, second = pair.network.of(REFERRAL)
    assert first.words.message_id != second.words.message_id
    settled_once(pair, sent)  # and its MsgId is the first one's
    assert solvang.attention() == []


def settled_once(pair: Pair, sent: str) -> None:
    """Solvang's message: confirmed, accepted, handed over at Granli once, and its one AppRec acknowledged."""
    solvang, granli = pair.solvang, pair.granli
    assert solvang.state(sent) == ("confirmed", "accepted")
    assert granli.handed_over() == [solvang.msg_id(sent)]
    assert granli.steps()["receipted"] == 1
    assert granli.receipts() == ["confirmed"]
    assert (solvang.steps()["matched"], granli.consume()) == (1, 0)
    answers = [event["kind"] for event in solvang.adapter.show(sent)["events"] if "receipt" in event["kind"]]
    assert answers == []  # nothing that contradicts, repeats or was not asked for


def same_envelope(pair: Pair, kind: str) -> bool:
    """The first two of this kind are one, twelve hours apart: the same signed octets."""
    first, second = pair.network.of(kind)[:2]
    return first.octets == second.octets and second.at - first.at >= timedelta(hours=RESEND_H)


def conversations(pair: Pair) -> set[str | None]:
    return {letter.words.conversation_id for letter in pair.network.letters}
