from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from adapter import xmlio
from adapter.security import oracle, xmldsig
from adapter.security.demo_ca import DemoCa
from adapter.security.keys import SigningKey
from adapter.security.report import verify_report
from tests.security.handmade import document

NOW = datetime.now(UTC)
FIELDS = ["file", "signature", "signer", "covered", "findings"]


def report(data: bytes, *roots: DemoCa, **extra: bool) -> dict[str, object]:
    found = verify_report("f.xml", xmlio.parse(data), roots=[root.certificate for root in roots], at=NOW, **extra)
    assert list(found) == FIELDS
    return json.loads(json.dumps(found))


def test_a_sound_signature_by_a_trusted_company_is_valid(ca: DemoCa, company: SigningKey) -> None:
    found = report(document(company), ca)
    until = company.certificate.not_valid_after_utc.isoformat().replace("+00:00", "Z")
    assert found["signature"] == "valid"
    assert found["covered"] == "/m"
    assert found["findings"] == []
    subject = company.certificate.subject.rfc4514_string()
    assert found["signer"] == {"subject": subject, "org_number": "974760673", "not_after": until}


def test_a_sound_signature_without_roots_is_untrusted(company: SigningKey) -> None:
    found = report(document(company))
    assert found["signature"] == "untrusted"
    assert [finding["severity"] for finding in found["findings"]] == ["warning"]


def test_p21_a_persons_name_is_not_in_the_report(ca: DemoCa) -> None:
    person = ca.issue_person("Kanarifugl", "Kanarifugl", "1")
    found = report(document(person), ca)
    assert "Kanarifugl" not in json.dumps(found)
    assert found["signer"]["subject"] == f"(person) {person.certificate.serial_number:X}"
    assert found["signer"]["org_number"] is None


def test_a_broken_signature_is_invalid_and_nothing_is_said_of_a_signer(company: SigningKey) -> None:
    found = report(document(company).replace(b"<a>1", b"<a>2"))
    assert (found["signature"], found["signer"], found["covered"]) == ("invalid", None, None)
    assert [(one["rule"], one["apprec"]) for one in found["findings"]] == [("S01", "S01")]


def test_no_signature_is_absent() -> None:
    found = report(b"<m/>")
    assert (found["signature"], found["signer"], found["covered"]) == ("absent", None, None)
    assert [one["severity"] for one in found["findings"]] == ["info"]


def test_sha1_is_against_the_policy_unless_it_is_allowed(ca: DemoCa, company: SigningKey) -> None:
    data = document(company, hash_name="sha1")
    assert report(data, ca)["signature"] == "invalid"
    assert report(data, ca, allow_sha1=True)["signature"] == "valid"


def test_the_time_of_judging_is_the_callers(ca: DemoCa, company: SigningKey) -> None:
    later = company.certificate.not_valid_after_utc + timedelta(days=1)
    root = xmlio.parse(document(company))
    assert verify_report("f", root, roots=[ca.certificate], at=later)["signature"] == "untrusted"


# --- the second opinion -----------------------------------------------------------------------------------------------


def test_the_second_opinion_agrees_with_a_sound_signature(company: SigningKey) -> None:
    assert oracle.second_opinion(document(company), company.certificate) is None
    lang = xmldsig.sign(xmlio.parse(b'<m xmlns="urn:m" xml:lang="nb" xml:space="preserve"/>'), company)
    assert oracle.second_opinion(lang, company.certificate) is None


def test_the_second_opinion_objects_without_quoting_anything(ca: DemoCa, company: SigningKey) -> None:
    altered = document(company).replace(b"<a>1", b"<a>13116900216")
    assert oracle.second_opinion(altered, company.certificate) == "InvalidDigest"
    other = ca.issue_company("Annen", "991825827")
    assert oracle.second_opinion(document(company), other.certificate) == "InvalidSignature"
    assert oracle.second_opinion(b"<m/>", company.certificate) == "InvalidInput"
    assert oracle.second_opinion(b"no xml", company.certificate) == "XMLSyntaxError"


def test_the_second_opinion_takes_sha1_only_when_told_so(company: SigningKey) -> None:
    data = document(company, hash_name="sha1")
    assert oracle.second_opinion(data, company.certificate) is not None
    assert oracle.second_opinion(data, company.certificate, allow_sha1=True) is None


def test_p21_signxml_does_not_log_documents(company: SigningKey, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        oracle.second_opinion(document(company, content=b"<m><a>Kanarifugl</a></m>"), company.certificate)
    assert "Kanarifugl" not in caplog.text
    assert logging.getLogger("signxml").level >= logging.INFO
