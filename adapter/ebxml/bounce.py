"""What a mail says that came back: a delivery report (RFC 3464), or a server's plain words. Which mail, and for good?

HITS 1172 4.2.3: a bounce is matched by our SMTP envelope id, else by the Message-ID of the mail it returns; the
returned envelope's own MessageId serves where a server gives neither. A SOAP Fault names our mail in its head.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from adapter.ebxml.head import DEFAULT_LIMITS, Head, MimeLimits, find_head
from adapter.ebxml.mime import Package, Part, unpack
from adapter.ebxml.read import read
from adapter.errors import UnreadableError
from adapter.xmlio import Limits, parse

_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_MOST_BLOCKS = 20
_MOST_IDS = 20
_PLAIN_BYTES = 65_536  # of a plain bounce; what it returns of our mail begins before that
_RETURNED = ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")
_ENVELOPE = Limits(size_bytes=2_000_000, elements=20_000, text_chars=1_000_000)
_MACHINES = re.compile(r"(?i)(?:mailer-daemon|postmaster)@")
_LINE = rb"[^\r\n]{0,900}"
_IDS = re.compile(
    rb"(?im)^[> ]{0,10}(?:Message-ID|References|In-Reply-To):((?:" + _LINE + rb"\r?\n[ \t])?" + _LINE + rb")"
)
_ID = re.compile(r"<([!-;=?-~]{1,250})>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """``envelope_id`` is our ENVID, ``message_id`` the returned mail's without brackets; ``status`` like "5.1.1".

    ``ebxml_id`` is the MessageId of the returned envelope, ``mail_ids`` what else in it looks like a Message-ID.
    """

    envelope_id: str | None = None
    message_id: str | None = None
    action: str | None = None  # failed | delayed | delivered | relayed | expanded; replied: a machine's other words
    status: str | None = None
    ebxml_id: str | None = None
    mail_ids: tuple[str, ...] = ()

    @property
    def permanent(self) -> bool:
        """True when the mail server has given up; a delay is none, and without a status it is not known."""
        return self.action == "failed" or (self.action is None and (self.status or "").startswith("5"))

    @property
    def harmless(self) -> bool:
        """True for reports that tell of no failure: a delay, a delivery, somebody's absence."""
        return self.action in ("delayed", "delivered", "relayed", "expanded", "replied")

    def names(self) -> tuple[str, ...]:
        """Every Message-ID that it may be about, the likeliest first."""
        return tuple(dict.fromkeys(one for one in (self.message_id, *self.mail_ids) if one))


def read_bounce(package: Package, limits: MimeLimits = DEFAULT_LIMITS) -> Bounce | None:
    """The facts of a ``multipart/report``; None for any other message. Never raises for content."""
    if package.head.content_type != "multipart/report":
        return None
    found: dict[str, str | None] = {}
    for part in package.attachments:
        kind = part.head.content_type
        if kind in ("message/delivery-status", "message/global-delivery-status"):
            for head in _heads(part.raw, limits):
                found.setdefault("envelope_id", _plain(head.get("Original-Envelope-Id")))
                action = (_plain(head.get("Action")) or "").lower() or None
                status = _STATUS.search(head.get("Status") or "")
                if action and not found.get("action"):
                    found.update(action=action, status=status[0] if status else None)
        elif kind in _RETURNED:
            first = next(iter(_heads(part.raw, limits)), Head())
            returned = (_plain(first.get("Message-ID")) or "").removeprefix("<").removesuffix(">")
            found.setdefault("message_id", returned or None)
            found.setdefault("ebxml_id", _returned_id(part, limits))
    return Bounce(**found)  # type: ignore[arg-type]  # no key of it is a tuple


def read_plain_bounce(package: Package, mail: bytes) -> Bounce | None:
    """The facts of a mail without an envelope in which a server says in plain words that ours was not delivered.

    None for mail that no server wrote by itself. Nothing in it is proof: it is matched by our own Message-IDs alone.
    """
    head = package.head
    written = package.is_automatic or _MACHINES.search(head.get("From") or "") is not None
    if package.envelope is not None or not written or head.content_type == "multipart/report":
        return None
    ids = [*read_reply(head), *(one for text in _texts(package, mail) for one in _ids_in(text))]
    by_server = _MACHINES.search(head.get("From") or "") is not None or head.get("Return-Path") == "<>"
    action = "failed" if head.get("X-Failed-Recipients") is not None else None if by_server else "replied"
    return Bounce(action=action, mail_ids=tuple(dict.fromkeys(ids))[:_MOST_IDS])


def read_reply(head: Head) -> tuple[str, ...]:
    """The Message-IDs, without brackets, that a mail answers: a Fault names ours there (HITS 1172 4.2.3)."""
    found = _ID.findall(f"{head.get('In-Reply-To') or ''} {head.get('References') or ''}")
    return tuple(dict.fromkeys(found))[:_MOST_IDS]


def _texts(package: Package, mail: bytes) -> Iterator[bytes]:
    """The beginnings of the parts, or of the body that is the only one, decoded where they can be."""
    for part in package.attachments or (_only_part(mail),):
        cut = part.raw[:_PLAIN_BYTES]
        try:
            yield Part(part.head, cut).content()
        except UnreadableError:
            yield bytes(cut)


def _only_part(mail: bytes) -> Part:
    try:
        head, body = find_head(mail, 0, len(mail), DEFAULT_LIMITS)
    except UnreadableError:  # it was read from behind a first line that is no header
        return Part(Head(), memoryview(b""))
    return Part(head, memoryview(mail)[body:])


def _ids_in(text: bytes) -> list[str]:
    lines = _IDS.findall(text[:_PLAIN_BYTES])[:_MOST_IDS]
    return [one for line in lines for one in _ID.findall(line.decode("ascii", "replace"))]


def _returned_id(part: Part, limits: MimeLimits) -> str | None:
    """The ebXML MessageId of a mail that was returned whole."""
    try:
        envelope = unpack(bytes(part.raw), limits).envelope
        found = read(parse(envelope.content(limits), _ENVELOPE)).message_id if envelope is not None else None
    except UnreadableError:
        return None
    return _plain(found)


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
