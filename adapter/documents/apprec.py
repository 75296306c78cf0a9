"""Building application receipts, AppRec 1.0 and 1.1, with exact mirroring (HIS 80415:2004 and :2012 chapter 3.5).

The original's sender becomes the receiver and the acknowledging recipient the sender. All identifiers are repeated as
they were written, also when they are wrong: the first becomes Id and TypeId, the others AdditionalId.
"""

from __future__ import annotations

import re
from datetime import datetime

from lxml import etree

from adapter.codes import display_name
from adapter.documents import names
from adapter.documents.tables import cv, prefixes, sub, timestamp
from adapter.errors import InputError, UnsupportedError
from adapter.model.document import Facts, Family
from adapter.model.party import Ident, Party, Professional, Unit
from adapter.model.process import OLD_CODES
from adapter.model.receipt import ReceiptStatus, Verdict
from adapter.xmlio import Element

_NAMESPACES = {"1.0": names.APPREC_1_0, "1.1": names.APPREC_1_1}
_MIG_VERSIONS = {"1.0": "1.0 2004-11-21", "1.1": "v1.1 2012-02-15"}
_ROLES = {
    "PRIM": "Primærmottaker",
    "COP": "Kopimottaker",
    "AVS": "Avsender",
    "REQ": "Rekvirent",
    "SPR": "Tjenesteyter",
    "RECEIVER": "Mottaker",
}
_DATE_TIME = re.compile(
    r"-?[0-9]{4,}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ERROR = cv("8221")


def build_apprec(
    facts: Facts,
    *,
    acknowledger: int = 0,
    verdict: Verdict,
    receipt_id: str,
    gen_date: datetime,
    version: str,
    software: tuple[str, str] | None = None,
) -> Element:
    """The receipt for the message with these facts.

    ``acknowledger``: 0 is the message's receiver, 1 its first copy receiver, and so on. ``version``: "1.0" or "1.1".
    ``gen_date``: Norwegian local time. ``software``: name and version of what we are.

    Raises UnsupportedError (UNANSWERABLE) when the message does not say who sent or who got it, and InputError for a
    verdict that no receipt can carry: a rejection without errors, an acceptance with errors, a status we never give.
    """
    if version not in _NAMESPACES:
        raise InputError("a receipt has version 1.0 or 1.1", where="version")
    _refuse_odd(verdict)
    sender, receiver = _parties(facts, acknowledger)
    ns = _NAMESPACES[version]
    root = etree.Element(f"{{{ns}}}AppRec", nsmap=prefixes(ns))
    _coded(root, ns, "MsgType", "APPREC", "Applikasjonskvittering")
    _text(root, ns, "MIGversion", _MIG_VERSIONS[version])
    if software is not None:
        _text(root, ns, "SoftwareName", software[0])
        _text(root, ns, "SoftwareVersion", software[1])
    _text(root, ns, "GenDate", timestamp(gen_date))
    _text(root, ns, "Id", receipt_id)
    our_role, their_role = _roles(facts, acknowledger, version)
    _write_party(root, ns, "Sender", our_role, receiver)
    _write_party(root, ns, "Receiver", their_role, sender)
    _coded(root, ns, "Status", verdict.status.value, display_name("8258", verdict.status.value))
    for error in verdict.errors:
        _ERROR.write(sub(root, f"{{{ns}}}Error"), error)
    _write_original(sub(root, f"{{{ns}}}OriginalMsgId"), ns, facts, gen_date)
    return root


def _refuse_odd(verdict: Verdict) -> None:
    if verdict.status is ReceiptStatus.PARTIAL:
        raise InputError("only settlement claims are accepted in part", where="verdict.status")
    if (verdict.status is ReceiptStatus.REJECTED) != bool(verdict.errors):
        raise InputError(
            "a rejection names its errors, an acceptance has none",
            where="verdict.errors",
            cure="give one error per fault",
        )


def _parties(facts: Facts, acknowledger: int) -> tuple[Party, Party]:
    recipients = (facts.receiver, *facts.copies)
    if not 0 <= acknowledger < len(recipients):
        raise InputError("the message has no such recipient", where="acknowledger")
    receiver = recipients[acknowledger]
    if facts.sender is None or receiver is None:
        raise UnsupportedError("the message does not say who sent or who got it", code="UNANSWERABLE")
    return facts.sender, receiver


def _roles(facts: Facts, acknowledger: int, version: str) -> tuple[str, str]:
    """Our role and the sender's. In 1.0 ours is the one that we had in the message; a MsgHead says none: SPR."""
    if version == "1.1":
        return "COP" if acknowledger else "PRIM", "AVS"
    if acknowledger:
        return "COP", "RECEIVER"
    return "REQ" if _is_epikrise(facts) else "SPR", "RECEIVER"


def _is_epikrise(facts: Facts) -> bool:
    return facts.family is Family.HCP and "/epikrise" in facts.namespace


def _coded(parent: Element, ns: str, name: str, code: str, shown: str | None) -> None:
    element = sub(parent, f"{{{ns}}}{name}")
    element.set("V", code)
    if shown:
        element.set("DN", shown)


def _text(parent: Element, ns: str, name: str, text: str) -> None:
    sub(parent, f"{{{ns}}}{name}").text = text


def _write_party(root: Element, ns: str, name: str, role: str, party: Party) -> None:
    element = sub(root, f"{{{ns}}}{name}")
    _coded(element, ns, "Role", role, _ROLES[role])
    hcp = sub(element, f"{{{ns}}}HCP")
    nobody_above = not party.organisation.name and not party.organisation.idents
    if nobody_above and party.service is None and party.person is not None:
        _write_person(hcp, ns, "HCProf", party.person)
        return
    inst = sub(hcp, f"{{{ns}}}Inst")
    _write_named(inst, ns, party.organisation.name, party.organisation.idents[:1])
    if party.service is not None:
        _write_unit(sub(inst, f"{{{ns}}}Dept"), ns, party.service)
    _write_more(inst, ns, party.organisation.idents[1:])
    if party.person is not None and _is_level_2(party):
        _write_person(inst, ns, "HCPerson", party.person)


def _is_level_2(party: Party) -> bool:
    """A person beside a service only signs and is left out, unless the person alone carries the HER-id of level 2."""
    if party.service is None or party.person is None:
        return True
    return party.service.ident("HER") is None and any(ident.type == "HER" for ident in party.person.idents)


def _write_unit(element: Element, ns: str, unit: Unit) -> None:
    _write_named(element, ns, unit.name, unit.idents[:1])
    _write_more(element, ns, unit.idents[1:])


def _write_person(parent: Element, ns: str, name: str, person: Professional) -> None:
    element = sub(parent, f"{{{ns}}}{name}")
    whole = " ".join(part for part in (person.given_name, person.middle_name, person.family_name) if part)
    _write_named(element, ns, whole, person.idents[:1])
    _write_more(element, ns, person.idents[1:])


def _write_named(element: Element, ns: str, name: str, first: tuple[Ident, ...]) -> None:
    if name:
        _text(element, ns, "Name", name)
    for ident in first:
        _text(element, ns, "Id", ident.id)
        _coded(element, ns, "TypeId", ident.type, _type_name(ident))


def _write_more(element: Element, ns: str, rest: tuple[Ident, ...]) -> None:
    for ident in rest:
        more = sub(element, f"{{{ns}}}AdditionalId")
        _text(more, ns, "Id", ident.id)
        _coded(more, ns, "Type", ident.type, _type_name(ident))


def _type_name(ident: Ident) -> str | None:
    if ident.type == "HER":
        return "HER-id"
    return ident.name or display_name(ident.system, ident.type)


def original_type(facts: Facts) -> str:
    """OriginalMsgId/MsgType by list 8279: the old one-letter types of HCP messages have longer names there."""
    written = facts.msg_type or ""
    if facts.family is Family.HCP:
        if not written:
            return "EPIKRISE" if _is_epikrise(facts) else "HENVISNING"
        return OLD_CODES.get(written, written)
    return written


def _write_original(element: Element, ns: str, facts: Facts, gen_date: datetime) -> None:
    code = original_type(facts)
    name = facts.msg_type_name if code == facts.msg_type else None
    _coded(element, ns, "MsgType", code, name or display_name("8279", code))
    _text(element, ns, "IssueDate", _issue_date(facts.gen_date, gen_date))
    _text(element, ns, "Id", facts.receipt_id or "")


def _issue_date(written: str | None, ours: datetime) -> str:
    """The original's GenDate byte for byte. The receipt's form needs a dateTime: a bare day gets midnight, and for
    anything else (a message rejected for its GenDate) our own time stands in.
    """
    if written and _DATE_TIME.fullmatch(written):
        return written
    if written and _DAY.fullmatch(written):
        return f"{written}T00:00:00"
    return timestamp(ours)
