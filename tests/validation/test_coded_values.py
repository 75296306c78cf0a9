"""Judging one coded value: the same answer the second time, and nothing kept that should not be."""

from __future__ import annotations

import pytest

from adapter.validation import coded_values
from adapter.validation.coded_values import SOUND, Judged, judge_value
from adapter.validation.names import FK1, MSGHEAD

ROLE = f"{MSGHEAD}RoleToPatient"
LIST = ("S", "2.16.578.1.12.4.1.1.9034")
CODE = [("V", "6"), LIST, ("DN", "Fastlege")]


def kept() -> int:
    return len(coded_values._known)


@pytest.mark.parametrize(
    ("tag", "attributes", "expected"),
    [
        (ROLE, CODE, SOUND),
        (ROLE, CODE[:2], Judged(nameless=True)),
        (ROLE, [("V", "6"), ("DN", "Fastlege")], Judged(incomplete=True)),
        (ROLE, [*CODE, ("OT", " ")], Judged(blank=True)),
        (ROLE, [("V", "no such code"), *CODE[1:]], Judged(unknown=("9034",))),
        (f"{MSGHEAD}Sex", [("V", "7")], Judged(unknown=("3101",))),
        (f"{MSGHEAD}TypeId", [("V", "HER"), ("S", "2.16.578.1.12.4.1.1.9051"), ("DN", "HER-id")], SOUND),
        (f"{MSGHEAD}TypeId", [("V", "FNR"), ("S", "2.16.578.1.12.4.1.1.8116"), ("DN", "x")], Judged(number="FNR")),
        ("TypeId", [("V", "FNR")], Judged(number="FNR")),
        (f"{FK1}TeleAddress", [("V", "tel:55512301")], SOUND),
        (f"{FK1}TeleAddress", [("V", "")], Judged(blank=True)),
        ("{http://www.w3.org/1999/xhtml}p", [("V", "")], SOUND),
    ],
)
def test_a_value_is_judged_alike_however_often_it_comes(
    tag: str, attributes: list[tuple[str, str]], expected: Judged
) -> None:
    for _ in range(3):
        judged = judge_value(tag, attributes)
        assert judged == expected
        assert (judged is SOUND) == (expected is SOUND)


def test_a_her_id_of_a_list_that_has_none_is_told() -> None:
    attributes = [("V", "HER"), ("S", "2.16.578.1.12.4.1.1.9034"), ("DN", "HER-id")]
    assert judge_value(f"{MSGHEAD}TypeId", attributes).other_list


def test_a_code_is_kept_and_found_again() -> None:
    attributes = [("V", "6"), LIST, ("DN", "kept once")]
    before = kept()
    judge_value(ROLE, attributes)
    judge_value(ROLE, attributes)
    assert kept() == before + 1


@pytest.mark.parametrize(
    ("tag", "attributes"),
    [
        (ROLE, [*CODE, ("OT", "what a person wrote")]),
        (ROLE, [("V", "6"), LIST, ("DN", "x" * 1_000)]),
        (f"{FK1}TeleAddress", [("V", "tel:55512301")]),
        (f"{MSGHEAD}DateOfBirth", [("V", "1940-01-01")]),
    ],
)
def test_p21_no_free_text_no_personal_value_and_nothing_long_is_kept(
    tag: str, attributes: list[tuple[str, str]]
) -> None:
    before = kept()
    judge_value(tag, attributes)
    assert kept() == before


def test_what_is_kept_is_bounded() -> None:
    for number in range(coded_values._MOST + 10):
        judge_value(ROLE, [("V", str(number)), LIST, ("DN", "x")])
    assert kept() <= coded_values._MOST
