"""Mail in by POP3 (RFC 1939, STLS RFC 2595). Nothing is marked there: only the caller's store knows what was taken.

A mail is known by its UIDL. Deletions count only when QUIT was answered, so each batch of them ends its session. What a
session lists never changes, so each listing begins a new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapter.config_mail import Pop3Settings
from adapter.errors import AccessError, SettingsError, TransportError
from adapter.transport.line import Line, OversizeError, read_terms
from adapter.transport.mailbox import Known, MailIdentity, MailItem, gone, too_large
from adapter.transport.turns import CHATTER_BYTES, Turns

_TEXT = re.compile(rb"[ -~\x80-\xff]{1,200}")
_UIDL = re.compile(rb"([0-9]{1,9}) ([!-~]{1,70})\s*")
_LIST = re.compile(rb"([0-9]{1,9}) ([0-9]{1,18})(?:\s.*)?", re.S)
_NOT_NOW = re.compile(rb"-ERR \[(?:IN-USE|LOGIN-DELAY|SYS/TEMP)\]")  # RFC 2449, RFC 3206


class Pop3Mailbox:
    """The mailbox of a POP3 account; see ``mailbox.Mailbox``. ``mark`` does nothing."""

    def __init__(self, settings: Pop3Settings, *, password: bytes | None = None, ca_file: Path | None = None) -> None:
        self._settings = settings
        self._user = (settings.user or "").encode()
        self._password = password or b""
        terms = read_terms(settings, tls_port=995, plain_port=110, where="mail.pop3", ca_file=ca_file)
        if not _TEXT.fullmatch(self._user) or not _TEXT.fullmatch(self._password or b"-"):
            raise SettingsError("POP3 needs a user and a password of one line", where="mail.pop3.user")
        self._turns = Turns(terms, settings)
        self._session: _Session | None = None
        self.name = f"{settings.user}@{settings.host}"

    def list(self, limit: int = 100, known: Known | None = None, *, marked: bool = False) -> list[MailItem]:
        found: list[MailItem] = []
        if marked:
            return found
        self.close()
        with self._turn() as session:
            for uid, (_, size) in session.mails.items():
                identity = MailIdentity(self.name, 0, uid)
                if len(found) < limit and (known is None or not known(identity)):
                    found.append(MailItem(identity, size))
        return found

    def fetch(self, item: MailItem) -> bytes:
        limit = self._settings.mail_limit_bytes
        if item.size_bytes is not None and item.size_bytes > limit:
            raise too_large()
        try:
            with self._turn(limit + CHATTER_BYTES // 16) as session:
                number = self._number(session, item)
                content = None if number is None else session.content(number)
        except OversizeError:
            raise too_large() from None
        if content is None:
            raise gone()
        if len(content) > limit:
            raise too_large()
        return content

    def mark(self, *items: MailItem) -> frozenset[MailIdentity]:
        return frozenset()

    def delete(self, *items: MailItem) -> frozenset[MailIdentity]:
        """As the contract says; a UIDL that two mails share names neither, and both stay."""
        self.close()
        with self._turn() as session:
            absent = {i.identity for i in items if self._is_ours(i) and i.identity.uid not in session.mails}
            here = {i.identity: n for i in items if (n := self._number(session, i)) is not None}
            for identity, number in here.items():
                if identity.uid not in session.shared:
                    session.delete(number)
            session.quit()
            self._turns.drop()
            return frozenset(absent | {identity for identity in here if identity.uid not in session.shared})

    def fill(self) -> float | None:
        return None

    def close(self) -> None:
        with self._turns.end() as line:
            session, self._session = self._session, None
            if line is not None and session is not None:
                session.quit()

    def _is_ours(self, item: MailItem) -> bool:
        return (item.identity.mailbox, item.identity.uidvalidity) == (self.name, 0)

    def _number(self, session: _Session, item: MailItem) -> int | None:
        """The mail's number in this session, None when it is not there or is another than it was."""
        number, size = session.mails.get(item.identity.uid, (None, None))
        if not self._is_ours(item) or (item.size_bytes is not None and size != item.size_bytes):
            return None
        return number

    @contextmanager
    def _turn(self, limit_bytes: int = CHATTER_BYTES) -> Iterator[_Session]:
        with self._turns.take(limit_bytes) as line:
            session = self._session
            if line is None or session is None:
                session = self._session = self._open(limit_bytes)
            yield session

    def _open(self, limit_bytes: int) -> _Session:
        session = _Session(self._turns.open(limit_bytes))
        if self._settings.security == "starttls":
            session.start_tls()
        session.login(self._user, self._password)
        session.look()
        return session


class _Session:
    """A logged-in connection. ``mails``: number and size by UIDL."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.mails: dict[str, tuple[int, int | None]] = {}
        self.shared: frozenset[str] = frozenset()
        self._expect("the connection")

    def start_tls(self) -> None:
        self._ask(b"STLS", "STLS")
        self._line.start_tls()

    def login(self, user: bytes, password: bytes) -> None:
        for command in (b"USER " + user, b"PASS " + password):
            answer = self._answer(command)
            if _NOT_NOW.match(answer):
                raise TransportError("the POP3 mailbox cannot be opened just now")
            if not answer.startswith(b"+OK"):
                raise AccessError("the POP3 server refused the login", status=535)

    def look(self) -> None:
        """Read the names and sizes of all mails."""
        sizes = dict(self._listing(b"LIST", _LIST))
        named: dict[str, list[int]] = {}
        for number, text in self._listing(b"UIDL", _UIDL):
            named.setdefault(text.decode("ascii"), []).append(number)
        shared: set[str] = set()
        for uid, numbers in named.items():
            for place, number in enumerate(numbers, 1):
                size = int(sizes[number]) if number in sizes else None
                name = uid if len(numbers) == 1 else f"{uid}#{place}#{size}"
                self.mails[name] = (number, size)
                if len(numbers) > 1:
                    shared.add(name)
        self.shared = frozenset(shared)

    def content(self, number: int) -> bytes:
        self._ask(f"RETR {number}".encode(), "the mail")
        return self._line.read_until_dot()

    def delete(self, number: int) -> None:
        self._ask(f"DELE {number}".encode(), "the deletion")

    def quit(self) -> None:
        self._ask(b"QUIT", "the end")

    def _listing(self, command: bytes, form: re.Pattern[bytes]) -> list[tuple[int, bytes]]:
        """The lines of a listing in the server's order; a line of another form does not hide the others."""
        self._ask(command, "the listing")
        found = (form.fullmatch(line) for line in self._line.read_until_dot().split(b"\r\n"))
        return [(int(line[1]), line[2]) for line in found if line is not None]

    def _ask(self, command: bytes, what: str) -> None:
        self._line.write(command + b"\r\n")
        self._expect(what)

    def _answer(self, command: bytes) -> bytes:
        self._line.write(command + b"\r\n")
        return self._line.read_line()

    def _expect(self, what: str) -> None:
        if not self._line.read_line().startswith(b"+OK"):
            raise TransportError(f"the POP3 server refused {what}")
