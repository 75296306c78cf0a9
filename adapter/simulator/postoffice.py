"""What the message server keeps: messages, one delivery per receiver, inboxes, receipts, the ledger, what falls due.

All of it is in memory and behind one lock. Nothing happens by itself: what is due (a late acknowledgment, a partner's
answer) happens at the beginning of the next request, by the clock that was handed in, so that runs can be repeated.
"""

from __future__ import annotations

import hashlib
import heapq
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from adapter.model.wire import Clock, IdSource
from adapter.simulator.addressing import Envelope, read_envelope, when


@dataclass(slots=True)
class Delivery:
    """One receiver of one message. ``errors`` are (code, text) pairs of the AppRec; ``visible`` = in the inbox."""

    receiver: int
    transport: str = "Unconfirmed"
    sent: bool = False
    apprec: str | None = None
    errors: list[dict[str, str | None]] = field(default_factory=list)
    read: bool = False
    visible: bool = False


@dataclass(slots=True)
class Stored:
    """A message as the server has it; ``envelope`` is None for bytes that no address can be read from."""

    id: str
    document: bytes
    sender: int | None
    envelope: Envelope | None
    accepted_at: datetime
    msg_id: str | None = None
    gen_date: str | None = None
    is_apprec: bool = False
    overrides: Mapping[str, Any] | None = None
    source_system: str = ""
    deliveries: dict[int, Delivery] = field(default_factory=dict)

    @property
    def order(self) -> tuple[datetime, str]:
        """By GenDate, messages without one first."""
        return (when(self.gen_date) or datetime.min, self.id)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What was accepted: ``digest`` is SHA-256 of the document's bytes, ``receivers`` those it was delivered to."""

    remote_id: str
    msg_id: str | None
    msg_type: str | None
    is_apprec: bool
    digest: str
    size_bytes: int
    sender: int | None
    receivers: tuple[int, ...]
    overrides: Mapping[str, Any] | None
    source_system: str
    when: datetime
    injected: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "remoteId": self.remote_id,
            "msgId": self.msg_id,
            "msgType": self.msg_type,
            "isAppRec": self.is_apprec,
            "digest": self.digest,
            "sizeBytes": self.size_bytes,
            "sender": self.sender,
            "receivers": list(self.receivers),
            "overrides": dict(self.overrides) if self.overrides is not None else None,
            "sourceSystem": self.source_system,
            "when": self.when.isoformat(),
            "injected": self.injected,
        }


@dataclass(frozen=True, slots=True)
class ReceiptEntry:
    """An AppRec that passed: ``original_msg_id`` is the id it names, ``via`` "api" or "document"."""

    original_msg_id: str | None
    acknowledger: int | None
    status: str
    errors: tuple[tuple[str, str], ...]
    via: str
    remote_id: str
    when: datetime

    def as_json(self) -> dict[str, Any]:
        return {
            "originalMsgId": self.original_msg_id,
            "acknowledger": self.acknowledger,
            "status": self.status,
            "errors": [list(pair) for pair in self.errors],
            "via": self.via,
            "remoteId": self.remote_id,
            "when": self.when.isoformat(),
        }


class PostOffice:
    """The server's memory. Every public method takes the lock itself."""

    def __init__(self, clock: Clock, ids: IdSource) -> None:
        self.clock = clock
        self.ids = ids
        self.lock = threading.RLock()
        self.messages: dict[str, Stored] = {}
        self.ledger: list[LedgerEntry] = []
        self.receipts: list[ReceiptEntry] = []
        self.arrived: Callable[[Stored, Delivery], None] | None = None
        self._inbox: dict[int, dict[str, Stored]] = {}
        self._by_msg_id: dict[str, list[Stored]] = {}
        self._due: list[tuple[datetime, int, Callable[[], None]]] = []
        self._counter = 0

    # -- time ---------------------------------------------------------------------------------------------------------

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do ``action`` when the clock has gone ``seconds`` on (0: at the next request)."""
        with self.lock:
            self._counter += 1
            heapq.heappush(self._due, (self.clock() + timedelta(seconds=seconds), self._counter, action))

    def run_due(self) -> int:
        """Do everything that is due; what falls due by that is done too. Returns how many things were done."""
        if not self._due:
            return 0
        done = 0
        with self.lock:
            while self._due and self._due[0][0] <= self.clock():
                heapq.heappop(self._due)[2]()
                done += 1
        return done

    # -- taking in ----------------------------------------------------------------------------------------------------

    def accept(
        self,
        document: bytes,
        envelope: Envelope | None,
        *,
        sender: int | None,
        receivers: tuple[int, ...],
        overrides: Mapping[str, Any] | None = None,
        source_system: str = "",
        injected: bool = False,
    ) -> Stored:
        """Store a message and begin its deliveries (``arrived`` decides what each receiver does)."""
        stored = Stored(
            id=self.ids(),
            document=document,
            sender=sender,
            envelope=envelope,
            accepted_at=self.clock(),
            msg_id=envelope.msg_id if envelope else None,
            gen_date=envelope.gen_date if envelope else None,
            is_apprec=bool(envelope and envelope.is_apprec),
            overrides=overrides,
            source_system=source_system,
            deliveries={her_id: Delivery(her_id) for her_id in receivers},
        )
        with self.lock:
            self.messages[stored.id] = stored
            if stored.msg_id:
                self._by_msg_id.setdefault(stored.msg_id.lower(), []).append(stored)
            self.ledger.append(_entry(stored, injected))
            if stored.is_apprec:
                self._note_receipt(stored)
            for delivery in stored.deliveries.values():
                if self.arrived is not None:
                    self.arrived(stored, delivery)
        return stored

    def inject(
        self, document: bytes, receiver: int, *, sender: int | None = None, **known: str | bool | None
    ) -> Stored:
        """Put any bytes into an inbox, as a classic EDI sender could. ``known``: msg_id, gen_date, is_apprec."""
        envelope = read_envelope(document)
        from_ = sender if sender is not None else (envelope.sender.reached_at if envelope else None)
        with self.lock:
            stored = self.accept(document, envelope, sender=from_, receivers=(), injected=True)
            delivery = stored.deliveries[receiver] = Delivery(receiver)
            for name, value in known.items():
                setattr(stored, name, value)
            self.make_visible(stored, delivery)
            self.ledger[-1] = _entry(stored, True)
        return stored

    def make_visible(self, stored: Stored, delivery: Delivery) -> None:
        """The receiver is reached: transport acknowledged, unread in its inbox."""
        with self.lock:
            delivery.transport, delivery.sent, delivery.visible = "Acknowledged", True, True
            self._inbox.setdefault(delivery.receiver, {})[stored.id] = stored

    # -- reading ------------------------------------------------------------------------------------------------------

    def unread(self, receivers: list[int]) -> list[tuple[Stored, Delivery]]:
        """Unread messages, one row per receiver, oldest GenDate first."""
        with self.lock:
            rows = [
                (stored, stored.deliveries[her_id])
                for her_id in receivers
                for stored in self._inbox.get(her_id, {}).values()
            ]
        return sorted(rows, key=lambda row: row[0].order)

    def mark_read(self, stored: Stored, receiver: int) -> bool:
        """False when it was read before."""
        with self.lock:
            delivery = stored.deliveries[receiver]
            first = not delivery.read
            delivery.read = True
            self._inbox.get(receiver, {}).pop(stored.id, None)
        return first

    def find(self, msg_id: str) -> list[Stored]:
        """All messages with that MsgId, oldest first."""
        with self.lock:
            return list(self._by_msg_id.get(msg_id.lower(), ()))

    # -- receipts -----------------------------------------------------------------------------------------------------

    def _note_receipt(self, stored: Stored) -> None:
        envelope = stored.envelope
        if envelope is None:
            return
        status = STATUS_NAMES.get(envelope.status or "", envelope.status or "")
        via = "api" if stored.source_system == WRITTEN_BY_SERVER else "document"
        self.record_receipt(stored, envelope.original_id, stored.sender, status, envelope.errors, via)
        for original in self._by_msg_id.get((envelope.original_id or "").lower(), ()):
            self.set_apprec(original, stored.sender, status, envelope.errors)

    def record_receipt(
        self,
        stored: Stored,
        original: str | None,
        acknowledger: int | None,
        status: str,
        errors: tuple[tuple[str, str], ...],
        via: str,
    ) -> None:
        with self.lock:
            self.receipts.append(ReceiptEntry(original, acknowledger, status, errors, via, stored.id, self.clock()))

    def set_apprec(
        self, original: Stored, acknowledger: int | None, status: str, errors: tuple[tuple[str, str], ...]
    ) -> None:
        """Show the first AppRec of a receiver in the original's status; later ones change nothing there."""
        delivery = original.deliveries.get(acknowledger or 0)
        if delivery is None or delivery.apprec is not None or original.is_apprec:
            return
        delivery.apprec = status
        delivery.errors = [
            {"errorCode": code, "details": text, "description": text, "oid": "2.16.578.1.12.4.1.1.8221"}
            for code, text in errors
        ]


WRITTEN_BY_SERVER = "simulated message server, v2"
STATUS_NAMES = {"1": "Ok", "2": "Rejected", "3": "OkErrorInMessagePart"}

OSLO = ZoneInfo("Europe/Oslo")


def local_time(when: datetime) -> datetime:
    """Norwegian local time without zone, as documents have it."""
    return when.astimezone(OSLO).replace(tzinfo=None)


def _entry(stored: Stored, injected: bool) -> LedgerEntry:
    return LedgerEntry(
        remote_id=stored.id,
        msg_id=stored.msg_id,
        msg_type=stored.envelope.msg_type if stored.envelope else None,
        is_apprec=stored.is_apprec,
        digest=hashlib.sha256(stored.document).hexdigest(),
        size_bytes=len(stored.document),
        sender=stored.sender,
        receivers=tuple(stored.deliveries),
        overrides=stored.overrides,
        source_system=stored.source_system,
        when=stored.accepted_at,
        injected=injected,
    )
