"""Inbound statements: remember what was fetched, find duplicates, lease to consumers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

import adapter.store.tables as tables
from adapter.model.delivery import Step
from adapter.store.database import add_once
from adapter.store.journal import add_event, add_payload
from adapter.store.statements import Row, change, put, row_where, rows_of
from adapter.store.tables import delivery, lease, message

_SAME = (
    sa.select(delivery, message.c.digest, message.c.seq.label("message_seq"))
    .join(message, message.c.id == delivery.c.message_id)
    .where(message.c.direction == "in", message.c.msg_id == sa.bindparam("msg_id"))
    .where(message.c.tenant == sa.bindparam("tenant"), message.c.seq != sa.bindparam("besides"))
    .where(message.c.digest.is_not(None))
    .order_by(message.c.seq)
)
_SAME_KNOWN = _SAME.where(message.c.sender == sa.bindparam("sender"))
_SAME_UNKNOWN = _SAME.where(message.c.sender.is_(None))
_PARKED = (
    sa.select(delivery)
    .join(message, delivery.c.message_id == message.c.id)
    .where(message.c.document_id == sa.bindparam("document_id"), message.c.sender == sa.bindparam("sender"))
    .where(message.c.tenant == sa.bindparam("tenant"), delivery.c.step == Step.PARKED.value)
    .order_by(delivery.c.seq)
)
_FREE = (
    sa.select(delivery)
    .where(delivery.c.step == Step.ACCEPTED.value, delivery.c.tenant == sa.bindparam("tenant"))
    .where(sa.or_(delivery.c.lease_until.is_(None), delivery.c.lease_until < sa.bindparam("now")))
    .order_by(delivery.c.urgency, delivery.c.seq)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)


def _open_items(condition: str) -> sa.Select[Any]:
    query = sa.select(delivery).where(sa.text(condition), delivery.c.tenant == sa.bindparam("tenant"))
    query = query.where(delivery.c.remote_id.is_not(None)).order_by(delivery.c.seq)
    return query.limit(sa.bindparam("limit", type_=sa.Integer))


_NOT_PUT_AWAY = _open_items(tables.NOT_PUT_AWAY)
_NOT_PUT_AWAY_ON_POSTGRES = _open_items(tables.NOT_PUT_AWAY_ON_POSTGRES)
_FREE_SKIPPING = _FREE.with_for_update(skip_locked=True)


def find_item(db: sa.Connection, road: str, remote_id: str, party: int) -> Row | None:
    """The delivery that was stored for this inbox item, if it was fetched before."""
    return row_where(db, delivery, road=road, remote_id=remote_id, party=party, direction="in")


def add_received(
    db: sa.Connection,
    *,
    message_id: str,
    delivery_id: str,
    tenant: str,
    road: str,
    remote_id: str | None,
    party: int,
    raw: bytes,
    at: int,
    hints: Mapping[str, Any],
) -> Row:
    """Raw bytes and *received*, in one transaction; only then may the server be told that it is read. Gives the row."""
    values = {"id": message_id, "tenant": tenant, "direction": "in", "created_at": at, "is_test": False, **hints}
    seq = put(db, message, values)
    item: Row = {"id": delivery_id, "message_id": message_id, "seq": seq, "tenant": tenant, "party": party}
    return add_delivery(db, {**item, "road": road, "remote_id": remote_id}, raw, at=at)


def add_delivery(db: sa.Connection, item: Row, document: bytes, *, at: int) -> Row:
    """The document of a stored message and its row as *received*; ``item`` holds the row's own columns."""
    digest = add_payload(db, item["message_id"], "document", document)
    row: Row = {
        **dict.fromkeys(delivery.c.keys()),
        "direction": "in",
        "step": Step.RECEIVED.value,
        "queued_at": at,
        "is_copy": False,
        "put_away": False,
        "urgency": 9,
        "attempts": 0,
        "resends": 0,
        **item,
    }
    put(db, delivery, row)
    detail = {"sha256": digest, "size_bytes": len(document)}
    ids = {"message_id": row["message_id"], "delivery_id": row["id"]}
    add_event(db, at=at, tenant=row["tenant"], kind="received", new=Step.RECEIVED.value, detail=detail, **ids)
    return row


def set_facts(db: sa.Connection, message_id: str, facts: Mapping[str, object]) -> None:
    """What opening found: ids, type, digest."""
    change(db, message, {"id": message_id}, facts)


def in_step(
    db: sa.Connection, steps: Sequence[Step], limit: int, tenant: str | None = None, *, now: int | None = None
) -> list[Row]:
    """Inbound rows in one of the steps, oldest first; with ``now`` without those that wait for a later time."""
    query = _in_step(tuple(steps), tenant is not None, now is not None)
    return rows_of(db, query, {"tenant": tenant, "now": now, "limit": limit})


@lru_cache(maxsize=32)
def _in_step(steps: tuple[Step, ...], of_tenant: bool, due: bool) -> sa.Select[Any]:
    query = sa.select(delivery).where(sa.or_(*(delivery.c.step == step.value for step in steps)))
    if of_tenant:
        query = query.where(delivery.c.tenant == sa.bindparam("tenant"))
    if due:
        query = query.where(sa.or_(delivery.c.due_at.is_(None), delivery.c.due_at + 0 <= sa.bindparam("now")))
    return query.order_by(delivery.c.urgency, delivery.c.seq).limit(sa.bindparam("limit", type_=sa.Integer))


def not_put_away(db: sa.Connection, tenant: str, limit: int) -> list[Row]:
    """Rows whose server has not been told yet that the message is read."""
    query = _NOT_PUT_AWAY_ON_POSTGRES if db.dialect.name == "postgresql" else _NOT_PUT_AWAY
    return rows_of(db, query, {"tenant": tenant, "limit": limit})


def same_message(db: sa.Connection, *, sender: int | None, msg_id: str, tenant: str, besides: int) -> list[Row]:
    """Other inbound rows with this sender and MsgId that were opened (P3), with the digest of their message."""
    values = {"msg_id": msg_id.lower(), "tenant": tenant, "besides": besides, "sender": sender}
    return rows_of(db, _SAME_UNKNOWN if sender is None else _SAME_KNOWN, values)


def knows_document(db: sa.Connection, *, document_id: str, sender: int | None, tenant: str) -> bool:
    """True when an accepted inbound message carried this DocumentId (V20)."""
    taken = (Step.ACCEPTED.value, Step.HANDED_OVER.value, Step.RECEIPTED.value)
    query = (
        sa.select(message.c.id)
        .join(delivery, delivery.c.message_id == message.c.id)
        .where(message.c.document_id == document_id, message.c.direction == "in", message.c.tenant == tenant)
        .where(message.c.sender == sender, delivery.c.step.in_(taken))
        .limit(1)
    )
    return db.execute(query).first() is not None


def parked_on(db: sa.Connection, *, document_id: str, sender: int | None, tenant: str) -> list[Row]:
    """Parked rows that wait for this DocumentId, oldest first."""
    return rows_of(db, _PARKED, {"document_id": document_id, "sender": sender, "tenant": tenant})


def lease_accepted(
    db: sa.Connection, *, tenant: str, consumer: str, token: str, now: int, until: int, limit: int
) -> list[Row]:
    """Lease accepted rows to a named consumer (P7); an expired lease is free again. The token goes into lease_by."""
    # On PostgreSQL two consumers at once never take the same row.
    query = _FREE_SKIPPING if db.dialect.name == "postgresql" else _FREE
    rows = rows_of(db, query, {"tenant": tenant, "now": now, "limit": limit})
    for row in rows:
        holder = f"{consumer}:{token}:{row['id']}"
        change(db, delivery, {"id": row["id"]}, {"lease_by": holder, "lease_until": until})
        row["lease_by"] = holder
    return rows


def held_by(db: sa.Connection, tenant: str, consumer: str) -> list[Row]:
    """Accepted rows that this consumer took last, be the lease over or not."""
    query = sa.select(delivery).where(delivery.c.step == Step.ACCEPTED.value, delivery.c.tenant == tenant)
    query = query.where(delivery.c.lease_by.startswith(f"{consumer}:", autoescape=True)).order_by(delivery.c.seq)
    return [dict(row) for row in db.execute(query).mappings()]


def find_leased(db: sa.Connection, holder: str) -> Row | None:
    """The row that this token holds, or held last."""
    row_id = holder.rpartition(":")[2]  # the token ends with the row's id, which has an index
    return row_where(db, delivery, id=row_id, lease_by=holder)


def take_lease(db: sa.Connection, name: str, holder: str, *, now: int, until: int) -> int | None:
    """The fencing number when ``holder`` has the named lease now, None when another one has it."""
    if add_once(db, lease, name=name, holder=holder, until=until, fence=1):
        return 1
    found = row_where(db, lease, name=name)
    assert found is not None
    other = bool(found["holder"] != holder)
    if other and found["until"] > now:
        return None
    fence = int(found["fence"]) + other
    # Compare and set: somebody else may have taken the lapsed lease since it was read.
    # A holder that has renewed it while we waited for its write (PostgreSQL) keeps it, so the time counts too.
    unchanged = {"name": name, "holder": found["holder"], "fence": found["fence"], "until": found["until"]}
    return fence if change(db, lease, unchanged, {"holder": holder, "until": until, "fence": fence}) else None


def drop_lease(db: sa.Connection, name: str, holder: str, *, now: int) -> None:
    """Give a lease back, so that the next worker need not wait until it has run out."""
    change(db, lease, {"name": name, "holder": holder}, {"until": now})


def set_put_away(db: sa.Connection, delivery_id: str) -> None:
    change(db, delivery, {"id": delivery_id}, {"put_away": True})
