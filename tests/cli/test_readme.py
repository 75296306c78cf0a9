"""The README: its JSON shapes are the real ones, its commands exist, its settings table is complete."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from adapter.assembly import Adapter, open_adapter
from adapter.cli.app import COMMANDS
from adapter.config import Settings, load_settings
from adapter.security.demo_ca import DemoCa, write_roots
from adapter.security.xmldsig import sign_document
from adapter.simulator import start, write_folder
from adapter.simulator import world as place
from tests.cli.conftest import SAMPLES, Cli

README = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")


def shape(name: str) -> dict[str, Any]:
    """The README's example of a record."""
    found = re.search(rf"```json {name}\n(.*?)```", README, re.S)
    assert found is not None, name
    record: dict[str, Any] = json.loads(found.group(1))
    return record


def same_keys(example: dict[str, Any], real: dict[str, Any], *objects: str) -> None:
    """The same fields, and the same in the named inner objects (of a list: the first)."""
    assert set(example) == set(real)
    for name in objects:
        one, other = example[name], real[name]
        if isinstance(one, list):
            one, other = one[0], other[0]
        assert set(one) <= set(other), name


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    """An adapter that has sent a referral and received a message."""
    with start() as simulation:
        settings = write_folder(simulation, tmp_path_factory.mktemp("sim"))
        settings.write_text(settings.read_text().replace("low_water_bytes = 50000000", "low_water_bytes = 0"))
        with open_adapter(load_settings(settings)) as adapter:
            adapter.send_document((SAMPLES / "good" / "referral-frisklivssentral.xml").read_bytes())
            simulation.inject((SAMPLES / "good" / "inbound-dialogue.xml").read_bytes(), place.SOLVANG_GP)
            adapter.run_once()
            adapter.run_once()
            yield adapter


def test_the_shape_of_check(cli: Cli) -> None:
    real = cli("check", "--json", SAMPLES / "bad" / "patient-missing.xml").rows[0]
    same_keys(shape("check"), real, "apprec", "findings")
    same_keys(shape("check")["apprec"], real["apprec"], "errors")


def test_the_shape_of_verify(cli: Cli, tmp_path: Path) -> None:
    authority = DemoCa.create()
    signed = tmp_path / "signed.xml"
    key = authority.issue_company("Solvang legekontor", "310045101")
    signed.write_bytes(sign_document((SAMPLES / "good" / "inbound-note.xml").read_bytes(), key))
    roots = write_roots((authority.certificate,), tmp_path / "roots.pem")
    same_keys(shape("verify"), cli("verify", "--json", "--trust", roots, signed).rows[0], "signer")


def test_the_shape_of_open(cli: Cli, tmp_path: Path) -> None:
    from adapter.ebxml.build import build
    from adapter.ebxml.pack import Attachment
    from adapter.xmlio import serialise
    from tests.ebxml.making import mailed, payload

    file = tmp_path / "m.eml"
    part = Attachment(content_id="att-1@example.no", content=b"0\x80sealed")
    file.write_bytes(mailed(serialise(build(payload())), part))
    real = cli("open", "--json", file).rows[0]
    same_keys(shape("open"), real, "signature", "attachments", "answer")


def test_the_shapes_of_list_show_and_events(box: Adapter) -> None:
    row = box.list(party=place.GRANLI_FRISKLIV, state="delivered")[0]
    same_keys(shape("list"), row)
    same_keys(shape("show"), box.show(row["message_id"]), "message", "deliveries", "events", "payloads")
    same_keys(shape("events"), box.events()[0])


def test_the_shape_of_take(box: Adapter) -> None:
    from adapter.cli.inbox import SHOWN

    example = shape("take")
    taken = box.take("readme", tenant="solvang")[0]
    same_keys(example, {name: getattr(taken, name) for name in SHOWN}, "content")


def test_every_command_in_the_readme_exists() -> None:
    named = set(re.findall(r"adapter (?:--config \S+ )?([a-z]+)", README)) - {"stands", "that"}
    assert named & set(COMMANDS) == {name for name in named if name in COMMANDS}
    for name in re.findall(r"`adapter ([a-z]+)", README):
        assert name in COMMANDS, name


def test_every_section_of_the_settings_is_in_the_table() -> None:
    table = README.split("## Settings")[1].split("## JSON")[0]
    for field in fields(Settings):
        if field.name != "base":
            assert field.name in table, field.name


def test_embedding_takes_ten_lines_and_only_public_names() -> None:
    import adapter

    code = re.search(r"```python\n(.*?)```", README, re.S)
    assert code is not None
    compile(code.group(1), "README", "exec")
    assert len([line for line in code.group(1).splitlines() if line.strip()]) <= 10
    for name in re.findall(r"\badapter\.(?!toml)([a-zA-Z_]+)", code.group(1) + " adapter.AdapterError"):
        assert hasattr(adapter, name), name
        assert name in adapter.__all__
