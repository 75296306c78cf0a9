"""Who sent a received message, and whether we have had it: P3, P18 and the columns that identify it."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import sqlalchemy as sa

from adapter.errors import AdapterError
from adapter.flow.parts import Parts
from adapter.flow.processes import agreement_of
from adapter.identifiers import read_her_id
from adapter.model.delivery import Leg, Step
from adapter.model.document import Facts, Family
from adapter.model.party import Party
from adapter.store import inbox, journal, outbox, queries
from adapter.store.database import take_turns
from adapter.store.statements import Row

Alarms = list[tuple[str, str]]

# What may stand in a column that lists and logs show (P21): the forms of ids and codes, and no person's number.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@{}-]{0,79}")
_PERSON_NUMBER = re.compile(r"(?<![0-9A-Fa-f])[0-9]{6}[ .-]?[0-9]{5}(?![0-9A-Fa-f])")
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,39}")
_DATE = re.compile(r"[0-9T:.+Z-]{4,40}")


def written_id(text: str | None) -> str | None:
    """An identifier as a column holds it: lower case; one that has no such form only as a digest of it (P21)."""
    if not text or not text.strip():
        return None
    text = text.strip().lower()
    if _ID.fullmatch(text) and re.search("[0-9]", text) and not _PERSON_NUMBER.search(text):
        return text
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def _code(text: str | None) -> str | None:
    return text if text and _CODE.fullmatch(text) else None


def her_id_of(party: Party | None, level: int = 2) -> int | None:
    """The HER-id as a number; None when it is missing or malformed."""
    text = party.her_id(level) if party is not None else None
    try:
        return read_her_id(text) if text else None
    except AdapterError:
        return None


def sender_of(facts: Facts) -> int | None:
    """The address that a message gives as its sender's, an AppRec as its acknowledger's: level 2, else level 1."""
    party = facts.sender
    if facts.family is Family.APPREC:
        party = facts.original.acknowledger if facts.original else None
    return her_id_of(party) or her_id_of(party, 1)


def columns_of(facts: Facts, sender: int | None) -> dict[str, Any]:
    """What opening writes down of a message; the words of its elements stay in the payload (P21)."""
    conversation = facts.conversation
    return {
        "msg_id": written_id(facts.msg_id),
        "msg_type": _code(facts.msg_type),
        "kind": facts.kind if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,39}", facts.kind or "") else None,
        "namespace": facts.namespace[:200] if facts.namespace and not _PERSON_NUMBER.search(facts.namespace) else None,
        "sender": sender,
        "gen_date": facts.gen_date if facts.gen_date and _DATE.fullmatch(facts.gen_date.strip()) else None,
        "priority": facts.priority if facts.priority and re.fullmatch(r"[A-Z0-9]{1,4}", facts.priority) else None,
        "document_id": written_id(facts.document_id),
        "service_type": facts.service_type if facts.service_type in ("N", "M", "C") else None,
        "parent": written_id(conversation.parent) if conversation else None,
        "conversation": written_id(conversation.conversation) if conversation else None,
        "is_test": facts.processing_status in ("T", "D"),
    }


def spoofed(parts: Parts, message: Row, facts: Facts, sender: int | None) -> list[str]:
    """Which of sender and document id the transport names otherwise than the content (P18)."""
    differs = []
    hinted = message["sender"]
    if hinted is not None and sender is not None and hinted != sender:
        entry = parts.entry(sender)
        level1 = her_id_of(facts.sender, 1) if facts.sender else (entry.parent_her_id if entry else None)
        tolerated = agreement_of(parts.entry(hinted) or entry).level1_transport or facts.family is Family.APPREC
        if not (tolerated and hinted in (level1, _parent(parts, sender), *_below(parts, sender))):
            differs.append("sender")
    if message["msg_id"] and facts.msg_id and message["msg_id"] != written_id(facts.msg_id):
        differs.append("document id")
    return differs


def _parent(parts: Parts, her_id: int) -> int | None:
    entry = parts.entry(her_id)
    return entry.parent_her_id if entry else None


def _below(parts: Parts, her_id: int) -> tuple[int, ...]:
    return tuple(entry.her_id for entry in parts.book().entries.values() if entry.parent_her_id == her_id)


def compare(
    db: sa.Connection,
    row: Row,
    message: Row,
    facts: Facts,
    sender: int | None,
    digest: str,
    *,
    at: int,
    alarms: Alarms,
) -> Step | None:
    """Move a duplicate or a conflict aside; None for a new message. Key = sender, MsgId, own receiver, digest (P3).

    It is compared with every row that was opened before, whatever the order in which the two were fetched.
    """
    msg_id = written_id(facts.msg_id)
    if msg_id is None:
        return None
    take_turns(db, f"received {row['tenant']} {msg_id}")
    others = inbox.same_message(db, sender=sender, msg_id=msg_id, tenant=row["tenant"], besides=message["seq"])
    same = next((other for other in others if other["digest"] == digest and other["party"] == row["party"]), None)
    if same is not None:
        journal.move(db, row, at=at, kind="duplicate", step=Step.DUPLICATE, detail={"of": same["id"]})
        _resend_answer(db, same, at)
        return Step.DUPLICATE
    if any(other["digest"] != digest for other in others):
        journal.move(db, row, at=at, kind="conflict", step=Step.CONFLICT, detail={"with": others[0]["message_id"]})
        journal.flag(db, row, "conflict", at=at)
        alarms.append((f"conflict:{row['id']}", "a MsgId came again with other content (P3)"))
        return Step.CONFLICT
    return None


def _resend_answer(db: sa.Connection, first: Row, now: int) -> None:
    """A duplicate gets no second AppRec; one whose sending is unconfirmed goes out again, same id and bytes (P3)."""
    answer = queries.answers_to(db, first["id"])
    if answer is None:
        return
    for delivery in outbox.deliveries(db, answer["id"]):
        if delivery["leg"] == Leg.UNKNOWN.value:
            outbox.set_columns(db, delivery["id"], due_at=now)
            journal.note(db, delivery, at=now, kind="resend asked", detail={"by": "duplicate"})
