"""Parties, patients and persons as found in a MsgHead and in the HCP family (Henvisning 1.x, Epikrise, AppRec).

Level 1 is the organisation, level 2 a service or a person below it (HIS 1153-2:2016). An element without any content
counts as absent. The HCP family carries a person's name as one string in either order, so it is kept whole as family
name.
"""

from __future__ import annotations

from typing import Any, TypeVar

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
from adapter.model.party import Address, Ident, Party, Patient, Person, Professional, Telecom, Unit
from adapter.xmlio import Element

P = TypeVar("P", bound=Person)
PERSONS = "8116"
UNITS = "9051"


def read_idents(element: Element | None, ns: str, fallback: str, inner: str | None = None) -> tuple[Ident, ...]:
    """All Ident children with a filled Id; ``fallback`` is the list assumed when TypeId has no OID."""
    found = []
    kind_tag, number_tag = f"{{{inner or ns}}}TypeId", f"{{{inner or ns}}}Id"
    for ident in children(element, ns, "Ident"):
        parts = first_children(ident)
        kind, number = parts.get(kind_tag), text_of(parts.get(number_tag))
        if number is None and kind is None:
            continue
        system = system_of(kind.get("S")) if kind is not None else None
        found.append(
            Ident(
                id=number or "",
                type=(kind.get("V") or "") if kind is not None else "",
                system=system or fallback,
                name=kind.get("DN") if kind is not None else None,
            )
        )
    return tuple(found)


def read_address(element: Element | None, ns: str) -> Address | None:
    """An Address element of MsgHead, felleskomponent1 or the HCP family."""
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


def read_telecoms(element: Element | None, ns: str, inner: str | None = None) -> tuple[Telecom, ...]:
    """All TeleCom children that have an address."""
    found = []
    for item in children(element, ns, "TeleCom"):
        address = value(item, inner or ns, "TeleAddress")
        if address:
            found.append(Telecom(address=address, type=value(item, inner or ns, "TypeTelecom")))
    return tuple(found)


def _common(element: Element, ns: str) -> dict[str, Any]:
    parts = first_children(element)
    return {
        "family_name": text_of(parts.get(f"{{{ns}}}FamilyName")),
        "given_name": text_of(parts.get(f"{{{ns}}}GivenName")),
        "middle_name": text_of(parts.get(f"{{{ns}}}MiddleName")),
        "born": day(text_of(parts.get(f"{{{ns}}}DateOfBirth"))),
        "sex": value_of(parts.get(f"{{{ns}}}Sex")),
        "nationality": value_of(parts.get(f"{{{ns}}}Nationality")),
        "idents": read_idents(element, ns, PERSONS),
        "address": read_address(parts.get(f"{{{ns}}}Address"), ns),
        "telecoms": read_telecoms(element, ns) if f"{{{ns}}}TeleCom" in parts else (),
    }


def read_person(element: Element, ns: str, cls: type[P]) -> P:
    """A Person or Patient element of MsgHead or felleskomponent1."""
    return cls(**_common(element, ns))


def read_professional(element: Element | None, ns: str) -> Professional | None:
    """A HealthcareProfessional; None when it is absent or has no content at all."""
    if element is None or not len(element):
        return None
    return Professional(
        **_common(element, ns),
        profession=value(element, ns, "TypeHealthcareProfessional"),
        role=coded(child(element, ns, "RoleToPatient")),
    )


def read_unit(element: Element | None, ns: str) -> Unit | None:
    """An Organisation element by itself; None when it is absent or has neither name nor identifier."""
    if element is None:
        return None
    parts = first_children(element)
    name = text_of(parts.get(f"{{{ns}}}OrganisationName"))
    idents = read_idents(element, ns, UNITS)
    if not name and not idents:
        return None
    return Unit(
        name=name or "",
        idents=idents,
        type=coded(parts.get(f"{{{ns}}}TypeOrganisation")),
        address=read_address(parts.get(f"{{{ns}}}Address"), ns),
        telecoms=read_telecoms(element, ns) if f"{{{ns}}}TeleCom" in parts else (),
    )


def read_party(element: Element | None, ns: str) -> Party | None:
    """Sender, Receiver or OtherReceiver of a MsgHead; None without any organisation."""
    organisation = child(element, ns, "Organisation")
    above = read_unit(organisation, ns)
    service = read_unit(child(organisation, ns, "Organisation"), ns)
    person = read_professional(child(organisation, ns, "HealthcareProfessional"), ns)
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
