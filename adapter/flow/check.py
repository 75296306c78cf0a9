"""The check of one document: what it is, whether it is sound, and what its sender must be told.

``adapter check`` runs it offline, and both journeys run it: on what was fetched, and on what is about to be sent.
Nothing is stored, sent or asked of the network, except revocation when the caller's trust says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import adapter.xmlio as xmlio
from adapter.documents import read_facts, unwrap
from adapter.errors import Finding, Severity, SignatureError, UnreadableError, UnsupportedError
from adapter.model.document import Facts
from adapter.validation.judgement import Judgement, judge
from adapter.validation.report import unreadable
from adapter.validation.rulebook import check_rules
from adapter.validation.schema import check_schema
from adapter.validation.subject import RuleContext
from adapter.xmlio import Element

if TYPE_CHECKING:
    from adapter.security.trust import TrustVerdict
    from adapter.security.xmldsig import Verified

ABSENT, INVALID = "absent", "invalid"
_SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}Signature"
_SOURCE = "W3C XML Signature 1.1; HIS 80601:2006"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """``rules``: who we are and how strict; ``trust``: judges a sound signature's signer, None = nobody is trusted."""

    rules: RuleContext
    schema_directory: Path | None = None
    allow_sha1: bool = False
    trust: Callable[[Verified, Facts], TrustVerdict] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The outcome. ``root`` is the tree that everything after may read: the signed element where a signature holds.

    ``schema_findings`` are ungraded, None where there is no schema for the kind; ``findings`` are all that count.
    ``signature_status`` is valid, invalid, untrusted or absent. ``facts`` None: the document could not be read.
    """

    root: Element | None
    facts: Facts | None
    schema_findings: tuple[Finding, ...] | None
    signature_status: str
    findings: tuple[Finding, ...]
    judgement: Judgement
    readable: bool = True
    verified: Verified | None = None
    trust: TrustVerdict | None = None


def check_document(
    data: bytes | Element,
    context: CheckContext,
    *,
    at: datetime,
    content_sha256: bytes | None = None,
    facts: Facts | None = None,
) -> Checked:
    """Check bytes (or an already parsed tree) at the time ``at`` (aware). Never raises for anything in the document.

    ``content_sha256``: what ``xmldsig.verify`` would compute of this very tree, where the caller has it already.
    ``facts``: those that were read from this very tree. They are read again when the signed content is another tree.
    """
    # 1. Parse with the guarded parser, and look through NAV's wrapper.
    try:
        root = unwrap(xmlio.parse(data) if isinstance(data, bytes) else data)
    except (UnreadableError, UnsupportedError) as error:
        return _unread(error, context)
    # 2. Schema, on the document as it came: its Signature is part of it.
    sound: dict[Element, str] = {}
    schema_findings = check_schema(root, directory=context.schema_directory, sound=sound)
    # 3. Signature: from here on only what it covers is read.
    signatures = sum(1 for _ in root.iter(_SIGNATURE))
    verified, fault = _verify(root, context, content_sha256) if signatures else (None, None)
    covered = verified.root if verified is not None else root
    # 4. Facts. None of them is read from below the Signature, and nothing else goes from a tree that is verified.
    elements = list(covered.iter("*"))  # held until the end: lxml makes one anew each time that nobody holds it
    if facts is None or covered is not root:
        facts = read_facts(covered, signatures=signatures)
    # 5. Signer: ours to trust?
    trust = _judge_signer(verified, facts, context, at) if verified is not None else None
    signature_findings = _broken(fault) if fault is not None else trust.findings if trust is not None else ()
    # 6. Rules; the schema's findings come back graded (P11).
    rules = context.rules
    graded = check_rules(covered, facts, schema_findings, rules, now=at, sound_texts=sound, elements=elements)
    # 7. Judge: one verdict, and the receipt that it asks for.
    judgement = judge(facts, graded, signature_findings=signature_findings, direction=rules.direction)
    return Checked(
        root=covered,
        facts=facts,
        schema_findings=None if schema_findings is None else tuple(schema_findings),
        signature_status=trust.status if trust is not None else INVALID if fault is not None else ABSENT,
        findings=(*graded, *signature_findings),
        judgement=judgement,
        verified=verified,
        trust=trust,
    )


def _unread(error: UnreadableError | UnsupportedError, context: CheckContext) -> Checked:
    finding = unreadable(error, context.rules.lang)
    return Checked(
        root=None,
        facts=None,
        schema_findings=None,
        signature_status=ABSENT,
        findings=(finding,),
        judgement=judge(None, [finding]),
        readable=isinstance(error, UnsupportedError),
    )


def _verify(
    root: Element, context: CheckContext, content_sha256: bytes | None
) -> tuple[Verified | None, SignatureError | None]:
    from adapter.security import xmldsig  # cryptography is heavy, and most messages carry no signature

    try:
        return xmldsig.verify(root, allow_sha1=context.allow_sha1, content_sha256=content_sha256), None
    except SignatureError as error:
        return None, error


def _judge_signer(verified: Verified, facts: Facts, context: CheckContext, at: datetime) -> TrustVerdict:
    if context.trust is not None:
        return context.trust(verified, facts)
    from adapter.config import Revocation
    from adapter.security.trust import TrustPolicy, judge_signer

    policy = TrustPolicy(revocation=Revocation.OFF)
    return judge_signer(verified, gen_date=read_time(facts.gen_date), fetched_at=at, roots=(), policy=policy)


def _broken(fault: SignatureError) -> tuple[Finding, ...]:
    text, where = fault.text, fault.where
    return (Finding(rule="S01", severity=Severity.ERROR, text=text, apprec=fault.apprec, path=where, source=_SOURCE),)


def read_time(written: str | None) -> datetime | None:
    """GenDate as a time (naive: Norwegian), None when it is missing or has another form."""
    try:
        return datetime.fromisoformat(written.strip()) if written else None
    except ValueError:
        return None
