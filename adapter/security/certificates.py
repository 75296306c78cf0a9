"""What a certificate says: company or person, organisation number, use, and the chain to a root of ours.

Norwegian business certificates carry the organisation number as organizationIdentifier (NTRNO-…) or, in older ones, as
serialNumber alone; persons' certificates carry names and an issuer's own number. Nothing here is a judgement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from adapter.errors import IdentifierError, SettingsError
from adapter.identifiers import read_org_number

Certificate = x509.Certificate
Extension = TypeVar("Extension", bound=x509.ExtensionType)

_MAX_LINKS = 5
_KNOWN_CRITICAL = (x509.BasicConstraints, x509.KeyUsage, x509.CertificatePolicies, x509.ExtendedKeyUsage)
_WEAK = {"sha1", "md5"}


def load_roots(paths: Iterable[Path]) -> tuple[Certificate, ...]:
    """The certificates of PEM files, each of them an anchor. Raises SettingsError naming the file."""
    found: list[Certificate] = []
    for path in paths:
        try:
            found += x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError):
            cure = "give a PEM file of certificates"
            raise SettingsError("trust roots cannot be read", code="TRUST.ROOTS", where=path.name, cure=cure) from None
    return tuple(found)


@lru_cache(maxsize=256)
def is_person(certificate: Certificate) -> bool:
    """True when the subject has a person's name; an employee's certificate is a person's, too (P14)."""
    return any(certificate.subject.get_attributes_for_oid(oid) for oid in (NameOID.GIVEN_NAME, NameOID.SURNAME))


@lru_cache(maxsize=256)
def org_number(certificate: Certificate) -> str | None:
    """The organisation number in the subject, with a right check digit; None when there is none."""
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_IDENTIFIER):
        value = str(attribute.value)
        if value.startswith("NTRNO-"):
            return _checked(value.removeprefix("NTRNO-"))
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER):
        return _checked(str(attribute.value))
    return None


def _checked(value: str) -> str | None:
    try:
        return read_org_number(value)
    except IdentifierError:
        return None


@lru_cache(maxsize=256)
def subject_text(certificate: Certificate) -> str:
    """The RFC 4514 subject of a company; for a person "(person)" and the certificate's serial in hex (P21)."""
    if is_person(certificate):
        return f"(person) {certificate.serial_number:X}"
    return certificate.subject.rfc4514_string()


class Owner(NamedTuple):
    """Whose a certificate is, and what for: what the functions of these names say, looked up at once."""

    is_person: bool
    org_number: str | None
    subject: str
    may_sign: bool
    not_before: datetime
    not_after: datetime

    def valid_at(self, when: datetime) -> bool:
        return self.not_before <= when <= self.not_after


@lru_cache(maxsize=256)
def owner_of(certificate: Certificate) -> Owner:
    """All that is judged of a signer's certificate by itself; times are aware. To hash a certificate costs a little."""
    return Owner(
        is_person(certificate),
        org_number(certificate),
        subject_text(certificate),
        may_sign(certificate),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def valid_at(certificate: Certificate, when: datetime) -> bool:
    return certificate.not_valid_before_utc <= when <= certificate.not_valid_after_utc


@lru_cache(maxsize=256)
def may_sign(certificate: Certificate) -> bool:
    """True for key usage nonRepudiation, which is what the sector's signing certificates carry."""
    usage = find_extension(certificate, x509.KeyUsage)
    return usage is not None and usage.content_commitment and not _is_ca(certificate)


def find_extension(certificate: Certificate, kind: type[Extension]) -> Extension | None:
    """An extension's value; None when it is not there or the extensions cannot be read."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return None


def build_chain(
    certificate: Certificate, others: Sequence[Certificate], roots: Sequence[Certificate], when: datetime
) -> tuple[Certificate, ...] | None:
    """From the certificate to one of our roots, both included; None when none of them is reached.

    A chain that is valid throughout at ``when`` is preferred. ``others`` are untrusted helpers: every link's signature,
    CA flag, key usage, path length and critical extensions are checked.
    """
    first: tuple[Certificate, ...] | None = None
    for chain in _chains((certificate,), others, roots):
        if all(valid_at(link, when) for link in chain):
            return chain
        first = first or chain
    return first


def _chains(
    so_far: tuple[Certificate, ...], others: Sequence[Certificate], roots: Sequence[Certificate]
) -> Iterator[tuple[Certificate, ...]]:
    last = so_far[-1]
    if last in roots:
        yield so_far
        return
    for root in roots:
        if _issued(last, root, below=len(so_far) - 1):
            yield (*so_far, root)
    if len(so_far) < _MAX_LINKS:
        for other in others:
            if other not in so_far and other not in roots and _issued(last, other, below=len(so_far) - 1):
                yield from _chains((*so_far, other), others, roots)


@lru_cache(maxsize=256)
def _issued(certificate: Certificate, issuer: Certificate, *, below: int) -> bool:
    """``below``: how many CA certificates lie between the issuer and the signer. A fact, whenever it is asked."""
    if certificate.issuer != issuer.subject or not _is_ca(issuer, below):
        return False
    if not _only_known_critical(certificate):
        return False
    try:
        algorithm = certificate.signature_hash_algorithm
        if algorithm is None or algorithm.name in _WEAK:
            return False
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _is_ca(certificate: Certificate, below: int = 0) -> bool:
    constraints = find_extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        return False
    if constraints.path_length is not None and below > constraints.path_length:
        return False
    usage = find_extension(certificate, x509.KeyUsage)
    return usage is None or usage.key_cert_sign


def _only_known_critical(certificate: Certificate) -> bool:
    try:
        return all(isinstance(e.value, _KNOWN_CRITICAL) for e in certificate.extensions if e.critical)
    except (x509.DuplicateExtension, ValueError):
        return False
