"""Outbound statements: add, claim, record, find. Every function takes the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from adapter.errors import ConflictError
from adapter.model.delivery import FINAL_LEGS, Answer, Leg
from adapter.store.database import add_once, take_turns
from adapter.store.journal import add_event, add_payload, move
from adapter.store.statements import Row, change, put, row_where, rows_of, rows_where
from adapter.store.tables import CLAIMED, delivery, message, pause, remote

_LANE = (
    sa.select(delivery.c.lane)
    .join(message, message.c.id == delivery.c.message_id)
    .where(message.c.direction == "out", message.c.tenant == sa.bindparam("tenant"))
    .order_by(message.c.seq.desc())
    .limit(1)
)
_LANE_OF_DOCUMENT = _LANE.where(message.c.document_id == sa.bindparam("value"))
_LANE_OF_CONVERSATION = _LANE.where(message.c.msg_id == sa.bindparam("value"))
SENT_OR_FINAL = sorted(leg.value for leg in FINAL_LEGS | {Leg.SENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message to store; ``columns`` are those of the message table beyond id, tenant and direction."""

    id: str
    tenant: str
    document: bytes
    columns: Mapping[str, Any]
    extra: Mapping[str, bytes] | None = None  # further payloads by role


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """One receiver of it. ``urgency`` 0 emergency, 3 urgent, 9 normal."""

    id: str
    party: int
    road: str
    is_copy: bool = False
    urgency: int = 9
    lane: str | None = None
    answer: Answer = Answer.AWAITED
    overrides: Mapping[str, Any] | None = None
    errors: Mapping[str, Any] | None = None  # an AppRec of ours: what it says
    overdue_at: int | None = None


def find_submission(db: sa.Connection, tenant: str, key: str) -> tuple[str, str] | None:
    """(message id, input digest) of an earlier submit with this key (P6)."""
    take_turns(db, f"submit {tenant} {key}")
    found = row_where(db, message, tenant=tenant, submit_key=key)
    return None if found is None else (found["id"], found["input_digest"])


def add(db: sa.Connection, new: NewMessage, deliveries: Sequence[NewDelivery], *, at: int) -> None:
    """Message, bytes, one row per receiver and the first events, in one transaction (DESIGN 4, Out)."""
    values = {"id": new.id, "tenant": new.tenant, "direction": "out", "is_test": False, "created_at": at, **new.columns}
    seq = put(db, message, values)
    add_payload(db, new.id, "document", new.document)
    for role, content in (new.extra or {}).items():
        add_payload(db, new.id, role, content)
    rows = [
        {
            "id": row.id,
            "message_id": new.id,
            "seq": seq,
            "tenant": new.tenant,
            "direction": "out",
            "party": row.party,
            "is_copy": row.is_copy,
            "road": row.road,
            "leg": Leg.QUEUED.value,
            "answer": row.answer.value,
            "urgency": row.urgency,
            "due_at": at,
            "lane": row.lane,
            "overrides": dict(row.overrides) if row.overrides else None,
            "errors": dict(row.errors) if row.errors else None,
            "overdue_at": row.overdue_at,
            "queued_at": at,
        }
        for row in deliveries
    ]
    for row in rows:
        put(db, delivery, row)
    for row in rows:
        ids = {"message_id": new.id, "delivery_id": row["id"]}
        add_event(db, at=at, tenant=new.tenant, kind="submitted", new=Leg.QUEUED.value, **ids)


def lane_of(db: sa.Connection, tenant: str, document_id: str | None, conversation: str | None) -> str | None:
    """The lane of an earlier message of ours with this DocumentId, or that began this conversation (P5)."""
    for query, value in ((_LANE_OF_DOCUMENT, document_id), (_LANE_OF_CONVERSATION, conversation)):
        if value is None:
            continue
        found = rows_of(db, query, {"value": value, "tenant": tenant})
        if found and found[0]["lane"] is not None:
            return str(found[0]["lane"])
    return None


def refuse_second_msg_id(db: sa.Connection, tenant: str, msg_id: str) -> None:
    """Raise ConflictError when this tenant already sent a message with that MsgId (P1: one MsgId, one message)."""
    take_turns(db, f"msg id {tenant} {msg_id.lower()}")
    if find_sent(db, tenant, msg_id) is not None:
        raise ConflictError("a message with this MsgId was already submitted", cure="use a new MsgId")


_REFUSED_CONTENT = (
    sa.select(delivery.c.id)
    .where(delivery.c.message_id == message.c.id)
    .where(
        sa.or_(
            delivery.c.answer == Answer.REJECTED.value,
            delivery.c.leg.in_((Leg.REFUSED.value, Leg.CANCELLED.value)),
        )
    )
    .exists()
)


def find_content(db: sa.Connection, tenant: str, digest: str) -> int | None:
    """When this content was sent to NAV before; a message that was rejected or never left does not count (N2)."""
    query = sa.select(message.c.created_at).where(message.c.digest == digest, message.c.direction == "out")
    query = query.where(message.c.tenant == tenant, ~_REFUSED_CONTENT).order_by(message.c.seq).limit(1)
    return db.execute(query).scalar()


def knows_document(db: sa.Connection, tenant: str, document_id: str) -> bool:
    """True when this tenant sent a message with this DocumentId (V20)."""
    return row_where(db, message, document_id=document_id, direction="out", tenant=tenant) is not None


def _due(now: int) -> sa.Select[Any]:
    earlier = delivery.alias("earlier")
    held = (
        sa.select(earlier.c.id)
        .where(earlier.c.lane == delivery.c.lane, earlier.c.party == delivery.c.party, earlier.c.seq < delivery.c.seq)
        .where(earlier.c.leg.not_in(SENT_OR_FINAL))
        .exists()
    )
    paused = sa.select(pause.c.tenant).where(pause.c.tenant == delivery.c.tenant, pause.c.again_at > now).exists()
    return (
        sa.select(delivery)
        # coalesce: not by the index of legs, which would gather and sort a whole backlog
        .where(sa.func.coalesce(delivery.c.leg, "").in_((Leg.QUEUED.value, Leg.UNKNOWN.value)))
        .where(sa.or_(delivery.c.lane.is_(None), ~held), ~paused)
    )


_NOW: Any = sa.bindparam("now", type_=sa.BigInteger)
_ANY_DUE = _due(_NOW).where(delivery.c.due_at <= _NOW).with_only_columns(delivery.c.id).limit(1)
# In order of turn: "+ 0" keeps due_at out of the index search, so that SQLite walks the index of turns and stops early.
_IN_TURN = (
    _due(_NOW)
    .where(delivery.c.due_at.is_not(None), delivery.c.due_at + 0 <= _NOW)
    .order_by(delivery.c.urgency, delivery.c.seq)
)
_NEXT = _IN_TURN.with_only_columns(delivery.c.message_id).limit(sa.bindparam("limit", type_=sa.Integer))
_CLAIMED = sa.select(delivery).where(delivery.c.leg == Leg.SENDING.value, sa.text(CLAIMED))
_EXPIRED = _CLAIMED.where(delivery.c.lease_until < _NOW)
_CLAIMED_BY = _CLAIMED.where(delivery.c.lease_by == sa.bindparam("worker"))
_POLLS = (
    # No GROUP BY: it makes SQLite walk all rows by message instead of the few that are due.
    sa.select(delivery.c.message_id)
    .where(delivery.c.poll_at <= _NOW, delivery.c.direction == "out")
    .order_by(delivery.c.poll_at)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_OVERDUE = (
    sa.select(delivery)
    .where(delivery.c.overdue_at <= _NOW)
    .order_by(delivery.c.urgency, delivery.c.overdue_at)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_WHOLE = _due(_NOW).where(delivery.c.due_at <= _NOW, delivery.c.message_id == sa.bindparam("message_id"))
_WHOLE = _WHOLE.order_by(delivery.c.urgency, delivery.c.seq, delivery.c.is_copy, delivery.c.party)


def claim(db: sa.Connection, *, now: int, by: str, until: int, limit: int = 1) -> list[list[Row]]:
    """Take the rows of up to ``limit`` due messages: they go to *sending*, grouped per message and road (P1).

    A row in *unknown* that is due has had its wait for proof (P2); its ``resends`` counts up. Rows of a paused tenant
    (P23) and rows behind an earlier one in their lane (P5) are left. The dispatcher takes one message at a time, so
    that a worker that dies leaves no row in doubt but those it was sending.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in _take_due(db, now, limit):
        again = row["leg"] == Leg.UNKNOWN.value
        row_after: dict[str, Any] = {"attempts": row["attempts"] + 1, "resends": row["resends"] + again}
        columns: dict[str, Any] = {"lease_by": by, "lease_until": until, "due_at": None, **row_after}
        move(db, row, at=now, kind="resending" if again else "sending", leg=Leg.SENDING, **columns)
        row.update(row_after, leg=Leg.SENDING.value)
        groups.setdefault((row["message_id"], row["road"]), []).append(row)
    return list(groups.values())


def _take_due(db: sa.Connection, now: int, limit: int) -> list[Row]:
    """Due rows of ``limit`` messages in order; a message's rows are never parted, as they share one POST (P1)."""
    shared = db.dialect.name == "postgresql"
    some = {"now": now, "limit": 20 * limit if shared else limit}
    rows: list[Row] = []
    taken = 0
    for message_id in dict.fromkeys(db.execute(_NEXT, some).scalars().all()):
        if shared:  # workers skip each other's messages, whole ones; what is still due is read again under the lock
            lock = sa.select(message.c.id).where(message.c.id == message_id).with_for_update(skip_locked=True)
            if db.execute(lock).first() is None:
                continue
        whole = [dict(found) for found in db.execute(_WHOLE, {"now": now, "message_id": message_id}).mappings()]
        rows += whole
        taken += bool(whole)
        if taken == limit:
            break
    return rows


def due_rows(db: sa.Connection, *, now: int) -> int:
    """1 when a claim could take a row now, else 0."""
    return len(db.execute(_ANY_DUE, {"now": now}).all())


def expired_claims(db: sa.Connection, now: int) -> list[Row]:
    """Rows left in *sending* by a worker that died: their outcome is unknown."""
    return rows_of(db, _EXPIRED, {"now": now})


def claims_of(db: sa.Connection, worker: str) -> list[Row]:
    """Rows that this worker is sending."""
    return rows_of(db, _CLAIMED_BY, {"worker": worker})


def add_remote_id(db: sa.Connection, message_id: str, remote_id: str, *, at: int) -> None:
    """Keep a server id of a message: all of them are polled (P2)."""
    add_once(db, remote, remote_id=remote_id, message_id=message_id, at=at)


def remote_ids(db: sa.Connection, message_id: str) -> list[str]:
    return [row["remote_id"] for row in rows_where(db, remote, "at", message_id=message_id)]


def due_polls(db: sa.Connection, now: int, limit: int) -> list[str]:
    """Message ids whose status is due, oldest first."""
    found = rows_of(db, _POLLS, {"now": now, "limit": 10 * limit})
    return list(dict.fromkeys(row["message_id"] for row in found))[:limit]


def deliveries(db: sa.Connection, message_id: str) -> list[Row]:
    """All rows of a message, in order of their ids' creation."""
    return rows_where(db, delivery, "is_copy", "party", message_id=message_id)


def find_message(db: sa.Connection, message_id: str) -> Row | None:
    """A message of either direction by id."""
    return row_where(db, message, id=message_id)


def find_sent(db: sa.Connection, tenant: str, msg_id: str) -> Row | None:
    """The outbound message of this tenant with that MsgId, whatever the letter case."""
    return row_where(db, message, direction="out", msg_id=msg_id.lower(), tenant=tenant)


def overdue(db: sa.Connection, now: int, limit: int = 500) -> list[Row]:
    """Rows whose next overdue look has come (P9), most urgent first."""
    return rows_of(db, _OVERDUE, {"now": now, "limit": limit})


def set_columns(db: sa.Connection, delivery_id: str, **columns: object) -> None:
    """Change columns that are no state (times, counters)."""
    change(db, delivery, {"id": delivery_id}, columns)


def find_delivery(db: sa.Connection, delivery_id: str) -> Row | None:
    """A delivery of either direction by id."""
    return row_where(db, delivery, id=delivery_id)
