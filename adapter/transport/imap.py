"""Mail in by IMAP (RFC 3501, UIDPLUS RFC 4315), with imaplib as the reader of answers and our Line under it.

UIDs mean nothing without the UIDVALIDITY they were seen under: every call compares it, and a server that renumbers its
mailbox makes all mails look new instead of making us touch the wrong one. Mails are read with PEEK and marked with a
keyword of our own, so that a person who looks into the mailbox with a mail program hides nothing from us.
"""

from __future__ import annotations

import imaplib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from adapter.config_mail import ImapSettings
from adapter.errors import AccessError, SettingsError, TransportError
from adapter.transport.line import MAIL_FULL, Line, OversizeError, read_terms
from adapter.transport.mailbox import Known, MailIdentity, MailItem, gone, too_large
from adapter.transport.turns import CHATTER_BYTES, Turns

_WINDOW = 10_000  # messages searched in one command
_BATCH = 500  # UIDs named in one command
_LINE_BYTES = 1_000_000
_ATOM = re.compile(r"[A-Za-z0-9$_.-]{1,100}")
_TEXT = re.compile(r"[ -~]{1,1000}")
_UNMARKED = {"\\seen": "UNSEEN", "\\flagged": "UNFLAGGED", "\\answered": "UNANSWERED"}
_NOT_NOW = re.compile(r"\[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG)\b")  # RFC 5530
_UID = re.compile(rb"[( ]UID ([0-9]{1,10})[ )]")
_QUOTA = re.compile(rb"[( ](?:STORAGE|MESSAGE) ([0-9]{1,18}) ([0-9]{1,18})")
_SIZE = re.compile(rb"[( ]RFC822\.SIZE ([0-9]{1,18})[ )]")


class ImapMailbox:
    """One mailbox of an IMAP server; see ``mailbox.Mailbox``."""

    def __init__(self, settings: ImapSettings, *, password: bytes | None = None, ca_file: Path | None = None) -> None:
        self._settings = settings
        self._password = password or b""
        terms = read_terms(settings, tls_port=993, plain_port=143, where="mail.imap", ca_file=ca_file)
        for name, value, form in (("mailbox", settings.mailbox, _TEXT), ("user", settings.user or "-", _TEXT)):
            if not form.fullmatch(value):
                raise SettingsError("visible ASCII is expected", where=f"mail.imap.{name}")
        if settings.mark.lower() not in _UNMARKED and not _ATOM.fullmatch(settings.mark):
            cure = "use a word of letters and digits, or \\Seen"
            raise SettingsError("not a mark that IMAP knows", where="mail.imap.mark", cure=cure)
        self._turns = Turns(terms, settings)
        self._session: _Session | None = None
        self.name = f"{settings.user or ''}@{settings.host}/{settings.mailbox}"

    def list(self, limit: int = 100, known: Known | None = None, *, marked: bool = False) -> list[MailItem]:
        with self._turn() as session:
            session.select(self._settings.mailbox)
            if marked and not session.keeps(self._settings.mark):
                return []
            terms = self._marked(session) if marked else self._unmarked(session)
            uids = self._found_uids(session, terms, limit, known)
            sizes = session.sizes(uids)
            return [MailItem(self._identity(session, uid), sizes[uid]) for uid in uids if uid in sizes]

    def _found_uids(self, session: _Session, terms: str, limit: int, known: Known | None) -> Sequence[str]:
        found = []
        for first in range(1, session.exists + 1, _WINDOW):
            last = min(first + _WINDOW - 1, session.exists)
            for uid in session.search(f"{first}:{last} UNDELETED{terms}"):
                if known is None or not known(self._identity(session, uid)):
                    found.append(uid)
                if len(found) >= limit:
                    return found
        return found

    def fetch(self, item: MailItem) -> bytes:
        limit = self._settings.mail_limit_bytes
        if item.size_bytes is not None and item.size_bytes > limit:
            raise too_large()
        try:
            with self._turn(limit + CHATTER_BYTES // 16) as session:
                self._refuse_renumbered(session, item)
                content = session.content(item.identity.uid)
        except OversizeError:
            raise too_large() from None
        if content is None:
            raise gone()
        if len(content) > limit:
            raise too_large()
        return content

    def mark(self, *items: MailItem) -> frozenset[MailIdentity]:
        with self._turn() as session:
            here = self._here(session, items)
            if not session.keeps(self._settings.mark):
                return frozenset()
            session.store(here, self._settings.mark)
            return frozenset(self._identity(session, uid) for uid in here)

    def delete(self, *items: MailItem) -> frozenset[MailIdentity]:
        with self._turn() as session:
            here = self._here(session, items)
            sizes = session.sizes(here)
            same = [uid for uid in here if uid in sizes and here[uid].size_bytes in (None, sizes[uid])]
            session.store(same, "\\Deleted")
            session.expunge(same)
            rest = session.sizes(here)
            return frozenset(self._identity(session, uid) for uid in here if uid not in rest)

    def fill(self) -> float | None:
        with self._turn() as session:
            return session.fill(self._settings.mailbox)

    def close(self) -> None:
        with self._turns.end() as line:
            session, self._session = self._session, None
            if line is not None and session is not None:
                session.leave()

    def _identity(self, session: _Session, uid: str) -> MailIdentity:
        return MailIdentity(self.name, session.uidvalidity, uid)

    def _here(self, session: _Session, items: Iterable[MailItem]) -> dict[str, MailItem]:
        """The items of this mailbox as it is numbered now, by UID."""
        return {i.identity.uid: i for i in items if self._identity(session, i.identity.uid) == i.identity}

    def _refuse_renumbered(self, session: _Session, item: MailItem) -> None:
        if not self._here(session, (item,)):
            raise gone()

    def _unmarked(self, session: _Session) -> str:
        mark = self._settings.mark
        if not session.keeps(mark):
            return ""
        return " " + _UNMARKED.get(mark.lower(), f"UNKEYWORD {mark}")

    def _marked(self, session: _Session) -> str:
        return self._unmarked(session).replace(" UN", " ", 1)

    @contextmanager
    def _turn(self, limit_bytes: int = CHATTER_BYTES) -> Iterator[_Session]:
        with self._turns.take(limit_bytes) as line:
            try:
                session = self._session
                if line is None or session is None:
                    session = self._session = self._open(limit_bytes)
                yield session
                session.refuse_change()
            except imaplib.IMAP4.abort:
                raise TransportError("the IMAP connection broke off or was ended by the server") from None
            except (imaplib.IMAP4.error, ValueError) as error:
                if "[OVERQUOTA]" in str(error):  # RFC 5530
                    raise TransportError("the mailbox is full", code=MAIL_FULL) from None
                raise TransportError("the IMAP server refused or gave an answer without meaning") from None

    def _open(self, limit_bytes: int) -> _Session:
        session = _Session(self._turns.open(limit_bytes))
        if self._settings.security == "starttls":
            session.start_tls()
        if self._settings.user is not None:
            session.login(self._settings.user, self._password)
        session.select(self._settings.mailbox)
        return session


class _Exchange(imaplib.IMAP4):
    """imaplib over a Line: all bytes go through its time-outs and bounds."""

    def __init__(self, line: Line) -> None:
        self._line = line
        super().__init__()

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        return None  # the line is open

    def read(self, size: int) -> bytes:
        return self._line.read_exact(size)

    def readline(self) -> bytes:
        return self._line.read_line(_LINE_BYTES)

    def send(self, data: bytes) -> None:  # type: ignore[override]
        self._line.write(data)

    def shutdown(self) -> None:
        self._line.close()

    def start_tls(self) -> None:
        self.call("STARTTLS")
        self._line.start_tls()
        self.ask_abilities()

    def ask_abilities(self) -> None:
        """Ask again what the server can: the answer changes with TLS and with the login."""
        self._get_capabilities()

    def call(self, name: str, *arguments: str) -> None:
        """One command that has to end in OK; raises imaplib's error otherwise."""
        verdict, words = self._simple_command(name, *arguments)
        if verdict != "OK":
            raise self.error(words[-1])

    def taken(self, name: str) -> list[object]:
        """What the server has said under this word since it was last taken."""
        return [found for found in self.untagged_responses.pop(name, []) if found is not None]


class _Session:
    """A logged-in connection with one mailbox selected. Raises imaplib's errors."""

    def __init__(self, line: Line) -> None:
        self._imap = _Exchange(line)
        self.uidvalidity = 0
        self.exists = 0
        self._marks: frozenset[str] = frozenset()

    def start_tls(self) -> None:
        if "STARTTLS" not in self._imap.capabilities:
            raise TransportError("the IMAP server offers no STARTTLS")
        self._imap.start_tls()

    def login(self, user: str, password: bytes) -> None:
        try:
            if "AUTH=PLAIN" in self._imap.capabilities:
                self._imap.authenticate("PLAIN", lambda _: b"\0" + user.encode() + b"\0" + password)
            elif "LOGINDISABLED" in self._imap.capabilities or not _TEXT.fullmatch(password.decode("latin-1")):
                raise AccessError("the IMAP server offers no login that we can use", status=504)
            else:
                self._imap.call("LOGIN", _quoted(user), _quoted(password.decode("ascii")))
                self._imap.state = "AUTH"
            self._imap.ask_abilities()
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            if _NOT_NOW.search(str(error)):
                raise
            raise AccessError("the IMAP server refused the login", status=535) from None

    def select(self, mailbox: str) -> None:
        """Open the mailbox anew: only this shows new mails and a new numbering to every server."""
        verdict, _ = self._imap.select(_quoted(mailbox))
        if verdict != "OK":
            raise TransportError("the IMAP server does not open the mailbox")
        validity = _numbers(self._imap.taken("UIDVALIDITY"))
        if not validity:
            raise TransportError("the IMAP server gives its mailbox no UIDVALIDITY")
        self.uidvalidity = validity[-1]
        self.exists = (_numbers(self._imap.taken("EXISTS")) or [0])[-1]
        words = b" ".join(text for text in self._imap.taken("PERMANENTFLAGS") if isinstance(text, bytes))
        self._marks = frozenset(words.decode("ascii", "replace").lower().strip("()").split())

    def keeps(self, mark: str) -> bool:
        """Whether this mailbox remembers the mark."""
        return mark.lower() in self._marks or ("\\*" in self._marks and not mark.startswith("\\"))

    def refuse_change(self) -> None:
        """Raise when the server has renumbered the mailbox while it was open."""
        validity = _numbers(self._imap.taken("UIDVALIDITY"))
        if validity and validity[-1] != self.uidvalidity:
            raise TransportError("the IMAP server renumbered the mailbox during the call")

    def search(self, terms: str) -> list[str]:
        self._imap.call("UID", f"SEARCH {terms}")
        found = [text for text in self._imap.taken("SEARCH") if isinstance(text, bytes)]
        return [uid.decode("ascii") for text in found for uid in text.split() if uid.isdigit()]

    def sizes(self, uids: Iterable[str]) -> dict[str, int | None]:
        """Which of these mails are there, with their sizes."""
        wanted = set(uids)
        found: dict[str, int | None] = {}
        for batch in _batches(wanted):
            for head, _ in self._fetched(f"FETCH {batch} (UID RFC822.SIZE)"):
                uid, size = _UID.search(head), _SIZE.search(head)
                if uid is not None and uid[1].decode() in wanted:
                    found.setdefault(uid[1].decode(), None)
                    if size is not None:
                        found[uid[1].decode()] = int(size[1])
        return found

    def content(self, uid: str) -> bytes | None:
        """The mail with this UID, None when it is not there."""
        for head, content in self._fetched(f"FETCH {uid} (UID BODY.PEEK[])"):
            found = _UID.search(head)
            if found is None or found[1].decode() != uid:
                continue
            if content is not None:
                return content
            if b"BODY[]" in head and uid in self.sizes((uid,)):  # NIL also stands for a mail deleted meanwhile
                raise TransportError("the IMAP server has the mail and does not give its content")
        return None

    def _fetched(self, command: str) -> Iterator[tuple[bytes, bytes | None]]:
        """Each FETCH answer: its words, and the literal in it."""
        self._imap.call("UID", command)
        answers = self._imap.taken("FETCH")
        for at, answer in enumerate(answers):
            if isinstance(answer, tuple):
                after = answers[at + 1] if at + 1 < len(answers) else b""
                yield answer[0] + (after if isinstance(after, bytes) else b""), answer[1]
            elif isinstance(answer, bytes):
                yield answer, None

    def store(self, uids: Iterable[str], mark: str) -> None:
        self.refuse_change()
        for batch in _batches(uids):
            self._imap.call("UID", f"STORE {batch} +FLAGS.SILENT ({mark})")

    def expunge(self, uids: Iterable[str]) -> None:
        """Remove these mails for good, and no others: without UIDPLUS only when no others are flagged."""
        wanted = set(uids)
        if "UIDPLUS" in self._imap.capabilities:
            for batch in _batches(wanted):
                self._imap.call("UID", f"EXPUNGE {batch}")
        elif wanted and set(self.search("DELETED")) <= wanted:
            self._imap.call("EXPUNGE")

    def fill(self, mailbox: str) -> float | None:
        """The fullest of the mailbox's quotas (RFC 2087), None when it has none."""
        if "QUOTA" not in self._imap.capabilities:
            return None
        self._imap.call("GETQUOTAROOT", _quoted(mailbox))
        told = [_QUOTA.findall(text) for text in self._imap.taken("QUOTA") if isinstance(text, bytes)]
        return max((int(used) / int(limit) for found in told for used, limit in found if int(limit)), default=None)

    def leave(self) -> None:
        try:
            self._imap.logout()
        except (imaplib.IMAP4.error, ValueError):
            return  # the connection is closed in any case


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _numbers(answers: Iterable[object]) -> list[int]:
    return [int(a) for a in answers if isinstance(a, bytes) and a.isdigit() and len(a) < 19]


def _batches(uids: Iterable[str]) -> Iterator[str]:
    ordered = sorted(uids, key=int)
    for start in range(0, len(ordered), _BATCH):
        yield ",".join(ordered[start : start + _BATCH])
