"""HER-id, organisation number, national ids, HPR, message ids: the vectors of the public rules (HIS 1001:2010)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from adapter.errors import IdentifierError
from adapter.identifiers import (
    NationalIdKind,
    Synthetic,
    is_message_id,
    read_her_id,
    read_hpr_number,
    read_national_id,
    read_org_number,
)

# KITH's published test actors.
FNR = [
    "15076500565",
    "21016400952",
    "12057900499",
    "13116900216",
    "14019800513",
    "05073500186",
    "02039000183",
    "08077000292",
    "15040650560",
    "21030550231",
    "03117800252",
    "19095800273",
    "19128600143",
    "14077700162",
]


@pytest.mark.parametrize("digits", FNR)
def test_the_test_actors_numbers_are_valid(digits: str) -> None:
    found = read_national_id(f" {digits} ")
    assert (found.kind, found.valid, found.synthetic) == (NationalIdKind.FNR, True, Synthetic.NO)
    assert found.born is not None
    assert found.born.strftime("%d%m%y") == digits[:6]


def test_a_d_number_has_its_day_moved_and_may_be_from_the_nineteenth_century() -> None:
    found = read_national_id("70019950032")
    assert (found.kind, found.valid, found.born) == (NationalIdKind.DNR, True, date(1899, 1, 30))


@pytest.mark.parametrize("digits", ["80001443511", "80008117075", "80008621423"])
def test_a_common_help_number_has_check_digits_and_no_birth_date(digits: str) -> None:
    found = read_national_id(digits)
    assert (found.kind, found.valid, found.born) == (NationalIdKind.FHN, True, None)
    assert not read_national_id(digits[:10] + str((int(digits[10]) + 1) % 10)).valid


def test_a_local_help_number_with_wrong_digits_is_read_and_judged_not_refused() -> None:
    found = read_national_id("25436000305")
    assert (found.kind, found.valid, found.synthetic) == (NationalIdKind.HNR, False, Synthetic.MAYBE)
    assert found.born == date(1960, 3, 25)


@pytest.mark.parametrize(("digits", "valid"), [("02013299997", True), ("30108299920", True), ("30108299939", True)])
def test_the_check_digits_of_2032_are_valid_already(digits: str, valid: bool) -> None:
    assert read_national_id(digits).valid is valid


def test_a_number_that_only_the_rule_of_2032_explains_has_no_known_birth_date() -> None:
    assert read_national_id("30108299939").born == date(1982, 10, 30)
    assert read_national_id("01015080096").born is None  # 800 with year 50: no century by the old rule
    assert read_national_id("01010050096").born == date(2000, 1, 1)
    assert read_national_id("01016050096").born == date(1860, 1, 1)
    assert read_national_id("01014095096").born == date(1940, 1, 1)


@pytest.mark.parametrize(
    ("first_six", "kind", "synthetic", "born"),
    [
        ("018190", NationalIdKind.FNR, Synthetic.YES, date(1990, 1, 1)),
        ("019290", NationalIdKind.FNR, Synthetic.YES, date(1990, 12, 1)),
        ("016690", NationalIdKind.FNR, Synthetic.YES, date(1990, 1, 1)),
        ("317790", NationalIdKind.FNR, Synthetic.YES, date(1990, 12, 31)),
        ("014190", NationalIdKind.HNR, Synthetic.MAYBE, date(1990, 1, 1)),
        ("015290", NationalIdKind.HNR, Synthetic.MAYBE, date(1990, 12, 1)),
        ("418190", NationalIdKind.DNR, Synthetic.YES, date(1990, 1, 1)),
        ("414190", NationalIdKind.DNR, Synthetic.MAYBE, date(1990, 1, 1)),
        ("010190", NationalIdKind.FNR, Synthetic.NO, date(1990, 1, 1)),
        ("710190", NationalIdKind.DNR, Synthetic.NO, date(1990, 1, 31)),
    ],
)
def test_synthetic_populations_are_known_by_the_month(
    first_six: str, kind: NationalIdKind, synthetic: Synthetic, born: date
) -> None:
    found = read_national_id(first_six + "00000")
    assert (found.kind, found.synthetic, found.born) == (kind, synthetic, born)


def test_the_sample_of_the_health_networks_test_persons_is_valid() -> None:
    found = read_national_id("31777207884")
    assert (found.valid, found.synthetic, found.born) == (True, Synthetic.YES, date(1972, 12, 31))


@pytest.mark.parametrize("digits", ["00010190000", "32010190000", "01130190000", "30029000000", "01590190000"])
def test_a_date_that_does_not_exist_makes_a_number_invalid(digits: str) -> None:
    found = read_national_id(digits)
    assert (found.valid, found.born) == (False, None)


@pytest.mark.parametrize("position", range(11))
def test_one_wrong_digit_is_noticed(position: int) -> None:
    wrong = [
        read_national_id(FNR[0][:position] + str(digit) + FNR[0][position + 1 :]).valid
        for digit in range(10)
        if str(digit) != FNR[0][position]
    ]
    assert sum(wrong) <= 3  # the rule of 2032 lets up to three neighbours of the first check digit through


@pytest.mark.parametrize("text", ["889640782", "974793539", "971318864", "883974832", "974744570", "974 793 539"])
def test_published_organisation_numbers_are_valid(text: str) -> None:
    assert read_org_number(text) == text.replace(" ", "")


@pytest.mark.parametrize("text", ["9144889", "9144897", "9999966", "9999967", "1", " 123456789 "])
def test_hpr_numbers_have_one_to_nine_digits(text: str) -> None:
    assert read_hpr_number(text) == text.strip()


@pytest.mark.parametrize(
    ("text", "value"), [("59", 59), (8142520, 8142520), (" 258.521 ", 258521), ("2147483647", 2147483647), ("007", 7)]
)
def test_her_ids_are_whole_numbers_with_the_dots_of_old_files(text: str | int, value: int) -> None:
    assert read_her_id(text) == value


REFUSED: list[tuple[Callable[[str, str], object], str]] = [
    (read_her_id, text)
    for text in (
        "",
        "0",
        "-1",
        "abc",
        "2147483648",
        "12345678901",
        "0" * 10 + "12345678901234",
        "٣٤",
        "1e3",
        "9" * 5000,
    )
]
REFUSED += [(read_org_number, text) for text in ("", "88964078", "8896407822", "889640783", "١٢٣٤٥٦٧٨٩", "800000070")]
REFUSED += [(read_hpr_number, text) for text in ("", "1234567890", "12a", "-1")]
REFUSED += [(read_national_id, text) for text in ("", "1507650056", "150765005655", "1507650056x", "150765 00565")]


@pytest.mark.parametrize(("read", "text"), REFUSED)
def test_p21_what_has_not_the_form_is_refused_without_showing_it(read: Callable[[str, str], object], text: str) -> None:
    with pytest.raises(IdentifierError) as caught:
        read(text, "$.patient.id")
    assert caught.value.where == "$.patient.id"
    assert caught.value.code == "IDENTIFIER"
    if len(text) > 5:
        assert text not in str(caught.value)


def test_p21_a_national_id_hides_its_digits() -> None:
    found = read_national_id(FNR[0])
    assert FNR[0] not in repr(found)
    assert FNR[0] not in str(found)
    assert FNR[0] not in f"{[found]}"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("8c661668-c412-4c14-b12e-0123456789ab", True),
        ("8C661668-C412-4C14-B12E-0123456789AB", True),
        ("8c661668-c412-4c14-bl2e-0123456789ab", False),  # the malformed one of the acceptance tests (E10)
        ("{8c661668-c412-4c14-b12e-0123456789ab}", False),
        ("8c661668c4124c14b12e0123456789ab", False),
        ("8c661668-c412-4c14-b12e-0123456789ab\n", False),
        ("", False),
        (None, False),
    ],
)
def test_a_message_id_is_a_uuid_in_five_groups(text: str | None, right: bool) -> None:
    assert is_message_id(text) is right
