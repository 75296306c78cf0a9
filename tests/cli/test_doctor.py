"""adapter doctor (P27): what it sees, and that one fault does not hide the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapter.cli.doctor_checks import examine
from adapter.cli.doctor_row import Row
from adapter.config import load_settings
from adapter.simulator import Simulation, start, write_folder
from tests.cli.conftest import Cli


@pytest.fixture(scope="module")
def world() -> Iterator[Simulation]:
    with start() as simulation:
        yield simulation


@pytest.fixture
def folder(world: Simulation, tmp_path: Path) -> Path:
    settings = write_folder(world, tmp_path)
    # The register would put right what these tests put wrong in the file.
    change(settings, lambda text: text.replace(f'base_url = "{world.register_url}"', ""))
    change(settings, lambda text: text.replace("low_water_bytes = 50000000", "low_water_bytes = 0"))
    return tmp_path


def change(file: Path, how: Callable[[str], str]) -> None:
    before = file.read_text("utf-8")
    assert how(before) != before
    file.write_text(how(before), "utf-8")


def change_book(folder: Path, her_id: int, **fields: Any) -> None:
    file = folder / "addressbook.json"
    book = json.loads(file.read_text("utf-8"))
    for party in book["parties"]:
        if party["herId"] == her_id:
            party.update(fields)
    file.write_text(json.dumps(book), "utf-8")


def found(folder: Path, now: datetime | None = None) -> dict[str, Row]:
    """Rows that are not ok, by check."""
    rows = list(examine(load_settings(folder / "adapter.toml"), now))
    return {str(row["check"]): row for row in rows if row["status"] != "ok"}


def test_all_is_well_on_a_fresh_folder(cli: Cli, folder: Path) -> None:
    ran = cli("--config", folder / "adapter.toml", "doctor", "--json")
    assert {row["status"] for row in ran.rows} == {"ok"}, ran.out
    assert ran.code == 0
    assert all(set(row) == {"check", "status", "text", "cure"} for row in ran.rows)
    assert "ok" in cli("--config", folder / "adapter.toml", "doctor").out


def test_a_fault_is_exit_code_1_with_a_cure(cli: Cli, folder: Path) -> None:
    (folder / "keys" / "solvang.p12").chmod(0o644)
    ran = cli("--config", folder / "adapter.toml", "doctor")
    assert ran.code == 1
    assert "Cure: chmod 600" in ran.out


@pytest.mark.parametrize(
    ("days_left", "status"), [(31, "ok"), (29, "warning"), (13, "warning"), (2, "error"), (-1, "error")]
)
def test_p27_the_last_days_of_a_key_are_counted_down(folder: Path, days_left: int, status: str) -> None:
    now = datetime.now(UTC) + timedelta(days=730 - days_left, hours=-1)
    rows = {str(row["check"]): row for row in examine(load_settings(folder / "adapter.toml"), now)}
    assert rows["key solvang"]["status"] == status


def test_p27_a_wrong_clock_is_told(folder: Path) -> None:
    rows = found(folder, datetime.now(UTC) + timedelta(minutes=10))
    assert rows["HelseID solvang"]["status"] == "error"
    assert "apart" in str(rows["HelseID solvang"]["text"])
    rows = found(folder, datetime.now(UTC) + timedelta(seconds=20))
    assert rows["HelseID solvang"]["status"] == "warning"


def test_p27_a_her_id_that_the_register_gives_to_somebody_else_is_an_error(folder: Path) -> None:
    parent = {"name": "x", "herId": 8091400, "organizationNumber": "314045505"}
    details = {"serviceType": {"codeListId": 8663, "value": "KA01"}, "parentOrganization": parent}
    change_book(folder, 8091301, serviceDetails=details)
    assert found(folder)["HER-id 8091301"]["status"] == "error"


def test_p27_a_her_id_that_is_not_valid_any_more_is_an_error(folder: Path) -> None:
    change_book(folder, 8091301, validTo="2021-01-01T00:00:00Z")
    assert "not valid" in str(found(folder)["HER-id 8091301"]["text"])


def test_p27_another_certificate_in_the_register_is_a_warning(folder: Path) -> None:
    other = {"thumbprint": "00" * 20, "validFrom": None, "validTo": None}
    change_book(folder, 8091301, currentSigningCertificate=other, _certificates=None)
    assert "another signing certificate" in str(found(folder)["HER-id 8091301"]["text"])


def test_p27_an_agreement_that_wants_a_key_that_nobody_has_is_told(folder: Path) -> None:
    settings = folder / "adapter.toml"
    change(settings, lambda text: text.replace('owner = "person"', 'owner = "company"'))
    change(settings, lambda text: text.replace('sign_with = "solvang"', ""))
    change_book(folder, 8091101, _agreement={"accepts": ["HENVISNING_NYTILSTAND"], "sign": True})
    rows = found(folder)
    assert "person's signature" in str(rows["partner 79768"]["text"])
    assert "no key for solvang" in str(rows["partner 8091101"]["text"])


def test_a_missing_root_file_does_not_hide_the_rest(folder: Path) -> None:
    (folder / "roots.pem").unlink()
    rows = found(folder)
    assert rows["trust roots"]["status"] == "error"
    assert "key solvang" not in rows
    assert "address book" not in rows


def test_an_unreadable_helseid_key_is_told_and_the_keys_are_still_looked_at(folder: Path) -> None:
    (folder / "keys" / "helseid-solvang.jwk").unlink()
    rows = {str(row["check"]): row for row in examine(load_settings(folder / "adapter.toml"))}
    assert rows["key solvang"]["status"] == "ok"
    assert any(row["status"] == "error" for row in rows.values())


def test_no_roots_no_helseid_and_no_server_are_warnings(folder: Path) -> None:
    settings = folder / "adapter.toml"
    text = settings.read_text("utf-8").replace('roots = ["roots.pem"]', "roots = []")
    head, *sections = text.split("\n[")
    kept = [part for part in sections if not part.startswith(("tenant.helseid]", "edi20]"))]
    settings.write_text("\n[".join([head, *kept]), "utf-8")
    rows = found(folder)
    assert {rows[name]["status"] for name in ("trust roots", "HelseID solvang", "message server solvang")} == {
        "warning"
    }


def test_a_full_disk_and_open_matters_are_told(cli: Cli, folder: Path) -> None:
    change(
        folder / "adapter.toml", lambda text: text.replace("low_water_bytes = 0", "low_water_bytes = 900000000000000")
    )
    rows = found(folder)
    assert rows["store"]["status"] == "error"


def test_p21_no_row_names_a_person(folder: Path) -> None:
    words = json.dumps(list(examine(load_settings(folder / "adapter.toml"))), ensure_ascii=False)
    assert "Vangsnes" not in words
