"""HTTP/1.1 on loopback with the standard library's threads: keep-alive, no Nagle, everything bounded.

The request reader is our own (forty lines) because ``http.server`` spends most of a small request on the mail parser.
"""

from __future__ import annotations

import json
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.client import responses as reasons
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from adapter.simulator.faults import SHAPES, Fault, Faults
from adapter.simulator.loopback import LoopbackServer

MAX_LINE = 32_768
MAX_HEADERS = 64
IDLE_S = 60.0
MAX_CONNECTIONS = 128


@dataclass(slots=True)
class Request:
    """One request. ``url`` is absolute without query; header names are lower case; ``too_large`` = body not kept."""

    method: str
    path: str
    url: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes = b""
    too_large: bool = False
    state: dict[str, Any] = field(default_factory=dict)

    def asked(self, name: str) -> list[str]:
        """All values of a query parameter, its name in any case."""
        return [value for key, value in self.query if key.lower() == name.lower()]


@dataclass(slots=True)
class Response:
    """``plain`` is the JSON value of the body; ``raw`` its octets instead; ``absent`` = no body."""

    status: int
    plain: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    absent: bool = False
    raw: bytes | None = None
    at: float | None = None  # the server's clock, seconds since 1970; None: the machine's


Call = Callable[[Request, dict[str, str]], Response | None]  # None: the connection is cut


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path; ``faulty``: faults may hit it."""

    name: str
    method: str
    pattern: re.Pattern[str]
    call: Call
    faulty: bool = True


class Site:
    """One host: its routes, the error shape, how answers are distorted on demand (``distortions``: which may be)."""

    distortions = SHAPES

    def __init__(
        self, name: str, faults: Faults, *, shapes: frozenset[str] = frozenset(), body_limit: int = 1_000_000
    ) -> None:
        self.name = name
        self.faults = faults
        self.shapes = shapes & SHAPES
        self.body_limit = body_limit
        self.url = ""
        self.now: Callable[[], float] = time.time
        self._routes: list[Route] = []

    def add(self, method: str, template: str, call: Call, *, faulty: bool = True) -> None:
        """A route; literal segments match in any case, ``{name}`` is one segment."""
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template))
        self._routes.append(Route(f"{method} {template}", method, re.compile(pattern, re.IGNORECASE), call, faulty))

    def find(self, method: str, path: str) -> tuple[Route | None, dict[str, str], bool]:
        """The route and its parameters, and whether the path exists at all."""
        known = False
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match:
                if route.method == method:
                    return route, {key: unquote(value) for key, value in match.groupdict().items()}, True
                known = True
        return None, {}, known

    def error(self, status: int, text: str) -> Response:
        """An error that does not come from a route; sites with their own error shape override it."""
        return Response(status, {"error": text})

    def before(self) -> None:
        """Called before each request: what fell due in the meantime happens now."""

    def answer(self, request: Request) -> tuple[Response | None, list[Fault]]:
        """The response, or None when the connection is to be cut."""
        self.before()
        route, values, known = self.find(request.method, request.path)
        if route is None:
            return self.error(405 if known else 404, "no such method here" if known else "no such address"), []
        faults = self.faults.draw(route.name) if route.faulty else []
        names = {fault.name: fault for fault in faults}
        if "latency" in names:
            threading.Event().wait(names["latency"].seconds)
        if "cut_before" in names:
            return None, faults
        early = self._early(request, names)
        response = early or route.call(request, values)
        return (None if "cut_after_commit" in names and not early else response), faults

    def _early(self, request: Request, names: Mapping[str, Fault]) -> Response | None:
        if "redirect" in names:
            return Response(307, headers={"Location": f"{self.url}/_elsewhere{request.path}"}, absent=True)
        for name, text in _REFUSALS.items():
            if name in names:
                response = self.error(int(name), text)
                if name == "429":
                    response.headers["Retry-After"] = f"{names[name].seconds:g}"
                return response
        return None


_REFUSALS = {
    "401": "Unauthorized",
    "403": "Not authorized",
    "429": "Too many requests",
    "500": "An unknown error occurred",
    "503": "Service unavailable",
}


def encode(response: Response, shapes: frozenset[str], truncated: bool) -> bytes:
    """Status line, headers and body as bytes."""
    headers = dict(response.headers)
    body = response.raw or b""
    if not response.absent and response.raw is None:
        plain = _distort(response.plain, shapes, response.status) if shapes else response.plain
        body = json.dumps(plain, ensure_ascii=False).encode()
        if truncated:
            body = body[: max(len(body) // 2, 1)]
        headers.setdefault("Content-Type", "application/json; charset=utf-8")
    lines = [f"HTTP/1.1 {response.status} {reasons.get(response.status, 'Answer')}", f"Content-Length: {len(body)}"]
    lines.append(f"Date: {formatdate(response.at, usegmt=True)}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if response.status == 204:
        del lines[1]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


def _distort(plain: Any, shapes: frozenset[str], status: int) -> Any:
    if isinstance(plain, list):
        return [_distort(item, shapes, status) for item in plain]
    if not isinstance(plain, dict):
        return plain
    out = {key: _distort(value, shapes, status) for key, value in plain.items()}
    date = out.get("businessDocumentGenDate")
    if "offset_dates" in shapes and isinstance(date, str) and "+" not in date and not date.endswith("Z"):
        out["businessDocumentGenDate"] = date.split(".")[0] + ".1234567+01:00"
    if "unknown_enum" in shapes and "transportDeliveryState" in out:
        out["transportDeliveryState"] = "DeliveredTwiceRemoved"
    if "unknown_fields" in shapes:
        out["memberOfTheFuture"] = {"nested": [1, None]}
    if "pascal_case_errors" in shapes and status >= 400:
        out = {key[:1].upper() + key[1:]: value for key, value in out.items()}
    return out


class Connection(socketserver.StreamRequestHandler):
    """One client connection: requests one after the other until it closes, idles or misbehaves."""

    disable_nagle_algorithm = True
    timeout = IDLE_S
    rbufsize = 65_536
    server: Listener

    def handle(self) -> None:
        with suppress(OSError, ValueError):
            while self._once():
                pass

    def _once(self) -> bool:
        request, keep = self._read()
        if request is None:
            return False
        site = self.server.site
        response, faults = site.answer(request)
        if response is None:
            self.connection.shutdown(socket.SHUT_RDWR)
            return False
        names = {fault.name for fault in faults}
        response.at = site.now()
        if not keep:
            response.headers["Connection"] = "close"
        self.connection.sendall(encode(response, site.shapes | (site.distortions & names), "truncated_json" in names))
        return keep

    def _read(self) -> tuple[Request | None, bool]:
        line = self.rfile.readline(MAX_LINE).decode("latin-1").rstrip("\r\n")
        parts = line.split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            return None, False
        headers = self._headers()
        if headers is None or "transfer-encoding" in headers:
            return None, False
        length = int(headers.get("content-length") or 0)
        target = urlsplit(parts[1])
        request = Request(
            method=parts[0],
            path=target.path.rstrip("/") or "/",
            url=self.server.site.url + target.path,
            query=parse_qsl(target.query, keep_blank_values=True),
            headers=headers,
        )
        if headers.get("expect", "").lower() == "100-continue":
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if length > self.server.site.body_limit:
            request.too_large = True
            return request, self._discard(length)
        request.body = self.rfile.read(length) if length else b""
        return (request if len(request.body) == length else None), headers.get("connection", "").lower() != "close"

    def _headers(self) -> dict[str, str] | None:
        headers: dict[str, str] = {}
        for _ in range(MAX_HEADERS):
            line = self.rfile.readline(MAX_LINE)
            if line in (b"\r\n", b"\n"):
                return headers
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon:
                return None
            headers[name.strip().lower()] = value.strip()
        return None

    def _discard(self, length: int) -> bool:
        """Read a body that is too large, up to four times the limit, so that the client hears the answer."""
        left = min(length, 4 * self.server.site.body_limit)
        whole = left == length
        while left > 0:
            piece = self.rfile.read(min(left, 262_144))
            if not piece:
                return False
            left -= len(piece)
        return whole


class Listener(LoopbackServer):
    """The socket of a site."""

    most_connections = MAX_CONNECTIONS

    def __init__(self, site: Site, port: int = 0) -> None:
        self.site = site
        super().__init__(Connection, port, site.name)
        site.url = f"http://127.0.0.1:{self.port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is its own affair; anything else is kept for the tests to see."""
        import sys

        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.site.faults.seen[(self.site.name, f"defect {type(error).__name__}")] += 1
            sys.excepthook(*sys.exc_info())
