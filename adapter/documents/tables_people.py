"""Persons, professionals and units: the same parts in MsgHead, felleskomponent1 and Dialogmelding, in their orders."""

from __future__ import annotations

from adapter.documents import names
from adapter.documents.reading import system_of
from adapter.documents.tables import DATE, STRING, V_TEXT, Field, Node, cs_short, cv, oid_of, sub
from adapter.model.coding import complete
from adapter.model.party import Ident
from adapter.xmlio import Element

PERSON_IDS = "8116"
UNIT_IDS = "9051"


class IdentPart:
    """Id and TypeId. The list follows from whose identifier it is (AD2.8): persons 8116, units 9051."""

    def __init__(self, ns: str, system: str) -> None:
        self._id = f"{{{ns}}}Id"
        self._type = f"{{{ns}}}TypeId"
        self._system = system
        self._oid = oid_of(system)

    def write(self, element: Element, value: Ident) -> None:
        sub(element, self._id).text = value.id
        kind = sub(element, self._type)
        kind.set("V", value.type)
        kind.set("S", self._oid)
        name = value.name or complete(value.type, self._system).name
        if name is not None:
            kind.set("DN", name)

    def read(self, element: Element) -> object:
        kind = next(element.iterchildren(self._type), None)
        number = next(element.iterchildren(self._id), None)
        found: dict[str, object] = {
            "id": (number.text or "") if number is not None else "",
            "type": (kind.get("V") or "") if kind is not None else "",
            "system": (system_of(kind.get("S")) if kind is not None else None) or self._system,
        }
        if kind is not None and kind.get("DN") is not None:
            found["name"] = kind.get("DN")
        return found


def _address(ns: str) -> Node:
    return Node(
        ns,
        Field("type", "Type", cs_short("3401")),
        Field("street", "StreetAdr", STRING),
        Field("postal_code", "PostalCode", STRING),
        Field("city", "City", STRING),
        Field("postbox", "Postbox", STRING),
        Field("county", "County", cs_short()),
        Field("country", "Country", cs_short()),
    )


def _telecom(ns: str) -> Node:
    return Node(ns, Field("type", "TypeTelecom", cs_short("9061")), Field("address", "TeleAddress", V_TEXT))


def _rest(inner: str) -> tuple[Field, ...]:
    return (
        Field("born", "DateOfBirth", DATE),
        Field("sex", "Sex", cs_short("3101")),
        Field("nationality", "Nationality", cs_short()),
        Field("idents", "Ident", IdentPart(inner, PERSON_IDS), many=True),
        Field("address", "Address", _address(inner)),
        Field("telecoms", "TeleCom", _telecom(inner), many=True),
    )


_FAMILY = Field("family_name", "FamilyName", STRING)
_MIDDLE = Field("middle_name", "MiddleName", STRING)
_GIVEN = Field("given_name", "GivenName", STRING)


def person(ns: str, inner: str | None = None, *, given_first: bool = False) -> Node:
    """A Person; ``inner`` is the namespace below Ident, Address, TeleCom. Dialogmelding: the given name first."""
    order = (_GIVEN, _MIDDLE, _FAMILY) if given_first else (_FAMILY, _MIDDLE, _GIVEN)
    return Node(ns, *order, *_rest(inner or ns))


def professional(ns: str, inner: str | None = None) -> Node:
    """A HealthcareProfessional."""
    return Node(
        ns,
        Field("profession", "TypeHealthcareProfessional", cs_short("9060")),
        Field("role", "RoleToPatient", cv("9034")),
        _FAMILY,
        _MIDDLE,
        _GIVEN,
        *_rest(inner or ns),
    )


def unit(ns: str) -> Node:
    """An Organisation by itself. MsgHead has the name before the type, felleskomponent1 after it."""
    kind, name = Field("type", "TypeOrganisation", cv("9040")), Field("name", "OrganisationName", STRING)
    order = (name, kind) if ns == names.MSGHEAD else (kind, name)
    return Node(
        ns,
        *order,
        Field("idents", "Ident", IdentPart(ns, UNIT_IDS), many=True),
        Field("address", "Address", _address(ns)),
        Field("telecoms", "TeleCom", _telecom(ns), many=True),
    )


FK1_PERSON = person(names.FK1)
FK1_PROFESSIONAL = professional(names.FK1)
FK1_UNIT = unit(names.FK1)
