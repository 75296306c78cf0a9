"""Reading times, HER-ids, files and JSON from the command line."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from adapter.cli.opening import HerIds, TimeParameter, norwegian, read_file, read_json
from adapter.errors import InputError


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-21T09:30:00", datetime(2026, 11, 21, 8, 30, tzinfo=UTC)),
        ("2026-07-01", datetime(2026, 6, 30, 22, 0, tzinfo=UTC)),
        ("2026-11-21T08:30:00Z", datetime(2026, 11, 21, 8, 30, tzinfo=UTC)),
        ("2026-11-21T08:30:00+02:00", datetime(2026, 11, 21, 6, 30, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_norwegian(text: str, utc: datetime) -> None:
    assert TimeParameter().convert(text, None, None) == utc


def test_a_time_that_is_none_says_how_to_write_one() -> None:
    with pytest.raises(click.BadParameter, match="2026-11-21T08:30:00"):
        TimeParameter().convert("yesterday", None, None)


def test_a_ready_time_is_left_alone() -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    assert TimeParameter().convert(when, None, None) is when


def test_gen_date_is_norwegian_whole_seconds_without_zone() -> None:
    assert norwegian(datetime(2026, 7, 1, 10, 0, 0, 999, tzinfo=UTC)) == datetime(2026, 7, 1, 12, 0, 0)


def test_her_ids_come_one_by_one_or_with_commas() -> None:
    assert HerIds().convert("8094866", None, None) == (8094866,)
    assert HerIds().convert("8094866, 79768", None, None) == (8094866, 79768)


def test_a_her_id_that_is_none_is_wrong_use() -> None:
    with pytest.raises(click.BadParameter, match="whole number"):
        HerIds().convert("abc", None, None)


def test_a_dash_is_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b'{"a": 1}')))
    assert read_json("-") == {"a": 1}


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe{}", b""])
def test_p21_json_that_cannot_be_read_names_the_place_and_never_the_content(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "in.json"
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_json(str(file))
    assert caught.value.where is not None
    assert caught.value.where.startswith(str(file))
    assert read_file(str(file)) == content
