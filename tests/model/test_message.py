from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import jsonschema
import pytest

from adapter import shapes
from adapter.codes import Coded
from adapter.errors import InputError
from adapter.model.coding import complete
from adapter.model.message import OutgoingMessage, ReceiverChoice, SignerClaim

REFERRAL = {
    "kind": "referral",
    "issued_at": "2026-11-20T10:00:00",
    "document_id": "d-1",
    "content": {"type": "99"},
    "request": {"priority": "N"},
    "responsible": [{"professional": {"family_name": "Vangsnes"}}],
    "reasons": [{"heading": "PROB", "text": "x"}],
}


def message(body: dict[str, object], **more: object) -> OutgoingMessage:
    return shapes.read(OutgoingMessage, {"sender": 1, "receiver": {"her_id": 2}, "body": body, **more})


def test_a_referral_is_new_by_default_and_names_its_referrer() -> None:
    read = message(REFERRAL)
    assert read.msg_type == "HENVISNING_NYTILSTAND"
    assert (read.code_list, read.code) == (None, None)
    assert read.body.kind == "referral"
    assert read.body.service_type == "N"
    assert read.body.responsible[0].relation == "HHE"
    assert read.body.issued_at == datetime(2026, 11, 20, 10)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"kind": "dialogue_question", "type": {"code": "4", "system": "9152"}}, ("DIALOG_FORESPORSEL", "9152", "4")),
        ({"kind": "dialogue_answer", "text": "x"}, ("DIALOG_SVAR", "9069", "5")),
        ({"kind": "dialogue_note", "theme": "1", "text": "x"}, ("DIALOG_NOTAT", "7321", "1")),
        ({"kind": "dialogue_deviation", "theme": "9", "text": "x"}, ("DIALOG_AVVIK", "8117", "9")),
        ({"kind": "health_dialogue", "theme": "6", "text": "x"}, ("DIALOG_HELSEFAGLIG", "7322", "6")),
        ({"kind": "referral_status", "theme": "4", "text": "x"}, ("DIALOG_STATUS_HENVISNING", "9148", "4")),
        ({"kind": "nav_inquiry", "theme": "2", "text": "x"}, ("DIALOG_NOTAT", "8128", "2")),
        ({"kind": "nav_answer", "text": "x"}, ("DIALOG_SVAR", "9069", "5")),
        ({"kind": "nav_meeting_answer", "theme": "3", "text": "x"}, ("DIALOG_SVAR", "8126", "3")),
        ({"kind": "dialogue_note", "theme": {"code": "8", "system": "8127"}}, ("DIALOG_NOTAT", "8127", "8")),
    ],
)
def test_the_body_decides_type_list_and_code(body: dict[str, object], expected: tuple[str, str, str]) -> None:
    read = message(body)
    assert (read.msg_type, read.code_list, read.code) == expected


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"service_type": "X"}, "$.body.service_type"),
        ({"document_id": None}, "$.body.document_id"),
        ({"issued_at": "i går"}, "$.body.issued_at"),
        ({"items": [{"type": "ANAM", "content": {"kind": "drug"}}]}, "$.body.items[0].content"),
        ({"relatives": [{"person": {"name": "x"}}]}, "$.body.relatives[0].person.name"),
    ],
)
def test_an_error_in_the_input_names_its_path_and_no_value(change: dict[str, object], place: str) -> None:
    with pytest.raises(InputError) as caught:
        message({**REFERRAL, **change})
    assert caught.value.where == place
    assert "i går" not in str(caught.value)


def test_a_missing_part_of_a_referral_is_named() -> None:
    with pytest.raises(InputError) as caught:
        message({key: value for key, value in REFERRAL.items() if key != "reasons"})
    assert caught.value.where == "$.body.reasons"


def test_a_receiver_is_chosen_by_municipality_and_service() -> None:
    choice = shapes.read(ReceiverChoice, {"municipality": "9901", "service_code": "KX04"})
    assert (choice.service_list, choice.her_id) == (8663, None)


def test_p21_a_signer_never_shows_the_number() -> None:
    assert "14836831285" not in repr(SignerClaim(key="lege", fnr="14836831285"))


@pytest.mark.parametrize(
    ("value", "system", "full"),
    [
        ("N", "8306", Coded("N", "8306", "Elektiv/Ordinær (elektiv)")),
        (Coded("N"), "8306", Coded("N", "8306", "Elektiv/Ordinær (elektiv)")),
        (Coded("N", None, "Eget navn"), "8306", Coded("N", "8306", "Eget navn")),
        ("ukjent", "8306", Coded("ukjent", "8306")),
        ("x", None, Coded("x")),
        (Coded("T90", "7170"), None, Coded("T90", "7170")),
        (Coded(None, None, None, "Fritekst"), "8231", Coded(None, "8231", None, "Fritekst")),
    ],
)
def test_a_coded_value_gets_what_its_field_knows(value: str | Coded, system: str | None, full: Coded) -> None:
    assert complete(value, system) == full


def test_the_exported_schema_closes_every_object_and_knows_every_body() -> None:
    schema = shapes.json_schema(OutgoingMessage, "message")
    shapes_known = schema["$defs"]
    assert all(part["additionalProperties"] is False for part in shapes_known.values())
    assert len(shapes_known["OutgoingMessage"]["properties"]["body"]["anyOf"]) == 10
    assert "text" in shapes_known["NavInquiry"]["properties"]


def test_every_input_example_keeps_the_exported_schema() -> None:
    schema = shapes.json_schema(OutgoingMessage, "message")
    judge = jsonschema.validators.validator_for(schema)
    judge.check_schema(schema)
    for file in sorted((Path(__file__).parents[2] / "samples" / "json").glob("*.json")):
        judge(schema).validate(json.loads(file.read_text("utf-8")))
    with pytest.raises(jsonschema.ValidationError):
        judge(schema).validate({"sender": 1, "receiver": {"herid": 2}, "body": REFERRAL})
