"""A caller of the endpoint: whole requests by ``http.client``, and broken ones by hand."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

HOST = "127.0.0.1"
PATIENCE_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Said:
    """One answer; the names of headers in lower case. Status 0: the connection ended without one."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, answer: http.client.HTTPResponse) -> Self:
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return cls(status=answer.status, headers=headers, body=answer.read())


NOTHING = Said(status=0, headers={}, body=b"")


class Caller:
    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.tls = tls

    def post(
        self, body: bytes | Iterable[bytes], headers: Iterable[tuple[str, str]] = (), path: str = "/ebxml"
    ) -> Said:
        return self.ask("POST", path, body, headers)

    def get(self, path: str) -> Said:
        return self.ask("GET", path)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Said:
        """One request on a connection of its own; an iterable of pieces goes out chunked."""
        line = self.connection()
        try:
            line.request(method, path, body, dict(headers))
            return Said.of(line.getresponse())
        finally:
            line.close()

    def connection(self) -> http.client.HTTPConnection:
        if self.tls is not None:
            return http.client.HTTPSConnection(HOST, self.port, timeout=PATIENCE_S, context=self.tls)
        return http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE_S)

    @contextmanager
    def line(self) -> Iterator[socket.socket]:
        with socket.create_connection((HOST, self.port), timeout=PATIENCE_S) as plain:
            yield plain


XML = [("Content-Type", "text/xml")]


def head(
    length: int | None = None,
    *more: str,
    method: str = "POST",
    path: str = "/ebxml",
    headers: Iterable[tuple[str, str]] = XML,
) -> bytes:
    """The head of a request, written by hand."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", *(f"{name}: {value}" for name, value in headers), *more]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def hear(line: socket.socket) -> Said:
    """The answer on a line, and ``NOTHING`` when the other side ends it."""
    answer = http.client.HTTPResponse(line)
    try:
        answer.begin()
        return Said.of(answer)
    except (http.client.HTTPException, OSError):
        return NOTHING
    finally:
        answer.close()


def ended(line: socket.socket) -> bool:
    """Whether the other side ends the line, soon and without another word."""
    try:
        return line.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def drip(line: socket.socket, pieces: Sequence[bytes], every_s: float) -> int:
    """Write piece after piece until the other side has enough; gives how many went out."""
    line.setblocking(True)
    for number, piece in enumerate(pieces):
        line.settimeout(every_s)
        try:
            line.sendall(piece)
            if line.recv(1, socket.MSG_PEEK):
                line.settimeout(PATIENCE_S)
                return number
        except TimeoutError:
            continue
        except OSError:
            return number
        line.settimeout(PATIENCE_S)
        return number
    line.settimeout(PATIENCE_S)
    return len(pieces)


def took(began: float) -> float:
    return time.monotonic() - began
