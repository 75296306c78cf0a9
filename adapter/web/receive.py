"""The endpoint where partners on the ebXML road post their messages and late answers (HTTP; ebxml.md 1.5).

The only async code of the product: it reads a bounded body, hands it to ``Adapter.receive_envelope`` in a thread, and
writes what that gives. What is refused before (size, time, number, method) gets a short plain answer; whatever can be
taken for an attempt at ebXML is the journey's to judge, its Content-Type included (HITS 1172 5.5.2.1: SOAP Fault).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from adapter.config_mail import HEALTH_PATH, ReceiveSettings
from adapter.errors import AdapterError, SettingsError
from adapter.flow.fetch import below_low_water
from adapter.store.envelopes import NO_ROOM
from adapter.web.line import LOOK_EVERY_S, Certificate, Listening, Server, listen, server
from adapter.worker import run_job

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from adapter.assembly import Adapter
    from adapter.flow.ebxml_in import EnvelopeAnswer

Wake = Callable[[str], None]
BUSY_S, OURS_S, NO_ROOM_S = 5, 60, 3600  # Retry-After: too much at once; the fault is ours; strangers' are too many
LINGER_S = 2.0
LOOK_S = 5.0  # a health check
_EXTRA_S = 1.0  # of a stop, for what is broken off


class Refusal(PlainTextResponse):
    """A short plain answer after which the connection ends.

    A client that is still sending is listened to for a moment: closing under it would lose the answer (RFC 9112 9.6).
    """

    def __init__(self, status: int, text: str, *, sending: bool = True, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(f"{text}\n", status, {**named, "Connection": "close"})
        self._sending = sending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        if self._sending:
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    while (await receive()).get("more_body", False):
                        pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Endpoint:
    """The paths of the endpoint and what they answer."""

    def __init__(self, adapter: Adapter, receive: ReceiveSettings, wake: Wake) -> None:
        self._adapter = adapter
        self._receive = receive
        self._wake = wake
        self._reading: set[asyncio.Timeout] = set()
        self._stopping = False
        self.under_way = 0
        self.taking = 0
        self._pool = ThreadPoolExecutor(receive.most_requests, "receive")
        self._looks = ThreadPoolExecutor(1, "health")
        routes = [
            Route(receive.path, self._post, methods=["POST"]),
            Route(HEALTH_PATH, self._health, methods=["GET"]),
        ]
        self.app = Starlette(routes=routes, exception_handlers={HTTPException: self._no_such})
        self.app.router.redirect_slashes = False

    def hang_up(self) -> None:
        """Read no further: nothing of half a message is kept, and its sender is told to come back."""
        self._stopping = True
        for clock in self._reading:
            clock.reschedule(0.0)

    def close(self, within_s: float) -> bool:
        """Wait for the threads; True when none is left."""
        for pool in (self._pool, self._looks):
            ender = threading.Thread(target=pool.shutdown, kwargs={"cancel_futures": True}, daemon=True)
            ender.start()
            ender.join(within_s)
            if ender.is_alive():
                return False
        return True

    async def _post(self, request: Request) -> Response:
        if self._stopping:
            return self._come_back()
        if self.under_way >= self._receive.most_requests:
            return self._refuse(503, "too many requests", Retry_After=str(BUSY_S))
        self.under_way += 1
        try:
            body = await self._read(request)
            if isinstance(body, Response):
                return body
            self.taking += 1
            try:
                return await asyncio.get_running_loop().run_in_executor(
                    self._pool, self._take, body, request.headers.items()
                )
            finally:
                self.taking -= 1
        finally:
            self.under_way -= 1

    async def _read(self, request: Request) -> bytes | Response:
        """The whole body, or the refusal."""
        headers, limit = request.headers, self._receive.body_limit_bytes
        length = headers.get("content-length", "0")
        if "content-length" in headers and "transfer-encoding" in headers:  # two framings: a smuggler's
            return self._refuse(400, "two lengths")
        if any(one.strip().lower() != "identity" for one in headers.getlist("content-encoding")):
            return self._refuse(415, "no content encoding is supported", Accept_Encoding="identity")
        if int(length) > limit:
            return self._refuse(413, "too large")
        try:
            body = await self._hear(request)
        except TimeoutError:
            if self._stopping:
                return self._come_back()
            return self._refuse(408, "the request took too long", sending=False)
        except ClientDisconnect:  # nothing of it is kept; nobody hears this
            return self._refuse(400, "incomplete", sending=False)
        if body is None:
            return self._refuse(413, "too large")
        return body or self._refuse(400, "no message", sending=False)

    async def _hear(self, request: Request) -> bytes | None:
        """The body; None when it is too large. Raises TimeoutError (too slow, or we stop) and ClientDisconnect."""
        now, idle_s = asyncio.get_running_loop().time, self._receive.idle_timeout_s
        ends, body = now() + self._receive.total_timeout_s, bytearray()
        async with asyncio.timeout_at(min(ends, now() + idle_s)) as clock:
            self._reading.add(clock)
            try:
                async for piece in request.stream():
                    body += piece
                    if len(body) > self._receive.body_limit_bytes:
                        return None
                    if not self._stopping:
                        clock.reschedule(min(ends, now() + idle_s))
            finally:
                self._reading.discard(clock)
        return bytes(body)

    def _come_back(self) -> Response:
        return self._refuse(503, "stopping", sending=False, Retry_After=str(OURS_S))

    def _refuse(self, status: int, text: str, *, sending: bool = True, **headers: str) -> Response:
        self._adapter.parts.log.warning("request refused", extra={"http_status": status})
        return Refusal(status, text, sending=sending, **headers)

    def _take(self, body: bytes, headers: list[tuple[str, str]]) -> Response:
        """In a thread: the journey's answer, which is stored by now; 503 for what is to come again, 500 for a defect.

        No room for what its sender has not signed (P28) is no fault of the job's, and has an alarm of its own.
        """
        found: list[EnvelopeAnswer] = []
        failed: list[AdapterError] = []

        def take() -> None:
            try:
                found.append(self._adapter.receive_envelope(body, headers))
            except AdapterError as error:
                failed.append(error)
                if error.code != NO_ROOM:
                    raise

        run_job(self._adapter.parts, "receive", take)
        if failed:
            later_s = NO_ROOM_S if failed[0].code == NO_ROOM else OURS_S
            return self._refuse(503, "not taken, send it again later", sending=False, Retry_After=str(later_s))
        if not found:
            return self._refuse(500, "not taken", sending=False)
        [answer] = found
        self._wake("resume")
        unfolded = {name: " ".join(value.split()) for name, value in answer.headers}
        return Response(answer.body, answer.status, unfolded)

    async def _health(self, request: Request) -> Response:
        del request
        look = asyncio.get_running_loop().run_in_executor(self._looks, self._well)
        with suppress(TimeoutError):
            if await asyncio.wait_for(look, LOOK_S):
                return PlainTextResponse("ok\n")
        return PlainTextResponse("not ready\n", 503)

    def _well(self) -> bool:
        try:
            self._adapter.list(limit=1)
            return not below_low_water(self._adapter.parts)
        except AdapterError:
            return False

    async def _no_such(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        sending = request.method not in ("GET", "HEAD")
        text = "no such method here" if error.status_code == 405 else "no such path"
        return self._refuse(error.status_code, text, sending=sending, **(error.headers or {}))


class Receiver:
    """The running endpoint, in a thread of its own; ``start`` returns when it listens."""

    def __init__(self, adapter: Adapter) -> None:
        settings = adapter.parts.settings
        if settings.receive is None:
            raise SettingsError("there is no receiving endpoint", where="receive", cure="add [receive]")
        self._adapter = adapter
        self._receive = settings.receive
        self.certificate = Certificate(settings, self._receive) if self._receive.certificate is not None else None
        self._listening: Listening | None = None
        self._server: Server | None = None
        self._endpoint: Endpoint | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that it listens on, also when the settings say 0."""
        assert self._listening is not None
        return self._port

    @property
    def connections(self) -> int:
        """How many are open now, those in a TLS handshake too."""
        return self._listening.bound.open if self._listening is not None else 0

    @property
    def under_way(self) -> int:
        """How many messages are being read or taken now."""
        return self._endpoint.under_way if self._endpoint is not None else 0

    @property
    def taking(self) -> int:
        """How many whole messages are being taken now."""
        return self._endpoint.taking if self._endpoint is not None else 0

    def start(self, wake: Wake = lambda name: None) -> None:
        """Listen. ``wake`` is told the job that new messages wait for. Raises SettingsError when it cannot be bound."""
        self._listening = listen(self._receive)
        self._port: int = self._listening.getsockname()[1]
        self._endpoint = Endpoint(self._adapter, self._receive, wake)
        context = self.certificate.context if self.certificate is not None else None
        within_s = self._adapter.parts.settings.worker.stop_calls_within_s
        self._server = server(self._endpoint.app, self._receive, context, within_s)
        self._server.config.callback_notify = self._look if self.certificate is not None else None
        self._server.config.timeout_notify = LOOK_EVERY_S
        self._thread = threading.Thread(
            target=self._server.serve_here, args=(self._listening,), name="receive", daemon=True
        )
        self._thread.start()
        self._server.up.wait()
        if not self._server.started:
            raise SettingsError("the receiving endpoint did not start", code="RECEIVE.START", where="receive")
        self._adapter.parts.log.info("endpoint started")

    async def _look(self) -> None:
        """A renewed certificate."""
        assert self.certificate is not None
        look = self.certificate.look
        await asyncio.to_thread(run_job, self._adapter.parts, "certificate", look)

    def stop(self) -> bool:
        """Accept nothing more; requests under way get ``stop_calls_within_s``. True when all of them ended."""
        if self._server is None or self._endpoint is None or self._thread is None:
            return True
        self._server.end(self._endpoint.hang_up)
        self._thread.join(self._adapter.parts.settings.worker.stop_calls_within_s + _EXTRA_S)
        ended = not self._thread.is_alive() and self._endpoint.close(_EXTRA_S / 2)
        self._adapter.parts.log.info("endpoint stopped", extra={"clean": ended})
        return ended
