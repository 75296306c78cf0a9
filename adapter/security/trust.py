"""Whether the certificate behind a sound signature is accepted, and whether its owner may speak for the sender.

The rules are P14, P16, P17 and P18 of practice: validity is judged at GenDate, which counts for at most 14 days back,
and reported at receipt; key usage is nonRepudiation; the chain ends at a root of ours; revocation that could not be
asked is an outcome of its own. A fault is an error only where the process requires the signature; else a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Protocol
from zoneinfo import ZoneInfo

from cryptography import x509

from adapter.config import Revocation
from adapter.errors import Finding, SettingsError, Severity
from adapter.model.process import Signing
from adapter.security import certificates
from adapter.security.revocation import RevocationPort, Standing
from adapter.security.xmldsig import Verified

VALID, INVALID, UNTRUSTED, ABSENT = "valid", "invalid", "untrusted", "absent"
GEN_DATE_COUNTS = timedelta(days=14)
_CLOCK_SKEW = timedelta(minutes=10)
_S02, _S03 = "S02", "S03"


class PersonPort(Protocol):
    """Who a person's certificate belongs to: the national identity number, or None when that is not known (P16)."""

    def resolve(self, certificate: x509.Certificate) -> str | None: ...


class PersonMap:
    """The settings' map from "ISSUER|SERIAL" (RFC 4514 name, hexadecimal serial) to a national identity number."""

    def __init__(self, persons: Mapping[str, str]) -> None:
        self._persons: dict[tuple[str, int], str] = {}
        for key, number in persons.items():
            issuer, _, serial = key.rpartition("|")
            try:
                self._persons[issuer, int(serial, 16)] = number
            except ValueError:
                cure = "write ISSUER|SERIAL, the serial in hexadecimal as openssl x509 -serial prints it"
                raise SettingsError("a person's key has no serial number", where="trust.persons", cure=cure) from None

    def resolve(self, certificate: x509.Certificate) -> str | None:
        return self._persons.get((certificate.issuer.rfc4514_string(), certificate.serial_number))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Who should have signed: what the process requires, and the organisation numbers that may speak for the sender

    (the message's own ENH and the register's owner of the level 1 HER-id; empty: nobody knows, so it is not judged).
    """

    signing: Signing = Signing.NONE
    org_numbers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPolicy:
    revocation: Revocation = Revocation.WHEN_REACHABLE
    persons: PersonPort = field(default_factory=lambda: PersonMap({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustVerdict:
    """``status`` is "valid" or "untrusted". ``must_wait``: revocation is required and could not be asked (P17).

    ``spoof_suspected``: a required company signature is by somebody who may not speak for the sender (P18).
    ``person_number`` is the signer's national identity number where the port knows it.
    """

    status: str
    findings: tuple[Finding, ...]
    subject: str
    org_number: str | None
    not_after: datetime
    is_person: bool
    standing: Standing | None = None  # None: revocation was not asked
    must_wait: bool = False
    spoof_suspected: bool = False
    person_number: str | None = field(default=None, repr=False)


def judge_signer(
    verified: Verified,
    *,
    gen_date: datetime | None,
    fetched_at: datetime,
    roots: Sequence[x509.Certificate],
    revocation: RevocationPort | None = None,
    policy: TrustPolicy | None = None,
    expected: Expected | None = None,
) -> TrustVerdict:
    """Judge the certificate of a verified document.

    ``gen_date`` without a zone is Norwegian local time; ``fetched_at`` is aware, the time of the first fetch. Without
    roots nothing can be trusted, which is our own lack: a warning that no partner is told. The network is touched, by
    ``revocation``, only when the chain has reached one of ``roots`` (P20).
    """
    policy, expected = policy or TrustPolicy(), expected or Expected()
    certificate, owner = verified.certificate, certificates.owner_of(verified.certificate)
    grade = Severity.ERROR if expected.signing is Signing.PERSON else Severity.WARNING
    judged_at, findings = _judging_time(gen_date, fetched_at)
    findings += verified.warnings
    chain = certificates.build_chain(certificate, verified.chain, roots, judged_at)
    faults = _judge_chain(certificate, chain, bool(roots), judged_at, grade, may_sign=owner.may_sign)
    standing = None
    if chain is not None and policy.revocation is not Revocation.OFF:
        standing = _ask(chain, roots, revocation, fetched_at)
        faults += _judge_standing(standing, grade)
        findings += _judge_silence(standing, policy.revocation)
    faults += _judge_owner(owner, expected, grade)
    findings += _judge_since(owner, judged_at, fetched_at)
    person = policy.persons.resolve(certificate) if owner.is_person else None
    if owner.is_person and person is None:
        findings.append(_finding("P16.UNRESOLVED", Severity.WARNING, "nobody knows whose the person's certificate is"))
    must_wait = standing is Standing.UNCHECKED and policy.revocation is Revocation.REQUIRED
    return TrustVerdict(
        status=UNTRUSTED if faults or must_wait else VALID,
        findings=tuple(findings + faults),
        subject=owner.subject,
        org_number=owner.org_number,
        not_after=owner.not_after,
        is_person=owner.is_person,
        standing=standing,
        must_wait=must_wait,
        spoof_suspected=any(fault.rule == "P16.SENDER" and fault.blocking for fault in faults),
        person_number=person,
    )


def judge_absent(expected: Expected) -> tuple[Finding, ...]:
    """What a missing signature means: nothing where none is required, else an error that no partner is told (P17)."""
    if expected.signing is Signing.NONE:
        return ()
    return (_finding("P17.ABSENT", Severity.ERROR, "the process requires a signature and there is none"),)


def _judging_time(gen_date: datetime | None, fetched_at: datetime) -> tuple[datetime, list[Finding]]:
    if gen_date is None:
        return fetched_at, []
    written = (gen_date if gen_date.tzinfo else gen_date.replace(tzinfo=ZoneInfo("Europe/Oslo"))).astimezone(UTC)
    if written < fetched_at - GEN_DATE_COUNTS:
        text = "GenDate is more than 14 days before the fetch; the certificate is judged 14 days before the fetch"
        return fetched_at - GEN_DATE_COUNTS, [_finding("P17.GENDATE", Severity.WARNING, text)]
    if written > fetched_at + _CLOCK_SKEW:
        text = "GenDate is in the future; the certificate is judged at the fetch"
        return fetched_at, [_finding("P17.GENDATE", Severity.WARNING, text)]
    return min(written, fetched_at), []


def _judge_chain(
    certificate: x509.Certificate,
    chain: tuple[x509.Certificate, ...] | None,
    has_roots: bool,
    at: datetime,
    grade: Severity,
    *,
    may_sign: bool,
) -> list[Finding]:
    if not has_roots:
        return [_finding("P17.NO_ROOTS", Severity.WARNING, "no trust roots are configured, so nobody is trusted")]
    faults = []
    if chain is None:
        faults.append(_finding("P17.UNTRUSTED", grade, "the certificate does not lead to a root of ours", _S02))
    links = chain or (certificate,)
    if any(link.not_valid_after_utc < at for link in links):
        faults.append(_finding("P17.EXPIRED", grade, "the certificate had expired when the message was made", _S02))
    if any(link.not_valid_before_utc > at for link in links):
        faults.append(_finding("P17.NOT_YET", grade, "the certificate was not valid yet at that time", _S02))
    if not may_sign:
        faults.append(_finding("P17.USAGE", grade, "the certificate is not for signatures (nonRepudiation)", _S02))
    return faults


def _judge_since(owner: certificates.Owner, judged_at: datetime, fetched_at: datetime) -> list[Finding]:
    if owner.valid_at(judged_at) and not owner.valid_at(fetched_at):
        text = "the certificate has expired between GenDate and receipt"
        return [_finding("P17.EXPIRED_SINCE", Severity.WARNING, text)]
    return []


def standing_of(
    certificate: x509.Certificate,
    roots: Sequence[x509.Certificate],
    revocation: RevocationPort | None,
    when: datetime,
) -> Standing | None:
    """Whether a company's certificate, known by itself already, is revoked; None: it reaches no root of ours, so that
    nobody may be asked (P20)."""
    chain = certificates.build_chain(certificate, (), roots, when)
    return None if chain is None else _ask(chain, roots, revocation, when)


def _ask(
    chain: tuple[x509.Certificate, ...],
    roots: Sequence[x509.Certificate],
    revocation: RevocationPort | None,
    when: datetime,
) -> Standing:
    if revocation is None:
        return Standing.UNCHECKED
    found = [revocation.check(link, issuer, when) for link, issuer in pairwise(chain)]
    if Standing.REVOKED in found:
        return Standing.REVOKED
    return Standing.UNCHECKED if Standing.UNCHECKED in found else Standing.GOOD


def _judge_standing(standing: Standing, grade: Severity) -> list[Finding]:
    if standing is Standing.REVOKED:
        return [_finding("P17.REVOKED", grade, "the certificate has been revoked", _S03)]
    return []


def _judge_silence(standing: Standing, rule: Revocation) -> list[Finding]:
    if standing is not Standing.UNCHECKED:
        return []
    waits = " and is required: the message waits" if rule is Revocation.REQUIRED else ""
    return [_finding("P17.UNCHECKED", Severity.WARNING, f"revocation could not be checked{waits}")]


def _judge_owner(owner: certificates.Owner, expected: Expected, grade: Severity) -> list[Finding]:
    if owner.is_person:
        if expected.signing is Signing.COMPANY:
            return [_finding("P14.COMPANY", Severity.WARNING, "a person has signed where a company does")]
        return []
    if expected.signing is Signing.PERSON:
        return [_finding("P14.PERSON", grade, "a company has signed where a person must", _S02)]
    if expected.org_numbers and owner.org_number not in expected.org_numbers:
        required = Severity.ERROR if expected.signing is Signing.COMPANY else Severity.WARNING
        text = "the certificate's organisation number is neither the sender's nor the register owner's"
        return [_finding("P16.SENDER", required, text)]
    return []


def _finding(rule: str, severity: Severity, text: str, apprec: str | None = None) -> Finding:
    return Finding(rule=rule, severity=severity, text=text, apprec=apprec, source="HIS 80601:2006; list 8221")
