"""One guarded HTTP client for every API we call (P20).

Each thread has its own connections; no redirect is followed, no cookie kept, no proxy or ``.netrc`` read from the
environment; an answer is read in pieces up to a limit; connecting, reading and the whole call have time-outs. The
client knows whether any byte of a request's body has left, because that decides between "try again" and "look for
proof first" (P2). Import this module lazily: requests takes 0.1 s to load.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from adapter.errors import TransportError, UnknownOutcomeError
from adapter.transport.call import TOO_LARGE, Answer, Body, Intake, Kept, Limits

_BLOCK_BYTES = 1_048_576
_PIECE_BYTES = 122_880  # just below the size from which each allocation asks the system for fresh memory
_POOL_CONNECTIONS = 4


class _Deadline:
    """Cuts the socket when a call has taken too long: a time-out per read does not stop a server that drips."""

    def __init__(self, seconds: float) -> None:
        self._lock = threading.Lock()
        self._over = False
        self._connection: Any = None
        self._socket: Any = None
        self.why: str | None = None  # set once the call has been cut
        self._timer = threading.Timer(seconds, self.cut, ("the call took too long",))
        self._timer.daemon = True

    def watch(self, connection: Any) -> None:
        self._connection = connection

    def keep_socket(self) -> None:
        self._socket = getattr(self._connection, "sock", None)

    def cut(self, why: str) -> None:
        """Break the call off; its thread sees a broken connection. Nothing happens when it is over."""
        with self._lock:
            if self._over or self.why is not None:
                return
            self.why = why
            line = self._socket or getattr(self._connection, "sock", None)
            if isinstance(line, socket.socket):
                try:
                    # The base class's: SSLSocket.shutdown drops the TLS state under the reading thread.
                    socket.socket.shutdown(line, socket.SHUT_RDWR)
                except OSError:
                    return  # already closed

    def __enter__(self) -> _Deadline:
        _current.deadline = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over = True
        self._timer.cancel()
        _current.deadline = None


_current = threading.local()


class _Watched:
    """Tells the running deadline which connection and socket it may have to cut."""

    def request(self, *args: Any, **kwargs: Any) -> None:
        deadline = getattr(_current, "deadline", None)
        if deadline is not None:
            deadline.watch(self)
        super().request(*args, **kwargs)  # type: ignore[misc]

    def getresponse(self) -> Any:
        deadline = getattr(_current, "deadline", None)
        if deadline is not None:
            deadline.keep_socket()
        return super().getresponse()  # type: ignore[misc]


class _PlainConnection(_Watched, HTTPConnection):
    pass


class _TlsConnection(_Watched, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    def __init__(self, passphrase: bytes | None) -> None:
        self._passphrase = {"key_password": passphrase} if passphrase is not None else {}
        super().__init__(_POOL_CONNECTIONS, _POOL_CONNECTIONS)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        pool_kwargs |= self._passphrase
        super().init_poolmanager(connections, maxsize, block, blocksize=_BLOCK_BYTES, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}


class HttpClient:
    """Calls with limits. Safe to share between threads; ``close`` ends all their connections."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        verify: bool | str = True,
        certificate: tuple[str, str] | None = None,
        passphrase: bytes | None = None,
    ) -> None:
        """``certificate``: PEM files of a certificate and its key, for servers that ask who calls."""
        self._limits = limits or Limits()
        self._verify = verify
        self._certificate = certificate
        self._passphrase = passphrase
        self._local = threading.local()
        self._lock = threading.Lock()
        self._adapters: list[_Adapter] = []
        self._under_way: set[_Deadline] = set()

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Body | None = None,
        safe: bool = True,
        intake: Intake | None = None,
    ) -> Answer:
        """One request, one answer, never repeated here. ``intake`` gets the body of a status 200 in the answer's stead.

        Raises TransportError when nothing of the body left or the call is ``safe`` to repeat, UnknownOutcomeError when
        an unsafe call was on its way and no status came back.
        """
        with self._deadline() as deadline:
            try:
                # Straight to the adapter: a session only adds what is unwanted here (cookies, redirects, proxies).
                asked = requests.PreparedRequest()
                asked.prepare(method, url, headers={**headers, "Accept-Encoding": "identity"}, data=body)
                response = self._adapter().send(
                    asked,
                    timeout=(self._limits.connect_timeout_s, self._limits.read_timeout_s),
                    stream=True,
                    verify=self._verify,
                    cert=self._certificate,
                )
            except (requests.RequestException, HTTPError, OSError) as error:
                raise _silence(
                    deadline.why or _reason(error), unknown=not safe and body is not None and body.started
                ) from None
            with response:
                if deadline.why:  # a head that the cut ended looks whole
                    raise _silence(deadline.why, unknown=not safe)
                kept = Kept()
                taker = intake if intake is not None and response.status_code == 200 else kept
                broken = self._read(response, deadline, taker)
                content = b"" if broken else kept.content()
                return Answer(response.status_code, CaseInsensitiveDict(response.headers), content, broken)

    @contextmanager
    def _deadline(self) -> Iterator[_Deadline]:
        with _Deadline(self._limits.total_timeout_s) as deadline:
            with self._lock:
                self._under_way.add(deadline)
            try:
                yield deadline
            finally:
                with self._lock:
                    self._under_way.discard(deadline)

    def _read(self, response: requests.Response, deadline: _Deadline, intake: Intake) -> str | None:
        """Let the body in up to the limit; the reason when it is not whole."""
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            return "the answer is encoded although identity was asked for"
        limit, declared, size = self._limits.response_limit_bytes, _declared(response), 0
        if declared > limit:
            return TOO_LARGE
        intake.expect(declared)
        try:
            for piece in response.raw.stream(_PIECE_BYTES, decode_content=False):
                size += len(piece)
                if size > limit:
                    return TOO_LARGE
                intake.add(piece)
        except (HTTPError, OSError):
            return deadline.why or "the answer was cut short"
        return deadline.why  # a cut socket can look like the end of an answer without a length

    def _adapter(self) -> _Adapter:
        """This thread's connections."""
        adapter: _Adapter | None = getattr(self._local, "adapter", None)
        if adapter is None:
            adapter = self._local.adapter = _Adapter(self._passphrase)
            with self._lock:
                self._adapters.append(adapter)
        return adapter

    def close(self) -> None:
        """End the connections of all threads; calls under way fail as broken connections. It can be used again."""
        with self._lock:
            adapters, self._adapters = self._adapters, []
            under_way = list(self._under_way)
        for deadline in under_way:
            deadline.cut("the adapter is stopping")
        for adapter in adapters:
            adapter.close()
        self._local = threading.local()


def _silence(why: str, *, unknown: bool) -> TransportError:
    if unknown:
        return UnknownOutcomeError(f"no answer after bytes were sent: {why}")
    return TransportError(f"no answer: {why}")


def _declared(response: requests.Response) -> int:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 19 else 0


def _reason(error: Exception) -> str:
    """The kind of failure in our own words: library texts hold addresses and sometimes bytes."""
    for kind, text in (
        (requests.exceptions.ConnectTimeout, "connecting took too long"),
        (requests.exceptions.ReadTimeout, "the server was silent for too long"),
        (requests.exceptions.SSLError, "the TLS connection failed (certificate or protocol)"),
        (requests.exceptions.InvalidURL, "the address is malformed"),
        (requests.exceptions.InvalidHeader, "a header of ours is malformed"),
        (requests.exceptions.ConnectionError, "the connection failed or broke"),
    ):
        if isinstance(error, kind):
            return text
    return "the connection failed or broke"
