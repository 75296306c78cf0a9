"""The line that ``adapter check --json`` prints for a file, as a pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapter.errors import AdapterError, Finding, Severity
from adapter.model.document import Facts, Family
from adapter.model.process import apprec_version
from adapter.validation.judgement import Judgement

_TEXTS = {
    "nb": "Dokumentet kan ikke leses",
    "en": "The document cannot be read",
}


def report_line(
    file: str,
    facts: Facts | None,
    schema_findings: Sequence[Finding] | None,
    findings: Sequence[Finding],
    judgement: Judgement,
    signature: str | None = None,
    *,
    direction: str = "in",
    readable: bool | None = None,
) -> dict[str, object]:
    """The JSON object of one file.

    ``schema_findings`` are those of the schema before grading (None: no schema for the kind); ``findings`` all that are
    to be shown. ``facts`` None means that the document could not be read, or, with ``readable`` True, that it was
    read but is not one document of a kind we know. AppRec files and direction "out" have ``apprec`` null.
    """
    return {
        "file": file,
        "readable": facts is not None if readable is None else readable,
        "kind": facts.kind if facts else None,
        "version": facts.version if facts else None,
        "msg_type": facts.msg_type if facts else None,
        "msg_id": facts.msg_id if facts else None,
        "schema_valid": _schema_valid(facts, schema_findings),
        "signature": signature if facts else None,
        "verdict": judgement.verdict,
        "apprec": _apprec(facts, judgement) if direction == "in" else None,
        "findings": [finding.as_json() for finding in findings],
    }


def unreadable(error: AdapterError, lang: str = "nb") -> Finding:
    """The finding for a document that could not be read (T01), or that holds none or several (T10)."""
    code = error.apprec or "T01"
    intro = _TEXTS["nb" if lang == "nb" else "en"]
    cure = f" ({error.cure})" if error.cure else ""
    return Finding(
        rule=code,
        severity=Severity.ERROR,
        apprec=code,
        line=getattr(error, "line", None),
        text=f"{intro}: {error.code}: {error.text}{cure}",
        source="HIS 80415:2012; list 8221",
    )


def differences(line: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Which fields of a line are not as expected. ``apprec`` may be given as a list of codes, or null for none."""
    wrong = []
    for name, wanted in expected.items():
        if name == "apprec":
            found: object = _codes(line["apprec"])
            wanted = wanted if wanted is None or isinstance(wanted, list) else _codes(wanted)
        elif name in line:
            found = line[name]
        else:
            continue
        if found != wanted:
            wrong.append(name)
    return wrong


def _codes(apprec: Any) -> list[str] | None:
    """The error codes of an ``apprec`` object; None when there are none."""
    errors = apprec.get("errors") if apprec else None
    return [str(error["code"]) for error in errors] if errors else None


def _schema_valid(facts: Facts | None, findings: Sequence[Finding] | None) -> bool | None:
    return None if facts is None or findings is None else not any(finding.blocking for finding in findings)


def _apprec(facts: Facts | None, judgement: Judgement) -> dict[str, object] | None:
    if facts is None or facts.family is Family.APPREC or judgement.status is None:
        return None
    return {
        "version": apprec_version(facts.namespace),
        "status": judgement.status.value,
        "errors": [
            {"code": error.code, "system": error.system, "text": error.name or error.text} for error in judgement.errors
        ],
    }
