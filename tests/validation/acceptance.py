"""KITH's acceptance cases: where each number is tested, as data, and the table that shows it.

What is known of the cases is what the content digest says of them (sections 4.3, 5.4, 9 and 10.2). A number of which
nothing is known is listed as such, so that nobody takes silence for coverage.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
UNKNOWN = "facts not available"


@dataclass(frozen=True)
class Covered:
    """A number's case in a few words, and the tests that hold it (``file::function``)."""

    what: str
    tests: tuple[str, ...]


Coverage = Mapping[str, Covered | None]


def functions(file: str) -> set[str]:
    """The test functions of a file below tests/."""
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def missing_tests(coverage: Coverage) -> list[str]:
    """Named tests that do not exist."""
    wanted = [test for row in coverage.values() if row is not None for test in row.tests]
    return [test for test in wanted if test.split("::")[1] not in functions(test.split("::")[0])]


def table(title: str, coverage: Coverage) -> str:
    """The coverage as text, one line a number."""
    lines = [title]
    for number, row in coverage.items():
        lines.append(f"  {number:>4}  {UNKNOWN if row is None else row.what + ': ' + ', '.join(row.tests)}")
    known = sum(row is not None for row in coverage.values())
    return "\n".join([*lines, f"  {known} of {len(coverage)} tested"])
