"""replay, simulate and demo: everything on this machine, in stores of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapter.security import demo_ca
from tests.cli.conftest import SAMPLES, Cli

REPLAYED = {"file", "id", "msg_id", "msg_type", "step", "codes", "attention", "receipt"}


def folder_of(tmp_path: Path, *names: str) -> Path:
    target = tmp_path / "messages"
    target.mkdir()
    for number, name in enumerate(names):
        (target / f"{number}-{Path(name).name}.xml").write_bytes((SAMPLES / f"{name}.xml").read_bytes())
    return target


def test_replay_gives_a_verdict_per_file_in_order(cli: Cli, tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path,
        "good/inbound-dialogue",
        "good/inbound-dialogue",
        "bad/same-id-other-content",
        "bad/patient-missing",
        "bad/cut-off",
        "bad/apprec-for-unknown-message",
    )
    ran = cli("--level", "error", "replay", folder, "--json")
    assert ran.code == 1
    assert all(set(row) == REPLAYED for row in ran.rows)
    steps = [row["step"] for row in ran.rows]
    assert steps == ["accepted", "duplicate", "conflict", "rejected", "refused", "refused"]
    assert ran.rows[3]["codes"] == ["E36"]
    assert ran.rows[3]["receipt"]


def test_replay_of_good_messages_is_exit_code_0_and_a_table_for_people(cli: Cli, tmp_path: Path) -> None:
    ran = cli("--level", "error", "replay", folder_of(tmp_path, "good/inbound-note", "good/inbound-referral"))
    assert ran.code == 0
    assert ran.out.count("accepted") == 2


def test_p22_replay_ignores_the_settings_and_keeps_a_store_only_when_asked(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTER_CONFIG", "/nowhere/adapter.toml")
    kept = tmp_path / "kept"
    folder = folder_of(tmp_path, "good/inbound-note")
    ran = cli("--level", "error", "replay", folder, "--keep", kept, "--addressbook", SAMPLES / "addressbook.json")
    assert ran.code == 0
    assert (kept / "replay.db").exists()


def test_replay_as_somebody_puts_every_file_into_that_inbox(cli: Cli, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "good/inbound-note", "bad/receiver-is-somebody-else", "bad/cut-off")
    rows = cli("--level", "error", "replay", folder, "--as", "8091301", "--json").rows
    assert rows[0]["step"] == "accepted"
    assert rows[1]["step"] != "accepted"


def test_replay_of_an_empty_folder_says_so(cli: Cli, tmp_path: Path) -> None:
    ran = cli("replay", tmp_path)
    assert (ran.code, "no *.xml files" in ran.err) == (0, True)


def test_simulate_lists_its_names(cli: Cli) -> None:
    out = cli("simulate", "--names").out
    for name in ("apprec rejected", "cut_after_commit", "repeat_refused"):
        assert name in out


def test_simulate_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"GET /Messages": [["503", 1]]}))
    command = [sys.executable, "-m", "adapter", "simulate", "--folder", str(tmp_path / "sim"), "--faults", str(plan)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert Path(line["settings"]).is_file()
        with urllib.request.urlopen(line["admin_url"] + "/names", timeout=10) as answer:  # loopback
            assert "behaviours" in json.load(answer)
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, ""), out


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One run of the demo, as a newcomer starts it."""
    folder = tmp_path_factory.mktemp("demo") / "demo-data"
    command = [sys.executable, "-m", "adapter", "demo", "--data", str(folder)]
    env = {**os.environ, "ADAPTER_CONFIG": "/nowhere/adapter.toml"}  # P22: the ordinary settings are ignored
    return folder, subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)


def test_p22_the_demo_ends_well_without_settings_and_shows_each_kind_of_end(
    played: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    _, done = played
    assert (done.returncode, done.stderr) == (0, "")
    for word in (
        "HENVISNING_NYTILSTAND with 1 PDF",
        "signed by the doctor",
        "awaited → accepted",
        "awaited → rejected",
        "E21",
        "awaited → overdue",
        "received → conflict",
        "E36",
        "handed over → receipted",
    ):
        assert word in done.stdout, word


def test_the_demo_sends_one_referral_over_both_roads_and_a_resend_heals_a_lost_receipt(
    played: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    story = played[1].stdout.partition("The same referral over both roads")[2].partition("Four days pass")[0]
    edi, ebxml = story.split("\nebXML: by mail")
    assert "AppRec: read and accepted" in edi
    told = [
        "encrypted for the receiver",
        "our mail server took it",
        "the Acknowledgment is lost",
        "no receipt for 12 hours",
        "the same envelope again, the same to the last byte",
        "acknowledged: signed with the receiver's registered key",
        "AppRec: read and accepted",
    ]
    places = [ebxml.index(words) for words in told]
    assert places == sorted(places)


def test_the_demo_takes_ten_files_in(played: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    from adapter.cli.demo import INBOX

    assert len(INBOX) == 10
    received = re.findall(r"(?m)^received, and ", played[1].stdout)
    assert len(received) >= 10


def test_the_demo_leaves_its_store_for_the_command_that_it_prints(
    played: tuple[Path, subprocess.CompletedProcess[str]], cli: Cli
) -> None:
    folder, done = played
    printed = re.search(r"adapter (--config \S+ list)\n", done.stdout)
    assert printed is not None
    ran = cli(*printed.group(1).split())
    assert ran.code == 0
    assert "delivered" in ran.out
    ran = cli("--config", folder / "adapter.toml", "list", "--attention", "--json")
    assert ran.code == 1
    assert {row["attention"] for row in ran.rows} >= {"conflict", "overdue", "rejected"}


def test_p21_nothing_that_the_demo_prints_names_a_patient(
    played: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    for canary in ("Testheim", "Prøvestad", "Eksempelvik", "02918434596", "14836221711", "27867141893"):
        assert canary not in played[1].stdout + played[1].stderr


def test_the_demo_never_empties_a_folder_of_yours(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    ran = cli("demo", "--data", tmp_path)
    assert (ran.code, "no demo has made" in ran.err) == (2, True)
    assert (tmp_path / "mine.txt").exists()


def test_the_demo_runs_again_on_its_own_folder_and_in_later_years_too(
    played: tuple[Path, subprocess.CompletedProcess[str]], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Certificates are made at the machine's time, the demo's clock is handed in.
    from adapter.simulator import keys

    later = {"clock": lambda: datetime(2029, 1, 1, tzinfo=UTC)}
    keys._make_keys.cache_clear()
    monkeypatch.setattr(demo_ca.DemoCa.create.__func__, "__kwdefaults__", later)
    try:
        assert cli("demo", "--data", played[0]).code == 0
    finally:
        keys._make_keys.cache_clear()
