"""What a bounce says of the mail that came back (RFC 3464): which one, and whether for good.

HITS 1172 4.2.3: a bounce is matched by our SMTP envelope id, else by the Message-ID of the mail it returns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from adapter.ebxml.head import DEFAULT_LIMITS, Head, MimeLimits, find_head
from adapter.ebxml.mime import Package
from adapter.errors import UnreadableError

_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_MOST_BLOCKS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """``envelope_id`` is our ENVID, ``message_id`` the returned mail's without brackets; ``status`` like "5.1.1"."""

    envelope_id: str | None = None
    message_id: str | None = None
    action: str | None = None  # failed | delayed | delivered | relayed | expanded
    status: str | None = None

    @property
    def permanent(self) -> bool:
        """True when the mail server has given up; a delay is none, and without a status it is not known."""
        return self.action == "failed" or (self.action is None and (self.status or "").startswith("5"))


def read_bounce(package: Package, limits: MimeLimits = DEFAULT_LIMITS) -> Bounce | None:
    """The facts of a ``multipart/report``; None for any other message. Never raises for content."""
    if package.head.content_type != "multipart/report":
        return None
    found: dict[str, str | None] = {}
    for part in package.attachments:
        kind = part.head.content_type
        if kind == "message/delivery-status":
            for head in _heads(part.raw, limits):
                found.setdefault("envelope_id", _plain(head.get("Original-Envelope-Id")))
                action = (_plain(head.get("Action")) or "").lower() or None
                status = _STATUS.search(head.get("Status") or "")
                if action and not found.get("action"):
                    found.update(action=action, status=status[0] if status else None)
        elif kind in ("message/rfc822", "message/global", "text/rfc822-headers"):
            first = next(iter(_heads(part.raw, limits)), Head())
            returned = (_plain(first.get("Message-ID")) or "").removeprefix("<").removesuffix(">")
            found.setdefault("message_id", returned or None)
    return Bounce(**found)


def _heads(raw: memoryview, limits: MimeLimits) -> list[Head]:
    data, at = bytes(raw[: limits.head_bytes]), 0
    heads: list[Head] = []
    try:
        while at < len(data) and len(heads) < _MOST_BLOCKS:
            head, at = find_head(data, at, len(data), limits)
            heads.append(head)
    except UnreadableError:
        return heads
    return heads


def _plain(text: str | None) -> str | None:
    """A header's text when it is short and printable."""
    text = (text or "").strip()
    return text if 0 < len(text) <= 300 and text.isascii() and text.isprintable() else None
