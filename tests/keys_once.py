"""Each PKCS#12 file is put together and opened once per process, however many adapters have it.

OpenSSL proves that the primes of a key are prime whenever it opens one: a twentieth of a second, thousands of times in
a run. The same bytes with the same passphrase hold the same key, and a refusal is not remembered.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12

_write, _open = pkcs12.serialize_key_and_certificates, pkcs12.load_key_and_certificates


@lru_cache(maxsize=512)
def _written(name: bytes, key: Any, certificate: Any, others: tuple[Any, ...]) -> bytes:
    return _write(name, key, certificate, others or None, NoEncryption())


def _write_once(name: Any, key: Any, certificate: Any, others: Any, lock: Any) -> bytes:
    if not isinstance(lock, NoEncryption):
        return _write(name, key, certificate, others, lock)
    return _written(name, key, certificate, tuple(others or ()))


def open_keys_once() -> None:
    """From now on, in this process."""
    pkcs12.serialize_key_and_certificates = _write_once  # type: ignore[assignment]
    pkcs12.load_key_and_certificates = lru_cache(maxsize=512)(_open)
