"""HITS 1172, rule by rule: one message for each, and the table of what is done with every number."""

# ruff: noqa: E501
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from adapter.ebxml.build import build, build_fault
from adapter.ebxml.check_names import check_named_type
from adapter.ebxml.check_register import check_register
from adapter.ebxml.check_signature import check_signature
from adapter.ebxml.compose import acknowledgment, message_error
from adapter.ebxml.decide import decide
from adapter.ebxml.names import Kind
from adapter.ebxml.opening import Opened, SignatureOutcome, judge, open_message
from adapter.ebxml.pack import Attachment
from adapter.ebxml.plaintext import read_plaintext
from adapter.ebxml.read import read
from adapter.ebxml.rulebook import RULES, Act, Hit, Needs, finding
from adapter.ebxml.words import EbError, Participant, PartyId
from adapter.errors import Severity
from adapter.model.partner import CertificateEntry, PartyType, RegisterEntry
from adapter.xmlio import parse, serialise
from tests.ebxml.making import (
    ATTACHED,
    CMS,
    MESSAGE_ID,
    NOW,
    REFERENCES,
    SIGNAL_ID,
    SOFTWARE,
    VALID,
    change,
    mailed,
    opened_xml,
    payload,
    rules_of,
    signed,
)

GOOD = serialise(signed(build(payload())))
WIRE = mailed(GOOD, ATTACHED)
ACK = acknowledgment(payload(), REFERENCES, message_id=SIGNAL_ID, now=NOW, software=SOFTWARE)
ERROR = message_error(payload(), [EbError(code="Unknown")], message_id=SIGNAL_ID, now=NOW, software=SOFTWARE)


def wire(before: bytes, after: bytes, count: int = 1) -> Opened:
    assert before in WIRE, before
    return open_message(WIRE.replace(before, after, count))


def xml(before: str, after: str = "", count: int = -1) -> Opened:
    return opened_xml(change(payload(), before, after, count=count), ATTACHED)


def sub(pattern: str, after: str = "", count: int = 0) -> Opened:
    changed, times = re.subn(pattern, after, GOOD.decode(), count=count, flags=re.S)
    assert times
    return opened_xml(changed.encode(), ATTACHED)


def ack(before: str, after: str = "", count: int = -1) -> Opened:
    return opened_xml(change(ACK, before, after, count=count))


def error(before: str, after: str = "", count: int = -1) -> Opened:
    return opened_xml(change(ERROR, before, after, count=count))


def block(tag: str) -> str:
    return rf"<{tag}\b[^>]*?(?:/>|>.*?</{tag}>)"


SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
# fmt: off
DEFECTS: dict[str, Callable[[], Opened]] = {
    "18": lambda: wire(b"From: ours@edi.nhn.no\r\n", b""),
    "19": lambda: wire(b"To: theirs@edi.nhn.no\r\n", b""),
    "80": lambda: wire(b"From: ours@edi.nhn.no", b"From: "),
    "81": lambda: wire(b"To: theirs@edi.nhn.no", b"To:"),
    "250": lambda: wire(b"Message-ID: <1@edi.nhn.no>\r\n", b""),
    "20": lambda: wire(b"Date: ", b"X-Date: "),
    "251": lambda: wire(b"<1@edi.nhn.no>", b""),
    "83": lambda: wire(b"Date: Sat, 21 Nov 2026 12:00:05 +0000", b"Date:"),
    "21": lambda: wire(b"MIME-Version: 1.0\r\n", b""),
    "82": lambda: wire(b"MIME-Version: 1.0", b"MIME-Version: 2.0"),
    "22": lambda: wire(b"SOAPAction", b"X-SOAPAction"),
    "51": lambda: wire(b'"ebXML"', b'"ebxml"'),
    "252": lambda: open_message(b"From: a@b\r\nContent-Type: text/plain\r\n\r\n" + GOOD),
    "66": lambda: wire(b"multipart/related", b"multipart/mixed"),
    "253": lambda: wire(b'type="text/xml";', b'type="application/xml";'),
    "u1": lambda: wire(b'start="<soap@x>"', b'start="<other@x>"'),
    "67": lambda: wire(b"Content-Type: text/xml;", b"Content-Type: image/png;"),
    "255": lambda: wire(b"Content-Type: text/xml;", b"Content-Type: application/xml;"),
    "256": lambda: wire(b"charset=UTF-8", b"charset=ISO-8859-1"),
    "257": lambda: open_message(mailed(b"x", ATTACHED).replace(b"Content-Transfer-Encoding: base64\r\n\r\neA==", b"\r\n" + GOOD)),
    "258": lambda: wire(b"UTF-8\r\nContent-Transfer-Encoding: base64", b"UTF-8\r\nContent-Transfer-Encoding: base65"),
    "259": lambda: wire(b"data\r\nContent-Transfer-Encoding: base64", b"data\r\nContent-Transfer-Encoding: 8bit"),
    "260": lambda: wire(b"application/pkcs7-mime; smime-type=enveloped-data", b"application/octet-stream"),
    "78": lambda: opened_xml(GOOD.split(b"?>", 1)[1], ATTACHED),
    "68": lambda: opened_xml(GOOD.replace(b'encoding="UTF-8"', b'encoding="ISO-8859-1"'), ATTACHED),
    "86": lambda: opened_xml(b'<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Header/><S:Body/></S:Envelope>'),
    "16": lambda: xml("</SOAP:Body>", "</SOAP:Body><SOAP:Body/>"),
    "17": lambda: xml("<eb:CPAId>", "<eb:Extra/><eb:CPAId>"),
    "43": lambda: xml("SOAP:Envelope", "SOAP:Parcel"),
    "2": lambda: sub(block("SOAP:Header")),
    "3": lambda: sub(block("SOAP:Body")),
    "100": lambda: xml("<eb:AckRequested", '<z:Via xmlns:z="urn:z" SOAP:mustUnderstand="1"/><eb:AckRequested'),
    "101": lambda: xml("<eb:Manifest", '<z:Via xmlns:z="urn:z"/><eb:Manifest'),
    "4": lambda: sub(block("eb:MessageHeader")),
    "8": lambda: xml('<eb:MessageHeader SOAP:mustUnderstand="1" eb:version="2.0"', '<eb:MessageHeader SOAP:mustUnderstand="1"'),
    "70": lambda: xml('<eb:MessageHeader SOAP:mustUnderstand="1" eb:version="2.0"', '<eb:MessageHeader SOAP:mustUnderstand="1" eb:version="3.0"'),
    "7": lambda: xml('<eb:MessageHeader SOAP:mustUnderstand="1"', "<eb:MessageHeader"),
    "69": lambda: xml('<eb:MessageHeader SOAP:mustUnderstand="1"', '<eb:MessageHeader SOAP:mustUnderstand="0"'),
    "76": lambda: sub(block("eb:MessageId")),
    "102": lambda: xml(f"<eb:MessageId>{MESSAGE_ID}", "<eb:MessageId>message 17"),
    "77": lambda: sub(block("eb:Timestamp"), "<eb:Timestamp>yesterday</eb:Timestamp>"),
    "11": lambda: sub(block("eb:CPAId")),
    "12": lambda: xml("79768_80225", "80225_79768"),
    "10": lambda: sub(block("eb:From")),
    "9": lambda: sub(block("eb:To")),
    "58": lambda: xml('<eb:PartyId eb:type="HER">80225</eb:PartyId>'),
    "59": lambda: xml('<eb:PartyId eb:type="HER">79768</eb:PartyId>'),
    "25": lambda: xml(">80225</eb:PartyId>", "></eb:PartyId>"),
    "55": lambda: xml(">79768</eb:PartyId>", "> </eb:PartyId>"),
    "60": lambda: xml('"HER">80225', '"DN">80225'),
    "61": lambda: xml('"HER">79768', '"DN">79768'),
    "14": lambda: xml("80225</eb:PartyId>", '80225</eb:PartyId><eb:PartyId eb:type="HER">1</eb:PartyId>'),
    "13": lambda: xml("79768</eb:PartyId>", '79768</eb:PartyId><eb:PartyId eb:type="HER">1</eb:PartyId>'),
    "31": lambda: xml(">80225<", ">8O225<"),
    "56": lambda: xml(">79768<", ">7976B<"),
    "47": lambda: sub(block("eb:Service")),
    "71": lambda: xml(">S-DIALOG_NOTAT<", "><"),
    "48": lambda: sub(block("eb:Action")),
    "72": lambda: xml(">DIALOG_NOTAT<", "> <"),
    "45": lambda: opened_xml(serialise(build(payload())), ATTACHED),
    "52": lambda: sub(r"(<ds:Signature .*</ds:Signature>)", r"\1\1"),
    "363": lambda: sub(block("ds:SignedInfo")),
    "42": lambda: sub(block("ds:SignatureValue")),
    "32": lambda: sub(block("ds:KeyInfo")),
    "39": lambda: sub(block("ds:Reference")),
    "40": lambda: sub(block("ds:Reference"), "", 1),
    "34": lambda: xml('URI="cid:att-1@example.no"', 'URI="http://example.no/1"'),
    "33": lambda: xml(SHA256, "http://www.w3.org/2001/04/xmlenc#sha512"),
    "37": lambda: xml("http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/TR/1999/REC-xslt-19991116"),
    "36": lambda: sub(r'<ds:Transform Algorithm="http://www.w3.org/TR/1999[^>]*/>'),
    "35": lambda: xml('<ds:Transform Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"/>', '<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>'),
    "38": lambda: sub(r'<ds:Transform Algorithm="http://www.w3.org/TR/1999[^>]*/>'),
    "41": lambda: sub(block("ds:X509Data")),
    "64": lambda: sub(block("ds:DigestValue")),
    "85": lambda: xml(' URI="cid:att-1@example.no"'),
    "103": lambda: sub(block("ds:X509Certificate")),
    "65": lambda: sub(f"({block('ds:X509Certificate')})", r"\1\1"),
    "84": lambda: xml("xmldsig-more#rsa-sha256", "xmldsig-more#ecdsa-sha256"),
    "u2": lambda: opened_xml(re.sub(rb"<eb:AckRequested[^>]*/>|<eb:Manifest.*</eb:Manifest>", b"", GOOD)),
    "u3": lambda: xml("</eb:Manifest>", '</eb:Manifest><eb:StatusRequest eb:version="2.0"><eb:RefToMessageId>x</eb:RefToMessageId></eb:StatusRequest>'),
    "u4": lambda: ack("<ds:Signature", '<eb:ErrorList SOAP:mustUnderstand="1" eb:version="2.0" eb:highestSeverity="Error"/><ds:Signature', 1),
    "u5": lambda: ack("<ds:Signature", '<eb:AckRequested SOAP:mustUnderstand="1" eb:version="2.0" eb:signed="1"/><ds:Signature', 1),
    "u6": lambda: ack("<SOAP:Body/>", '<SOAP:Body><eb:Manifest eb:version="2.0"/></SOAP:Body>'),
    "u7": lambda: error("<ds:Signature", '<eb:AckRequested SOAP:mustUnderstand="1" eb:version="2.0" eb:signed="1"/><ds:Signature', 1),
    "u8": lambda: error("<SOAP:Body/>", '<SOAP:Body><eb:Manifest eb:version="2.0"/></SOAP:Body>'),
    "u9": lambda: xml("<eb:AckRequested", '<eb:AckRequested SOAP:mustUnderstand="1" eb:version="2.0" eb:signed="1"/><eb:AckRequested'),
    "106": lambda: ack("urn:oasis:names:tc:ebxml-msg:service<", "S-EPIKRISE<"),
    "107": lambda: ack("<eb:Action>Acknowledgment", "<eb:Action>Acknowledgement"),
    "108": lambda: ack(f"{MESSAGE_ID}</eb:RefToMessageId>", "the last one</eb:RefToMessageId>"),
    "109": lambda: ack("</eb:Timestamp></eb:MessageData>", "</eb:Timestamp><eb:RefToMessageId>x</eb:RefToMessageId></eb:MessageData>"),
    "115": lambda: ack("<ds:Signature", '<eb:ErrorList SOAP:mustUnderstand="1" eb:version="2.0" eb:highestSeverity="Error"/><ds:Signature', 1),
    "116": lambda: opened_xml(serialise(signed(build(replace(ACK, receipt=replace(ACK.receipt, references=REFERENCES[1:])))))),  # type: ignore[type-var]
    "117": lambda: opened_xml(serialise(signed(build(replace(ACK, receipt=replace(ACK.receipt, references=REFERENCES[:1])))))),  # type: ignore[type-var]
    "120": lambda: error("urn:oasis:names:tc:ebxml-msg:service<", "S-EPIKRISE<"),
    "121": lambda: error("<eb:Action>MessageError", "<eb:Action>Error"),
    "122": lambda: error(f"<eb:RefToMessageId>{MESSAGE_ID}</eb:RefToMessageId>"),
    "123": lambda: error("<ds:Signature", '<eb:Acknowledgment SOAP:mustUnderstand="1" eb:version="2.0"/><ds:Signature', 1),
    "74": lambda: xml("<eb:DuplicateElimination/>"),
    "75": lambda: sub(r"<eb:AckRequested[^>]*/>"),
    "u10": lambda: xml('<eb:AckRequested SOAP:mustUnderstand="1"', "<eb:AckRequested"),
    "u11": lambda: xml('<eb:AckRequested SOAP:mustUnderstand="1"', '<eb:AckRequested SOAP:mustUnderstand="0"'),
    "94": lambda: xml('eb:signed="true"', 'eb:signed="false"'),
    "5": lambda: xml('<eb:Manifest eb:version="2.0"', '<eb:Manifest eb:version="1.0"'),
    "6": lambda: sub(r"<eb:Reference .*</eb:Reference>"),
    "27": lambda: opened_xml(GOOD),
    "u12": lambda: xml('xlink:href="cid:att-1@example.no"', 'xlink:href=""'),
    "23": lambda: xml('xlink:href="cid:att-1@example.no"', 'xlink:href="cid:att-2@example.no"'),
    "265": lambda: xml(' eb:location="http://www.kith.no/xmlstds/dialog/2006-10-11"'),
    "266": lambda: xml('2006-10-11" eb:version="1.0"', '2006-10-11"'),
    "267": lambda: xml("dialog/2006-10-11", "dialog/1999-10-11"),
    "268": lambda: xml('2006-10-11" eb:version="1.0"', '2006-10-11" eb:version="1.1"'),
    "269": lambda: xml("xmlstds/dialog/2006-10-11", "xmlstds/henvisning/2012-02-15"),
    "271": lambda: xml('"MSH-system"', '"MSH"'),
    "272": lambda: xml('"MSH-versjon"', '"MSH"'),
    "273": lambda: xml('"MSH-system":"Prøve-MSH"', '"MSH-system":""'),
    "274": lambda: xml('"MSH-versjon":"1.0"', '"MSH-versjon":1'),
    "279": lambda: sub(r"<eb:Schema [^>]*/>"),
    "EB1": lambda: open_message(b"Content-Type: multipart/related\r\n\r\n"),
    "EB2": lambda: wire(b"--b-1--\r\n", b""),
    "EB4": lambda: xml("<eb:Role>DIALOG_NOTATsender</eb:Role>"),
    "EB5": lambda: ack("80225</eb:PartyId>", "80225</eb:PartyId><eb:Role>x</eb:Role>"),
    "EB6": lambda: xml("2026-11-21T12:00:05Z", "2026-11-21T12:00:05"),
    "EB7": lambda: opened_xml(serialise(signed(build(payload(ref_to_message_id=SIGNAL_ID)))), ATTACHED),
    "EB9": lambda: xml("<eb:AckRequested", '<eb:MessageOrder SOAP:mustUnderstand="1" eb:version="2.0"><eb:SequenceNumber>1</eb:SequenceNumber></eb:MessageOrder><eb:AckRequested'),
    "EB10": lambda: xml("actor:toPartyMSH", "actor:nextMSH"),
    "EB11": lambda: xml("urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH", "urn:other"),
    "EB12": lambda: sub(r"<eb:Manifest.*</eb:Manifest>"),
    "EB13": lambda: xml('xlink:href="cid:att-1@example.no"', 'xlink:href="http://example.no/"'),
    "EB14": lambda: opened_xml(GOOD, ATTACHED, Attachment(content_id="extra@x", content=CMS)),
    "EB15": lambda: opened_xml(GOOD, ATTACHED, ATTACHED),
    "EB16": lambda: xml(SHA256, "http://www.w3.org/2000/09/xmldsig#sha1"),
    "EB17": lambda: sub(block("eb:ConversationId")),
    "EB18": lambda: opened_xml(serialise(signed(build(payload(acknowledge=False)))), ATTACHED),
    "EB20": lambda: opened_xml(GOOD.replace(b"S-DIALOG_NOTAT", b"HarBorgerFrikort"), Attachment(content_id="att-1@example.no", content=b"<MsgHead/>")),
    "EB22": lambda: opened_xml(serialise(build_fault("Client", "no"))),
    "EB23": lambda: open_message(b"From: <>\r\nContent-Type: multipart/report; boundary=q\r\n\r\n--q\r\n\r\nlost\r\n--q--"),
    "EB24": lambda: error('eb:errorCode="Unknown"', 'eb:errorCode="UnableToDecrypt"'),
    "EB25": lambda: opened_xml(serialise(signed(build(ACK)))),
    "EB26": lambda: xml('"HER">80225', '"ENH">80225'),
    "EB28": lambda: ack("</eb:MessageData>", "</eb:MessageData><eb:DuplicateElimination/>"),
    "EB29": lambda: opened_xml(re.sub(rb"<eb:ErrorList.*</eb:ErrorList>", b"", serialise(signed(build(ERROR), ())))),
    "EB30": lambda: xml('<eb:PartyId eb:type="HER">80225', '<eb:PartyId type="HER">80225'),
    "EB31": lambda: wire(b"Date:", b"Precedence: bulk\r\nDate:"),
    "EB27": lambda: xml("S-DIALOG_NOTAT", "DIALOG_NOTAT"),
}
# fmt: on
# Rules that another outcome or another source brings; each has its own test below.
ELSEWHERE = {
    "29",
    "54a",
    "30",
    "54b",
    "110",
    "111",
    "112",
    "113",
    "114",
    "261",
    "262",
    "79",
    "44",
    "46",
    "104",
    "105",
    "50",
    "270",
    "263",
    "u13",
    "264",
    "u14",
    "259b",
    "EB3",
    "EB8",
    "EB19",
    "EB21",
    "EB40",
    "EB41",
    "EB42",
    "EB43",
    "EB44",
    "EB45",
}


def test_the_good_message_fails_no_rule() -> None:
    assert rules_of(open_message(WIRE)) == ["EB19"]
    assert rules_of(opened_xml(change(ACK, "x", "x")), replace(VALID, covered=("",))) == []
    assert rules_of(opened_xml(change(ERROR, "x", "x")), replace(VALID, covered=("",))) == []


@pytest.mark.parametrize("rule", DEFECTS)
def test_each_defect_fails_its_rule(rule: str) -> None:
    assert rule in [hit.rule for hit in DEFECTS[rule]().hits]


def test_every_rule_of_hits_1172_is_in_the_book_under_its_number() -> None:
    numbered = [rule for rule in RULES if rule[0].isdigit()]
    assert len(numbered) == 126
    assert [rule for rule in RULES if rule[0] == "u"] == [
        "u1",
        "u2",
        "u3",
        "u4",
        "u5",
        "u6",
        "u7",
        "u8",
        "u9",
        "u10",
        "u11",
        "u12",
        "u13",
        "u14",
    ]
    assert {rule.document for rule in RULES.values() if rule.numbered} == {"L", "F", "ER", "F/ER", "W", "-"}


def test_every_rule_is_tested_here_or_needs_something_that_is_handed_in() -> None:
    assert set(DEFECTS) | ELSEWHERE == set(RULES)
    assert not set(DEFECTS) & ELSEWHERE
    handed_in = {rule for rule in RULES if RULES[rule].needs is not Needs.NOTHING}
    assert handed_in <= ELSEWHERE


def test_what_each_rule_needs_is_counted() -> None:
    numbered = [rule for rule in RULES.values() if rule.id[0].isdigit()]
    counted = {needs: sum(rule.needs is needs for rule in numbered) for needs in Needs}
    assert sum(counted.values()) == 126
    assert counted[Needs.REGISTER] == 9
    assert counted[Needs.AGREEMENT] == 4
    assert counted[Needs.KEYS] == 6


def test_a_finding_names_rule_place_and_source_and_quotes_nothing() -> None:
    for number, make in DEFECTS.items():
        for one in judge(make(), VALID).findings:
            assert "example.no" not in one.text + (one.path or ""), number
            assert one.source


CANARY = "17875399837"


def test_p21_no_finding_repeats_a_word_of_the_message() -> None:
    places = re.findall(r"(?<=>)[^<]+(?=</)|(?<=\")[^\"<>]+(?=\")", GOOD.decode())
    for place in dict.fromkeys(places):
        opened = opened_xml(GOOD.decode().replace(place, CANARY).encode(), ATTACHED)
        for outcome in (None, SignatureOutcome(status="invalid")):
            assert CANARY not in str([one.as_json() for one in judge(opened, outcome).findings]), place
    for line in WIRE.split(b"\r\n")[:9]:
        name, _, value = line.partition(b": ")
        opened = open_message(WIRE.replace(line, name + b": " + CANARY.encode(), 1) if value else WIRE)
        assert CANARY not in str([one.as_json() for one in judge(opened, None).findings])


def test_statistics_are_information_and_tolerated_faults_are_warnings() -> None:
    assert finding(Hit("271")).severity is Severity.INFO
    assert finding(Hit("22")).severity is Severity.WARNING
    assert finding(Hit("45")).severity is Severity.ERROR
    assert finding(Hit("45", act=Act.TOLERATE)).severity is Severity.WARNING


def test_a_document_in_the_clear_is_refused_unless_its_service_is_one_of_those() -> None:
    clear = Attachment(content_id="att-1@example.no", content=b"<MsgHead/>")
    assert judge(opened_xml(GOOD, clear), VALID).answer.error_code == "SecurityFailure"
    for service in ("HarBorgerFrikort", "HarBorgerEgenandelFritak"):
        opened = opened_xml(GOOD.replace(b"S-DIALOG_NOTAT", service.encode()), clear)
        assert judge(opened, VALID).answer.kind == "Acknowledgment"


def test_sha1_is_a_fault_where_the_partner_is_not_set_so() -> None:
    for what, rule in ((SHA256, "33"), ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "84")):
        sha1 = "http://www.w3.org/2000/09/xmldsig#" + ("sha1" if rule == "33" else "rsa-sha1")
        opened = xml(what, sha1)
        assert opened.root is not None
        assert rule not in [hit.rule for hit in check_signature(opened.root, Kind.PAYLOAD)]
        assert rule in [hit.rule for hit in check_signature(opened.root, Kind.PAYLOAD, allow_sha1=False)]


def test_a_signature_that_does_not_end_in_canonical_xml_is_refused() -> None:
    opened = xml('<ds:Transform Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"/>', "")
    assert [hit.act for hit in opened.hits if hit.rule == "35"] == [Act.ERROR]


def test_outcomes_of_keys_and_clock_become_failed_rules() -> None:
    opened = open_message(WIRE)
    assert "50" in rules_of(opened, SignatureOutcome(status="invalid"))
    assert "46" in rules_of(opened, SignatureOutcome(status="invalid", rule="46"))
    assert "45" in rules_of(opened, SignatureOutcome(status="absent"))
    assert {"104", "105"} <= set(rules_of(opened, replace(VALID, warnings=("104", "105"))))
    assert "EB21" in rules_of(opened, None)
    assert "EB3" in rules_of(opened, replace(VALID, covered=("",)))
    assert rules_of(opened, VALID, decrypted={0: None}) == ["263"]
    assert rules_of(opened, VALID, decrypted={0: read_plaintext(b"<a/>")}) == []
    late = opened_xml(serialise(signed(build(payload(time_to_live=NOW)))), ATTACHED)
    assert "EB8" in rules_of(late, VALID, now=NOW + timedelta(seconds=1))
    assert "EB8" not in rules_of(late, VALID, now=NOW)


def test_the_decrypted_part_is_judged_by_the_rules_of_5_15() -> None:
    opened = open_message(WIRE)
    odd = read_plaintext(b"MIME-Version: 1.0\r\n\r\n<a/>")
    assert rules_of(opened, VALID, decrypted={0: odd}) == ["u13", "264"]
    odd = read_plaintext(b"Content-Type: text/html\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<a/>")
    assert rules_of(opened, VALID, decrypted={0: odd}) == ["u14"]


ENTRY = RegisterEntry(
    her_id=80225,
    type=PartyType.SERVICE,
    name="a",
    display_name="a",
    edi_address="ours@edi.nhn.no",
    signing=CertificateEntry(thumbprint="ab", der=b"certificate"),
)
OTHER = replace(ENTRY, her_id=79768, edi_address="theirs@edi.nhn.no")


def test_the_register_decides_rules_of_5_9() -> None:
    opened = open_message(WIRE)

    def rules(
        sender: RegisterEntry | None, receiver: RegisterEntry | None, signer: bytes = b"certificate"
    ) -> list[str]:
        return [hit.rule for hit in check_register(opened.envelope, opened.package, sender, receiver, signer=signer)]

    assert rules(ENTRY, OTHER) == []
    assert rules(None, None) == ["29", "54a"]
    organisation = replace(ENTRY, type=PartyType.ORGANIZATION)
    assert rules(organisation, replace(organisation, edi_address=None)) == ["30", "54b"]
    assert rules(replace(ENTRY, edi_address="new@edi.nhn.no"), ENTRY) == ["261", "262"]
    assert rules(replace(ENTRY, signing=None), OTHER) == ["79"]
    assert rules(ENTRY, OTHER, b"another") == ["44"]
    by_print = replace(
        ENTRY, signing=CertificateEntry(thumbprint="f4:b7:d5:66:37:e9:8c:30:b2:1b:ad:5d:15:2c:37:39:4c:58:27:9f")
    )
    assert rules(by_print, OTHER) == ["44"]


def test_a_message_from_before_the_change_of_certificate_is_tolerated() -> None:
    opened = open_message(WIRE)
    newer = replace(ENTRY, signing=CertificateEntry(thumbprint="ab", der=b"new", valid_from=NOW + timedelta(days=1)))
    (hit,) = check_register(opened.envelope, opened.package, newer, OTHER, signer=b"old")
    assert hit.advice == (Act.TOLERATE, None)


def test_the_announced_type_is_compared_with_the_documents() -> None:
    envelope = read(parse(GOOD))
    assert not list(check_named_type(envelope, "http://www.kith.no/xmlstds/dialog/2006-10-11"))
    assert [hit.rule for hit in check_named_type(envelope, "http://www.kith.no/xmlstds/dialog/2013-01-23")] == ["270"]


def test_a_party_without_her_id_is_tolerated_by_its_organisation_number() -> None:
    by_number = replace(payload(), sender=Participant((PartyId("889640782", "orgnummer"),), "DIALOG_NOTATsender"))
    by_number = replace(by_number, cpa_id="79768_889640782")
    opened = opened_xml(serialise(signed(build(by_number))), ATTACHED)
    assert rules_of(opened, replace(VALID)) == ["60", "EB19"]
    assert decide(opened.envelope, opened.hits, opened.road).kind == "Acknowledgment"


@pytest.mark.parametrize("cpa_id", ["79768_80225", "79768_80225_7", "3f2504e0-4f89-11d3-9a0c-0305e82c3301"])
def test_the_national_forms_of_a_cpa_id_are_known(cpa_id: str) -> None:
    assert "12" not in rules_of(xml(">79768_80225<", f">{cpa_id}<"))


@pytest.mark.parametrize("cpa_id", ["nav:12345", "1_2", "80225_79768", "x", "79768_80225_"])
def test_other_cpa_ids_are_told_and_tolerated(cpa_id: str) -> None:
    opened = xml(">79768_80225<", f">{cpa_id}<")
    assert "12" in rules_of(opened)
    assert judge(opened, VALID).answer.kind == "Acknowledgment"


def test_receipts_of_national_processes_have_the_roles_the_other_way_round() -> None:
    words = payload()
    receipt = replace(
        words,
        action="APPREC",
        sender=Participant.of(80225, "DIALOG_NOTATreceiver"),
        receiver=Participant.of(79768, "DIALOG_NOTATsender"),
    )
    assert "EB27" not in rules_of(opened_xml(serialise(signed(build(receipt))), ATTACHED))
    same_way = replace(receipt, sender=words.sender, receiver=words.receiver)
    assert "EB27" in rules_of(opened_xml(serialise(signed(build(same_way))), ATTACHED))
