"""The words of a mailbox that mail comes in by: what an item is, and what IMAP and POP3 both can do.

The order that keeps mail safe is the caller's: ``list``, ``fetch``, store and commit, ``mark``, and after a time of
grace ``delete``. A mail is known by mailbox, UIDVALIDITY and UID; when a server renumbers its mailbox, every mail in it
looks new, and the digest of its bytes tells the caller that it is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from adapter.config import Settings, read_secret
from adapter.config_mail import MailSettings
from adapter.errors import InputError, NotFoundError, SettingsError, UnsupportedError


@dataclass(frozen=True, slots=True)
class MailIdentity:
    """Which mail: ``uidvalidity`` is 0 and ``uid`` the UIDL for POP3."""

    mailbox: str
    uidvalidity: int
    uid: str

    @property
    def remote_id(self) -> str:
        """The identity as one text, which ``read_identity`` reads."""
        return f"{self.uidvalidity} {self.uid} {self.mailbox}"


def read_identity(remote_id: str) -> MailIdentity:
    """The identity of a ``remote_id``; raises InputError for another text."""
    parts = remote_id.split(" ", 2)
    if len(parts) != 3 or not (parts[0].isascii() and parts[0].isdigit()):
        raise InputError("not the identity of a mail", where="remote_id")
    return MailIdentity(parts[2], int(parts[0]), parts[1])


@dataclass(frozen=True, slots=True)
class MailItem:
    """One mail in a listing. ``size_bytes`` is the server's word, None when it gave none; ``digest`` comes from
    ``digest_of`` once the mail was fetched."""

    identity: MailIdentity
    size_bytes: int | None
    digest: str | None = None


Known = Callable[[MailIdentity], bool]


class Mailbox(Protocol):
    """One mailbox. Every call has time-outs and raises only AdapterError kinds:

    TransportError (later may help), AccessError (login refused), NotFoundError MAIL.GONE (the mail is not there any
    more, or the mailbox was renumbered), UnsupportedError MAIL.TOO_LARGE (never loaded). After an error the next call
    connects anew, so that one bad mail does not stop the rest. One thread at a time; ``close`` may come from another.
    """

    name: str

    def list(self, limit: int = 100, known: Known | None = None, *, marked: bool = False) -> list[MailItem]:
        """Up to ``limit`` mails in the server's order that are neither marked nor ``known``. Loads no content.

        ``marked``: those that are marked instead; none where the server keeps no marks.
        """

    def fetch(self, item: MailItem) -> bytes:
        """The mail's bytes, untouched. Changes nothing on the server."""

    def mark(self, *items: MailItem) -> frozenset[MailIdentity]:
        """Mark mails as taken; gives those that are marked now: none where the server keeps no marks."""

    def delete(self, *items: MailItem) -> frozenset[MailIdentity]:
        """Delete mails that were stored and have had their time of grace; gives those that are surely gone.

        Nothing is deleted by UID alone: UIDVALIDITY and size must be the item's.
        """

    def fill(self) -> float | None:
        """How full the mailbox is, 0 to 1 (RFC 2087); None when the server does not say."""

    def close(self) -> None:
        """Log out, or break off a call that another thread is in. It can be used again."""


def open_mailbox(settings: Settings, own: MailSettings | None = None) -> Mailbox:
    """The mailbox of a tenant's ``own`` mail settings, or of the common ones.

    Raises SettingsError without ``[mail.imap]`` or ``[mail.pop3]``.
    """
    mail = own or settings.mail
    if mail is None:
        raise SettingsError("there is no mail road", where="mail", cure="add [mail] and [mail.imap]")
    server = mail.imap or mail.pop3
    if server is None:
        raise SettingsError("mail has no way in", where="mail", cure="add [mail.imap] or [mail.pop3]")
    password = read_secret(server.password, settings)
    ca_file = settings.path(server.ca_file) if server.ca_file is not None else None
    if mail.imap is not None:
        from adapter.transport.imap import ImapMailbox

        return ImapMailbox(mail.imap, password=password, ca_file=ca_file)
    from adapter.transport.pop3 import Pop3Mailbox

    assert mail.pop3 is not None
    return Pop3Mailbox(mail.pop3, password=password, ca_file=ca_file)


def digest_of(content: bytes) -> str:
    """The digest that tells whether two mails are the same bytes: SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def gone() -> NotFoundError:
    return NotFoundError("the mail is not in the mailbox any more, or the mailbox was renumbered", code="MAIL.GONE")


def too_large() -> UnsupportedError:
    return UnsupportedError("the mail is larger than the limit; it was not loaded", code="MAIL.TOO_LARGE")
