"""Statements for the mails of our mailboxes, and for the mails that we send.

A mail is taken once its bytes are stored; what it is owed, a signal, is a row with a due time like everything else that
goes out. Only a mail that is stored, and owed nothing for the time of grace, may be deleted in its mailbox.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from adapter.store.database import add_once
from adapter.store.journal import add_event, note
from adapter.store.statements import Row, change, row_where, rows_of, rows_where
from adapter.store.tables import delivery, event, mail, message, payload

MAILED = "mailed"  # the event of a sending by mail: "mail_id" in its detail is the Message-ID
WAITS = "resend waits"
JUNK = "none"  # the signal of a mail that is no ebXML message and was not answered


_OWED = (
    sa.select(mail)
    .where(mail.c.mailbox == sa.bindparam("box"), sa.text("mail.due_at IS NOT NULL"))
    .where(mail.c.due_at <= sa.bindparam("now"))
    .order_by(mail.c.taken_at, mail.c.name)
    .limit(sa.bindparam("most"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenMail:
    """A mail whose bytes are stored in ``message_id``. ``due_at`` None: it is owed nothing. Times in microseconds."""

    name: str
    mailbox: str
    message_id: str
    sha256: str
    size_bytes: int
    signal_of: str | None = None
    signal_to: int | None = None
    signal_kind: str | None = None
    due_at: int | None = None


def add_mail(db: sa.Connection, taken: TakenMail, *, at: int, answered_at: int | None = None) -> bool:
    """Write down that a mail was taken; False when it was known."""
    done = None if taken.due_at is not None else (answered_at or at)
    columns = {
        "name": taken.name,
        "mailbox": taken.mailbox,
        "message_id": taken.message_id,
        "sha256": taken.sha256,
        "size_bytes": taken.size_bytes,
        "signal_of": taken.signal_of,
        "signal_to": taken.signal_to,
        "signal_kind": taken.signal_kind,
        "due_at": taken.due_at,
    }
    return add_once(db, mail, **columns, taken_at=at, answered_at=done)


def known_names(db: sa.Connection, mailbox: str) -> set[str]:
    """The names of all mails of this mailbox that were taken and may still lie there."""
    query = sa.select(mail.c.name).where(mail.c.mailbox == mailbox, sa.text("mail.deleted_at IS NULL"))
    return set(db.execute(query).scalars())


def same_content(db: sa.Connection, mailbox: str, sha256: str) -> list[Row]:
    """Mails of this mailbox with these bytes that were taken, deleted ones too, oldest first."""
    return rows_where(db, mail, "taken_at", sha256=sha256, mailbox=mailbox)


def renumber(db: sa.Connection, mailbox: str, sha256: str, uidvalidity: int, name: str) -> bool:
    """Give a mail that was taken under an earlier numbering of its mailbox its new name; False when there is none.

    It is owed what it was owed. Mails of this numbering are others, however equal their bytes.
    """
    for row in same_content(db, mailbox, sha256):
        if row["name"].split(" ")[0] != str(uidvalidity) and row["deleted_at"] is None:
            return change(db, mail, {"name": row["name"]}, {"name": name}) == 1
    return False


def forget_mail(db: sa.Connection, name: str) -> None:
    """Another mail has this name now: it is to be taken in like any other."""
    db.execute(mail.delete().where(mail.c.name == name))


# --- signals ----------------------------------------------------------------------------------------------------------


def owed_signals(db: sa.Connection, mailbox: str, *, now: int, limit: int) -> list[Row]:
    """Mails whose signal is to be sent now, the mail that came first first."""
    return rows_of(db, _OWED, {"box": mailbox, "now": now, "most": limit})


def set_due(db: sa.Connection, name: str, due_at: int) -> None:
    """The signal could not be sent, and is tried again at this time."""
    change(db, mail, {"name": name}, {"due_at": due_at})


def set_answered(db: sa.Connection, name: str, *, at: int) -> None:
    """The mail is owed nothing any more."""
    change(db, mail, {"name": name}, {"due_at": None, "answered_at": at})


def faults_since(db: sa.Connection, since: int, her_id: int | None = None) -> int:
    """How many Faults were given by mail since then, to one party or to all."""
    query = sa.select(sa.func.count()).select_from(mail).where(sa.text("mail.signal_kind = 'SoapFault'"))
    query = query.where(mail.c.taken_at >= since)
    if her_id is not None:
        query = query.where(mail.c.signal_to == her_id)
    return int(db.execute(query).scalar() or 0)


# --- what is over -----------------------------------------------------------------------------------------------------


def past_grace(db: sa.Connection, mailbox: str, *, before: int, limit: int) -> list[Row]:
    """Mails that were answered before that time and are stored still, in the order they were answered in."""
    query = sa.select(mail).join(
        payload, sa.and_(payload.c.message_id == mail.c.message_id, payload.c.role == "envelope")
    )
    query = query.where(mail.c.mailbox == mailbox, sa.text("mail.deleted_at IS NULL"), mail.c.answered_at < before)
    query = query.where(payload.c.sha256 == mail.c.sha256).order_by(mail.c.answered_at).limit(limit)
    return [dict(row) for row in db.execute(query).mappings()]


def has_junk(db: sa.Connection, mailbox: str) -> bool:
    """True while a mail that nobody could understand lies in the mailbox."""
    query = sa.select(mail.c.name).where(mail.c.mailbox == mailbox, sa.text("mail.deleted_at IS NULL"))
    return db.execute(query.where(mail.c.signal_kind == JUNK).limit(1)).first() is not None


def set_deleted(db: sa.Connection, name: str, *, at: int) -> None:
    """The mail is not in its mailbox any more."""
    change(db, mail, {"name": name}, {"deleted_at": at})


# --- mails of ours ----------------------------------------------------------------------------------------------------


def note_mailed(db: sa.Connection, row: Row, mail_id: str, *, at: int) -> None:
    """Under which Message-ID a delivery goes out now: a bounce names it (HITS 1172 4.2.3)."""
    note(db, row, at=at, kind=MAILED, detail={"mail_id": mail_id})


def find_mailed(db: sa.Connection, delivery_id: str, mail_id: str) -> Row | None:
    """The delivery, if it did go out under this Message-ID."""
    row = row_where(db, delivery, id=delivery_id, direction="out")
    if row is None:
        return None
    query = sa.select(event.c.detail).where(event.c.message_id == row["message_id"], event.c.kind == MAILED)
    told = db.execute(query.where(event.c.delivery_id == delivery_id)).scalars()
    return row if any((detail or {}).get("mail_id") == mail_id for detail in told) else None


def note_message(db: sa.Connection, message_id: str, *, at: int, kind: str, detail: dict[str, object]) -> None:
    """An event about a message that may have no delivery."""
    kept = row_where(db, message, id=message_id)
    if kept is not None:
        add_event(db, at=at, tenant=kept["tenant"], kind=kind, message_id=message_id, detail=detail)


def waits_since(db: sa.Connection, row: Row) -> int | None:
    """Since when a resend waits for a look into the mailbox; None when it does not."""
    mine = sa.and_(event.c.message_id == row["message_id"], event.c.delivery_id == row["id"])
    last = sa.select(sa.func.coalesce(sa.func.max(event.c.id), 0)).where(mine, event.c.kind == MAILED)
    query = sa.select(sa.func.min(event.c.at)).where(mine, event.c.kind == WAITS, event.c.id > last.scalar_subquery())
    found = db.execute(query).scalar()
    return int(found) if found is not None else None
