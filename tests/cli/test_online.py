"""The operator's commands against a running simulator: send, run --once, list, show, act, inbox, take, confirm."""

from __future__ import annotations

import io
import json
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adapter.simulator import Simulation, start, write_folder
from adapter.simulator import world as place
from tests.cli.conftest import SAMPLES, Cli, Ran

# The JSON of the README, held here.
LISTED = {
    "message_id", "delivery_id", "direction", "tenant", "party", "sender", "msg_id", "msg_type", "document_id", "state",
    "leg", "answer", "step", "attention", "attention_since", "errors", "urgency", "queued_at", "is_test",
}  # fmt: skip
SHOWN = {"message", "deliveries", "receipts", "events", "payloads", "conversation"}
TAKEN = {"token", "message_id", "delivery_id", "msg_id", "msg_type", "flags", "content"}


class Desk:
    """One adapter by its command line, and the simulated world."""

    def __init__(self, cli: Cli, simulation: Simulation, settings: Path) -> None:
        self.cli, self.world, self.settings = cli, simulation, settings

    def __call__(self, *args: object) -> Ran:
        return self.cli("--config", self.settings, "--level", "error", *args)

    def send(self, name: str) -> str:
        ran = self("send", SAMPLES / "json" / f"{name}.json")
        assert ran.code == 0, ran.err
        return ran.out.strip()

    def rounds(self, number: int = 2) -> None:
        for _ in range(number):
            assert self("run", "--once").code == 0

    def arrive(self, name: str, receiver: int = place.SOLVANG_GP, sender: int | None = None) -> None:
        self.world.inject((SAMPLES / f"{name}.xml").read_bytes(), receiver, sender=sender)


@pytest.fixture
def desk(cli: Cli, tmp_path: Path) -> Iterator[Desk]:
    with start() as simulation:
        settings = write_folder(simulation, tmp_path / "sim")
        settings.write_text(settings.read_text().replace("low_water_bytes = 50000000", "low_water_bytes = 0"))
        yield Desk(cli, simulation, settings)


def test_a_message_is_sent_and_its_state_can_be_seen(desk: Desk) -> None:
    message_id = desk.send("referral-frisklivssentral")
    assert [row["state"] for row in desk("list", "--json").rows] == ["pending"]
    desk.rounds()
    row = desk("list", "--json", "--state", "delivered").rows[0]
    assert set(row) == LISTED
    assert (row["message_id"], row["leg"], row["answer"]) == (message_id, "confirmed", "accepted")
    table = desk("list").out
    assert message_id in table
    assert row["queued_at"] not in table  # people see Norwegian time


def test_show_tells_the_story(desk: Desk) -> None:
    message_id = desk.send("referral-frisklivssentral")
    desk.rounds()
    shown = desk("show", message_id[:8], "--json").rows[0]
    assert set(shown) == SHOWN
    kinds = [event["kind"] for event in shown["events"]]
    assert kinds[:3] == ["submitted", "sending", "sent"]
    assert "accepted" in kinds
    told = desk("show", message_id).out
    assert "HENVISNING_NYTILSTAND" in told
    assert "queued → sending" in told
    assert "delivered" in told


def test_the_same_key_gives_the_same_id_and_other_input_is_refused(desk: Desk) -> None:
    note = SAMPLES / "json" / "dialogue-notat.json"
    first = desk("send", note, "--key", "j-1", "--json")
    assert desk("send", note, "--key", "j-1", "--json").rows == first.rows
    ran = desk("send", SAMPLES / "json" / "dialogue-foresporsel.json", "--key", "j-1")
    assert (ran.code, "CONFLICT" in ran.err or "P6" in ran.err) == (2, True)


def test_a_message_that_the_ehr_has_made_is_sent_byte_for_byte(desk: Desk) -> None:
    document = SAMPLES / "good" / "referral-frisklivssentral.xml"
    ran = desk("send", document, "--json")
    assert ran.code == 0, ran.err
    desk.rounds(1)
    entry = desk.world.ledger[0]
    assert desk.world.document(entry.remote_id) == document.read_bytes()


@pytest.mark.parametrize("name", ["json/referral-frisklivssentral.json", "good/referral-frisklivssentral.xml"])
def test_both_kinds_can_come_from_stdin(desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO((SAMPLES / name).read_bytes())))
    ran = desk("send", "-")
    assert ran.code == 0, ran.err


def test_the_service_runs_until_it_is_told_to_stop(desk: Desk) -> None:
    message_id = desk.send("referral-frisklivssentral")
    command = [sys.executable, "-m", "adapter", "--config", str(desk.settings), "run"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert '"started"' in process.stderr.readline()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not desk.world.receipts():
            process.poll()
    finally:
        asked_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0
    assert time.monotonic() - asked_at < 10
    assert desk("show", message_id, "--json").rows[0]["deliveries"][0]["leg"] in ("sent", "confirmed")


def test_a_refused_message_tells_why_and_stores_nothing(desk: Desk) -> None:
    ran = desk("send", SAMPLES / "bad" / "patient-missing.xml")
    assert ran.code in (1, 2)
    assert desk("list", "--json").out == ""


def test_nothing_stored_is_said_on_stderr(desk: Desk) -> None:
    ran = desk("list")
    assert (ran.code, ran.err) == (0, "no messages\n")
    assert desk("list", "--attention").err == "nothing needs attention\n"
    assert desk("inbox").err == "the inbox is empty\n"


def test_p26_attention_is_exit_code_1_until_it_is_settled(desk: Desk) -> None:
    desk.world.script(place.GRANLI_FRISKLIV, "apprec rejected E21")
    message_id = desk.send("referral-frisklivssentral")
    desk.rounds()
    ran = desk("list", "--attention", "--json")
    assert (ran.code, [row["attention"] for row in ran.rows]) == (1, ["rejected"])
    assert desk("settle", message_id, "--by", "Desk 2", "--note", "called the receiver").code == 0
    assert desk("list", "--attention").code == 0
    assert "settled" in {event["kind"] for event in desk("show", message_id, "--json").rows[0]["events"]}


def test_p26_a_message_can_be_cancelled_before_sending_only(desk: Desk) -> None:
    message_id = desk.send("referral-frisklivssentral")
    assert desk("cancel", message_id, "--json").rows == [{"id": message_id, "result": "cancelled"}]
    sent = desk.send("dialogue-notat")
    desk.rounds()
    ran = desk("cancel", sent)
    assert ran.code == 2
    assert "Kansellering" in ran.err


def test_p26_requeue_asks_for_a_reason_and_refuses_what_was_answered(desk: Desk) -> None:
    message_id = desk.send("referral-frisklivssentral")
    desk.rounds()
    assert desk("requeue", message_id).code == 2
    ran = desk("requeue", message_id, "--reason", "try again")
    assert (ran.code, "P26" in ran.err) == (2, True)


def test_an_unknown_id_is_wrong_use(desk: Desk) -> None:
    for command in (["show"], ["cancel"], ["export", "--reason", "x", "-o", "/tmp/none"]):
        ran = desk(command[0], "00000000-0000-4000-8000-000000000000", *command[1:])
        assert (ran.code, "NOT_FOUND" in ran.err) == (2, True)


def test_p21_an_export_needs_a_reason_writes_an_event_and_is_readable_by_us_alone(desk: Desk, tmp_path: Path) -> None:
    message_id = desk.send("referral-frisklivssentral")
    folder = tmp_path / "case"
    assert desk("export", message_id, "-o", folder).code == 2
    ran = desk("export", message_id, "--reason", "case 4711", "-o", folder, "--json")
    assert ran.code == 0
    files = [Path(row["file"]) for row in ran.rows]
    assert files
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert any(file.read_bytes().startswith(b"<?xml") for file in files)
    events = desk("show", message_id, "--json").rows[0]["events"]
    assert any(event["kind"] == "content read" for event in events)


def test_a_received_message_is_taken_confirmed_and_answered(desk: Desk) -> None:
    desk.arrive("good/inbound-referral", sender=place.BEKKELIA_GP)
    desk.rounds(1)
    waiting = desk("inbox", "--json").rows
    assert [row["state"] for row in waiting] == ["accepted"]
    assert set(waiting[0]) == LISTED
    taken = desk("take", "--tenant", "solvang", "--consumer", "ehr", "--document").rows
    assert set(taken[0]) == TAKEN | {"document"}
    assert set(desk("take", "--tenant", "solvang").rows) == set()
    ran = desk("confirm", taken[0]["token"], "--accept", "--json")
    assert (ran.code, ran.rows[0]["step"]) == (0, "handed over")
    desk.rounds(2)
    assert desk("list", "--state", "receipted", "--json").rows[0]["msg_type"] == "HENVISNING_NYTILSTAND"
    assert len(desk.world.receipts(taken[0]["msg_id"])) == 1


def test_a_taken_message_can_be_saved_with_its_attachments(desk: Desk, tmp_path: Path) -> None:
    document = (SAMPLES / "good" / "referral-frisklivssentral-pdf.xml").read_bytes()
    for old, new in ((b"8091101", b"8091301"), (b"8091100", b"8091300")):
        document = document.replace(old, b"~").replace(new, old).replace(b"~", new)
    desk.world.inject(document, place.SOLVANG_GP)
    desk.rounds(1)
    row = desk("take", "--tenant", "solvang", "--save", tmp_path / "saved").rows[0]
    saved = [Path(name) for name in row["files"]]
    assert [file.name for file in saved] == ["document.xml", "attachment-0.pdf"]
    assert saved[0].read_bytes() == document
    assert saved[1].read_bytes().startswith(b"%PDF")
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in saved)


def test_a_sender_that_cannot_be_addressed_is_a_matter_for_a_person(desk: Desk) -> None:
    note = (SAMPLES / "good" / "inbound-note.xml").read_bytes()
    for her_id in (b"8091400", b"8091401"):
        note = note.replace(b"<Id>" + her_id, b"<Id>none")
    desk.world.inject(note, place.SOLVANG_GP)
    desk.rounds(1)
    token = desk("take", "--tenant", "solvang").rows[0]["token"]
    assert desk("confirm", token, "--accept").code == 0
    row = desk("list", "--attention", "--json").rows[0]
    assert (row["step"], row["attention"]) == ("handed over", "receipt impossible")


def test_p7_a_consumer_rejects_with_a_legal_code_only(desk: Desk) -> None:
    desk.arrive("good/inbound-note", sender=place.BEKKELIA_GP)
    desk.rounds(1)
    token = desk("take", "--tenant", "solvang").rows[0]["token"]
    ran = desk("confirm", token, "--reject", "T01")
    assert (ran.code, "legal" in ran.err) == (2, True)
    assert desk("confirm", token, "--reject", "E36").out == "rejected\n"


@pytest.mark.parametrize("choice", [[], ["--accept", "--reject", "E36"]])
def test_a_confirmation_says_exactly_one_thing(cli: Cli, choice: list[str]) -> None:
    ran = cli("confirm", "token", *choice)
    assert ran.code == 2
    assert "exactly one" in ran.err


def test_a_server_that_is_gone_does_not_stop_the_round(desk: Desk) -> None:
    desk.send("referral-frisklivssentral")
    desk.world.stop()
    ran = desk("run", "--once")
    assert ran.code == 0
    assert desk("list", "--json").rows[0]["leg"] == "queued"


def test_p21_neither_logs_nor_lists_name_the_patient(desk: Desk) -> None:
    message_id = desk.send("referral-frisklivssentral")
    plain: dict[str, Any] = json.loads((SAMPLES / "json" / "referral-frisklivssentral.json").read_text("utf-8"))
    patient = plain["patient"]
    canaries = [patient["family_name"], patient["idents"][0]["id"]]
    seen = ""
    for args in (["run", "--once"], ["list"], ["list", "--json"], ["show", message_id], ["show", message_id, "--json"]):
        ran = desk.cli("--config", desk.settings, "--level", "debug", *args)
        seen += ran.out + ran.err
    assert all(canary not in seen for canary in canaries)
