"""A token of a PKCS#11 driver and our session with it: opened and logged in once, opened again once when it is lost.

One session per token and process, used under the driver's lock. A PIN that the token refused is never tried again: not
until the setting gives another one. And the last try before the token locks itself is never ours. The PIN is asked for
when it is needed, and is in no error and no log.

What a process has logged in to is the process's (PKCS#11 2.20 6.7.4), so the sessions here are of the process too.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from adapter.config import Pkcs11Settings
from adapter.errors import CardError, SettingsError

if TYPE_CHECKING:
    import pkcs11

Pin = Callable[[], bytes | None]
T = TypeVar("T")


def cryptoki() -> Any:
    """The library behind this module; raises SettingsError where it is not installed."""
    try:
        import pkcs11
    except ImportError:
        cure = "install the extra: pip install 'adapter[pkcs11]'"
        raise SettingsError("keys on cards need the package python-pkcs11", code="KEY.LIBRARY", cure=cure) from None
    return pkcs11


@dataclass(slots=True)
class Session:
    """An open session with what was found in it."""

    session: pkcs11.Session
    mechanisms: frozenset[int]
    keys: dict[tuple[str | None, str | None], Any] = field(default_factory=dict)


class _Driver:
    """A driver's shared library. Its lock is held for every call, so that it can be begun anew between two calls."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.lock = threading.RLock()
        self.tokens: dict[str, Token] = {}

    def tokens_present(self) -> Iterator[pkcs11.Token]:
        for slot in self._library().get_slots(token_present=True):
            with suppress(cryptoki().TokenNotPresent, cryptoki().TokenNotRecognised):
                yield slot.get_token()

    def _library(self) -> Any:
        try:
            return cryptoki().lib(self.module)
        except cryptoki().PKCS11Error:
            cure = "set module to the driver's shared library"
            raise CardError("the driver of a card cannot be loaded", code="KEY.DRIVER", cure=cure) from None

    def restart(self) -> None:
        """Begin anew: many drivers see a card that was put back only then. All its sessions end."""
        for token in self.tokens.values():
            token.drop()
        with suppress(cryptoki().PKCS11Error, CardError):
            self._library().reinitialize()


class Token:
    """A token by its label or serial number, and our one session with it."""

    def __init__(self, driver: _Driver, label: str) -> None:
        self.driver = driver
        self.label = label
        self.generation = 0  # grows with each session that ends: what was read from it may be another card's
        self._open: Session | None = None
        self._refused: set[bytes] = set()

    def use(self, pin: Pin, work: Callable[[Session], T]) -> T:
        """Do ``work`` in the session; once more in a new one when the first has been lost. Raises CardError."""
        with self.driver.lock:
            with suppress(cryptoki().PKCS11Error):
                return self._work(pin, work)
            self.drop()
            try:
                return self._work(pin, work)
            except cryptoki().PKCS11Error:
                self.drop()
                raise self._away() from None

    def _work(self, pin: Pin, work: Callable[[Session], T]) -> T:
        held = self._session(pin)
        try:
            return work(held)
        except _pin_faults():
            self._refuse(held.session.token, pin())
            self.drop()
            raise _wrong_pin() from None

    def drop(self) -> None:
        """End the session; the next use opens another."""
        held, self._open = self._open, None
        if held is not None:
            self.generation += 1
            with suppress(cryptoki().PKCS11Error):
                held.session.close()

    def _away(self) -> CardError:
        cure = "put the card in, or see to the reader"
        return CardError("a card cannot be reached", where=self.label, cure=cure)

    def _session(self, pin: Pin) -> Session:
        if self._open is None:
            token = self._find()
            try:
                mechanisms = frozenset(int(one) for one in token.slot.get_mechanisms())
                self._open = Session(self._log_in(token, pin), mechanisms)
            except _pin_faults():
                self._refuse(token, pin())
                raise _wrong_pin() from None
            except cryptoki().PKCS11Error:
                raise self._away() from None
        return self._open

    def _find(self) -> pkcs11.Token:
        for anew in (False, True):
            if anew:
                self.driver.restart()
            with suppress(cryptoki().PKCS11Error):
                names = {"label": self.label, "serial": self.label.encode()}
                present = list(self.driver.tokens_present())
                found = [one for one in present if one.label == names["label"] or one.serial == names["serial"]]
                if len(found) > 1:
                    cure = "name it by its serial number"
                    raise CardError("two cards have this name", code="KEY.TOKEN", where=self.label, cure=cure)
                if found:
                    return found[0]
        raise self._away()

    def _log_in(self, token: pkcs11.Token, pin: Pin) -> pkcs11.Session:
        flags, given = token.flags, pin()
        refuse_locked(int(flags), self.label)
        if not flags & cryptoki().TokenFlag.LOGIN_REQUIRED:
            return token.open()
        if given is None and flags & cryptoki().TokenFlag.PROTECTED_AUTHENTICATION_PATH:
            return token.open(user_pin=cryptoki().PROTECTED_AUTH)  # typed at the reader
        if given is None:
            raise CardError("a card wants a PIN", code="KEY.PIN", where=self.label, cure="set pin to env or file")
        if _mark(token, given) in self._refused:
            raise _wrong_pin()
        try:
            return token.open(user_pin=given.decode("utf-8", "replace"))
        except cryptoki().UserAlreadyLoggedIn:  # by another part of this process
            return token.open()

    def _refuse(self, token: pkcs11.Token, pin: bytes | None) -> None:
        self._refused.add(_mark(token, pin or b""))


_MARK = os.urandom(32)  # of this process: what it keeps of a refused PIN is worth nothing elsewhere


def _mark(token: pkcs11.Token, pin: bytes) -> bytes:
    return hmac.new(_MARK, b"\0".join((token.serial, token.label.encode(), pin)), hashlib.sha256).digest()


def _pin_faults() -> tuple[type[Exception], ...]:
    names = cryptoki()
    return (names.PinIncorrect, names.PinInvalid, names.PinLenRange, names.PinExpired, names.PinLocked)


def _wrong_pin() -> CardError:
    cure = "correct the PIN in its variable or file; this one is not tried again"
    return CardError("a card has refused the PIN", code="KEY.PIN", cure=cure)


def refuse_locked(flags: int, label: str) -> None:
    """Raise CardError for a token (its flags as PKCS#11 has them) that is locked, or locks at the next wrong PIN."""
    locked, final = 0x0004_0000, 0x0002_0000  # CKF_USER_PIN_LOCKED, CKF_USER_PIN_FINAL_TRY
    if flags & locked:
        cure = "unlock it with its PUK"
        raise CardError("a card is locked by wrong PINs", code="KEY.LOCKED", where=label, cure=cure)
    if flags & final:
        cure = "log in once with the card's own program, which resets the count"
        raise CardError("a card has one try left, and it is not ours", code="KEY.LAST_TRY", where=label, cure=cure)


_drivers: dict[str, _Driver] = {}
_guard = threading.Lock()


def token_of(settings: Pkcs11Settings) -> Token:
    with _guard:
        driver = _drivers.setdefault(settings.module, _Driver(settings.module))
        return driver.tokens.setdefault(settings.token, Token(driver, settings.token))


def generation(settings: Pkcs11Settings) -> int:
    """How many sessions with this token have ended: a key that was read before is to be read again."""
    return token_of(settings).generation


def end_sessions() -> None:
    """Log out of every token and forget them, and which PINs they refused."""
    with _guard:
        for driver in _drivers.values():
            with driver.lock:
                driver.restart()
        _drivers.clear()
