"""Mail out (RFC 5321): one mail to one receiver, and a certain answer to "was it taken?" (P2).

Only the reply to the final dot makes a mail the server's. Before that dot has left nothing was accepted; after it, a
connection that breaks leaves the outcome unknown. Connections are kept for a while and used again.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adapter.config import Settings, read_secret
from adapter.config_mail import MailSettings, SmtpSettings
from adapter.errors import (
    AccessError,
    AdapterError,
    InputError,
    RemoteRefusalError,
    SettingsError,
    TransportError,
    UnknownOutcomeError,
)
from adapter.transport.line import MAIL_FULL, MAIL_LATER, Line, Terms, dotted, read_terms

_ANSWER_BYTES = 1_000_000  # all that a server may say in one call
_LINE_OCTETS = 1_000  # with CRLF, RFC 5321 4.5.3.1.6
_ADDRESS = re.compile(r"[!#-;=?-~]{1,64}@(?:[A-Za-z0-9.-]{1,253}|\[[A-Za-z0-9.:]{2,60}\])")
_NAME = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")
_ENVELOPE_ID = re.compile(r"[!-*,-<>-~]{1,100}")  # xtext without its escapes (RFC 3461, 4.4)
_REPLY = re.compile(rb"([2-5][0-9]{2})(?:([ -])([^\r\n]*))?\r?\n")
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}\b")
_ACCESS = (530, 534, 535, 538)
_OF_THE_MAIL = ("the sender", "the receiver", "the mail")


def open_sender(settings: Settings, own: MailSettings | None = None) -> MailSender:
    """The sender of a tenant's ``own`` mail settings, or of the common ones; raises SettingsError without either."""
    mail = own or settings.mail
    if mail is None:
        raise SettingsError("there is no mail road", where="mail", cure="add [mail] and [mail.smtp]")
    ca_file = settings.path(mail.smtp.ca_file) if mail.smtp.ca_file is not None else None
    return MailSender(mail.smtp, password=read_secret(mail.smtp.password, settings), ca_file=ca_file)


class MailSender:
    """Sends mails. Safe to share between threads; ``close`` ends all connections, those under way too."""

    def __init__(self, settings: SmtpSettings, *, password: bytes | None = None, ca_file: Path | None = None) -> None:
        self._settings = settings
        self._terms = read_terms(settings, tls_port=465, plain_port=587, where="mail.smtp", ca_file=ca_file)
        if not _NAME.fullmatch(settings.helo_name):
            raise SettingsError("not a host name", where="mail.smtp.helo_name")
        self._login = None if settings.user is None else (settings.user.encode(), password or b"")
        self._lock = threading.Lock()
        self._resting: list[_Session] = []
        self._under_way: set[_Session] = set()

    def send(self, sender: str, receiver: str, message: bytes, *, envelope_id: str | None = None) -> str:
        """Send one mail with CRLF line ends; gives the server's words of acceptance (often its queue id).

        ``envelope_id`` comes back in a bounce as Original-Envelope-Id where the server knows DSN. Raises InputError for
        what cannot be a mail, TransportError when nothing was accepted and a later attempt may succeed (4xx and a full
        mailbox too: MAIL.LATER, MAIL.FULL), RemoteRefusalError for 5xx, AccessError when we may
        not send at all, UnknownOutcomeError when the connection broke after the final dot.
        """
        mail = _Mail(sender, receiver, message, envelope_id)
        mail.check(self._settings.mail_limit_bytes)
        session = self._take()
        if session is not None:
            try:
                return self._carry(session, mail)
            except TransportError:
                if session.heard or session.line.was_cut:  # otherwise the server had ended the resting connection
                    raise
        return self._carry(_Session(self._terms, self._settings, self._login), mail)

    def probe(self) -> None:
        """Connect, greet, go over to TLS and log in as for a mail, and part. Raises as ``send`` does; sends nothing."""
        session = _Session(self._terms, self._settings, self._login)
        with self._watched(session):
            session.open()
        session.quit()

    def close(self) -> None:
        """End the connections; mails under way fail as broken connections. It can be used again."""
        with self._lock:
            resting, self._resting = self._resting, []
            under_way = list(self._under_way)
        for session in under_way:
            session.line.cut("the adapter is stopping")
        for session in resting:
            session.quit()

    def _take(self) -> _Session | None:
        while True:
            with self._lock:
                if not self._resting:
                    return None
                session = self._resting.pop()
            fresh = time.monotonic() - session.rests_since < self._settings.idle_s
            if fresh and session.sent < self._settings.mails_per_connection and not session.line.is_stale():
                return session
            session.line.close()

    def _carry(self, session: _Session, mail: _Mail) -> str:
        with self._watched(session):
            words = session.send(mail)
        with self._lock:
            self._resting.append(session)
        return words

    @contextmanager
    def _watched(self, session: _Session) -> Iterator[None]:
        with self._lock:
            self._under_way.add(session)
        try:
            yield
        except AdapterError:
            session.line.close()
            raise
        finally:
            with self._lock:
                self._under_way.discard(session)


class _Mail:
    def __init__(self, sender: str, receiver: str, content: bytes, envelope_id: str | None) -> None:
        self.sender = sender
        self.receiver = receiver
        self.content = content
        self.envelope_id = envelope_id

    def check(self, limit_bytes: int) -> None:
        """Raise InputError for a mail that a server would have to alter, cut or misread."""
        for name, address in (("sender", self.sender), ("receiver", self.receiver)):
            if not _ADDRESS.fullmatch(address):
                raise InputError("not a mail address", where=name)
        if self.envelope_id is not None and not _ENVELOPE_ID.fullmatch(self.envelope_id):
            raise InputError("an envelope id has up to 100 visible ASCII characters but + and =", where="envelope_id")
        content = self.content
        if len(content) > limit_bytes:
            raise InputError("the mail is larger than the limit", code="MAIL.TOO_LARGE", where="message")
        ends = content.count(b"\r\n")
        if not content.isascii() or b"\0" in content or content.count(b"\n") != ends or content.count(b"\r") != ends:
            raise InputError("a mail is ASCII with CRLF line ends", where="message")
        if _has_long_line(content):
            raise InputError("a line of a mail has at most 998 characters", where="message")


def _has_long_line(content: bytes) -> bool:
    """Hop from line end to line end, each time as far as one line may reach."""
    last = len(content) - content.rfind(b"\n") - 1  # a last line without its end
    if last > _LINE_OCTETS - 2:
        return True
    start = 0
    while len(content) - start > _LINE_OCTETS:
        end = content.rfind(b"\n", start, start + _LINE_OCTETS)
        if end < 0:
            return True
        start = end + 1
    return False


class _Session:
    """One connection to the server. Not for two threads at a time."""

    def __init__(self, terms: Terms, settings: SmtpSettings, login: tuple[bytes, bytes] | None) -> None:
        self._settings = settings
        self._login = login
        self._abilities: dict[str, str] = {}
        self._terms = terms
        self._open = False
        self.line = Line(terms, settings.total_timeout_s, _ANSWER_BYTES)
        self.heard = False  # the server has answered in this call
        self.rests_since = 0.0
        self.sent = 0

    def send(self, mail: _Mail) -> str:
        self.open()
        self._address(mail)
        words = self._deliver(mail.content)
        self.sent += 1
        self.rests_since = time.monotonic()
        return words

    def open(self) -> None:
        """Begin a call, with a connection that is up and logged in."""
        self.heard = False
        self.line.begin(self._settings.total_timeout_s, _ANSWER_BYTES)
        if not self._open:
            self._begin()

    def quit(self) -> None:
        """Part from the server in good manners, but without waiting for its answer."""
        with suppress(TransportError):
            self.line.begin(1.0, _ANSWER_BYTES)
            self.line.write(b"QUIT\r\n")
        self.line.close()

    def _begin(self) -> None:
        self.line.connect()
        self._expect((220,), "the connection")
        self._greet()
        if self._terms.context is not None and not self._terms.tls_at_once:
            if "STARTTLS" not in self._abilities:
                raise TransportError("the mail server offers no STARTTLS")
            self._ask(b"STARTTLS", (220,), "STARTTLS")
            self.line.start_tls()
            self._greet()
        if self._login is not None:
            self._authenticate(*self._login)
        self._open = True

    def _greet(self) -> None:
        words = self._ask(b"EHLO " + self._settings.helo_name.encode("ascii", "ignore"), (250,), "the greeting")
        self._abilities = {}
        for line in words[1:]:
            name, _, rest = line.partition(" ")
            self._abilities[name.upper()] = rest

    def _authenticate(self, user: bytes, password: bytes) -> None:
        offered = self._abilities.get("AUTH", "").upper().split()
        if "PLAIN" in offered:
            token = base64.b64encode(b"\0" + user + b"\0" + password)
            self._ask(b"AUTH PLAIN " + token, (235,), "the login")
        elif "LOGIN" in offered:
            self._ask(b"AUTH LOGIN", (334,), "the login")
            self._ask(base64.b64encode(user), (334,), "the login")
            self._ask(base64.b64encode(password), (235,), "the login")
        else:
            raise AccessError("the mail server offers no login that we know", status=504)

    def _address(self, mail: _Mail) -> None:
        """MAIL, RCPT and DATA, in one write where the server allows it (RFC 2920)."""
        dsn = "DSN" in self._abilities and mail.envelope_id is not None
        size = f" SIZE={len(mail.content)}" if "SIZE" in self._abilities else ""
        self._refuse_above(self._abilities.get("SIZE", ""), len(mail.content))
        envelope = f" RET=HDRS ENVID={mail.envelope_id}" if dsn else ""
        steps = [
            (f"MAIL FROM:<{mail.sender}>{size}{envelope}", (250,), "the sender"),
            (f"RCPT TO:<{mail.receiver}>{' NOTIFY=FAILURE' if dsn else ''}", (250, 251), "the receiver"),
            ("DATA", (354,), "the mail"),
        ]
        together = "PIPELINING" in self._abilities
        if together:
            self.line.write("".join(f"{command}\r\n" for command, _, _ in steps).encode())
        for command, wanted, what in steps:
            if not together:
                self.line.write(f"{command}\r\n".encode())
            self._expect(wanted, what)

    def _refuse_above(self, limit: str, size: int) -> None:
        if limit.isascii() and limit.isdigit() and len(limit) < 19 and 0 < int(limit) < size:
            raise RemoteRefusalError("the mail is larger than the server takes", status=552)

    def _deliver(self, content: bytes) -> str:
        """The mail up to the dot, and the answer that decides."""
        pieces = dotted(content)
        held = b""
        try:
            for piece in pieces:
                self.line.write(held)
                held = piece
                if self.line.is_stale():  # nothing is to be said before the dot but that it is not wanted
                    raise TransportError("the mail server broke off in the middle of the mail")
        except TransportError as error:
            raise self._early_answer() or error from None
        try:  # from here on the server may have all of it
            self.line.write(held)
            code, words = self._reply(self._settings.accept_timeout_s)
        except TransportError as error:
            raise UnknownOutcomeError(f"no answer after the final dot: {error.text}") from None
        if 200 <= code < 300:
            return words[0][:200]
        if code < 400:
            raise UnknownOutcomeError("no answer after the final dot: the reply has no meaning there")
        raise _refusal(code, words, "the mail")

    def _early_answer(self) -> AdapterError | None:
        """What the server said before it broke off in the middle of a mail, if it said anything."""
        try:
            code, words = self._reply(1.0)
        except TransportError:
            return None
        return _refusal(code, words, "the mail") if code >= 400 else None

    def _ask(self, command: bytes, wanted: tuple[int, ...], what: str) -> list[str]:
        self.line.write(command + b"\r\n")
        return self._expect(wanted, what)

    def _expect(self, wanted: tuple[int, ...], what: str) -> list[str]:
        code, words = self._reply(self._settings.read_timeout_s)
        self.heard = self.heard or code != 421
        if code not in wanted:
            raise _refusal(code, words, what)
        return words

    def _reply(self, patience_s: float) -> tuple[int, list[str]]:
        """Code and lines of one reply. Raises TransportError for what is none."""
        words: list[str] = []
        while True:
            found = _REPLY.fullmatch(self.line.read_line(patience_s=patience_s))
            if found is None:
                raise TransportError("no answer: the mail server speaks no SMTP")
            words.append(_printable(found[3] or b""))
            if found[2] != b"-":
                return int(found[1]), words


def _refusal(code: int, words: list[str], what: str) -> AdapterError:
    """The error that a reply means. The server's own words can hold addresses: only its codes are kept (P21)."""
    enhanced = _ENHANCED.match(words[0])
    codes = f"{code} {enhanced[0]}" if enhanced else str(code)
    if code in _ACCESS or (code >= 500 and what == "the login"):
        return AccessError(f"the mail server refused the login ({codes})", status=code)
    about_mail = what in _OF_THE_MAIL
    if about_mail and _is_full(code, enhanced[0] if enhanced else "", what):
        return TransportError(f"the receiver's mailbox is full ({codes})", code=MAIL_FULL)
    if code >= 500 and what not in ("the connection", "the greeting", "STARTTLS"):
        return RemoteRefusalError(f"the mail server refused {what} ({codes})", status=code)
    later = MAIL_LATER if about_mail and code != 421 else None  # 421: the server itself is going away
    return TransportError(f"the mail server did not take {what} ({codes})", code=later)


def _is_full(code: int, enhanced: str, what: str) -> bool:
    """True for a full mailbox, which its owner can empty: 552 too, unless it speaks of the mail's size (RFC 3463)."""
    if enhanced:
        return enhanced[1:] in (".2.2", ".3.1")
    return code == 452 or (code == 552 and what == "the receiver")


def _printable(text: bytes) -> str:
    return "".join(chr(octet) if 0x20 <= octet < 0x7F else "?" for octet in text)
