"""What ``adapter verify`` says of one file, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from lxml import etree

from adapter.config import Revocation
from adapter.errors import Finding, Severity, SignatureError
from adapter.security import trust
from adapter.security.xmldsig import verify

_SOURCE = "W3C XML Signature 1.1; HIS 80601:2006"


def verify_report(
    file: str,
    root: etree._Element,
    *,
    roots: Sequence[x509.Certificate] = (),
    at: datetime,
    gen_date: datetime | None = None,
    allow_sha1: bool = False,
) -> dict[str, object]:
    """The JSON line of ``adapter verify`` for a parsed document: file, signature, signer, covered, findings.

    ``signer.subject`` is the RFC 4514 subject of a company; for a person it is "(person)" and the certificate's serial
    number, because a person's subject is a name and no output quotes names (P21). ``at`` is the time of judging;
    ``gen_date`` the document's own, when the caller has read it. Revocation is off. The tree loses its Signature.
    """
    try:
        verified = verify(root, allow_sha1=allow_sha1)
    except SignatureError as error:
        return _unsound(file, error)
    policy = trust.TrustPolicy(revocation=Revocation.OFF)
    verdict = trust.judge_signer(verified, gen_date=gen_date, fetched_at=at, roots=roots, policy=policy)
    return {
        "file": file,
        "signature": verdict.status,
        "signer": {
            "subject": verdict.subject,
            "org_number": verdict.org_number,
            "not_after": verdict.not_after.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        },
        "covered": verified.covered,
        "findings": [finding.as_json() for finding in verdict.findings],
    }


def _unsound(file: str, error: SignatureError) -> dict[str, object]:
    absent = error.code == "S01.ABSENT"
    finding = Finding(
        rule="P17.ABSENT" if absent else "S01",
        severity=Severity.INFO if absent else Severity.ERROR,
        apprec=None if absent else "S01",
        text=error.text,
        source=_SOURCE,
    )
    return {
        "file": file,
        "signature": trust.ABSENT if absent else trust.INVALID,
        "signer": None,
        "covered": None,
        "findings": [finding.as_json()],
    }
