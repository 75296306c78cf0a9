# ruff: noqa: E501
"""Every fault of the two lists of mutations, with the exact answer and the source that decides it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from adapter.ebxml.build import build
from adapter.ebxml.compose import acknowledgment, message_error
from adapter.ebxml.decide import FAULTS, Answer, AnswerKind, fault_error
from adapter.ebxml.names import ERROR_CONTEXT, ErrorCode
from adapter.ebxml.opening import Opened, SignatureOutcome, judge, open_http, open_message
from adapter.ebxml.pack import pack_http
from adapter.ebxml.rulebook import Act, Hit
from adapter.xmlio import serialise
from tests.ebxml.making import ATTACHED, NOW, REFERENCES, SIGNAL_ID, SOFTWARE, VALID, mailed, payload, signed
from tests.ebxml.test_rules import DEFECTS

GOOD = serialise(signed(build(payload())))
WIRE = mailed(GOOD, ATTACHED)
HTTP = pack_http(GOOD, (ATTACHED,), boundary="b-1", content_id="soap@x").mail()


def envelope(pattern: str, after: str = "") -> Opened:
    changed, times = re.subn(pattern, after, GOOD.decode(), flags=re.S)
    assert times, pattern
    return open_message(mailed(changed.encode(), ATTACHED))


def web(before: bytes, after: bytes) -> Opened:
    assert before in HTTP
    return open_message(HTTP.replace(before, after, 1))


def latin1() -> Opened:
    """The whole envelope part in ISO-8859-1, and saying so in both places."""
    xml = GOOD.decode().replace('encoding="UTF-8"', 'encoding="ISO-8859-1"').encode("iso-8859-1")
    return open_message(mailed(xml, ATTACHED).replace(b"charset=UTF-8", b"charset=ISO-8859-1"))


SOAP_PART = b"Content-Type: text/xml; charset=UTF-8\r\n"
# mutation: (message, answer, code, severity, deciding source)
LIST: dict[str, tuple[Callable[[], Opened], str, str | None, str]] = {
    "version of MessageHeader": (lambda: envelope('(<eb:MessageHeader [^>]*)2.0', r"\g<1>1.0"), "MessageError", "Inconsistent", "HITS 1172 70"),
    "From/PartyId absent": (lambda: envelope('<eb:PartyId eb:type="HER">80225</eb:PartyId>'), "none", None, "house practice P19"),
    "From/PartyId of another type": (lambda: envelope('"HER">80225', '"X">80225'), "none", None, "house practice P19"),
    "To/PartyId of another type": (lambda: envelope('"HER">79768', '"X">79768'), "SoapFault", None, "HITS 1172 4.2.2.3"),
    "From/Role absent": (lambda: envelope("<eb:Role>DIALOG_NOTATsender</eb:Role>"), "MessageError", "Inconsistent", "HITS 1171 5.2.1.3; ebXML practice 8.2"),
    "Service absent": (lambda: envelope("<eb:Service.*</eb:Service>"), "MessageError", "Inconsistent", "HITS 1172 47"),
    "Action empty": (lambda: envelope(">DIALOG_NOTAT<", "><"), "MessageError", "ValueNotRecognized", "HITS 1172 72"),
    "CPAId absent": (lambda: envelope("<eb:CPAId>.*</eb:CPAId>"), "MessageError", "Inconsistent", "HITS 1172 11"),
    "MessageId absent": (lambda: envelope("<eb:MessageId>.*</eb:MessageId>"), "SoapFault", None, "HITS 1172 4.2.2.3"),
    "RefToMessageId unknown": (lambda: envelope("(</eb:Timestamp>)", r"\1<eb:RefToMessageId>x</eb:RefToMessageId>"), "Acknowledgment", None, "HIS 1037 5.2"),
    "DuplicateElimination absent": (lambda: envelope("<eb:DuplicateElimination/>"), "Acknowledgment", None, "HIS 1037 5.2"),
    "AckRequested absent": (lambda: envelope("<eb:AckRequested[^>]*/>"), "MessageError", "Inconsistent", "HITS 1172 75"),
    "AckRequested version": (lambda: envelope('(<eb:AckRequested [^>]*)2.0', r"\g<1>1.0"), "MessageError", "Inconsistent", "ebXML practice 8.2, 8.3"),
    "AckRequested signed=false": (lambda: envelope('eb:signed="true"', 'eb:signed="false"'), "Acknowledgment", None, "HIS 1037 5.2"),
    "AckRequested actor": (lambda: envelope("urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH", "urn:x"), "MessageError", "Inconsistent", "ebXML practice 8.2, 8.3"),
    "AckRequested to the next MSH": (lambda: envelope("toPartyMSH", "nextMSH"), "MessageError", "NotSupported", "ebXML practice 8.2"),
    "SyncReply by mail": (lambda: envelope("(<eb:AckRequested)", r'<eb:SyncReply SOAP:mustUnderstand="1" eb:version="2.0" SOAP:actor="http://schemas.xmlsoap.org/soap/actor/next"/>\1'), "MessageError", "NotSupported", "HITS 1172 100"),
    "MessageOrder present": (lambda: envelope("(<eb:AckRequested)", r'<eb:MessageOrder SOAP:mustUnderstand="1" eb:version="2.0"><eb:SequenceNumber>1</eb:SequenceNumber></eb:MessageOrder>\1'), "Acknowledgment", None, "HIS 1037 5.2"),
    "Manifest absent": (lambda: envelope("<eb:Manifest.*</eb:Manifest>"), "MessageError", "Inconsistent", "HIS 1037 4.2"),
    "Manifest version": (lambda: envelope('<eb:Manifest eb:version="2.0"', '<eb:Manifest eb:version="1.0"'), "Acknowledgment", None, "HIS 1037 5.2"),
    "Reference without cid:": (lambda: envelope('xlink:href="cid:', 'xlink:href="'), "MessageError", "MimeProblem", "ebXML practice 8.2"),
    "Reference to a part that is not there": (lambda: envelope('xlink:href="cid:att-1', 'xlink:href="cid:att-2'), "MessageError", "MimeProblem", "HITS 1172 23"),
    "Signature absent": (lambda: envelope("<ds:Signature .*</ds:Signature>"), "MessageError", "SecurityFailure", "HITS 1172 45"),
    "two Signatures": (lambda: envelope("(<ds:Signature .*</ds:Signature>)", r"\1\1"), "MessageError", "SecurityFailure", "HITS 1172 52"),
    "an unknown block that must be understood": (lambda: envelope("(<eb:AckRequested)", r'<z:a xmlns:z="urn:z" SOAP:mustUnderstand="1"/>\1'), "MessageError", "NotSupported", "HITS 1172 100"),
    "an element out of order": (lambda: envelope("(<eb:CPAId>.*?</eb:CPAId>)(<eb:ConversationId>.*?</eb:ConversationId>)", r"\2\1"), "MessageError", "OtherXml", "HITS 1172 17"),
    "document type declaration": (lambda: envelope(r"(\?>)", r'\1<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'), "none", None, "house practice P19"),
    "not well-formed by mail": (lambda: envelope("</SOAP:Envelope>", ""), "none", None, "house practice P19"),
    "not well-formed over HTTP": (lambda: open_http([("Content-Type", "text/xml")], b"<a"), "SoapFault", None, "HITS 1172 4.2.2.3"),
    "SOAPAction wrong": (lambda: web(b'"ebXML"', b'"other"'), "Acknowledgment", None, "HIS 1037 5.2"),
    "SOAP part without Content-Type": (lambda: web(SOAP_PART, b""), "SoapFault", None, "HITS 1172 4.2.2.3"),
    "SOAP part text/plain": (lambda: web(b"Content-Type: text/xml; charset=UTF-8\r\n", b"Content-Type: text/plain\r\n"), "SoapFault", None, "HITS 1172 4.2.2.3"),
    "SOAP part with CTE base65": (lambda: web(SOAP_PART + b"Content-Transfer-Encoding: base64", SOAP_PART + b"Content-Transfer-Encoding: base65"), "SoapFault", None, "HITS 1172 4.2.2.3"),
    "SOAP part in ISO-8859-1": (latin1, "MessageError", "ValueNotRecognized", "HITS 1172 256"),
    "SOAP part with another charset than its XML": (lambda: web(b"charset=UTF-8", b"charset=ISO-8859-1"), "MessageError", "ValueNotRecognized", "HITS 1172 256"),
    "XML version 1.1": (lambda: envelope(r'\?xml version="1.0"', '?xml version="1.1"'), "MessageError", "ValueNotRecognized", "HITS 1172 78"),
    "multipart without start": (lambda: web(b'start="<soap@x>"; ', b""), "Acknowledgment", None, "HIS 1037 5.2"),
    "multipart without start and id": (lambda: open_message(HTTP.replace(b'start="<soap@x>"; ', b"").replace(b"Content-ID: <soap@x>\r\n", b"")), "Acknowledgment", None, "HIS 1037 5.2"),
    "attachment without Content-ID": (lambda: web(b"Content-ID: <att-1@example.no>\r\n", b""), "MessageError", "MimeProblem", "HITS 1172 23"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIST)
def test_each_mutation_has_its_answer_and_its_deciding_source(name: str) -> None:
    make, kind, code, source = LIST[name]
    opened = make()
    part_ids = tuple(f"cid:{one.content_id}" for one in opened.attachments if one.content_id)
    signature = None if "Signature" in name else SignatureOutcome(status="valid", covered=("", *part_ids))
    answer = judge(opened, signature).answer
    assert (answer.kind.value, answer.error_code, answer.source) == (kind, code, source)


def test_two_mutations_are_warnings_and_therefore_receipts() -> None:
    for name in ("AckRequested absent", "SOAP part in ISO-8859-1"):
        opened = LIST[name][0]()
        answer = judge(opened, VALID).answer
        assert answer.positive
        assert {one.severity for one in answer.errors} == {"Warning"}
    assert Answer(kind=AnswerKind.ACKNOWLEDGMENT).positive
    assert not judge(open_message(WIRE), SignatureOutcome(status="invalid")).answer.positive


def test_a_location_says_where_and_for_a_part_which() -> None:
    version = judge(LIST["version of MessageHeader"][0](), VALID).answer
    assert version.errors[0].location == "//Header/MessageHeader/@version"
    assert version.errors[0].context == ERROR_CONTEXT
    missing = judge(LIST["Reference to a part that is not there"][0](), VALID).answer
    assert missing.errors[0].location == "cid:att-2@example.no"


def test_an_encoding_that_contradicts_itself_is_an_error_and_no_warning() -> None:
    for name in ("SOAP part with another charset than its XML", "XML version 1.1"):
        assert not judge(LIST[name][0](), VALID).answer.positive


def test_a_fault_tells_when_something_was_not_understood() -> None:
    opened = envelope("(<eb:AckRequested)", r'<z:a xmlns:z="urn:z" SOAP:mustUnderstand="1"/>\1')
    assert judge(opened, VALID, more=[Hit("43")]).answer.fault_code == "MustUnderstand"
    assert judge(open_message(b"<a/>"), None).answer.fault_code == "Client"


def test_an_expired_message_and_a_conflict_of_agreements_are_answered() -> None:
    opened = open_message(mailed(serialise(signed(build(payload(time_to_live=NOW)))), ATTACHED))
    assert judge(opened, VALID, now=NOW + timedelta(hours=1)).answer.error_code == "TimeToLiveExpired"
    assert judge(opened, VALID, more=[Hit("111", "x")]).answer.error_code == "Inconsistent"
    assert judge(opened, VALID, more=[Hit("110", "x")]).answer.error_code == "ValueNotRecognized"
    assert judge(opened, VALID, more=[Hit("104"), Hit("105"), Hit("113"), Hit("114")]).answer.kind == "Acknowledgment"


def test_the_first_rule_of_the_sequence_decides_and_all_are_reported() -> None:
    opened = envelope("<eb:CPAId>.*</eb:CPAId>")
    answer = judge(opened, SignatureOutcome(status="invalid")).answer
    assert [one.code for one in answer.errors] == ["Inconsistent", "SecurityFailure"]


def test_a_signal_is_never_answered_however_wrong_it_is() -> None:
    ack = acknowledgment(payload(), REFERENCES, message_id=SIGNAL_ID, now=NOW, software=SOFTWARE)
    for wrong in (b"", b"eb:CPAId", b"eb:From", b"eb:MessageId", b"ds:Signature"):
        xml = serialise(signed(build(ack), REFERENCES[:1])).replace(wrong or b"#", b"eb:X")
        answer = judge(open_message(mailed(xml)), SignatureOutcome(status="invalid")).answer
        assert answer.kind == "none", wrong


def test_the_synchronous_form_is_answered_in_the_response() -> None:
    xml = serialise(signed(build(payload(acknowledge=False))))
    packed = pack_http(xml, (ATTACHED,), boundary="b-1", content_id="s")
    answer = judge(open_http(packed.headers, packed.body()), VALID).answer
    assert (answer.kind, answer.rule) == ("none", "EB18")
    broken = judge(open_http(packed.headers, packed.body()), SignatureOutcome(status="invalid")).answer
    assert broken.error_code == "SecurityFailure"


def test_automatic_mail_gets_no_fault_but_is_a_message_like_any_other() -> None:
    automatic = WIRE.replace(b"From:", b"Auto-Submitted: auto-generated\r\nFrom:", 1)
    opened = open_message(automatic)
    assert judge(opened, VALID).answer.kind == "Acknowledgment"
    assert judge(opened, SignatureOutcome(status="invalid")).answer.error_code == "SecurityFailure"
    assert judge(opened, VALID, more=[Hit("29")]).answer.kind == "none"
    assert judge(open_message(WIRE), VALID, more=[Hit("29")]).answer.kind == "SoapFault"


@pytest.mark.parametrize("fault", FAULTS)
def test_later_faults_have_one_of_the_nine_codes_a_place_and_a_source(fault: str) -> None:
    row = FAULTS[fault]
    assert row.source
    if row.code is None:
        with pytest.raises(KeyError):
            fault_error(fault)
        return
    error = fault_error(fault)
    assert error.code in [code.value for code in ErrorCode]
    assert error.location
    assert error.text


def test_every_failure_of_decryption_looks_the_same_from_outside() -> None:
    assert replace(FAULTS["not_decrypted"], source="") == replace(FAULTS["not_inflated"], source="")


@pytest.mark.parametrize("name", [*LIST, *(f"rule {rule}" for rule in DEFECTS)])
def test_every_answer_that_is_decided_can_be_written(name: str) -> None:
    opened = DEFECTS[name.removeprefix("rule ")]() if name.startswith("rule ") else LIST[name][0]()
    answer = judge(opened, SignatureOutcome(status="invalid")).answer
    if answer.kind is not AnswerKind.MESSAGE_ERROR:
        return
    told = message_error(opened.envelope, answer.errors, message_id=SIGNAL_ID, now=NOW, software=SOFTWARE)
    sent = open_message(mailed(serialise(signed(build(told), REFERENCES[:1]))))
    assert not [hit.rule for hit in sent.hits if hit.advice[0] in (Act.FAULT, Act.ERROR, Act.DISCARD)]
    assert sent.envelope.ref_to_message_id == opened.envelope.message_id
    assert [one.code for one in sent.envelope.report.errors] == [one.code for one in answer.errors]  # type: ignore[union-attr]


def test_a_part_named_in_odd_letters_is_not_repeated_in_the_answer() -> None:
    for odd in ("cid:" + "x" * 400, "cid:æ b", "cid:"):
        opened = envelope("cid:att-1@example.no", odd)
        answer = judge(opened, VALID).answer
        assert all((one.location or "").isascii() and len(one.location or "") < 300 for one in answer.errors)
