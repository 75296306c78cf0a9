"""The listening end of the receiving endpoint: bind (P19), TLS, and the bounds that the HTTP server lacks.

Bounded here: open connections (those in a TLS handshake too), the time for a TLS handshake, for the head of a request
and for a connection at rest.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from socket import AF_INET, AI_PASSIVE, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, getaddrinfo, socket
from threading import Event, Lock
from typing import Any, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from adapter.config import Settings
from adapter.config_mail import ReceiveSettings, check_receive
from adapter.errors import SettingsError
from adapter.transport.tls import read_pair

HANDSHAKE_S = 10.0
LOOK_EVERY_S = 30  # at the certificate's file
SLICE_BYTES = 32_768
CRUMBS_FROM_BYTES = 1_024


class Bound:
    """Counts open connections. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self.open = 0

    def take(self) -> bool:
        with self._lock:
            if self.open == self._most:
                return False
            self.open += 1
            return True

    def give_back(self) -> None:
        with self._lock:
            self.open -= 1


class _Counted(socket):
    """A connection that gives its place back when it is closed."""

    bound: Bound | None = None

    def close(self) -> None:
        super().close()
        if self.bound is not None:
            self.bound.give_back()
            self.bound = None


class Listening(socket):
    """A listening socket that closes connections above the bound at once: nothing of them is read."""

    bound: Bound

    def accept(self) -> tuple[socket, Any]:
        plain, address = super().accept()
        if not self.bound.take():
            plain.close()
            raise ConnectionAbortedError  # the event loop looks for the next one
        counted = _Counted(fileno=plain.detach())
        counted.bound = self.bound
        return counted, address


def listen(receive: ReceiveSettings) -> Listening:
    """Bind and listen. Raises SettingsError for a bind against P19 or one that the system refuses."""
    check_receive(receive)
    try:
        found = getaddrinfo(receive.host, receive.port, type=SOCK_STREAM, flags=AI_PASSIVE)
        # Of a name with addresses of both kinds, as localhost, the one that proxies and people try first.
        family, kind, protocol, _, address = min(found, key=lambda one: one[0] != AF_INET)
        listening = Listening(family, kind, protocol)
    except OSError as error:
        raise _not_bound(error) from None
    try:
        listening.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise _not_bound(error) from None
    listening.bound = Bound(receive.most_connections)
    return listening


def _not_bound(error: OSError) -> SettingsError:
    text = f"the receiving endpoint cannot be bound ({error.strerror or type(error).__name__})"
    cure = "choose a free port, and an address of this machine"
    return SettingsError(text, code="RECEIVE.BIND", where="receive.port", cure=cure)


class Certificate:
    """The endpoint's TLS context (1.2 and later), loaded again when the files change. New connections get the new."""

    def __init__(self, settings: Settings, receive: ReceiveSettings) -> None:
        """Raises SettingsError for files that are of no use."""
        pair = read_pair(settings, receive.certificate, receive.key, receive.key_passphrase, "receive")
        if pair is None:
            raise SettingsError("there is no certificate", where="receive.certificate", cure="give certificate and key")
        self._settings = settings
        self._pair = pair
        self._seen = self._marks()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._pair.load(self.context, settings)
        if receive.client_ca is not None:
            self._ask_callers(settings.path(receive.client_ca))

    def look(self) -> bool:
        """Load new files; gives whether there were any. Raises SettingsError, and then the old ones stay in use."""
        marks = self._marks()
        if marks == self._seen:
            return False
        trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # halves that do not fit must not reach the live one
        self._pair.load(trial, self._settings)
        self._pair.load(self.context, self._settings)
        self._seen = marks
        return True

    def _marks(self) -> list[tuple[int, int, int] | None]:
        return [_mark(self._pair.certificate), _mark(self._pair.key)]

    def _ask_callers(self, authorities: Path) -> None:
        try:
            self.context.load_verify_locations(authorities)
        except OSError:
            cure = "give a PEM file with the authorities of your partners' certificates"
            text = "the callers' authorities cannot be read"
            raise SettingsError(text, code="TLS.CERTIFICATE", where="receive.client_ca", cure=cure) from None
        self.context.verify_mode = ssl.CERT_REQUIRED


def _mark(file: Path) -> tuple[int, int, int] | None:
    """What changes with a file's content; None for one that is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class _Bounded(H11Protocol):
    """A connection whose heads and rests are bounded in time; the server itself bounds only the rest."""

    def __init__(self, *args: Any, idle_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False  # whoever asks for those logs: paths are a stranger's words
        self._idle_s = idle_s
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), SLICE_BYTES):
            if self.transport.is_closing():
                return
            self._hear(data[start : start + SLICE_BYTES])
        self._watch()

    def _hear(self, data: bytes) -> None:
        """One slice. A body in crumbs (chunks of a byte or two) would cost a second of work for half a megabyte."""
        cycle = self.cycle
        before = len(cycle.body) if cycle is not None and cycle.more_body else None
        super().data_received(data)
        if before is None or not cycle.more_body or len(data) < CRUMBS_FROM_BYTES:
            return
        if len(cycle.body) - before < len(data) // 4:
            self.transport.abort()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Who ends its own half after a whole request still listens: the server would hang up without an answer."""
        cycle = self.cycle
        if self.scheme == "https" or cycle is None or cycle.more_body or cycle.response_complete:
            return None
        cycle.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """The clock runs from the connection or the last answer until a whole head is there."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._unwatch()  # the body has a clock of its own
        elif self._timer is None:
            self._timer = self.loop.call_later(self._idle_s, self._late)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self.transport.is_closing() or self.transport.get_write_buffer_size():  # the other side does not read
            self.transport.abort()
            return
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            headers = [("Content-Length", "0"), ("Connection", "close")]
            answer = h11.Response(status_code=408, headers=headers, reason=b"Request Timeout")
            self.transport.write((self.conn.send(answer) or b"") + (self.conn.send(h11.EndOfMessage()) or b""))
        self.transport.close()
        self._timer = self.loop.call_later(self._idle_s, self._late)  # closing has to end, too


class _Loop(asyncio.SelectorEventLoop):
    """Bounds what the server leaves at the defaults: a minute for a TLS handshake, half a minute for its end."""

    async def create_server(self, *args: Any, **kwargs: Any) -> asyncio.Server:
        if kwargs.get("ssl") is not None:
            kwargs |= {"ssl_handshake_timeout": HANDSHAKE_S, "ssl_shutdown_timeout": HANDSHAKE_S}
        return await super().create_server(*args, **kwargs)


class Server(uvicorn.Server):
    """The HTTP server over one listening socket. ``serve_here`` runs it in the calling thread until ``should_exit``."""

    def __init__(self, config: uvicorn.Config, context: ssl.SSLContext | None) -> None:
        super().__init__(config)
        config.load()
        config.ssl = context
        self.up = Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self.loop = asyncio.get_running_loop()
        self.up.set()

    def end(self, first: Callable[[], None]) -> None:
        """From another thread: ``first``, in the loop, and then accept nothing more and end."""
        if self.loop is not None:
            with suppress(RuntimeError):  # it has ended
                self.loop.call_soon_threadsafe(first)
        self.should_exit = True

    def serve_here(self, listening: Listening) -> None:
        try:
            with asyncio.Runner(loop_factory=_Loop) as runner:
                runner.run(self.serve([listening]))
        finally:
            listening.close()
            self.up.set()


def server(app: Any, receive: ReceiveSettings, context: ssl.SSLContext | None, stop_within_s: float) -> Server:
    """The server with everything off that would tell, trust or write more than it must."""
    config = uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", partial(_Bounded, idle_s=receive.idle_timeout_s)),
        ws="none",
        lifespan="off",
        workers=1,
        loop="none",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=cast("int", receive.idle_timeout_s),
        timeout_graceful_shutdown=cast("int", stop_within_s),
    )
    return Server(config, context)
