"""Handing over to a folder and to a callable (P7)."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapter import worker
from adapter.flow.handover import Taken
from adapter.simulator import world as place
from tests.journeys.rig import Rig, letter

MakeRig = Callable[..., Rig]
US = place.SOLVANG_GP
ID = "aaaaaaaa-0000-4000-8000-00000000000"
FOLDER = {"inbound": {"handover": "folder", "folder": "ehr"}}


def arrive(rig: Rig, number: int = 1, **changes: Any) -> None:
    rig.world.inject(letter(rig, msg_id=f"{ID}{number}", **changes), US)


def answers(rig: Rig, number: int = 1) -> list[str]:
    return [entry.status for entry in rig.world.receipts(f"{ID}{number}")]


def names(folder: Path) -> list[str]:
    return sorted(file.suffix for file in folder.iterdir())


@pytest.fixture
def laid(make_rig: MakeRig) -> Rig:
    """A rig whose folder holds one message."""
    rig = make_rig(settings=FOLDER)
    arrive(rig)
    rig.rounds(1)
    return rig


def test_p7_a_message_is_laid_in_the_folder_under_its_message_id_for_us_alone(laid: Rig) -> None:
    folder = laid.folder / "ehr"
    (row,) = laid.adapter.inbox()
    assert sorted(file.name for file in folder.iterdir()) == [f"{row['message_id']}.json", f"{row['message_id']}.xml"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    plain = json.loads((folder / f"{row['message_id']}.json").read_text("utf-8"))
    assert (plain["msg_type"], plain["content"]["msg_id"]) == ("DIALOG_NOTAT", f"{ID}1")
    assert (folder / f"{row['message_id']}.xml").read_bytes() == laid.adapter.export(row["message_id"], reason="test")
    assert answers(laid) == []


@pytest.mark.parametrize(
    ("word", "content", "status"), [("accept", "", "Ok"), ("sorting", "", "Ok"), ("reject", "E21\n", "Rejected")]
)
def test_p7_a_file_beside_it_is_the_consumer_s_word(laid: Rig, word: str, content: str, status: str) -> None:
    folder = laid.folder / "ehr"
    (row,) = laid.adapter.inbox()
    (folder / f"{row['message_id']}.{word}").write_text(content)
    laid.rounds(2)
    assert answers(laid) == [status]
    assert names(folder) == []


def test_p7_a_word_that_cannot_be_taken_alarms_once_and_waits_for_a_better_one(laid: Rig) -> None:
    folder = laid.folder / "ehr"
    (row,) = laid.adapter.inbox()
    file = folder / f"{row['message_id']}.reject"
    file.write_text("E35")
    laid.rounds(2)
    word = [clear for name, clear in laid.alarms if name.startswith("word:")]
    assert (word, laid.steps()) == ([False], ["accepted"])
    file.write_text("E21")
    laid.rounds(2)
    assert answers(laid) == ["Rejected"]
    assert [clear for name, clear in laid.alarms if name.startswith("word:")] == [False, True]


def test_p7_two_different_words_are_no_word(laid: Rig) -> None:
    (row,) = laid.adapter.inbox()
    for word in ("accept", "reject"):
        (laid.folder / "ehr" / f"{row['message_id']}.{word}").write_text("E21")
    laid.rounds(2)
    assert laid.steps() == ["accepted"]
    assert any(name.startswith("word:") for name, _ in laid.alarms)


def test_p7_a_word_given_while_we_were_down_counts_after_the_lease_too(laid: Rig) -> None:
    (row,) = laid.adapter.inbox()
    laid.adapter.close()
    (laid.folder / "ehr" / f"{row['message_id']}.accept").touch()
    laid.advance(hours=1)
    laid.adapter = laid.open()
    laid.rounds(2)
    assert answers(laid) == ["Ok"]
    assert laid.steps() == ["receipted"]


def test_p7_what_a_crash_left_after_the_confirmation_is_swept(laid: Rig) -> None:
    folder = laid.folder / "ehr"
    (row,) = laid.adapter.inbox()
    kept = {file.name: file.read_bytes() for file in folder.iterdir()}
    (folder / f"{row['message_id']}.accept").touch()
    laid.rounds(1)
    for name, content in kept.items():  # as if the process had died before it swept
        (folder / name).write_bytes(content)
    laid.rounds(1)
    assert names(folder) == []
    assert answers(laid) == ["Ok"]


def test_p7_other_files_in_the_folder_are_left_alone(laid: Rig) -> None:
    stranger = laid.folder / "ehr" / "notes.accept"
    stranger.touch()
    laid.rounds(2)
    assert stranger.exists()


def test_p7_a_folder_that_cannot_be_used_alarms_and_recovers(make_rig: MakeRig) -> None:
    rig = make_rig(settings=FOLDER)
    (rig.folder / "ehr").write_text("in the way")
    arrive(rig)
    rig.rounds(1)
    assert ("job:handover", False) in rig.alarms
    (rig.folder / "ehr").unlink()
    rig.rounds(6)
    assert len(names(rig.folder / "ehr")) == 2
    assert ("job:handover", True) in rig.alarms


def test_p23_each_tenant_has_a_folder_of_its_own(make_rig: MakeRig) -> None:
    rig = make_rig(settings=FOLDER, tenants=("solvang", "fjellglott"))
    arrive(rig)
    rig.rounds(1)
    assert len(names(rig.folder / "ehr" / "solvang")) == 2
    assert names(rig.folder / "ehr" / "fjellglott") == []


def consumed(rig: Rig, consumer: Callable[[Taken], Any]) -> None:
    object.__setattr__(rig.adapter.parts, "handover", consumer)


def test_p7_a_callable_gets_each_message_and_its_word_is_the_answer(rig: Rig) -> None:
    seen: list[str | None] = []

    def consumer(taken: Taken) -> Any:
        seen.append(taken.msg_id)
        return ("reject", ["E21"]) if taken.msg_id == f"{ID}2" else "accept"

    consumed(rig, consumer)
    arrive(rig, 1)
    arrive(rig, 2)
    rig.rounds(2)
    assert sorted(map(str, seen)) == [f"{ID}1", f"{ID}2"]
    assert (answers(rig, 1), answers(rig, 2)) == (["Ok"], ["Rejected"])


def test_p7_not_now_leaves_the_message_until_its_lease_runs_out(rig: Rig) -> None:
    calls: list[str | None] = []

    def consumer(taken: Taken) -> Any:
        calls.append(taken.msg_id)
        return None if len(calls) == 1 else "accept"

    consumed(rig, consumer)
    arrive(rig)
    rig.rounds(2)
    assert len(calls) == 1
    rig.advance(seconds=301)
    rig.rounds(2)
    assert answers(rig) == ["Ok"]


def test_p7_a_callable_that_fails_holds_up_nobody_else(rig: Rig) -> None:
    def consumer(taken: Taken) -> Any:
        if taken.msg_id == f"{ID}1":
            raise RuntimeError("a defect in the EHR")
        return "accept"

    consumed(rig, consumer)
    arrive(rig, 1)
    arrive(rig, 2)
    rig.rounds(4)
    assert (answers(rig, 1), answers(rig, 2)) == ([], ["Ok"])
    assert ("job:handover", False) in rig.alarms


def test_p7_a_word_that_does_not_exist_alarms_and_answers_nothing(rig: Rig) -> None:
    consumed(rig, lambda taken: "perhaps")
    arrive(rig)
    rig.rounds(2)
    assert (rig.steps(), answers(rig)) == (["accepted"], [])
    assert any(name.startswith("word:") for name, _ in rig.alarms)


def test_without_a_consumer_of_ours_there_is_no_such_job(rig: Rig) -> None:
    assert "handover" not in worker.jobs(rig.adapter.parts)
