"""What most commands do first: read the settings, open the adapter, close it again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapter.cli.app import Shared

if TYPE_CHECKING:
    from adapter.assembly import Adapter

    _Times = click.ParamType[datetime]
    _Numbers = click.ParamType[tuple[int, ...]]
else:  # only newer versions of click can be subscripted
    _Times = _Numbers = click.ParamType

json_option = click.option("--json", "as_json", is_flag=True, help="JSON Lines on stdout, for programs.")
tenant_option = click.option("--tenant", metavar="NAME", help="Only this tenant (see [[tenant]] in the settings).")


@contextmanager
def opened(shared: Shared) -> Iterator[Adapter]:
    """The adapter of the settings; closed afterwards whatever happens."""
    settings = shared.settings()  # first: most failures are found here, and cheaply
    from adapter.assembly import open_adapter

    shared.start_logs()
    adapter = open_adapter(settings)
    try:
        yield adapter
    finally:
        adapter.close()


def read_file(path: str) -> bytes:
    """The bytes of a file, or of stdin for '-'."""
    return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()


def read_json(path: str) -> Any:
    """Parsed JSON of a file or stdin; InputError (exit code 2) names the line, never the content."""
    return parse_json(read_file(path), path)


def parse_json(content: bytes, where: str) -> Any:
    """Parsed JSON; ``where`` names its origin in an error."""
    from adapter.errors import InputError

    try:
        return json.loads(content)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise InputError("the input is not JSON", where=f"{where} line {line}" if line else where) from None


class TimeParameter(_Times):
    """ISO 8601; without a zone it is Norwegian time."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail("write a time as 2026-11-21T08:30:00, with Z or +01:00 if it is not Norwegian time", param, ctx)
        if found.tzinfo is None:
            found = found.replace(tzinfo=_norway())
        return found.astimezone(UTC)


def _norway() -> tzinfo:
    from zoneinfo import ZoneInfo

    return ZoneInfo("Europe/Oslo")


def norwegian(when: datetime) -> datetime:
    """Norwegian local time without zone and in whole seconds, the form of GenDate."""
    return when.astimezone(_norway()).replace(tzinfo=None, microsecond=0)


class HerIds(_Numbers):
    """One HER-id or several with commas."""

    name = "her-id"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        from adapter.errors import IdentifierError
        from adapter.identifiers import read_her_id

        try:
            return tuple(read_her_id(part) for part in str(value).split(","))
        except IdentifierError as error:
            self.fail(error.text, param, ctx)
