"""The state tables, spelt out a second time and compared; outcomes; the retry decision (P2, P4, P9, P23)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from adapter.errors import RemoteRefusalError, StateError, StoreError, TransportError, UnknownOutcomeError
from adapter.model.delivery import (
    ANSWERED,
    FINAL_LEGS,
    SENT_OR_FINAL,
    Answer,
    Leg,
    NextTry,
    Outcome,
    RetryPolicy,
    Step,
    allowed,
    check_move,
    decide_retry,
    outcome,
    status_poll_wait_s,
)

# From | to. A letter per state in the order of the enum; x = may go.
LEGS = """
           queued sending unknown sent confirmed refused abandoned suspended cancelled
queued     .      x       .       .    x         .       x         x         x
sending    x      .       x       x    x         x       .         x         .
unknown    .      x       .       x    x         x       x         x         .
sent       .      .       .       .    x         x       x         .         .
confirmed  .      .       .       .    .         .       .         .         .
refused    x      .       .       .    x         .       .         .         .
abandoned  x      .       .       .    x         .       .         .         .
suspended  x      .       .       .    x         .       .         .         x
cancelled  .      .       .       .    .         .       .         .         .
"""
ANSWERS = """
                not_asked awaited accepted partly_accepted rejected overdue
not_asked       .         .       .        .               .        .
awaited         .         .       x        x               x        x
accepted        .         .       .        .               .        .
partly_accepted .         .       .        .               .        .
rejected        .         .       .        .               .        .
overdue         .         .       x        x               x        .
"""
STEPS = """
           received opened accepted handed_over receipted matched refused rejected duplicate conflict parked quarantined
received    .        x      .        .           .         .       x       x        x         x        .      x
opened      .        .      x        .           .         x       x       x        x         x        x      x
accepted    .        .      .        x           .         .       .       x        .         .        .      .
handed_over .        .      .        .           x         .       .       .        .         .        .      .
receipted   .        .      .        .           .         .       .       .        .         .        .      .
matched     .        .      .        .           .         .       .       .        .         .        .      .
refused     .        .      .        .           .         .       .       .        .         .        .      .
rejected    .        .      .        .           .         .       .       .        .         .        .      .
duplicate   .        .      .        .           .         .       .       .        .         .        .      .
conflict    .        .      .        .           .         .       .       .        .         .        .      .
parked      .        .      x        .           .         .       .       .        .         .        .      x
quarantined x        x      .        .           .         .       x       .        .         .        .      .
"""


def _pairs(
    kind: type[Leg] | type[Answer] | type[Step], table: str
) -> list[tuple[Leg | Answer | Step, Leg | Answer | Step, bool]]:
    head, *rows = [line.split() for line in table.strip().splitlines()]
    assert [kind(name.replace("_", " ")) for name in head] == list(kind)
    assert [kind(row[0].replace("_", " ")) for row in rows] == list(kind)
    return [
        (kind(row[0].replace("_", " ")), new, mark == "x")
        for row in rows
        for new, mark in zip(kind, row[1:], strict=True)
    ]


EVERY = [*_pairs(Leg, LEGS), *_pairs(Answer, ANSWERS), *_pairs(Step, STEPS)]


@pytest.mark.parametrize(("old", "new", "may"), EVERY, ids=str)
def test_every_pair_of_states_moves_as_the_table_says(
    old: Leg | Answer | Step, new: Leg | Answer | Step, may: bool
) -> None:
    assert allowed(old, new) is may
    if may:
        assert check_move(old.value, new) is old
    else:
        with pytest.raises(StateError, match=f"cannot go from {old.value} to {new.value}"):
            check_move(old.value, new)


@pytest.mark.parametrize("value", [None, "", "no such state", "received"])
def test_a_column_without_a_state_of_its_table_cannot_move(value: str | None) -> None:
    with pytest.raises(StateError):
        check_move(value, Leg.SENDING)


def test_p4_a_rejected_message_never_becomes_accepted() -> None:
    assert not any(allowed(Answer.REJECTED, new) for new in Answer)
    assert all(not allowed(old, new) for old in ANSWERED for new in Answer)


def test_p4_overdue_and_abandoned_still_take_good_news() -> None:
    assert allowed(Answer.OVERDUE, Answer.ACCEPTED)
    assert allowed(Leg.ABANDONED, Leg.CONFIRMED)
    assert allowed(Leg.REFUSED, Leg.CONFIRMED)


def test_nothing_goes_back_to_the_queue_from_what_the_receiver_has() -> None:
    assert not allowed(Leg.SENT, Leg.QUEUED)
    assert not allowed(Leg.CONFIRMED, Leg.QUEUED)
    assert {Leg.CONFIRMED, Leg.REFUSED, Leg.ABANDONED, Leg.CANCELLED} == FINAL_LEGS
    assert {Leg.SENT} == SENT_OR_FINAL - FINAL_LEGS


def _expected(leg: Leg, answer: Answer) -> Outcome:
    match leg, answer:
        case _, Answer.ACCEPTED | Answer.PARTIAL:
            return Outcome.DELIVERED
        case _, Answer.REJECTED:
            return Outcome.REJECTED
        case Leg.CANCELLED, _:
            return Outcome.CANCELLED
        case ((Leg.REFUSED | Leg.ABANDONED | Leg.SUSPENDED), _):
            return Outcome.ATTENTION
        case _, Answer.OVERDUE:
            return Outcome.ATTENTION
        case Leg.CONFIRMED, Answer.NOT_ASKED:
            return Outcome.DELIVERED
    return Outcome.PENDING


@pytest.mark.parametrize("leg", Leg)
@pytest.mark.parametrize("answer", Answer)
def test_every_pair_has_its_outcome(leg: Leg, answer: Answer) -> None:
    assert outcome(leg, answer) is _expected(leg, answer)


NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
POLICY = RetryPolicy()


def _wait(
    attempts: int = 1,
    *,
    jitter: float = 0.5,
    asked: float | None = None,
    age_s: float = 0,
    policy: RetryPolicy = POLICY,
) -> float:
    following = decide_retry(
        TransportError("busy", retry_after_s=asked),
        attempts=attempts,
        queued_at=NOW - timedelta(seconds=age_s),
        now=NOW,
        policy=policy,
        jitter=jitter,
    )
    assert following.leg is Leg.QUEUED
    assert following.due_at is not None
    return (following.due_at - NOW).total_seconds()


def test_the_wait_grows_by_the_factor_and_is_bounded() -> None:
    assert [_wait(n) for n in range(1, 9)] == [5, 15, 45, 135, 405, 1215, 3600, 3600]
    assert _wait(0) == 5


def test_a_row_held_for_days_has_many_attempts_and_still_gets_a_wait() -> None:
    assert _wait(100_000) == 3600


@pytest.mark.parametrize(("jitter", "expected"), [(0.0, 3.75), (0.5, 5.0), (1.0, 6.25)])
def test_jitter_spreads_the_wait_by_a_quarter_either_way(jitter: float, expected: float) -> None:
    assert _wait(jitter=jitter) == expected


def test_retry_after_is_honoured_when_longer_and_bounded_when_absurd() -> None:
    assert _wait(asked=60) == 60
    assert _wait(4, asked=60) == 135
    assert _wait(asked=1e12) == POLICY.longest_asked_s
    assert _wait(asked=float("inf")) == POLICY.longest_asked_s
    assert _wait(asked=-5) == 5


def test_after_seventy_two_hours_a_row_is_given_up() -> None:
    hours_72 = 72 * 3600
    assert _wait(age_s=hours_72) == 5
    late = decide_retry(
        StoreError("x"), attempts=9, queued_at=NOW - timedelta(seconds=hours_72 + 1), now=NOW, policy=POLICY, jitter=0
    )
    assert late == NextTry(Leg.ABANDONED, None)


@pytest.mark.parametrize("age_s", [0, 100 * 3600])
def test_p2_an_unknown_outcome_waits_for_proof_however_old_it_is(age_s: float) -> None:
    following = decide_retry(
        UnknownOutcomeError("cut"),
        attempts=1,
        queued_at=NOW - timedelta(seconds=age_s),
        now=NOW,
        policy=RetryPolicy(unknown_wait_s=77),
        jitter=1,
    )
    assert following == NextTry(Leg.UNKNOWN, NOW + timedelta(seconds=77))


def test_a_refusal_by_the_server_is_final_until_a_person_acts() -> None:
    error = RemoteRefusalError("no", status=400)
    assert decide_retry(error, attempts=1, queued_at=NOW, now=NOW, policy=POLICY, jitter=0) == NextTry(
        Leg.REFUSED, None
    )


@pytest.mark.parametrize(
    ("age_s", "wait_s"), [(0, 60), (3599, 60), (3600, 300), (12 * 3600 - 1, 300), (12 * 3600, 1800), (10**6, 1800)]
)
def test_the_status_is_asked_less_often_as_a_message_ages(age_s: float, wait_s: float) -> None:
    assert status_poll_wait_s(age_s) == wait_s
