from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, cast

import pytest

from adapter import shapes
from adapter.documents import attachment_bytes, build_document, read_facts, read_message, read_theme
from adapter.model.message import Body
from adapter.validation.schema import check_schema
from adapter.xmlio import parse, serialise, splice
from tests.documents import everything
from tests.documents.official import faults, needs_schemas

TIME = "2026-11-20T10:00:05"
IDS = [f"{body.kind}{'-formatted' if getattr(body, 'xhtml', None) else ''}" for body in everything.BODIES]
bodies = pytest.mark.parametrize("body", everything.BODIES, ids=IDS)


def document(body: Body) -> bytes:
    built = build_document(everything.message(body), everything.head())
    return splice(serialise(built.root), built.markers, built.attachments)


def content(body: Body) -> dict[str, Any]:
    root = parse(document(body))
    return read_message(root, read_facts(root))


def as_input(body: Body, found: dict[str, Any]) -> Body:
    """The body that was read, as input again: the same words in JSON form."""
    if body.kind == "referral":
        plain = dict(found)
    else:
        (plain,) = found["questions"] or found["notes"]
        plain = {**plain, "kind": body.kind}
        if "xhtml" in plain:
            del plain["text"]
    return cast(Body, shapes.read(type(body), plain))


@bodies
def test_everything_that_is_built_is_read_again(body: Body) -> None:
    first = document(body)
    again = document(as_input(body, content(body)["body"]))
    assert again == first


@bodies
@needs_schemas
def test_a_body_with_every_field_is_valid_by_the_official_schema(body: Body) -> None:
    assert faults(parse(document(body))) == []


def objects(value: object) -> Iterator[Any]:
    if is_dataclass(value):
        yield value
        for field in fields(value):
            yield from objects(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from objects(item)


def test_the_round_trip_covers_every_field_of_every_word() -> None:
    """A field that is empty everywhere would not be tested by the round trip."""
    filled: dict[str, set[str]] = {}
    known: dict[str, set[str]] = {}
    for item in objects(everything.BODIES):
        name = type(item).__name__
        known.setdefault(name, {field.name for field in fields(item)})
        values = {field.name for field in fields(item) if getattr(item, field.name) not in (None, ())}
        filled.setdefault(name, set()).update(values)
    missing = {name: known[name] - filled[name] for name in known if known[name] - filled[name]}
    notes = {name for name in known if "xhtml" in known[name]}
    for name in notes - {"HealthDialogue"}:
        missing[name].discard("xhtml")
    missing.get("Coded", set()).discard("text")
    assert {name: gap for name, gap in missing.items() if gap} == {}


@bodies
def test_head_people_and_attachments_are_read_again(body: Body) -> None:
    root = parse(document(body))
    facts = read_facts(root)
    message = everything.message(body)
    found = read_message(root, facts)
    assert facts.conversation == message.conversation
    assert facts.processing_status == "P"
    assert facts.gen_date == "2026-11-20T10:00:05"
    assert facts.patient is not None
    assert facts.patient.family_name == "Fjellbekk"
    assert facts.patient.middle_name == "Ŋuov"
    assert facts.patient.born == everything.PATIENT.born
    assert facts.patient.address == everything.ADDRESS
    assert facts.patient.telecoms == everything.PATIENT.telecoms
    assert facts.sender is not None
    assert facts.sender.organisation.type is not None
    assert facts.sender.organisation.type.name == "Fastlege"
    assert [ident.id for ident in facts.sender.organisation.idents] == ["8091601", "311045202"]
    assert [attachment_bytes(item) for item in facts.attachments] == [item.content for item in message.attachments]
    assert found["attachments"] == [
        {"index": 0, "mime_type": "application/pdf", "description": "Brev", "written_at": TIME, "base64_chars": 8},
        {"index": 1, "mime_type": "image/png", "description": "Bilde", "written_at": TIME, "base64_chars": 8},
    ]
    assert len(cast("list[object]", found["copies"])) == 1


@bodies
def test_the_theme_names_the_process_of_a_message(body: Body) -> None:
    root = parse(document(body))
    theme = read_theme(read_facts(root))
    message = everything.message(body)
    assert (theme.system if theme else None, theme.code if theme else None) == (message.code_list, message.code)


@bodies
def test_the_json_form_of_a_message_is_the_message(body: Body) -> None:
    message = everything.message(body)
    assert shapes.read(type(message), shapes.plain(message)) == message


def test_formatted_text_comes_cleaned_beside_its_plain_form() -> None:
    note = content(everything.FORMATTED)["body"]["notes"][0]
    assert note["text"] == "Møt kl. 10\nTimer"
    assert note["xhtml"].startswith('<div xmlns="http://www.w3.org/1999/xhtml"><p>Møt <b>kl. 10</b></p><table>')


def test_messages_to_nav_are_known_by_their_process() -> None:
    names = {body.kind: content(body)["body"].get("nav_process") for body in everything.DIALOGUES}
    assert names["nav_inquiry"] == "Henvendelse"
    assert names["nav_meeting_answer"] == "MoteRespons"
    assert names["dialogue_note"] is None


@bodies
def test_a_body_with_every_field_is_valid_by_our_schema(body: Body) -> None:
    assert check_schema(parse(document(body))) == []
