"""From findings to a verdict: accept, reject, or unanswerable (content digest 4.3; P8, P11).

In this order:

1. Facts that could not be read: unanswerable.
2. An AppRec is never answered: accepted, or unanswerable when an error was found.
3. An error that no receipt may tell (not for us, nothing to answer): unanswerable.
4. A readable emergency referral is never rejected: accepted, ``overruled`` lists what was set aside (P8). A document
   of a kind that is not supported (T10), or that names another receiver (V6), is not saved by this.
5. Errors, and a sender without any identifier: unanswerable; nobody can be told.
6. Errors: rejected, one receipt error per fault, equal ones once.
7. Else accepted, unless the sender has no identifier.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from adapter.codes import Coded
from adapter.errors import Finding
from adapter.model.document import Facts, Family
from adapter.model.party import Party
from adapter.model.receipt import ReceiptStatus
from adapter.model.receipt import Verdict as ReceiptVerdict
from adapter.validation.rulebook import rules_by_id

ERROR_LIST = "8221"
MAX_ERRORS = 25  # a receipt is read by people
NOT_OVERRULED = frozenset({"T01", "T10"})
_ADDRESSING_RULES = frozenset({"V6", "V6.ENVELOPE", "V6.STRANGER"})
_STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")
_PLACES = 5

Outcome = Literal["accept", "reject", "unanswerable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What to do with a document. ``status`` None: no receipt. ``overruled``: errors set aside by P8."""

    verdict: Outcome
    status: ReceiptStatus | None = None
    errors: tuple[Coded, ...] = ()
    emergency: bool = False
    overruled: tuple[Finding, ...] = ()

    def receipt(self) -> ReceiptVerdict | None:
        """The verdict as the receipt will say it; None when there is none to give."""
        return None if self.status is None else ReceiptVerdict(status=self.status, errors=self.errors)


def judge(
    facts: Facts | None,
    findings: Sequence[Finding],
    *,
    signature_findings: Sequence[Finding] = (),
    direction: Literal["in", "out"] = "in",
) -> Judgement:
    """The verdict on a document. ``direction`` "out" gives no receipt: accept, or reject (do not send)."""
    errors = [finding for finding in (*findings, *signature_findings) if finding.blocking]
    if facts is None:
        return Judgement(verdict="unanswerable")
    if direction == "out":
        return Judgement(verdict="reject" if errors else "accept", emergency=facts.emergency)
    if facts.family is Family.APPREC:
        return Judgement(verdict="unanswerable" if errors else "accept")
    if facts.emergency and not any(_stands_against_emergency(finding) for finding in errors):
        status = ReceiptStatus.OK if answerable(facts.sender) else None
        return Judgement(verdict="accept", status=status, emergency=True, overruled=tuple(errors))
    if any(finding.apprec is None for finding in errors) or not answerable(facts.sender):
        return Judgement(verdict="unanswerable", emergency=facts.emergency)
    if errors:
        told = receipt_errors(errors)
        return Judgement(verdict="reject", status=ReceiptStatus.REJECTED, errors=told, emergency=facts.emergency)
    return Judgement(verdict="accept", status=ReceiptStatus.OK)


def _stands_against_emergency(finding: Finding) -> bool:
    return finding.apprec in NOT_OVERRULED or finding.rule in _ADDRESSING_RULES


def answerable(sender: Party | None) -> bool:
    """True when a receipt can be addressed: the sender has an identifier at any level."""
    if sender is None:
        return False
    units = [sender.organisation.idents]
    units += [part.idents for part in (sender.service, sender.person) if part is not None]
    return any(ident.id.strip() for idents in units for ident in idents)


def receipt_errors(findings: Iterable[Finding]) -> tuple[Coded, ...]:
    """One error per fault, in the order found. All faults of form together are one T02 that lists places, and what is
    wrong only because of a fault of form at or below the same place is not told again.
    """
    found = list(findings)
    form = [finding for finding in found if finding.apprec == "T02"]
    told: dict[tuple[str | None, str | None, str | None], Coded] = {}
    for finding in found:
        if finding.apprec == "T02":
            error = _form_error(form)
        elif _is_told_by(finding, form):
            continue
        else:
            error = _error(finding)
        told.setdefault((error.code, error.name, error.text), error)
    return tuple(told.values())[:MAX_ERRORS]


def _is_told_by(finding: Finding, form: Sequence[Finding]) -> bool:
    path = finding.path
    return path is not None and any(f"{fault.path}/".startswith(f"{path}/") for fault in form)


def _error(finding: Finding) -> Coded:
    row = rules_by_id().get(finding.rule)
    if row is not None and row.error_name is not None:
        stamps = [*_STAMP.findall(finding.text), "", ""]
        return Coded(finding.apprec, ERROR_LIST, row.error_name.format(new=stamps[0], old=stamps[1]))
    named = Coded.of(ERROR_LIST, finding.apprec or "X99")
    return Coded(named.code, named.system, named.name, finding.text)


def _form_error(findings: Sequence[Finding]) -> Coded:
    places = dict.fromkeys(f"{finding.path}: {finding.text}" if finding.path else finding.text for finding in findings)
    named = Coded.of(ERROR_LIST, "T02")
    return Coded(named.code, named.system, named.name, "; ".join(list(places)[:_PLACES]))
