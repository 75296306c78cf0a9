"""HITS 1172 5.5: mail headers, MIME headers, and the headers of the parts.

Judged on an unpacked message; what could not be unpacked at all is rule EB1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from adapter.ebxml.mime import Package, Part, Shape
from adapter.ebxml.names import UTF8_NAMES, ErrorCode, Road
from adapter.ebxml.rulebook import Act, Hit

if TYPE_CHECKING:
    from adapter.ebxml.head import Head
    from adapter.ebxml.words import Envelope

_MAIL = (("From", "18", "80"), ("To", "19", "81"), ("Message-ID", "250", "251"), ("Date", "20", "83"))
_ENCODINGS = frozenset({"7bit", "8bit", "binary", "quoted-printable", "base64"})
# DER and BER of ContentInfo with type id-envelopedData (RFC 5652): a SEQUENCE that begins with that identifier.
_ENVELOPED_DATA = bytes.fromhex("06092a864886f70d010703")


def is_cms(content: bytes) -> bool:
    """True when the octets begin like a CMS EnvelopedData, in DER or in BER of indefinite length."""
    return content[:1] == b"\x30" and _ENVELOPED_DATA in content[:24]


def is_gzip(content: bytes) -> bool:
    return content[:2] == b"\x1f\x8b"


def check_packaging(package: Package) -> Iterator[Hit]:
    """The failed rules of mail, top and envelope part; a bare envelope has none of them."""
    if package.is_report:
        yield Hit("EB23")
        return
    if package.road is None:
        if package.envelope is None:
            yield Hit("67")
        return
    if package.road is Road.SMTP:
        yield from _mail(package.head)
        if package.is_automatic:
            yield Hit("EB31")
    yield from _top(package)
    if not package.closed:
        yield Hit("EB2")
    if not package.start_agrees:
        yield Hit("u1")
    if package.envelope is None:
        yield Hit("67")
    elif package.shape is Shape.MULTIPART:
        yield from _envelope_part(package.envelope.head)


def _mail(head: Head) -> Iterator[Hit]:
    for name, missing, empty in _MAIL:
        value = head.get(name)
        if value is None:
            yield Hit(missing)
        elif not value:
            yield Hit(empty)


def _top(package: Package) -> Iterator[Hit]:
    head = package.head
    if head.get("MIME-Version") is None:
        yield Hit("21")
    elif not (head.get("MIME-Version") or "").startswith("1.0"):
        yield Hit("82")
    action = head.get("SOAPAction")
    if action is None:
        yield Hit("22")
    elif action != '"ebXML"':
        yield Hit("51")
    if head.content_type in (None, "text/plain"):
        yield Hit("252")
    elif head.content_type not in ("multipart/related", "text/xml"):
        yield Hit("66")
    if head.content_type == "multipart/related" and head.parameters.get("type", "").lower() != "text/xml":
        yield Hit("253")
    if package.shape is Shape.SINGLE:
        yield from _charset(head)


def _charset(head: Head) -> Iterator[Hit]:
    if head.parameters.get("charset", "utf-8").lower() not in UTF8_NAMES:
        yield Hit("256")


def _envelope_part(head: Head) -> Iterator[Hit]:
    if head.content_type != "text/xml":
        yield Hit("255")
    yield from _charset(head)
    if head.transfer_encoding is None:
        yield Hit("257")
    elif head.transfer_encoding not in _ENCODINGS:
        yield Hit("258")


def check_attachment(number: int, part: Part, content: bytes | None, *, clear_allowed: bool) -> Iterator[Hit]:
    """Rules 259, 260 and 263 for the attachment ``number`` (1-based) and its decoded octets (None: undecodable).

    ``clear_allowed``: the process is one whose documents travel unencrypted.
    """
    place = f"attachment[{number}]"
    named_part = uri_of(part)
    named = part.head.content_type == "application/pkcs7-mime"
    if content is None:
        yield Hit("259", place, act=Act.ERROR, code=ErrorCode.MIME_PROBLEM, location=named_part)
    elif part.head.transfer_encoding != "base64":
        yield Hit("259", place)
    if not named or part.head.parameters.get("smime-type", "enveloped-data").lower() != "enveloped-data":
        yield Hit("260", place)
    if content is not None and not is_cms(content):
        yield Hit("EB20", place) if clear_allowed else Hit("263", place, location=named_part)


def check_parts(package: Package, envelope: Envelope) -> Iterator[Hit]:
    """Manifest against the parts that came (rules 27 and 23), extra parts, and parts that share an id."""
    ids = [part.head.content_id for part in package.attachments]
    if any(ids.count(one) > 1 for one in ids if one is not None):
        yield Hit("EB15", "attachment")
    lines = envelope.manifest or ()
    named: list[Part] = []
    for number, line in enumerate(lines, 1):
        if line.href is None or not line.href.lower().startswith("cid:"):
            continue
        part = package.find(line.href)
        if part is not None:
            named.append(part)
        elif not package.attachments:
            yield Hit("27", f"/Envelope/Body/Manifest/Reference[{number}]", location=line.href)
        else:
            yield Hit("23", f"/Envelope/Body/Manifest/Reference[{number}]", location=line.href)
    for number, part in enumerate(package.attachments, 1):
        if not any(part is one for one in named):
            yield Hit("EB14", f"attachment[{number}]", location=uri_of(part))


def uri_of(part: Part) -> str | None:
    """What the partner calls the part: ``cid:…``, None for one without a Content-ID."""
    return f"cid:{part.head.content_id}" if part.head.content_id else None
