"""Lives of one worker process, each ended by SIGKILL after a given number of commits. Run by ``test_kills.py``.

Reads a JSON plan: settings (TOML path), messages (count), out (input), kills (commits before each kill). Says "life N"
on stdout and waits for a line on stdin before each life, so that the world's clock can follow.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from adapter import shapes, worker
from adapter.assembly import Adapter, open_adapter
from adapter.config import load_settings
from adapter.documents import apprec, content, tables_dialogue, xhtml
from adapter.flow import check, dispatch, handover, inbound, outbound, receipts
from adapter.model.message import OutgoingMessage
from adapter.security import certificates, xmldsig
from adapter.security.keys import KeyRing
from adapter.transport import book, edi20, helseid, http, jose
from tests.keys_once import open_keys_once

LIFE_S = 400  # how far the clock goes on between two lives: leases and waits run out
# Imported once, before the first life, and not by each life anew.
BEHIND_THE_KILLER = (
    *(check, dispatch, handover, inbound, outbound, receipts, certificates, xmldsig, book, edi20, helseid, http, jose),
    *(apprec, content, tables_dialogue, xhtml),
)


def live(plan: dict[str, object], life: int, kill_after: int | None) -> bool:
    """One life; True when nothing was left to do. With ``kill_after`` it ends by SIGKILL after so many commits."""
    offset = timedelta(seconds=life * LIFE_S)
    adapter = open_adapter(load_settings(str(plan["settings"])), now=lambda: datetime.now(UTC) + offset)
    message = shapes.read(OutgoingMessage, plan["out"])
    wanted = int(str(plan["messages"]))

    def submit() -> None:
        with adapter.parts.store.reading() as db:
            begin = db.exec_driver_sql("SELECT count(*) FROM message WHERE submit_key IS NOT NULL").scalar() or 0
        for number in range(begin, min(begin + 10, wanted)):
            adapter.submit(message, key=f"out-{number}")

    jobs = [job for name, (_, job) in worker.jobs(adapter.parts).items() if name not in ("overdue", "housekeeping")]
    # The order differs from life to life, so that every kind of step is in reach of the kill.
    turns = [submit, lambda: consume(adapter, Path(str(plan["ehr"]))), *jobs]
    chance = random.Random(life)
    if kill_after is not None:
        arm(adapter, kill_after)
    for _ in range(12):
        chance.shuffle(turns)
        for turn in turns:
            turn()
    done = finished(adapter, wanted)
    if kill_after is None:
        ask_the_operator(adapter)
    adapter.close()
    return done


def ask_the_operator(adapter: Adapter) -> None:
    """A message whose sending was cut twice is not sent a third time by itself (P2): a person says so."""
    for row in adapter.list(attention=True):
        if row["attention"] == "unknown outcome":
            adapter.requeue(row["message_id"], "the worker was killed twice while it was sending this")


def arm(adapter: Adapter, kill_after: int) -> None:
    """SIGKILL after so many commits from now."""
    limit = adapter.parts.store.commits + kill_after

    def killer(commits: int) -> None:
        if commits >= limit:
            os.kill(os.getpid(), signal.SIGKILL)

    adapter.parts.store.after_commit = killer


def consume(adapter: Adapter, seen: Path) -> bool:
    """A careful EHR: it writes down what it takes, knows what it has, and confirms."""
    taken = adapter.take("ehr", limit=25)
    have = set(seen.read_text().split()) if seen.exists() else set()
    for message in taken:
        if message.msg_id not in have:
            with seen.open("a") as file:
                file.write(f"{message.msg_id}\n")
                file.flush()
                os.fsync(file.fileno())
        adapter.confirm(message.token, "accept")
    return bool(taken)


def finished(adapter: Adapter, wanted: int) -> bool:
    rows = adapter.list(limit=10_000)
    out = [row for row in rows if row["direction"] == "out" and row["answer"] != "not asked"]
    moving = [row for row in rows if row["step"] in ("received", "opened", "accepted", "handed over")]
    receipts_moving = [row for row in rows if row["answer"] == "not asked" and row["leg"] not in ("sent", "confirmed")]
    return len(out) == wanted and all(row["answer"] == "accepted" for row in out) and not moving and not receipts_moving


def run(live: Callable[[dict[str, object], int, int | None], bool]) -> None:
    """Live the lives of the plan, each in a process of its own, until nothing is left to do."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    open_all_keys(str(plan["settings"]))
    kills: list[int | None] = [*plan["kills"]]
    for life in range(len(kills) + 40):
        print(f"life {life}", flush=True)
        sys.stdin.readline()
        kill_after = kills[life] if life < len(kills) else None
        child = os.fork()
        if child == 0:
            os._exit(0 if live(plan, life, kill_after) else 3)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        print(
            json.dumps({"life": life, "killed": killed, "exit": None if killed else os.WEXITSTATUS(status)}), flush=True
        )
        if not killed and os.WEXITSTATUS(status) == 0 and kill_after is None:
            return
        if not killed and os.WEXITSTATUS(status) not in (0, 3):
            raise SystemExit(f"life {life} ended badly")


def open_all_keys(settings: str) -> None:
    """Each life opens its keys itself, but what OpenSSL proves of them is proved once."""
    open_keys_once()
    ring = KeyRing(load_settings(settings))
    for name in load_settings(settings).keys:
        ring.find(name)


if __name__ == "__main__":
    run(live)
