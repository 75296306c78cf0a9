"""A certificate authority for demos, the simulator and tests: keys are made at run time and are worth nothing.

Certificates look like the sector's: a company's subject carries its organisation number as organizationIdentifier
(NTRNO-…) and as serialNumber, a person's carries names and an issuer's own serial number; signing certificates have
key usage nonRepudiation and nothing else; one for encryption is issued with ``usage=key_usage(key_encipherment=True)``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, pkcs12
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from adapter.security.keys import COMPANY, PERSON, SigningKey

ROOT_DAYS, LEAF_DAYS = 3650, 730


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """When a certificate is valid."""

    begin: datetime
    end: datetime


@dataclass(slots=True, kw_only=True)
class DemoCa:
    """A CA in memory: ``create`` a root, ``create_below`` an issuing CA, then issue, revoke and answer for them."""

    certificate: x509.Certificate
    private_key: rsa.RSAPrivateKey = field(repr=False)
    above: tuple[x509.Certificate, ...] = ()  # issuing CAs below the root, nearest first; the root itself is left out
    crl_url: str | None = None
    ocsp_url: str | None = None
    clock: Callable[[], datetime] = _now
    revoked: dict[int, datetime] = field(default_factory=dict)

    @classmethod
    def create(cls, name: str = "Demo Root CA", *, clock: Callable[[], datetime] = _now) -> DemoCa:
        key = new_key()
        subject = _name((NameOID.COUNTRY_NAME, "NO"), (NameOID.ORGANIZATION_NAME, "Demo"), (NameOID.COMMON_NAME, name))
        validity = Validity(begin=clock() - timedelta(days=900), end=clock() + timedelta(days=ROOT_DAYS))
        builder = _ca_extensions(_builder(subject, subject, key.public_key(), validity), key.public_key())
        return cls(certificate=builder.sign(key, hashes.SHA256()), private_key=key, clock=clock)

    def create_below(self, name: str = "Demo Class 3 CA") -> DemoCa:
        """An issuing CA under this one, as the real issuers have; set its ``ocsp_url`` and ``crl_url`` before use."""
        key = new_key()
        subject = _name((NameOID.COUNTRY_NAME, "NO"), (NameOID.ORGANIZATION_NAME, "Demo"), (NameOID.COMMON_NAME, name))
        validity = Validity(begin=self.clock() - timedelta(days=900), end=self.clock() + timedelta(days=ROOT_DAYS - 1))
        certificate = self._certify_ca(subject, key.public_key(), validity)
        return DemoCa(certificate=certificate, private_key=key, above=self._issuers(), clock=self.clock)

    def cross_sign(self, other: DemoCa, validity: Validity) -> x509.Certificate:
        """Another certificate for another CA's name and key, by this one."""
        return self._certify_ca(other.certificate.subject, other.private_key.public_key(), validity)

    def _certify_ca(self, subject: x509.Name, public_key: rsa.RSAPublicKey, validity: Validity) -> x509.Certificate:
        builder = _ca_extensions(_builder(subject, self.certificate.subject, public_key, validity), public_key)
        return self._pointers(builder).sign(self.private_key, hashes.SHA256())

    def _issuers(self) -> tuple[x509.Certificate, ...]:
        """What travels with a certificate by this CA: everything up to the root, without it."""
        return () if self.certificate.issuer == self.certificate.subject else (self.certificate, *self.above)

    def issue_company(
        self,
        name: str,
        org_number: str,
        *,
        key: rsa.RSAPrivateKey | None = None,
        validity: Validity | None = None,
        usage: x509.KeyUsage | None = None,
        identifier: bool = True,
    ) -> SigningKey:
        """A company's signing key. ``identifier=False``: the older form, with serialNumber alone."""
        parts = [(NameOID.COUNTRY_NAME, "NO"), (NameOID.ORGANIZATION_NAME, name), (NameOID.COMMON_NAME, name)]
        parts.append((NameOID.SERIAL_NUMBER, org_number))
        if identifier:
            parts.append((NameOID.ORGANIZATION_IDENTIFIER, f"NTRNO-{org_number}"))
        return self._issue(COMPANY, _name(*parts), key, validity, usage)

    def issue_person(
        self,
        given_name: str,
        family_name: str,
        unique_id: str,
        *,
        key: rsa.RSAPrivateKey | None = None,
        validity: Validity | None = None,
        usage: x509.KeyUsage | None = None,
    ) -> SigningKey:
        """A person's signing key; ``unique_id`` is the issuer's own serial number, not the national number."""
        subject = _name(
            (NameOID.COUNTRY_NAME, "NO"),
            (NameOID.SURNAME, family_name),
            (NameOID.GIVEN_NAME, given_name),
            (NameOID.COMMON_NAME, f"{given_name} {family_name}"),
            (NameOID.SERIAL_NUMBER, unique_id),
        )
        return self._issue(PERSON, subject, key, validity, usage)

    def _issue(
        self,
        owner: str,
        subject: x509.Name,
        key: rsa.RSAPrivateKey | None,
        validity: Validity | None,
        usage: x509.KeyUsage | None,
    ) -> SigningKey:
        key = key or new_key()
        now = self.clock()
        validity = validity or Validity(begin=now - timedelta(days=30), end=now + timedelta(days=LEAF_DAYS))
        builder = _builder(subject, self.certificate.subject, key.public_key(), validity)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(usage or key_usage(content_commitment=True), critical=True)
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.private_key.public_key())
        builder = self._pointers(builder.add_extension(own, critical=False))
        certificate = builder.sign(self.private_key, hashes.SHA256())
        return SigningKey(name=owner, owner=owner, certificate=certificate, chain=self._issuers(), private_key=key)

    def _pointers(self, builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        if self.crl_url:
            names = [x509.UniformResourceIdentifier(self.crl_url)]
            point = x509.DistributionPoint(full_name=names, relative_name=None, reasons=None, crl_issuer=None)
            builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        if self.ocsp_url:
            place = x509.UniformResourceIdentifier(self.ocsp_url)
            access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)
            builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
        return builder

    def revoke(self, certificate: x509.Certificate) -> None:
        self.revoked[certificate.serial_number] = self.clock()

    def crl(self, *, life: timedelta = timedelta(hours=24)) -> bytes:
        """The CRL of this CA now, DER."""
        now = self.clock()
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(now - timedelta(minutes=5)).next_update(now + life)
        for serial, when in self.revoked.items():
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.private_key, hashes.SHA256()).public_bytes(Encoding.DER)

    def ocsp(self, request: bytes, certificate: x509.Certificate, *, life: timedelta = timedelta(hours=4)) -> bytes:
        """The OCSP answer to a DER request about ``certificate`` (issued by this CA), DER."""
        asked = ocsp.load_der_ocsp_request(request)
        when = self.revoked.get(asked.serial_number)
        now = self.clock()
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=certificate,
            issuer=self.certificate,
            algorithm=asked.hash_algorithm,
            cert_status=ocsp.OCSPCertStatus.GOOD if when is None else ocsp.OCSPCertStatus.REVOKED,
            this_update=now - timedelta(minutes=1),
            next_update=now + life,
            revocation_time=when,
            revocation_reason=None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, self.certificate)
        for extension in asked.extensions:
            if isinstance(extension.value, x509.OCSPNonce):
                builder = builder.add_extension(extension.value, critical=False)
        return builder.sign(self.private_key, hashes.SHA256()).public_bytes(Encoding.DER)


def new_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def key_usage(
    *,
    content_commitment: bool = False,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    data_encipherment: bool = False,
    ca: bool = False,
) -> x509.KeyUsage:
    """A key usage extension with only the named bits (``ca``: keyCertSign and cRLSign)."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=content_commitment,
        key_encipherment=key_encipherment,
        data_encipherment=data_encipherment,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def write_pkcs12(key: SigningKey, path: Path, passphrase: bytes | None = None) -> Path:
    """Write key, certificate and chain to a new PKCS#12 file that only we can read (0600)."""
    lock = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    name = key.name.encode()
    content = pkcs12.serialize_key_and_certificates(name, key.private_key, key.certificate, key.chain or None, lock)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
    return path


def write_roots(certificates: tuple[x509.Certificate, ...], path: Path) -> Path:
    """Write certificates as one PEM file, as ``trust.roots`` takes them."""
    path.write_bytes(b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates))
    return path


def _name(*parts: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: rsa.RSAPublicKey, validity: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.begin)
        .not_valid_after(validity.end)
    )


def _ca_extensions(builder: x509.CertificateBuilder, public_key: rsa.RSAPublicKey) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(key_usage(ca=True), critical=True)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
