"""HITS 1172 5.6–5.8 and 5.11–5.14: the envelope by itself, whatever its signature says.

Every function yields failed rules with places; none raises for content. Paths name elements, never values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from adapter.ebxml.check_names import check_announced, check_monitoring, names_fit
from adapter.ebxml.moments import has_zone
from adapter.ebxml.names import (
    ACTOR_NEXT,
    ACTOR_NEXT_MSH,
    ACTOR_TO_PARTY,
    EB,
    HER,
    ORGANISATION_TYPES,
    SIGNAL_SERVICE,
    SOAP,
    UTF8_NAMES,
    VERSION,
    ErrorCode,
    Kind,
    Road,
    ds,
    eb,
    is_message_id,
    namespace_of,
    soap,
)
from adapter.ebxml.read import is_true, named, text_of
from adapter.ebxml.rulebook import Act, Hit
from adapter.ebxml.structure import check_structure, line_of
from adapter.ebxml.words import ERROR_CODES, Envelope, Participant
from adapter.identifiers import is_message_id as is_uuid
from adapter.xmlio import Element

_DECLARATION = re.compile(rb"^(?:\xef\xbb\xbf)?<\?xml\s[^>]{0,200}?version\s*=\s*[\"']1\.0[\"'][^>]{0,200}\?>")
_ENCODING = re.compile(rb"encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")
_TWO_NUMBERS = re.compile(r"([0-9]{1,10})_([0-9]{1,10})(?:_[0-9A-Za-z-]{1,40})?")
_NINE = re.compile(r"[0-9]{9}")
_DIGITS = re.compile(r"[0-9]+")
_LONGEST_ID = 1_000  # characters; RFC 2822 allows no line that long
_HEADER = "/Envelope/Header/MessageHeader"
# absent, no PartyId, empty, no HER-id, several HER-ids, not digits
_FROM_RULES, _TO_RULES = ("10", "58", "25", "60", "14", "31"), ("9", "59", "55", "61", "13", "56")
_ENVELOPE, _UNDERSTAND, _VERSION = soap("Envelope"), soap("mustUnderstand"), eb("version")
_MESSAGE_HEADER, _MESSAGE_DATA = eb("MessageHeader"), eb("MessageData")
_SYNC_REPLY, _MESSAGE_ORDER = eb("SyncReply"), eb("MessageOrder")
_SOAP_HEADER, _SOAP_BODY = soap("Header"), soap("Body")
_MESSAGE_ID, _TIMESTAMP = eb("MessageId"), eb("Timestamp")
_ACK_REQUESTED, _MANIFEST, _SIGNED, _ACTOR = eb("AckRequested"), eb("Manifest"), eb("signed"), soap("actor")
_DATA_PATH = f"{_HEADER}/MessageData"
# (tag, path, absent, empty)
_NAMES = (
    (eb("Service"), f"{_HEADER}/Service", "47", "71"),
    (eb("Action"), f"{_HEADER}/Action", "48", "72"),
)
_FROM, _TO, _FROM_PATH, _TO_PATH = eb("From"), eb("To"), f"{_HEADER}/From", f"{_HEADER}/To"
_USUAL_BLOCKS = frozenset({_MESSAGE_HEADER, eb("AckRequested"), ds("Signature")})
_KNOWN_BLOCKS = frozenset(
    eb(name) for name in ("MessageHeader", "AckRequested", "Acknowledgment", "ErrorList", "MessageOrder", "SyncReply")
) | {ds("Signature")}
_KNOWN_BODY = frozenset(eb(name) for name in ("Manifest", "StatusRequest", "StatusResponse")) | {soap("Fault")}


def check_octets(octets: bytes, charset: str | None = None) -> Iterator[Hit]:
    """The XML declaration and the encoding (rules 78, 68 and 256); ``charset`` is the part's.

    Another encoding is a warning; another XML version, and an encoding that is not the part's charset, are errors
    (HITS 1171 8.4).
    """
    begin = octets[:500]
    declaration = _DECLARATION.match(begin)
    if declaration is None:
        other_version = begin.removeprefix(b"\xef\xbb\xbf").startswith(b"<?xml")
        yield Hit("78", None, None, Act.ERROR, ErrorCode.VALUE_NOT_RECOGNIZED) if other_version else Hit("78")
        return
    found = _ENCODING.search(declaration[0])
    encoding = found[1].decode("ascii").lower() if found else "utf-8"
    if encoding not in UTF8_NAMES:
        yield Hit("68", "xpointer(//)")
    if charset is not None and charset.lower() != encoding and not UTF8_NAMES.issuperset((charset.lower(), encoding)):
        yield Hit("256", "xpointer(//)", None, Act.ERROR, ErrorCode.VALUE_NOT_RECOGNIZED)


def check_envelope(root: Element, envelope: Envelope, road: Road | None) -> Iterator[Hit]:
    """All rules of the envelope that need nothing beside it; ``envelope`` is what was read from ``root``."""
    if root.tag != _ENVELOPE:
        yield Hit("43" if namespace_of(root.tag) in (SOAP, EB, None) else "86", "/")
        return
    if envelope.fault is not None:
        yield Hit("EB22", "/Envelope/Body/Fault")
        return
    frame = named(root)
    header, body = frame.get(_SOAP_HEADER), frame.get(_SOAP_BODY)
    if header is None:
        yield Hit("2", "/Envelope")
    if body is None:
        yield Hit("3", "/Envelope")
    block = next(header.iterchildren(_MESSAGE_HEADER), None) if header is not None else None
    if header is None or block is None:
        if header is not None:
            speaks = any(namespace_of(one.tag) == EB for one in root.iter(etree.Element))
            yield Hit("4" if speaks else "86", "/Envelope/Header")
        return
    yield from check_structure(root, envelope.kind)
    yield from _header_blocks(header, road)
    if body is not None:
        yield from _body_blocks(body, envelope.kind)
    yield from _message_header(block, envelope)
    yield from _combinations(envelope)
    if envelope.kind is Kind.PAYLOAD:
        yield from _payload(header, body, envelope)
    elif envelope.kind is Kind.ACKNOWLEDGMENT:
        yield from _receipt(envelope)
    elif envelope.kind is Kind.MESSAGE_ERROR:
        yield from _report(envelope)
    if envelope.kind is not Kind.PAYLOAD and (envelope.time_to_live or envelope.duplicate_elimination):
        yield Hit("EB28", _HEADER)
    yield from check_monitoring(envelope)
    if envelope.kind is Kind.PAYLOAD and not names_fit(envelope):
        yield Hit("EB27", f"{_HEADER}/Service")


def _header_blocks(header: Element, road: Road | None) -> Iterator[Hit]:
    for block in header:
        tag = block.tag
        if tag in _USUAL_BLOCKS:
            continue
        forbidden = tag == _SYNC_REPLY and road is Road.SMTP
        unknown = tag not in _KNOWN_BLOCKS and is_true(block.get(_UNDERSTAND)) is True
        if forbidden or unknown:
            yield Hit("100", "/Envelope/Header/*", line_of(block))
        if tag == _MESSAGE_ORDER:
            yield Hit("EB9", "/Envelope/Header/MessageOrder", line_of(block))


def _body_blocks(body: Element, kind: Kind | None) -> Iterator[Hit]:
    blocks = list(body.iterchildren(etree.Element))[:3]
    for block in blocks:
        if block.tag not in _KNOWN_BODY:
            yield Hit("101", "/Envelope/Body/*", line_of(block))
    if len(blocks) > 1:
        yield Hit("u3", "/Envelope/Body")
    if kind is Kind.PAYLOAD and not blocks:
        yield Hit("EB12", "/Envelope/Body")


def _message_header(block: Element, envelope: Envelope) -> Iterator[Hit]:
    version, understood, words = block.get(_VERSION), block.get(_UNDERSTAND), named(block)
    if version is None:
        yield Hit("8", f"{_HEADER}/@version")
    elif version.strip() != VERSION:
        yield Hit("70", f"{_HEADER}/@version")
    if understood is None:
        yield Hit("7", f"{_HEADER}/@mustUnderstand")
    elif is_true(understood) is not True:
        yield Hit("69", f"{_HEADER}/@mustUnderstand")
    yield from _message_data(words.get(_MESSAGE_DATA), envelope)
    if envelope.cpa_id is None:
        yield Hit("11", f"{_HEADER}/CPAId")
    elif not _cpa_id_has_form(envelope):
        yield Hit("12", f"{_HEADER}/CPAId")
    if envelope.conversation_id is None:
        yield Hit("EB17", f"{_HEADER}/ConversationId")
    for side, element, path, rules in (
        (envelope.sender, words.get(_FROM), _FROM_PATH, _FROM_RULES),
        (envelope.receiver, words.get(_TO), _TO_PATH, _TO_RULES),
    ):
        if not _plain_party(side):
            yield from _party(element, side, path, rules)
        if side.role is not None and envelope.kind is not Kind.PAYLOAD and envelope.kind is not None:
            yield Hit("EB5", f"{path}/Role")
        if side.role is None and envelope.kind is Kind.PAYLOAD and element is not None:
            yield Hit("EB4", f"{path}/Role")
    for tag, path, missing, empty in _NAMES:
        element = words.get(tag)
        if element is None:
            yield Hit(missing, path)
        elif text_of(element) is None:
            yield Hit(empty, path)


def _message_data(data: Element | None, envelope: Envelope) -> Iterator[Hit]:
    words = named(data) if data is not None else {}
    written = words.get(_MESSAGE_ID)
    if envelope.message_id is None:
        yield Hit("76", f"{_DATA_PATH}/MessageId")
    elif len(envelope.message_id) > _LONGEST_ID:
        yield Hit("102", f"{_DATA_PATH}/MessageId", act=Act.ERROR, code=ErrorCode.VALUE_NOT_RECOGNIZED)
    elif written is not None and not is_message_id(written.text):  # blanks around it count (V 5.8.2)
        yield Hit("102", f"{_DATA_PATH}/MessageId")
    time = text_of(words.get(_TIMESTAMP))
    if envelope.timestamp is None:
        yield Hit("77", f"{_DATA_PATH}/Timestamp")
    elif time and not has_zone(time):
        yield Hit("EB6", f"{_DATA_PATH}/Timestamp")
    if envelope.kind is Kind.PAYLOAD and envelope.ref_to_message_id is not None:
        yield Hit("EB7", f"{_DATA_PATH}/RefToMessageId")


def _cpa_id_has_form(envelope: Envelope) -> bool:
    """The two parties' numbers in order, perhaps with a serial number, or a UUID."""
    written = envelope.cpa_id or ""
    if is_uuid(written):
        return True
    found = _TWO_NUMBERS.fullmatch(written)
    if not found:
        return False
    parties = [_number(side) for side in (envelope.sender, envelope.receiver)]
    low, high = int(found[1]), int(found[2])
    known = sorted(number for number in parties if number is not None)
    return low <= high and (len(known) < 2 or [low, high] == known)


def _number(side: Participant) -> int | None:
    if side.her_id is not None:
        return side.her_id
    return int(side.organisation_number) if side.organisation_number else None


def _plain_party(side: Participant) -> bool:
    """True for one HER-id in digits, as nearly all parties are named: then ``_party`` finds nothing."""
    return len(side.ids) == 1 and side.ids[0].type == HER and _DIGITS.fullmatch(side.ids[0].value) is not None


def _party(element: Element | None, side: Participant, path: str, rules: tuple[str, ...]) -> Iterator[Hit]:
    absent, no_id, empty, no_her, several, digits = rules
    if element is None:
        yield Hit(absent, path)
        return
    if not side.ids:
        yield Hit(no_id, path)
        return
    place = f"{path}/PartyId"
    if any(not one.value for one in side.ids):
        yield Hit(empty, place)
    if any(one.type in ORGANISATION_TYPES and not _NINE.fullmatch(one.value) for one in side.ids):
        yield Hit("EB26", place)
    if any(not one.type for one in side.ids):
        yield Hit("EB30", place)
    her_ids = [one.value for one in side.ids if one.type == HER]
    if not her_ids:
        # A partner that has no address in the register is named by its organisation number (errata 1).
        yield Hit(no_her, place, act=Act.TOLERATE if side.organisation_number else None)
    elif len(her_ids) > 1:
        yield Hit(several, place)
    if any(value and not (value.isascii() and value.isdigit()) for value in her_ids):
        yield Hit(digits, place)


def _combinations(envelope: Envelope) -> Iterator[Hit]:
    """What excludes what (5.11); Service and Action have decided the kind already."""
    receipt, report, asked = envelope.receipt, envelope.report, envelope.ack_request
    bare = not (receipt or report or asked or envelope.manifest is not None or envelope.asked_message_id)
    if bare and envelope.kind in (Kind.PAYLOAD, None):
        yield Hit("u2", "/Envelope/Header")
    if receipt and report:
        yield Hit("u4", "/Envelope/Header/ErrorList")
    if receipt and asked:
        yield Hit("u5", "/Envelope/Header/AckRequested")
    if receipt and envelope.manifest is not None:
        yield Hit("u6", "/Envelope/Body/Manifest")
    if report and asked:
        yield Hit("u7", "/Envelope/Header/AckRequested")
    if report and envelope.manifest is not None:
        yield Hit("u8", "/Envelope/Body/Manifest")


def _receipt(envelope: Envelope) -> Iterator[Hit]:
    block = "/Envelope/Header/Acknowledgment"
    receipt = envelope.receipt
    if envelope.service != SIGNAL_SERVICE:
        yield Hit("106", f"{_HEADER}/Service")
    if envelope.action != Kind.ACKNOWLEDGMENT.value:
        yield Hit("107", f"{_HEADER}/Action")
    if receipt is None or not is_message_id(receipt.ref_to_message_id):
        lost = receipt is None or receipt.ref_to_message_id is None
        yield Hit("108", f"{block}/RefToMessageId", act=Act.DISCARD if lost else None)
    if envelope.ref_to_message_id is not None:
        yield Hit("109", f"{_HEADER}/MessageData/RefToMessageId")
    if envelope.report is not None:
        yield Hit("115", "/Envelope/Header/ErrorList")
    references = receipt.references if receipt else ()
    if not any(one.uri == "" for one in references):
        yield Hit("116", f"{block}/Reference")
    if not any((one.uri or "").startswith("cid:") for one in references):
        yield Hit("117", f"{block}/Reference")


def _report(envelope: Envelope) -> Iterator[Hit]:
    if envelope.service != SIGNAL_SERVICE:
        yield Hit("120", f"{_HEADER}/Service")
    if envelope.action != Kind.MESSAGE_ERROR.value:
        yield Hit("121", f"{_HEADER}/Action")
    if not is_message_id(envelope.ref_to_message_id):
        lost = envelope.ref_to_message_id is None and envelope.conversation_id is None
        yield Hit("122", f"{_HEADER}/MessageData/RefToMessageId", act=Act.DISCARD if lost else None)
    if envelope.receipt is not None:
        yield Hit("123", "/Envelope/Header/Acknowledgment")
    if envelope.report is None:
        yield Hit("EB29", "/Envelope/Header/ErrorList")
    elif any(one.code not in ERROR_CODES for one in envelope.report.errors):
        yield Hit("EB24", "/Envelope/Header/ErrorList/Error/@errorCode")


def _payload(header: Element, body: Element | None, envelope: Envelope) -> Iterator[Hit]:
    if envelope.sync_reply and envelope.ack_request is None:
        yield Hit("EB18", "/Envelope/Header/SyncReply")
    else:
        if not envelope.duplicate_elimination:
            yield Hit("74", f"{_HEADER}/DuplicateElimination")
        if envelope.ack_request is None:
            yield Hit("75", "/Envelope/Header/AckRequested")
    asked = next(header.iterchildren(_ACK_REQUESTED), None)
    if asked is not None:
        yield from _ack_request(asked)
    manifest = next(body.iterchildren(_MANIFEST), None) if body is not None else None
    if manifest is not None:
        if (manifest.get(_VERSION) or "").strip() != VERSION:
            yield Hit("5", "/Envelope/Body/Manifest/@version")
        yield from _manifest(envelope)


def _ack_request(asked: Element) -> Iterator[Hit]:
    block = "/Envelope/Header/AckRequested"
    understood = asked.get(_UNDERSTAND)
    if understood is None:
        yield Hit("u10", f"{block}/@mustUnderstand")
    elif is_true(understood) is not True:
        yield Hit("u11", f"{block}/@mustUnderstand")
    if is_true(asked.get(_SIGNED)) is not True:
        yield Hit("94", f"{block}/@signed")
    if (asked.get(_VERSION) or "").strip() != VERSION:
        yield Hit("EB11", f"{block}/@version")
    actor = asked.get(_ACTOR)
    if actor in (ACTOR_NEXT, ACTOR_NEXT_MSH):
        yield Hit("EB10", f"{block}/@actor")
    elif actor is not None and actor != ACTOR_TO_PARTY:
        yield Hit("EB11", f"{block}/@actor")


def _manifest(envelope: Envelope) -> Iterator[Hit]:
    block = "/Envelope/Body/Manifest"
    lines = envelope.manifest or ()
    if not lines:
        yield Hit("6", block)
    for number, line in enumerate(lines, 1):
        if line.href is None:
            yield Hit("u12", f"{block}/Reference[{number}]/@href")
        elif not line.href.lower().startswith("cid:"):
            yield Hit("EB13", f"{block}/Reference[{number}]/@href")
    if lines:
        yield from check_announced(lines[0], envelope.action)
