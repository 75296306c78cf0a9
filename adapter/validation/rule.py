"""A row of the rulebook."""

from __future__ import annotations

from dataclasses import dataclass

from adapter.errors import Severity
from adapter.validation.subject import About, Predicate

ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule as data.

    ``out`` and ``into`` are the severities when sending and when receiving (None: not judged in that direction).
    ``apprec`` is the 8221 code a rejection carries; ``error_name`` the receipt's display text when it is not
    that code's own name (NAV). ``addressing`` rules are warnings inbound until
    ``receipts.reject_addressing`` makes them errors (P11).
    ``offline`` rules warn in commands that send nothing (P22). ``inferred`` is the severity inbound when the rule
    applies only because the document names NAV as its receiver. ``gate`` rules come first; an error of theirs that the
    document is not supported ends the judgement, because the other rules do not know such a document. ``about``: which
    documents the rule can say anything of; for any other it is not even asked.
    """

    id: str
    source: str
    out: Severity | None
    into: Severity | None
    nb: str
    en: str
    predicate: Predicate
    apprec: str | None = None
    error_name: str | None = None
    addressing: bool = False
    offline: bool = False
    inferred: Severity | None = None
    gate: bool = False
    about: About = "anything"

    def text(self, lang: str) -> str:
        return self.nb if lang == "nb" else self.en
