"""Small envelopes for the tests of this room, made by our own writer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lxml import etree

from adapter.ebxml.build import build
from adapter.ebxml.compose import payload_message
from adapter.ebxml.names import C14N, DS, Kind, ds
from adapter.ebxml.opening import Opened, SignatureOutcome, judge, open_message
from adapter.ebxml.pack import Attachment, MailHead, pack_mail
from adapter.ebxml.words import Envelope, SignedReference, Software, Transform
from adapter.model.process import national
from adapter.xmlio import Element, serialise

NOW = datetime(2026, 11, 21, 12, 0, 5, tzinfo=UTC)
SOFTWARE = Software(msh="Prøve-MSH", msh_version="1.0", system="Journal", system_version="7")
MESSAGE_ID = "f2a0f3a1-37a5-4a0e-8a0e-1c1d2b3c4d5e"
SIGNAL_ID = "0b7e7a51-37a5-4a0e-8a0e-1c1d2b3c4d5e"
CONVERSATION = "7c1f0f0e-2a51-4b6e-9f0a-5f0b2f7a9c11"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
REFERENCES = (
    SignedReference(
        uri="",
        digest_method=SHA256,
        digest="mvuvZiqld9ULe9dvYyKMi9r7wVMr3gn+OIcy+iw0COA=",
        transforms=(
            Transform("http://www.w3.org/2000/09/xmldsig#enveloped-signature"),
            Transform(
                "http://www.w3.org/TR/1999/REC-xpath-19991116",
                'not(ancestor-or-self::node()[@S:actor="x"])',
                (("S", "http://schemas.xmlsoap.org/soap/envelope/"),),
            ),
            Transform("http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
        ),
    ),
    SignedReference(
        uri="cid:att-1@example.no", digest_method=SHA256, digest="gYVTz7HuPcN/Pyz3LJSo0esZX6jCETAHD5UqvZOhcU4="
    ),
)


def payload(**changes: object) -> Envelope:
    words: dict[str, object] = {
        "sender": 80225,
        "receiver": 79768,
        "process": national("DIALOG_NOTAT"),
        "cpa_id": "79768_80225",
        "conversation_id": CONVERSATION,
        "message_id": MESSAGE_ID,
        "now": NOW,
        "content_id": "att-1@example.no",
        "namespace": "http://www.kith.no/xmlstds/dialog/2006-10-11",
        "version": "1.0",
        "software": SOFTWARE,
    }
    return payload_message(**{**words, **changes})  # type: ignore[arg-type]


def signed(root: Element, references: tuple[SignedReference, ...] = REFERENCES) -> Element:
    """The envelope with a signature of the national form; its values hold nothing."""
    signature = etree.SubElement(root[0], ds("Signature"), nsmap={"ds": DS})
    info = etree.SubElement(signature, ds("SignedInfo"))
    etree.SubElement(info, ds("CanonicalizationMethod"), Algorithm=C14N)
    etree.SubElement(info, ds("SignatureMethod"), Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")
    for reference in references:
        block = etree.SubElement(info, ds("Reference"), URI=reference.uri or "")
        if reference.transforms:
            steps = etree.SubElement(block, ds("Transforms"))
            for transform in reference.transforms:
                etree.SubElement(steps, ds("Transform"), Algorithm=transform.algorithm)
        etree.SubElement(block, ds("DigestMethod"), Algorithm=reference.digest_method or "")
        etree.SubElement(block, ds("DigestValue")).text = reference.digest
    etree.SubElement(signature, ds("SignatureValue")).text = "AAAA"
    data = etree.SubElement(etree.SubElement(signature, ds("KeyInfo")), ds("X509Data"))
    etree.SubElement(data, ds("X509Certificate")).text = "AAAA"
    return root


CMS = bytes.fromhex("308006092a864886f70d010703a0800000000000")
ATTACHED = Attachment(content_id="att-1@example.no", content=CMS)
MAIL = MailHead(
    sender="ours@edi.nhn.no", receiver="theirs@edi.nhn.no", subject="ebXML", date=NOW, message_id="1@edi.nhn.no"
)


def mailed(xml: bytes, *attachments: Attachment) -> bytes:
    return pack_mail(xml, attachments, MAIL, boundary="b-1", content_id="soap@x").mail()


def opened_xml(xml: bytes, *attachments: Attachment) -> Opened:
    return open_message(mailed(xml, *attachments))


VALID = SignatureOutcome(status="valid", covered=("", "cid:att-1@example.no"))


def rules_of(opened: Opened, signature: SignatureOutcome | None = VALID, **more: Any) -> list[str]:
    return [hit.rule for hit in judge(opened, signature, **more).hits]


def change(envelope: Envelope, before: str, after: str, *, count: int = -1) -> bytes:
    """The signed envelope's XML with a text replaced; it must be there."""
    xml = serialise(
        signed(build(envelope)) if envelope.kind is Kind.PAYLOAD else signed(build(envelope), REFERENCES[:1])
    )
    assert before.encode() in xml, before
    return xml.replace(before.encode(), after.encode(), count)
