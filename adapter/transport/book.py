"""The address book in use: a file that is read again when it changes, refreshed from the register when there is one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from adapter.errors import AdapterError, SettingsError
from adapter.model.partner import AddressBook, RegisterEntry, follow
from adapter.model.wire import Clock
from adapter.transport.addressbook import read_address_book

ASK_AGAIN_S = 300.0  # after a register that did not answer
RENEW_AGAIN_S = 60.0  # between two questions about one party


class LiveBook:
    """Call it for the book of now. A broken new file or a silent register leaves the last good book in force.

    ``refresh`` brings the parties up to date (``RegisterClient.refresh``); it is asked once per ``cache_s`` seconds.
    ``ask`` does so for one party (``RegisterClient.renew``), when ``renew`` is called.
    """

    def __init__(
        self,
        path: Path,
        *,
        environment: str,
        clock: Clock,
        cache_s: float,
        refresh: Callable[[AddressBook], AddressBook] | None = None,
        ask: Callable[[RegisterEntry], RegisterEntry] | None = None,
    ) -> None:
        self._path, self._file = path, str(path)
        self._environment = environment
        self._clock = clock
        self._cache_s = cache_s
        self._refresh = refresh
        self._ask = ask
        self._asked: dict[int, tuple[datetime, bool]] = {}  # HER-id -> when it was asked about alone, and if it helped
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._held: AddressBook | None = None
        self._due: datetime | None = None
        self.problem: AdapterError | None = None  # why the newest file or answer is not in use

    def __call__(self) -> AddressBook:
        with self._lock:
            self._reread()
            self._renew()
            assert self._held is not None
            return self._held

    def renew(self, her_id: int) -> bool | None:
        """Look a party up now, before it is refused for what the book says of it (P27).

        True: what the book says is at most a minute old. False: the register does not answer. None: there is none to
        ask, or the party is not in the book.
        """
        with self._lock:
            self._reread()
            held = self._held
            entry = held.entries.get(her_id) if held is not None else None
            if self._ask is None or held is None or entry is None:
                return None
            now = self._clock()
            at, helped = self._asked.get(her_id, (None, False))
            if at is not None and (now - at).total_seconds() < RENEW_AGAIN_S:
                return helped
            try:
                found = follow(self._ask(entry), entry, now)
                self._held = replace(held, entries={**held.entries, her_id: found})
                helped = True
            except AdapterError:
                helped = False
            self._asked[her_id] = (now, helped)
            return helped

    def check(self) -> None:
        """Read the file, asking nobody; raises SettingsError for a broken one or another environment's (P22)."""
        with self._lock:
            self._reread()

    def _reread(self) -> None:
        try:
            stat = os.stat(self._file)
            stamp = (stat.st_mtime_ns, stat.st_size)
        except OSError:
            stamp = (0, 0)
        if stamp == self._stamp:
            return
        try:
            self._held = self._following(self._read())
            self.problem = None
            self._due = None
        except SettingsError as error:
            if self._held is None:
                raise
            self.problem = error
        self._stamp = stamp

    def _read(self) -> AddressBook:
        book = read_address_book(self._path)
        if book.environment != self._environment:
            text = f"the address book belongs to environment '{book.environment}'"
            raise SettingsError(text, code="SETTINGS.MIX", where=self._path.name, cure="use the right one (P22)")
        return book

    def _following(self, book: AddressBook) -> AddressBook:
        """The new book, with the signing certificates that have just been replaced in it (P27)."""
        if self._held is None:
            return book
        now, old = self._clock(), self._held.entries
        return replace(book, entries={name: follow(entry, old.get(name), now) for name, entry in book.entries.items()})

    def _renew(self) -> None:
        now = self._clock()
        if self._refresh is None or self._held is None or (self._due is not None and now < self._due):
            return
        wait_s = self._cache_s
        try:
            self._held = self._following(self._refresh(self._held))
            self.problem = None
        except AdapterError as error:
            self.problem = error
            wait_s = ASK_AGAIN_S
        self._due = datetime.fromtimestamp(now.timestamp() + wait_s, now.tzinfo)
