"""Which addresses we are willing to call (P20)."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from adapter.errors import SettingsError


def read_base_url(url: str, where: str) -> str:
    """``url`` without a trailing slash; raises SettingsError unless it is https, or http on loopback, and plain."""
    try:
        parts = urlsplit(url)
        port_is_sound = parts.port is None or parts.port > 0
    except ValueError:
        raise SettingsError("not an address", code="SETTINGS.URL", where=where) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_sound:
        raise SettingsError("an https address is expected", code="SETTINGS.URL", where=where)
    if parts.username is not None or parts.query or parts.fragment:
        cure = "leave out user, query and fragment"
        raise SettingsError("the address holds more than a place", code="SETTINGS.URL", where=where, cure=cure)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise SettingsError(
            "plain http is allowed on loopback only", code="SETTINGS.URL", where=where, cure="use https"
        )
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """True for localhost and loopback addresses; no name is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port, with the scheme's default port filled in."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").lower(), port
