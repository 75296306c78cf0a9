"""What came to the ebXML partners and what they sent: one entry per envelope, for tests and the demo."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapter.ebxml.words import Envelope
from adapter.model.wire import Clock

IN, OUT = "in", "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class EbxmlEntry:
    """One envelope, seen from the partner. ``digest`` is SHA-256 of the envelope's octets: a resend has the same.

    ``about`` is the MessageId that a signal speaks of; ``note`` what was special: "lost", "repeated", "not verified" …
    """

    partner: int
    way: str  # in: to the partner, out: from it
    road: str
    kind: str | None
    message_id: str | None
    about: str | None
    conversation_id: str | None
    service: str | None
    action: str | None
    digest: str
    size_bytes: int
    when: datetime
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "partner": self.partner,
            "way": self.way,
            "road": self.road,
            "kind": self.kind,
            "messageId": self.message_id,
            "about": self.about,
            "conversationId": self.conversation_id,
            "service": self.service,
            "action": self.action,
            "digest": self.digest,
            "sizeBytes": self.size_bytes,
            "when": self.when.isoformat(),
            "note": self.note,
        }


class EbxmlLedger:
    """The entries in order. May be written from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: list[EbxmlEntry] = []

    def add(
        self, partner: int, way: str, road: str, words: Envelope, octets: bytes, size_bytes: int, note: str = ""
    ) -> None:
        """Write one envelope down; ``size_bytes`` with its attachments."""
        entry = EbxmlEntry(
            partner=partner,
            way=way,
            road=road,
            kind=words.kind.value if words.kind else None,
            message_id=words.message_id,
            about=words.receipt.ref_to_message_id if words.receipt else words.ref_to_message_id,
            conversation_id=words.conversation_id,
            service=words.service,
            action=words.action,
            digest=hashlib.sha256(octets).hexdigest(),
            size_bytes=size_bytes,
            when=self._clock(),
            note=note,
        )
        with self._lock:
            self._entries.append(entry)

    def entries(self, partner: int | None = None, way: str | None = None, kind: str | None = None) -> list[EbxmlEntry]:
        """Those of a partner, a way and a kind, in order; None takes all."""
        with self._lock:
            found = list(self._entries)
        asked = {"partner": partner, "way": way, "kind": kind}
        wanted = {name: value for name, value in asked.items() if value is not None}
        return [entry for entry in found if all(getattr(entry, name) == value for name, value in wanted.items())]
