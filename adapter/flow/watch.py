"""Clocks and housekeeping: what is overdue (P9), unconfirmed (P7) or parked too long, and what may be deleted."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from adapter.config import OverdueLimit
from adapter.flow.alarms import all_clear, raise_alarm
from adapter.flow.handover import auto_sort
from adapter.flow.parts import HOUR_US, Parts, limit_for
from adapter.model.delivery import ANSWERED, Answer, Leg, Step
from adapter.store import journal, outbox, queries
from adapter.store.database import to_us
from adapter.store.statements import Row

HANDOVER_ALARMS_H = (24, 72)
SORTING_BEFORE_H = 95  # an hour before the 96 h of HIS 80415:2012
UNTIL_FIRST_CONFIRMATION = (Leg.QUEUED, Leg.SENDING, Leg.UNKNOWN, Leg.SENT, Leg.SUSPENDED)


def find_overdue(parts: Parts) -> int:
    """Look at every row whose clock has run out; gives how many."""
    with parts.store.reading() as db:
        rows = outbox.overdue(db, parts.store.now_us())
    for row in rows:
        if row["direction"] == "out":
            _look_out(parts, row)
        else:
            _look_in(parts, row)
    return len(rows)


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
                journal.flag(db, row, "transport overdue", at=now)
                late.append("transport overdue")
    for reason in late:
        raise_alarm(parts, f"{reason}:{row['id']}", f"a delivery is {reason}")


def _look_in(parts: Parts, row: Row) -> None:
    if row["step"] == Step.PARKED.value:
        _release_parked(parts, row)
    elif row["step"] == Step.ACCEPTED.value:
        _unconfirmed(parts, row)
    else:
        with parts.store.transaction() as db:
            outbox.set_columns(db, row["id"], overdue_at=None)


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
    sorting_at = row["queued_at"] + SORTING_BEFORE_H * HOUR_US
    if parts.settings.inbound.auto_sorting and now >= sorting_at:
        auto_sort(parts, row)
        return
    looks = [row["queued_at"] + hours * HOUR_US for hours in HANDOVER_ALARMS_H]
    if parts.settings.inbound.auto_sorting:
        looks.append(sorting_at)
    with parts.store.transaction() as db:
        outbox.set_columns(db, row["id"], overdue_at=min((when for when in looks if when > now), default=None))
        journal.flag(db, row, "handover overdue", at=now)
    hours = max((h for h in HANDOVER_ALARMS_H if row["queued_at"] + h * HOUR_US <= now), default=0)
    raise_alarm(parts, f"handover {hours} h:{row['id']}", f"no consumer confirmed a message within {hours} h (P7)")


def keep_house(parts: Parts) -> int:
    """Delete bytes past retention, final and confirmed ones only; ids, digests and events stay (P28)."""
    days = parts.settings.store.keep_bytes_days
    if days is None:
        return 0
    before = to_us(parts.now() - timedelta(days=days))
    with parts.store.transaction() as db:
        return queries.drop_old_bytes(db, before=before, at=parts.store.now_us())


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
