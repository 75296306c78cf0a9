from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import NameOID

from adapter.security.demo_ca import DemoCa
from adapter.security.keys import SigningKey

NOW = datetime.now(UTC)


def test_a_root_is_valid_now_and_may_issue(ca: DemoCa) -> None:
    assert ca.certificate.not_valid_before_utc < NOW < ca.certificate.not_valid_after_utc
    assert ca.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    ca.certificate.verify_directly_issued_by(ca.certificate)


def test_a_company_has_its_number_twice_as_the_sectors_certificates_do(company: SigningKey) -> None:
    subject = company.certificate.subject
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_IDENTIFIER)[0].value == "NTRNO-974760673"
    assert subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)[0].value == "974760673"
    usage = company.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.content_commitment
    assert not usage.digital_signature


def test_a_person_has_names_and_no_organisation(person: SigningKey) -> None:
    subject = person.certificate.subject
    assert subject.get_attributes_for_oid(NameOID.SURNAME)
    assert not subject.get_attributes_for_oid(NameOID.ORGANIZATION_IDENTIFIER)
    assert person.owner == "person"


def test_issuing_cas_stand_in_a_row_and_travel_with_the_key(ca: DemoCa) -> None:
    first = ca.create_below("First")
    second = first.create_below("Second")
    key = second.issue_company("X", "974760673")
    assert key.chain == (second.certificate, first.certificate)
    key.certificate.verify_directly_issued_by(second.certificate)
    second.certificate.verify_directly_issued_by(first.certificate)
    first.certificate.verify_directly_issued_by(ca.certificate)


def test_the_clock_that_is_handed_in_counts() -> None:
    then = datetime(2020, 1, 1, tzinfo=UTC)
    key = DemoCa.create(clock=lambda: then).issue_company("X", "974760673")
    assert key.certificate.not_valid_before_utc == then - timedelta(days=30)


def test_a_revoked_certificate_is_in_the_crl(ca: DemoCa, company: SigningKey) -> None:
    own = DemoCa(certificate=ca.certificate, private_key=ca.private_key)
    assert len(x509.load_der_x509_crl(own.crl())) == 0
    own.revoke(company.certificate)
    crl = x509.load_der_x509_crl(own.crl())
    assert [entry.serial_number for entry in crl] == [company.certificate.serial_number]
