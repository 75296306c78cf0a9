"""``python -m tests.bench``: run every bench_*.py beside this file and hold the figures against their bounds.

Each of them has ``rows()``, which yields (name, ratio, bound, ">=" or "<=") for figures that must hold, and
(name, value, None, unit) for figures that are only printed; the value is nan where a figure cannot be had here, and the
unit says why. Ratios are medians within one run, so the machine's speed does not count.
"""

from __future__ import annotations

import importlib
import math
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

Figure = tuple[str, float, float | None, str]
HERE = Path(__file__).parent


def figures(wanted: list[str]) -> Iterator[Figure]:
    """The figures of all modules, or of those whose name contains one of the words ``wanted``."""
    for file in sorted(HERE.glob("bench_*.py")):
        if wanted and not any(word in file.stem for word in wanted):
            continue
        started = time.perf_counter()
        print(f"# {file.stem.removeprefix('bench_')}", file=sys.stderr)
        yield from importlib.import_module(f"tests.bench.{file.stem}").rows()
        print(f"#   {time.perf_counter() - started:.0f} s", file=sys.stderr)


def held(figure: Figure) -> bool:
    """True when the figure keeps its bound, or has none."""
    _, value, bound, how = figure
    return bound is None or (value >= bound if how == ">=" else value <= bound)


def line(figure: Figure) -> str:
    """One line of the table."""
    name, value, bound, how = figure
    goal = f"{how} {bound:g}" if bound is not None else how
    verdict = "" if bound is None else "ok" if held(figure) else "MISSED"
    written = "-" if math.isnan(value) else f"{value:.2f}"  # what could not be measured says why
    return f"{name:64} {written:>10}  {goal:12} {verdict}".rstrip()


def main(wanted: list[str]) -> int:
    """Print the table; 1 when a bound was missed."""
    print(f"Python {platform.python_version()}, {platform.python_compiler()}, {Path(sys.executable).resolve()}")
    print(f"{'figure':64} {'value':>10}  {'goal':12}")
    missed = 0
    for figure in figures(wanted):
        print(line(figure), flush=True)
        missed += not held(figure)
    print(f"{missed} missed" if missed else "all bounds hold")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
