"""Mailboxes in memory: what the SMTP server takes for us and what partners send us, for the POP3 server to give out."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

OUR_PATH = "/ebxml"  # of our own endpoint, on HTTP


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail in a mailbox: ``uid`` is its UIDL, never used again."""

    uid: str
    content: bytes = field(repr=False)


class Mailroom:
    """Mailboxes by account. ``before`` is called at each login: what has fallen due is delivered first."""

    def __init__(self, password: str) -> None:
        self.password = password
        self.before: Callable[[], object] = lambda: None
        self._lock = threading.Lock()
        self._boxes: dict[str, list[Mail]] = {}
        self._locked: set[str] = set()
        self._delivered = 0

    def open_box(self, account: str) -> None:
        """An empty mailbox, unless there is one."""
        with self._lock:
            self._boxes.setdefault(account, [])

    def deliver(self, account: str, content: bytes) -> None:
        """Put a mail into a mailbox; raises KeyError when there is no such account."""
        with self._lock:
            self._delivered += 1
            uid = f"{self._delivered:06d}-{hashlib.sha256(content).hexdigest()[:16]}"
            self._boxes[account].append(Mail(uid, content))

    def admits(self, account: str, password: str) -> bool:
        """True when the account exists and this is its password."""
        with self._lock:
            return account in self._boxes and password == self.password

    def lock(self, account: str) -> list[Mail] | None:
        """The mails for one session, which alone has the mailbox; None when another has it (RFC 1939, 4)."""
        self.before()
        with self._lock:
            if account in self._locked:
                return None
            self._locked.add(account)
            return list(self._boxes[account])

    def unlock(self, account: str, deleted: frozenset[str] = frozenset()) -> None:
        """End the session; ``deleted`` are the UIDs that go."""
        with self._lock:
            self._boxes[account] = [mail for mail in self._boxes[account] if mail.uid not in deleted]
            self._locked.discard(account)

    def held(self, account: str) -> list[Mail]:
        """What is in a mailbox now."""
        with self._lock:
            return list(self._boxes.get(account, ()))
