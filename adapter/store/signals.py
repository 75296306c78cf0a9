"""Statements for signals: our questions (Ping, StatusRequest), and envelopes that an error has answered.

A question is a message without a row: it is nobody's business message, and its events tell what became of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import sqlalchemy as sa

from adapter.store.database import add_once
from adapter.store.journal import add_event, add_payload
from adapter.store.statements import Row, change, put, row_where, rows_where
from adapter.store.tables import event, message, remote

ASKED, ANSWERED, REFUSED = "asked", "question answered", "question refused"


def add_question(
    db: sa.Connection,
    *,
    message_id: str,
    tenant: str,
    kind: str,
    sender: int,
    envelope: bytes,
    at: int,
    detail: Mapping[str, object],
) -> None:
    """Keep a question and its octets before they leave; ``message_id`` is its ebXML MessageId too."""
    values = {"id": message_id, "tenant": tenant, "direction": "out", "kind": kind, "sender": sender}
    put(db, message, {**values, "created_at": at, "is_test": False})
    add_payload(db, message_id, "envelope", envelope)
    add_event(db, at=at, tenant=tenant, kind=ASKED, message_id=message_id, detail={"kind": kind, **detail})


def find_question(db: sa.Connection, message_id: str, kinds: tuple[str, ...]) -> Row | None:
    """Our question with this MessageId."""
    found = row_where(db, message, id=message_id, direction="out")
    return found if found is not None and found["kind"] in kinds else None


def add_outcome(
    db: sa.Connection, question: Row, kind: str, signal: bytes, *, at: int, detail: Mapping[str, object]
) -> bool:
    """What was said to a question, once: the first word stands. False when there was one before."""
    if outcome_of(db, question["id"]) is not None:
        return False
    add_payload(db, question["id"], "signal", signal)
    add_event(db, at=at, tenant=question["tenant"], kind=kind, message_id=question["id"], detail=detail)
    return True


def outcome_of(db: sa.Connection, message_id: str) -> Row | None:
    """The event that ended a question, None while nobody has answered."""
    for kind in (ANSWERED, REFUSED):
        found = row_where(db, event, message_id=message_id, kind=kind)
        if found is not None:
            return found
    return None


def asked_at(db: sa.Connection, message_id: str) -> int:
    """When the question was stored, in UTC microseconds."""
    return int(rows_where(db, event, "id", message_id=message_id, kind=ASKED)[0]["at"])


def _name(sender: int, party: int, remote_id: str) -> str:
    """A partner's MessageId is its own word: only its digest is a key here (P21)."""
    return "refused " + hashlib.sha256(f"{sender} {party} {remote_id}".encode()).hexdigest()


def add_refused(
    db: sa.Connection, message_id: str, *, sender: int, party: int, remote_id: str, digest: str, at: int
) -> None:
    """Remember that a verified envelope got an error, so that it gets the same one again (HITS 1172 5.8.2)."""
    if add_once(db, remote, remote_id=_name(sender, party, remote_id), message_id=message_id, at=at):
        change(db, message, {"id": message_id}, {"sender": sender, "input_digest": digest})


def find_refused(db: sa.Connection, *, sender: int, party: int, remote_id: str) -> Row | None:
    """The earlier envelope under this MessageId that got an error."""
    found = row_where(db, remote, remote_id=_name(sender, party, remote_id))
    return row_where(db, message, id=found["message_id"]) if found is not None else None
