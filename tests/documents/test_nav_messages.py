"""What NAV sends to doctors: every message of its processes is read, with the process it belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.codes import Coded
from adapter.documents import build_document, read_facts, read_message
from adapter.model.dialogue import DialogueNote, DialogueQuestion, RelatedRole
from adapter.model.message import Body
from adapter.model.party import Ident, Party, Person, Unit
from adapter.xmlio import parse, serialise
from tests.documents import everything

NAV = Party(
    organisation=Unit(name="NAV", idents=(Ident(id="889640782", type="ENH"), Ident(id="79768", type="HER"))),
)


def question(system: str, code: str) -> DialogueQuestion:
    return DialogueQuestion(type=Coded(code, system), text="Spørsmål", document_id="d-1")


def note(code: str, **more: Any) -> DialogueNote:
    return DialogueNote(theme=Coded(code, "8127"), text="Melding", **more)


CASES: list[tuple[Body, str]] = [
    *[(question("8125", code), "MoteInnkalling") for code in "1234"],
    *[(question("8129", code), "Foresporsel") for code in "12"],
    *[(note(code), "HenvendelseFraNav") for code in "2345689"],
    (note("1", roles=(RelatedRole(function=Coded("1", "9057"), person=Person()),)), "Oppfolgingsplan"),
]


@pytest.mark.parametrize(("body", "process"), CASES)
def test_each_of_navs_messages_is_read_with_its_process_and_text(body: Body, process: str) -> None:
    built = build_document(everything.message(body, attachments=()), everything.head(sender=NAV, copies=()))
    root = parse(serialise(built.root))
    facts = read_facts(root)
    found = read_message(root, facts)["body"]
    assert isinstance(found, dict)
    assert found["nav_process"] == process
    (part,) = found["questions"] or found["notes"]
    assert part["text"] in ("Spørsmål", "Melding")
    assert facts.sender is not None
    assert (facts.sender.her_id(1), facts.sender.her_id(2)) == ("79768", None)


def test_a_follow_up_plan_names_an_author_without_a_name() -> None:
    body, _ = CASES[-1]
    built = build_document(everything.message(body), everything.head(sender=NAV))
    root = parse(serialise(built.root))
    found: Any = read_message(root, read_facts(root))["body"]
    assert found["notes"][0]["roles"] == [
        {"function": {"code": "1", "system": "9057", "name": "Forfatter"}, "person": {}}
    ]
