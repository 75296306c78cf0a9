"""A server on loopback that speaks by hand: each connection gets the next thing of its script, byte for byte."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Self

Play = Callable[["Call"], None]


class Call:
    """One connection. A play reads as much of the request as it likes, says what it likes, and the line is closed."""

    def __init__(self, line: socket.socket, over: threading.Event) -> None:
        self.line = line
        self.over = over
        self.head = b""
        self.read = 0  # bytes of the body
        self.closed = threading.Event()

    def read_head(self) -> None:
        while b"\r\n\r\n" not in self.head:
            piece = self.line.recv(65_536)
            if not piece:
                return
            self.head += piece
        self.head, _, rest = self.head.partition(b"\r\n\r\n")
        self.read = len(rest)

    def read_all(self) -> None:
        self.read_head()
        names = dict(line.lower().split(b": ", 1) for line in self.head.split(b"\r\n")[1:])
        length = int(names.get(b"content-length", b"0"))
        while self.read < length:
            piece = self.line.recv(65_536)
            if not piece:
                return
            self.read += len(piece)

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.line.sendall(piece)

    def pour(self, pieces: Iterable[bytes]) -> int:
        """Say it all, or until the other side has had enough; gives the bytes that went out."""
        sent = 0
        for piece in pieces:
            try:
                self.line.sendall(piece)
            except OSError:
                break
            sent += len(piece)
        return sent

    def hold(self) -> None:
        """Say nothing more until the test is over or the other side ends the line."""
        while not self.over.wait(0.01):
            try:
                self.line.settimeout(0.05)
                if self.line.recv(65_536) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    def reset(self) -> None:
        """End the line with RST instead of FIN."""
        self.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.line.close()


class Rude:
    """``plays`` are used up in order, one a connection; the last one stays."""

    def __init__(self, *plays: Play, tls: ssl.SSLContext | None = None) -> None:
        self.plays = list(plays)
        self.calls: list[Call] = []
        self.poured: list[int] = []
        self._tls = tls
        self._over = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._serve, daemon=True)]

    @property
    def url(self) -> str:
        scheme = "https" if self._tls is not None else "http"
        return f"{scheme}://127.0.0.1:{self._listening.getsockname()[1]}/ebxml"

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            if self._over.is_set():
                line.close()
                return
            play = self.plays.pop(0) if len(self.plays) > 1 else self.plays[0]
            thread = threading.Thread(target=self._play, args=(line, play), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _play(self, line: socket.socket, play: Play) -> None:
        line.settimeout(1.5)
        call: Call | None = None
        try:
            if self._tls is not None:
                line = self._tls.wrap_socket(line, server_side=True)
            call = Call(line, self._over)
            self.calls.append(call)
            play(call)
        except OSError:
            pass  # the other side hung up: what these tests are about
        finally:
            line.close()
            if call is not None:
                call.closed.set()

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with suppress(OSError):
            socket.create_connection(self._listening.getsockname(), timeout=1).close()
        self._listening.close()
        for thread in self._threads:
            thread.join(5)
