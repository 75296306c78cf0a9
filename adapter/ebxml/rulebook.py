"""HITS 1172:2017 as data: every rule under its number, the document's answer and our advice kept apart.

``document`` is what HITS 1172 itself answers: L log only, F SOAP Fault, ER error signal, W warning signal, "-" nothing
stated. ``act`` and ``code`` are our advice: the document attaches no severity or code to any rule and says that a
failed rule alone must not stop traffic (1.1), so we reject only what cannot be treated or trusted. A check may give a
milder or harder advice for one case. ``needs`` tells what a rule wants beside the octets of the message.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from adapter.ebxml.names import ErrorCode
from adapter.ebxml.rules_data import OWN_ROWS, ROWS
from adapter.errors import Finding, Severity


class Act(StrEnum):
    """What we do about a failed rule."""

    FAULT = "F"  # a SOAP Fault, where one can be sent
    ERROR = "E"  # MessageError, severity Error
    WARNING = "W"  # MessageError, severity Warning: positive
    TOLERATE = "T"  # log and go on
    DISCARD = "X"  # log and forget; no answer is possible or allowed


class Needs(StrEnum):
    """What a rule needs beside the message."""

    NOTHING = "nothing"  # implemented here
    KEYS = "keys"  # decided by signature verification or decryption; the outcome is handed in
    AGREEMENT = "agreement"  # implemented here for a CPA that is handed in
    REGISTER = "register"  # needs the address register, live or cached


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. ``id`` is the printed number; 54 and 259 are printed twice (54a, 54b, 259, 259b), u1–u14 have none."""

    id: str
    chapter: str
    text: str
    source: str
    document: str
    act: Act
    code: ErrorCode | None
    needs: Needs
    order: int

    @property
    def numbered(self) -> bool:
        return not self.id.startswith("EB")


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that failed, where, and an advice of its own when the case differs from the rule's row.

    ``path`` and ``line`` are ours to print; ``location`` is what the partner is told when it must be the partner's own
    word (``cid:…``), and stays out of findings (P21).
    """

    rule: str
    path: str | None = None
    line: int | None = None
    act: Act | None = None
    code: ErrorCode | None = None
    location: str | None = None

    @property
    def advice(self) -> tuple[Act, ErrorCode | None]:
        row = RULES[self.rule]
        return (self.act, self.code) if self.act else (row.act, row.code)


def _rule(order: int, row: tuple[str, ...]) -> Rule:
    number, chapter, text, source, document, advice, *needs = row
    act, _, code = advice.partition(":")
    return Rule(
        id=number,
        chapter=chapter,
        text=text,
        source=source,
        document=document,
        act=Act(act),
        code=ErrorCode(code) if code else None,
        needs=Needs(needs[0]) if needs else Needs.NOTHING,
        order=order,
    )


RULES: dict[str, Rule] = {row[0]: _rule(order, row) for order, row in enumerate((*ROWS, *OWN_ROWS))}
_SEVERITIES = {Act.FAULT: Severity.ERROR, Act.ERROR: Severity.ERROR, Act.DISCARD: Severity.ERROR}
_MOST_OF_A_RULE = 20
_STATISTICS = frozenset({"265", "266", "267", "268", "269", "270", "271", "272", "273", "274", "279"})


def finding(hit: Hit) -> Finding:
    """The hit as a finding: it names the rule and the place, never what was found there (P21)."""
    rule = RULES[hit.rule]
    act, _ = hit.advice
    severity = _SEVERITIES.get(act, Severity.WARNING)
    if rule.id in _STATISTICS or (rule.id.startswith("EB") and rule.document == "info" and act is Act.TOLERATE):
        severity = Severity.INFO
    source = f"HITS 1172 {rule.chapter}; {rule.source}" if rule.numbered else rule.source
    return Finding(rule=rule.id, severity=severity, text=rule.text, path=hit.path, line=hit.line, source=source)


def in_order(hits: list[Hit]) -> list[Hit]:
    """Each (rule, place) once, at most twenty of a rule, in the order of HITS 1172's sequence."""
    counts: dict[str, int] = {}
    kept = []
    for hit in dict.fromkeys(hits):
        counts[hit.rule] = counts.get(hit.rule, 0) + 1
        if counts[hit.rule] <= _MOST_OF_A_RULE:
            kept.append(hit)
    return sorted(kept, key=lambda hit: RULES[hit.rule].order)
