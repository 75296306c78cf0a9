"""samples/: what is in the folder is what its makers make."""

from __future__ import annotations

import json

import pytest

from adapter.simulator.world import World
from tests.cli.conftest import SAMPLES
from tests.cli.make_bad_samples import MAKERS, document


@pytest.mark.parametrize("name", MAKERS)
def test_every_bad_sample_is_the_good_one_with_its_fault(name: str) -> None:
    assert (SAMPLES / "bad" / f"{name}.xml").read_bytes() == document(name), "run python -m tests.cli.make_bad_samples"


def test_the_example_address_book_is_the_simulated_worlds() -> None:
    book = json.loads((SAMPLES / "addressbook.json").read_text("utf-8"))
    world = World().address_book()
    assert book["parties"] == world["parties"]
    assert book["environment"] == "test"
    assert {name: her_id for name, her_id in book["municipalities"].items() if name != "dated"} == {
        name: her_id for name, her_id in world["municipalities"].items() if name != "dated"
    }


def test_the_readme_names_every_folder() -> None:
    text = (SAMPLES / "README.md").read_text("utf-8")
    for entry in SAMPLES.iterdir():
        assert entry.name in text or entry.name == "README.md"
