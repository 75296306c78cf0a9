"""Whose keys the ebXML road uses: ours from the settings, the partners' from agreement or register (HIS 1037 5.5)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapter.config import Revocation, TenantSettings
from adapter.ebxml.cpa import route_of
from adapter.ebxml.opening import Opened, SignatureOutcome
from adapter.ebxml.read import read
from adapter.ebxml.words import Envelope, Software
from adapter.errors import NotFoundError, SettingsError
from adapter.flow.agreements import Held
from adapter.flow.alarms import all_clear, raise_alarm
from adapter.flow.envelope import read_signature
from adapter.flow.parts import Parts
from adapter.flow.processes import agreement_of
from adapter.model.partner import CertificateEntry, RegisterEntry
from adapter.security.certificates import valid_at
from adapter.security.cms import DecryptionKey
from adapter.security.envelope_signature import judge_validity
from adapter.security.keys import Signer
from adapter.security.revocation import Standing
from adapter.security.trust import standing_of

UNDER_WAY = timedelta(hours=84)  # 72 h of resends, and 12 h until the other side knows
REVOKED, NO_ROOT, UNCHECKED = "EB40", "EB41", "EB42"


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


def registered_certificate(entry: RegisterEntry) -> x509.Certificate:
    """The partner's registered encryption certificate; raises SettingsError when the address book has none."""
    if entry.encryption is None or entry.encryption.der is None:
        text = "the partner's encryption certificate is not in the address book"
        raise SettingsError(text, code="EBXML.CERTIFICATE", where=f"HER-id {entry.her_id}", cure="fetch the book anew")
    return load_certificate(entry.encryption.der, entry.her_id)


@lru_cache(maxsize=256)
def load_certificate(der: bytes, her_id: int) -> x509.Certificate:
    """A partner's certificate from the address book or an agreement; raises SettingsError for an unreadable one."""
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        text = "a partner's certificate cannot be read"
        cure = "fetch the address book anew, or get the agreement's file again"
        raise SettingsError(text, code="EBXML.CERTIFICATE", where=f"HER-id {her_id}", cure=cure) from None


def verify(parts: Parts, opened: Opened, partner: RegisterEntry | None) -> tuple[SignatureOutcome, Envelope | None]:
    """The outcome of the envelope's signature against the partner's own certificate, and the signed words.

    The certificate is the one that the agreement of that CPAId names for the sender, as long as it is valid; else the
    registered one. The words are read from the octets that were signed, and are None unless the signature holds and is
    the partner's (rules 44 and 79). A certificate outside its validity is a finding (rules 104, 105). Status
    "unchecked": all is well, but revocation must be asked and could not be (P17); nothing may be believed or refused.
    """
    outcome, found = read_signature(opened, allow_sha1=agreement_of(partner).allow_sha1)
    if found is None:
        return outcome, None
    words = read(found.root)
    rule, unsure = _pinned(parts, found.certificate, words, partner)
    if unsure:
        return replace(outcome, status="unchecked", rule=rule), None
    standing = _standing(parts, found.certificate) if rule is None else _Standing()
    status = "unchecked" if standing.unchecked else "valid" if rule is None and standing.rule is None else "invalid"
    late = _late(parts, found.certificate, words) if rule is None else ()
    warnings = (*outcome.warnings, *late, *standing.warnings)
    outcome = replace(outcome, status=status, rule=rule or standing.rule, warnings=warnings)
    return outcome, words if status == "valid" else None


def _pinned(
    parts: Parts, certificate: x509.Certificate, words: Envelope, partner: RegisterEntry | None
) -> tuple[str | None, bool]:
    """The rule that fails unless the certificate is the partner's, and True when the register cannot be asked.

    Before a certificate is refused the register is asked once more: a partner may have changed it since our copy.
    """
    agreed = signing_certificate(parts, words)
    if agreed is not None and certificate.public_bytes(Encoding.DER) == agreed:
        return None, False
    now, rule = parts.now(), None if agreed is None else "44"
    rule = rule or _stranger(certificate, partner)
    if rule is None or _was_theirs(certificate, partner, words, now):
        return None, False
    renewed = parts.renew(words.sender.her_id) if words.sender.her_id is not None and agreed is None else None
    if renewed:
        partner = parts.entry(words.sender.her_id)
        rule = None if _was_theirs(certificate, partner, words, now) else _stranger(certificate, partner)
    return rule, renewed is False and rule is not None


def signing_certificate(parts: Parts, words: Envelope) -> bytes | None:
    """DER of the certificate that the message's agreement names for its sender; None without one that is valid now."""
    her_id = words.sender.her_id
    held = find_agreement(parts, words)
    if held is None or her_id is None:
        return None
    try:
        route = route_of(held.agreement, words)
    except NotFoundError:
        try:
            route = held.agreement.signal_route(words.sender.ids, words.receiver.ids, words.action or "")
        except NotFoundError:
            return None
    der = route.signing_certificate
    return der if der is not None and valid_at(load_certificate(der, her_id), parts.now()) else None


def find_agreement(parts: Parts, words: Envelope) -> Held | None:
    """The agreement that a message names; None when nobody knows of one. It may have ended."""
    if parts.agreements is None or not words.cpa_id:
        return None
    owner = next((tenant.name for tenant in parts.settings.tenant if words.receiver.her_id in tenant.her_ids), None)
    try:
        return parts.agreements.by_id(words.cpa_id, tenant=owner)
    except NotFoundError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    rule: str | None = None
    warnings: tuple[str, ...] = ()
    unchecked: bool = False


def _standing(parts: Parts, certificate: x509.Certificate) -> _Standing:
    """Revocation of the pinned certificate by the policy for documents (P17), asked below our roots only (P20)."""
    policy, roots = parts.settings.trust.revocation, parts.roots()
    if policy is Revocation.OFF or not roots:
        return _Standing()
    found = standing_of(certificate, roots, parts.revocation, parts.now())
    if found is None:
        return _Standing(warnings=(NO_ROOT,))
    if found is Standing.REVOKED:
        return _Standing(rule=REVOKED)
    if found is Standing.GOOD:
        return _Standing()
    return _Standing(warnings=(UNCHECKED,), unchecked=policy is Revocation.REQUIRED)


def _late(parts: Parts, certificate: x509.Certificate, words: Envelope) -> tuple[str, ...]:
    """Rules 104 and 105, by the time of receipt and by the message's own; beyond the clocks' allowance an alarm."""
    name, now = f"partner's certificate {words.sender.her_id}", parts.now()
    times = [now] if words.timestamp is None else [now, words.timestamp]
    found = [rule for when in times if (rule := judge_validity(certificate, when)) is not None]
    skew = timedelta(seconds=parts.settings.agreements.clock_skew_s)
    begin, end = certificate.not_valid_before_utc - skew, certificate.not_valid_after_utc + skew
    if found and not all(begin <= when <= end for when in times):
        raise_alarm(parts, name, "a partner signs with a certificate that is not valid now, or was not when it wrote")
    else:
        all_clear(parts, name)
    return tuple(dict.fromkeys(found))


def _stranger(certificate: x509.Certificate, partner: RegisterEntry | None) -> str | None:
    """The rule that fails unless this is the partner's registered signing certificate."""
    entry = partner.signing if partner is not None else None
    if entry is None:
        return "79"
    return None if _is(certificate, entry) else "44"


def _is(certificate: x509.Certificate, entry: CertificateEntry) -> bool:
    der = certificate.public_bytes(Encoding.DER)
    if entry.der is not None:
        return der == entry.der
    name = "sha256" if len(entry.thumbprint) == 64 else "sha1"
    return hashlib.new(name, der, usedforsecurity=False).hexdigest().upper() == entry.thumbprint.upper()


def _was_theirs(certificate: x509.Certificate, partner: RegisterEntry | None, words: Envelope, now: datetime) -> bool:
    """True for the certificate before the registered one, in a message written before the change and still under way
    (HITS 1172 rule 44; as long as messages live, HISD 1177 5.3)."""
    earlier = partner.earlier_signing if partner is not None else None
    if earlier is None or earlier.replaced_at is None or words.timestamp is None:
        return False
    written = words.timestamp < earlier.replaced_at
    return written and now < earlier.replaced_at + UNDER_WAY and _is(certificate, earlier)
