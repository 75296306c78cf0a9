"""The rulebook: one table of all rules, and the loop that runs it.

V rules are the national ones, N rules NAV's own (P15), E rules those of the environment (P22). Dotted ids are parts of
one rule with severities of their own. The order is: gates (is this ours, do we know it), head, patient, codes, body,
attachments, environment, NAV.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Literal

from adapter.errors import Finding, Severity
from adapter.model.document import Facts
from adapter.validation import (
    rules_addressing,
    rules_attachments,
    rules_codes,
    rules_dialogue,
    rules_document,
    rules_environment,
    rules_head,
    rules_nav,
    rules_patient,
    rules_referral,
)
from adapter.validation.rule import Rule
from adapter.validation.subject import Hit, NotEvaluated, Place, RuleContext, Subject, Traits, place
from adapter.validation.tolerance import grade
from adapter.xmlio import Element

HITS_PER_RULE = 20  # a hostile document must not turn into a report of its own size

RULES: tuple[Rule, ...] = (
    *rules_head.RULES,
    *rules_addressing.RULES,
    *rules_patient.RULES,
    *rules_codes.RULES,
    *rules_dialogue.RULES,
    *rules_referral.RULES,
    *rules_document.RULES,
    *rules_attachments.RULES,
    *rules_environment.RULES,
    *rules_nav.RULES,
)
_NOT_EVALUATED = {"nb": "ikke vurdert: det er ikke kjent her {}", "en": "not evaluated: it is not known here {}"}
# The facts that rules may lack, in the words of that sentence.
_LACKING: dict[str, tuple[str, str]] = {
    "identity": ("hvem vi er", "who we are"),
    "messages": ("hvilke meldinger vi har", "which messages we have"),
    "documents": ("hvilke henvisninger vi har", "which referrals we have"),
    "contents": ("hva som er sendt før", "what was sent before"),
    "environment": ("om dette er test eller produksjon", "whether this is test or production"),
    "signer": ("hvem som signerer", "who signs"),
    "profession": ("hvilket yrke den som signerer har", "which profession the signer has"),
    "receiving specialist": (
        "om mottakeren er spesialisthelsetjeneste",
        "whether the receiver is a specialist",
    ),
    "sending specialist": ("om avsenderen er spesialisthelsetjeneste", "whether the sender is a specialist"),
}


@lru_cache(maxsize=1)
def rules_by_id() -> dict[str, Rule]:
    """Every rule by its id."""
    return {rule.id: rule for rule in RULES}


@lru_cache(maxsize=256)
def rules_for(direction: Literal["in", "out"], traits: Traits) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """The gates, and the other rules, that can say anything of a document with these traits, in order."""
    judged = [rule for rule in RULES if (rule.out if direction == "out" else rule.into) is not None]
    asked = [rule for rule in judged if getattr(traits, rule.about)]
    return tuple(rule for rule in asked if rule.gate), tuple(rule for rule in asked if not rule.gate)


def check_rules(
    root: Element,
    facts: Facts,
    schema_findings: list[Finding] | None,
    context: RuleContext,
    *,
    now: datetime | None = None,
    sound_texts: Mapping[Element, str] | None = None,
    elements: Iterable[Element] | None = None,
) -> list[Finding]:
    """All findings on a document: the schema's, graded by tolerance (P11), then the rulebook's.

    ``root`` is the unwrapped document that ``facts`` were read from, ``elements`` all of its elements in order where
    the caller has them; ``now`` comes before the context's. ``sound_texts``: what ``check_schema`` found of this tree's
    Base64Containers. Raises nothing on odd content.
    """
    subject = Subject(root, facts, context, now=now, sound_texts=sound_texts, elements=elements)
    gates, others = rules_for(context.direction, subject.traits())
    findings = _judge(gates, subject)
    if any(finding.blocking and finding.apprec == "T10" for finding in findings):
        return findings
    findings += _judge(others, subject)
    if not schema_findings:
        return findings
    return grade(schema_findings, facts, strict=context.strict_schema or subject.out) + findings


def _judge(rules: tuple[Rule, ...], subject: Subject) -> list[Finding]:
    findings: list[Finding] = []
    nav_stopped = False
    for rule in rules:
        if nav_stopped and rule.id.startswith("N"):
            continue
        hits = rule.predicate(subject)
        found = _graded(rule, hits, subject) if hits else None
        if not found:
            continue
        findings += found
        # NAV stops at the first hit of its rules 1 to 8; a sender is told of all at once.
        if not subject.out and rule.id in rules_nav.STOPPING and found[0].blocking:
            nav_stopped = True
    return findings


def severity(rule: Rule, subject: Subject) -> Severity | None:
    """The severity that the row gives in this direction under this context."""
    context = subject.context
    if subject.out:
        return Severity.WARNING if rule.offline and context.offline else rule.out
    if rule.addressing:
        return Severity.ERROR if context.reject_addressing else Severity.WARNING
    if rule.inferred is not None and not context.partner_is_nav:
        return rule.inferred
    return rule.into


def _graded(rule: Rule, hits: Iterable[Hit], subject: Subject) -> list[Finding]:
    found: list[Finding] = []
    for hit in hits:
        grade_here = severity(rule, subject)
        if grade_here is None or len(found) == HITS_PER_RULE:
            break
        found.append(_finding(rule, grade_here, hit, subject))
    return found


def _finding(rule: Rule, grade_here: Severity, hit: Hit, subject: Subject) -> Finding:
    lang = "nb" if subject.context.lang == "nb" else "en"
    text = rule.text(lang)
    if isinstance(hit, NotEvaluated):
        lacking = _LACKING[hit.fact][0 if lang == "nb" else 1]
        text = f"{text} ({_NOT_EVALUATED[lang].format(lacking)})"
        return Finding(rule=rule.id, severity=Severity.INFO, text=text, source=rule.source)
    where = hit if isinstance(hit, Place) else place(hit)
    return Finding(
        rule=rule.id,
        severity=grade_here,
        text=f"{text} ({where.detail})" if where.detail else text,
        apprec=rule.apprec if grade_here is Severity.ERROR else None,
        path=where.path,
        line=where.line,
        source=rule.source,
    )
