"""What ``adapter doctor`` says of ebXML over HTTP: who can reach our endpoint, and the certificates of both ends."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from adapter.cli.doctor_row import Row, row
from adapter.config import Settings

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from adapter.transport.tls import TlsPair

    Countdown = Callable[[str, Certificate, str], Row]  # check, certificate, cure

CLIENT, ENDPOINT = "ebXML client", "receiving endpoint"
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not bound


def client_rows(settings: Settings, countdown: Countdown) -> Iterator[Row]:
    """Until when the certificate is valid that we show to partners (P27)."""
    from adapter.transport.tls import read_pair

    http = settings.ebms_http
    pair = None if http is None else read_pair(settings, http.certificate, http.key, http.key_passphrase, "ebms_http")
    if pair is not None:
        pair.load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), settings)
        yield countdown(CLIENT, _first(pair), "renew the certificate; it is read for each new connection")


def endpoint_rows(settings: Settings, countdown: Countdown) -> Iterator[Row]:
    """Who can reach the endpoint, until when its certificate is valid, and whether somebody listens (P19, P27)."""
    from adapter.transport.tls import read_pair

    receive = settings.receive
    if receive is None:
        return
    pair = read_pair(settings, receive.certificate, receive.key, receive.key_passphrase, "receive")
    if pair is not None:
        pair.load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), settings)
        yield countdown(ENDPOINT, _first(pair), "renew the certificate; it is read again while the service runs")
    else:
        yield row(
            ENDPOINT,
            "ok",
            "a proxy is declared to end TLS in front of it" if receive.behind_proxy else "on loopback only",
        )
    if receive.port:
        yield _listening(receive.host, receive.port)


def _first(pair: TlsPair) -> Certificate:
    from cryptography.x509 import load_pem_x509_certificates

    return load_pem_x509_certificates(pair.certificate.read_bytes())[0]


def _listening(host: str, port: int) -> Row:
    import socket

    try:
        socket.create_connection((ANYWHERE.get(host, host), port), timeout=2.0).close()
    except OSError:
        return row(ENDPOINT, "warning", f"nobody listens on port {port}", "start the service: adapter run")
    return row(ENDPOINT, "ok", f"somebody listens on port {port}")
