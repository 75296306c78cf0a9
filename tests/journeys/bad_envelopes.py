# ruff: noqa: E501
"""Bad ebXML messages as data: what is wrong with each, the one answer that it gets, and the source that decides it.

Three ways of being wrong: ``WRITTEN`` badly and then signed (so the signature holds and the rule itself decides),
``CHANGED`` after signing, and ``WRAPPED`` badly. An answer is ``Acknowledgment``, ``SoapFault``, ``none`` or
"code severity rule location"; its Description is the rule's text in our book and nothing else. Sources: HITS 1172 is
the standards digest 2.2 with its section 6; "practice" is the ebXML digest 8.2, where HITS 1172 has no rule.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapter.ebxml.pack import Attachment, pack_http
from adapter.security import cms
from adapter.security.envelope_signature import sign_envelope
from adapter.simulator import world as place
from adapter.xmlio import parse
from tests.journeys.clinic import Clinic

SIGNATURE = re.compile(rb"<ds:Signature .*?</ds:Signature>", re.S)
NEXT = 'SOAP:actor="http://schemas.xmlsoap.org/soap/actor/next"'
Swap = tuple[str, str]
Made = tuple[bytes, Attachment]


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One message. ``answer`` as in the module's words; ``taken``: it goes to its reader all the same."""

    name: str
    answer: str
    source: str
    post: Callable[[Clinic, Made], Any]

    @property
    def taken(self) -> bool:
        return self.answer == "Acknowledgment" or " Warning " in self.answer


def resigned(clinic: Clinic, made: Made, *swaps: Swap, content: bytes | None = None, signer: Any = None) -> Made:
    """The envelope with other words, or about other octets, signed anew by the clinic."""
    envelope, attached = made
    text = SIGNATURE.sub(b"", envelope)
    for before, after in swaps:
        assert re.search(before.encode(), text, re.S), before
        text = re.sub(before.encode(), lambda _, after=after: after.encode(), text, count=1, flags=re.S)  # type: ignore[misc]
    attached = attached if content is None else replace(attached, content=content)
    signed = sign_envelope(parse(text), signer or clinic.signing, {attached.content_id: attached.content})
    return signed, attached


def written(name: str, answer: str, source: str, *swaps: Swap) -> Bad:
    return Bad(name=name, answer=answer, source=source, post=lambda c, made: c.post(*resigned(c, made, *swaps)))


def changed(name: str, answer: str, source: str, *swaps: Swap) -> Bad:
    """Text of the signed envelope replaced."""

    def post(clinic: Clinic, made: Made) -> Any:
        text = made[0]
        for before, after in swaps:
            assert re.search(before.encode(), text, re.S), before
            text = re.sub(before.encode(), after.encode(), text, count=1, flags=re.S)
        return clinic.post(text, made[1])

    return Bad(name=name, answer=answer, source=source, post=post)


def packed(clinic: Clinic, made: Made, *more: Attachment) -> tuple[list[tuple[str, str]], bytes]:
    whole = pack_http(made[0], [made[1], *more], boundary="b-1", content_id="soap@clinic")
    return list(whole.headers), whole.body()


def wrapped(name: str, answer: str, source: str, *swaps: Swap, head: Sequence[Swap] = ()) -> Bad:
    """Text of the MIME body, and of the Content-Type, replaced."""

    def post(clinic: Clinic, made: Made) -> Any:
        headers, body = packed(clinic, made)
        for before, after in swaps:
            assert re.search(before.encode(), body, re.S), before
            body = re.sub(before.encode(), after.encode(), body, count=1, flags=re.S)
        for before, after in head:
            assert any(re.search(before, value) for _, value in headers), before
            headers = [(field, re.sub(before, after, value)) for field, value in headers]
        return clinic.rig.adapter.receive_envelope(body, headers)

    return Bad(name=name, answer=answer, source=source, post=post)


def sealed(name: str, answer: str, source: str, content: Callable[[Clinic, Made], bytes]) -> Bad:
    """Other octets in the attachment, properly signed."""
    return Bad(
        name=name,
        answer=answer,
        source=source,
        post=lambda c, made: c.post(*resigned(c, made, content=content(c, made))),
    )


def inside(name: str, answer: str, source: str, plain: Callable[[], bytes]) -> Bad:
    """Another plaintext in a sound CMS to us."""
    return sealed(name, answer, source, lambda c, _: cms.encrypt(plain(), c.rig.opening.certificate))  # type: ignore[attr-defined]


HEADER = "//Header/MessageHeader"
CID = "cid:CID"  # the Content-ID of the one attachment
SEC = "SecurityFailure Error"
MIME = "MimeProblem Error"
ACK, FAULT, NONE = "Acknowledgment", "SoapFault", "none"

# fmt: off
# The list of ebms-core's suite (ebXML digest 8.3), each with what the Norwegian standards make of it.
WRITTEN = [
    written("another version of MessageHeader", f"Inconsistent Error 70 {HEADER}/@version", "HITS 1172 70", ('MessageHeader SOAP:mustUnderstand="1" eb:version="2.0"', 'MessageHeader SOAP:mustUnderstand="1" eb:version="1.0"')),
    written("no version of MessageHeader", ACK, "HITS 1172 8: tolerated", (' eb:version="2.0"><eb:From>', "><eb:From>")),
    written("a sender who is not in the register", FAULT, "HITS 1172 29", (">8091101</eb:PartyId>", ">4711</eb:PartyId>")),
    written("a receiver who is not in the register", f"DeliveryFailure Error 54a {HEADER}/To/PartyId", "HITS 1172 54a", (">8091301</eb:PartyId>", ">4712</eb:PartyId>")),
    written("a receiver of another house", f"DeliveryFailure Error 54a {HEADER}/To/PartyId", "HITS 1172 54a", (">8091301</eb:PartyId>", f">{place.BEKKELIA_GP}</eb:PartyId>")),
    written("a sender's id of another type", FAULT, "HITS 1172 60", ('eb:type="HER">8091101', 'eb:type="DN">8091101')),
    written("a receiver's id of another type", FAULT, "HITS 1172 61", ('eb:type="HER">8091301', 'eb:type="DN">8091301')),
    written("two HER-ids of the sender", FAULT, "HITS 1172 14 and 4.2.2.3: nobody can be looked up", ("<eb:PartyId", '<eb:PartyId eb:type="HER">8091102</eb:PartyId><eb:PartyId')),
    written("no PartyId of the sender", FAULT, "HITS 1172 58", ('<eb:PartyId eb:type="HER">8091101</eb:PartyId>', "")),
    written("an empty PartyId", FAULT, "HITS 1172 25", (">8091101</eb:PartyId>", "></eb:PartyId>")),
    written("letters in the HER-id", FAULT, "HITS 1172 31", (">8091101</eb:PartyId>", ">8O91101</eb:PartyId>")),
    written("no From", FAULT, "HITS 1172 10", ("<eb:From>.*</eb:From>", "")),
    written("an unknown role", ACK, "no rule without an agreement (practice: only with a CPA)", ("<eb:Role>DIALOG_NOTATsender", "<eb:Role>Somebody")),
    written("an unknown service", ACK, "no rule without an agreement (practice: only with a CPA)", (">S-DIALOG_NOTAT<", ">S-SOMETHING<")),
    written("an unknown action", ACK, "no rule without an agreement (practice: only with a CPA)", (">DIALOG_NOTAT<", ">SOMETHING<")),
    written("another type of service", ACK, "standards digest 3.11: string and kithService", ('eb:type="string"', 'eb:type="kithService"')),
    written("no role of the sender", f"Inconsistent Error EB4 {HEADER}/From/Role", "practice 8.2, HITS 1171 5.2.1.3", ("<eb:Role>DIALOG_NOTATsender</eb:Role>", "")),
    written("no Service", f"Inconsistent Error 47 {HEADER}/Service", "HITS 1172 47", ("<eb:Service.*</eb:Service>", "")),
    written("an empty Service", f"ValueNotRecognized Error 71 {HEADER}/Service", "HITS 1172 71", (">S-DIALOG_NOTAT<", "><")),
    written("no Action", f"Inconsistent Error 48 {HEADER}/Action", "HITS 1172 48", ("<eb:Action>.*</eb:Action>", "")),
    written("no MessageId", FAULT, "HITS 1172 76: nothing to refer to", ("<eb:MessageId>.*</eb:MessageId>", "")),
    written("a MessageId of another form", ACK, "HITS 1172 102: tolerated", ("<eb:MessageId>[^<]*", "<eb:MessageId>message-17")),
    written("a MessageId of two thousand letters", f"ValueNotRecognized Error 102 {HEADER}/MessageData/MessageId", "HITS 1172 102; house practice: bounded", ("<eb:MessageId>[^<]*", "<eb:MessageId>" + "a" * 2_000)),
    written("no Timestamp", f"Inconsistent Error 77 {HEADER}/MessageData/Timestamp", "HITS 1172 77", ("<eb:Timestamp>.*</eb:Timestamp>", "")),
    written("a Timestamp that is no time", f"Inconsistent Error 77 {HEADER}/MessageData/Timestamp", "HITS 1172 77", ("<eb:Timestamp>[^<]*", "<eb:Timestamp>yesterday")),
    written("no CPAId", f"Inconsistent Error 11 {HEADER}/CPAId", "HITS 1172 11", ("<eb:CPAId>.*</eb:CPAId>", "")),
    written("a CPAId that nobody knows", ACK, "HITS 1172 12: tolerated; HIS 1037 5.6: no agreement is needed", ("8091101_8091301<", "nav:12345<")),
    written("no ConversationId", f"Inconsistent Error EB17 {HEADER}/ConversationId", "HIS 1037 4.2", ("<eb:ConversationId>.*</eb:ConversationId>", "")),
    written("a RefToMessageId that nobody knows", ACK, "practice 8.2: ignored", ("</eb:Timestamp>", "</eb:Timestamp><eb:RefToMessageId>11111111-0000-4000-8000-000000000001</eb:RefToMessageId>")),
    written("past its TimeToLive", f"TimeToLiveExpired Error EB8 {HEADER}/MessageData/TimeToLive", "practice 8.2", ("</eb:Timestamp>", "</eb:Timestamp><eb:TimeToLive>2020-01-01T00:00:00Z</eb:TimeToLive>")),
    written("no DuplicateElimination", ACK, "HITS 1172 74: tolerated", ("<eb:DuplicateElimination></eb:DuplicateElimination>", "")),
    written("no AckRequested", "Inconsistent Warning 75 //Header/AckRequested", "HITS 1172 75, 4.2.2.1", ("<eb:AckRequested [^>]*></eb:AckRequested>", "")),
    written("another version of AckRequested", "Inconsistent Error EB11 //Header/AckRequested/@version", "practice 8.2, 8.3", ('eb:signed="true" eb:version="2.0"', 'eb:signed="true" eb:version="1.0"')),
    written("another actor of AckRequested", "Inconsistent Error EB11 //Header/AckRequested/@actor", "practice 8.2, 8.3", ("actor:toPartyMSH", "actor:somebody")),
    written("AckRequested for an unsigned receipt", ACK, "HITS 1172 94: tolerated", ('eb:signed="true"', 'eb:signed="false"')),
    written("MessageOrder", ACK, "HITS 1172 5.11.3: ignored", ("<eb:AckRequested", '<eb:MessageOrder SOAP:mustUnderstand="1" eb:version="2.0"><eb:SequenceNumber>1</eb:SequenceNumber></eb:MessageOrder><eb:AckRequested')),
    written("an unknown block that must be understood", "NotSupported Error 100 //Header/*", "HITS 1172 100", ("<eb:AckRequested", '<z:Via xmlns:z="urn:z" SOAP:mustUnderstand="1"/><eb:AckRequested')),
    written("an unknown block that need not be understood", ACK, "SOAP 1.1 4.2.3", ("<eb:AckRequested", '<z:Via xmlns:z="urn:z"/><eb:AckRequested')),
    written("an unknown block in the body", "NotSupported Error 101 //Body/*; Inconsistent Error u3 //Body", "HITS 1172 101", ("<eb:Manifest", '<z:Via xmlns:z="urn:z"/><eb:Manifest')),
    written("no Manifest", f"Inconsistent Error EB12 //Body; {MIME} EB14 {CID}", "HIS 1037 4.2", ("<eb:Manifest.*</eb:Manifest>", "")),
    written("another version of Manifest", ACK, "HITS 1172 5: tolerated", ('<eb:Manifest eb:version="2.0"', '<eb:Manifest eb:version="3.0"')),
    written("a Manifest without a Reference", f"Inconsistent Error 6 //Body/Manifest; {MIME} EB14 {CID}", "HITS 1172 6", ("<eb:Reference .*</eb:Reference>", "")),
    written("a href that is no cid", f"{MIME} EB13 //Body/Manifest/Reference[1]/@href; {MIME} EB14 {CID}", "practice 8.2", ('href="cid:[^"]*"', 'href="http://clinic.invalid/document"')),
    written("a href to a part that is not there", f"{MIME} 23 cid:other@clinic; {SEC} EB3 //Body/Manifest/Reference[1]; {MIME} EB14 {CID}", "HITS 1172 23", ('href="cid:[^"]*"', 'href="cid:other@clinic"')),
    written("an empty href", f"{MIME} u12 //Body/Manifest/Reference[1]/@href; {MIME} EB14 {CID}", "HITS 1172 u12", ('href="cid:[^"]*"', 'href=""')),
    written("Acknowledgment and Manifest in one message", ACK, "HITS 1172 u6, 5.11.3: Service and Action decide", ("<eb:AckRequested", '<eb:Acknowledgment SOAP:mustUnderstand="1" eb:version="2.0"><eb:Timestamp>2026-01-01T00:00:00Z</eb:Timestamp><eb:RefToMessageId>x</eb:RefToMessageId></eb:Acknowledgment><eb:AckRequested')),
    written("two MessageHeaders", "Inconsistent Error u9 //Header/MessageHeader", "HITS 1172 u9", ("<eb:AckRequested", "<eb:MessageHeader/><eb:AckRequested")),
    written("SyncReply with a wrong actor", ACK, "no rule of HITS 1172 over HTTP; practice 8.2: ignored", ("<eb:AckRequested", '<eb:SyncReply SOAP:mustUnderstand="1" eb:version="2.0" SOAP:actor="urn:other"/><eb:AckRequested')),
]

# --- changed after signing: signature wrapping, stripping and downgrade (anchors 5) -----------------------------------

NEXT_HEADER = f'<eb:MessageHeader {NEXT} SOAP:mustUnderstand="1" eb:version="2.0"><eb:From><eb:PartyId eb:type="HER">8091101</eb:PartyId></eb:From></eb:MessageHeader>'
CHANGED = [
    changed("one word changed", f"{SEC} 50 //Header/Signature", "HITS 1172 50", ("DIALOG_NOTATsender", "DIALOG_NOTATsendre")),
    changed("one letter of the signature value", f"{SEC} 50 //Header/Signature", "HITS 1172 50", ("<ds:SignatureValue>....", "<ds:SignatureValue>AAAA")),
    changed("one letter of the root's digest", f"{SEC} 50 //Header/Signature", "HITS 1172 50", ("<ds:DigestValue>....", "<ds:DigestValue>AAAA")),
    changed("no Signature", f"{SEC} 45 //Header", "HITS 1172 45", ("<ds:Signature .*</ds:Signature>", "")),
    changed("the Signature twice", f"{SEC} 52 //Header", "HITS 1172 52", ("(<ds:Signature .*</ds:Signature>)", r"\1\1")),
    changed("the Signature in the body", f"NotSupported Error 101 //Body/*; {SEC} 45 //Header; Inconsistent Error u3 //Body", "HITS 1172 45", ("(<ds:Signature .*</ds:Signature>)(</SOAP:Header><SOAP:Body>)", r"\2\1")),
    changed("the Signature inside MessageHeader", f"{SEC} 45 //Header", "HITS 1172 45; standards digest 3.7 no 7", ("(</eb:MessageHeader>)(<eb:AckRequested.*?</eb:AckRequested>)(<ds:Signature .*</ds:Signature>)", r"\3\1\2")),
    changed("a forged MessageHeader before the signed one", FAULT, "HITS 1172 50", ("<eb:MessageHeader", '<eb:MessageHeader SOAP:mustUnderstand="1" eb:version="2.0"/><eb:MessageHeader')),
    changed("a forged MessageHeader that the XPath leaves out", FAULT, "HITS 1172 50: nothing that matters may be left out", ("<eb:MessageHeader", NEXT_HEADER + "<eb:MessageHeader")),
    changed("the signed MessageHeader made one that the XPath leaves out", f"{SEC} 50 //Header/Signature", "HITS 1172 50", ("<eb:MessageHeader", f"<eb:MessageHeader {NEXT}")),
    changed("a forged Manifest that the XPath leaves out", f"{SEC} 50 //Header/Signature; Inconsistent Error u3 //Body; Inconsistent Error u9 //Body/Manifest; Inconsistent Error 6 //Body/Manifest; {MIME} EB14 {CID}", "HITS 1172 50", ("<SOAP:Body>", f'<SOAP:Body><eb:Manifest {NEXT} eb:version="2.0"/>')),
    changed("AckRequested made one of the next handler", f"{SEC} 50 //Header/Signature; NotSupported Error EB10 //Header/AckRequested/@actor", "practice 8.2: NotSupported; HITS 1172 50", ("actor:toPartyMSH", "actor:nextMSH")),
    changed("a whole forged MessageHeader that the XPath leaves out", f"{SEC} 50 //Header/Signature; Inconsistent Error u9 {HEADER}", "HITS 1172 50: nothing that matters may be left out", ("<eb:MessageHeader (.*?</eb:MessageHeader>)", rf"<eb:MessageHeader {NEXT} \1<eb:MessageHeader \1")),
    changed("a foreign block that the XPath leaves out", ACK, "ebMS 2.0 4.1.3: not signed, and nobody acts on it", ("<eb:AckRequested", f'<z:Via xmlns:z="urn:z" {NEXT}><eb:MessageHeader/></z:Via><eb:AckRequested')),
    changed("a SyncReply put in on the way", ACK, "ebMS 2.0 4.1.3: not signed; AckRequested decides", ("<eb:AckRequested", f'<eb:SyncReply {NEXT} SOAP:mustUnderstand="1" eb:version="2.0"/><eb:AckRequested')),
    changed("a second Header", f"{SEC} 45 //Header", "HITS 1172 16, 50", ("</SOAP:Header>", "</SOAP:Header><SOAP:Header><eb:MessageHeader/></SOAP:Header>")),
    changed("a forged Header first", FAULT, "HITS 1172 16, 50", ("<SOAP:Header>", "<SOAP:Header><eb:MessageHeader/></SOAP:Header><SOAP:Header>")),
    changed("a second Body", f"{SEC} 50 //Header/Signature", "HITS 1172 16, 50", ("</SOAP:Body>", "</SOAP:Body><SOAP:Body/>")),
    changed("the signed Body wrapped in another", f"NotSupported Error 101 //Body/*; {SEC} 50 //Header/Signature; {MIME} EB14 {CID}", "HITS 1172 50", ("<SOAP:Body>(.*)</SOAP:Body>", r"<SOAP:Body><z:Old xmlns:z='urn:z'><SOAP:Body>\1</SOAP:Body></z:Old></SOAP:Body>")),
    changed("the whole signed envelope inside a forged one", FAULT, "HITS 1172 45, 50", (r"(<SOAP:Envelope [^>]*>)(.*)$", r"\1<SOAP:Header><eb:MessageHeader/><z:Old xmlns:z='urn:z'>\1\2</z:Old></SOAP:Header><SOAP:Body/></SOAP:Envelope>")),
    changed("a reference by Id instead of the whole", f"{SEC} 40 //Header/Signature/SignedInfo; {SEC} 34 //Header/Signature/SignedInfo/Reference[1]", "HITS 1172 40", ('<ds:Reference URI="">', '<ds:Reference URI="#signed">')),
    changed("two elements with one Id", f"{SEC} 50 //Header/Signature", "HITS 1172 50", ("<eb:MessageHeader", '<eb:MessageHeader Id="signed"'), ("<eb:Manifest", '<eb:Manifest Id="signed"')),
    changed("a second root reference", f"{SEC} 40 //Header/Signature", "HITS 1172 40: one reference covers the envelope", ('(<ds:Reference URI="">.*?</ds:Reference>)', r"\1\1")),
    changed("a reference to something outside", f"{SEC} 34 //Header/Signature/SignedInfo/Reference[2]", "HITS 1172 34", ('<ds:Reference URI="cid:', '<ds:Reference URI="http://127.0.0.1:9/x"><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>AAAA</ds:DigestValue></ds:Reference><ds:Reference URI="cid:')),
    changed("an XSLT transform", f"{SEC} 37 //Header/Signature/SignedInfo/Reference[1]/Transforms; {SEC} 38 //Header/Signature", "HITS 1172 37, 38", ("http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/TR/1999/REC-xslt-19991116")),
    changed("an XPath of one's own", f"{SEC} 36 //Header/Signature", "HITS 1172 36: another expression is refused", ("<ds:XPath>[^<]*", "<ds:XPath>not(ancestor-or-self::eb:MessageHeader)")),
    changed("HMAC for RSA", f"{SEC} 84 //Header/Signature/SignedInfo/SignatureMethod", "HITS 1172 84", ("xmldsig-more#rsa-sha256", "xmldsig-more#hmac-sha256")),
    changed("MD5 for SHA-256", f"{SEC} 33 //Header/Signature/SignedInfo/Reference[1]/DigestMethod", "HITS 1172 33", ("http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmldsig-more#md5")),
    changed("SHA-1 for SHA-256 by name alone", f"{SEC} 84 //Header/Signature", "HITS 1172 33, 84; NHN: SHA-1 by agreement only", ("http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2000/09/xmldsig#sha1")),
    changed("a namespace that is no absolute URI", f"{SEC} 50 //Header/Signature", "W3C Canonical XML 4.4: nobody can have signed it", ("<eb:CPAId>", '<eb:CPAId xmlns:z="relative">')),
    changed("an Object in the Signature", f"{SEC} 50 //Header/Signature", "standards digest 3.7 no 6", ("</ds:KeyInfo>", "</ds:KeyInfo><ds:Object><eb:Manifest/></ds:Object>")),
    changed("no certificate", f"{SEC} 103 //Header/Signature/KeyInfo/X509Data; {SEC} 46 //Header/Signature", "HITS 1172 103", ("<ds:X509Certificate>.*</ds:X509Certificate>", "")),
    changed("two certificates", f"{SEC} 65 //Header/Signature/KeyInfo/X509Data", "HITS 1172 65", ("(<ds:X509Certificate>.*</ds:X509Certificate>)", r"\1\1")),
    changed("a certificate that is none", f"{SEC} 46 //Header/Signature", "HITS 1172 46", ("<ds:X509Certificate>[^<]*", "<ds:X509Certificate>AAAA")),
    changed("a comment inside a value", ACK, "Canonical XML leaves comments out: the value is the signed one", (">8091101</eb:PartyId>", ">80<!-- x -->91101</eb:PartyId>")),
    changed("a processing instruction", FAULT, "house practice: refused", ("<eb:CPAId>", "<?x y?><eb:CPAId>")),
    changed("a document type with an entity", FAULT, "practice 8.3: refused before it is read", ("<SOAP:Envelope", '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><SOAP:Envelope')),
    changed("XML that does not end", FAULT, "practice 8.2; HITS 1172 5.6", ("</SOAP:Envelope>", "")),
    changed("another namespace of SOAP", FAULT, "HITS 1172 86", ("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope")),
    changed("twenty thousand elements", FAULT, "house practice: bounded", ("<eb:CPAId>", "<eb:CPAId/>" * 20_001 + "<eb:CPAId>")),
]

# --- wrapped badly: ebXML digest 10.4, and MIME bombs -----------------------------------------------------------------

START, BOUND = '; start="<soap@clinic>"', ' boundary="b-1"'
WRAPPED = [
    wrapped("an envelope part without Content-Type", FAULT, "practice 10.4; HITS 1172 255", ("Content-Type: text/xml; charset=UTF-8\r\n", "")),
    wrapped("an envelope part of type text/plain", FAULT, "practice 10.4; HITS 1172 255", ("Content-Type: text/xml", "Content-Type: text/plain")),
    wrapped("an envelope part without transfer encoding", FAULT, "practice 10.4", ("UTF-8\r\nContent-Transfer-Encoding: base64\r\n", "UTF-8\r\n")),
    wrapped("an envelope part in base65", FAULT, "practice 10.4; HITS 1172 258", ("UTF-8\r\nContent-Transfer-Encoding: base64", "UTF-8\r\nContent-Transfer-Encoding: base65")),
    wrapped("an attachment without Content-ID", f"{SEC} 50 //Header/Signature; {MIME} 23 {CID}; {MIME} EB14 attachment[1]", "practice 1.2", ("Content-ID: <0[^\r]*\r\n", "")),
    wrapped("an attachment that calls itself binary", f"{SEC} 50 //Header/Signature; {SEC} 263 {CID}", "HITS 1172 259: tolerated if decodable", ("data\r\nContent-Transfer-Encoding: base64", "data\r\nContent-Transfer-Encoding: binary")),
    wrapped("an attachment of another type", ACK, "HITS 1172 260: tolerated if it is CMS", ("application/pkcs7-mime", "application/octet-stream")),
    wrapped("no start parameter", ACK, "practice 10.4", head=[(START, "")]),
    wrapped("no start parameter and no Content-ID of the envelope", ACK, "practice 10.4", ("Content-ID: <soap@clinic>\r\n", ""), head=[(START, "")]),
    wrapped("a start parameter that names another part", ACK, "HITS 1172 u1: tolerated", head=[("soap@clinic", "other@clinic")]),
    wrapped("no type parameter", ACK, "HITS 1172 253: tolerated", head=[(' type="text/xml";', "")]),
    wrapped("another SOAPAction", ACK, "HITS 1172 51: tolerated", head=[('"ebXML"', "ebxml")]),
    wrapped("another charset than the XML has", "ValueNotRecognized Error 256 xpointer(//)", "HITS 1171 8.4", ("charset=UTF-8", "charset=ISO-8859-1")),
    wrapped("no boundary parameter", FAULT, "practice 1.2; SwA", head=[(BOUND, "")]),
    wrapped("two boundary parameters", FAULT, "RFC 2046; hostile", head=[(BOUND, ' boundary="b-1"; boundary="b-2"')]),
    wrapped("a boundary of a thousand letters", FAULT, "RFC 2046; hostile", head=[("b-1", "b" * 1000)]),
    wrapped("a boundary that is not there", FAULT, "SwA", head=[("b-1", "b-2")]),
    wrapped("no last boundary", ACK, "RFC 2046 5.1.1: the signature shows that nothing is missing", ("--b-1--\r\n$", "")),
    wrapped("a message that was cut in the attachment", f"{SEC} 50 //Header/Signature", "HITS 1172 50", (".{200}--b-1--\r\n$", "")),
    wrapped("lines that only look like the boundary", ACK, "RFC 2046 5.1.1", ("--b-1\r\n", "--b-10\r\n--b-1x\r\n--b-1\r\n")),
    Bad(name="a part that is not signed and not named", answer=f"{SEC} EB3 //Header/Signature; {MIME} EB14 cid:extra@clinic", source="standards digest 3.7 no 2; HIS 1037 6.3.1", post=lambda c, made: c.post(*made, replace(made[1], content_id="extra@clinic"))),
    wrapped("two parts with one Content-ID", f"{SEC} 50 //Header/Signature; {MIME} 23 {CID}; {MIME} EB14 {CID}; {MIME} EB15 attachment", "RFC 2392", ("(--b-1\r\nContent-ID: <0.*)--b-1--", r"\1\1--b-1--")),
    wrapped("the signed part taken away", f"{SEC} 50 //Header/Signature; {MIME} 27 {CID}", "HITS 1172 50 and 27, in their order", ("--b-1\r\nContent-ID: <0.*--b-1--", "--b-1--")),
    wrapped("another Content-ID than the signed one", f"{MIME} 23 {CID}; {SEC} EB3 //Header/Signature; {MIME} EB14 cid:other@clinic", "HITS 1172 23; standards digest 3.7 no 2", ("Content-ID: <0[^>]*", "Content-ID: <other@clinic")),
    wrapped("one octet of the attachment changed", f"{SEC} 50 //Header/Signature", "HITS 1172 50", ("(data\r\nContent-Transfer-Encoding: base64\r\n\r\nMII.{57})....", r"\1AAAA")),
    wrapped("base64 that is none", f"{MIME} 259 {CID}; {SEC} 50 //Header/Signature", "HITS 1172 259: not decodable", ("data\r\nContent-Transfer-Encoding: base64\r\n\r\n", "data\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!")),
    wrapped("twenty-five parts", FAULT, "hostile: bounded", ("--b-1--", "--b-1\r\n\r\nx\r\n" * 25 + "--b-1--")),
    wrapped("two thousand lines in a part's head", FAULT, "hostile: bounded", ("Content-ID: <0", "X: y\r\n" * 2_000 + "Content-ID: <0")),
    wrapped("a line of ten thousand letters in a part's head", FAULT, "hostile: bounded", ("Content-ID: <0", "X: " + "y" * 10_000 + "\r\nContent-ID: <0")),
    wrapped("a head of a hundred thousand octets", FAULT, "hostile: bounded", ("Content-ID: <0", ("X: " + "y" * 4_000 + "\r\n") * 25 + "Content-ID: <0")),
    wrapped("a multipart inside the multipart", FAULT, "hostile: bounded", ("application/pkcs7-mime", 'multipart/mixed; boundary="q"')),
    wrapped("nothing but boundaries", FAULT, "hostile: bounded", ("^.*$", "--b-1\r\n" * 50_000)),
    wrapped("an empty body", FAULT, "SwA", ("^.*$", "")),
    wrapped("text where a message should be", FAULT, "HITS 1172 252", ("^.*$", "hello"), head=[("^multipart/related.*", "text/plain")]),
    wrapped("zeros where a message should be", FAULT, "SwA", ("^.*$", "\\0" * 100_000)),
]

# --- sealed badly: what cannot be decrypted, and bombs inside ---------------------------------------------------------

UNREADABLE = f"{SEC} 263 {CID}"


def _gzipped(times: int, content: bytes = b"<a/>") -> bytes:
    for _ in range(times):
        content = gzip.compress(content, 9)
    return content


SEALED = [
    sealed("encrypted for somebody else", UNREADABLE, "HITS 1172 263", lambda c, _: cms.encrypt(b"<a/>", c.opening.certificate)),
    sealed("CMS that is cut", UNREADABLE, "HITS 1172 263", lambda _, made: made[1].content[:-40]),
    sealed("CMS of its first octets alone", UNREADABLE, "HITS 1172 263", lambda _, made: made[1].content[:30]),
    sealed("CMS with a changed last octet", UNREADABLE, "HITS 1172 263", lambda _, made: made[1].content[:-1] + b"\0"),
    sealed("CMS with octets after its end", ACK, "no rule; the envelope's signature covers them", lambda _, made: made[1].content + b"\0" * 100),
    sealed("a document in the clear", UNREADABLE, "HITS 1172 263, HIS 1037 5.5", lambda *_: b"<MsgHead/>"),
    sealed("an empty attachment", UNREADABLE, "HITS 1172 263", lambda *_: b""),
    sealed("signed data where enveloped data should be", UNREADABLE, "HITS 1172 263", lambda _, made: made[1].content.replace(bytes.fromhex("06092a864886f70d010703"), bytes.fromhex("06092a864886f70d010702"), 1)),
    inside("noise inside", UNREADABLE, "HITS 1172 263", lambda: b"\x8f\x01" * 500),
    inside("a blank inside", UNREADABLE, "HITS 1172 263", lambda: b" "),
    inside("a gzip bomb inside", UNREADABLE, "practice 8.2: gunzip fails", lambda: _gzipped(1, b"\0" * 61_000_000)),
    inside("gzip five times over inside", UNREADABLE, "practice 8.2: gunzip fails", lambda: _gzipped(5)),
    inside("gzip that is cut inside", UNREADABLE, "practice 8.2: gunzip fails", lambda: _gzipped(1)[:-6]),
    inside("a MIME head without end inside", UNREADABLE, "hostile: bounded", lambda: b"Content-Type: application/xml\r\n" + b"X: y\r\n" * 50_000),
    inside("a file alone inside", f"{MIME} 27 //Body/Manifest", "HITS 1172 27: there is no document", lambda: b"%PDF-1.7\n"),
    inside("XML of an unknown kind inside", ACK, "HITS 1171 8.2: it arrived; the document is judged later", lambda: b"<a/>"),
]
# fmt: on
