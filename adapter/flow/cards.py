"""Keys on cards, watched: a card that cannot be used is an incident until it signs again (P26).

What was to be signed is not lost: a submission fails before anything is stored, a delivery waits in the queue, and a
message that came in stays unanswered, so that the partner sends it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapter.errors import CardError
from adapter.flow.alarms import all_clear, raise_alarm
from adapter.flow.parts import Parts

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding
    from cryptography.x509 import Certificate

    from adapter.security.keys import Signer
    from adapter.security.pkcs11 import CardKey


def find_signer(parts: Parts, find: Callable[[str], Signer], name: str) -> Signer:
    """The key of that name, watched when it is on a card. Raises what ``find`` raises."""
    entry = parts.settings.keys.get(name)
    if entry is None or entry.pkcs11 is None:
        return find(name)
    from adapter.security.pkcs11 import CardKey

    with _watching(parts, name):
        key = find(name)
    assert isinstance(key, CardKey)
    return WatchedKey(parts, key)


@contextmanager
def _watching(parts: Parts, name: str) -> Iterator[None]:
    try:
        yield
    except CardError as error:
        raise_alarm(parts, f"card:{name}", f"the card of key {name} cannot be used: {error.code}")
        raise


def _works(parts: Parts, name: str) -> None:
    all_clear(parts, f"card:{name}")


@dataclass(frozen=True, slots=True)
class WatchedKey:
    """A key on a card that raises an alarm when its card cannot be used, and gives the all-clear when it can again."""

    parts: Parts
    key: CardKey

    @property
    def name(self) -> str:
        return self.key.name

    @property
    def owner(self) -> str:
        return self.key.owner

    @property
    def certificate(self) -> Certificate:
        return self.key.certificate

    @property
    def chain(self) -> tuple[Certificate, ...]:
        return self.key.chain

    def sign(self, data: bytes) -> bytes:
        """As the card does it; raises CardError."""
        with _watching(self.parts, self.name):
            value = self.key.sign(data)
        _works(self.parts, self.name)
        return value

    @property
    def private_key(self) -> WatchedUnwrapper:
        return WatchedUnwrapper(self)


@dataclass(frozen=True, slots=True)
class WatchedUnwrapper:
    """The private half of a watched key."""

    watched: WatchedKey

    def decrypt(self, ciphertext: bytes, padding: AsymmetricPadding) -> bytes:
        """As the card does it; raises ValueError for what it cannot open, CardError when it is away."""
        parts, key = self.watched.parts, self.watched.key
        with _watching(parts, key.name):
            content_key = key.private_key.decrypt(ciphertext, padding)
        _works(parts, key.name)
        return content_key
