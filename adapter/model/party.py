"""Who writes, who receives and whom it is about. Frozen words without behaviour.

Level 1 is the legal unit, level 2 a service or (for doctors only) a person below it; both have a HER-id
(HIS 1153-2:2016 AD2.1–2.15).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from adapter.codes import Coded


@dataclass(frozen=True, slots=True, kw_only=True)
class Ident:
    """An identifier with its type: ``type`` from list 8116 (persons) or 9051 (units); ``system`` that list's number."""

    id: str
    type: str
    system: str = "9051"
    name: str | None = None

    def __repr__(self) -> str:  # a person's number must not reach a log through a repr (P21)
        return f"Ident({self.type})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Telecom:
    """``address`` with scheme (``tel:``, ``mailto:``); ``type`` from list 9061."""

    address: str
    type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Address:
    """``type`` from list 3401 (RES, PST …); postal code four digits."""

    type: str | None = None
    street: str | None = None
    postal_code: str | None = None
    city: str | None = None
    postbox: str | None = None
    county: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Person:
    """A human being as a standard's Person element has it."""

    family_name: str | None = None
    given_name: str | None = None
    middle_name: str | None = None
    born: date | None = None
    sex: str | None = None  # 3101: 1 man, 2 woman, 0 unknown, 9 not specified
    nationality: str | None = None
    idents: tuple[Ident, ...] = ()
    address: Address | None = None
    telecoms: tuple[Telecom, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Patient(Person):
    """The patient. Sufficient are name and FNR, DNR or FHN, else name, birth date and sex (HIS 80415:2012, 3.3.4)."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Professional(Person):
    """A health professional: ``profession`` from list 9060, ``role`` to the patient from list 9034."""

    profession: str | None = None
    role: Coded | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """An organisation or a service: name, identifiers (first one decides in a receipt), contact."""

    name: str
    idents: tuple[Ident, ...] = ()
    type: Coded | None = None
    address: Address | None = None
    telecoms: tuple[Telecom, ...] = ()

    def ident(self, type_: str) -> str | None:
        """The first identifier of that type."""
        return next((ident.id for ident in self.idents if ident.type == type_), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A communication party with both levels; ``service`` and ``person`` are alternatives (AD2.8)."""

    organisation: Unit
    service: Unit | None = None
    person: Professional | None = None

    def her_id(self, level: int) -> str | None:
        """The HER-id as written at level 1 or 2, None when it is not there. At level 2 the service's comes first."""
        if level == 1:
            return self.organisation.ident("HER")
        if self.service is not None and (number := self.service.ident("HER")) is not None:
            return number
        if self.person is not None:
            return next((ident.id for ident in self.person.idents if ident.type == "HER"), None)
        return None
