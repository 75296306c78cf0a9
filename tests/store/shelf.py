"""What the store's tests put on the shelf: a clock, and messages with rows, added by the store's own functions."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from adapter.model.delivery import Answer, Leg, Step
from adapter.store import inbox, journal, outbox
from adapter.store.database import Store
from adapter.store.statements import Row

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECOND = 1_000_000
HOUR = 3600 * SECOND
TENANT = "legekontoret"
_numbers = itertools.count(1)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.when = START

    def __call__(self) -> datetime:
        return self.when

    def forward(self, seconds: float) -> None:
        self.when += timedelta(seconds=seconds)


def new_id() -> str:
    return str(uuid.uuid4())


def put_out(
    store: Store,
    *parties: int,
    tenant: str = TENANT,
    lane: str | None = None,
    urgency: int = 9,
    answer: Answer = Answer.AWAITED,
    overdue_at: int | None = None,
    content: bytes = b"<a/>",
    **columns: Any,
) -> tuple[str, list[str]]:
    """A submitted message with one row per party; gives its id and those of the rows."""
    message_id = new_id()
    rows = [
        outbox.NewDelivery(
            id=new_id(),
            party=party,
            road="edi20",
            is_copy=index > 0,
            lane=lane,
            urgency=urgency,
            answer=answer,
            overdue_at=overdue_at,
        )
        for index, party in enumerate(parties or (100,))
    ]
    columns = {"msg_id": new_id(), "msg_type": "DIALOG_NOTAT", "sender": 1, **columns}
    message = outbox.NewMessage(id=message_id, tenant=tenant, document=content, columns=columns)
    with store.transaction() as db:
        outbox.add(db, message, rows, at=store.now_us())
    return message_id, [row.id for row in rows]


def put_in(
    store: Store, *, party: int = 1, tenant: str = TENANT, content: bytes = b"<a/>", **columns: Any
) -> tuple[str, str]:
    """A received message; gives its id and that of its row."""
    message_id, delivery_id = new_id(), new_id()
    with store.transaction() as db:
        inbox.add_received(
            db,
            message_id=message_id,
            delivery_id=delivery_id,
            tenant=tenant,
            road="edi20",
            remote_id=f"remote-{next(_numbers):08d}",
            party=party,
            raw=content,
            at=store.now_us(),
            hints=columns,
        )
    return message_id, delivery_id


def row_of(store: Store, delivery_id: str) -> Row:
    with store.reading() as db:
        row = outbox.find_delivery(db, delivery_id)
    assert row is not None
    return row


def claim(store: Store, limit: int = 10, by: str = "worker-1", lease_s: int = 60) -> list[list[Row]]:
    now = store.now_us()
    with store.transaction() as db:
        return outbox.claim(db, now=now, by=by, until=now + lease_s * SECOND, limit=limit)


def claimed(store: Store, limit: int = 10) -> list[str]:
    """Ids of the rows that a claim takes now."""
    return [row["id"] for group in claim(store, limit) for row in group]


def go(store: Store, delivery_id: str, *states: Leg | Answer | Step, **columns: object) -> None:
    """Carry a row through these states, one move each, as the tables allow."""
    for state in states:
        with store.transaction() as db:
            row = outbox.find_delivery(db, delivery_id)
            assert row is not None
            name = type(state).__name__.lower()
            journal.move(db, row, at=store.now_us(), kind=state.value, **{name: state}, **columns)  # type: ignore[arg-type]


def kinds_of(store: Store, message_id: str) -> Sequence[str]:
    """The kinds of a message's events, in order."""
    from adapter.store import queries

    with store.reading() as db:
        return [event["kind"] for event in queries.events_of(db, message_id)]
