"""Clocks and housekeeping: what is overdue (P9), unconfirmed (P7) or parked too long, and what may be deleted."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from adapter.config import OverdueLimit
from adapter.errors import AdapterError, StoreError
from adapter.flow.alarms import UNVERIFIED, all_clear, open_names, raise_alarm
from adapter.flow.clocks import clock_of
from adapter.flow.handover import auto_sort
from adapter.flow.outcomes import DAMAGED, LATE
from adapter.flow.parts import HOUR_US, Parts, limit_for
from adapter.model.delivery import ANSWERED, Answer, Leg, Step
from adapter.store import envelopes, journal, outbox, queries
from adapter.store.database import to_us
from adapter.store.statements import Row

AMPLE = 0.75  # of the bound: else one large and one small arrival would ring and clear in turn
UNTIL_FIRST_CONFIRMATION = (Leg.QUEUED, Leg.SENDING, Leg.UNKNOWN, Leg.SENT, Leg.SUSPENDED)


def find_overdue(parts: Parts) -> int:
    """Look at every row whose clock has run out; gives how many."""
    with parts.store.reading() as db:
        rows = outbox.overdue(db, parts.store.now_us())
    for row in rows:
        if parts.stopping.is_set():
            break
        try:
            _look_out(parts, row) if row["direction"] == "out" else _look_in(parts, row)
        except AdapterError as error:
            if isinstance(error, StoreError) and error.code not in DAMAGED:
                raise
            _look_later(parts, row, error)
    return len(rows)


def _look_later(parts: Parts, row: Row, error: AdapterError) -> None:
    """One row that cannot be looked at does not hold up the rest."""
    if error.code == "STATE.RACE":
        return  # it was moved meanwhile; if its clock still runs, the next round looks at it as it is then
    with parts.store.transaction() as db:
        outbox.set_columns(db, row["id"], overdue_at=parts.store.now_us() + HOUR_US)
        journal.flag(db, row, "clock", at=parts.store.now_us(), detail={"code": error.code})
    raise_alarm(parts, f"clock:{row['id']}", f"a message whose time has come cannot be treated: {error.code}")


def _limit(parts: Parts, db: sa.Connection, row: Row) -> OverdueLimit:
    message = outbox.find_message(db, row["message_id"])
    assert message is not None
    return limit_for(parts.settings, message["msg_type"], message["priority"])


def _look_out(parts: Parts, row: Row) -> None:
    now = parts.store.now_us()
    late: list[str] = []
    with parts.store.transaction() as db:
        limit = _limit(parts, db, row)
        transport = row["queued_at"] + round(limit.transport_h * HOUR_US)
        apprec = row["queued_at"] + round(limit.apprec_h * HOUR_US)
        leg, answer = Leg(row["leg"]), Answer(row["answer"])
        following = [when for when in (transport, apprec) if when > now]
        columns = {"overdue_at": min(following, default=None)}
        if answer is Answer.AWAITED and apprec <= now and leg is not Leg.CANCELLED:
            journal.move(db, row, at=now, kind="overdue", answer=Answer.OVERDUE, **columns)
            journal.flag(db, row, "overdue", at=now)
            late.append("overdue")
        else:
            outbox.set_columns(db, row["id"], **columns)
            if transport <= now and answer not in ANSWERED and leg in UNTIL_FIRST_CONFIRMATION:
                journal.flag(db, row, LATE, at=now)
                late.append(LATE)
    for reason in late:
        raise_alarm(parts, f"{reason}:{row['id']}", f"a delivery is {reason}")


def _look_in(parts: Parts, row: Row) -> None:
    if row["step"] == Step.PARKED.value:
        _release_parked(parts, row)
    elif row["step"] == Step.ACCEPTED.value:
        _unconfirmed(parts, row)
    elif row["step"] == Step.OPENED.value:
        _unchecked(parts, row)
    else:
        with parts.store.transaction() as db:
            outbox.set_columns(db, row["id"], overdue_at=None)


def _unchecked(parts: Parts, row: Row) -> None:
    """72 h of waiting for revocation (P17)."""
    with parts.store.transaction() as db:
        outbox.set_columns(db, row["id"], overdue_at=None)
        journal.flag(db, row, "revocation unchecked", at=parts.store.now_us())
    raise_alarm(parts, f"revocation:{row['id']}", "a message has waited 72 h, as revocation cannot be checked (P17)")


def _release_parked(parts: Parts, row: Row) -> None:
    """72 h without the original: handed over with a flag, so that it is answered within 96 h (P5)."""
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        overdue = now + HOUR_US
        journal.move(db, row, at=now, kind="original missing", step=Step.ACCEPTED, overdue_at=overdue)
        journal.flag(db, row, "original missing", at=now)
    raise_alarm(parts, f"parked:{row['id']}", "a change or cancel is handed over without its original (P5)")


def _unconfirmed(parts: Parts, row: Row) -> None:
    now = parts.store.now_us()
    with parts.store.reading() as db:
        message = outbox.find_message(db, row["message_id"])
    assert message is not None
    clock = clock_of(row, message["gen_date"])
    sorting = parts.settings.inbound.auto_sorting
    if sorting and now >= clock.sorting_at:
        auto_sort(parts, row)
        return
    hours = clock.unconfirmed_h(now)
    with parts.store.transaction() as db:
        outbox.set_columns(db, row["id"], overdue_at=clock.next_look(now, sorting))
        if hours:
            journal.flag(db, row, "handover overdue", at=now)
    if hours:
        raise_alarm(parts, f"handover {hours} h:{row['id']}", f"no consumer confirmed a message within {hours} h (P7)")


def keep_house(parts: Parts) -> int:
    """Delete bytes past retention, final and confirmed ones only; ids, digests and events stay (P28)."""
    store, dropped = parts.settings.store, 0
    for days, unverified in ((store.keep_bytes_days, False), (store.keep_unverified_days, True)):
        if days is not None:
            before = to_us(parts.now() - timedelta(days=days))
            with parts.store.transaction() as db:
                dropped += queries.drop_old_bytes(
                    db, before=before, at=parts.store.now_us(), only_unverified=unverified
                )
    _tell_room(parts)
    return dropped


def _tell_room(parts: Parts) -> None:
    """The all-clear when there is ample room again for what nobody has vouched for."""
    if UNVERIFIED in open_names(parts):
        with parts.store.reading() as db:
            held = envelopes.held_unverified(db)
        if held < parts.settings.store.unverified_max_bytes * AMPLE:
            all_clear(parts, UNVERIFIED)


def tell_problems(parts: Parts) -> None:
    """New key files and address books that cannot be used while the old ones serve on (P27)."""
    found = parts.problems()
    for name, code in found.items():
        raise_alarm(parts, f"renewal:{name}", f"a new {name} cannot be used and the old one serves on: {code}")
    for incident in sorted(open_names(parts)):
        if incident.startswith("renewal:") and incident.removeprefix("renewal:") not in found:
            all_clear(parts, incident)


# Reasons that have an alarm of their own: a crash between the commit and the bell must not keep it silent.
# And what was not delivered, for which nobody else will do anything any more.
MUST_RING = frozenset(
    {"emergency with faults", "emergency rejected", "spoof suspected", "conflict", "unreadable", "quarantined", "late"}
    | {"refused", "transport rejected", "abandoned", "suspended"}
)


def ring_missing(parts: Parts) -> None:
    """Raise the alarms of rows that ask for a person and that nobody was told of (P8, P26)."""
    with parts.store.reading() as db:
        told = {row["name"].rpartition(":")[2] for row in queries.incidents(db)}
        rows = queries.list_rows(db, attention=True, limit=1000)
    for row in rows:
        if row["attention"] in MUST_RING and row["delivery_id"] not in told:
            name = f"attention:{row['delivery_id']}"
            raise_alarm(parts, name, f"a message asks for a person: {row['attention']}")


def close_incidents(parts: Parts) -> None:
    """The all-clear of alarms whose row is off the attention list (P26)."""
    with parts.store.reading() as db:
        names = [row["name"] for row in queries.incidents(db)]
        over = [name for name in names if ":" in name and _over(db, name.rsplit(":", 1)[1])]
    for name in over:
        all_clear(parts, name)


def _over(db: sa.Connection, delivery_id: str) -> bool:
    row = outbox.find_delivery(db, delivery_id)
    return row is not None and row["attention"] is None
