"""From the SOAP envelope to words: by namespace, whatever the prefixes, and never raising for content.

What a message says is read here; whether it may say so is for the rules. Only the elements where they belong are read:
a MessageHeader in another place, or a second one, is not seen.
"""

from __future__ import annotations

from itertools import islice

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

_HEADER, _BODY, _ACTOR, _HREF = soap("Header"), soap("Body"), soap("actor"), xlink("href")
_MESSAGE_HEADER, _MESSAGE_DATA, _MANIFEST = eb("MessageHeader"), eb("MessageData"), eb("Manifest")
_ACKNOWLEDGMENT, _ERROR_LIST, _ACK_REQUESTED = eb("Acknowledgment"), eb("ErrorList"), eb("AckRequested")
_SYNC_REPLY, _MESSAGE_ORDER = eb("SyncReply"), eb("MessageOrder")
_FROM, _TO, _PARTY_ID, _ROLE, _TYPE = eb("From"), eb("To"), eb("PartyId"), eb("Role"), eb("type")
_CPA_ID, _CONVERSATION_ID, _SERVICE, _ACTION = eb("CPAId"), eb("ConversationId"), eb("Service"), eb("Action")
_MESSAGE_ID, _TIMESTAMP, _TIME_TO_LIVE = eb("MessageId"), eb("Timestamp"), eb("TimeToLive")
_REF_TO_MESSAGE_ID, _DUPLICATE_ELIMINATION = eb("RefToMessageId"), eb("DuplicateElimination")
_DESCRIPTION, _SIGNED, _REFERENCE, _SCHEMA = eb("Description"), eb("signed"), eb("Reference"), eb("Schema")
_LOCATION, _VERSION, _MESSAGE_STATUS = eb("location"), eb("version"), eb("messageStatus")
_STATUS_REQUEST, _STATUS_RESPONSE = eb("StatusRequest"), eb("StatusResponse")
_SIGNATURE, _SIGNED_INFO, _DS_REFERENCE = ds("Signature"), ds("SignedInfo"), ds("Reference")
_DIGEST_METHOD, _DIGEST_VALUE, _XPATH = ds("DigestMethod"), ds("DigestValue"), ds("XPath")
_TRANSFORMS, _TRANSFORM = ds("Transforms"), ds("Transform")
_ENVELOPE, _FAULT = soap("Envelope"), soap("Fault")
_NOBODY = Participant(())

_MOST_STEPS = 20
MOST_REFERENCES = 200  # of a Manifest, a signature, a receipt or an error list; more are not read


def read(root: Element) -> Envelope:
    """The words of a parsed envelope; ``kind`` None when it is not an ebXML message (or is a SOAP Fault)."""
    if root.tag != _ENVELOPE:
        return Envelope(kind=None)
    frame = named(root)
    header, body = frame.get(_HEADER), frame.get(_BODY)
    fault = _fault(body)
    blocks = named(header) if header is not None else {}
    block = blocks.get(_MESSAGE_HEADER)
    if block is None:
        return Envelope(kind=None, fault=fault)
    words = named(block)
    data = words.get(_MESSAGE_DATA)
    about = named(data) if data is not None else {}
    service, action = words.get(_SERVICE), text_of(words.get(_ACTION))
    receipt, report = _receipt(blocks.get(_ACKNOWLEDGMENT)), _report(blocks.get(_ERROR_LIST))
    within = named(body) if body is not None else {}
    manifest = _manifest(within.get(_MANIFEST))
    told = within.get(_STATUS_RESPONSE)
    status = told if told is not None else within.get(_STATUS_REQUEST)
    return Envelope(
        kind=_kind(text_of(service), action, receipt is not None, report is not None, manifest is not None),
        sender=_party(words.get(_FROM)),
        receiver=_party(words.get(_TO)),
        cpa_id=text_of(words.get(_CPA_ID)),
        conversation_id=text_of(words.get(_CONVERSATION_ID)),
        service=text_of(service),
        service_type=service.get(_TYPE) if service is not None else None,
        action=action,
        message_id=text_of(about.get(_MESSAGE_ID)),
        timestamp=read_moment(text_of(about.get(_TIMESTAMP))),
        ref_to_message_id=text_of(about.get(_REF_TO_MESSAGE_ID)),
        time_to_live=read_moment(text_of(about.get(_TIME_TO_LIVE))),
        duplicate_elimination=_DUPLICATE_ELIMINATION in words,
        description=text_of(words.get(_DESCRIPTION)),
        ack_request=_ack_request(blocks.get(_ACK_REQUESTED)),
        sync_reply=_SYNC_REPLY in blocks,
        message_order=_MESSAGE_ORDER in blocks,
        receipt=receipt,
        report=report,
        manifest=manifest,
        asked_message_id=_text(status, _REF_TO_MESSAGE_ID),
        message_status=told.get(_MESSAGE_STATUS) if told is not None else None,
        fault=fault,
    )


def named(parent: Element) -> dict[str, Element]:
    """The first child of each name: to look up many of them costs less than to find each."""
    found: dict[str, Element] = {}
    for child in parent:
        found.setdefault(child.tag, child)
    return found


def text_of(element: Element | None) -> str | None:
    """The element's own text without blanks around it; None when absent or empty."""
    if element is None:
        return None
    return (element.text or "").strip() or None


def first(parent: Element, name: str) -> Element | None:
    """The first child of that name; half the cost of ``find``."""
    return next(parent.iterchildren(name), None)


def _text(parent: Element | None, name: str) -> str | None:
    return text_of(first(parent, name)) if parent is not None else None


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
        return _NOBODY
    ids = [PartyId(text_of(one) or "", one.get(_TYPE)) for one in islice(side.iterchildren(_PARTY_ID), MOST_REFERENCES)]
    return Participant(tuple(ids), _text(side, _ROLE))


_TRUTHS = {"1": True, "true": True, "0": False, "false": False}


def is_true(text: str | None) -> bool | None:
    """xs:boolean; None when it is none."""
    return _TRUTHS.get((text or "").strip())


def _ack_request(asked: Element | None) -> AckRequest | None:
    if asked is None:
        return None
    return AckRequest(signed=is_true(asked.get(_SIGNED)), actor=asked.get(_ACTOR))


def _receipt(block: Element | None) -> Receipt | None:
    if block is None:
        return None
    sender = first(block, _FROM)
    return Receipt(
        ref_to_message_id=_text(block, _REF_TO_MESSAGE_ID),
        timestamp=read_moment(_text(block, _TIMESTAMP)),
        sender=_party(sender) if sender is not None else None,
        references=_references(block),
    )


def _report(block: Element | None) -> ErrorReport | None:
    if block is None:
        return None
    errors = tuple(
        EbError(
            code=(one.get(eb("errorCode")) or "").strip(),
            severity=one.get(eb("severity")) or "Error",
            text=_text(one, _DESCRIPTION),
            location=one.get(eb("location")),
            context=one.get(eb("codeContext")) or ERROR_CONTEXT,
        )
        for one in block.findall(eb("Error"))[:MOST_REFERENCES]
    )
    return ErrorReport(errors, written_severity=block.get(eb("highestSeverity")))


def _manifest(block: Element | None) -> tuple[PayloadReference, ...] | None:
    if block is None:
        return None
    found = []
    for line in islice(block.iterchildren(_REFERENCE), MOST_REFERENCES):
        schema = first(line, _SCHEMA)
        found.append(
            PayloadReference(
                href=(line.get(_HREF) or "").strip() or None,
                namespace=(schema.get(_LOCATION) or "").strip() or None if schema is not None else None,
                version=(schema.get(_VERSION) or "").strip() or None if schema is not None else None,
                description=_text(line, _DESCRIPTION),
            )
        )
    return tuple(found)


def _fault(body: Element | None) -> Fault | None:
    block = first(body, _FAULT) if body is not None else None
    if block is None:
        return None
    code = text_of(block.find("faultcode"))
    return Fault(code=code.rpartition(":")[2] if code else None)


def signature_of(root: Element) -> Element | None:
    """The ds:Signature under SOAP:Header, or None; one anywhere else is none."""
    header = first(root, _HEADER)
    return first(header, _SIGNATURE) if header is not None else None


def signed_references(root: Element) -> tuple[SignedReference, ...]:
    """Every ds:Reference of the envelope's own signature; never those that an Acknowledgment repeats."""
    signature = signature_of(root)
    return references_of(signature) if signature is not None else ()


def references_of(signature: Element) -> tuple[SignedReference, ...]:
    """Every ds:Reference of this ds:Signature."""
    signed = first(signature, _SIGNED_INFO)
    return _references(signed) if signed is not None else ()


def _references(parent: Element) -> tuple[SignedReference, ...]:
    return tuple([_reference(one) for one in islice(parent.iterchildren(_DS_REFERENCE), MOST_REFERENCES)])


def _reference(block: Element) -> SignedReference:
    within = named(block)
    method, value = within.get(_DIGEST_METHOD), within.get(_DIGEST_VALUE)
    chains = block.iterchildren(_TRANSFORMS) if _TRANSFORMS in within else ()
    steps = [step for chain in chains for step in islice(chain.iterchildren(_TRANSFORM), _MOST_STEPS)]
    return SignedReference(
        uri=block.get("URI"),
        digest_method=method.get("Algorithm") if method is not None else None,
        digest="".join((value.text or "").split()) or None if value is not None else None,
        transforms=tuple([_transform(step) for step in steps[:_MOST_STEPS]]),
    )


def _transform(step: Element) -> Transform:
    xpath = first(step, _XPATH)
    if xpath is None:
        return Transform(step.get("Algorithm") or "")
    text = (xpath.text or "").strip()
    used = sorted((prefix, uri) for prefix, uri in xpath.nsmap.items() if prefix and f"{prefix}:" in text)
    return Transform(step.get("Algorithm") or "", text, tuple(used))
