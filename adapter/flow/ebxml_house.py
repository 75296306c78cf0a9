"""The end of a mail: deleted in its mailbox when it has been stored, answered and had its time of grace.

A UID says too little to delete by. The mail is fetched once more, and deleted only when mailbox, UIDVALIDITY, UID and
the digest of its bytes are those of the mail that was stored. Whatever else lies there is left alone.
"""

from __future__ import annotations

from dataclasses import replace

from adapter.errors import NotFoundError, TransportError, UnsupportedError
from adapter.flow.alarms import all_clear, open_names, raise_alarm
from adapter.flow.ebxml_round import FAILURES_IN_A_ROW, Round
from adapter.flow.parts import HOUR_US
from adapter.store import mails
from adapter.store.statements import Row
from adapter.transport.mailbox import MailItem, digest_of, read_identity

MOST_DELETED = 100  # in one round
MOST_ADOPTED = 100
LATER_US = HOUR_US  # after a failure
NEARLY_FULL = 0.9


def keep_house(look: Round) -> int:
    """Delete what is past its grace; gives how many mails are gone. Raises AdapterError when the mailbox refuses it."""
    memory, now = look.road.memory, look.parts.store.now_us()
    _watch_quota(look, now)
    if now < memory.house_at:
        return 0
    before = now - round(look.road.settings.delete_after_h * HOUR_US)
    with look.parts.store.reading() as db:
        rows = mails.past_grace(db, look.mailbox, before=before, limit=MOST_DELETED)
    memory.house_at = now + LATER_US  # unless it goes well
    same, absent = _compare(look, rows)
    if absent and _adopt(look):
        for row in absent:
            _set_deleted(look, row["name"])
    gone = look.road.mailbox.delete(*same) if same and look.goes_on() else frozenset()
    for item in same:
        if item.identity in gone:
            _set_deleted(look, item.identity.remote_id)
    memory.house_at = now
    _clear_junk(look)
    return len(gone)


def _clear_junk(look: Round) -> None:
    incident = f"junk:{look.mailbox}"
    if incident not in open_names(look.parts):
        return
    with look.parts.store.reading() as db:
        if mails.has_junk(db, look.mailbox):
            return
    all_clear(look.parts, incident)


def _compare(look: Round, rows: list[Row]) -> tuple[list[MailItem], list[Row]]:
    """The mails that lie there as they were stored, and the rows whose mail is not there under that name."""
    same: list[MailItem] = []
    absent: list[Row] = []
    failures = 0
    for row in rows:
        if not look.goes_on(row["size_bytes"]):
            break
        item = MailItem(read_identity(row["name"]), row["size_bytes"], row["sha256"])
        try:
            content = look.road.mailbox.fetch(replace(item, size_bytes=None))
            failures = 0
        except NotFoundError:
            absent.append(row)
            continue
        except UnsupportedError:
            content = b""  # larger than any that was stored
        except TransportError:
            failures += 1
            if failures == FAILURES_IN_A_ROW:
                raise
            continue
        if digest_of(content) == row["sha256"]:
            same.append(replace(item, size_bytes=None))
        else:
            _another(look, row)
    return same, absent


def _another(look: Round, row: Row) -> None:
    """A server that gives a name twice: what has it now was never stored. It is taken in like any other mail."""
    name = f"name given twice:{look.mailbox}"
    raise_alarm(look.parts, name, "the mail server gave two mails one name; the second is taken in, not deleted")
    with look.parts.store.transaction() as db:
        mails.forget_mail(db, row["name"])


def _adopt(look: Round) -> bool:
    """Give marked mails of an earlier numbering their new names; True when none is left that could have one."""
    strangers = look.road.memory.strangers
    with look.parts.store.reading() as db:
        known = mails.known_names(db, look.mailbox)
    items = look.road.mailbox.list(
        MOST_ADOPTED, lambda one: one.remote_id in known or one.remote_id in strangers, marked=True
    )
    for item in items:
        if not look.goes_on():
            return False
        try:
            digest = digest_of(look.road.mailbox.fetch(item))
        except (NotFoundError, UnsupportedError):
            digest = ""
        with look.parts.store.transaction() as db:
            if not mails.renumber(db, look.mailbox, digest, item.identity.uidvalidity, item.identity.remote_id):
                strangers.add(item.identity.remote_id)
    return len(items) < MOST_ADOPTED


def _watch_quota(look: Round, now: int) -> None:
    """Tell a person before partners' mails are turned away."""
    memory, incident = look.road.memory, f"mailbox full:{look.mailbox}"
    if now < memory.quota_at:
        return
    memory.quota_at = now + HOUR_US
    fill = look.road.mailbox.fill()
    if fill is not None and fill >= NEARLY_FULL:
        raise_alarm(look.parts, incident, f"our mailbox is {fill:.0%} full: soon partners' mails are turned away")
    else:
        all_clear(look.parts, incident)


def _set_deleted(look: Round, name: str) -> None:
    with look.parts.store.transaction() as db:
        mails.set_deleted(db, name, at=look.parts.store.now_us())
    all_clear(look.parts, f"mail:{name}")
