"""One fault per rule: how to make it from a good sample, and what it means when sending and when receiving.

The severities of a case are written by hand, from the two columns of the national rule list, and not taken from the
rulebook.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
Change = Callable[[str], str]
BLOCK, WARN, NOTE = "error", "warning", "info"

REFERRAL, SPECIALIST, CHANGE = "referral-frisklivssentral", "referral-specialist", "referral-frisklivssentral-change"
WITH_PDF, STATUS = "referral-frisklivssentral-pdf", "dialogue-status-henvisning"
QUESTION, ANSWER, NOTE_10 = "dialogue-foresporsel", "dialogue-svar", "dialogue-notat"
DEVIATION, HEALTH, EMERGENCY = "dialogue-avvik", "dialogue-helsefaglig", "inbound-emergency"
NAV_INQUIRY, NAV_ANSWER, NAV_MEETING = "nav-henvendelse", "nav-foresporsel-svar", "nav-moterespons"
RECEIPT = "receipt"

_RECEIPT_PARTY = (
    "<HCP><Inst><Name>{0}</Name><Id>{1}</Id><TypeId V='HER' DN='HER-id'/>"
    "<Dept><Name>{2}</Name><Id>{3}</Id><TypeId V='HER' DN='HER-id'/></Dept></Inst></HCP>"
)
_RECEIPT = (
    "<AppRec xmlns='http://www.kith.no/xmlstds/apprec/2012-02-15'><MsgType V='APPREC' DN='Applikasjonskvittering'/>"
    "<MIGversion>v1.1 2012-02-15</MIGversion><GenDate>2026-11-20T10:05:00</GenDate>"
    "<Id>0d6f2f8e-58b8-4c15-a2c0-94a1a8d6f201</Id><Sender><Role V='PRIM' DN='Primærmottaker'/>{sender}</Sender>"
    "<Receiver><Role V='AVS' DN='Avsender'/>{receiver}</Receiver><Status V='1' DN='OK'/><OriginalMsgId>"
    "<MsgType V='HENVISNING_NYTILSTAND' DN='Henvisning ny tilstand'/><IssueDate>2026-11-20T10:00:00</IssueDate>"
    "<Id>6f1a9d52-0b1c-4d57-8f61-3f3f0e1b7c01</Id></OriginalMsgId></AppRec>"
).format(
    sender=_RECEIPT_PARTY.format("Granli kommune", 8091100, "Frisklivssentral, Granli", 8091101),
    receiver=_RECEIPT_PARTY.format("Solvang legekontor", 8091300, "Fastlegetjeneste, Solvang", 8091301),
)


def good(name: str) -> str:
    """A good message as text."""
    if name == RECEIPT:
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + _RECEIPT
    return (SAMPLES / "good" / f"{name}.xml").read_text("utf-8")


def swap(old: str, new: str) -> Change:
    """Replace the first occurrence, which must be there."""

    def change(text: str) -> str:
        assert old in text, f"no {old!r} in the sample"
        return text.replace(old, new, 1)

    return change


def cut(pattern: str, new: str = "") -> Change:
    """Replace the first match of a pattern, which must be there; ``new`` may use its groups."""

    def change(text: str) -> str:
        changed, count = re.subn(pattern, new, text, count=1, flags=re.S)
        assert count == 1, f"no {pattern!r} in the sample"
        return changed

    return change


def every(*changes: Change) -> Change:
    def change(text: str) -> str:
        for one in changes:
            text = one(text)
        return text

    return change


@dataclass(frozen=True)
class Case:
    """A fault. ``out`` and ``into`` are the severities that the rule must give it, None: it must not be found.

    ``only``: the context with which it is judged. ``file``: its name in samples/bad.
    """

    rule: str
    base: str
    change: Change
    out: str | None
    into: str | None
    apprec: str | None = None
    only: Mapping[str, object] = field(default_factory=dict)
    file: str | None = None

    @property
    def id(self) -> str:
        return f"{self.rule}-{self.file or self.base}"

    def document(self) -> str:
        return self.change(good(self.base))


def row(
    rule: str,
    base: str,
    change: Change,
    out: str | None,
    into: str | None,
    apprec: str | None = None,
    file: str | None = None,
    **only: object,
) -> Case:
    return Case(rule, base, change, out, into, apprec, only, file)
