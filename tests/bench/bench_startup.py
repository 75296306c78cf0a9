"""Start-up against the bare interpreter, in interleaved rounds; byte code is cached, as after any second start."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROUNDS = 9
SAMPLES = Path(__file__).parents[2] / "samples" / "good"
SMALL = "referral-frisklivssentral.xml"


def small_file() -> Path:
    """A small valid message without a signature."""
    named = SAMPLES / SMALL
    return named if named.exists() else min(SAMPLES.glob("*.xml"), key=lambda file: file.stat().st_size)


def elapsed_s(command: list[str], env: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def rows() -> Iterator[tuple[str, float, float | None, str]]:
    """Medians of ``--version`` and ``check`` as multiples of ``python -c pass``."""
    python, adapter = sys.executable, [sys.executable, "-m", "adapter"]
    commands = {
        "bare": [python, "-c", "pass"],
        "--version": [*adapter, "--version"],
        "check of a small valid file": [*adapter, "check", "--json", str(small_file())],
    }
    with tempfile.TemporaryDirectory() as cache:
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env["PYTHONPYCACHEPREFIX"] = cache
        for command in commands.values():
            elapsed_s(command, env)
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                times[name].append(elapsed_s(command, env))
    median = {name: statistics.median(found) for name, found in times.items()}
    yield "start-up: --version / bare interpreter", median["--version"] / median["bare"], 6.0, "<="
    check = "check of a small valid file"
    yield f"start-up: {check} / bare interpreter", median[check] / median["bare"], 20.0, "<="
    yield "start-up: bare interpreter", median["bare"] * 1000, None, "ms"
