"""ebXML over HTTP, our calls: POST a packed message and give back the synchronous answer with its outcome (P2).

A POST that may have been handled is never repeated here: what is not surely refused or surely answered is unknown.
Import this module lazily: requests takes 0.1 s to load.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from adapter.config import Settings, read_secret
from adapter.config_mail import EbmsHttpSettings
from adapter.errors import AccessError, RemoteRefusalError, TransportError, UnknownOutcomeError
from adapter.transport.call import Answer, Body, Limits
from adapter.transport.http import HttpClient
from adapter.transport.tls import read_pair
from adapter.transport.urls import read_base_url

_BLOCK_BYTES = 262_144
_READABLE = ("text/xml", "application/xml", "application/soap+xml", "multipart/related")
_NOT_TAKEN = (408, 425, 429, 503)  # by their definitions the request was not carried out


@dataclass(frozen=True, slots=True)
class SyncAnswer:
    """What the partner answered in the response: a message, a signal, a SOAP Fault (500), or nothing (202, 204)."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Shown:
    """The certificate that we show to servers that ask, and its key (PEM)."""

    certificate: Path
    key: Path
    passphrase: bytes | None = field(default=None, repr=False)


def open_client(settings: Settings) -> EbmsHttpClient:
    """The client that the settings describe. Raises SettingsError for a certificate of ours that is of no use."""
    http = settings.ebms_http or EbmsHttpSettings()
    ca_file = settings.path(http.ca_file) if http.ca_file is not None else None
    pair = read_pair(settings, http.certificate, http.key, http.key_passphrase, "ebms_http")
    if pair is None:
        return EbmsHttpClient(http, ca_file=ca_file)
    pair.load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), settings)
    shown = Shown(pair.certificate, pair.key, read_secret(http.key_passphrase, settings))
    return EbmsHttpClient(http, ca_file=ca_file, shown=shown)


class EbmsHttpClient:
    """Posts packed messages. Safe to share between threads."""

    def __init__(self, settings: EbmsHttpSettings, *, ca_file: Path | None = None, shown: Shown | None = None) -> None:
        limits = Limits(
            connect_timeout_s=settings.connect_timeout_s,
            read_timeout_s=settings.read_timeout_s,
            total_timeout_s=settings.total_timeout_s,
            response_limit_bytes=settings.response_limit_bytes,
        )
        verify = str(ca_file) if ca_file is not None else True
        if shown is None:
            self._http = HttpClient(limits, verify=verify)
        else:
            files = str(shown.certificate), str(shown.key)
            self._http = HttpClient(limits, verify=verify, certificate=files, passphrase=shown.passphrase)

    def post(self, url: str, headers: Iterable[tuple[str, str]], pieces: Iterable[bytes]) -> SyncAnswer:
        """Send one message, ``pieces`` being its body in order; gives the answer when there is one to read.

        Raises SettingsError for an address that is not https (http on loopback), TransportError when nothing was taken
        (no connection, 408, 425, 429, 503), AccessError for 401 and 403, RemoteRefusalError for a redirect and for any
        other 4xx without an ebXML answer, UnknownOutcomeError when the message left and no readable answer came.
        """
        read_base_url(url.partition("?")[0], "endpoint")
        content = tuple(pieces)
        body = Body(lambda: _blocks(content), sum(map(len, content)))
        named = {name: " ".join(value.split()) for name, value in headers}  # a folded header is for mail
        answer = self._http.call("POST", url, headers=named, body=body, safe=False)
        return _judge(answer)

    def close(self) -> None:
        """End the sessions; calls under way fail as broken connections."""
        self._http.close()


def _blocks(pieces: tuple[bytes, ...]) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), _BLOCK_BYTES):
            yield piece[start : start + _BLOCK_BYTES]


def _judge(answer: Answer) -> SyncAnswer:
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    readable = kind in _READABLE and len(answer.body) > 0
    if answer.broken is None and (readable or 200 <= answer.status < 300):
        return SyncAnswer(answer.status, answer.headers, bytes(answer.body))
    if answer.status in (401, 403):
        raise AccessError("the partner's endpoint refused us", status=answer.status)
    if answer.status in _NOT_TAKEN:
        raise TransportError(
            f"the partner's endpoint did not take the message ({answer.status})", retry_after_s=_wait(answer)
        )
    if 300 <= answer.status < 500:
        raise RemoteRefusalError("the partner's endpoint refused the message", status=answer.status)
    why = answer.broken or f"status {answer.status} without an ebXML answer"
    raise UnknownOutcomeError(f"no readable answer after the message was sent: {why}")


def _wait(answer: Answer) -> float | None:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None
