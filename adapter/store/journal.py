"""Events and the compare-and-set moves: the only statements that change a state column."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from adapter.codes import Coded
from adapter.errors import StateError, StoreError
from adapter.model.delivery import Answer, Leg, Step, check_move
from adapter.store.blobs import LARGE_BYTES, find_content, put_large
from adapter.store.database import add_once
from adapter.store.statements import Row, change, put, row_where
from adapter.store.tables import delivery, event, incident, payload


def add_event(
    db: sa.Connection,
    *,
    at: int,
    tenant: str,
    kind: str,
    message_id: str | None = None,
    delivery_id: str | None = None,
    old: str | None = None,
    new: str | None = None,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Append one event. ``detail`` holds codes, ids and counts, never content (P21)."""
    values = {"at": at, "tenant": tenant, "kind": kind, "message_id": message_id, "delivery_id": delivery_id}
    put(db, event, {**values, "old": old, "new": new, "detail": dict(detail) if detail else None})


def move(
    db: sa.Connection,
    row: Row,
    *,
    at: int,
    kind: str,
    leg: Leg | None = None,
    answer: Answer | None = None,
    step: Step | None = None,
    detail: Mapping[str, object] | None = None,
    **columns: object,
) -> None:
    """Move a delivery as the tables allow and append the event, in the caller's transaction.

    ``row`` is the delivery as read (id, tenant, message_id, leg, answer, step). Raises StateError when the table
    forbids the move or when somebody else moved the row since it was read.
    """
    values: dict[str, object] = dict(columns)
    before: list[str] = []
    after: list[str] = []
    keys = {"id": row["id"]}
    for column, new in (("leg", leg), ("answer", answer), ("step", step)):
        if new is None:
            continue
        old = check_move(row[column], new)
        keys[column] = old.value
        values[column] = new.value
        before.append(old.value)
        after.append(new.value)
    if change(db, delivery, keys, values) != 1:
        raise StateError("the row was moved by somebody else", code="STATE.RACE")
    add_event(
        db,
        at=at,
        tenant=row["tenant"],
        kind=kind,
        message_id=row["message_id"],
        delivery_id=row["id"],
        old="/".join(before) or None,
        new="/".join(after) or None,
        detail=detail,
    )


def note(db: sa.Connection, row: Row, *, at: int, kind: str, detail: Mapping[str, object] | None = None) -> None:
    """An event about a delivery that changes no state."""
    ids = {"message_id": row["message_id"], "delivery_id": row["id"]}
    add_event(db, at=at, tenant=row["tenant"], kind=kind, detail=detail, **ids)


def flag(
    db: sa.Connection,
    row: Row,
    reason: str,
    *,
    at: int,
    detail: Mapping[str, object] | None = None,
    over: str | None = None,
) -> None:
    """Put a delivery on the attention list (P26) with an event; the first reason stays until it is settled.

    ``over``: a reason that is no longer true, and that this one takes the place of.
    """
    gone = {"attention": None, "attention_since": None}
    if over is not None and change(db, delivery, {"id": row["id"], "attention": over}, gone):
        note(db, row, at=at, kind="attention over", detail={"reason": over, "why": reason})
    free = sa.and_(delivery.c.id == row["id"], delivery.c.attention.is_(None))
    db.execute(delivery.update().where(free).values(attention=reason, attention_since=at))
    note(db, row, at=at, kind="attention", detail={"reason": reason, **(detail or {})})


def clear_flag(db: sa.Connection, row: Row, *, at: int, why: str) -> None:
    """Take a delivery off the attention list because good news came."""
    if row["attention"] is None:
        return
    db.execute(delivery.update().where(delivery.c.id == row["id"]).values(attention=None, attention_since=None))
    note(db, row, at=at, kind="attention over", detail={"reason": row["attention"], "why": why})


def add_payload(db: sa.Connection, message_id: str, role: str, content: bytes) -> str:
    """Keep bytes by role; gives their SHA-256 in hex."""
    digest = hashlib.sha256(content).hexdigest()
    values = {"message_id": message_id, "role": role, "sha256": digest, "size_bytes": len(content)}
    if len(content) >= LARGE_BYTES and db.dialect.name == "sqlite":
        put_large(db, values, content)
    else:
        put(db, payload, {**values, "content": content})
    return digest


def read_payload(db: sa.Connection, message_id: str, role: str = "document") -> bytes:
    """The bytes as stored; raises StoreError when they are gone or no longer have their digest."""
    if db.dialect.name == "sqlite":
        found = find_content(db, message_id, role)
    else:
        found = row_where(db, payload, message_id=message_id, role=role)
    if found is None or found["content"] is None:
        raise StoreError("the bytes of this message are not kept any more", code="STORE.GONE")
    content = bytes(found["content"])
    if hashlib.sha256(content).hexdigest() != found["sha256"]:
        raise StoreError("stored bytes do not have their digest", code="STORE.CORRUPT", cure="restore from backup")
    return content


def open_incident(db: sa.Connection, name: str, *, at: int) -> bool:
    """True when the incident is new: an alarm fires once per incident (P26)."""
    if add_once(db, incident, name=name, opened_at=at, count=1):
        return True
    db.execute(incident.update().where(incident.c.name == name).values(count=incident.c.count + 1))
    return False


def close_incident(db: sa.Connection, name: str) -> bool:
    """True when it was open: the all-clear fires once."""
    return bool(db.execute(incident.delete().where(incident.c.name == name)).rowcount)


def is_open(db: sa.Connection, name: str) -> bool:
    """True while the incident is open."""
    return row_where(db, incident, name=name) is not None


def write_errors(errors: Sequence[Coded]) -> list[dict[str, str | None]]:
    """AppRec errors as JSON: code, system, text (display name), more (free text)."""
    return [{"code": e.code, "system": e.system, "text": e.name, "more": e.text} for e in errors]


def read_errors(stored: Sequence[Mapping[str, Any]] | None) -> tuple[Coded, ...]:
    """The way back from ``write_errors``."""
    return tuple(Coded(e.get("code"), e.get("system"), e.get("text"), e.get("more")) for e in stored or ())
