"""A POP3 server (RFC 1939, CAPA of RFC 2449) over the mailroom, on loopback and in the clear.

Python has no well-kept POP3 server to take instead. Commands: USER, PASS, STAT, LIST, UIDL, RETR, TOP, DELE, RSET,
NOOP, CAPA, QUIT. One session has a mailbox at a time; deletions count when QUIT ends it.
"""

from __future__ import annotations

import re
import socketserver
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from adapter.simulator.loopback import LoopbackServer
from adapter.simulator.mailroom import Mail, Mailroom

IDLE_S = 600.0  # the least that RFC 1939 allows
MOST_SESSIONS = 64
_LINE_OCTETS = 512
_CAPABILITIES = ("USER", "UIDL", "TOP", "RESP-CODES", "PIPELINING", "IMPLEMENTATION adapter-simulator")
_DOT = re.compile(rb"(?m)^\.")
_BARE = re.compile(rb"\r?\n")


class Pop3Error(Exception):
    """Answered as ``-ERR`` with these words."""


class Session:
    """One dialogue, as a pure exchange: ``answer`` takes a command line and gives the octets of the reply."""

    def __init__(self, mailroom: Mailroom) -> None:
        self._mailroom = mailroom
        self._user: str | None = None
        self._account: str | None = None
        self._mails: list[Mail] = []
        self._deleted: set[int] = set()
        self.over = False

    def greet(self) -> bytes:
        return _ok("simulated POP3 server")

    def answer(self, line: bytes) -> bytes:
        """The reply to one command."""
        name, _, argument = line.decode("utf-8", "replace").rstrip("\r\n").partition(" ")
        try:
            return self._command(name.upper())(argument)
        except Pop3Error as error:
            return f"-ERR {error}\r\n".encode()

    def end(self) -> None:
        """The connection is gone: without QUIT nothing is deleted."""
        if self._account is not None:
            self._mailroom.unlock(self._account)
            self._account = None

    def _command(self, name: str) -> Callable[[str], bytes]:
        anywhere = {"CAPA": self._list_capabilities, "QUIT": self._quit}
        before = {"USER": self._take_user, "PASS": self._log_in}
        after = {
            "STAT": self._count,
            "LIST": self._list_sizes,
            "UIDL": self._list_names,
            "RETR": self._give,
            "TOP": self._give_top,
            "DELE": self._delete,
            "RSET": self._restore,
            "NOOP": lambda argument: _ok("nothing done"),
        }
        found = {**anywhere, **(before if self._account is None else after)}.get(name)
        if found is None:
            known = name in before or name in after
            raise Pop3Error("not in this state" if known else "unknown command")
        return found

    # -- logging in ----------------------------------------------------------------------------------------------------

    def _list_capabilities(self, argument: str) -> bytes:
        return _listing("what I can do", _CAPABILITIES)

    def _take_user(self, argument: str) -> bytes:
        self._user = argument.strip()
        return _ok("and the password")

    def _log_in(self, argument: str) -> bytes:
        user, self._user = self._user, None
        if user is None:
            raise Pop3Error("USER comes first")
        if not self._mailroom.admits(user, argument):
            raise Pop3Error("[AUTH] user and password do not fit")
        mails = self._mailroom.lock(user)
        if mails is None:
            raise Pop3Error("[IN-USE] another session has the mailbox")
        self._account, self._mails, self._deleted = user, mails, set()
        return _ok(f"{len(mails)} mails")

    def _quit(self, argument: str) -> bytes:
        self.over = True
        if self._account is not None:
            gone = frozenset(self._mails[number - 1].uid for number in self._deleted)
            self._mailroom.unlock(self._account, gone)
            self._account = None
        return _ok("goodbye")

    # -- the mails -----------------------------------------------------------------------------------------------------

    def _present(self) -> Iterator[tuple[int, Mail]]:
        for number, mail in enumerate(self._mails, 1):
            if number not in self._deleted:
                yield number, mail

    def _mail(self, argument: str) -> tuple[int, Mail]:
        number = int(argument) if argument.isascii() and argument.isdigit() and len(argument) < 10 else 0
        if not 1 <= number <= len(self._mails) or number in self._deleted:
            raise Pop3Error("no such mail")
        return number, self._mails[number - 1]

    def _count(self, argument: str) -> bytes:
        sizes = [len(mail.content) for _, mail in self._present()]
        return _ok(f"{len(sizes)} {sum(sizes)}")

    def _list_sizes(self, argument: str) -> bytes:
        return self._list(argument, lambda mail: str(len(mail.content)))

    def _list_names(self, argument: str) -> bytes:
        return self._list(argument, lambda mail: mail.uid)

    def _list(self, argument: str, fact: Callable[[Mail], str]) -> bytes:
        if argument.strip():
            number, mail = self._mail(argument.strip())
            return _ok(f"{number} {fact(mail)}")
        return _listing("the listing", (f"{number} {fact(mail)}" for number, mail in self._present()))

    def _give(self, argument: str) -> bytes:
        _, mail = self._mail(argument.strip())
        return _ok(f"{len(mail.content)} octets") + _stuffed(mail.content)

    def _give_top(self, argument: str) -> bytes:
        words = argument.split()
        if len(words) != 2 or not words[1].isdecimal():
            raise Pop3Error("TOP needs a mail and a number of lines")
        _, mail = self._mail(words[0])
        head, end, body = mail.content.partition(b"\r\n\r\n")
        lines = body.split(b"\r\n")[: int(words[1])]
        return _ok("the top") + _stuffed(head + end + b"\r\n".join(lines))

    def _delete(self, argument: str) -> bytes:
        number, _ = self._mail(argument.strip())
        self._deleted.add(number)
        return _ok("it goes at the end")

    def _restore(self, argument: str) -> bytes:
        self._deleted.clear()
        return _ok("all are here again")


def _ok(words: str) -> bytes:
    return f"+OK {words}\r\n".encode()


def _listing(words: str, lines: Iterable[str]) -> bytes:
    return _ok(words) + b"".join(f"{line}\r\n".encode() for line in lines) + b".\r\n"


def _stuffed(content: bytes) -> bytes:
    """The mail as a multi-line reply: CRLF line ends, leading dots doubled, the final dot."""
    lines = _DOT.sub(b"..", _BARE.sub(b"\r\n", content))
    return (lines if lines.endswith(b"\r\n") or not lines else lines + b"\r\n") + b".\r\n"


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    timeout = IDLE_S
    server: Pop3Server

    def handle(self) -> None:
        session = Session(self.server.mailroom)
        try:
            with suppress(OSError):
                self._talk(session)
        finally:
            session.end()

    def _talk(self, session: Session) -> None:
        self.wfile.write(session.greet())
        while not session.over:
            line = self.rfile.readline(_LINE_OCTETS + 1)
            if not line.endswith(b"\n"):  # it went away, or said too much
                return
            self.wfile.write(session.answer(line))


class Pop3Server(LoopbackServer):
    """Serves a mailroom on a free loopback port from ``start`` to ``stop``."""

    most_connections = MOST_SESSIONS

    def __init__(self, mailroom: Mailroom, port: int = 0) -> None:
        self.mailroom = mailroom
        super().__init__(_Connection, port, "pop3")
