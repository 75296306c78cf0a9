"""A small real HTTP server on loopback that answers by script and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

STEP_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Reply:
    """``fault``: no_answer, cut_body, drip_head, drip_body, silence, or None. A body that is no bytes becomes JSON."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    fault: str | None = None

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Speaker(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _answer(self) -> None:
        if self.server.loopback.deaf:
            self.server.stopping.wait(20)
            return self._cut()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        reply = self.server.loopback.reply_to(asked)
        if reply.fault == "no_answer":
            self._cut()
        elif reply.fault == "silence":
            self.server.stopping.wait(20)
            self._cut()
        elif reply.fault == "drip_head":
            self._drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 5000)
        else:
            self._speak(reply)

        return None

    do_GET = do_POST = do_PUT = _answer

    def _speak(self, reply: Reply) -> None:
        content = reply.content
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in reply.headers and "Connection" not in reply.headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if reply.fault == "cut_body":
            self.wfile.write(content[: len(content) // 2])
            self._cut()
        elif reply.fault == "drip_body":
            self._drip(content)
        else:
            self.wfile.write(content)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.server.loopback.date or super().date_time_string(timestamp)

    def _drip(self, content: bytes) -> None:
        try:
            for i in range(len(content)):
                self.wfile.write(content[i : i + 1])
                if self.server.stopping.wait(STEP_S):
                    return
        except OSError:
            return
        finally:
            self._cut()

    def _cut(self) -> None:
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def setup(self) -> None:
        self.server.loopback.connections += 1
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:
        return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    loopback: Loopback

    def __init__(self, loopback: Loopback) -> None:
        super().__init__(("127.0.0.1", 0), _Speaker)
        self.loopback = loopback
        self.stopping = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # clients that hang up are what these tests are about


class Loopback:
    """``script`` is used up in order; then ``otherwise`` answers everything."""

    def __init__(self, *script: Reply, otherwise: Reply | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.script = deque(script)
        self.otherwise = otherwise or Reply(status=500)
        self.asked: list[Asked] = []
        self.date: str | None = None
        self.deaf = False  # never reads what is sent to it
        self.connections = 0
        self.heard = threading.Event()
        self._server = _Server(self)
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def reply_to(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        self.heard.set()
        return self.script.popleft() if self.script else self.otherwise

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
