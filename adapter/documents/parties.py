"""Parties, patients and persons as found in a MsgHead and in the HCP family (Henvisning 1.x, Epikrise, AppRec).

Level 1 is the organisation, level 2 a service or a person below it (HIS 1153-2:2016). An element without any content
counts as absent. The HCP family carries a person's name as one string in either order, so it is kept whole as family
name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapter.documents import names
from adapter.documents.reading import (
    child,
    children,
    coded,
    day,
    first_children,
    system_of,
    text,
    text_of,
    value,
    value_of,
)
from adapter.model.party import Address, Ident, Party, Patient, Professional, Telecom, Unit
from adapter.xmlio import Element

PERSONS = "8116"
UNITS = "9051"


def _q(name: str) -> str:
    return f"{{{names.MSGHEAD}}}{name}"


_ORGANISATION, _PROFESSIONAL = _q("Organisation"), _q("HealthcareProfessional")
_UNIT_NAME, _UNIT_TYPE = _q("OrganisationName"), _q("TypeOrganisation")
_IDENT, _ID, _TYPE_ID = _q("Ident"), _q("Id"), _q("TypeId")
_FAMILY, _GIVEN, _MIDDLE, _BORN = _q("FamilyName"), _q("GivenName"), _q("MiddleName"), _q("DateOfBirth")
_SEX, _NATIONALITY = _q("Sex"), _q("Nationality")
_PROFESSION, _ROLE = _q("TypeHealthcareProfessional"), _q("RoleToPatient")
_ADDRESS, _TELECOM = _q("Address"), _q("TeleCom")
_TELE_ADDRESS, _TELECOM_TYPE = _q("TeleAddress"), _q("TypeTelecom")


def _idents(element: Element, fallback: str) -> tuple[Ident, ...]:
    """All Ident children with Id or TypeId; ``fallback`` is the list assumed when TypeId has no OID."""
    found = [_ident(part, fallback) for part in element if part.tag == _IDENT]
    return tuple(ident for ident in found if ident is not None)


def _ident(element: Element, fallback: str) -> Ident | None:
    parts = first_children(element)
    kind, number = parts.get(_TYPE_ID), parts.get(_ID)
    if kind is None:
        return None if number is None else Ident(id=number.text or "", type="", system=fallback)
    return Ident(
        id=(number.text or "") if number is not None else "",
        type=kind.get("V") or "",
        system=system_of(kind.get("S")) or fallback,
        name=kind.get("DN"),
    )


def read_address(element: Element | None, ns: str) -> Address | None:
    """An Address element of MsgHead or the HCP family."""
    if element is None:
        return None
    parts = first_children(element)
    return Address(
        type=value_of(parts.get(f"{{{ns}}}Type")),
        street=text_of(parts.get(f"{{{ns}}}StreetAdr")),
        postal_code=text_of(parts.get(f"{{{ns}}}PostalCode")),
        city=text_of(parts.get(f"{{{ns}}}City")),
        postbox=text_of(parts.get(f"{{{ns}}}Postbox")),
        county=value_of(parts.get(f"{{{ns}}}County")),
        country=value_of(parts.get(f"{{{ns}}}Country")),
    )


def _telecoms(element: Element) -> tuple[Telecom, ...]:
    """All TeleCom children that have an address."""
    found = []
    for item in element:
        parts = first_children(item) if item.tag == _TELECOM else {}
        address = value_of(parts.get(_TELE_ADDRESS))
        if address:
            found.append(Telecom(address=address, type=value_of(parts.get(_TELECOM_TYPE))))
    return tuple(found)


def _common(element: Element, parts: Mapping[str, Element]) -> dict[str, Any]:
    return {
        "family_name": text_of(parts.get(_FAMILY)),
        "given_name": text_of(parts.get(_GIVEN)),
        "middle_name": text_of(parts.get(_MIDDLE)),
        "born": day(text_of(parts.get(_BORN))),
        "sex": value_of(parts.get(_SEX)),
        "nationality": value_of(parts.get(_NATIONALITY)),
        "idents": _idents(element, PERSONS) if _IDENT in parts else (),
        "address": read_address(parts.get(_ADDRESS), names.MSGHEAD),
        "telecoms": _telecoms(element) if _TELECOM in parts else (),
    }


def read_patient(element: Element) -> Patient:
    """The Patient of a MsgHead."""
    return Patient(**_common(element, first_children(element)))


def _professional(element: Element | None) -> Professional | None:
    """A HealthcareProfessional; None when it is absent or has no content at all."""
    if element is None or not len(element):
        return None
    parts = first_children(element)
    profession, role = value_of(parts.get(_PROFESSION)), coded(parts.get(_ROLE))
    return Professional(**_common(element, parts), profession=profession, role=role)


def _unit(element: Element, parts: Mapping[str, Element]) -> Unit | None:
    """An Organisation element by itself; None when it has neither name nor identifier."""
    name = text_of(parts.get(_UNIT_NAME))
    idents = _idents(element, UNITS) if _IDENT in parts else ()
    if not name and not idents:
        return None
    return Unit(
        name=name or "",
        idents=idents,
        type=coded(parts.get(_UNIT_TYPE)),
        address=read_address(parts.get(_ADDRESS), names.MSGHEAD),
        telecoms=_telecoms(element) if _TELECOM in parts else (),
    )


def read_party(element: Element | None) -> Party | None:
    """Sender, Receiver or OtherReceiver of a MsgHead; None without any organisation."""
    organisation = child(element, names.MSGHEAD, "Organisation")
    if organisation is None:
        return None
    parts = first_children(organisation)
    inner = parts.get(_ORGANISATION)
    above = _unit(organisation, parts)
    service = _unit(inner, first_children(inner)) if inner is not None else None
    person = _professional(parts.get(_PROFESSIONAL))
    if above is None and service is None and person is None:
        return None
    return Party(organisation=above or Unit(name=""), service=service, person=person)


# --- the HCP family ---------------------------------------------------------------------------------------------------


def _hcp_idents(element: Element, ns: str, system: str) -> tuple[Ident, ...]:
    kind = child(element, ns, "TypeId")
    number = text(element, ns, "Id")
    found = []
    if number is not None or kind is not None:
        found.append(_hcp_ident(number, kind, system))
    for extra in children(element, ns, "AdditionalId"):
        found.append(_hcp_ident(text(extra, ns, "Id"), child(extra, ns, "Type"), system))
    return tuple(found)


def _hcp_ident(number: str | None, kind: Element | None, system: str) -> Ident:
    if kind is None:
        return Ident(id=number or "", type="", system=system)
    return Ident(id=number or "", type=kind.get("V") or "", system=system, name=kind.get("DN"))


def _hcp_unit(element: Element | None, ns: str) -> Unit | None:
    if element is None:
        return None
    name = text(element, ns, "Name")
    idents = _hcp_idents(element, ns, UNITS)
    return Unit(name=name or "", idents=idents, type=coded(child(element, ns, "Type"))) if name or idents else None


def _hcp_person(element: Element | None, ns: str) -> Professional | None:
    if element is None:
        return None
    name = text(element, ns, "Name")
    idents = _hcp_idents(element, ns, PERSONS)
    if not name and not idents:
        return None
    return Professional(family_name=name, idents=idents, profession=value(element, ns, "Type"))


def read_hcp_party(element: Element | None, ns: str) -> Party | None:
    """Requester, ServProvider, CopyDest or an AppRec's Sender/Receiver; None without any content in HCP."""
    hcp = child(element, ns, "HCP")
    inst = child(hcp, ns, "Inst")
    above = _hcp_unit(inst, ns)
    service = _hcp_unit(child(inst, ns, "Dept"), ns)
    person = _hcp_person(child(inst, ns, "HCPerson"), ns) or _hcp_person(child(hcp, ns, "HCProf"), ns)
    if above is None and service is None and person is None:
        return None
    return Party(organisation=above or Unit(name=""), service=service, person=person)


def read_hcp_patient(element: Element | None, ns: str) -> Patient | None:
    """The Patient of a Henvisning 1.x or Epikrise. Its one name string is kept whole as family name."""
    if element is None:
        return None
    number = text(element, ns, "OffId")
    kind = child(element, ns, "TypeOffId")
    idents = [_hcp_ident(number, kind, PERSONS)] if number is not None or kind is not None else []
    idents += [
        _hcp_ident(text(extra, ns, "Id"), child(extra, ns, "Type"), PERSONS)
        for extra in children(element, ns, "AdditionalId")
    ]
    address = child(element, ns, "Address")
    phones = tuple(
        Telecom(address=phone.get("V") or "") for phone in children(address, ns, "TeleAddress") if phone.get("V")
    )
    return Patient(
        family_name=text(element, ns, "Name"),
        born=day(value(element, ns, "DateOfBirth")),
        sex=value(element, ns, "Sex"),
        idents=tuple(idents),
        address=read_address(address, ns),
        telecoms=phones,
    )
