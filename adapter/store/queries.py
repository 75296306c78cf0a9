"""What operators and programs ask: list, show, events, attention, pauses."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from adapter.model.delivery import Answer, Leg, outcome
from adapter.store.database import from_us
from adapter.store.journal import Row
from adapter.store.tables import delivery, event, incident, message, pause, payload

_TIMES = ("due_at", "queued_at", "sent_at", "confirmed_at", "answered_at", "attention_since", "created_at", "at")


def shown(row: Row) -> dict[str, Any]:
    """A row with times as ISO text, for JSON."""
    out: dict[str, Any] = {}
    for name, value in row.items():
        when = from_us(value) if name in _TIMES and value is not None else None
        out[name] = when.isoformat(timespec="seconds") if when else value
    return out


def state_of(row: Row) -> str:
    """One word for a row: the inbound step, or the outbound outcome."""
    if row["direction"] == "in":
        return str(row["step"])
    return outcome(Leg(row["leg"]), Answer(row["answer"])).value


_LISTED = (
    delivery.c.id.label("delivery_id"),
    delivery.c.message_id,
    delivery.c.direction,
    delivery.c.tenant,
    delivery.c.party,
    delivery.c.leg,
    delivery.c.answer,
    delivery.c.step,
    delivery.c.attention,
    delivery.c.attention_since,
    delivery.c.errors,
    delivery.c.urgency,
    delivery.c.queued_at,
    message.c.msg_id,
    message.c.msg_type,
    message.c.sender,
    message.c.document_id,
    message.c.is_test,
)


def list_rows(
    db: sa.Connection,
    *,
    attention: bool = False,
    party: int | None = None,
    state: str | None = None,
    since: int | None = None,
    text: str | None = None,
    tenant: str | None = None,
    limit: int = 200,
) -> list[Row]:
    """Deliveries of both directions, newest first; on the attention list the most urgent first (P9, P26).

    ``state`` is a leg, an answer, a step or an outcome; ``text`` is looked for in ids and types (patient-free).
    """
    query = sa.select(*_LISTED).join(message, message.c.id == delivery.c.message_id)
    if attention:
        query = query.where(delivery.c.attention.is_not(None)).order_by(delivery.c.urgency, delivery.c.attention_since)
    else:
        query = query.order_by(delivery.c.seq.desc(), delivery.c.is_copy)
    if party is not None:
        query = query.where(sa.or_(delivery.c.party == party, message.c.sender == party))
    if since is not None:
        query = query.where(delivery.c.queued_at >= since)
    if tenant is not None:
        query = query.where(delivery.c.tenant == tenant)
    if text:
        like = f"%{text.lower()}%"
        columns = (message.c.msg_id, message.c.msg_type, message.c.document_id, message.c.id, delivery.c.attention)
        query = query.where(sa.or_(*(sa.func.lower(column).like(like) for column in columns)))
    rows = [dict(row) for row in db.execute(query.limit(limit if state is None else 10_000)).mappings()]
    for row in rows:
        row["state"] = state_of(row)
    if state is not None:
        rows = [row for row in rows if state in (row["state"], row["leg"], row["answer"], row["step"])][:limit]
    return rows


def resolve(db: sa.Connection, any_id: str) -> str | None:
    """The message id for a message id, a delivery id, a MsgId or a server id (unique prefix of 8+ is enough)."""
    wanted = any_id.lower()
    for column, target in (
        (message.c.id, message.c.id),
        (delivery.c.id, delivery.c.message_id),
        (message.c.msg_id, message.c.id),
        (delivery.c.remote_id, delivery.c.message_id),
    ):
        match = column == wanted if len(wanted) >= 36 else column.like(f"{wanted}%")
        found = list(dict.fromkeys(db.execute(sa.select(target).where(match).limit(3)).scalars()))
        if len(found) == 1 or (found and len(wanted) >= 36):
            return str(found[-1])
    return None


def events_of(db: sa.Connection, message_id: str) -> list[Row]:
    query = sa.select(event).where(event.c.message_id == message_id).order_by(event.c.id)
    return [dict(row) for row in db.execute(query).mappings()]


def events_after(db: sa.Connection, after: int, limit: int, tenant: str | None = None) -> list[Row]:
    """Events with a number above ``after``, in order; the number is the cursor (P6)."""
    query = sa.select(event).where(event.c.id > after)
    if tenant is not None:
        query = query.where(event.c.tenant == tenant)
    return [dict(row) for row in db.execute(query.order_by(event.c.id).limit(limit)).mappings()]


def payload_roles(db: sa.Connection, message_id: str) -> list[Row]:
    query = sa.select(payload.c.role, payload.c.sha256, payload.c.size_bytes).where(payload.c.message_id == message_id)
    return [dict(row) for row in db.execute(query.order_by(payload.c.role)).mappings()]


def answers_to(db: sa.Connection, delivery_id: str) -> Row | None:
    """The AppRec message of ours that answers an inbound delivery."""
    found = db.execute(sa.select(message).where(message.c.answers == delivery_id)).mappings().first()
    return None if found is None else dict(found)


def conversation(db: sa.Connection, ids: list[str]) -> list[str]:
    """Message ids that share a conversation with the given MsgIds, oldest first."""
    wanted = [item.lower() for item in ids if item]
    match = sa.or_(message.c.msg_id.in_(wanted), message.c.conversation.in_(wanted), message.c.parent.in_(wanted))
    return list(db.execute(sa.select(message.c.id).where(match).order_by(message.c.seq)).scalars())


def counts(db: sa.Connection) -> dict[str, int]:
    """Rows per leg, answer and step, for the monitor and the round's report."""
    out: dict[str, int] = {}
    for column in (delivery.c.leg, delivery.c.answer, delivery.c.step):
        for name, number in db.execute(sa.select(column, sa.func.count()).where(column.is_not(None)).group_by(column)):
            out[f"{column.name}.{name}"] = number
    return out


def pause_tenant(db: sa.Connection, tenant: str, reason: str, *, at: int, again_at: int) -> bool:
    """Stop a tenant (P23). True when it was not paused before: then one alarm is due."""
    values = {"reason": reason, "again_at": again_at}
    if db.execute(pause.update().where(pause.c.tenant == tenant).values(**values)).rowcount:
        return False
    db.execute(pause.insert().values(tenant=tenant, since=at, **values))
    return True


def resume_tenant(db: sa.Connection, tenant: str) -> bool:
    """True when it was paused."""
    return bool(db.execute(pause.delete().where(pause.c.tenant == tenant)).rowcount)


def paused(db: sa.Connection, tenant: str, now: int) -> Row | None:
    """The pause that holds this tenant now."""
    query = sa.select(pause).where(pause.c.tenant == tenant, pause.c.again_at > now)
    found = db.execute(query).mappings().first()
    return None if found is None else dict(found)


def incidents(db: sa.Connection) -> list[Row]:
    return [dict(row) for row in db.execute(sa.select(incident).order_by(incident.c.opened_at)).mappings()]
