"""Code systems as data."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from adapter.codes import Coded, codes_of, display_name, known_system, oid, system_number


def test_an_oid_is_the_lists_number_behind_the_national_prefix_both_ways() -> None:
    assert oid(8116) == "2.16.578.1.12.4.1.1.8116"
    assert system_number(oid("9051")) == "9051"
    assert system_number("1.2.3") is None
    assert system_number(None) is None


@pytest.mark.parametrize("system", ["8116", "8117", "8221", "8258", "8279", "8655", "9051", "9060"])
def test_the_lists_that_messages_need_are_carried_with_names(system: str) -> None:
    if not known_system(system):
        pytest.skip(f"list {system} is not carried")
    assert codes_of(system)
    assert all(display_name(system, code) for code in codes_of(system))


def test_the_receipts_lists_are_carried() -> None:
    assert known_system(8221)
    assert known_system(8258)
    assert set(codes_of(8258)) >= {"1", "2"}


def test_an_unknown_list_or_code_has_no_name_and_is_no_error() -> None:
    assert not known_system(1)
    assert display_name(1, "A") is None
    assert display_name(8258, "no such code") is None
    assert codes_of(1) == {}
    assert Coded.of(8258, "no such code").name is None


def test_the_data_file_has_no_empty_names() -> None:
    lists = json.loads((files("adapter") / "data" / "codes.json").read_text("utf-8"))
    assert all(name.strip() for found in lists.values() for name in found["codes"].values())


def test_a_coded_value_shows_name_else_text_else_code() -> None:
    assert Coded.of(8258, "1").shown == display_name(8258, "1")
    assert Coded("X", text="free").shown == "free"
    assert Coded("X").shown == "X"
    assert Coded(None).shown == ""


def test_p21_the_repr_of_a_coded_value_never_shows_free_text_or_an_unknown_code() -> None:
    shown = repr([Coded("13116900216", "8258", "Ola Canary", "Ola Canary"), Coded(None, None, None, "Ola Canary")])
    assert "Canary" not in shown
    assert "13116900216" not in shown
    assert repr(Coded.of(8258, "1")) == "Coded(8258:1)"
