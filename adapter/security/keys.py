"""Signing keys: the port that signing uses, and PKCS#12 files behind it.

A key file is opened once and kept as a parsed object (opening one costs more than a hundred signatures). ``KeyRing``
looks at the file's time stamp on use, so a new key laid beside or over the old one is taken without a restart (P27); a
new file that cannot be opened leaves the old key in service and is reported.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from adapter.config import Environment, Settings, read_secret, refuse_readable
from adapter.errors import KeyFileError, SettingsError

COMPANY, PERSON = "company", "person"
MIN_KEY_BITS, MAX_KEY_BITS = 2048, 8192


class Signer(Protocol):
    """Whoever can sign: a PKCS#12 key here, later a card or an HSM. ``owner`` is "company" or "person" (P14)."""

    @property
    def name(self) -> str: ...
    @property
    def owner(self) -> str: ...
    @property
    def certificate(self) -> x509.Certificate: ...
    @property
    def chain(self) -> tuple[x509.Certificate, ...]: ...

    def sign(self, data: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5 over SHA-256 of ``data``."""
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
    key: SigningKey
    stamp: tuple[int, int]


class KeyRing:
    """The keys of the settings by name, each opened once and again only when its file has changed (P27)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._held: dict[str, _Held] = {}
        self._problems: dict[str, KeyFileError] = {}
        self._lock = threading.Lock()

    @property
    def problems(self) -> Mapping[str, KeyFileError]:
        """Keys whose new file could not be opened while the old one still serves, by name."""
        return dict(self._problems)

    def find(self, name: str) -> SigningKey:
        """The key of ``[keys.NAME]``; raises KeyFileError when it is not configured or never could be opened."""
        if name not in self._settings.keys:
            raise KeyFileError("no key of that name is configured", where=name, cure="add [keys.NAME]")
        with self._lock:
            held = self._held.get(name)
            stamp = self._stamp(name)
            if held is not None and stamp in (held.stamp, None):
                return held.key
            try:
                key = self._load(name)
            except KeyFileError as error:
                if held is None:
                    raise
                self._problems[name] = error
                return held.key
            self._problems.pop(name, None)
            self._held[name] = _Held(key, stamp or (0, 0))
            return key

    def _stamp(self, name: str) -> tuple[int, int] | None:
        try:
            status = self._settings.path(self._settings.keys[name].pkcs12).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size

    def _load(self, name: str) -> SigningKey:
        entry = self._settings.keys[name]
        try:
            passphrase = read_secret(entry.passphrase, self._settings)
        except SettingsError as error:
            raise KeyFileError(error.text, code=error.code, where=error.where, cure=error.cure) from None
        return load_pkcs12(
            self._settings.path(entry.pkcs12),
            passphrase,
            entry.owner,
            name=name,
            environment=entry.environment or self._settings.environment,
        )
