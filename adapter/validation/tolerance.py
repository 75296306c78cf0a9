"""What a schema fault means on receipt (P11).

A fault is answered T02 only when it hits what we act on; what else is wrong with the form is a warning, because real
senders have sent it for years. The tables are the whole policy. When sending, and with ``inbound.schema = "strict"``,
every fault is T02.
"""

from __future__ import annotations

import re
from dataclasses import replace

from adapter.errors import Finding, Severity
from adapter.model.document import Facts, Family

# Kinds of schema fault. These are never more than a warning in tolerant mode.
ALWAYS_WARN = frozenset({"XSD.order", "XSD.attribute", "XSD.wildcard"})
# Those that count by the place of the element, and those that count only where we use the value itself.
BY_PLACE = frozenset({"XSD.missing", "XSD.unexpected", "XSD"})
BY_VALUE = frozenset({"XSD.value", "XSD.empty"})

_PARTY = frozenset(
    {
        "",
        "Organisation",
        "Organisation/OrganisationName",
        "Organisation/Ident",
        "Organisation/Ident/Id",
        "Organisation/Ident/TypeId",
        "Organisation/Organisation",
        "Organisation/Organisation/OrganisationName",
        "Organisation/Organisation/Ident",
        "Organisation/Organisation/Ident/Id",
        "Organisation/Organisation/Ident/TypeId",
        "Organisation/HealthcareProfessional",
        "Organisation/HealthcareProfessional/Ident",
        "Organisation/HealthcareProfessional/Ident/Id",
        "Organisation/HealthcareProfessional/Ident/TypeId",
    }
)
_PATIENT = frozenset({"", "FamilyName", "GivenName", "DateOfBirth", "Sex", "Ident", "Ident/Id", "Ident/TypeId"})
_HEAD = frozenset({"", "Type", "MIGversion", "MsgId", "GenDate"})
_HCP = frozenset(
    {"", "HCP", "HCP/Inst", "HCP/Inst/Name", "HCP/Inst/Id", "HCP/Inst/TypeId", "HCP/Inst/Dept", "HCP/HCProf"}
)
_CONTENT = "/MsgHead/Document/RefDoc/Content"
# The root of the body and its mandatory children, by root name; Priority decides on emergencies (P8).
_BODY: dict[str, frozenset[str]] = {
    "Henvisning": frozenset(
        {
            "",
            "ServType",
            "IssueDate",
            "DocumentId",
            "TypeInnholdIMelding",
            "TypeInnholdIMelding/TypeInnhold",
            "ReqServ",
            "ReqServ/ServType",
            "ReqServ/Priority",
        }
    ),
    "Dialogmelding": frozenset({""}),
    "MsgHead": frozenset({""}),
}


def _below(prefix: str, names: frozenset[str]) -> frozenset[str]:
    return frozenset(f"{prefix}/{name}" if name else prefix for name in names)


_REPORT = "/Message/ServReq"
ACTED_ON: dict[Family, frozenset[str]] = {
    Family.MSGHEAD: frozenset(
        {"/MsgHead", "/MsgHead/Document", "/MsgHead/Document/RefDoc", "/MsgHead/Document/RefDoc/MsgType", _CONTENT}
    )
    | _below("/MsgHead/MsgInfo", _HEAD)
    | _below("/MsgHead/MsgInfo/Sender", _PARTY)
    | _below("/MsgHead/MsgInfo/Receiver", _PARTY)
    | _below("/MsgHead/MsgInfo/Patient", _PATIENT)
    | frozenset(path for root, names in _BODY.items() for path in _below(f"{_CONTENT}/{root}", names)),
    Family.HCP: _below("/Message", _HEAD)
    | _below(_REPORT, frozenset({"", "ServType", "IssueDate", "MsgDescr", "Id", "ReqServ", "ReqServ/Priority"}))
    | _below(f"{_REPORT}/Patient", frozenset({"", "Name", "DateOfBirth", "Sex", "OffId", "TypeOffId"}))
    | _below(f"{_REPORT}/Requester", _HCP)
    | _below(f"{_REPORT}/ServProvider", _HCP),
    Family.APPREC: _below("/AppRec", frozenset({"", "Status", "OriginalMsgId", "OriginalMsgId/Id"})),
    Family.OTHER: frozenset(),
}
# A value without its lexical form matters only where we use the value itself: a birth date is read by its digits.
VALUES_ACTED_ON = frozenset(
    {
        "/MsgHead/MsgInfo/GenDate",
        "/MsgHead/MsgInfo/MIGversion",
        "/MsgHead/MsgInfo/MsgId",
        "/Message/GenDate",
        "/AppRec/Status",
    }
)
_NOISE = re.compile(r"\{[^}]*\}|\[[0-9]+\]|(?<=/)[A-Za-z0-9_.-]+:|/@.*$")


def plain_path(path: str | None) -> str:
    """A path without namespaces, prefixes, positions and attribute: ``/MsgHead/MsgInfo/Patient/Ident/Id``."""
    return _NOISE.sub("", path or "").removeprefix("/EI_fellesformat")


def grade(schema_findings: list[Finding], facts: Facts, *, strict: bool) -> list[Finding]:
    """The schema's findings with the severity that they have here; ``strict``: all stay T02 errors."""
    if strict:
        return list(schema_findings)
    return [finding if _hits(finding, facts) else _warning(finding) for finding in schema_findings]


def _hits(finding: Finding, facts: Facts) -> bool:
    path = plain_path(finding.path)
    if finding.rule in ALWAYS_WARN:
        return False
    if finding.rule in BY_VALUE:
        return path in VALUES_ACTED_ON
    return path == "/*" or path in ACTED_ON[facts.family]


def _warning(finding: Finding) -> Finding:
    if finding.severity is not Severity.ERROR:
        return finding
    return replace(finding, severity=Severity.WARNING, apprec=None)
