"""What a person may do to a message, and what they may see of it (P21, P26). Everything leaves an event."""

from __future__ import annotations

from typing import Any

from adapter.errors import InputError, NotFoundError, StateError
from adapter.flow.alarms import all_clear
from adapter.flow.outcomes import plan_of
from adapter.flow.parts import Parts
from adapter.model.delivery import ANSWERED, Answer, Leg, Step, allowed
from adapter.model.wire import EBXML_ROADS
from adapter.store import journal, outbox, queries
from adapter.store.statements import Row

HOW_TO_CANCEL = "it has left: send a Kansellering (the same document with service_type C and a new MsgId)"


def find(parts: Parts, any_id: str) -> str:
    """The message id for a message id, delivery id, MsgId or server id; raises NotFoundError."""
    with parts.store.reading() as db:
        found = queries.resolve(db, any_id)
    if found is None:
        raise NotFoundError("no message has this id", cure="see: adapter list")
    return found


def show(parts: Parts, any_id: str) -> dict[str, Any]:
    """Everything but the content: the message, its rows, the receipt we gave, and every event in order."""
    message_id = find(parts, any_id)
    with parts.store.reading() as db:
        message = outbox.find_message(db, message_id)
        assert message is not None
        rows = outbox.deliveries(db, message_id)
        answers = [queries.answers_to(db, row["id"]) for row in rows if row["direction"] == "in"]
        events = queries.events_of(db, message_id)
        for answer in answers:
            if answer is not None:
                events += queries.events_of(db, answer["id"])
        payloads = queries.payload_roles(db, message_id)
        thread = queries.conversation(db, [message["conversation"], message["parent"], message["msg_id"]])
    deliveries = [{**queries.shown(row), "state": queries.state_of(row)} for row in rows]
    return {
        "message": queries.shown(message),
        "deliveries": deliveries,
        "receipts": [answer["msg_id"] for answer in answers if answer is not None],
        "events": [queries.shown(event) for event in sorted(events, key=lambda event: event["id"])],
        "payloads": payloads,
        "conversation": [other for other in thread if other != message_id],
    }


def export(parts: Parts, any_id: str, *, reason: str, role: str = "document") -> bytes:
    """The bytes of a message; needs a reason and writes an access event (P21)."""
    if not reason.strip():
        raise InputError("seeing content needs a reason", where="reason")
    message_id = find(parts, any_id)
    with parts.store.transaction() as db:
        message = outbox.find_message(db, message_id)
        assert message is not None
        content = journal.read_payload(db, message_id, role)
        detail = {"reason": reason, "role": role}
        at = parts.store.now_us()
        journal.add_event(
            db, at=at, tenant=message["tenant"], kind="content read", message_id=message_id, detail=detail
        )
    return content


def cancel(parts: Parts, any_id: str, *, reason: str = "") -> list[str]:
    """Withdraw before sending; raises StateError, saying how to cancel what has left (P26). Gives the row ids."""
    rows = _outbound(parts, find(parts, any_id))
    if any(not allowed(Leg(row["leg"]), Leg.CANCELLED) for row in rows):
        raise StateError("the message cannot be withdrawn", code="P26.CANCEL", cure=HOW_TO_CANCEL)
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        for row in rows:
            detail = {"reason": reason} if reason else None
            columns: dict[str, Any] = {"due_at": None, "overdue_at": None}
            journal.move(db, row, at=now, kind="cancelled", leg=Leg.CANCELLED, detail=detail, **columns)
            journal.clear_flag(db, row, at=now, why="cancelled")
    return [row["id"] for row in rows]


def requeue(parts: Parts, any_id: str, *, reason: str) -> list[str]:
    """Send again, same MsgId and bytes. Refuses rows that are acknowledged or answered (P26); asks for a reason.

    A quarantined inbound message is opened again.
    """
    if not reason.strip():
        raise InputError("a requeue needs a reason", where="reason")
    message_id = find(parts, any_id)
    now = parts.store.now_us()
    with parts.store.reading() as db:
        rows = outbox.deliveries(db, message_id)
    moved = []
    for row in rows:
        if _refusal(row) is not None:
            continue
        with parts.store.transaction() as db:
            journal.clear_flag(db, row, at=now, why="requeued")
            if row["direction"] == "in":
                message = outbox.find_message(db, message_id)
                # What never was opened is opened first: else nobody would look for a duplicate or a forged sender.
                step = Step.OPENED if message is not None and message["kind"] else Step.RECEIVED
                journal.move(db, row, at=now, kind="requeued", step=step, detail={"reason": reason})
            elif row["leg"] == Leg.UNKNOWN.value:
                outbox.set_columns(db, row["id"], due_at=now, resends=0, **_renewed(row, now))
                journal.note(db, row, at=now, kind="requeued", detail={"reason": reason})
            else:
                columns: dict[str, Any] = {"due_at": now, "queued_at": now, "attempts": 0, **_renewed(row, now)}
                journal.move(db, row, at=now, kind="requeued", leg=Leg.QUEUED, detail={"reason": reason}, **columns)
        moved.append(row["id"])
    if not moved:
        raise StateError(
            _refusal(rows[0]) or "nothing to requeue", code="P26.REQUEUE", cure="submit it with a new MsgId"
        )
    return moved


def _renewed(row: Row, now: int) -> dict[str, Any]:
    """An ebXML row's plan of resends begins anew; past the envelope's TimeToLive a new envelope is made instead."""
    if row["road"] not in EBXML_ROADS:
        return {}
    plan = plan_of(row).renewed(now) if row["remote_id"] is not None else None
    if plan is None:
        return {"resends": 0, "remote_id": None}
    return {"resends": 0, "overrides": {**(row["overrides"] or {}), "resend": plan.as_json()}}


def _refusal(row: Row) -> str | None:
    if row["direction"] == "in":
        return None if row["step"] == Step.QUARANTINED.value else "only a quarantined message can be opened again"
    if row["leg"] == Leg.CONFIRMED.value:
        return "the receiver's transport has acknowledged it"
    if Answer(row["answer"]) in ANSWERED:
        return "the receiver has answered it with an AppRec"
    if row["leg"] in (Leg.REFUSED.value, Leg.ABANDONED.value, Leg.SUSPENDED.value, Leg.UNKNOWN.value):
        return None
    return f"it is {row['leg']} and goes its way"


def settle(parts: Parts, any_id: str, *, by: str, note: str) -> list[str]:
    """A named person has dealt with it: off the attention list, with the note kept (P26)."""
    if not by.strip() or not note.strip():
        raise InputError("settling needs a name and a note", where="by, note")
    message_id = find(parts, any_id)
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        rows = [row for row in outbox.deliveries(db, message_id) if row["attention"] is not None]
        for row in rows:
            columns = {"attention": None, "attention_since": None, "settled_by": by}
            outbox.set_columns(db, row["id"], **columns)
            detail = {"by": by, "note": note, "reason": row["attention"]}
            journal.note(db, row, at=now, kind="settled", detail=detail)
    for row in rows:
        all_clear(parts, f"{row['attention']}:{row['id']}")
    return [row["id"] for row in rows]


def _outbound(parts: Parts, message_id: str) -> list[Row]:
    with parts.store.reading() as db:
        rows = [row for row in outbox.deliveries(db, message_id) if row["direction"] == "out"]
    if not rows:
        raise StateError("only a message of ours can be withdrawn", code="P26.CANCEL")
    return rows
