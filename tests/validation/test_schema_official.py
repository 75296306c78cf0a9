"""Our schemas against the official ones: the same verdict on every real message at hand and on spoilt copies."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path

import pytest
from lxml import etree

from adapter.errors import UnreadableError
from adapter.validation import schema
from adapter.validation.schema import XS, check_schema, needed_namespaces, read_source, schema_root, schema_set
from adapter.xmlio import Element, parse
from tests.validation.schema_samples import every_kind

SHARED = Path(__file__).parents[3] / "shared"
OFFICIAL = SHARED / "reference" / "xsd"
CORPUS = SHARED / "corpus" / "content"
EXPECTED = json.loads((CORPUS / "expected.json").read_text("utf-8")) if CORPUS.is_dir() else {}
pytestmark = pytest.mark.skipif(
    not (OFFICIAL.is_dir() and EXPECTED), reason="the official schemas and messages are not here"
)

PER_KIND = 400
ODD = [
    "",
    " ",
    "x",
    "1",
    "1.2",
    "1..2",
    "true",
    "2026",
    "2026-01-01",
    "2026-11-21T10:00:00Z",
    "24:00:00",
    "1e3",
    "tel:1",
    "a b",
]


def message(file: Path) -> Element | None:
    try:
        root = parse(file.read_bytes())
    except UnreadableError:
        return None
    if etree.QName(root).localname == "EI_fellesformat":
        return next(child for child in root if str(child.tag).endswith("}MsgHead"))
    return root


def corpus() -> dict[str, Element]:
    found = {name: message(CORPUS / name) for name in EXPECTED}
    return {name: root for name, root in found.items() if root is not None and needed_namespaces(root) is not None}


MESSAGES = corpus() if EXPECTED and OFFICIAL.is_dir() else {}
NAMES = [
    f"{{{namespace}}}{element.get('name')}"
    for namespace, path in schema.FILES.items()
    for element in read_source(schema_root() / path, locations_allowed=False).root.iter(f"{XS}element")
    if element.get("name")
]


def verdicts(root: Element) -> tuple[bool, bool] | None:
    needed = needed_namespaces(root)
    if needed is None:
        return None
    ours, official = (schema_set(directory).validator(needed).log(root) for directory in (None, OFFICIAL))
    return not ours, not official


def test_most_of_the_corpus_is_of_kinds_with_a_schema() -> None:
    assert len(MESSAGES) >= 55


@pytest.mark.parametrize("name", MESSAGES)
def test_a_real_message_gets_the_verdict_of_the_official_schemas(name: str) -> None:
    valid = check_schema(MESSAGES[name]) == []
    assert valid == EXPECTED[name]["schema_valid"]
    assert verdicts(MESSAGES[name]) == (valid, valid)


def test_messages_of_other_kinds_are_not_judged() -> None:
    others = [name for name, expected in EXPECTED.items() if expected["readable"] and name not in MESSAGES]
    assert {EXPECTED[name]["kind"] for name in others} == {
        "Innleggelsesrapport", "Konsultasjon", "Message", "OrienteringOmTjenestetilbud",
        "OverforingMedisinskeOpplysninger", "Pasientlogistikk", "TverrfagligEpikrise",
    }  # fmt: skip


def spoil(root: Element, dice: random.Random) -> None:
    """One random change: drop, repeat, move, rename, blank or alter an element or an attribute, or add one."""
    elements = list(root.iter("*"))
    element = dice.choice(elements)
    parent = element.getparent() if element is not root else None
    change = dice.randrange(10)
    if change == 0 and parent is not None:
        parent.remove(element)
    elif change == 1 and parent is not None:
        parent.insert(parent.index(element), copy.deepcopy(element))
    elif change == 2 and parent is not None:
        parent.insert(dice.randrange(len(parent)), element)
    elif change == 3:
        element.tag = dice.choice(NAMES)
    elif change == 4:
        element.tag = dice.choice(elements).tag
    elif change == 5:
        element.text = dice.choice(ODD)
    elif change in (6, 7) and element.attrib:
        name = dice.choice(list(element.attrib))
        element.set(name, dice.choice(ODD)) if change == 6 else element.attrib.pop(name)
    elif change == 8:
        element.set(dice.choice(["V", "S", "DN", "OT", "U", "x", "Id", "Algorithm"]), dice.choice(ODD))
    else:
        element.insert(dice.randrange(len(element) + 1), etree.Element(dice.choice(NAMES)))


@pytest.mark.parametrize("kind", every_kind())
def test_a_spoilt_message_gets_the_verdict_of_the_official_schemas(kind: str) -> None:
    dice = random.Random(kind)
    sample = parse(every_kind()[kind])
    needed = needed_namespaces(sample)
    alike = [sample, *(root for root in MESSAGES.values() if needed_namespaces(root) == needed)]
    counts = {True: 0, False: 0}
    for number in range(PER_KIND):
        root = copy.deepcopy(dice.choice(alike))
        for _ in range(dice.choice([1, 1, 1, 2, 3])):
            spoil(root, dice)
        both = verdicts(root)
        if both is not None:
            assert both[0] == both[1], f"{kind}, change {number}"
            counts[both[0]] += 1
    assert counts[True] > PER_KIND / 20
    assert counts[False] > PER_KIND / 2


@pytest.mark.parametrize("kind", every_kind())
def test_a_fault_is_explained_alike_by_our_schemas_and_the_official_ones(kind: str) -> None:
    dice = random.Random(f"explain {kind}")
    for number in range(25):
        root = parse(every_kind()[kind])
        spoil(root, dice)
        told = [
            [(f.rule, f.path, f.text) for f in check_schema(root, directory=directory) or [] if "form" not in f.text]
            for directory in (None, OFFICIAL)
        ]
        assert told[0] == told[1], f"{kind}, change {number}"


def test_no_file_of_ours_is_one_of_the_official_files() -> None:
    official = {file.read_bytes() for file in OFFICIAL.rglob("*.xsd")}
    assert not official & {file.read_bytes() for file in schema_root().rglob("*.xsd")}
