"""From words to the SOAP envelope, in the order and with the attributes of the schema (HIS 1037 4.2 and 6, errata 2).

The result is unsigned; the signature goes last under SOAP:Header. What may not be sent is refused here.
"""

from __future__ import annotations

import re
from datetime import datetime

from lxml import etree

from adapter.ebxml.moments import write_moment
from adapter.ebxml.names import (
    ACTOR_NEXT,
    DS,
    ERROR_CONTEXT,
    HER,
    NSMAP,
    SIGNAL_SERVICE,
    SOAP,
    VERSION,
    XML,
    Kind,
    ds,
    eb,
    is_message_id,
    soap,
    xlink,
)
from adapter.ebxml.words import ERROR_CODES, MESSAGE_STATUSES, EbError, Envelope, Participant, SignedReference
from adapter.errors import InputError
from adapter.xmlio import Element

_ILLEGAL = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def build(envelope: Envelope) -> Element:
    """The SOAP:Envelope of a message.

    Raises InputError, naming the word, for what the matrix of HIS 1037 4.2 forbids or the schema cannot carry.
    """
    _refuse_wrong_matrix(envelope)
    root = etree.Element(soap("Envelope"), nsmap=NSMAP)
    header, body = etree.SubElement(root, soap("Header")), etree.SubElement(root, soap("Body"))
    _message_header(header, envelope)
    if envelope.sync_reply:
        _block(header, "SyncReply").set(soap("actor"), ACTOR_NEXT)
    if envelope.ack_request:
        asked = _block(header, "AckRequested")
        asked.set(eb("signed"), "true" if envelope.ack_request.signed else "false")
        if envelope.ack_request.actor:
            asked.set(soap("actor"), envelope.ack_request.actor)
    _acknowledgment(header, envelope)
    _error_list(header, envelope)
    _body(body, envelope)
    return root


def build_fault(code: str, text: str) -> Element:
    """A SOAP 1.1 Fault: ``code`` is Client, Server, MustUnderstand or VersionMismatch (SOAP 1.1, 4.4.1)."""
    if code not in ("Client", "Server", "MustUnderstand", "VersionMismatch"):
        raise InputError("not a fault code of SOAP 1.1", where="code")
    root = etree.Element(soap("Envelope"), nsmap={"SOAP": SOAP})
    fault = etree.SubElement(etree.SubElement(root, soap("Body")), soap("Fault"))
    etree.SubElement(fault, "faultcode").text = f"SOAP:{code}"
    etree.SubElement(fault, "faultstring").text = _text(text, "text")
    return root


def _text(value: str | None, where: str) -> str:
    if not value or not value.strip():
        raise InputError("a text is required", where=where)
    if _ILLEGAL.search(value):
        raise InputError("a character is not allowed in XML", where=where)
    return value


def _refuse_wrong_matrix(envelope: Envelope) -> None:
    kind = envelope.kind
    payload = kind is Kind.PAYLOAD
    if kind is None:
        raise InputError("a message has a kind", where="kind")
    if not is_message_id(envelope.message_id):
        raise InputError("a MessageId is a UUID or an RFC 2822 id", where="message_id")
    only = {
        "receipt": Kind.ACKNOWLEDGMENT,
        "report": Kind.MESSAGE_ERROR,
        "manifest": Kind.PAYLOAD,
        "ack_request": Kind.PAYLOAD,
        "time_to_live": Kind.PAYLOAD,
    }
    for word, owner in only.items():
        if getattr(envelope, word) is not None and kind is not owner:
            raise InputError(f"only a message of kind {owner} has this", where=word)
    for word, owner in (("receipt", Kind.ACKNOWLEDGMENT), ("report", Kind.MESSAGE_ERROR), ("manifest", Kind.PAYLOAD)):
        if kind is owner and not getattr(envelope, word):
            raise InputError(f"a message of kind {owner} has this", where=word)
    if kind is Kind.ACKNOWLEDGMENT and envelope.ref_to_message_id is not None:
        raise InputError("an Acknowledgment names its message inside Acknowledgment only", where="ref_to_message_id")
    if kind is Kind.MESSAGE_ERROR and not envelope.ref_to_message_id:
        raise InputError("an error report names its message", where="ref_to_message_id")
    if not payload and (envelope.duplicate_elimination or envelope.sync_reply):
        raise InputError("a signal asks for nothing", where="duplicate_elimination")
    if not payload and (envelope.service, envelope.action) != (SIGNAL_SERVICE, kind.value):
        raise InputError("a signal has the signal service and its own action", where="service")
    for side, name in ((envelope.sender, "sender"), (envelope.receiver, "receiver")):
        _refuse_party(side, name, payload)


def _refuse_party(side: Participant, name: str, payload: bool) -> None:
    if not side.ids or sum(one.type == HER for one in side.ids) > 1 or any(not one.type for one in side.ids):
        raise InputError("a party has one HER-id, and every id a type", where=f"{name}.ids")
    if payload and not side.role:
        raise InputError("a party of a business message has a role", where=f"{name}.role")
    if not payload and side.role:
        raise InputError("a signal carries no roles", where=f"{name}.role")


def _add(parent: Element, name: str, text: str | None, where: str) -> Element:
    child = etree.SubElement(parent, eb(name))
    child.text = _text(text, where)
    return child


def _moment(parent: Element, name: str, when: datetime | None, where: str) -> None:
    if when is None or when.tzinfo is None:
        raise InputError("a time with a zone is required", where=where)
    etree.SubElement(parent, eb(name)).text = write_moment(when)


def _block(header: Element, name: str) -> Element:
    block = etree.SubElement(header, eb(name))
    block.set(soap("mustUnderstand"), "1")
    block.set(eb("version"), VERSION)
    return block


def _described(parent: Element, text: str, where: str) -> None:
    _add(parent, "Description", text, where).set(f"{{{XML}}}lang", "no")


def _party(parent: Element, name: str, side: Participant, where: str) -> None:
    party = etree.SubElement(parent, eb(name))
    for one in side.ids:
        _add(party, "PartyId", one.value, f"{where}.ids").set(eb("type"), _text(one.type, f"{where}.ids"))
    if side.role:
        _add(party, "Role", side.role, f"{where}.role")


def _message_header(header: Element, envelope: Envelope) -> None:
    block = _block(header, "MessageHeader")
    _party(block, "From", envelope.sender, "sender")
    _party(block, "To", envelope.receiver, "receiver")
    _add(block, "CPAId", envelope.cpa_id, "cpa_id")
    _add(block, "ConversationId", envelope.conversation_id, "conversation_id")
    service = _add(block, "Service", envelope.service, "service")
    if envelope.service_type:
        service.set(eb("type"), _text(envelope.service_type, "service_type"))
    _add(block, "Action", envelope.action, "action")
    about = etree.SubElement(block, eb("MessageData"))
    _add(about, "MessageId", envelope.message_id, "message_id")
    _moment(about, "Timestamp", envelope.timestamp, "timestamp")
    if envelope.ref_to_message_id:
        _add(about, "RefToMessageId", envelope.ref_to_message_id, "ref_to_message_id")
    if envelope.time_to_live:
        _moment(about, "TimeToLive", envelope.time_to_live, "time_to_live")
    if envelope.duplicate_elimination:
        etree.SubElement(block, eb("DuplicateElimination"))
    if envelope.description:
        _described(block, envelope.description, "description")


def _acknowledgment(header: Element, envelope: Envelope) -> None:
    receipt = envelope.receipt
    if receipt is None:
        return
    block = _block(header, "Acknowledgment")
    _moment(block, "Timestamp", receipt.timestamp, "receipt.timestamp")
    _add(block, "RefToMessageId", receipt.ref_to_message_id, "receipt.ref_to_message_id")
    if receipt.sender:
        _party(block, "From", receipt.sender, "receipt.sender")
    for reference in receipt.references:
        _reference(block, reference)


def _reference(parent: Element, reference: SignedReference) -> None:
    """A copy of a ds:Reference: the same URI, transforms, digest method and digest (HITS 1171 5.2.3.3)."""
    where = "receipt.references"
    block = etree.SubElement(parent, ds("Reference"), nsmap={"ds": DS})
    block.set("URI", reference.uri or "")
    if reference.transforms:
        chain = etree.SubElement(block, ds("Transforms"))
        for transform in reference.transforms:
            step = etree.SubElement(chain, ds("Transform"), Algorithm=_text(transform.algorithm, where))
            if transform.xpath:
                prefixes = dict(transform.prefixes)
                etree.SubElement(step, ds("XPath"), nsmap=prefixes).text = _text(transform.xpath, where)
    etree.SubElement(block, ds("DigestMethod"), Algorithm=_text(reference.digest_method, where))
    etree.SubElement(block, ds("DigestValue")).text = _text(reference.digest, where)


def _error_list(header: Element, envelope: Envelope) -> None:
    if envelope.report is None:
        return
    block = _block(header, "ErrorList")
    block.set(eb("highestSeverity"), envelope.report.severity)
    for number, error in enumerate(envelope.report.errors):
        _error(block, error, f"report.errors[{number}]")


def _error(parent: Element, error: EbError, where: str) -> None:
    if error.code not in ERROR_CODES or error.severity not in ("Error", "Warning"):
        raise InputError("an error has one of the nine codes and severity Error or Warning", where=where)
    block = etree.SubElement(parent, eb("Error"))
    block.set(eb("codeContext"), error.context or ERROR_CONTEXT)
    block.set(eb("errorCode"), error.code)
    block.set(eb("severity"), error.severity)
    if error.location:
        block.set(eb("location"), _text(error.location, f"{where}.location"))
    # NAV's reader fails on an Error without Description (ebxml digest 2.10).
    _described(block, error.text or error.code, f"{where}.text")


def _body(body: Element, envelope: Envelope) -> None:
    if envelope.manifest:
        manifest = etree.SubElement(body, eb("Manifest"))
        manifest.set(eb("version"), VERSION)
        for reference in envelope.manifest:
            if not (reference.href or "").startswith("cid:"):
                raise InputError("a payload is named by cid:", where="manifest.href")
            line = etree.SubElement(manifest, eb("Reference"))
            line.set(xlink("type"), "simple")
            line.set(xlink("href"), _text(reference.href, "manifest.href"))
            if reference.namespace:
                schema = etree.SubElement(line, eb("Schema"))
                schema.set(eb("location"), _text(reference.namespace, "manifest.namespace"))
                if reference.version:
                    schema.set(eb("version"), _text(reference.version, "manifest.version"))
    if envelope.kind in (Kind.STATUS_REQUEST, Kind.STATUS_RESPONSE):
        asks = etree.SubElement(body, eb(envelope.kind.value))
        asks.set(eb("version"), VERSION)
        if envelope.kind is Kind.STATUS_RESPONSE:
            if envelope.message_status not in MESSAGE_STATUSES:
                raise InputError("not a status of ebMS 2.0", where="message_status")
            asks.set(eb("messageStatus"), envelope.message_status)
        _add(asks, "RefToMessageId", envelope.asked_message_id, "asked_message_id")
