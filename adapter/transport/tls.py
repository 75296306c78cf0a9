"""A certificate and its key in PEM files, for either end of a TLS connection."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from adapter.config import Settings, read_secret, refuse_readable
from adapter.config_mail import Secret
from adapter.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPair:
    """Where they are; ``where`` is their place in the settings. The passphrase is read anew each time."""

    certificate: Path
    key: Path
    passphrase: Secret
    where: str

    def load(self, context: ssl.SSLContext, settings: Settings) -> None:
        """Put both into a context.

        Raises SettingsError for a file that is missing, unreadable or open to others, and for two that do not belong
        together; nobody is asked for a passphrase at a terminal.
        """
        refuse_readable(self.key)
        passphrase = read_secret(self.passphrase, settings) or b""
        try:
            context.load_cert_chain(self.certificate, self.key, password=lambda: passphrase)
        except (OSError, ValueError):  # ssl.SSLError is an OSError
            cure = "give PEM files that belong together, and key_passphrase when the key has one"
            text = "a TLS certificate or its key cannot be read"
            raise SettingsError(text, code="TLS.CERTIFICATE", where=f"{self.where}.certificate", cure=cure) from None


def read_pair(
    settings: Settings, certificate: str | None, key: str | None, passphrase: Secret, where: str
) -> TlsPair | None:
    """The pair of a section of the settings, None when it has none."""
    if certificate is None or key is None:
        return None
    return TlsPair(certificate=settings.path(certificate), key=settings.path(key), passphrase=passphrase, where=where)
