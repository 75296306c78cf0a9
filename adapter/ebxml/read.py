"""From the SOAP envelope to words: by namespace, whatever the prefixes, and never raising for content.

What a message says is read here; whether it may say so is for the rules. Only the elements where they belong are read:
a MessageHeader in another place, or a second one, is not seen.
"""

from __future__ import annotations

from adapter.ebxml.moments import read_moment
from adapter.ebxml.names import ERROR_CONTEXT, SIGNAL_SERVICE, SIGNALS, Kind, ds, eb, soap, xlink
from adapter.ebxml.words import (
    AckRequest,
    EbError,
    Envelope,
    ErrorReport,
    Fault,
    Participant,
    PartyId,
    PayloadReference,
    Receipt,
    SignedReference,
    Transform,
)
from adapter.xmlio import Element

MOST_REFERENCES = 200  # of a Manifest, a signature, a receipt or an error list; more are not read


def read(root: Element) -> Envelope:
    """The words of a parsed envelope; ``kind`` None when it is not an ebXML message (or is a SOAP Fault)."""
    if root.tag != soap("Envelope"):
        return Envelope(kind=None)
    header, body = root.find(soap("Header")), root.find(soap("Body"))
    fault = _fault(body)
    block = header.find(eb("MessageHeader")) if header is not None else None
    if header is None or block is None:
        return Envelope(kind=None, fault=fault)
    about = block.find(eb("MessageData"))
    service = block.find(eb("Service"))
    receipt, report = _receipt(header), _report(header)
    manifest = _manifest(body)
    asked = body.find(eb("StatusRequest")) if body is not None else None
    told = body.find(eb("StatusResponse")) if body is not None else None
    status = told if told is not None else asked
    action = _text(block, "Action")
    return Envelope(
        kind=_kind(text_of(service), action, receipt is not None, report is not None, manifest is not None),
        sender=_party(block.find(eb("From"))),
        receiver=_party(block.find(eb("To"))),
        cpa_id=_text(block, "CPAId"),
        conversation_id=_text(block, "ConversationId"),
        service=text_of(service),
        service_type=service.get(eb("type")) if service is not None else None,
        action=action,
        message_id=_text(about, "MessageId"),
        timestamp=read_moment(_text(about, "Timestamp")),
        ref_to_message_id=_text(about, "RefToMessageId"),
        time_to_live=read_moment(_text(about, "TimeToLive")),
        duplicate_elimination=block.find(eb("DuplicateElimination")) is not None,
        description=_text(block, "Description"),
        ack_request=_ack_request(header),
        sync_reply=header.find(eb("SyncReply")) is not None,
        message_order=header.find(eb("MessageOrder")) is not None,
        receipt=receipt,
        report=report,
        manifest=manifest,
        asked_message_id=_text(status, "RefToMessageId"),
        message_status=told.get(eb("messageStatus")) if told is not None else None,
        fault=fault,
    )


def text_of(element: Element | None) -> str | None:
    """The element's own text without blanks around it; None when absent or empty."""
    if element is None:
        return None
    return (element.text or "").strip() or None


def _text(parent: Element | None, name: str) -> str | None:
    return text_of(parent.find(eb(name))) if parent is not None else None


def _kind(service: str | None, action: str | None, receipt: bool, report: bool, manifest: bool) -> Kind | None:
    """By Service and Action (HITS 1172 5.11.3); by content only where these say nothing."""
    if service == SIGNAL_SERVICE and action in SIGNALS:
        return SIGNALS[action]
    if receipt and not manifest:
        return Kind.ACKNOWLEDGMENT
    if report and not manifest:
        return Kind.MESSAGE_ERROR
    return None if service == SIGNAL_SERVICE and not manifest else Kind.PAYLOAD


def _party(side: Element | None) -> Participant:
    if side is None:
        return Participant(())
    ids = tuple(
        PartyId(text_of(one) or "", one.get(eb("type"))) for one in side.findall(eb("PartyId"))[:MOST_REFERENCES]
    )
    return Participant(ids, _text(side, "Role"))


def is_true(text: str | None) -> bool | None:
    """xs:boolean; None when it is none."""
    return {"1": True, "true": True, "0": False, "false": False}.get((text or "").strip())


def _ack_request(header: Element) -> AckRequest | None:
    asked = header.find(eb("AckRequested"))
    if asked is None:
        return None
    return AckRequest(signed=is_true(asked.get(eb("signed"))), actor=asked.get(soap("actor")))


def _receipt(header: Element) -> Receipt | None:
    block = header.find(eb("Acknowledgment"))
    if block is None:
        return None
    sender = block.find(eb("From"))
    return Receipt(
        ref_to_message_id=_text(block, "RefToMessageId"),
        timestamp=read_moment(_text(block, "Timestamp")),
        sender=_party(sender) if sender is not None else None,
        references=_references(block),
    )


def _report(header: Element) -> ErrorReport | None:
    block = header.find(eb("ErrorList"))
    if block is None:
        return None
    errors = tuple(
        EbError(
            code=(one.get(eb("errorCode")) or "").strip(),
            severity=one.get(eb("severity")) or "Error",
            text=_text(one, "Description"),
            location=one.get(eb("location")),
            context=one.get(eb("codeContext")) or ERROR_CONTEXT,
        )
        for one in block.findall(eb("Error"))[:MOST_REFERENCES]
    )
    return ErrorReport(errors, written_severity=block.get(eb("highestSeverity")))


def _manifest(body: Element | None) -> tuple[PayloadReference, ...] | None:
    block = body.find(eb("Manifest")) if body is not None else None
    if block is None:
        return None
    found = []
    for line in block.findall(eb("Reference"))[:MOST_REFERENCES]:
        schema = line.find(eb("Schema"))
        found.append(
            PayloadReference(
                href=(line.get(xlink("href")) or "").strip() or None,
                namespace=(schema.get(eb("location")) or "").strip() or None if schema is not None else None,
                version=(schema.get(eb("version")) or "").strip() or None if schema is not None else None,
                description=_text(line, "Description"),
            )
        )
    return tuple(found)


def _fault(body: Element | None) -> Fault | None:
    block = body.find(soap("Fault")) if body is not None else None
    if block is None:
        return None
    code = text_of(block.find("faultcode"))
    return Fault(code=code.rpartition(":")[2] if code else None)


def signature_of(root: Element) -> Element | None:
    """The ds:Signature under SOAP:Header, or None; one anywhere else is none."""
    header = root.find(soap("Header"))
    return header.find(ds("Signature")) if header is not None else None


def signed_references(root: Element) -> tuple[SignedReference, ...]:
    """Every ds:Reference of the envelope's own signature; never those that an Acknowledgment repeats."""
    signature = signature_of(root)
    signed = signature.find(ds("SignedInfo")) if signature is not None else None
    return _references(signed) if signed is not None else ()


def _references(parent: Element) -> tuple[SignedReference, ...]:
    return tuple(_reference(one) for one in parent.findall(ds("Reference"))[:MOST_REFERENCES])


def _reference(block: Element) -> SignedReference:
    method, value = block.find(ds("DigestMethod")), block.find(ds("DigestValue"))
    steps = block.findall(f"{ds('Transforms')}/{ds('Transform')}")[:20]
    return SignedReference(
        uri=block.get("URI"),
        digest_method=method.get("Algorithm") if method is not None else None,
        digest="".join((value.text or "").split()) or None if value is not None else None,
        transforms=tuple(_transform(step) for step in steps),
    )


def _transform(step: Element) -> Transform:
    xpath = step.find(ds("XPath"))
    if xpath is None:
        return Transform(step.get("Algorithm") or "")
    text = (xpath.text or "").strip()
    used = sorted((prefix, uri) for prefix, uri in xpath.nsmap.items() if prefix and f"{prefix}:" in text)
    return Transform(step.get("Algorithm") or "", text, tuple(used))
