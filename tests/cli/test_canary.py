"""P21: a canary's number and name in every field of every type, and every output searched for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapter import xmlio
from adapter.flow.check import CheckContext, check_document
from adapter.validation.subject import RuleContext
from tests.cli.conftest import SAMPLES, Cli

NUMBER, NAME = "12057900565", "Zebrafink"
CANARY = f"{NAME} {NUMBER}"
AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
GOOD = sorted((SAMPLES / "good").glob("*.xml"))
APPREC = SAMPLES / "bad" / "apprec-for-unknown-message.xml"


def spoiled(document: bytes) -> Iterator[bytes]:
    """The document with the canary in one place after another: each leaf's text, then each attribute."""
    count = sum(1 for _ in xmlio.parse(document).iter("*"))
    for number in range(count):
        root = xmlio.parse(document)
        element = list(root.iter("*"))[number]
        if not len(element):
            element.text = CANARY
            yield xmlio.serialise(root)
        for name, value in element.attrib.items():
            element.set(name, CANARY)
            yield xmlio.serialise(root)
            element.set(name, value)


@pytest.mark.parametrize("file", [*GOOD, APPREC], ids=lambda file: file.stem)
def test_p21_no_finding_and_no_receipt_text_quotes_a_field(file: Path) -> None:
    # NAV's rules speak of times, so the two directions see NAV as the partner too.
    contexts = [
        CheckContext(rules=RuleContext(direction=direction, partner_is_nav=True, ours=frozenset({8091301}), lang=lang))
        for direction, lang in (("in", "nb"), ("out", "en"))
    ]
    for number, document in enumerate(spoiled(file.read_bytes())):
        checked = check_document(document, contexts[number % 2], at=AT)
        told = json.dumps([finding.as_json() for finding in checked.findings], ensure_ascii=False)
        told += "".join(f"{error.name}{error.text}" for error in checked.judgement.errors)
        assert NUMBER not in told
        assert NAME not in told


def everywhere(document: bytes) -> bytes:
    """The canary in every text that nothing acts on, so that the message goes its whole way."""
    root = xmlio.parse(document)
    acted_on = {"MsgId", "GenDate", "MIGversion", "Id", "DateOfBirth", "RefToParent", "RefToConversation", "DocumentId"}
    for element in root.iter("*"):
        local = element.tag.rpartition("}")[2]
        if len(element) or not (element.text or "").strip() or local in acted_on or "Base64" in local:
            continue
        element.text = CANARY
    for name in ("DN", "OT"):
        for element in root.iter("*"):
            if element.get(name):
                element.set(name, CANARY)
    return xmlio.serialise(root)


@pytest.mark.parametrize("name", [file.stem for file in GOOD if file.stem.startswith("inbound")])
def test_p21_a_journey_leaves_no_trace_of_the_canary_in_logs_lists_and_events(
    cli: Cli, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.xml").write_bytes(everywhere((SAMPLES / "good" / f"{name}.xml").read_bytes()))
    (folder / "b.xml").write_bytes(
        everywhere((SAMPLES / "good" / f"{name}.xml").read_bytes()).replace(b"<MsgInfo>", b"", 1)
    )
    ran = cli("--level", "debug", "replay", folder, "--json", "--keep", tmp_path / "kept")
    assert NUMBER not in ran.out + ran.err
    assert NAME not in ran.out + ran.err
    assert '"text": "received"' in ran.err


def test_p21_a_refused_input_names_paths_and_never_values(cli: Cli, tmp_path: Path) -> None:
    for file in sorted((SAMPLES / "json").glob("*.json")):
        text = file.read_text("utf-8")
        for number, value in enumerate(json_strings(json.loads(text))):
            if number % 8:  # every eighth place is enough here; the forms are few
                continue
            target = tmp_path / "in.json"
            target.write_text(text.replace(json.dumps(value, ensure_ascii=False), json.dumps(CANARY), 1), "utf-8")
            ran = cli("build", target, "--addressbook", SAMPLES / "addressbook.json", "-o", tmp_path / "out.xml")
            assert NUMBER not in ran.err
            assert NAME not in ran.err


def json_strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [found for item in value.values() for found in json_strings(item)]
    if isinstance(value, list):
        return [found for item in value for found in json_strings(item)]
    return []
