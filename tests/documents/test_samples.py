from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapter.documents import read_facts
from adapter.identifiers import Synthetic, read_national_id
from adapter.validation.schema import check_schema
from adapter.xmlio import parse
from tests.documents.make_samples import SAMPLES, build, document, inputs, read_input
from tests.documents.official import faults, needs_schemas

INPUTS = inputs()
KINDS = {
    "referral",
    "dialogue_question",
    "dialogue_answer",
    "dialogue_note",
    "dialogue_deviation",
    "health_dialogue",
    "referral_status",
    "nav_inquiry",
    "nav_answer",
    "nav_meeting_answer",
}


def test_there_is_an_input_of_every_kind() -> None:
    assert {read_input(file).body.kind for file in INPUTS} == KINDS


@needs_schemas
@pytest.mark.parametrize("file", INPUTS, ids=lambda file: file.stem)
def test_every_input_builds_a_document_that_the_official_schema_accepts(file: Path) -> None:
    assert faults(build(file).root) == []


@pytest.mark.parametrize("file", INPUTS, ids=lambda file: file.stem)
def test_every_sample_document_is_what_the_builder_makes_of_its_input(file: Path) -> None:
    sample = SAMPLES / "good" / f"{file.stem}.xml"
    assert sample.read_bytes() == document(file), "run python -m tests.documents.make_samples"


@pytest.mark.parametrize("file", INPUTS, ids=lambda file: file.stem)
def test_every_built_document_reads_back_as_what_it_is(file: Path) -> None:
    message = read_input(file)
    facts = read_facts(parse(document(file)))
    assert facts.msg_type == message.msg_type
    assert facts.sender is not None
    assert str(message.sender) == (facts.sender.her_id(2) or facts.sender.her_id(1))
    assert len(facts.attachments) == len(message.attachments)
    assert len(facts.copies) == len(message.copies)


@pytest.mark.parametrize("file", INPUTS, ids=lambda file: file.stem)
def test_every_person_number_in_the_inputs_is_synthetic_and_sound(file: Path) -> None:
    numbers = [
        item["id"] for item in _every_object(json.loads(file.read_text("utf-8"))) if item.get("type") in ("FNR", "DNR")
    ]
    assert numbers
    for number in numbers:
        read = read_national_id(number)
        assert read.valid
        assert read.synthetic is Synthetic.YES


def _every_object(value: object) -> list[dict[str, str]]:
    if isinstance(value, dict):
        return [value, *(found for item in value.values() for found in _every_object(item))]
    if isinstance(value, list):
        return [found for item in value for found in _every_object(item)]
    return []


@pytest.mark.parametrize("file", INPUTS, ids=lambda file: file.stem)
def test_every_input_builds_a_document_that_our_schema_accepts(file: Path) -> None:
    assert check_schema(build(file).root) == []
