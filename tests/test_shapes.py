"""Plain data to dataclasses and back: errors name the path, the schema says the same as the reading."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter import shapes
from adapter.errors import InputError
from adapter.model.message import OutgoingMessage


class Colour(StrEnum):
    RED = "red"
    ONE = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A leaf.

    Not part of the description.
    """

    name: str
    size: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cat:
    kind: Literal["cat"] = "cat"
    lives: int = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Dog:
    kind: Literal["dog"] = "dog"
    tricks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    leaf: Leaf
    leaves: tuple[Leaf, ...] = ()
    height: float = 1.0
    alive: bool = True
    planted: date | None = None
    seen: datetime | None = None
    photo: bytes | None = None
    colour: Colour = Colour.RED
    rank: Literal[1, 2] = 1
    guest: Cat | Dog | None = None
    tag: int | str | None = None
    notes: Mapping[str, int] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)


LEAF = {"name": "x"}
SCHEMA = shapes.json_schema(Tree, "tree")
GOOD: list[dict[str, Any]] = [
    {},
    {"leaves": [LEAF, {"name": "y", "size": 5}]},
    {"leaf": {"name": "x", "size": 5.0}},
    {"height": 3, "alive": False, "colour": "1", "rank": 2},
    {"planted": "2026-02-28", "seen": "2026-02-28T12:00:00"},
    {"seen": "2026-02-28T12:00"},
    {"seen": "2026-02-28T12:00:00.25+01:00"},
    {"seen": "2026-02-28T12:00:00Z"},
    {"planted": None, "guest": None, "photo": None, "tag": None},
    {"photo": ""},
    {"photo": "AA=="},
    {"photo": "AAECAwQ="},
    {"guest": {"kind": "cat", "lives": 7}},
    {"guest": {"kind": "dog", "tricks": ["sit"]}},
    {"tag": 5},
    {"tag": "five"},
    {"notes": {"a": 1}, "extra": {"a": [1, {"b": None}]}},
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"leaf": None}, "$.leaf"),
    ({"leaf": []}, "$.leaf"),
    ({"leaf": {}}, "$.leaf.name"),
    ({"leaf": {"name": 5}}, "$.leaf.name"),
    ({"leaf": {"name": "x", "size": "5"}}, "$.leaf.size"),
    ({"leaf": {"name": "x", "size": 5.5}}, "$.leaf.size"),
    ({"leaf": {"name": "x", "size": True}}, "$.leaf.size"),
    ({"leaf": {"nane": "x"}}, "$.leaf.nane"),
    ({"leaves": LEAF}, "$.leaves"),
    ({"leaves": [LEAF, {"name": 1}]}, "$.leaves[1].name"),
    ({"height": "3"}, "$.height"),
    ({"height": True}, "$.height"),
    ({"alive": 1}, "$.alive"),
    ({"planted": "28.02.2026"}, "$.planted"),
    ({"planted": "2026-W09-6"}, "$.planted"),
    ({"planted": "20260228"}, "$.planted"),
    ({"planted": 20260228}, "$.planted"),
    ({"seen": "2026-02-28"}, "$.seen"),
    ({"seen": "20260228T120000"}, "$.seen"),
    ({"seen": "2026-02-28 12:00:00"}, "$.seen"),
    ({"photo": "A"}, "$.photo"),
    ({"photo": "AAAA="}, "$.photo"),
    ({"photo": "AA AA==="}, "$.photo"),
    ({"photo": "ååå="}, "$.photo"),
    ({"photo": 5}, "$.photo"),
    ({"colour": "blue"}, "$.colour"),
    ({"colour": 1}, "$.colour"),
    ({"rank": 3}, "$.rank"),
    ({"rank": "1"}, "$.rank"),
    ({"rank": True}, "$.rank"),
    ({"guest": {"kind": "cow"}}, "$.guest"),
    ({"guest": {"lives": 7}}, "$.guest"),
    ({"guest": "cat"}, "$.guest"),
    ({"guest": {"kind": "cat", "tricks": []}}, "$.guest.tricks"),
    ({"guest": {"kind": "cat", "lives": "many"}}, "$.guest.lives"),
    ({"tag": []}, "$.tag"),
    ({"notes": []}, "$.notes"),
    ({"notes": {"a": "b"}}, "$.notes.a"),
    ({"unknown": 1}, "$.unknown"),
]


def _agrees(plain: object) -> bool:
    valid: bool = jsonschema.Draft202012Validator(SCHEMA).is_valid(plain)
    return valid


@pytest.mark.parametrize("more", GOOD, ids=str)
def test_what_is_read_the_schema_allows(more: dict[str, Any]) -> None:
    plain = {"leaf": LEAF, **more}
    assert isinstance(shapes.read(Tree, plain), Tree)
    assert _agrees(plain)


@pytest.mark.parametrize(("more", "where"), BAD, ids=str)
def test_what_is_refused_names_its_path_and_the_schema_refuses_it_too(more: dict[str, Any], where: str) -> None:
    plain = {"leaf": LEAF, **more}
    with pytest.raises(InputError) as caught:
        shapes.read(Tree, plain)
    assert caught.value.where == where
    assert not _agrees(plain)


def test_the_schema_itself_is_valid_and_describes() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$defs"]["Leaf"]["description"] == "A leaf."
    assert SCHEMA["$defs"]["Leaf"]["required"] == ["name"]


def test_a_date_that_does_not_exist_is_refused() -> None:
    for more in ({"planted": "2026-02-30"}, {"seen": "2026-02-28T25:00:00"}):
        with pytest.raises(InputError, match="is expected") as caught:
            shapes.read(Tree, {"leaf": LEAF, **more})
        assert caught.value.cure


def test_an_unknown_field_names_the_nearest_known_one() -> None:
    with pytest.raises(InputError) as caught:
        shapes.read(Tree, {"leaf": LEAF, "heigth": 1})
    assert caught.value.cure == "did you mean 'height'?"
    with pytest.raises(InputError) as caught:
        shapes.read(Leaf, {"zzz": 1}, "input")
    assert (caught.value.where, caught.value.cure) == ("input.zzz", "known here: name, size")


def test_p21_neither_a_value_nor_an_odd_key_is_ever_shown() -> None:
    canary = "Ola Canary 13116900216"
    tries: list[dict[str, Any]] = [
        {"leaf": canary},
        {"leaf": {"name": "x", "size": canary}},
        {"leaf": LEAF, canary: 1},
        {"leaf": LEAF, "notes": {canary: canary}},
        *({"leaf": LEAF, name: canary} for name in ("height", "alive", "planted", "seen", "photo", "colour", "rank")),
        *({"leaf": LEAF, name: {"kind": canary}} for name in ("guest", "tag")),
    ]
    for plain in tries:
        with pytest.raises(InputError) as caught:
            shapes.read(Tree, plain)
        assert "Canary" not in str(caught.value)
        assert "13116900216" not in str(caught.value)


def test_values_that_are_typed_already_are_taken_as_they_are() -> None:
    tree = shapes.read(
        Tree,
        {
            "leaf": LEAF,
            "planted": date(2026, 1, 2),
            "seen": datetime(2026, 1, 2, 3),
            "photo": b"x",
            "colour": Colour.RED,
        },
    )
    assert (tree.planted, tree.seen, tree.photo) == (date(2026, 1, 2), datetime(2026, 1, 2, 3), b"x")
    with pytest.raises(InputError):
        shapes.read(Tree, {"leaf": LEAF, "planted": datetime(2026, 1, 2, 3)})


_trees = st.builds(
    Tree,
    leaf=st.builds(Leaf, name=st.text(), size=st.integers()),
    leaves=st.lists(st.builds(Leaf, name=st.text()), max_size=3).map(tuple),
    height=st.floats(allow_nan=False, allow_infinity=False),
    alive=st.booleans(),
    planted=st.none() | st.dates(),
    seen=st.none() | st.datetimes(),
    photo=st.none() | st.binary(),
    colour=st.sampled_from(Colour),
    rank=st.sampled_from([1, 2]),
    guest=st.none() | st.builds(Cat, lives=st.integers()) | st.builds(Dog, tricks=st.lists(st.text()).map(tuple)),
    tag=st.none() | st.integers() | st.text(),
    notes=st.dictionaries(st.text(), st.integers(), max_size=3),
    extra=st.just({}),
)


@settings(max_examples=100, deadline=None)
@given(_trees)
def test_what_is_written_is_read_back_the_same_and_fits_the_schema(tree: Tree) -> None:
    plain = json.loads(json.dumps(shapes.plain(tree)))
    assert shapes.read(Tree, plain) == tree
    assert _agrees(plain)


def test_the_schema_of_the_messages_asks_for_the_kind_of_the_body() -> None:
    schema = shapes.json_schema(OutgoingMessage, "message")
    jsonschema.Draft202012Validator.check_schema(schema)
    options = schema["$defs"]["OutgoingMessage"]["properties"]["body"]["anyOf"]
    assert len(options) > 5
    assert all(option["required"] == ["kind"] for option in options)
