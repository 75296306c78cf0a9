"""The journeys: preparing, taking in, large messages, throughput, and what a full store costs.

floor = SHA-256 of the bytes + one RSA-2048 signature with the same library. CPU seconds of the process; medians of
interleaved rounds. Large messages run in a process of their own, through a simulator in another one.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from adapter.store.journal import add_payload
from adapter.store.tables import payload
from tests.journeys.rig import Rig, letter, referral

ROUNDS = 21  # many short ones: the machine's speed drifts within seconds
FLOORS = 6  # how often a round repeats the floor, so that its sample is as long as the others'
WARM_UP = 1
LOG_BYTES = 40_000_000  # more than the store's log ever has
Row = tuple[str, float, float | None, str]
ROOT = Path(__file__).parents[2]


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        yield from small(Path(folder))
    for direction in ("out", "in"):
        with tempfile.TemporaryDirectory() as folder:
            yield from large(Path(folder), direction)
    with tempfile.TemporaryDirectory() as folder:
        yield from throughput(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        yield from full_store(Path(folder))


def msg_id(number: int) -> str:
    return f"aaaaaaaa-0000-4000-8000-{number:012x}"


def cpu(task: Callable[[], object]) -> float:
    begin = time.process_time()
    task()
    return time.process_time() - begin


def floor_of(document: bytes, key: Any) -> Callable[[], object]:
    return lambda: (hashlib.sha256(document).digest(), key.sign(document[:200]))


def six_kilobytes() -> dict[str, Any]:
    """The changes that make the example referral a document of about 6 KB with its signature."""
    plain = referral()
    body = {name: value for name, value in plain["body"].items() if name not in ("items", "consents", "contacts")}
    return {"body": {**body, "reasons": body["reasons"][:1]}, "attachments": []}


def signed_referral() -> dict[str, Any]:
    return {**referral(), **six_kilobytes(), "signer": {"key": "company"}}


def small(folder: Path) -> Iterator[Row]:
    """6 KB, both ways, in process: prepare and store; take in, judge, hand over, queue the AppRec."""
    rig = Rig(folder)
    key = rig.world.keys.companies["fjellglott"]
    plain = signed_referral()
    rig.send(plain)
    document = rig.adapter.export(rig.adapter.list()[0]["message_id"], reason="bench")
    floor = floor_of(document, key)
    per_round = 10
    lengthen_log(rig)
    letters = iter(
        [
            letter(rig, "referral-frisklivssentral", msg_id=msg_id(n), sign_with=key, **six_kilobytes())
            for n in range((ROUNDS + WARM_UP) * per_round)
        ]
    )
    message = _typed(plain)
    taken: dict[str, list[float]] = {"floor": [], "prepare": [], "take in": [], "take": []}
    for number in range(ROUNDS + WARM_UP):
        figures = {
            "floor": cpu(lambda: [floor() for _ in range(FLOORS * per_round)]) / FLOORS,
            "prepare": cpu(lambda: [rig.adapter.submit(message) for _ in range(per_round)]),
            **_taken_in(rig, [next(letters) for _ in range(per_round)]),
        }
        if number >= WARM_UP:
            for name, figure in figures.items():
                taken[name].append(figure / per_round)
    rig.close()
    base = statistics.median(taken["floor"])
    yield ("floor at 6 KB", base * 1000, None, "ms CPU")
    yield (f"prepare a {len(document) / 1024:.0f} KB referral, x floor", _ratio(taken, "prepare"), 12.0, "<=")
    yield (f"take in a {len(document) / 1024:.0f} KB message, x floor", _ratio(taken, "take in"), 20.0, "<=")
    yield ("give its content to a consumer, x floor", _ratio(taken, "take"), None, "(printed)")


def lengthen_log(rig: Rig) -> None:
    """From here on the store writes over its log instead of making it longer: the state that it is in nearly always."""
    store = rig.adapter.parts.store
    message_id = rig.adapter.list()[0]["message_id"]
    with store.transaction() as db:
        add_payload(db, message_id, "bench", bytes(LOG_BYTES))
    with store.transaction() as db:
        db.execute(payload.delete().where(payload.c.role == "bench"))


def _typed(plain: dict[str, Any]) -> Any:
    from adapter import shapes
    from adapter.model.message import OutgoingMessage

    return shapes.read(OutgoingMessage, plain)


def _ratio(taken: dict[str, list[float]], name: str) -> float:
    return statistics.median(figure / base for figure, base in zip(taken[name], taken["floor"], strict=True))


def _taken_in(rig: Rig, letters: list[bytes]) -> dict[str, float]:
    """Parse, check, verify, store, and queue the AppRec once confirmed; reading for the EHR is a figure of its own."""
    from adapter.simulator import world as place

    ids = [rig.adapter.parts.new_id() for _ in letters]  # they came from a server, so their AppRecs go back to it
    received = cpu(
        lambda: [
            rig.adapter.receive(xml, receiver=place.SOLVANG_GP, road="edi20", remote_id=one)
            for xml, one in zip(letters, ids, strict=True)
        ]
    )
    held: list[Any] = []
    read = cpu(lambda: held.extend(rig.adapter.take("bench", limit=len(letters))))
    confirmed = cpu(lambda: [rig.adapter.confirm(one.token, "accept") for one in held])
    assert len(held) == len(letters)
    return {"take in": received + confirmed, "take": read}


def large(folder: Path, direction: str) -> Iterator[Row]:
    """20 MB through the simulator: peak memory beyond the base and CPU, of the adapter's process alone.

    In: fetched, stored, judged, confirmed, AppRec sent; reading it for the EHR is a figure of its own.
    """
    found = [json.loads(_child("large", str(folder / str(n)), direction)) for n in range(5)]
    size = found[0]["bytes"]
    memory = statistics.median(one["peak"] for one in found) / size
    ratio = statistics.median(one["cpu"] / one["floor"] for one in found)
    yield (f"20 MB {direction}: peak memory beyond the base, x its bytes", memory, 6.0, "<=")
    yield (f"20 MB {direction}: CPU, x floor", ratio, 20.0, "<=")
    if direction == "in":
        read = statistics.median(one["read"] / one["floor"] for one in found)
        yield (f"20 MB {direction}: give its content to a consumer, x floor", read, None, "(printed)")


def _child(*arguments: str) -> str:
    command = [sys.executable, "-m", "tests.bench.journey_child", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def throughput(folder: Path) -> Iterator[Row]:
    """Messages a second through the simulator (a process of its own), durable, with all receipts."""
    for direction in ("out", "in"):
        found = json.loads(_child("throughput", str(folder / direction), direction))
        yield (f"through the simulator, {direction}, with all receipts", found["rate"], None, "messages/s")


def full_store(folder: Path) -> Iterator[Row]:
    """CPU per message, out and in, with 50,000 stored messages against 1,000."""
    for stored in (1_000, 50_000):
        _child("fill", str(folder / str(stored)), str(stored))
    taken: dict[int, list[float]] = {1_000: [], 50_000: []}
    for _ in range(5):
        for stored in taken:
            taken[stored].append(float(_child("cost", str(folder / str(stored)))))
    ratio = statistics.median(b / a for a, b in zip(taken[1_000], taken[50_000], strict=True))
    yield ("cost per message with 50,000 stored, x with 1,000", ratio, 1.2, "<=")
