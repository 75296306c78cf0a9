"""What commands write: JSON Lines for programs, tables and lines for people. Results on stdout, diagnosis on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, TypeVar

import click

T = TypeVar("T")
WIDEST = 60

# A finding's colour; click drops colours by itself when stdout is no terminal.
COLOURS = {"error": "red", "warning": "yellow", "info": "blue"}


def json_line(record: Mapping[str, object]) -> None:
    """One object on one line, flushed, so that a reader sees it at once."""
    click.echo(json.dumps(record, ensure_ascii=False, default=str))


def table(rows: Sequence[Mapping[str, object]], columns: Mapping[str, str]) -> None:
    """Rows as a table, tab-separated unless stdout is a terminal; ``columns`` maps field to heading."""
    if sys.stdout.isatty():
        _rich_table(rows, columns)
        return
    click.echo("\t".join(columns.values()))
    for row in rows:
        click.echo("\t".join(_cell(row.get(field)) for field in columns))


def _rich_table(rows: Sequence[Mapping[str, object]], columns: Mapping[str, str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in columns.values():
        drawn.add_column(heading, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(_cell(row.get(field))) for field in columns))
    Console().print(drawn)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value)
    return str(value)


def note(text: str) -> None:
    """Something for the person, on stderr, so that stdout stays clean for results."""
    click.echo(text, err=True)


@contextmanager
def progress(items: Sequence[T], label: str, *, quiet: bool = False) -> Iterator[Iterable[T]]:
    """Go through ``items`` with a bar on stderr; no bar when stderr is no terminal or ``quiet``."""
    if quiet or not sys.stderr.isatty():
        yield items
        return
    from rich.console import Console
    from rich.progress import track

    yield track(items, description=label, console=Console(stderr=True), transient=True)


def findings(found: Sequence[Mapping[str, object]]) -> None:
    """The findings under a file's line: severity, rule, place and text."""
    for finding in found:
        severity = str(finding["severity"])
        place = "".join(
            [
                f" {finding['path']}" if finding.get("path") else "",
                f" line {finding['line']}" if finding.get("line") else "",
            ]
        )
        head = click.style(f"{severity:7}", fg=COLOURS.get(severity))
        click.echo(f"  {head} {finding['rule']}{place}: {finding['text']}")


def write_bytes(content: bytes, out: str | None, stdout: IO[bytes] | None = None) -> None:
    """To a file (0600: it may hold a patient's letter, P21), or to stdout when ``out`` is None or '-'."""
    if out is None or out == "-":
        stream = sys.stdout.buffer if stdout is None else stdout
        stream.write(content)
        stream.flush()
        return
    import os

    handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
