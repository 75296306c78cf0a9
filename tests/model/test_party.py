"""Parties, persons and units: what is found in them, and what their repr never shows (P21)."""

from __future__ import annotations

from datetime import date

from adapter.codes import Coded
from adapter.model.party import Address, Ident, Party, Patient, Person, Professional, Telecom, Unit

HER = Ident(id="10", type="HER")


def test_the_level_two_her_id_is_the_services_before_the_persons() -> None:
    unit = Unit(name="Level 1", idents=(Ident(id="974793539", type="ENH"), HER))
    service = Unit(name="Level 2", idents=(Ident(id="11", type="HER"),))
    person = Professional(idents=(Ident(id="9144889", type="HPR"), Ident(id="12", type="HER")))
    assert Party(organisation=unit, service=service, person=person).her_id(2) == "11"
    assert Party(organisation=unit, service=Unit(name="no id"), person=person).her_id(2) == "12"
    assert Party(organisation=unit, person=person).her_id(2) == "12"
    assert Party(organisation=unit, person=Professional()).her_id(2) is None
    assert Party(organisation=unit).her_id(2) is None
    assert Party(organisation=unit, service=service).her_id(1) == "10"
    assert Party(organisation=Unit(name="none")).her_id(1) is None


def test_the_first_identifier_of_a_type_decides() -> None:
    unit = Unit(name="x", idents=(Ident(id="1", type="HER"), Ident(id="2", type="HER")))
    assert unit.ident("HER") == "1"
    assert unit.ident("ENH") is None


def test_p21_no_repr_shows_a_person() -> None:
    canary = "Canary"
    ident = Ident(id="13116900216", type="FNR", system="8116", name=canary)
    address = Address(type="RES", street=canary, postal_code="0001", city=canary)
    telecom = Telecom(address=f"tel:{canary}")
    every = {
        "family_name": canary,
        "given_name": canary,
        "middle_name": canary,
        "born": date(1969, 11, 13),
        "nationality": canary,
        "idents": (ident,),
        "address": address,
        "telecoms": (telecom,),
    }
    people = [
        Person(**every),  # type: ignore[arg-type]
        Patient(**every),  # type: ignore[arg-type]
        Professional(**every, profession=canary, role=Coded(None, text=canary)),  # type: ignore[arg-type]
    ]
    unit = Unit(name="Legekontoret", idents=(ident,), address=address, telecoms=(telecom,))
    for shown in (
        repr([ident, address, telecom, unit, *people]),
        str(people[2]),
        f"{Party(organisation=unit, person=people[2])!r}",
    ):  # type: ignore[arg-type]
        assert canary not in shown
        assert "13116900216" not in shown
        assert "1969" not in shown
