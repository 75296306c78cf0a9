"""One TCP connection to a mail server, in the clear or under TLS, on which nothing can hang or flood.

Each read and write has a time-out, each call a deadline and a bound on what it may receive, and another thread can cut
the connection. TCP_NODELAY is always set: without it a TLS dialogue of small commands waits 40 ms at every step.
"""

from __future__ import annotations

import io
import select
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from adapter.config_mail import MailServerSettings
from adapter.errors import SettingsError, TransportError
from adapter.transport.urls import is_loopback

_BLOCK_BYTES = 262_144
_WRITE_BYTES = 65_536
LINE_BYTES = 65_536
MAIL_FULL = "MAIL.FULL"  # the code of a TransportError: a mailbox is full, the receiver's or ours
MAIL_LATER = "MAIL.LATER"  # the code of a TransportError: the server works, and does not take this mail now


class OversizeError(TransportError):
    """The other side sent more than the call may receive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Where to connect and how. ``context`` None: in the clear, which is allowed on loopback only. Times in seconds."""

    host: str
    port: int
    tls_at_once: bool
    context: ssl.SSLContext | None = field(repr=False)
    connect_timeout_s: float
    read_timeout_s: float


def read_terms(
    settings: MailServerSettings, *, tls_port: int, plain_port: int, where: str, ca_file: Path | None = None
) -> Terms:
    """The terms that ``settings`` mean; raises SettingsError for a clear connection abroad or unusable authorities."""
    if settings.security == "none" and not is_loopback(settings.host):
        cure = "use tls or starttls"
        raise SettingsError("mail in the clear is allowed on loopback only", where=f"{where}.security", cure=cure)
    tls = settings.security == "tls"
    return Terms(
        host=settings.host,
        port=settings.port or (tls_port if tls else plain_port),
        tls_at_once=tls,
        context=None if settings.security == "none" else _context(ca_file, where),
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
    )


def _context(ca_file: Path | None, where: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError):
        raise SettingsError("the authorities' file cannot be used", where=f"{where}.ca_file") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Line:
    """An open connection. Every method raises TransportError in our own words, and OversizeError past the bound."""

    def __init__(self, terms: Terms, total_timeout_s: float, limit_bytes: int) -> None:
        self._terms = terms
        self._buffer = bytearray()
        self._cut: str | None = None
        self._sock: socket.socket = socket.socket()
        self.begin(total_timeout_s, limit_bytes)

    def begin(self, total_timeout_s: float, limit_bytes: int) -> None:
        """Start a call: it may take so long and receive so much."""
        self._ends = time.monotonic() + total_timeout_s
        self._left_bytes = limit_bytes

    def connect(self) -> None:
        terms = self._terms
        self._sock.close()
        patience_s = min(terms.connect_timeout_s, self._remaining_s())
        try:
            self._sock = socket.create_connection((terms.host, terms.port), timeout=patience_s)
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError:
            raise TransportError("no answer: connecting took too long") from None
        except (OSError, UnicodeError):
            raise TransportError("no answer: the server cannot be reached") from None
        if self._cut:
            raise self._broken()
        if terms.tls_at_once:
            self.start_tls()

    def start_tls(self) -> None:
        """Go over to TLS; what came before it is refused, as anybody could have put it there."""
        if self._buffer:
            raise TransportError("no answer: the server spoke before TLS began")
        if self._terms.context is None:
            raise TransportError("no answer: TLS is not set up")
        try:
            self._sock.settimeout(min(self._terms.connect_timeout_s, self._remaining_s()))
            self._sock = self._terms.context.wrap_socket(self._sock, server_hostname=self._terms.host)
        except TimeoutError:
            raise self._late() from None
        except (OSError, ValueError):  # an SSLError is an OSError
            raise self._broken("the TLS connection failed (certificate or protocol)") from None

    @property
    def was_cut(self) -> bool:
        return self._cut is not None

    def write(self, content: bytes) -> None:
        view = memoryview(content)
        for start in range(0, len(view), _WRITE_BYTES):
            try:
                self._arm()
                self._sock.sendall(view[start : start + _WRITE_BYTES])
            except TimeoutError:
                raise self._late() from None
            except OSError:
                raise self._broken() from None

    def read_line(self, limit_bytes: int = LINE_BYTES, patience_s: float | None = None) -> bytes:
        """The next line with its end. ``patience_s`` replaces the read time-out."""
        seen = 0
        while (end := self._buffer.find(b"\n", seen)) < 0:
            seen = len(self._buffer)
            if seen > limit_bytes:
                raise OversizeError("the server's answer has too long a line")
            self._buffer += self._receive(patience_s)
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return line

    def read_exact(self, size: int) -> bytes:
        """``size`` bytes. Memory grows with what arrives, not with what was announced."""
        if size > self._left_bytes + len(self._buffer):
            raise OversizeError("the server's answer is larger than the limit")
        content = io.BytesIO()
        content.write(self._buffer[:size])
        del self._buffer[:size]
        while (missing := size - content.tell()) > 0:
            piece = self._receive()
            content.write(memoryview(piece)[:missing])
            self._buffer += piece[missing:]
        return content.getvalue()

    def read_until_dot(self) -> bytes:
        """A dotted block (RFC 1939, 3) without its dots: what comes before a line that is a dot alone."""
        content = io.BytesIO()
        tail = b"\r\n"
        piece = bytes(self._buffer)
        self._buffer.clear()
        while (at := (tail + piece).find(b"\r\n.\r\n")) < 0:
            content.write(piece)
            tail = (tail + piece)[-4:]
            piece = self._receive()
        whole = content.tell() + at - len(tail) + 2  # with the line end before the dot
        content.write(piece)
        content.seek(whole + 3)
        self._buffer += content.read()
        content.truncate(whole)
        return _undot(content.getvalue())

    def is_stale(self) -> bool:
        """True when a resting connection has something to read: its end, or a word we did not ask for."""
        try:
            return bool(self._buffer) or bool(select.select([self._sock], [], [], 0)[0])
        except (OSError, ValueError):
            return True

    def close(self) -> None:
        self._sock.close()

    def cut(self, why: str) -> None:
        """Break off from another thread; the thread that waits sees a broken connection."""
        self._cut = why
        try:
            # The base class's: SSLSocket.shutdown drops the TLS state under the reading thread.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        except OSError:
            return  # already closed

    def _receive(self, patience_s: float | None = None) -> bytes:
        try:
            self._arm(patience_s)
            piece = self._sock.recv(_BLOCK_BYTES)
        except TimeoutError:
            raise self._late() from None
        except OSError:
            raise self._broken() from None
        if not piece:
            raise self._broken()
        self._left_bytes -= len(piece)
        if self._left_bytes < 0:
            raise OversizeError("the server's answer is larger than the limit")
        return piece

    def _arm(self, patience_s: float | None = None) -> None:
        self._sock.settimeout(min(patience_s or self._terms.read_timeout_s, self._remaining_s()))

    def _remaining_s(self) -> float:
        remaining_s = self._ends - time.monotonic()
        if remaining_s <= 0:
            raise self._late()
        return remaining_s

    def _late(self) -> TransportError:
        over = time.monotonic() >= self._ends
        return self._broken("the call took too long" if over else "the server was silent for too long")

    def _broken(self, why: str = "the connection broke") -> TransportError:
        return TransportError(f"no answer: {self._cut or why}")


def _undot(content: bytes) -> bytes:
    if content.startswith(b".."):
        content = content[1:]
    return content.replace(b"\r\n..", b"\r\n.") if b"\r\n.." in content else content


def dotted(content: bytes) -> Iterator[bytes]:
    """``content`` in pieces for a dotted block: CRLF at its end, a dot more before a line that begins with one."""
    for start in range(0, len(content), _WRITE_BYTES):
        piece = content[start : start + _WRITE_BYTES]
        if b"\n." in piece:
            piece = piece.replace(b"\n.", b"\n..")
        if piece.startswith(b".") and (start == 0 or content[start - 1] == 0x0A):
            piece = b"." + piece
        yield piece
    yield b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n"
