"""Statements for ebXML envelopes: the raw bytes that came, and look-ups by ebXML MessageId."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from adapter.store.journal import add_event, add_payload
from adapter.store.statements import Row, put
from adapter.store.tables import delivery, message


def add_envelope(db: sa.Connection, *, message_id: str, tenant: str, raw: bytes, at: int) -> int:
    """Keep what came before anything is believed of it: a message without a row; gives its place in the order."""
    values = {"id": message_id, "tenant": tenant, "direction": "in", "created_at": at, "is_test": False}
    seq = int(put(db, message, values))
    digest = add_payload(db, message_id, "envelope", raw)
    detail = {"sha256": digest, "size_bytes": len(raw)}
    add_event(db, at=at, tenant=tenant, kind="envelope received", message_id=message_id, detail=detail)
    return seq


def _by_remote_id(direction: str, remote_id: str, roads: Sequence[str]) -> sa.Select[tuple[object, ...]]:
    query = sa.select(delivery, message.c.input_digest, message.c.sender)
    query = query.join(message, message.c.id == delivery.c.message_id).where(delivery.c.remote_id == remote_id)
    return query.where(delivery.c.direction == direction, delivery.c.road.in_(roads)).order_by(delivery.c.seq)


def find_received(db: sa.Connection, roads: Sequence[str], remote_id: str, party: int) -> Row | None:
    """The row of an earlier envelope with this MessageId to this address, with its sender and content digest."""
    found = db.execute(_by_remote_id("in", remote_id, roads).where(delivery.c.party == party)).mappings().first()
    return dict(found) if found is not None else None


def find_sent(db: sa.Connection, roads: Sequence[str], remote_id: str) -> Row | None:
    """Our row that went out, or will, under this MessageId."""
    found = db.execute(_by_remote_id("out", remote_id, roads)).mappings().first()
    return dict(found) if found is not None else None
