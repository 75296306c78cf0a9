"""The ebXML road without store and wire: one message out and in at 6 KB, and 20 MB each way in a process of its own.

floor = SHA-256 + two RSA-2048 signatures + AES-256 of the document's bytes, with the adapter's own libraries. CPU
seconds of the process; medians of interleaved rounds.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from adapter.security import xmldsig
from tests.bench.bench_signature import ratio, timed
from tests.bench.ebxml_steps import Incoming, Outgoing, World, floor_of, make_world
from tests.bench.journey_child import memory_now, memory_peak

Row = tuple[str, float, float | None, str]
ROOT = Path(__file__).parents[2]
ATTACHMENT = 15_000_000
ROUNDS, REPEATS = 21, 20
RUNS = 5


def rows() -> Iterator[Row]:
    yield from small()
    for direction in ("out", "in"):
        yield from large(direction)


def small() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder))
    outgoing, incoming, document = Outgoing(world=world), Incoming.of(world.keys), signed(world)
    mail = outgoing.send()
    floor = floor_of(document, world.keys.ours)
    tasks = {"floor": floor, "out": outgoing.send, "in": lambda: incoming.take(mail)}
    taken = timed(tasks, REPEATS, ROUNDS)
    size = f"{len(document) / 1024:.0f} KB"
    yield (f"ebXML floor at {size}", statistics.median(taken["floor"]) * 1000, None, "ms CPU")
    yield (f"ebXML {size} out: sign, encrypt, envelope, sign, pack; x floor", ratio(taken, "out", "floor"), 2.5, "<=")
    yield (f"ebXML {size} in: unpack to both answers, x floor", ratio(taken, "in", "floor"), 5.0, "<=")


def signed(world: World) -> bytes:
    return xmldsig.sign(world.root, world.keys.theirs, markers=world.markers, pieces=world.pieces)


def large(direction: str) -> Iterator[Row]:
    """20 MB, each time in a fresh process: what it needs beyond what it had, the message itself not counted."""
    found = [json.loads(_child(direction)) for _ in range(RUNS)]
    memory = statistics.median(one["peak"] / one["bytes"] for one in found)
    cost = statistics.median(one["cpu"] / one["floor"] for one in found)
    yield (f"ebXML 20 MB {direction}: CPU, x floor", cost, 8.0, "<=")
    yield (f"ebXML 20 MB {direction}: peak memory, x its bytes", memory, 6.0, "<=")


def _child(direction: str) -> str:
    command = [sys.executable, "-m", "tests.bench.bench_ebxml", direction]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(direction: str) -> dict[str, float]:
    """CPU seconds and peak bytes of one large message; small ones have gone before, as in a process that runs."""
    content = b"%PDF-1.4\n" + random.Random(1).randbytes(ATTACHMENT)
    with tempfile.TemporaryDirectory() as folder:
        incoming = Incoming.of((small := make_world(Path(folder, "small"))).keys)
        incoming.take(Outgoing(world=small).send())
        file = Path(folder, "mail")
        if os.fork() == 0:  # what is no part of the measurement happens in another process, so it leaves nothing here
            world = replace(make_world(Path(folder, "large"), content), keys=small.keys)
            file.write_bytes(Outgoing(world=world).send())
            os._exit(0)
        assert os.wait()[1] == 0
        mail = file.read_bytes() if direction == "in" else b""
        outgoing = Outgoing(world=make_world(Path(folder, "out"), content if direction == "out" else None))
    ctypes.CDLL(None).malloc_trim(0)  # else what was freed before would hide what is taken now
    before, begin = memory_now(), time.process_time()
    result: object = outgoing.send() if direction == "out" else incoming.take(mail)
    used, peak = time.process_time() - begin, memory_peak() - before
    del result
    size = round(ATTACHMENT * 4 / 3)
    floor = floor_of(random.Random(2).randbytes(size), small.keys.ours)
    floors = [_cpu(floor) for _ in range(RUNS)]
    return {"bytes": size, "cpu": used, "peak": peak, "floor": statistics.median(floors)}


def _cpu(task: object) -> float:
    begin = time.process_time()
    task()  # type: ignore[operator]
    return time.process_time() - begin


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
