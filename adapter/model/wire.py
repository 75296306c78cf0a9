"""The contract between the journeys and a road. A road moves bytes; it reads no content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from adapter.codes import Coded
from adapter.model.receipt import ReceiptStatus

Clock = Callable[[], datetime]  # aware, UTC
IdSource = Callable[[], str]  # lower-case UUID

EBXML_HTTP, EBXML_MAIL = "ebxml-http", "ebxml-mail"  # roads of an agreement, beside "edi20"
EBXML_ROADS = (EBXML_HTTP, EBXML_MAIL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One document on its way: ``receivers`` are the level 2 HER-ids this sending is for (P1)."""

    document: bytes
    sender: int
    receivers: tuple[int, ...]
    msg_id: str
    msg_type: str
    overrides: Mapping[str, object] | None = None  # ebXmlOverrides (P13)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The server took it: ``remote_id`` is its id (a UUID), ``raw`` what it answered."""

    remote_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxItem:
    """One unread message. Only ``remote_id`` and ``receiver`` are certain; the rest is None without metadata."""

    remote_id: str
    receiver: int
    sender: int | None = None
    msg_id: str | None = None
    gen_date: str | None = None
    is_apprec: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteStatus:
    """One receiver's line of a status answer. Unknown enum values are kept as text in ``transport``."""

    receiver: int
    transport: str  # Unconfirmed | Acknowledged | Rejected | Abandoned | anything new
    sent: bool | None = None
    answer: ReceiptStatus | None = None
    answer_raw: str | None = None  # the text when it is no known status
    errors: tuple[Coded, ...] = ()
    receipt_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptParcel:
    """A receipt to be written by the server (P10, via = api)."""

    remote_id: str  # the server's id of the message that is answered
    acknowledger: int
    status: ReceiptStatus
    errors: tuple[Coded, ...] = ()
    overrides: Mapping[str, object] | None = None


class HttpReply(Protocol):
    """The response to a posted ebXML message: a signal, a SOAP Fault, or nothing."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


class EbxmlPost(Protocol):
    """The ebXML road over HTTP: posts a packed message once and gives the response; raises as ``Road`` does."""

    def post(self, url: str, headers: Iterable[tuple[str, str]], pieces: Iterable[bytes]) -> HttpReply: ...
    def close(self) -> None: ...


class Road(Protocol):
    """What a road can do. Every call has connect, read and total time-outs and raises only AdapterError kinds:

    TransportError (nothing was sent, or a safe call failed), UnknownOutcomeError (bytes were sent, no answer: P2),
    RemoteRefusalError (4xx), AccessError (401, 403, 423, HelseID configuration; P23).
    """

    name: str

    def send(self, parcel: Parcel) -> Sent: ...
    def send_receipt(self, receipt: ReceiptParcel) -> Sent: ...
    def unread(self, receivers: Sequence[int], limit: int = 100, *, newest_first: bool = False) -> list[InboxItem]: ...
    def fetch(self, remote_id: str, receiver: int) -> bytes: ...
    def statuses(self, remote_id: str) -> list[RemoteStatus]: ...
    def put_away(self, remote_id: str, receiver: int) -> None: ...
    def close(self) -> None: ...
