"""A connection to a mailbox that one thread uses in turns and another may break off."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from adapter.config_mail import MailServerSettings
from adapter.errors import AccessError, TransportError
from adapter.transport.line import Line, Terms

CHATTER_BYTES = 16_000_000  # all that a server may say in one call beside a mail


class Turns:
    """Keeps one Line between calls. A call that fails closes it, so that the next call begins with a new one."""

    def __init__(self, terms: Terms, settings: MailServerSettings) -> None:
        self._terms = terms
        self._settings = settings
        self._turn = threading.Lock()
        self.line: Line | None = None

    @contextmanager
    def take(self, limit_bytes: int = CHATTER_BYTES) -> Iterator[Line | None]:
        """One call with its deadline and bound: yields the open line, or None when ``open`` must come first."""
        with self._turn:
            if self.line is not None and self.line.is_stale():  # the server has left, or wants to say so
                self.drop()
            if self.line is not None:
                self.line.begin(self._settings.total_timeout_s, limit_bytes)
            try:
                yield self.line
            except (TransportError, AccessError):
                self.drop()
                raise

    def open(self, limit_bytes: int = CHATTER_BYTES) -> Line:
        """Connect, within a call."""
        self.drop()
        self.line = Line(self._terms, self._settings.total_timeout_s, limit_bytes)
        self.line.connect()
        return self.line

    def drop(self) -> None:
        line, self.line = self.line, None
        if line is not None:
            line.close()

    @contextmanager
    def end(self) -> Iterator[Line | None]:
        """The last call: yields the line to say goodbye on, None when there is none or another thread was cut off."""
        if not self._turn.acquire(blocking=False):
            line = self.line
            if line is not None:
                line.cut("the adapter is stopping")
            yield None
            return
        try:
            if self.line is not None:
                self.line.begin(min(5.0, self._settings.total_timeout_s), CHATTER_BYTES)
            yield self.line
        except TransportError:
            self.drop()  # the server had left before us
        finally:
            self.drop()
            self._turn.release()
