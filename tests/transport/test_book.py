"""The address book in use: read again when the file changes, refreshed from the register, and never lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapter.errors import SettingsError, TransportError
from adapter.model.partner import AddressBook, CertificateEntry, RegisterEntry
from adapter.transport.book import ASK_AGAIN_S, LiveBook

DAY_S = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def write(path: Path, *her_ids: int, environment: str = "test", at: int = 1) -> Path:
    parties = [{"herId": her_id, "type": "Organization", "name": f"Enhet {her_id}"} for her_id in her_ids]
    path.write_text(json.dumps({"environment": environment, "parties": parties}))
    os.utime(path, (at, at))
    return path


def book_of(path: Path, **more: Any) -> LiveBook:
    plain: dict[str, Any] = {"environment": "test", "clock": Clock(), "cache_s": DAY_S}
    return LiveBook(path, **{**plain, **more})


def test_a_file_that_changes_is_read_again_and_else_not(tmp_path: Path) -> None:
    live = book_of(write(tmp_path / "book.json", 1))
    first = live()
    assert live() is first
    write(tmp_path / "book.json", 1, 2, at=2)
    assert sorted(live().entries) == [1, 2]


def test_a_broken_new_file_leaves_the_old_book_in_force(tmp_path: Path) -> None:
    live = book_of(write(tmp_path / "book.json", 1))
    live()
    (tmp_path / "book.json").write_text("{")
    assert sorted(live().entries) == [1]
    assert live.problem is not None
    (tmp_path / "book.json").unlink()
    assert sorted(live().entries) == [1]
    write(tmp_path / "book.json", 3, at=3)
    assert sorted(live().entries) == [3]
    assert live.problem is None


def test_a_first_book_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    live = book_of(tmp_path / "book.json")
    for _ in range(2):
        with pytest.raises(SettingsError):
            live()
    write(tmp_path / "book.json", 1)
    assert sorted(live().entries) == [1]


def test_p22_a_book_of_another_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        book_of(write(tmp_path / "book.json", 1, environment="production"))()
    assert caught.value.code == "SETTINGS.MIX"


def renaming(asked: list[AddressBook]) -> Callable[[AddressBook], AddressBook]:
    def refresh(book: AddressBook) -> AddressBook:
        asked.append(book)
        if len(asked) == 2:
            raise TransportError("down")
        entries = {her_id: replace(entry, name=f"{len(asked)}") for her_id, entry in book.entries.items()}
        return replace(book, entries=entries)

    return refresh


def test_the_register_is_asked_once_in_a_while_and_sooner_after_an_outage(tmp_path: Path) -> None:
    asked: list[AddressBook] = []
    clock = Clock()
    live = book_of(write(tmp_path / "book.json", 1), clock=clock, refresh=renaming(asked))
    assert (live().entries[1].name, live().entries[1].name, len(asked)) == ("1", "1", 1)
    clock.pass_s(DAY_S)
    assert live().entries[1].name == "1"  # the register is down: the last good book goes on
    assert live.problem is not None
    clock.pass_s(ASK_AGAIN_S - 1)
    assert (live().entries[1].name, len(asked)) == ("1", 2)
    clock.pass_s(1)
    assert (live().entries[1].name, len(asked)) == ("3", 3)
    assert live.problem is None


def test_a_new_file_is_refreshed_at_once(tmp_path: Path) -> None:
    asked: list[AddressBook] = []
    live = book_of(write(tmp_path / "book.json", 1), refresh=renaming(asked))
    live()
    write(tmp_path / "book.json", 1, 2, at=2)
    live()
    assert len(asked) == 2


# --- certificates that roll (P27) -------------------------------------------------------------------------------------


def signed_with(live: AddressBook, name: str) -> AddressBook:
    entry = replace(live.entries[1], signing=CertificateEntry(thumbprint=name), earlier_signing=None)
    return AddressBook({**live.entries, 1: entry})


def test_p27_the_certificate_before_is_known_with_the_time_of_the_change(tmp_path: Path) -> None:
    clock, names = Clock(), iter(["AA", "aa", "BB", "BB"])
    live = book_of(
        write(tmp_path / "book.json", 1), clock=clock, cache_s=10.0, refresh=lambda book: signed_with(book, next(names))
    )
    seen = []
    for _ in range(4):
        found = live().entries[1].earlier_signing
        seen.append((found.thumbprint, found.replaced_at) if found is not None else None)
        clock.pass_s(10)
    changed = ("aa", Clock().now + timedelta(seconds=20))
    assert seen == [None, None, changed, changed]


def test_p27_one_party_is_looked_up_now_and_at_most_once_a_minute(tmp_path: Path) -> None:
    clock, asked = Clock(), []

    def ask(entry: RegisterEntry) -> RegisterEntry:
        asked.append(entry.her_id)
        return replace(entry, name="Ny")

    live = book_of(write(tmp_path / "book.json", 1, 2), clock=clock, ask=ask)
    assert [live.renew(1), live.renew(1), live.renew(3)] == [True, True, None]
    assert (live().entries[1].name, live().entries[2].name) == ("Ny", "Enhet 2")
    clock.pass_s(60)
    assert live.renew(1) is True
    assert asked == [1, 1]


def test_p27_a_register_that_is_away_is_not_asked_again_at_once_and_without_one_nobody_is(tmp_path: Path) -> None:
    asked = []

    def ask(entry: RegisterEntry) -> RegisterEntry:
        asked.append(entry.her_id)
        raise TransportError("away")

    live = book_of(write(tmp_path / "book.json", 1), ask=ask)
    assert [live.renew(1), live.renew(1)] == [False, False]
    assert asked == [1]
    assert live.problem is None
    assert book_of(tmp_path / "book.json").renew(1) is None
