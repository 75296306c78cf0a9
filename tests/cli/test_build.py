"""adapter build and adapter schema: from people's and programs' input to the message."""

from __future__ import annotations

import io
import json
import re
import sys
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from tests.cli.conftest import SAMPLES, Cli

BOOK = ("--addressbook", SAMPLES / "addressbook.json")
INPUTS = sorted((SAMPLES / "json").glob("*.json"))


def changed(tmp_path: Path, name: str, **fields: Any) -> Path:
    """A sample input with some fields replaced."""
    plain = json.loads((SAMPLES / "json" / f"{name}.json").read_text("utf-8"))
    plain.update(fields)
    target = tmp_path / "input.json"
    target.write_text(json.dumps(plain), "utf-8")
    return target


@pytest.mark.parametrize("file", INPUTS, ids=lambda file: file.stem)
def test_every_input_builds_the_document_in_good(cli: Cli, tmp_path: Path, file: Path) -> None:
    good = (SAMPLES / "good" / f"{file.stem}.xml").read_bytes()
    msg_id = re.search(rb"<MsgId>(.*?)</MsgId>", good)
    assert msg_id is not None
    target = tmp_path / "out.xml"
    ran = cli("build", file, *BOOK, "--at", "2026-11-20T10:00:00", "--msg-id", msg_id.group(1).decode(), "-o", target)
    assert (ran.code, ran.out) == (0, ""), ran.err
    assert target.read_bytes() == good
    assert target.stat().st_mode & 0o077 == 0


def test_a_built_message_has_a_new_id_each_time(cli: Cli, tmp_path: Path) -> None:
    ids = set()
    for number in range(2):
        target = tmp_path / f"{number}.xml"
        assert cli("build", SAMPLES / "json" / "dialogue-notat.json", *BOOK, "-o", target).code == 0
        ids.add(re.findall(rb"<MsgId>(.*?)</MsgId>", target.read_bytes())[0])
    assert len(ids) == 2


def test_an_unknown_field_names_its_path_and_the_nearest_known_name(cli: Cli, tmp_path: Path) -> None:
    ran = cli("build", changed(tmp_path, "dialogue-notat", pasient={}), *BOOK)
    assert ran.code == 2
    assert "$.pasient" in ran.err
    assert "patient" in ran.err


def test_a_message_with_errors_is_not_written(cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "out.xml"
    ran = cli("build", changed(tmp_path, "referral-frisklivssentral", patient=None), *BOOK, "-o", target)
    assert ran.code == 1
    assert "error V7" in ran.err
    assert not target.exists()


def test_p24_a_receiver_that_cannot_be_found_is_wrong_use(cli: Cli, tmp_path: Path) -> None:
    for receiver in ({"her_id": 4711}, {"municipality": "0000", "service_code": "KX04"}, {"municipality": "9901"}):
        ran = cli("build", changed(tmp_path, "dialogue-notat", receiver=receiver), *BOOK)
        assert ran.code == 2, receiver
        assert ran.out == ""


def test_without_an_address_book_the_settings_are_asked_for(cli: Cli) -> None:
    ran = cli("build", INPUTS[0])
    assert ran.code == 2
    assert "--config" in ran.err


def test_the_address_book_of_the_settings_is_used(cli: Cli, tmp_path: Path) -> None:
    from adapter.simulator import start, write_folder

    with start() as simulation:
        settings = write_folder(simulation, tmp_path / "sim")
    assert cli("--config", settings, "build", INPUTS[0], "-o", tmp_path / "out.xml").code == 0


def test_input_can_come_from_stdin(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(INPUTS[0].read_bytes())))
    assert cli("build", "-", *BOOK, "-o", tmp_path / "out.xml").code == 0


def test_warnings_are_told_and_do_not_stop(cli: Cli, tmp_path: Path) -> None:
    plain = json.loads((SAMPLES / "json" / "referral-frisklivssentral.json").read_text("utf-8"))
    body = {**plain["body"], "diagnoses": [{"concept": {"code": "T90", "system": "7170"}}]}
    file = changed(tmp_path, "referral-frisklivssentral", body=body)
    ran = cli("build", file, *BOOK, "-o", tmp_path / "out.xml")
    assert ran.code == 0, ran.err
    assert "warning V12.NAME" in ran.err


@lru_cache(maxsize=2)
def validator(schema: str) -> jsonschema.Draft202012Validator:
    """For a schema that is one; whether it is takes a quarter of a second."""
    jsonschema.Draft202012Validator.check_schema(json.loads(schema))
    return jsonschema.Draft202012Validator(json.loads(schema))


@pytest.mark.parametrize("file", INPUTS, ids=lambda file: file.stem)
def test_the_schema_of_a_message_accepts_every_input(cli: Cli, file: Path) -> None:
    validator(cli("schema", "message").out).validate(json.loads(file.read_text("utf-8")))


def test_the_schema_of_a_message_refuses_unknown_fields(cli: Cli, tmp_path: Path) -> None:
    plain = json.loads(changed(tmp_path, "dialogue-notat", pasient={}).read_text("utf-8"))
    assert not validator(cli("schema", "message").out).is_valid(plain)


def test_schema_without_a_name_lists_the_names(cli: Cli) -> None:
    ran = cli("schema")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()] == ["message", "settings"]


def test_an_unknown_schema_is_wrong_use(cli: Cli) -> None:
    assert cli("schema", "nonsense").code == 2
