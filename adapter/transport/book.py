"""The address book in use: a file that is read again when it changes, refreshed from the register when there is one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from adapter.errors import AdapterError, SettingsError
from adapter.model.partner import AddressBook
from adapter.model.wire import Clock
from adapter.transport.addressbook import read_address_book

ASK_AGAIN_S = 300.0  # after a register that did not answer


class LiveBook:
    """Call it for the book of now. A broken new file or a silent register leaves the last good book in force.

    ``refresh`` brings the parties up to date (``RegisterClient.refresh``); it is asked once per ``cache_s`` seconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        environment: str,
        clock: Clock,
        cache_s: float,
        refresh: Callable[[AddressBook], AddressBook] | None = None,
    ) -> None:
        self._path, self._file = path, str(path)
        self._environment = environment
        self._clock = clock
        self._cache_s = cache_s
        self._refresh = refresh
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
            self._held = self._read()
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

    def _renew(self) -> None:
        now = self._clock()
        if self._refresh is None or self._held is None or (self._due is not None and now < self._due):
            return
        wait_s = self._cache_s
        try:
            self._held = self._refresh(self._held)
            self.problem = None
        except AdapterError as error:
            self.problem = error
            wait_s = ASK_AGAIN_S
        self._due = datetime.fromtimestamp(now.timestamp() + wait_s, now.tzinfo)
