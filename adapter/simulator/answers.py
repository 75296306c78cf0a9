"""The documents that the other side writes: AppRec 1.0 and 1.1, and dialogue messages in MsgHead 1.2.

Built with lxml alone, not with ``adapter.documents``: what the adapter reads here was written by other hands.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lxml import etree

import adapter.xmlio as xmlio
from adapter.codes import Coded, oid
from adapter.simulator.addressing import APPREC, MSGHEAD, Envelope, child, children, local, text

DIALOG_10 = "http://www.kith.no/xmlstds/dialog/2006-10-11"
DIALOG_11 = "http://www.kith.no/xmlstds/dialog/2013-01-23"
FK1 = "http://www.kith.no/xmlstds/felleskomponent1"
_STATUS_TEXT = {"1": "OK", "2": "Avvist", "3": "OK, feil i delmelding"}
_MIG = {"1.0": "1.0 2004-11-21", "1.1": "v1.1 2012-02-15"}


@dataclass(frozen=True, slots=True)
class Unit:
    """A name with (id, type) pairs, the first of which decides."""

    name: str | None
    ids: tuple[tuple[str, str], ...]


def _add(parent: xmlio.Element, name: str, value: str | None = None, **attributes: str) -> xmlio.Element:
    namespace = parent.tag[1:].split("}")[0]
    element = etree.SubElement(parent, f"{{{namespace}}}{name}", attributes)
    element.text = value
    return element


def _root(namespace: str, name: str, **prefixes: str) -> xmlio.Element:
    nsmap: Any = {None: namespace, **prefixes}
    return etree.Element(f"{{{namespace}}}{name}", nsmap=nsmap)


# -- AppRec -----------------------------------------------------------------------------------------------------------


def write_apprec(
    original: Envelope,
    acknowledger: int,
    *,
    status: str,
    errors: Sequence[tuple[str, str]],
    version: str,
    receipt_id: str,
    at: datetime,
) -> bytes:
    """An AppRec that mirrors the addresses of ``original`` (HIS 80415:2012, 3.5). ``at`` is Norwegian local time."""
    root = _root(APPREC[version == "1.1"], "AppRec")
    _add(root, "MsgType", V="APPREC", DN="Applikasjonskvittering")
    _add(root, "MIGversion", _MIG[version])
    _add(root, "GenDate", at.strftime("%Y-%m-%dT%H:%M:%S"))
    _add(root, "Id", receipt_id)
    copied = acknowledger not in (original.receivers[0].level2, original.receivers[0].level1)
    _party(root, "Sender", _units_of(original, acknowledger), _acknowledger_role(version, copied))
    _party(
        root,
        "Receiver",
        _units_of(original, None),
        ("RECEIVER", "Mottaker") if version == "1.0" else ("AVS", "Avsender"),
    )
    _add(root, "Status", V=status, DN=_STATUS_TEXT.get(status, "Ukjent"))
    for code, words in errors:
        error = _add(root, "Error", V=code, S=oid(8221), DN=Coded.of(8221, code).name or words or code)
        if words and words != error.get("DN"):
            error.set("OT", words)
    about = _add(root, "OriginalMsgId")
    _add(
        about,
        "MsgType",
        V=original.msg_type or "",
        DN=Coded.of(8279, original.msg_type or "").name or original.msg_type or "",
    )
    _add(about, "IssueDate", original.gen_date or at.strftime("%Y-%m-%dT%H:%M:%S"))
    _add(about, "Id", _original_id(original))
    return xmlio.serialise(root)


def _acknowledger_role(version: str, copied: bool) -> tuple[str, str]:
    if copied:
        return "COP", "Kopimottaker"
    return ("SPR", "Tjenesteyter") if version == "1.0" else ("PRIM", "Primærmottaker")


def _original_id(original: Envelope) -> str:
    if original.namespace.endswith("henvisning/2005-07-08"):
        return text(original.root, "ServReq", "Id") or ""
    if original.namespace.endswith("epikrise/2006-09-23"):
        return text(original.root, "ServRprt", "ServProvId") or ""
    return original.msg_id or ""


def _party(root: xmlio.Element, name: str, levels: list[tuple[str, Unit]], role: tuple[str, str]) -> None:
    party = _add(root, name)
    _add(party, "Role", V=role[0], DN=role[1])
    inst = _add(_add(party, "HCP"), "Inst")
    own = next((unit for kind, unit in levels if kind == "Inst"), Unit(None, ()))
    _unit(inst, own)
    for kind in ("Dept", "HCPerson"):
        for unit in (unit for k, unit in levels if k == kind):
            below = _add(inst, kind)
            _unit(below, unit)
            _more(below, unit)
        if kind == "Dept":
            _more(inst, own)


def _unit(element: xmlio.Element, unit: Unit) -> None:
    if unit.name:
        _add(element, "Name", unit.name)
    for value, kind in unit.ids[:1]:
        _add(element, "Id", value)
        _add(element, "TypeId", V=kind, DN=_KIND_NAMES.get(kind, kind))


def _more(element: xmlio.Element, unit: Unit) -> None:
    for value, kind in unit.ids[1:]:
        additional = _add(element, "AdditionalId")
        _add(additional, "Id", value)
        _add(additional, "Type", V=kind, DN=_KIND_NAMES.get(kind, kind))


_KIND_NAMES = {
    "HER": "HER-id",
    "ENH": "Organisasjonsnummeret i Enhetsregisteret",
    "HPR": "HPR-nummer",
    "FNR": "Fødselsnummer",
}


def _units_of(original: Envelope, her_id: int | None) -> list[tuple[str, Unit]]:
    """Levels of the party that has ``her_id`` among the receivers; None: of the sender."""
    party = _party_element(original, her_id)
    if party is None:
        return [("Inst", Unit(None, ()))]
    organisation = child(party, "Organisation")
    if organisation is not None:
        levels = [("Inst", _msghead_unit(organisation))]
        levels += [("Dept", _msghead_unit(unit)) for unit in children(organisation, "Organisation")]
        persons = children(organisation, "HealthcareProfessional")
        # a signing professional beside a service is no address and is not mirrored
        levels += [("HCPerson", _msghead_unit(person)) for person in persons if len(levels) == 1]
        return levels
    inst = child(party, "HCP", "Inst")
    levels = [("Inst", _hcp_unit(inst))]
    levels += [(name, _hcp_unit(unit)) for name in ("Dept", "HCPerson") for unit in children(inst, name)]
    return levels


def _party_element(original: Envelope, her_id: int | None) -> xmlio.Element | None:
    root = original.root
    if local(root) == "MsgHead":
        head = child(root, "MsgInfo")
        sender, receivers = child(head, "Sender"), [*children(head, "Receiver"), *children(head, "OtherReceiver")]
    else:
        request = child(root, "ServReq")
        body = request if request is not None else child(root, "ServRprt")
        names = ("Requester", "ServProvider") if request is not None else ("ServProvider", "Requester")
        sender, receivers = child(body, names[0]), [*children(body, names[1]), *children(body, "CopyDest")]
    if her_id is None:
        return sender
    for element, address in zip(receivers, original.receivers, strict=False):
        if her_id in (address.level2, address.level1):
            return element
    return None


def _msghead_unit(element: xmlio.Element) -> Unit:
    name = text(element, "OrganisationName")
    if name is None:
        parts = (text(element, part) for part in ("FamilyName", "GivenName", "MiddleName"))
        name = " ".join(part for part in parts if part) or None
    pairs = ((text(ident, "Id"), text(ident, "TypeId")) for ident in children(element, "Ident"))
    return Unit(name, tuple((value, kind) for value, kind in pairs if value and kind))


def _hcp_unit(element: xmlio.Element | None) -> Unit:
    pairs = [(text(element, "Id"), text(element, "TypeId"))]
    pairs += [(text(other, "Id"), text(other, "Type")) for other in children(element, "AdditionalId")]
    return Unit(text(element, "Name"), tuple((value, kind) for value, kind in pairs if value and kind))


# -- dialogue messages ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dialogue message to write: ``theme`` is the coded theme or question; ``body`` "note" or "question"."""

    msg_type: str
    namespace: str
    theme: Coded
    words: str
    body: str = "note"
    heading: str | None = None
    contact: tuple[str, str] | None = None  # family and given name of the responsible person
    document_id: str | None = None
    question: xmlio.Element | None = None  # the question that a 1.0 answer repeats


def write_letter(
    original: Envelope, author: int, letter: Letter, *, msg_id: str, at: datetime, conversation: tuple[str, str] | None
) -> bytes:
    """A dialogue message from the receiver ``author`` of ``original`` back to its sender, about the same patient.

    ``conversation`` is (parent, conversation); None writes no reference.
    """
    root = _root(MSGHEAD, "MsgHead")
    head = _add(root, "MsgInfo")
    name = Coded.of(8279, letter.msg_type).name or letter.msg_type
    _add(head, "Type", V=letter.msg_type, DN=name)
    _add(head, "MIGversion", "v1.2 2006-05-24")
    _add(head, "GenDate", at.strftime("%Y-%m-%dT%H:%M:%S"))
    _add(head, "MsgId", msg_id)
    if conversation is not None:
        references = _add(head, "ConversationRef")
        _add(references, "RefToParent", conversation[0])
        _add(references, "RefToConversation", conversation[1])
    _organisation(_add(head, "Sender"), original, author)
    _organisation(_add(head, "Receiver"), original, None)
    _patient(head, original)
    reference = _add(_add(root, "Document"), "RefDoc")
    _add(reference, "MsgType", V="XML", DN="XML-instans")
    content = _add(reference, "Content")
    content.append(_dialogue(letter))
    return xmlio.serialise(root)


def _organisation(role: xmlio.Element, original: Envelope, her_id: int | None) -> None:
    """The party as MsgHead has it: copied, or made from the HCP form."""
    organisation = child(_party_element(original, her_id), "Organisation")
    if organisation is not None:
        role.append(copy.deepcopy(organisation))
        return
    parent = role
    for kind, unit in _units_of(original, her_id):
        person = kind == "HCPerson"
        parent = _add(parent, "HealthcareProfessional" if person else "Organisation")
        _add(parent, "FamilyName" if person else "OrganisationName", unit.name or "-")
        for value, id_type in unit.ids:
            ident = _add(parent, "Ident")
            _add(ident, "Id", value)
            _add(ident, "TypeId", V=id_type, S=oid(8116 if person else 9051), DN=_KIND_NAMES.get(id_type, id_type))


def _patient(head: xmlio.Element, original: Envelope) -> None:
    patient = child(original.root, "MsgInfo", "Patient")
    if patient is not None:
        head.append(copy.deepcopy(patient))
        return
    patient = child(original.root, "ServReq", "Patient")
    number = text(patient, "OffId")
    if patient is None or number is None:
        return
    family, _, given = (text(patient, "Name") or "-").partition(",")
    made = _add(head, "Patient")
    _add(made, "FamilyName", family.strip())
    if given.strip():
        _add(made, "GivenName", given.strip())
    ident = _add(made, "Ident")
    _add(ident, "Id", number)
    kind = text(patient, "TypeOffId") or "FNR"
    _add(ident, "TypeId", V=kind, S=oid(8116), DN=_KIND_NAMES.get(kind, kind))


def _dialogue(letter: Letter) -> xmlio.Element:
    root = _root(letter.namespace, "Dialogmelding", fk1=FK1)
    theme = {"V": letter.theme.code or "", "S": oid(letter.theme.system or ""), "DN": letter.theme.shown}
    if letter.body == "question":
        question = _add(root, "Foresporsel")
        _add(question, "TypeForesp", **theme)
        _add(question, "Sporsmal", letter.words)
        if letter.document_id:
            _add(question, "DokIdForesp", letter.document_id)
        return root
    note = _add(root, "Notat")
    _add(note, "TemaKodet", **theme)
    if letter.heading:
        _add(note, "Tema", letter.heading)
    _add(note, "TekstNotatInnhold", letter.words)
    if letter.document_id:
        _add(note, "DokIdNotat", letter.document_id)
    if letter.question is not None:
        note.append(letter.question)
    if letter.contact:
        _responsible(note, letter.contact)
    return root


def _responsible(note: xmlio.Element, contact: tuple[str, str]) -> None:
    about = _add(note, "RollerRelatertNotat")
    _add(about, "RoleToPatient", V="21", S=oid(9034), DN="Helsefaglig kontakt")
    person = _add(about, "HealthcareProfessional")
    _add(person, "FamilyName", contact[0])
    _add(person, "GivenName", contact[1])
    telecom = _add(person, "TeleCom")
    etree.SubElement(telecom, f"{{{FK1}}}TeleAddress", {"V": "tel:55512340"})
