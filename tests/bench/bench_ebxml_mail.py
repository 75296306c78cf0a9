"""Messages a second over real mail servers on loopback (aiosmtpd and Dovecot, TLS), durable, each with its receipt.

Out: submitted, sent, and confirmed by the Acknowledgment that comes by mail. In: fetched, judged and accepted, and our
Acknowledgment with the partner. This is wall-clock time on the machine as it is: on one with other work it says
little, so the adapter's own CPU time per message is printed beside.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.transport.mail_servers import dovecot_is_missing

ROUNDS = 5
ROOT = Path(__file__).parents[2]
Row = tuple[str, float, float | None, str]


def rows() -> Iterator[Row]:
    missing = dovecot_is_missing()
    if missing is None and importlib.util.find_spec("aiosmtpd") is None:
        missing = "aiosmtpd is not installed"
    for direction in ("out", "in"):
        name = f"ebXML by mail, {direction}, with Acknowledgment, durable"
        if missing is not None:
            yield (name, float("nan"), None, f"not here: {missing}")
            continue
        found = [run(direction) for _ in range(ROUNDS)]
        yield (f"{name}: messages a second", statistics.median(one["rate"] for one in found), 25.0, ">=")
        yield (f"{name}: our CPU", statistics.median(one["cpu"] for one in found) * 1000, None, "ms a message")


def run(direction: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.bench.mail_child", f"{folder}/here", direction]
        said = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found
