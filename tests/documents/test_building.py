from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from adapter import shapes
from adapter.codes import Coded
from adapter.documents import build_document
from adapter.documents.tables import Node
from adapter.documents.tables_dialogue import NOTES, QUESTIONS
from adapter.documents.tables_referral import REFERRAL
from adapter.errors import InputError
from adapter.model import dialogue, party, referral
from adapter.model.dialogue import DialogueNote, HealthDialogue
from adapter.model.message import Attachment, Body, OutgoingMessage
from adapter.model.party import Patient
from adapter.model.referral import Quantity
from adapter.xmlio import canonical, parse, serialise
from tests.documents import everything
from tests.documents.everything import REFERRAL as FULL
from tests.documents.everything import head, message
from tests.documents.make_samples import inputs, read_input


def texts(body: Body, name: str, **more: object) -> list[str | None]:
    root = build_document(message(body, **more), head()).root
    return [element.text for element in root.iter(f"{{*}}{name}")]


def refusal(body: Body, **more: object) -> InputError:
    with pytest.raises(InputError) as caught:
        build_document(message(body, **more), head())
    return caught.value


def test_the_head_says_type_version_time_and_id() -> None:
    root = build_document(message(FULL), head()).root
    info = root[0]
    assert [part.tag.rsplit("}", 1)[-1] for part in info] == [
        "Type",
        "MIGversion",
        "GenDate",
        "MsgId",
        "ProcessingStatus",
        "ConversationRef",
        "Sender",
        "Receiver",
        "OtherReceiver",
        "Patient",
    ]
    assert (info[0].get("V"), info[0].get("DN")) == ("HENVISNING_NYTILSTAND", "Henvisning ny tilstand")
    assert info[1].text == "v1.2 2006-05-24"
    assert info[2].text == "2026-11-20T10:00:05"


def test_parts_that_are_not_given_leave_no_empty_elements() -> None:
    body = DialogueNote(theme="1", text="Hei")
    bare = message(body, patient=None, copies=(), conversation=None, attachments=(), processing_status=None)
    root = build_document(bare, head(copies=())).root
    assert [element for element in root.iter() if not len(element) and not element.text and not element.attrib] == []
    assert not list(root.iter("{*}Patient", "{*}ConversationRef", "{*}ProcessingStatus", "{*}OtherReceiver"))


def test_each_attachment_has_a_marker_of_its_own_in_the_tree_and_its_bytes_apart() -> None:
    built = build_document(message(FULL), head())
    xml = serialise(built.root)
    assert built.attachments == (b"%PDF-1", b"\x89PNG")
    assert len(set(built.markers)) == 2
    for marker in built.markers:
        assert xml.count(marker) == canonical(built.root).count(marker) == 1
        assert base64.b64decode(marker, validate=True)
        assert not marker.endswith(b"=")


def test_markers_follow_the_seed() -> None:
    assert build_document(message(FULL), head()).markers == build_document(message(FULL), head()).markers
    other = build_document(message(FULL), head(marker_seed="en annen")).markers
    assert set(other).isdisjoint(build_document(message(FULL), head()).markers)


def test_an_attachment_without_a_time_was_written_when_the_message_was() -> None:
    attachment = Attachment(content=b"x", mime_type="application/pdf", description="Brev")
    aware = replace(attachment, written_at=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC))
    root = build_document(message(FULL, attachments=(attachment, aware)), head()).root
    issued = [element.get("V") for element in root.iter(f"{{{_namespace(root)}}}IssueDate")]
    assert issued[1:] == ["2026-11-20T10:00:05", "2026-01-02T03:04:05+00:00"]


def _namespace(root: object) -> str:
    return str(root.tag)[1:].split("}")[0]  # type: ignore[attr-defined]


def test_a_bare_code_gets_its_list_and_name() -> None:
    root = build_document(message(FULL), head()).root
    (relation,) = root.iter("{*}TypeRelasjon")
    assert dict(relation.attrib) == {
        "V": "HHE",
        "S": "2.16.578.1.12.4.1.1.8254",
        "DN": "Henvisende helsepersonell",
    }


def test_free_text_instead_of_a_code_is_kept_where_the_standard_allows_it() -> None:
    root = build_document(message(FULL), head()).root
    headings = [dict(heading.attrib) for heading in root.iter("{*}Heading")]
    assert {"S": "2.16.578.1.12.4.1.1.8231", "OT": "Egen overskrift"} in headings


def test_free_text_where_only_a_code_is_possible_is_refused_with_its_place() -> None:
    body = replace(FULL, request=replace(FULL.request, priority=Coded(None, None, None, "Litt haster")))
    error = refusal(body)
    assert error.where == "$.body.request.priority"
    assert "Litt haster" not in str(error)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_quantity_that_is_no_number_is_refused_with_its_place(number: float) -> None:
    medication = replace(everything.MEDICATION, dose=Quantity(value=number, unit="mg"))
    item = replace(FULL.items[1], content=medication)
    assert refusal(replace(FULL, items=(item,))).where == "$.body.items[0].content.dose"


@pytest.mark.parametrize(
    ("number", "written"), [(500, "500"), (2.5, "2.5"), (0.1, "0.1"), (10.8, "10.8"), (1e-7, "1e-07")]
)
def test_quantities_are_written_as_people_write_them(number: float, written: str) -> None:
    item = replace(FULL.items[1], content=replace(everything.MEDICATION, dose=Quantity(value=number, unit="mg")))
    root = build_document(message(replace(FULL, items=(item,))), head()).root
    assert [dose.get("V") for dose in root.iter("{*}UnitDose")] == [written]


def test_p21_characters_that_xml_cannot_carry_are_refused_without_quoting_them() -> None:
    bad = "Hemmelig\x00tekst"
    cases = {
        "$.body.reasons[0].text": refusal(replace(FULL, reasons=(replace(FULL.reasons[0], text=bad),))),
        "$.patient.family_name": refusal(FULL, patient=Patient(family_name=bad)),
        "$.attachments[0].description": refusal(
            FULL, attachments=(Attachment(content=b"", mime_type="application/pdf", description=bad),)
        ),
    }
    for place, error in cases.items():
        assert error.where == place
        assert "Hemmelig" not in str(error)


def test_a_note_with_plain_and_formatted_text_is_refused() -> None:
    assert refusal(HealthDialogue(theme="6", text="a", xhtml="<p>a</p>")).where == "$.body.xhtml"


def test_a_unit_beside_a_role_is_refused_where_the_version_has_none() -> None:
    body = DialogueNote(theme="1", text="a", roles=(everything.UNIT_ROLE,))
    assert refusal(body).where == "$.body.roles[0].unit"


def test_formatted_text_that_is_no_xml_is_refused_with_its_place() -> None:
    error = refusal(HealthDialogue(theme="6", xhtml="<p>Hemmelig"))
    assert error.where is not None
    assert error.where.startswith("$.body")
    assert "Hemmelig" not in str(error)


def test_an_unknown_field_of_the_input_is_named_with_its_path() -> None:
    plain = shapes.plain(message(FULL))
    plain["body"]["reasons"][0]["txet"] = "x"
    with pytest.raises(InputError) as caught:
        shapes.read(OutgoingMessage, plain)
    assert caught.value.where == "$.body.reasons[0].txet"
    plain = shapes.plain(message(FULL))
    plain["body"]["request"]["priority"] = {"code": "N", "nmae": "x"}
    with pytest.raises(InputError) as caught:
        shapes.read(OutgoingMessage, plain)
    assert caught.value.where == "$.body.request.priority.nmae"


def test_an_unknown_kind_of_body_lists_the_known_ones() -> None:
    plain = shapes.plain(message(FULL))
    plain["body"]["kind"] = "referal"
    with pytest.raises(InputError) as caught:
        shapes.read(OutgoingMessage, plain)
    assert caught.value.cure is not None
    assert "nav_inquiry" in caught.value.cure


def test_p21_no_word_of_a_message_shows_its_content_in_a_repr() -> None:
    whole = message(FULL)
    shown = repr(whole) + repr(head()) + repr(whole.signer) + repr(FULL) + repr(build_document(whole, head()))
    for canary in ("Fjellbekk", "14836831285", "Metformin", "mer aktiv"):
        assert canary not in shown


def _words(node: Node) -> set[str]:
    return {field.attribute for field in node.fields}


READ_ONLY = {"assessment", "subject", "journal_parts", "coded", "journal_part"}


def test_every_field_of_the_tables_is_a_field_of_a_word() -> None:
    """A table entry with a misspelt attribute would silently never be written."""
    known = {
        name
        for module in (referral, dialogue, party)
        for cls in vars(module).values()
        if isinstance(cls, type) and hasattr(cls, "__dataclass_fields__")
        for name in (*cls.__dataclass_fields__, *vars(cls))
    }
    for node in (REFERRAL, *NOTES.values(), *QUESTIONS.values()):
        for found in _nested(node):
            assert _words(found) - known - READ_ONLY <= {"dates", "details"}


def _nested(node: Node) -> list[Node]:
    inside = [field.part for field in node.fields if isinstance(field.part, Node) and field.attribute != "assessment"]
    return [node, *(deeper for part in inside for deeper in _nested(part))]


@pytest.mark.parametrize("file", inputs(), ids=lambda file: file.stem)
def test_p21_the_inputs_survive_their_json_form(file: object) -> None:
    whole = read_input(file)  # type: ignore[arg-type]
    assert shapes.read(OutgoingMessage, shapes.plain(whole)) == whole


def test_text_keeps_every_character_that_it_had() -> None:
    text = "Linje 1\r\nlinje 2\tŋ š á «æøå» <b> & ]]> 🙂"
    body = DialogueNote(theme="1", text=text)
    root = parse(serialise(build_document(message(body), head()).root))
    assert [element.text for element in root.iter("{*}TekstNotatInnhold")] == [text]
    assert texts(body, "TekstNotatInnhold") == [text]
