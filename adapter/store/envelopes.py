"""Statements for ebXML envelopes: the raw bytes that came, and look-ups by ebXML MessageId.

Whatever comes is kept before its sender is known. How much of what nobody vouches for may be held at one time has a
bound, or a stranger could fill the disk: it counts from its arrival until it is verified, or its bytes are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import sqlalchemy as sa

from adapter.errors import StoreError
from adapter.store.database import add_once
from adapter.store.journal import add_event, add_payload
from adapter.store.statements import Row, put, remove, row_where, rows_of
from adapter.store.tables import OUR_ENVELOPES, delivery, message, payload, remote, unverified

NO_ROOM = "P28.UNVERIFIED"
BESIDE_BYTES = 10_000  # of a kept envelope beside its own bytes: rows, events, our answer
_HELD = sa.select(sa.func.coalesce(sa.func.sum(unverified.c.size_bytes), 0).label("held"))

# The conditions stand there as the indexes have them: SQLite goes by a partial index only then.
_WHOSE = {
    "out": sa.text(OUR_ENVELOPES.replace("direction", "delivery.direction").replace("road", "delivery.road", 1)),
    "in": sa.text("delivery.direction = 'in' AND delivery.remote_id IS NOT NULL"),
}


def add_envelope(
    db: sa.Connection, *, message_id: str, tenant: str, raw: bytes, at: int, most_bytes: int | None
) -> int:
    """Keep what came before anything is believed of it: a message without a row; gives its place in the order.

    ``most_bytes`` is the bound on all that nobody has vouched for; None for what is verified. Raises StoreError
    P28.UNVERIFIED when it would be passed; then nothing is kept.
    """
    weight = len(raw) + BESIDE_BYTES
    if most_bytes is not None and held_unverified(db) + weight > most_bytes:
        cure = "look at what came, then set store.keep_unverified_days, or raise store.unverified_max_bytes"
        raise StoreError("there is no room for more of unverified senders", code=NO_ROOM, cure=cure)
    values = {"id": message_id, "tenant": tenant, "direction": "in", "created_at": at, "is_test": False}
    seq = int(put(db, message, values))
    if most_bytes is not None:
        put(db, unverified, {"seq": seq, "at": at, "size_bytes": weight})
    digest = add_payload(db, message_id, "envelope", raw)
    detail = {"sha256": digest, "size_bytes": len(raw)}
    add_event(db, at=at, tenant=tenant, kind="envelope received", message_id=message_id, detail=detail)
    return seq


def held_unverified(db: sa.Connection) -> int:
    """Bytes that are held of senders that nobody has vouched for."""
    return int(rows_of(db, _HELD, {})[0]["held"])


def set_verified(db: sa.Connection, seq: int) -> None:
    """The sender of what has this place in the order is known: it no longer counts."""
    remove(db, unverified, seq=seq)


@lru_cache(maxsize=16)
def _by_remote_id(direction: str, roads: tuple[str, ...], to_party: bool) -> sa.Select[tuple[object, ...]]:
    query = sa.select(delivery, message.c.input_digest, message.c.sender)
    query = query.join(message, message.c.id == delivery.c.message_id)
    query = query.where(delivery.c.remote_id == sa.bindparam("is_remote_id"), _WHOSE[direction])
    query = query.where(sa.or_(*(delivery.c.road == road for road in roads))).order_by(delivery.c.seq)
    return query.where(delivery.c.party == sa.bindparam("is_party")) if to_party else query


def find_received(db: sa.Connection, roads: Sequence[str], remote_id: str, party: int) -> Row | None:
    """The row of an earlier envelope with this MessageId to this address, with its sender and content digest."""
    query = _by_remote_id("in", tuple(roads), True)
    return next(iter(rows_of(db, query, {"is_remote_id": remote_id, "is_party": party})), None)


def find_sent(db: sa.Connection, roads: Sequence[str], remote_id: str) -> Row | None:
    """Our row that went out, or will, under this MessageId."""
    return next(iter(rows_of(db, _by_remote_id("out", tuple(roads), False), {"is_remote_id": remote_id})), None)


def find_asked(db: sa.Connection, roads: Sequence[str], *, tenant: str, sender: int, msg_id: str) -> Row | None:
    """The row of a document that came by envelope from this sender: what a document of ours names as its parent."""
    query = sa.select(delivery).join(message, message.c.id == delivery.c.message_id)
    query = query.where(message.c.msg_id == msg_id, message.c.direction == "in", message.c.sender == sender)
    query = query.where(delivery.c.tenant == tenant, delivery.c.road.in_(roads)).order_by(delivery.c.seq)
    found = db.execute(query).mappings().first()
    return dict(found) if found is not None else None


def add_read(db: sa.Connection, name: str, message_id: str, *, at: int) -> None:
    """What a message from outside was kept as, by a name of its own; the first word stands."""
    add_once(db, remote, remote_id=name, message_id=message_id, at=at)


def kept_as(db: sa.Connection, name: str) -> tuple[str, int] | None:
    """The message, and its place in the order, that a mail was kept as before it could be answered."""
    found = row_where(db, remote, remote_id=name)
    kept = row_where(db, message, id=found["message_id"]) if found is not None else None
    return (kept["id"], kept["seq"]) if kept is not None else None


def place_of(db: sa.Connection, message_id: str) -> int:
    """The message's place in the order; raises KeyError when there is no such message."""
    found = row_where(db, message, id=message_id)
    if found is None:
        raise KeyError(message_id)
    return int(found["seq"])


def find_raw(db: sa.Connection, message_id: str) -> bytes:
    """The kept envelope as it came; empty when its bytes are gone (P28)."""
    found = row_where(db, payload, message_id=message_id, role="envelope")
    return bytes(found["content"]) if found is not None and found["content"] is not None else b""


def find_signal(db: sa.Connection, message_id: str) -> bytes | None:
    """The stored answer to a kept envelope, None when there is none yet."""
    found = row_where(db, payload, message_id=message_id, role="signal")
    return bytes(found["content"]) if found is not None and found["content"] is not None else None
