"""The private keys a HelseID client is registered with: the one in use and the next (P27)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adapter.errors import KeyFileError

if TYPE_CHECKING:
    from adapter.transport.jose import SigningJwk


class KeyRing:
    """The client key, and the next one beside it as soon as its file is there (P27); read again when they change."""

    def __init__(self, current: Path, following: Path | None = None) -> None:
        self._current = current
        self._following = following
        self._loaded: dict[Path, tuple[tuple[int, int, int], SigningJwk]] = {}

    def current(self) -> SigningJwk:
        """The key in use; raises KeyFileError."""
        return self._load(self._current)

    def following(self) -> SigningJwk | None:
        """The next key when its file exists; raises KeyFileError for one that cannot be used."""
        if self._following is None or not self._following.exists():
            return None
        return self._load(self._following)

    def _load(self, path: Path) -> SigningJwk:
        from adapter.transport.jose import load_jwk

        try:
            found = path.stat()
        except OSError:
            raise KeyFileError("the key file is missing", code="KEY.MISSING", where=path.name) from None
        changed = (found.st_mtime_ns, found.st_size, found.st_ino)
        known = self._loaded.get(path)
        if known is None or known[0] != changed:
            known = (changed, load_jwk(path))
            self._loaded[path] = known
        return known[1]
