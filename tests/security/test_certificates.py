from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from adapter.errors import SettingsError
from adapter.security import certificates
from adapter.security.demo_ca import DemoCa, Validity, key_usage, write_roots
from adapter.security.keys import SigningKey

NOW = datetime.now(UTC)


def self_made(
    key: rsa.RSAPrivateKey,
    subject: list[tuple[x509.ObjectIdentifier, str]],
    *extensions: tuple[x509.ExtensionType, bool],
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(NOW - timedelta(1)).not_valid_after(NOW + timedelta(1))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, hashes.SHA256())


def test_a_company_is_known_by_its_organisation_number_in_both_forms(ca: DemoCa, leaf_key: rsa.RSAPrivateKey) -> None:
    for identifier in (True, False):
        key = ca.issue_company("Prøve", "974760673", key=leaf_key, identifier=identifier)
        assert certificates.org_number(key.certificate) == "974760673"
        assert not certificates.is_person(key.certificate)
        assert "O=Prøve" in certificates.subject_text(key.certificate)


@pytest.mark.parametrize(
    "subject",
    [
        [(NameOID.ORGANIZATION_IDENTIFIER, "NTRNO-123456789")],
        [(NameOID.ORGANIZATION_IDENTIFIER, "VATSE-974760673")],
        [(NameOID.SERIAL_NUMBER, "UN:NO-9578-1")],
        [(NameOID.COMMON_NAME, "nobody")],
    ],
)
def test_a_number_with_a_wrong_check_digit_or_of_another_kind_is_none(
    subject: list[tuple[x509.ObjectIdentifier, str]], leaf_key: rsa.RSAPrivateKey
) -> None:
    assert certificates.org_number(self_made(leaf_key, subject)) is None


def test_p21_a_person_is_named_by_a_serial_number_alone(person: SigningKey) -> None:
    assert certificates.is_person(person.certificate)
    assert certificates.subject_text(person.certificate) == f"(person) {person.certificate.serial_number:X}"


def test_only_a_certificate_for_nonrepudiation_may_sign(
    ca: DemoCa, company: SigningKey, leaf_key: rsa.RSAPrivateKey
) -> None:
    assert certificates.may_sign(company.certificate)
    other = ca.issue_company("X", "974760673", key=leaf_key, usage=key_usage(digital_signature=True))
    assert not certificates.may_sign(other.certificate)
    assert not certificates.may_sign(ca.certificate)
    assert not certificates.may_sign(self_made(leaf_key, [(NameOID.COMMON_NAME, "x")]))


def test_a_chain_ends_at_a_root_of_ours(ca: DemoCa, company: SigningKey) -> None:
    assert certificates.build_chain(company.certificate, (), (ca.certificate,), NOW) == (
        company.certificate,
        ca.certificate,
    )
    assert certificates.build_chain(company.certificate, (), (), NOW) is None
    assert certificates.build_chain(company.certificate, (), (DemoCa.create().certificate,), NOW) is None


def test_a_chain_goes_through_the_issuing_ca_that_came_along(ca: DemoCa, leaf_key: rsa.RSAPrivateKey) -> None:
    below = ca.create_below()
    key = below.issue_company("X", "974760673", key=leaf_key)
    roots = (ca.certificate,)
    whole = (key.certificate, below.certificate, ca.certificate)
    assert certificates.build_chain(key.certificate, key.chain, roots, NOW) == whole
    assert certificates.build_chain(key.certificate, (), roots, NOW) is None
    assert certificates.build_chain(key.certificate, (), (below.certificate,), NOW) == whole[:2]


def test_a_certificate_among_the_roots_is_its_own_chain(ca: DemoCa, company: SigningKey) -> None:
    assert certificates.build_chain(company.certificate, (), (company.certificate,), NOW) == (company.certificate,)


def test_of_two_chains_the_one_that_is_valid_then_is_taken(ca: DemoCa, leaf_key: rsa.RSAPrivateKey) -> None:
    below = ca.create_below()
    old = ca.cross_sign(below, Validity(begin=NOW - timedelta(800), end=NOW - timedelta(400)))
    key = below.issue_company("X", "974760673", key=leaf_key)
    chain = certificates.build_chain(key.certificate, (old, below.certificate), (ca.certificate,), NOW)
    assert chain == (key.certificate, below.certificate, ca.certificate)
    assert certificates.build_chain(key.certificate, (old,), (ca.certificate,), NOW) == (
        key.certificate,
        old,
        ca.certificate,
    )


def test_a_company_cannot_issue_certificates(ca: DemoCa, company: SigningKey) -> None:
    fake = DemoCa(certificate=company.certificate, private_key=company.private_key)
    forged = fake.issue_company("Forged", "991825827")
    assert certificates.build_chain(forged.certificate, (company.certificate,), (ca.certificate,), NOW) is None


def test_a_root_of_the_same_name_with_another_key_does_not_count(ca: DemoCa) -> None:
    twin = DemoCa.create()
    assert twin.certificate.subject == ca.certificate.subject
    forged = twin.issue_company("Forged", "974760673")
    assert certificates.build_chain(forged.certificate, (twin.certificate,), (ca.certificate,), NOW) is None


def issuing(key: rsa.RSAPrivateKey, *extensions: tuple[x509.ExtensionType, bool]) -> DemoCa:
    return DemoCa(certificate=self_made(key, [(NameOID.COMMON_NAME, "issuer")], *extensions), private_key=key)


def test_path_length_and_key_usage_of_an_issuer_count(leaf_key: rsa.RSAPrivateKey) -> None:
    none = x509.BasicConstraints(ca=True, path_length=0)
    root = issuing(leaf_key, (none, True))
    below = root.create_below()
    key = below.issue_company("X", "974760673", key=leaf_key)
    assert certificates.build_chain(key.certificate, (below.certificate,), (root.certificate,), NOW) is None
    direct = root.issue_company("X", "974760673", key=leaf_key)
    assert certificates.build_chain(direct.certificate, (), (root.certificate,), NOW)
    any_length = x509.BasicConstraints(ca=True, path_length=None)
    for usage, found in ((key_usage(ca=True), True), (key_usage(content_commitment=True), False)):
        root = issuing(leaf_key, (any_length, True), (usage, True))
        direct = root.issue_company("X", "974760673", key=leaf_key)
        assert (certificates.build_chain(direct.certificate, (), (root.certificate,), NOW) is not None) is found


def test_a_critical_extension_that_nobody_here_knows_breaks_the_chain(leaf_key: rsa.RSAPrivateKey) -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    any_length = (x509.BasicConstraints(ca=True, path_length=None), True)
    for critical, found in ((False, True), (True, False)):
        issuer = issuing(leaf_key, any_length)
        leaf = self_made(leaf_key, [(NameOID.COMMON_NAME, "issuer")], (unknown, critical))
        assert (certificates.build_chain(leaf, (), (issuer.certificate,), NOW) is not None) is found


def test_endless_chains_end(leaf_key: rsa.RSAPrivateKey) -> None:
    any_length = (x509.BasicConstraints(ca=True, path_length=None), True)
    circle = [issuing(leaf_key, any_length).certificate for _ in range(8)]
    assert certificates.build_chain(circle[0], circle, (DemoCa.create("Other").certificate,), NOW) is None


def test_roots_come_from_pem_files(ca: DemoCa, company: SigningKey, tmp_path: Path) -> None:
    file = write_roots((ca.certificate, company.certificate), tmp_path / "roots.pem")
    assert certificates.load_roots([file]) == (ca.certificate, company.certificate)
    for bad in (tmp_path / "none.pem", tmp_path):
        with pytest.raises(SettingsError, match=r"TRUST\.ROOTS"):
            certificates.load_roots([bad])
    file.write_bytes(ca.certificate.public_bytes(Encoding.DER))
    with pytest.raises(SettingsError, match="PEM"):
        certificates.load_roots([file])
