"""Fifty times SIGKILL in a run of a thousand messages, both ways: nothing lost, nothing handed over twice."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapter import shapes
from adapter.config import Settings
from adapter.simulator import world as place
from tests.journeys.kill_driver import LIFE_S
from tests.journeys.rig import Rig, letter, load

EACH_WAY = 500
KILLS = 50
SEED = 20261121
FOLLOWS = timedelta(seconds=LIFE_S)


def to_toml(settings: Settings) -> str:
    """The settings as a file for another process."""
    plain = shapes.plain(settings)
    plain.pop("base")
    plain["worker"] = {**plain["worker"], "unknown_wait_s": 1.0, "batch": 50}
    if settings.edi20 is not None:
        plain["edi20"]["total_timeout_s"] = 5.0
    return "\n".join(_lines(plain))


def _lines(plain: dict[str, object], path: str = "") -> list[str]:
    simple = [f"{key} = {json.dumps(value)}" for key, value in plain.items() if not _is_table(value)]
    tables = [(key, value) for key, value in plain.items() if _is_table(value)]
    for key, value in tables:
        for item in value if isinstance(value, list) else [value]:
            brackets = ("[[", "]]") if isinstance(value, list) else ("[", "]")
            simple += ["", f"{brackets[0]}{path}{key}{brackets[1]}", *_lines(item, f"{path}{key}.")]
    return simple


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


@pytest.mark.slow
@pytest.mark.kill
def test_fifty_kills_lose_nothing_and_hand_nothing_over_twice(tmp_path: Path) -> None:
    lives = [0]
    rig = Rig(tmp_path, clock=lambda: datetime.now(UTC) + lives[0] * FOLLOWS)
    rig.world.script(place.BEKKELIA_GP, "apprec ok", "refuse repeats")
    ids = [f"dddddddd-0000-4000-8000-{number:012x}" for number in range(EACH_WAY)]
    for msg_id in ids:
        rig.world.inject(letter(rig, msg_id=msg_id), place.SOLVANG_GP, sender=place.BEKKELIA_GP, msg_id=msg_id)
    rig.adapter.close()
    (tmp_path / "adapter.toml").write_text(to_toml(rig.settings))
    chance = random.Random(SEED)
    plan = {
        "settings": str(tmp_path / "adapter.toml"),
        "messages": EACH_WAY,
        "out": {**load("dialogue-notat"), "sender": place.SOLVANG_GP, "receiver": {"her_id": place.BEKKELIA_GP}},
        "ehr": str(tmp_path / "ehr.txt"),
        "kills": [chance.randint(1, 40) for _ in range(KILLS)],
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    killed = run_lives(tmp_path, lambda life: lives.__setitem__(0, life))
    assert killed == KILLS
    rig.adapter = rig.open()
    check_nothing_lost_or_doubled(rig, ids, tmp_path / "ehr.txt")
    rig.close()


def run_lives(folder: Path, begin: Callable[[int], None], driver: str = "kill_driver") -> int:
    """Let the driver live its lives, ``begin`` before each of them; gives how many ended by a kill."""
    command = [sys.executable, "-m", f"tests.journeys.{driver}", str(folder / "plan.json")]
    root = Path(__file__).parents[2]
    killed = 0
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as lives:
        assert lives.stdin is not None
        assert lives.stdout is not None
        for line in lives.stdout:
            if line.startswith("life "):
                begin(int(line.split()[1]))
                lives.stdin.write("go\n")
                lives.stdin.flush()
            else:
                killed += json.loads(line)["killed"]
    assert lives.returncode == 0
    return killed


def check_nothing_lost_or_doubled(rig: Rig, ids: list[str], ehr: Path) -> None:
    rows = rig.adapter.list(limit=10_000)
    # Out: every message accepted once, one MsgId and one set of bytes on the wire, nothing waits for a person.
    out = [row for row in rows if row["direction"] == "out" and row["msg_type"] == "DIALOG_NOTAT"]
    assert Counter(row["answer"] for row in out) == {"accepted": EACH_WAY}
    digests: dict[str, set[str]] = {}
    for entry in rig.world.ledger:
        if entry.sender == place.SOLVANG_GP and entry.msg_id in {row["msg_id"] for row in out}:
            digests.setdefault(entry.msg_id, set()).add(entry.digest)
    assert len(digests) == EACH_WAY
    assert all(len(found) == 1 for found in digests.values())
    # In: every message handed over exactly once, and exactly one AppRec each.
    events = rig.adapter.events(limit=1_000_000)
    handed = Counter(event["delivery_id"] for event in events if event["kind"] == "handed over")
    assert len(handed) == EACH_WAY
    assert set(handed.values()) == {1}
    assert Counter(ehr.read_text().split()) == dict.fromkeys(ids, 1)
    receipts = Counter(
        entry.original_msg_id for entry in rig.world.receipts() if entry.acknowledger == place.SOLVANG_GP
    )
    assert receipts == dict.fromkeys(ids, 1)
    assert [row["attention"] for row in rig.adapter.list(attention=True)] == []
    # The kills did hit: rows were left in the middle of sending, and some went out a second time.
    kinds = Counter(event["kind"] for event in events)
    assert kinds["unknown"] > 0
    assert kinds["resending"] > 0
