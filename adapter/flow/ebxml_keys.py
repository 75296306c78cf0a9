"""Whose keys the ebXML road uses: ours from the settings, the partners' from the register (HIS 1037 5.5)."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapter.config import TenantSettings
from adapter.ebxml.opening import Opened, SignatureOutcome
from adapter.ebxml.read import read, signature_of
from adapter.ebxml.words import Envelope, Software
from adapter.errors import EnvelopeSignatureError, SettingsError
from adapter.flow.parts import Parts
from adapter.flow.processes import agreement_of
from adapter.model.partner import RegisterEntry
from adapter.security.cms import DecryptionKey
from adapter.security.envelope_signature import judge_validity, verify_envelope
from adapter.security.keys import Signer


def software_of(parts: Parts) -> Software:
    """The names that every envelope carries (P29)."""
    names = parts.settings.software
    return Software(
        msh=names.msh,
        msh_version=names.msh_version,
        system=names.fagsystem,
        system_version=names.fagsystem_version,
        middleware=names.mellomvare,
        middleware_version=names.mellomvare_version,
    )


def company_signer(parts: Parts, tenant: TenantSettings) -> Signer:
    """The company's key, which signs every envelope (P14); raises SettingsError when there is none."""
    if tenant.sign_with is None:
        raise SettingsError("the ebXML road needs a company key", where=f"tenant {tenant.name}", cure="set sign_with")
    signer = parts.signer(tenant.sign_with)
    if signer.owner != "company":
        raise SettingsError("a person's key may not sign an envelope", code="P14.OWNER", where=tenant.sign_with)
    return signer


def decryption_keys(parts: Parts, tenant: TenantSettings) -> tuple[DecryptionKey, ...]:
    """All live keys of the tenant, old ones included (P27); raises SettingsError when there is none."""
    keys = [parts.signer(name) for name in tenant.decrypt_with]
    found = tuple(key for key in keys if isinstance(key, DecryptionKey))
    if not found:
        cure = "set decrypt_with to the keys of our encryption certificates"
        raise SettingsError("no key opens what partners encrypt", where=f"tenant {tenant.name}", cure=cure)
    return found


def encryption_certificate(entry: RegisterEntry) -> x509.Certificate:
    """The partner's registered encryption certificate; raises SettingsError when the address book has none."""
    if entry.encryption is None or entry.encryption.der is None:
        text = "the partner's encryption certificate is not in the address book"
        raise SettingsError(text, code="EBXML.CERTIFICATE", where=f"HER-id {entry.her_id}", cure="fetch the book anew")
    return _certificate(entry.encryption.der, entry.her_id)


@lru_cache(maxsize=256)
def _certificate(der: bytes, her_id: int) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        text = "a certificate of the address book cannot be read"
        raise SettingsError(text, code="EBXML.CERTIFICATE", where=f"HER-id {her_id}") from None


def verify(parts: Parts, opened: Opened, partner: RegisterEntry | None) -> tuple[SignatureOutcome, Envelope | None]:
    """The outcome of the envelope's signature against the partner's registered certificate, and the signed words.

    The words are read from the octets that were signed, and are None unless the signature holds and is the partner's
    (rules 44 and 79). A certificate outside its validity is a finding (rules 104, 105).
    """
    if opened.root is None or signature_of(opened.root) is None:
        return SignatureOutcome(status="absent"), None
    signal = opened.envelope.receipt is not None or opened.envelope.report is not None
    sha1 = agreement_of(partner).allow_sha1
    try:
        found = verify_envelope(opened.root, opened.parts(), allow_sha1=sha1, signal=signal)
    except EnvelopeSignatureError as error:
        status = "absent" if error.rule == "45" else "invalid"
        outcome = SignatureOutcome(status=status, covered=error.covered, algorithms=error.algorithms, rule=error.rule)
        return outcome, None
    rule = _stranger(found.certificate, partner)
    late = judge_validity(found.certificate, parts.now())
    outcome = SignatureOutcome(
        status="valid" if rule is None else "invalid",
        covered=found.covered,
        algorithms=found.algorithms,
        rule=rule,
        warnings=(late,) if late is not None else (),
    )
    return outcome, read(found.root) if rule is None else None


def _stranger(certificate: x509.Certificate, partner: RegisterEntry | None) -> str | None:
    """The rule that fails unless this is the partner's registered signing certificate."""
    entry = partner.signing if partner is not None else None
    if entry is None:
        return "79"
    der = certificate.public_bytes(Encoding.DER)
    if entry.der is not None:
        return None if der == entry.der else "44"
    name = "sha256" if len(entry.thumbprint) == 64 else "sha1"
    same = hashlib.new(name, der, usedforsecurity=False).hexdigest().upper() == entry.thumbprint.upper()
    return None if same else "44"
