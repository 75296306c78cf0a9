"""The ebXML road over HTTP: an endpoint per partner, and a courier that brings the partners' own messages to ours."""

from __future__ import annotations

import http.client
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from adapter.ebxml.opening import Opened, open_http
from adapter.ebxml.pack import Packed, pack_http
from adapter.model.wire import IdSource
from adapter.simulator.ebxml_partner import EbxmlPartner
from adapter.simulator.faults import Faults
from adapter.simulator.serving import Request, Response, Site

BODY_LIMIT = 60_000_000
AGAIN_S = 30.0
MOST_TRIES = 20
TIMEOUT_S = 30.0

# Takes the body and the headers of one message, gives those of the answer: how tests hand it to an adapter at once.
Post = Callable[[bytes, tuple[tuple[str, str], ...]], tuple[Mapping[str, str], bytes]]


class EbxmlEndpoint(Site):
    """``POST /ebxml/{herId}``. An asynchronous partner answers 202 and posts to our endpoint later."""

    def __init__(
        self, partners: Mapping[int, EbxmlPartner], faults: Faults, ids: IdSource, run_due: Callable[[], object]
    ) -> None:
        super().__init__("ebxml", faults, body_limit=BODY_LIMIT)
        self._partners = partners
        self._ids = ids
        self._run_due = run_due
        self.add("POST", "/ebxml/{herId}", self._post)

    def before(self) -> None:
        self._run_due()

    def _post(self, request: Request, values: dict[str, str]) -> Response | None:
        partner = self._partners.get(int(values["herId"]) if values["herId"].isdecimal() else 0)
        if partner is None:
            return self.error(404, "no such partner")
        if request.too_large:
            return self.error(413, "too large")
        said = partner.take(open_http(request.headers.items(), request.body))
        if said.cut:
            return None
        if not said.signal:
            return Response(202, absent=True)
        packed = pack_http(said.signal, (), boundary="none", content_id=f"{self._ids()}@simulator")
        return Response(500 if said.fault else 200, raw=packed.body(), headers=dict(packed.headers))


@dataclass(slots=True)
class _Parcel:
    partner: EbxmlPartner
    packed: Packed
    tries: int = 0


class Courier:
    """Brings messages to our endpoint, one after the other; who is not at home is tried again by the clock."""

    def __init__(self, later: Callable[[float, Callable[[], None]], None]) -> None:
        self.post: Post | None = None
        self._later = later
        self._waiting: deque[_Parcel] = deque()
        self._one_at_a_time = threading.Lock()

    def add(self, partner: EbxmlPartner, packed: Packed) -> None:
        self._waiting.append(_Parcel(partner, packed))

    def run(self) -> None:
        """Deliver what waits. Returns at once when another thread is at it."""
        if not self._one_at_a_time.acquire(blocking=False):
            return
        try:
            while self._waiting:
                self._deliver(self._waiting.popleft())
        finally:
            self._one_at_a_time.release()

    def _deliver(self, parcel: _Parcel) -> None:
        try:
            answer = self._answer(parcel.packed)
        except (OSError, http.client.HTTPException):
            answer = None
        if answer is not None:
            parcel.partner.heard(answer)
        elif parcel.tries < MOST_TRIES:
            parcel.tries += 1
            self._later(AGAIN_S, lambda: self._waiting.append(parcel))

    def _answer(self, packed: Packed) -> Opened | None:
        if self.post is None:
            return None
        headers, body = self.post(packed.body(), packed.headers)
        return open_http(headers.items(), body)


def post_to(url: str) -> Post:
    """A post over the network, to a loopback address (P22). Raises OSError when nobody takes it."""
    address = urlsplit(url)

    def post(body: bytes, headers: tuple[tuple[str, str], ...]) -> tuple[Mapping[str, str], bytes]:
        connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=TIMEOUT_S)
        try:
            connection.request("POST", address.path, body=body, headers=dict(headers))
            answer = connection.getresponse()
            content = answer.read()
            is_xml = "xml" in answer.headers.get("Content-Type", "")
            if answer.status in (408, 429, 503) or (answer.status >= 500 and not is_xml):
                raise ConnectionError(f"the endpoint did not take it: {answer.status}")
            return dict(answer.getheaders()), content
        finally:
            connection.close()

    return post
