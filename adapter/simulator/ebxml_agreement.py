"""The agreement that the simulated NAV offers each of our addresses: a CPA 2.0 with its five dialogue processes.

Roles, services and actions are those of NAV's own agreements (ebXML practice 3.4); ids, keys and addresses are made up.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate
from lxml import etree

import adapter.xmlio as xmlio

TP = "http://www.oasis-open.org/committees/ebxml-cppa/schema/cpp-cpa-2_0.xsd"
DS = "http://www.w3.org/2000/09/xmldsig#"
XLINK = "http://www.w3.org/1999/xlink"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
OURS, THEIRS = "Sykmelder", "Saksbehandler"
# service -> what the doctor sends, what NAV sends
PROCESSES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "HenvendelseFraLege": (("Henvendelse",), ("Bekreftelse", "Svar")),
    "HenvendelseFraSaksbehandler": (("Kvittering", "Svar"), ("Henvendelse",)),
    "ForesporselFraSaksbehandler": (("ForesporselSvar", "Kvittering", "Svar"), ("Foresporsel", "Bekreftelse", "Svar")),
    "DialogmoteInnkalling": (("MoteRespons", "Kvittering"), ("MoteInnkalling", "Bekreftelse")),
    "Oppfolgingsplan": (("Kvittering", "Svar"), ("Plan",)),
}
_NAMESPACES: Any = {"tp": TP, "ds": DS, "xlink": XLINK}
_NOWHERE = "http://simulator.invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """One side: its HER-id and organisation number, its certificates, and where it is reached (``mailto:`` or http)."""

    her_id: int
    name: str
    organisation_number: str
    signing: Certificate
    sealing: Certificate
    endpoint: str


def agreement_id(ours: int, theirs: int) -> str:
    """The CPAId between one of our addresses and a simulated NAV."""
    return f"nav:sim:{theirs}-{ours}"


def write_agreement(ours: Party, theirs: Party, now: datetime) -> bytes:
    """The CPA's octets; in force from a month ago for two years."""
    root: xmlio.Element = etree.Element(f"{{{TP}}}CollaborationProtocolAgreement", nsmap=_NAMESPACES)
    root.set(f"{{{TP}}}cpaid", agreement_id(ours.her_id, theirs.her_id))
    root.set(f"{{{TP}}}version", "2_0b")
    _add(root, "Status", value="proposed")
    _add(root, "Start", _moment(now - timedelta(days=30)))
    _add(root, "End", _moment(now + timedelta(days=700)))
    _party(root, "P", ours, OURS)
    _party(root, "N", theirs, THEIRS)
    _packages(root)
    return xmlio.serialise(root)


def _moment(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _add(parent: xmlio.Element, name: str, text: str | None = None, /, **attributes: str) -> xmlio.Element:
    element = etree.SubElement(
        parent, f"{{{TP}}}{name}", {f"{{{TP}}}{key}": value for key, value in attributes.items()}
    )
    element.text = text
    return element


def _link(element: xmlio.Element, target: str = _NOWHERE) -> xmlio.Element:
    element.set(f"{{{XLINK}}}type", "simple")
    element.set(f"{{{XLINK}}}href", target)
    return element


def _party(root: xmlio.Element, key: str, party: Party, role: str) -> None:
    names = {"defaultMshChannelId": f"{key}_channel", "defaultMshPackageId": "signal"}
    block = _add(root, "PartyInfo", partyName=party.name, **names)
    _add(block, "PartyId", str(party.her_id), type="HER")
    _add(block, "PartyId", party.organisation_number, type="orgnummer")
    _link(_add(block, "PartyRef"))
    for number, (service, sent) in enumerate(PROCESSES.items()):
        sends, receives = sent if role == OURS else (sent[1], sent[0])
        _role(block, f"{key}{number}", role, service, sends, receives)
    _certificate(block, f"{key}_sign", party.signing)
    _certificate(block, f"{key}_crypt", party.sealing)
    _channel(block, key, party.endpoint)


def _role(
    block: xmlio.Element, key: str, role: str, service: str, sends: Sequence[str], receives: Sequence[str]
) -> None:
    side, other = key[0], "N" if key[0] == "P" else "P"
    played = _add(block, "CollaborationRole")
    _link(_add(played, "ProcessSpecification", name=service, version="1.0"))
    _link(_add(played, "Role", name=role), f"{_NOWHERE}#{role}")
    _add(played, "ApplicationCertificateRef", certId=f"{side}_crypt")
    binding = _add(played, "ServiceBinding")
    _add(binding, "Service", service, type="string")
    for can, actions, answer in (("CanSend", sends, "r"), ("CanReceive", receives, "s")):
        for action in actions:
            one = _add(binding, can)
            own = f"{key}_{can[3].lower()}_{action}"
            mine = _add(one, "ThisPartyActionBinding", id=own, action=action, packageId="document")
            _add(mine, "BusinessTransactionCharacteristics", isNonRepudiationRequired="true", timeToPerform="P2D")
            _add(mine, "ChannelId", f"{side}_channel")
            _add(one, "OtherPartyActionBinding", f"{other}{key[1:]}_{answer}_{action}")


def _certificate(block: xmlio.Element, name: str, certificate: Certificate) -> None:
    info = etree.SubElement(_add(block, "Certificate", certId=name), f"{{{DS}}}KeyInfo")
    held = etree.SubElement(etree.SubElement(info, f"{{{DS}}}X509Data"), f"{{{DS}}}X509Certificate")
    held.text = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def _channel(block: xmlio.Element, key: str, endpoint: str) -> None:
    protocol = "SMTP" if endpoint.startswith("mailto:") else "HTTP"
    ids = {"channelId": f"{key}_channel", "transportId": f"{key}_transport", "docExchangeId": f"{key}_exchange"}
    asked = {"ackRequested": "always", "ackSignatureRequested": "always", "duplicateElimination": "always"}
    _add(_add(block, "DeliveryChannel", **ids), "MessagingCharacteristics", syncReplyMode="none", **asked)
    transport = _add(block, "Transport", transportId=ids["transportId"])
    _add(_add(transport, "TransportSender"), "TransportProtocol", protocol, version="1.1")
    receiver = _add(transport, "TransportReceiver")
    _add(receiver, "TransportProtocol", protocol, version="1.1")
    _add(receiver, "Endpoint", uri=endpoint, type="allPurpose")
    exchange = _add(block, "DocExchange", docExchangeId=ids["docExchangeId"])
    for side, proof in (("Sender", "SenderNonRepudiation"), ("Receiver", "ReceiverNonRepudiation")):
        _binding(exchange, side, proof, f"{key}_sign")


def _binding(exchange: xmlio.Element, side: str, proof: str, certificate: str) -> None:
    binding = _add(exchange, f"ebXML{side}Binding", version="2.0")
    reliable = _add(binding, "ReliableMessaging")
    _add(reliable, "Retries", "4")
    _add(reliable, "RetryInterval", "PT720M")
    _add(reliable, "MessageOrderSemantics", "NotGuaranteed")
    _add(binding, "PersistDuration", "P4D")
    signed = _add(binding, proof)
    _add(signed, "NonRepudiationProtocol", DS)
    _add(signed, "HashFunction", SHA256)
    _add(signed, "SignatureAlgorithm", RSA_SHA256, w3c=RSA_SHA256)
    if side == "Sender":
        _add(signed, "SigningCertificateRef", certId=certificate)


def _packages(root: xmlio.Element) -> None:
    """A signal is the envelope alone; a document is encrypted and stands beside it."""
    _add(root, "SimplePart", id="envelope", mimetype="text/xml")
    document = _add(root, "SimplePart", id="content", mimetype="application/xml")
    _add(document, "NamespaceSupported", "http://www.kith.no/xmlstds/dialog/2006-10-11", location="dialogmelding.xsd")
    for name in ("signal", "document"):
        packaging = _add(root, "Packaging", id=name)
        _add(packaging, "ProcessingCapabilities", parse="true", generate="true")
        parts = _add(packaging, "CompositeList")
        if name == "document":
            sealed = _add(parts, "Encapsulation", mimetype="application/pkcs7-mime", id="sealed")
            _add(sealed, "Constituent", idref="content")
        whole = _add(parts, "Composite", mimetype="multipart/related", id=f"{name}_whole")
        _add(whole, "Constituent", idref="envelope")
        if name == "document":
            _add(whole, "Constituent", idref="sealed")
