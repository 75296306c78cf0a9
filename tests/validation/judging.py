"""Reads and judges a document as the journeys do, without signature and store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapter.documents import read_facts, unwrap
from adapter.errors import Finding, UnreadableError, UnsupportedError
from adapter.model.document import Facts
from adapter.validation.judgement import Judgement, judge
from adapter.validation.report import report_line, unreadable
from adapter.validation.rulebook import check_rules
from adapter.validation.schema import check_schema
from adapter.validation.subject import RuleContext
from adapter.xmlio import parse
from tests.validation.cases_base import NOW


@dataclass(frozen=True)
class Judged:
    facts: Facts | None
    findings: list[Finding]
    judgement: Judgement
    line: dict[str, Any]

    def of(self, rule: str) -> list[Finding]:
        """The findings of one rule."""
        return [finding for finding in self.findings if finding.rule == rule]

    @property
    def codes(self) -> list[str | None]:
        return [error.code for error in self.judgement.errors]


def judged(document: str | bytes, direction: str = "in", **context: Any) -> Judged:
    """The outcome of a check at NOW."""
    data = document.encode() if isinstance(document, str) else document
    try:
        root = unwrap(parse(data))
    except (UnreadableError, UnsupportedError) as error:
        findings = [unreadable(error)]
        judgement = judge(None, findings)
        line = report_line("x", None, None, findings, judgement, readable=isinstance(error, UnsupportedError))
        return Judged(None, findings, judgement, line)
    facts = read_facts(root)
    schema = check_schema(root)
    context.setdefault("now", NOW)
    findings = check_rules(root, facts, schema, RuleContext(direction=direction, **context))
    judgement = judge(facts, findings, direction=direction)
    return Judged(facts, findings, judgement, report_line("x", facts, schema, findings, judgement, direction=direction))
