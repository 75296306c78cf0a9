"""Finding the receiver in the address book (P24)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from adapter.errors import AmbiguousError, NotFoundError
from adapter.model.partner import AddressBook, PartyType, RegisterEntry, ServiceType

AT = datetime(2026, 3, 2, tzinfo=UTC)
KX04 = ServiceType(code_list=8663, code="KX04")


def _entry(her_id: int, type_: PartyType = PartyType.SERVICE, **more: Any) -> RegisterEntry:
    return RegisterEntry(
        **{"her_id": her_id, "type": type_, "name": f"n{her_id}", "display_name": f"d{her_id}", **more}
    )


BOOK = AddressBook(
    entries={
        entry.her_id: entry
        for entry in (
            _entry(10, PartyType.ORGANIZATION, organisation_number="974793539"),
            _entry(11, parent_her_id=10, service_type=KX04, organisation_number="974793539"),
            _entry(12, parent_her_id=10, service_type=ServiceType(code_list=8663, code="KA01")),
            _entry(13, PartyType.PERSON, parent_her_id=10, hpr_number="9144889", family_name="Lin", given_name="Rita"),
            _entry(20, PartyType.ORGANIZATION),
            _entry(21, parent_her_id=20, service_type=KX04, municipality_her_ids=(30,)),
            _entry(30, PartyType.ORGANIZATION),
            _entry(40, PartyType.ORGANIZATION),
            _entry(41, parent_her_id=40, service_type=KX04),
            _entry(42, parent_her_id=40, service_type=KX04),
            _entry(50, parent_her_id=99, parent_name="Not in the book", organisation_number="971318864"),
            _entry(60, service_type=KX04),
        )
    },
    municipalities={"0301": 10, "1103": 30, "4601": 40},
)


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ({"organisation": 10}, 11),
        ({"organisation_number": "974793539"}, 11),
        ({"municipality": "0301"}, 11),
        ({"organisation": 20}, 21),
        ({"municipality": "1103"}, 21),  # its neighbour's service covers it: interMunicipalityCoverageArea
        ({"organisation": 30}, 21),
    ],
)
def test_p24_the_one_service_of_a_place_is_found(place: dict[str, Any], found: int) -> None:
    assert BOOK.find_service(KX04, at=AT, **place).her_id == found


@pytest.mark.parametrize(
    "place", [{"organisation": 99}, {"organisation_number": "999999999"}, {"municipality": "9999"}, {}]
)
def test_p24_no_service_is_an_error_with_a_hint(place: dict[str, Any]) -> None:
    with pytest.raises(NotFoundError):
        BOOK.find_service(KX04, at=AT, **place)


def test_p24_several_services_are_an_error_that_lists_them() -> None:
    with pytest.raises(AmbiguousError, match="41 d41, 42 d42") as caught:
        BOOK.find_service(KX04, at=AT, municipality="4601")
    assert caught.value.cure


def test_p24_the_code_list_counts_and_only_services_are_found() -> None:
    with pytest.raises(NotFoundError):
        BOOK.find_service(ServiceType(code_list=8666, code="KX04"), at=AT, organisation=10)
    person = replace(BOOK.entries[13], service_type=KX04)
    book = AddressBook(entries={13: person})
    with pytest.raises(NotFoundError):
        book.find_service(KX04, at=AT, organisation=10)


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "valid"),
    [
        (None, None, True),
        (AT, None, True),
        (datetime(2026, 3, 3, tzinfo=UTC), None, False),
        (None, datetime(2026, 3, 3, tzinfo=UTC), True),
        (None, AT, False),
    ],
)
def test_p24_an_entry_counts_while_it_is_valid(
    valid_from: datetime | None, valid_to: datetime | None, valid: bool
) -> None:
    entry = replace(BOOK.entries[11], valid_from=valid_from, valid_to=valid_to)
    assert entry.valid_at(AT) is valid
    book = AddressBook(entries={11: entry, 61: replace(entry, her_id=61, valid_from=None, valid_to=None)})
    if valid:
        with pytest.raises(AmbiguousError):
            book.find_service(KX04, at=AT, organisation=10)
    else:
        assert book.find_service(KX04, at=AT, organisation=10).her_id == 61


def test_an_unknown_her_id_is_an_error() -> None:
    with pytest.raises(NotFoundError, match="HER-id 7"):
        BOOK.find(7)
    assert BOOK.find(11).display_name == "d11"


def test_p24_a_service_has_both_levels_from_the_register() -> None:
    party = BOOK.party(11)
    assert (party.organisation.name, party.organisation.ident("HER"), party.organisation.ident("ENH")) == (
        "d10",
        "10",
        "974793539",
    )
    assert party.service is not None
    assert (party.service.name, party.her_id(2), party.her_id(1), party.person) == ("d11", "11", "10", None)


def test_p24_a_person_has_her_id_hpr_number_and_the_organisation_above() -> None:
    party = BOOK.party(13)
    assert party.person is not None
    assert (party.person.family_name, party.her_id(2), party.service) == ("Lin", "13", None)
    assert [(ident.type, ident.id) for ident in party.person.idents] == [("HER", "13"), ("HPR", "9144889")]


def test_p24_an_organisation_stands_alone_and_a_parent_may_be_known_by_name_only() -> None:
    party = BOOK.party(10)
    assert (party.her_id(1), party.her_id(2), party.service, party.person) == ("10", None, None, None)
    above = BOOK.party(50).organisation
    assert (above.name, above.ident("HER"), above.ident("ENH")) == ("Not in the book", "99", "971318864")


def test_a_service_without_an_organisation_is_an_error() -> None:
    with pytest.raises(NotFoundError, match="no organisation above"):
        BOOK.party(60)
