"""config/adapter.toml: loadable, complete, and true about the defaults."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
import typing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema

from adapter import shapes
from adapter.config import Settings, load_settings, read_settings
from adapter.model.partner import ServiceType
from adapter.transport.addressbook import read_address_book
from tests.cli.conftest import Cli

EXAMPLE = Path(__file__).resolve().parents[2] / "config" / "adapter.toml"
_COMMENTED = re.compile(r"(?m)^#(\[[a-z_0-9.]+\]|[A-Za-z_0-9]+ = )")
_INSTEAD = re.compile(r"(?ms)^#\[mail\.pop3\].*?\n\n")  # a mailbox is read by IMAP or by POP3, never both


def uncommented() -> dict[str, Any]:
    """The example with every optional key taken out of its comment."""
    text = _INSTEAD.sub("\n", EXAMPLE.read_text("utf-8"))
    return tomllib.loads(_COMMENTED.sub(r"\1", text))


def test_the_example_loads_as_it_is() -> None:
    settings = load_settings(EXAMPLE)
    assert settings.environment == "test"
    assert settings.tenant[0].sign_with == "company"


def test_the_example_loads_with_every_optional_key() -> None:
    read_settings(uncommented(), EXAMPLE.parent)


def test_the_example_fits_the_schema_that_the_command_prints(cli: Cli) -> None:
    schema = json.loads(cli("schema", "settings").out)
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(uncommented())))


def test_every_key_there_is_stands_in_the_example() -> None:
    text = EXAMPLE.read_text("utf-8")
    for name, kind in typing.get_type_hints(Settings).items():
        if dataclasses.is_dataclass(kind):
            for field in dataclasses.fields(kind):
                assert re.search(rf"\b{field.name}\b", text), f"{name}.{field.name}"
        else:
            assert re.search(rf"\b{name}\b", text) or name == "base", name


def test_a_commented_default_is_the_default() -> None:
    plain = shapes.plain(load_settings(EXAMPLE))
    examples = {
        "keep_bytes_days",
        "child_number",
        "types_elsewhere",
        "next_key",
        "base_url",
        "folder",
        "directory",
        "environment",
    }
    given = uncommented()
    for section in ("store", "edi20", "register", "trust", "receipts", "inbound", "worker"):
        for key, value in given[section].items():
            if key in examples or key == "persons":
                continue
            assert shapes.plain(value) == plain[section].get(key, value), f"{section}.{key}"


def test_no_secret_stands_in_the_example() -> None:
    for line in EXAMPLE.read_text("utf-8").splitlines():
        assert not re.search(r"^\s*passphrase\s*=\s*\"", line)


def test_the_example_address_book_belongs_to_the_example_settings() -> None:
    settings = load_settings(EXAMPLE)
    book = read_address_book(settings.path(settings.register.file))
    assert book.environment == settings.environment.value
    for her_id in settings.tenant[0].her_ids:
        assert book.find(her_id).organisation_number == settings.tenant[0].organisation_number
    friskliv = book.find_service(ServiceType(code_list=8663, code="KX04"), at=datetime.now(UTC), municipality="9901")
    assert friskliv.agreement is not None
