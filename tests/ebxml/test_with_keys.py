"""The formats together with the keys: real messages as expected.json says, and our own from end to end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapter.ebxml.build import build
from adapter.ebxml.compose import acknowledgment
from adapter.ebxml.names import Kind
from adapter.ebxml.opening import Judged, Opened, SignatureOutcome, judge, open_json, open_message
from adapter.ebxml.pack import Attachment
from adapter.ebxml.plaintext import build_plaintext, read_plaintext
from adapter.ebxml.read import read, signed_references
from adapter.errors import EnvelopeSignatureError
from adapter.security.demo_ca import DemoCa
from adapter.security.keys import SigningKey
from tests.ebxml.corpus import expected, needs_corpus, octets
from tests.ebxml.making import NOW, SIGNAL_ID, SOFTWARE, mailed, payload

cms = pytest.importorskip("adapter.security.cms")
signing = pytest.importorskip("adapter.security.envelope_signature")
DOCUMENT = b"<MsgHead xmlns='http://www.kith.no/xmlstds/msghead/2006-05-24'/>"


@pytest.fixture(scope="module")
def company() -> SigningKey:
    return DemoCa.create().issue_company("Prøvekommunen", "974760673")


def verified(opened: Opened) -> SignatureOutcome:
    """What the keys say; every signature method that the lists allow is allowed here."""
    if opened.root is None:
        return SignatureOutcome(status="absent")
    signal = opened.envelope.kind is not Kind.PAYLOAD
    try:
        found = signing.verify_envelope(opened.root, opened.parts(), allow_sha1=True, signal=signal)
    except EnvelopeSignatureError as error:
        status = "absent" if error.rule == "45" else "invalid"
        return SignatureOutcome(status=status, covered=error.covered, algorithms=error.algorithms, rule=error.rule)
    return SignatureOutcome(status="valid", covered=found.covered, algorithms=found.algorithms)


def seen(data: bytes) -> tuple[Opened, Judged, dict[str, Any]]:
    opened = open_message(data)
    outcome = verified(opened)
    judged = judge(opened, outcome)
    return opened, judged, open_json("x", opened, judged, outcome)


@needs_corpus
@pytest.mark.parametrize("name", expected())
def test_real_messages_answer_as_expected(name: str) -> None:
    wanted = expected()[name]
    opened, _, line = seen(octets(name))
    for key in ("kind", "service", "action"):
        if key in wanted:
            assert line[key] == wanted[key]
    signature: Any = line["signature"]
    if "signature" in wanted:
        assert signature["status"] == wanted["signature"]
    if "covered" in wanted:
        assert (len(signature["covered"]), signature["uncovered"]) == (wanted["covered"], [])
    if "attachments" in wanted:
        assert len(opened.attachments) == wanted["attachments"]
    if "encrypted" in wanted:
        assert [one.encrypted for one in opened.attachments] == [wanted["encrypted"]]
    answer: Any = line["answer"]
    if "error_code" in wanted:
        assert answer == {"kind": "MessageError", "error_code": wanted["error_code"]}
    if "kind" in wanted and wanted["kind"] is None:
        assert answer["kind"] == "none"
    if wanted.get("findings") or wanted.get("kind", "") is None:
        assert line["findings"]


@needs_corpus
@pytest.mark.parametrize("name", ["speare-oppgjorsmelding.msg", "egenandel-biztalk.eml"])
def test_a_real_payload_message_gets_a_receipt_and_its_digests_come_back(name: str) -> None:
    opened, judged, _ = seen(octets(name))
    assert judged.answer.kind == "Acknowledgment"
    assert opened.root is not None
    references = signed_references(opened.root)
    receipt = acknowledgment(opened.envelope, references, message_id=SIGNAL_ID, now=NOW, software=SOFTWARE)
    again = read(build(receipt))
    assert again.receipt is not None
    assert all(one.proves(other) for one, other in zip(again.receipt.references, references, strict=True))


@pytest.mark.parametrize("form", ["raw", "mime"])
def test_our_own_message_goes_there_and_its_receipt_comes_back(company: SigningKey, form: str) -> None:
    sealed = cms.encrypt(build_plaintext(DOCUMENT, form=form), encryption_certificate(company))
    attached = Attachment(content_id="att-1@example.no", content=sealed)
    xml = signing.sign_envelope(build(payload()), company, {attached.content_id: sealed})
    opened, judged, line = seen(mailed(xml, attached))
    assert judged.answer.kind == "Acknowledgment"
    assert [hit.rule for hit in judged.hits] == ["EB19"]
    assert line["signature"] == {
        "status": "valid", "covered": ["", "cid:att-1@example.no"], "uncovered": [],
        "algorithms": line["signature"]["algorithms"],  # type: ignore[index]
    }  # fmt: skip
    assert opened.root is not None
    references = signed_references(opened.root)
    receipt = acknowledgment(opened.envelope, references, message_id=SIGNAL_ID, now=NOW, software=SOFTWARE)
    back, told, _ = seen(mailed(signing.sign_envelope(build(receipt), company, {})))
    assert (told.answer.kind, told.hits) == ("none", ())
    assert back.envelope.receipt is not None
    assert back.envelope.receipt.references == references


def encryption_certificate(company: SigningKey) -> Any:
    """A certificate that may receive: the tests of the keys have their own maker."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    name = company.certificate.subject
    usage = x509.KeyUsage(False, False, True, False, False, False, False, False, False)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(company.certificate.public_key())
        .serial_number(7)
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .add_extension(usage, critical=True)
        .sign(company.private_key, hashes.SHA256())
    )


def test_a_changed_part_a_changed_word_and_an_extra_part_are_security_failures(company: SigningKey) -> None:
    attached = Attachment(content_id="att-1@example.no", content=b"0\x80sealed")
    xml = signing.sign_envelope(build(payload()), company, {attached.content_id: attached.content})
    other = replace(attached, content=b"0\x80forged")
    extra = Attachment(content_id="extra@example.no", content=b"0\x80more")
    for data in (
        mailed(xml, other),
        mailed(xml.replace(b"DIALOG_NOTATsender", b"DIALOG_SVARsender"), attached),
        mailed(xml, attached, extra),
    ):
        _, judged, line = seen(data)
        assert line["signature"]["status"] == "invalid"  # type: ignore[index]
        assert "SecurityFailure" in [error.code for error in judged.answer.errors]


def test_the_plaintext_is_read_in_both_forms() -> None:
    for form in ("raw", "mime"):
        assert read_plaintext(build_plaintext(DOCUMENT, form=form)).content == DOCUMENT
