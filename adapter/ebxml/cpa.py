"""Read a CPA or CPP 2.0 into facts: by namespace, in any element order, tolerant of what real ones have (7.6).

Text may have blanks around it, certificate ids may be double over both parties, references may lead nowhere; only what
is no agreement at all is refused.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from datetime import datetime

import pybase64

from adapter.ebxml.agreement import (
    Action,
    Agreement,
    Channel,
    Endpoint,
    PackageFacts,
    PartyFacts,
    RoleFacts,
    Route,
)
from adapter.ebxml.moments import read_duration_s, read_moment
from adapter.ebxml.names import DS, Kind
from adapter.ebxml.rulebook import Hit
from adapter.ebxml.words import Envelope, PartyId
from adapter.errors import NotFoundError, UnsupportedError
from adapter.xmlio import Element, Limits, parse

TP = "http://www.oasis-open.org/committees/ebxml-cppa/schema/cpp-cpa-2_0.xsd"
CPA_LIMITS = Limits(size_bytes=8_000_000, elements=100_000, text_chars=1_000_000, instructions=True)
_MOST_PARTIES = 4
_USES = ("always", "never", "perMessage")


def _tp(name: str) -> str:
    return f"{{{TP}}}{name}"


def read_agreement(data: bytes) -> Agreement:
    """The facts of a CPA or CPP. Raises UnreadableError (T01…) and UnsupportedError (CPA.KIND, CPA.ID, CPA.PARTIES)."""
    root = parse(data, CPA_LIMITS)
    kinds = {
        _tp("CollaborationProtocolAgreement"): ("cpaid", False),
        _tp("CollaborationProtocolProfile"): ("cppid", True),
    }
    if root.tag not in kinds:
        raise UnsupportedError("this is no CPA or CPP of version 2.0", code="CPA.KIND")
    name, profile = kinds[root.tag]
    own_id = (root.get(_tp(name)) or "").strip()
    if not own_id and not profile:
        raise UnsupportedError("the agreement has no id", code="CPA.ID")
    parties = root.findall(_tp("PartyInfo"))
    if not 1 <= len(parties) <= _MOST_PARTIES:
        raise UnsupportedError("an agreement has two parties, a profile one", code="CPA.PARTIES")
    status = root.find(_tp("Status"))
    return Agreement(
        id=own_id,
        profile=profile,
        status=status.get(_tp("value")) if status is not None else None,
        start=read_moment(_text(root, "Start")),
        end=read_moment(_text(root, "End")),
        parties=tuple(_party(one) for one in parties),
        packages=_packages(root),
        version=root.get(_tp("version")),
    )


def _text(parent: Element | None, name: str) -> str | None:
    found = parent.find(_tp(name)) if parent is not None else None
    return ((found.text or "").strip() or None) if found is not None else None


def _get(element: Element | None, name: str) -> str | None:
    value = element.get(_tp(name)) if element is not None else None
    return value.strip() or None if value is not None else None


def _party(party: Element) -> PartyFacts:
    ids = tuple(PartyId((one.text or "").strip(), _get(one, "type")) for one in party.findall(_tp("PartyId")))
    overrides = {
        _get(one, "action") or "": _get(one, "channelId") or ""
        for one in party.findall(_tp("OverrideMshActionBinding"))
    }
    return PartyFacts(
        name=_get(party, "partyName"),
        ids=ids,
        roles=tuple(role for one in party.findall(_tp("CollaborationRole")) for role in _roles(one)),
        channels={channel.id: channel for channel in _channels(party)},
        certificates=dict(_certificates(party)),
        default_channel=_get(party, "defaultMshChannelId"),
        signal_channels={action: channel for action, channel in overrides.items() if action and channel},
    )


def _roles(block: Element) -> Iterator[RoleFacts]:
    process, role = block.find(_tp("ProcessSpecification")), block.find(_tp("Role"))
    for binding in block.findall(_tp("ServiceBinding")):
        service = binding.find(_tp("Service"))
        yield RoleFacts(
            process=_get(process, "name"),
            process_version=_get(process, "version"),
            process_uuid=_get(process, "uuid"),
            role=_get(role, "name") or "",
            service=((service.text or "").strip() if service is not None else ""),
            service_type=_get(service, "type"),
            sends=tuple(_actions(binding, "CanSend")),
            receives=tuple(_actions(binding, "CanReceive")),
            encryption_certificate=_get(block.find(_tp("ApplicationCertificateRef")), "certId"),
        )


def _actions(binding: Element, direction: str) -> Iterator[Action]:
    """Actions one below the other: an answer over the same connection stands inside its request's CanSend."""
    for can in binding.iter(_tp(direction)):
        mine = can.find(_tp("ThisPartyActionBinding"))
        if mine is not None:
            channels = tuple((one.text or "").strip() for one in mine.findall(_tp("ChannelId")))
            yield Action(name=_get(mine, "action") or "", package=_get(mine, "packageId"), channels=channels)


def _certificates(party: Element) -> Iterator[tuple[str, bytes]]:
    for block in party.findall(_tp("Certificate")):
        name, first = _get(block, "certId"), block.find(f".//{{{DS}}}X509Certificate")
        if name is None or first is None or not (first.text or "").strip():
            continue
        try:
            der: bytes = pybase64.b64decode("".join((first.text or "").split()), validate=True)
        except (binascii.Error, ValueError):  # templates hold placeholders there
            continue
        if der[:1] == b"\x30" and len(der) > 100:  # a SEQUENCE; a placeholder may be base64 by chance
            yield name, der


def _channels(party: Element) -> Iterator[Channel]:
    transports = {_get(one, "transportId"): one for one in party.findall(_tp("Transport"))}
    exchanges = {_get(one, "docExchangeId"): one for one in party.findall(_tp("DocExchange"))}
    for block in party.findall(_tp("DeliveryChannel")):
        transport, exchange = transports.get(_get(block, "transportId")), exchanges.get(_get(block, "docExchangeId"))
        receiver = transport.find(_tp("TransportReceiver")) if transport is not None else None
        sender = transport.find(_tp("TransportSender")) if transport is not None else None
        asks = block.find(_tp("MessagingCharacteristics"))
        binding = exchange.find(_tp("ebXMLSenderBinding")) if exchange is not None else None
        reliable = binding.find(_tp("ReliableMessaging")) if binding is not None else None
        proof = binding.find(_tp("SenderNonRepudiation")) if binding is not None else None
        algorithm = proof.find(_tp("SignatureAlgorithm")) if proof is not None else None
        yield Channel(
            id=_get(block, "channelId") or "",
            protocol=_text(receiver, "TransportProtocol") or _text(sender, "TransportProtocol"),
            endpoints=tuple(_endpoints(receiver)),
            sync_reply=_get(asks, "syncReplyMode") or "none",
            acknowledge=_use(asks, "ackRequested"),
            sign_receipt=_use(asks, "ackSignatureRequested"),
            eliminate_duplicates=_use(asks, "duplicateElimination"),
            retries=_number(_text(reliable, "Retries")),
            retry_interval_s=read_duration_s(_text(reliable, "RetryInterval")),
            persist_s=read_duration_s(_text(binding, "PersistDuration")),
            signing_certificate=_get(proof.find(_tp("SigningCertificateRef")) if proof is not None else None, "certId"),
            # @w3c first: the text is often a name, and @oid often another algorithm.
            signature_algorithm=_get(algorithm, "w3c") or _text(proof, "SignatureAlgorithm"),
            hash_function=_text(proof, "HashFunction"),
        )


def _endpoints(receiver: Element | None) -> Iterator[Endpoint]:
    for one in receiver.findall(_tp("Endpoint")) if receiver is not None else ():
        uri = _get(one, "uri")
        if uri:
            yield Endpoint(uri, _get(one, "type") or "allPurpose")


def _use(asks: Element | None, name: str) -> str:
    written = _get(asks, name)
    return written if written in _USES else "perMessage"


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 5 else None


def _packages(root: Element) -> dict[str, PackageFacts]:
    """Encryption and compression of a package by its chain of encapsulations (7.2)."""
    parts: dict[str, tuple[tuple[str, str | None, str | None], ...]] = {}
    for part in root.findall(_tp("SimplePart")):
        named = part.findall(_tp("NamespaceSupported"))
        parts[_get(part, "id") or ""] = tuple(
            ((one.text or "").strip(), _get(one, "location"), _get(one, "version")) for one in named
        )
    found = {}
    for packaging in root.findall(_tp("Packaging")):
        name = _get(packaging, "id") or ""
        kinds: set[str] = set()
        documents: list[tuple[str, str | None, str | None]] = []
        for one in packaging.iter(_tp("Encapsulation"), _tp("Composite")):
            if one.tag == _tp("Encapsulation"):
                kinds.add((_get(one, "mimetype") or "").lower())
            for inner in one.findall(_tp("Constituent")):
                documents += parts.get(_get(inner, "idref") or "", ())
        found[name] = PackageFacts(
            id=name,
            encrypted="application/pkcs7-mime" in kinds,
            compressed=bool(kinds & {"application/x-gzip", "application/gzip"}),
            documents=tuple(dict.fromkeys(documents)),
        )
    return found


def check_against(agreement: Agreement, envelope: Envelope, received: datetime) -> tuple[list[Hit], str | None]:
    """Rules 111–114 for a received message, and the row of ``decide.FAULTS`` that stops it, or None.

    Signals are not judged by role or period: a receipt still counts after the agreement has ended.
    """
    hits: list[Hit] = []
    place = "/Envelope/Header/MessageHeader"
    if agreement.party(envelope.sender.ids) is None:
        return [Hit("111", f"{place}/From/PartyId")], "sender_not_in_cpa"
    if agreement.party(envelope.receiver.ids) is None:
        return [Hit("112", f"{place}/To/PartyId")], "receiver_not_in_cpa"
    when = envelope.timestamp
    if when is not None and agreement.start is not None and when < agreement.start:
        hits.append(Hit("113", f"{place}/MessageData/Timestamp"))
    if when is not None and agreement.end is not None and when >= agreement.end:
        hits.append(Hit("114", f"{place}/MessageData/Timestamp"))
    if envelope.kind is not Kind.PAYLOAD:
        return hits, None
    if not agreement.valid_at(received):
        return hits, "cpa_not_in_force"
    try:
        route_of(agreement, envelope)
    except NotFoundError:
        return hits, "process_not_agreed"
    return hits, None


def route_of(agreement: Agreement, envelope: Envelope) -> Route:
    """The agreed way of a message as its envelope names it. Raises NotFoundError."""
    sender, receiver = envelope.sender, envelope.receiver
    if envelope.kind is not Kind.PAYLOAD:
        return agreement.signal_route(sender.ids, receiver.ids, envelope.action or "")
    return agreement.route(
        sender.ids,
        receiver.ids,
        service=envelope.service or "",
        action=envelope.action or "",
        from_role=sender.role,
        to_role=receiver.role,
    )
