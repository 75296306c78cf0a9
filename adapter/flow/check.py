"""The check of one document: what it is, whether it is sound, and what its sender must be told.

``adapter check`` runs it offline and the inbound journey runs it on what it fetched; the steps are the same. Nothing is
stored, sent or asked of the network, except revocation when the caller's trust says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from adapter import xmlio
from adapter.documents import read_facts, unwrap
from adapter.errors import Finding, Severity, SignatureError, UnreadableError, UnsupportedError
from adapter.model.document import Facts, Family
from adapter.model.process import apprec_version
from adapter.validation.judgement import Judgement, judge
from adapter.validation.rulebook import check_rules
from adapter.validation.schema import check_schema
from adapter.validation.subject import RuleContext
from adapter.xmlio import Element

if TYPE_CHECKING:
    from adapter.security.trust import TrustVerdict
    from adapter.security.xmldsig import Verified

ABSENT, VALID, INVALID, UNTRUSTED = "absent", "valid", "invalid", "untrusted"
_SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}Signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """``rules``: who we are and how strict; ``trust``: judges a sound signature's signer, None = nobody is trusted."""

    rules: RuleContext
    schema_directory: Path | None = None
    allow_sha1: bool = False
    trust: Callable[[Verified, Facts], TrustVerdict] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The outcome. ``root`` is the tree that everything after may read: the signed element where a signature holds."""

    root: Element | None
    facts: Facts | None
    schema_findings: tuple[Finding, ...] | None
    signature_status: str
    findings: tuple[Finding, ...]
    judgement: Judgement
    verified: Verified | None = None
    trust: TrustVerdict | None = None

    @property
    def schema_valid(self) -> bool | None:
        """None when there is no schema for the kind, or nothing to read."""
        return None if self.schema_findings is None else not self.schema_findings


def check_document(data: bytes | Element, context: CheckContext, *, at: datetime) -> Checked:
    """Check bytes (or an already parsed tree) at the time ``at`` (aware). Never raises for anything in the document."""
    # 1. Parse: the guarded parser, or nothing.
    # 2. Unwrap: look through NAV's envelope; more than one message in it is refused.
    try:
        root = unwrap(xmlio.parse(data) if isinstance(data, bytes) else data)
    except (UnreadableError, UnsupportedError) as error:
        return _unread(error)
    # 3. Schema, on the document as it came: its Signature is part of it.
    schema_findings = check_schema(root, directory=context.schema_directory)
    # 4. Signature: from here on only what it covers is read.
    signatures = sum(1 for _ in root.iter(_SIGNATURE))
    signed = _verify(root, context) if signatures else None
    verified, fault = signed if signed is not None else (None, None)
    covered = verified.root if verified is not None else root
    # 5. Facts.
    facts = replace(read_facts(covered), signatures=signatures)
    # 6. Signer: ours to trust?
    trust = context.trust(verified, facts) if verified is not None and context.trust is not None else None
    signature_findings = _signature_findings(fault, verified, trust)
    # 7. Rules.
    graded = check_rules(covered, facts, schema_findings, replace(context.rules, now=at))
    # 8. Judge: one verdict, and the receipt that it asks for.
    judgement = judge(facts, graded, signature_findings=signature_findings)
    return Checked(
        root=covered,
        facts=facts,
        schema_findings=None if schema_findings is None else tuple(schema_findings),
        signature_status=_status(signatures, fault, trust),
        findings=(*graded, *signature_findings),
        judgement=judgement,
        verified=verified,
        trust=trust,
    )


def _unread(error: UnreadableError | UnsupportedError) -> Checked:
    finding = Finding(
        rule=error.code,
        severity=Severity.ERROR,
        text=error.text,
        apprec=error.apprec,
        path=error.where,
        line=getattr(error, "line", None),
    )
    return Checked(
        root=None,
        facts=None,
        schema_findings=None,
        signature_status=ABSENT,
        findings=(finding,),
        judgement=judge(None, [finding]),
    )


def _verify(root: Element, context: CheckContext) -> tuple[Verified | None, SignatureError | None]:
    from adapter.security import xmldsig  # cryptography is heavy and most messages carry no signature

    try:
        return xmldsig.verify(root, allow_sha1=context.allow_sha1), None
    except SignatureError as error:
        return None, error


def _signature_findings(
    fault: SignatureError | None, verified: Verified | None, trust: TrustVerdict | None
) -> tuple[Finding, ...]:
    if fault is not None:
        text = fault.text
        return (Finding(rule="S01", severity=Severity.ERROR, text=text, apprec=fault.apprec, path=fault.where),)
    if verified is None:
        return ()
    if trust is None:
        text = "the signature is sound, but no trusted roots were given to judge its signer"
        return (*verified.warnings, Finding(rule="P17", severity=Severity.WARNING, text=text))
    return (*verified.warnings, *trust.findings)


def _status(signatures: int, fault: SignatureError | None, trust: TrustVerdict | None) -> str:
    if signatures == 0:
        return ABSENT
    if fault is not None:
        return INVALID
    return trust.status if trust is not None else UNTRUSTED


def report(file: str, checked: Checked, direction: str) -> dict[str, object]:
    """The JSON record of ``adapter check`` (kept stable; see the README)."""
    facts = checked.facts
    return {
        "file": file,
        "readable": facts is not None,
        "kind": facts.kind if facts else None,
        "version": facts.version if facts else None,
        "msg_type": facts.msg_type if facts else None,
        "msg_id": facts.msg_id if facts else None,
        "schema_valid": checked.schema_valid,
        "signature": checked.signature_status if facts else None,
        "verdict": checked.judgement.verdict,
        "apprec": _receipt(checked) if direction == "in" else None,
        "findings": [finding.as_json() for finding in checked.findings],
    }


def _receipt(checked: Checked) -> dict[str, object] | None:
    status, facts = checked.judgement.status, checked.facts
    if status is None or facts is None or facts.family is Family.APPREC:
        return None
    errors = [{"code": error.code, "system": error.system, "text": error.shown} for error in checked.judgement.errors]
    return {"version": apprec_version(facts.namespace), "status": status.value, "errors": errors}
