"""The state tables of a delivery, and the retry decision: data and pure functions, no database.

Outbound a delivery has two stored columns, *leg* (did it arrive) and *answer* (what did the receiver say), and a
derived outcome. Inbound it has one, *step*. Every change in the store is ``UPDATE … WHERE state = old`` with an event
row in one transaction, and only for a pair found here. Late good news wins: overdue or abandoned may still become
accepted; a rejected message never does (P4).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from adapter.errors import AdapterError, Again, StateError


class Leg(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    UNKNOWN = "unknown"  # the connection broke after bytes were sent (P2)
    SENT = "sent"  # the server has it
    CONFIRMED = "confirmed"  # the receiver's transport has it
    REFUSED = "refused"  # the server or the receiver's transport said no
    ABANDONED = "abandoned"  # given up
    SUSPENDED = "suspended"  # held until an operator or a settings change
    CANCELLED = "cancelled"  # withdrawn before sending


class Answer(StrEnum):
    NOT_ASKED = "not asked"
    AWAITED = "awaited"
    ACCEPTED = "accepted"
    PARTIAL = "partly accepted"
    REJECTED = "rejected"
    OVERDUE = "overdue"


class Step(StrEnum):
    RECEIVED = "received"
    OPENED = "opened"
    ACCEPTED = "accepted"
    HANDED_OVER = "handed over"
    RECEIPTED = "receipted"
    MATCHED = "matched"  # a receipt that was joined to what it answers
    REFUSED = "refused"  # read, and no receipt can or may be given
    REJECTED = "rejected"  # negative receipt owed or sent
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    PARKED = "parked"  # waits for its original (P5)
    QUARANTINED = "quarantined"


class Outcome(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    ATTENTION = "attention"
    CANCELLED = "cancelled"


LEG_MOVES: dict[Leg, frozenset[Leg]] = {
    # confirmed: proof came for a row that was put back into the queue
    Leg.QUEUED: frozenset({Leg.SENDING, Leg.SUSPENDED, Leg.CANCELLED, Leg.ABANDONED, Leg.CONFIRMED}),
    # back to queued: nothing was sent; confirmed or refused may be seen before our own record of sent
    Leg.SENDING: frozenset({Leg.QUEUED, Leg.UNKNOWN, Leg.SENT, Leg.CONFIRMED, Leg.REFUSED, Leg.SUSPENDED}),
    Leg.UNKNOWN: frozenset({Leg.SENDING, Leg.SENT, Leg.CONFIRMED, Leg.REFUSED, Leg.ABANDONED, Leg.SUSPENDED}),
    Leg.SENT: frozenset({Leg.CONFIRMED, Leg.REFUSED, Leg.ABANDONED}),
    Leg.CONFIRMED: frozenset(),
    Leg.REFUSED: frozenset({Leg.QUEUED, Leg.CONFIRMED}),  # requeue; a late confirmation is taken and logged
    Leg.ABANDONED: frozenset({Leg.QUEUED, Leg.CONFIRMED}),
    Leg.SUSPENDED: frozenset({Leg.QUEUED, Leg.CANCELLED, Leg.CONFIRMED}),
    Leg.CANCELLED: frozenset(),
}

ANSWER_MOVES: dict[Answer, frozenset[Answer]] = {
    Answer.NOT_ASKED: frozenset(),
    Answer.AWAITED: frozenset({Answer.ACCEPTED, Answer.PARTIAL, Answer.REJECTED, Answer.OVERDUE}),
    Answer.OVERDUE: frozenset({Answer.ACCEPTED, Answer.PARTIAL, Answer.REJECTED}),
    Answer.ACCEPTED: frozenset(),
    Answer.PARTIAL: frozenset(),
    Answer.REJECTED: frozenset(),
}

STEP_MOVES: dict[Step, frozenset[Step]] = {
    Step.RECEIVED: frozenset(
        {Step.OPENED, Step.REFUSED, Step.REJECTED, Step.DUPLICATE, Step.CONFLICT, Step.QUARANTINED}
    ),
    Step.OPENED: frozenset(
        {
            Step.ACCEPTED,
            Step.PARKED,
            Step.MATCHED,
            Step.REFUSED,
            Step.REJECTED,
            Step.DUPLICATE,
            Step.CONFLICT,
            Step.QUARANTINED,
        }
    ),
    Step.PARKED: frozenset({Step.ACCEPTED, Step.QUARANTINED}),
    # rejected: the consumer may reject at confirm, with a code that is legal for the type (P7)
    Step.ACCEPTED: frozenset({Step.HANDED_OVER, Step.REJECTED}),
    Step.HANDED_OVER: frozenset({Step.RECEIPTED}),
    Step.RECEIPTED: frozenset(),
    Step.MATCHED: frozenset(),
    Step.REFUSED: frozenset(),
    Step.REJECTED: frozenset(),
    Step.DUPLICATE: frozenset(),
    Step.CONFLICT: frozenset(),
    Step.QUARANTINED: frozenset({Step.RECEIVED, Step.OPENED, Step.REFUSED}),  # an operator's decision
}

FINAL_LEGS = frozenset({Leg.CONFIRMED, Leg.REFUSED, Leg.ABANDONED, Leg.CANCELLED})
SENT_OR_FINAL = FINAL_LEGS | {Leg.SENT}
ANSWERED = frozenset({Answer.ACCEPTED, Answer.PARTIAL, Answer.REJECTED})


def allowed(old: Leg | Answer | Step, new: Leg | Answer | Step) -> bool:
    """True when the table of that column has the move."""
    if isinstance(old, Leg):
        return new in LEG_MOVES[old]
    return new in (ANSWER_MOVES[old] if isinstance(old, Answer) else STEP_MOVES[old])


def check_move(old_value: str | None, new: Leg | Answer | Step) -> Leg | Answer | Step:
    """The old state as a word of the same table; raises StateError when the move is not in it."""
    column = type(new).__name__.lower()
    try:
        old = type(new)(str(old_value))
    except ValueError:  # an inbound row has no leg, an outbound one no step
        raise StateError(f"this row has no {column} that could become {new.value}") from None
    if not allowed(old, new):
        raise StateError(f"a {column} cannot go from {old.value} to {new.value}")
    return old


def outcome(leg: Leg, answer: Answer) -> Outcome:
    """What a person wants to know of one outbound delivery."""
    if answer in (Answer.ACCEPTED, Answer.PARTIAL):
        return Outcome.DELIVERED
    if answer is Answer.REJECTED:
        return Outcome.REJECTED
    if leg is Leg.CANCELLED:
        return Outcome.CANCELLED
    if answer is Answer.OVERDUE or leg in (Leg.REFUSED, Leg.ABANDONED, Leg.SUSPENDED):
        return Outcome.ATTENTION
    if answer is Answer.NOT_ASKED and leg is Leg.CONFIRMED:
        return Outcome.DELIVERED
    return Outcome.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Waits in seconds; ``unknown_wait_s`` is the pause for proof before the one resend (P2).

    ``longest_asked_s`` bounds what a server may ask for: a lying one must not hold a message for years.
    """

    first_s: float = 5.0
    factor: float = 3.0
    longest_s: float = 3600.0
    longest_asked_s: float = 6 * 3600.0
    give_up_after_s: float = 72 * 3600.0
    unknown_wait_s: float = 120.0


@dataclass(frozen=True, slots=True)
class NextTry:
    """What to do with a delivery after a failure."""

    leg: Leg
    due_at: datetime | None


def decide_retry(
    error: AdapterError, *, attempts: int, queued_at: datetime, now: datetime, policy: RetryPolicy, jitter: float
) -> NextTry:
    """Where a failed sending goes. ``attempts`` counts this one; ``jitter`` is 0..1, handed in.

    Unknown outcomes wait for proof; refusals by the server are final until a person acts; the rest backs off
    exponentially until 72 h have passed. Access faults do not come here: they stop the tenant, not the row (P23).
    """
    if error.again is Again.AFTER_PROOF:
        return NextTry(Leg.UNKNOWN, now + timedelta(seconds=policy.unknown_wait_s))
    if error.again is Again.NEVER:
        return NextTry(Leg.REFUSED, None)
    if now - queued_at > timedelta(seconds=policy.give_up_after_s):
        return NextTry(Leg.ABANDONED, None)
    growth = min(max(attempts - 1, 0), 50)  # a row that was held for days has many attempts; floats end at 1e308
    wait = min(policy.first_s * policy.factor**growth, policy.longest_s)
    asked = min(float(getattr(error, "retry_after_s", None) or 0), policy.longest_asked_s)
    wait = max(wait * (0.75 + 0.5 * jitter), asked)
    return NextTry(Leg.QUEUED, now + timedelta(seconds=wait))


def status_poll_wait_s(age_s: float) -> float:
    """How long to wait before the next status question: 1 min in the first hour, 5 min to 12 h, then 30 min."""
    if age_s < 3600:
        return 60.0
    return 300.0 if age_s < 12 * 3600 else 1800.0
