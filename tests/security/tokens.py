"""A token of SoftHSM2 in a folder of its own: initialised, filled, taken away and put back, as a card would be."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from adapter.config import Pkcs11Settings, Secret
from adapter.security.keys import SigningKey
from adapter.security.pkcs11_token import end_sessions

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
MODULE = next((path for path in MODULES if Path(path).exists()), None)
PIN, WRONG = "123456", "999999"

needs_softhsm = pytest.mark.skipif(MODULE is None, reason="SoftHSM2 is not installed (apt: softhsm2)")


@dataclass
class SoftToken:
    """One token, ``label``, in ``folder``. The PIN lies in a file that only we can read."""

    folder: Path
    label: str = "card"

    @property
    def module(self) -> str:
        assert MODULE is not None
        return MODULE

    @property
    def pin_file(self) -> Path:
        return self.folder / "pin"

    def write_pin(self, pin: str) -> None:
        self.pin_file.touch(mode=0o600)
        self.pin_file.write_text(pin)

    def settings(self, **more: Any) -> Pkcs11Settings:
        plain: dict[str, Any] = {"module": self.module, "token": self.label, "pin": Secret(file=str(self.pin_file))}
        return Pkcs11Settings(**{**plain, **more})

    def pin(self) -> bytes:
        return self.pin_file.read_bytes()

    def put(self, key: SigningKey, *, label: str = "sign", key_id: bytes = b"\1", **more: Any) -> None:
        """Import a key and its certificate under one identifier; ``certificate=False`` leaves that out."""
        names, session = _names(), self._writing()
        certificate = more.pop("certificate", True)
        attributes = _private(names, key, label, key_id)
        try:
            changes = {names.Attribute[name.upper()]: value for name, value in more.items()}
            session.create_object({**attributes, **changes})
            if certificate:
                self.put_certificate(key, session, label=label, key_id=key_id)
        finally:
            session.close()

    def put_certificate(
        self, key: SigningKey, session: Any = None, *, label: str = "sign", key_id: bytes = b"\1"
    ) -> None:
        names, own = _names(), session or self._writing()
        kind = names.Attribute
        subject, issuer = key.certificate.subject.public_bytes(), key.certificate.issuer.public_bytes()
        own.create_object(
            {
                kind.CLASS: names.ObjectClass.CERTIFICATE,
                kind.CERTIFICATE_TYPE: names.CertificateType.X_509,
                kind.TOKEN: True,
                kind.PRIVATE: False,
                kind.LABEL: label,
                kind.ID: key_id,
                kind.SUBJECT: subject,
                kind.ISSUER: issuer,
                kind.VALUE: key.certificate.public_bytes(Encoding.DER),
            }
        )
        if session is None:
            own.close()

    def _writing(self) -> Any:
        end_sessions()  # one log-in at a time
        return self._found().open(rw=True, user_pin=PIN)

    def flags(self) -> int:
        """As the token tells them now."""
        return int(self._found().flags)

    def serial(self) -> str:
        return str(self._found().serial.decode())

    def _found(self) -> Any:
        return next(one for one in _names().lib(self.module).get_tokens() if one.label == self.label)

    def lose_session(self) -> None:
        """All sessions end behind our back, as when a card is drawn for a moment."""
        library = ctypes.CDLL(self.module)
        for slot in _names().lib(self.module).get_slots(token_present=True):
            library.C_CloseAllSessions(ctypes.c_ulong(slot.slot_id))

    def take_out(self) -> None:
        (self.folder / "tokens").rename(self.folder / "away")
        (self.folder / "tokens").mkdir()

    def put_in(self) -> None:
        (self.folder / "tokens").rmdir()
        (self.folder / "away").rename(self.folder / "tokens")

    def replace(self) -> None:
        """Another card of the same name, with the same PIN, and nothing on it yet."""
        shutil.rmtree(self.folder / "tokens")
        (self.folder / "tokens").mkdir()
        self._initialise()

    def _initialise(self) -> None:
        end_sessions()
        library = _names().lib(self.module)
        library.reinitialize()
        slot = next(one for one in library.get_slots() if not one.get_token().label)
        slot_id, name = ctypes.c_ulong(slot.slot_id), self.label.encode().ljust(32)
        raw = ctypes.CDLL(self.module)
        assert raw.C_InitToken(slot_id, b"0000", ctypes.c_ulong(4), name) == 0
        library.reinitialize()
        token = next(one for one in library.get_tokens() if one.label == self.label)
        with token.open(rw=True, so_pin="0000") as session:
            session.init_pin(PIN)


def _names() -> Any:
    import pkcs11

    return pkcs11


def _private(names: Any, key: SigningKey, label: str, key_id: bytes) -> dict[Any, Any]:
    kind, secret = names.Attribute, key.private_key.private_numbers()
    public = secret.public_numbers
    numbers = {
        kind.MODULUS: public.n,
        kind.PUBLIC_EXPONENT: public.e,
        kind.PRIVATE_EXPONENT: secret.d,
        kind.PRIME_1: secret.p,
        kind.PRIME_2: secret.q,
        kind.EXPONENT_1: secret.dmp1,
        kind.EXPONENT_2: secret.dmq1,
        kind.COEFFICIENT: secret.iqmp,
    }
    plain = {name: value.to_bytes((value.bit_length() + 7) // 8, "big") for name, value in numbers.items()}
    return {
        kind.CLASS: names.ObjectClass.PRIVATE_KEY,
        kind.KEY_TYPE: names.KeyType.RSA,
        kind.TOKEN: True,
        kind.PRIVATE: True,
        kind.SENSITIVE: True,
        kind.EXTRACTABLE: False,
        kind.SIGN: True,
        kind.DECRYPT: True,
        kind.LABEL: label,
        kind.ID: key_id,
        **plain,
    }


@contextmanager
def soft_token(folder: Path, *, mechanisms: str = "ALL") -> Iterator[SoftToken]:
    """A token in ``folder``; ``mechanisms`` is SoftHSM's own word for what it can do. Nothing is left running."""
    (folder / "tokens").mkdir(parents=True)
    lines = {
        "directories.tokendir": str(folder / "tokens"),
        "objectstore.backend": "file",
        "log.level": "ERROR",
        "slots.mechanisms": mechanisms,
    }
    (folder / "softhsm2.conf").write_text("".join(f"{name} = {value}\n" for name, value in lines.items()))
    with patch.dict(os.environ, {"SOFTHSM2_CONF": str(folder / "softhsm2.conf")}):
        token = SoftToken(folder)
        token.write_pin(PIN)
        token._initialise()
        try:
            yield token
        finally:
            if (folder / "away").exists():
                token.put_in()
            end_sessions()
            _names().unload(token.module)
