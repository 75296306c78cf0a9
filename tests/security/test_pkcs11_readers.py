"""Readers and tokens that SoftHSM cannot play: a PIN pad, a token without a PIN, a card drawn while we log in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from adapter.errors import CardError
from adapter.security.pkcs11_token import Session, Token

pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed (requirements-dev.txt)")
LOGIN, PAD = pkcs11.TokenFlag.LOGIN_REQUIRED, pkcs11.TokenFlag.PROTECTED_AUTHENTICATION_PATH


@dataclass
class Card:
    """A token as the library shows it. ``fault`` is what it says instead of opening a session."""

    flags: Any
    fault: Exception | None = None
    opened: list[dict[str, Any]] = field(default_factory=list)
    label: str = "card"
    serial: bytes = b"1"

    @property
    def slot(self) -> Any:
        return SimpleNamespace(get_mechanisms=lambda: {pkcs11.Mechanism.RSA_PKCS})

    def open(self, **how: Any) -> Any:
        self.opened.append(how)
        if self.fault is not None:
            raise self.fault
        return SimpleNamespace(token=self, close=lambda: None)


class Reader:
    """What a driver is to a token of ours."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.lock = threading.RLock()
        self.restarts = 0

    def tokens_present(self) -> Iterator[Card]:
        yield self.card

    def restart(self) -> None:
        self.restarts += 1


def use(card: Card, pin: bytes | None) -> Session:
    reader: Any = Reader(card)
    return Token(reader, "card").use(lambda: pin, lambda held: held)


def test_without_a_pin_of_ours_it_is_typed_at_a_reader_that_has_keys_of_its_own() -> None:
    card = Card(LOGIN | PAD)
    assert use(card, None).mechanisms == {int(pkcs11.Mechanism.RSA_PKCS)}
    assert card.opened == [{"user_pin": pkcs11.PROTECTED_AUTH}]


def test_a_pin_of_ours_goes_before_the_readers_keys() -> None:
    card = Card(LOGIN | PAD)
    use(card, b"123456")
    assert card.opened == [{"user_pin": "123456"}]


@pytest.mark.parametrize("pin", [None, b"123456"])
def test_a_token_that_wants_no_log_in_is_not_given_a_pin(pin: bytes | None) -> None:
    card = Card(pkcs11.TokenFlag(0))
    use(card, pin)
    assert card.opened == [{}]


def test_a_card_that_is_drawn_while_we_log_in_is_away_and_no_pin_is_held_against_it() -> None:
    card = Card(LOGIN, fault=pkcs11.exceptions.DeviceRemoved())
    reader: Any = Reader(card)
    token = Token(reader, "card")
    for _ in range(2):
        with pytest.raises(CardError, match=r"KEY\.CARD.*\[card\]"):
            token.use(lambda: b"123456", lambda held: held)
    card.fault = None
    assert token.use(lambda: b"123456", lambda held: held.mechanisms)


@pytest.mark.parametrize("name", ["PinIncorrect", "PinLenRange", "PinExpired", "PinLocked"])
def test_a_pin_that_the_card_refuses_in_any_words_is_not_tried_again(name: str) -> None:
    card = Card(LOGIN, fault=getattr(pkcs11.exceptions, name)())
    reader: Any = Reader(card)
    token = Token(reader, "card")
    for _ in range(3):
        with pytest.raises(CardError, match=r"KEY\.PIN"):
            token.use(lambda: b"999999", lambda held: held)
    assert len(card.opened) == 1
