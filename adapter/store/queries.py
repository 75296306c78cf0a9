"""What operators and programs ask: list, show, events, attention, pauses."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

import adapter.store.statements as statements
from adapter.model.delivery import Answer, Leg, Step, outcome
from adapter.store.database import add_once, from_us
from adapter.store.journal import add_event
from adapter.store.statements import Row, remove
from adapter.store.tables import delivery, event, incident, message, pause, payload, remote, unverified

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


_PAUSED = sa.select(pause).where(pause.c.tenant == sa.bindparam("tenant"), pause.c.again_at > sa.bindparam("now"))
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
    if state is not None:
        query = query.where(_in_state(state))
    rows = [dict(row) for row in db.execute(query.limit(limit)).mappings()]
    for row in rows:
        row["state"] = state_of(row)
    return rows


def rows_of(db: sa.Connection, delivery_ids: list[str]) -> list[Row]:
    """The listed columns of these deliveries, in the order given."""
    query = sa.select(*_LISTED).join(message, message.c.id == delivery.c.message_id)
    found = {
        row["delivery_id"]: dict(row) for row in db.execute(query.where(delivery.c.id.in_(delivery_ids))).mappings()
    }
    return [{**found[id_], "state": state_of(found[id_])} for id_ in delivery_ids if id_ in found]


def _in_state(state: str) -> sa.ColumnElement[bool]:
    """Rows whose leg, answer, step or outcome is called so; the outcome is derived, so its pairs are spelt out."""
    words = [delivery.c.leg == state, delivery.c.answer == state, delivery.c.step == state]
    for leg in Leg:
        answers = [answer.value for answer in Answer if outcome(leg, answer).value == state]
        if answers:
            words.append(sa.and_(delivery.c.leg == leg.value, delivery.c.answer.in_(answers)))
    return sa.or_(*words)


def resolve(db: sa.Connection, any_id: str) -> str | None:
    """The message id for a message id, a delivery id, a MsgId or a server id; a unique prefix of 8 or more is enough.

    Of several messages with one MsgId (a duplicate, a conflict) it is the first.
    """
    wanted = any_id.strip().lower()
    if len(wanted) < 8:
        return None
    whole = len(wanted) >= 36
    for column in (message.c.id, delivery.c.id, message.c.msg_id, remote.c.remote_id, delivery.c.remote_id):
        match = column == wanted if whole else column.startswith(wanted, autoescape=True)
        query = sa.select(message.c.id).distinct().add_columns(message.c.seq).where(match)
        if column.table is not message:
            query = query.join(column.table, column.table.c.message_id == message.c.id)
        found = db.execute(query.order_by(message.c.seq).limit(2)).scalars().all()
        if len(found) == 1 or (found and whole):
            return str(found[0])
    return None


def events_of(db: sa.Connection, message_id: str) -> list[Row]:
    query = sa.select(event).where(event.c.message_id == message_id).order_by(event.c.id)
    return [dict(row) for row in db.execute(query).mappings()]


def events_after(db: sa.Connection, after: int, limit: int, tenant: str | None = None) -> list[Row]:
    """Events with a number above ``after``, in order; the number is the cursor (P6)."""
    if db.dialect.name == "postgresql":
        # Numbers are given before the commit: wait for the writers under way, or a lower one would turn up behind us.
        db.exec_driver_sql("LOCK TABLE event IN SHARE MODE")
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
    if add_once(db, pause, tenant=tenant, since=at, **values):
        return True
    db.execute(pause.update().where(pause.c.tenant == tenant).values(**values))
    return False


def resume_tenant(db: sa.Connection, tenant: str) -> bool:
    """True when it was paused."""
    return bool(db.execute(pause.delete().where(pause.c.tenant == tenant)).rowcount)


def paused(db: sa.Connection, tenant: str, now: int) -> Row | None:
    """The pause that holds this tenant now."""
    return next(iter(statements.rows_of(db, _PAUSED, {"tenant": tenant, "now": now})), None)


def pause_reason(db: sa.Connection, tenant: str) -> str | None:
    """Why this tenant was paused last, whether or not the time is over."""
    return db.execute(sa.select(pause.c.reason).where(pause.c.tenant == tenant)).scalar()


def incidents(db: sa.Connection) -> list[Row]:
    return [dict(row) for row in db.execute(sa.select(incident).order_by(incident.c.opened_at)).mappings()]


def drop_old_bytes(db: sa.Connection, *, before: int, at: int, limit: int = 2000, only_unverified: bool = False) -> int:
    """Take the bytes of old messages whose every row is final and needs nobody; an event says so (P28).

    ``only_unverified``: only of what came from senders that nobody has vouched for.
    """
    open_out = sa.and_(
        delivery.c.direction == "out",
        sa.not_(
            sa.or_(
                delivery.c.answer.in_((Answer.ACCEPTED.value, Answer.PARTIAL.value)),
                sa.and_(delivery.c.answer == Answer.NOT_ASKED.value, delivery.c.leg == Leg.CONFIRMED.value),
                delivery.c.leg == Leg.CANCELLED.value,
                delivery.c.settled_by.is_not(None),
            )
        ),
    )
    closed = (Step.RECEIPTED.value, Step.DUPLICATE.value, Step.MATCHED.value)
    open_in = sa.and_(delivery.c.direction == "in", delivery.c.step.not_in(closed), delivery.c.settled_by.is_(None))
    unfinished = (
        sa.select(delivery.c.id)
        .where(delivery.c.message_id == message.c.id)
        .where(sa.or_(open_out, open_in, delivery.c.attention.is_not(None)))
        .exists()
    )
    query = (
        sa.select(message.c.id, message.c.tenant, message.c.seq)
        .join(payload, payload.c.message_id == message.c.id)
        .where(message.c.created_at < before, payload.c.content.is_not(None), ~unfinished)
        .distinct()
        .limit(limit)
    )
    if only_unverified:
        query = query.join(unverified, unverified.c.seq == message.c.seq)
    found = db.execute(query).all()
    for row in found:
        db.execute(payload.update().where(payload.c.message_id == row.id).values(content=None))
        remove(db, unverified, seq=row.seq)
        add_event(db, at=at, tenant=row.tenant, kind="bytes deleted", message_id=row.id)
    return len(found)
