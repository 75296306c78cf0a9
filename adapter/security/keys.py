"""Signing keys: the port that signing uses, and PKCS#12 files behind it. Cards and HSMs are in ``pkcs11``.

A key file is opened once and kept as a parsed object (opening one costs more than a hundred signatures). ``KeyRing``
looks at the file's time stamp on use, so a new key laid beside or over the old one is taken without a restart (P27); a
new file that cannot be opened leaves the old key in service and is reported. What is on a card is read again every few
minutes, and after the card has been away.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from adapter.config import Environment, Secret, Settings, read_secret, refuse_readable
from adapter.errors import CardError, KeyFileError, SettingsError

if TYPE_CHECKING:
    from adapter.security.pkcs11 import CardKey

COMPANY, PERSON = "company", "person"
MIN_KEY_BITS, MAX_KEY_BITS = 2048, 8192
LOOK_AGAIN_S = 300.0


class Signer(Protocol):
    """Whoever can sign: a PKCS#12 key here, a card or an HSM. ``owner`` is "company" or "person" (P14)."""

    @property
    def name(self) -> str: ...
    @property
    def owner(self) -> str: ...
    @property
    def certificate(self) -> x509.Certificate: ...
    @property
    def chain(self) -> tuple[x509.Certificate, ...]: ...

    def sign(self, data: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5 over SHA-256 of ``data``. A key on a card raises CardError when it cannot be used now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private RSA key with its certificate, in memory. ``environment`` is None when nobody has stamped it (P22)."""

    name: str
    owner: str
    certificate: x509.Certificate = field(repr=False)
    chain: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    environment: Environment | None = None
    private_key: rsa.RSAPrivateKey = field(repr=False, compare=False)

    def sign(self, data: bytes) -> bytes:
        return self.private_key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def load_pkcs12(
    path: Path,
    passphrase: bytes | None,
    owner: str,
    *,
    name: str | None = None,
    environment: Environment | None = None,
) -> SigningKey:
    """Open a PKCS#12 file with one RSA key and its certificate.

    Raises KeyFileError when it is missing, readable by others, not openable with the passphrase, or holds no usable
    key; the text names the file, never what is in it.
    """
    if owner not in (COMPANY, PERSON):
        raise KeyFileError("a key's owner is 'company' or 'person'", where=name or path.name)
    try:
        refuse_readable(path)
        content = path.read_bytes()
    except SettingsError as error:
        raise KeyFileError(error.text, code=error.code, where=error.where, cure=error.cure) from None
    except OSError:
        raise KeyFileError("a key file cannot be read", where=path.name) from None
    try:
        private_key, certificate, others = pkcs12.load_key_and_certificates(content, passphrase)
    except (ValueError, TypeError):
        cure = "give the right passphrase, and a PKCS#12 file (.p12, .pfx)"
        raise KeyFileError("a key file cannot be opened", code="KEY.OPEN", where=path.name, cure=cure) from None
    if not isinstance(private_key, rsa.RSAPrivateKey) or certificate is None:
        raise KeyFileError("a key file holds no RSA key with its certificate", code="KEY.KIND", where=path.name)
    if not MIN_KEY_BITS <= private_key.key_size <= MAX_KEY_BITS:
        raise KeyFileError(f"a signing key has {MIN_KEY_BITS} to {MAX_KEY_BITS} bits", code="KEY.SIZE", where=path.name)
    if certificate.public_key() != private_key.public_key():
        raise KeyFileError("the certificate belongs to another key", code="KEY.PAIR", where=path.name)
    return SigningKey(
        name=name or path.stem,
        owner=owner,
        certificate=certificate,
        chain=tuple(others),
        environment=environment,
        private_key=private_key,
    )


@dataclass(slots=True)
class _Held:
    key: SigningKey | CardKey
    stamp: tuple[int, ...]


class KeyRing:
    """The keys of the settings by name, each opened once and again only when its file has changed (P27).

    ``clock`` gives seconds from any start: what is on a card is looked at again after ``LOOK_AGAIN_S`` of them.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._paths: dict[str, str] = {}
        self._problems: dict[str, KeyFileError] = {}
        self._locks = {name: threading.Lock() for name in settings.keys}  # a slow card holds up nobody else

    @property
    def problems(self) -> Mapping[str, KeyFileError]:
        """Keys whose new file could not be opened while the old one still serves, by name."""
        return dict(self._problems)

    def find(self, name: str) -> SigningKey | CardKey:
        """The key of ``[keys.NAME]``.

        Raises KeyFileError when it is not configured or never could be opened (CardError: its card cannot be used now)
        and SettingsError when the library for cards is missing.
        """
        if name not in self._settings.keys:
            raise KeyFileError("no key of that name is configured", where=name, cure="add [keys.NAME]")
        with self._locks[name]:
            held = self._held.get(name)
            stamp = self._stamp(name)
            if held is not None and stamp in (held.stamp, None):
                return held.key
            try:
                key = self._load(name)
            except KeyFileError as error:
                if held is None:
                    raise
                if not isinstance(error, CardError):  # no renewal that failed: its next signature will tell
                    self._problems[name] = error
                return held.key
            self._problems.pop(name, None)
            self._held[name] = _Held(key, self._stamp(name) or (0, 0))
            return key

    def _stamp(self, name: str) -> tuple[int, ...] | None:
        entry = self._settings.keys[name]
        on_card: tuple[int, ...] = ()
        file = entry.pkcs12
        if entry.pkcs11 is not None:
            from adapter.security.pkcs11_token import generation

            file, on_card = entry.pkcs11.certificate, (generation(entry.pkcs11), int(self._clock() // LOOK_AGAIN_S))
        if file is None:
            return on_card
        try:
            if file not in self._paths:
                self._paths[file] = str(self._settings.path(file))
            status = os.stat(self._paths[file])
        except OSError:
            return None
        return (*on_card, status.st_mtime_ns, status.st_size)

    def _load(self, name: str) -> SigningKey | CardKey:
        entry = self._settings.keys[name]
        environment = entry.environment or self._settings.environment
        if entry.pkcs11 is not None:
            from adapter.security.pkcs11 import load_pkcs11

            card, file = entry.pkcs11, entry.pkcs11.certificate
            return load_pkcs11(
                card,
                lambda: self._secret(card.pin),
                entry.owner,
                name=name,
                environment=environment,
                certificate=self._settings.path(file) if file is not None else None,
            )
        assert entry.pkcs12 is not None  # the settings were checked
        passphrase, path = self._secret(entry.passphrase), self._settings.path(entry.pkcs12)
        return load_pkcs12(path, passphrase, entry.owner, name=name, environment=environment)

    def _secret(self, secret: Secret) -> bytes | None:
        try:
            return read_secret(secret, self._settings)
        except SettingsError as error:
            raise KeyFileError(error.text, code=error.code, where=error.where, cure=error.cure) from None
