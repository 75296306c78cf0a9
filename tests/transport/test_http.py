"""The guarded HTTP client: connections, TLS, redirects, chunks, deadlines."""

from __future__ import annotations

import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapter.errors import TransportError, UnknownOutcomeError
from adapter.transport.call import Body, Limits
from adapter.transport.http import HttpClient
from tests.transport.loopback import Loopback, Reply

FAST = Limits(connect_timeout_s=2.0, read_timeout_s=2.0, total_timeout_s=0.3, response_limit_bytes=100_000)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(otherwise=Reply(body={"a": 1})) as running:
        yield running


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body={"a": 1}),
        Reply(status=201, body="x"),
        Reply(status=204),
        Reply(status=400, body=b""),
        Reply(status=404, body={"error": "x"}),
        Reply(status=302, headers={"Location": "/elsewhere"}),
    ],
)
def test_a_connection_serves_many_calls(reply: Reply) -> None:
    with Loopback(otherwise=reply) as server:
        client = HttpClient()
        for _ in range(3):
            body = Body.of(b"{}")
            assert client.call("POST", server.url, headers={}, body=body, safe=False).status == reply.status
        assert server.connections == 1


def test_each_thread_has_a_connection_of_its_own(server: Loopback) -> None:
    client = HttpClient()
    both_there = threading.Barrier(2)

    def call() -> None:
        both_there.wait()
        client.call("GET", server.url, headers={})
        client.call("GET", server.url, headers={})

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (server.connections, len(server.asked)) == (2, 4)


def test_p20_a_redirect_is_not_followed_and_its_body_is_bounded(server: Loopback) -> None:
    server.script.append(Reply(status=302, body=b"x" * 500_000, headers={"Location": f"{server.url}/next"}))
    answer = HttpClient(FAST).call("GET", server.url, headers={})
    assert (answer.status, answer.broken) == (302, "the answer is larger than the limit")
    assert len(server.asked) == 1


def test_a_redirect_to_nonsense_is_an_answer_like_others(server: Loopback) -> None:
    server.script.append(Reply(status=301, headers={"Location": "http://[::1"}))
    assert HttpClient().call("GET", server.url, headers={}).status == 301


@pytest.mark.parametrize(
    ("body", "content", "broken"),
    [
        (b"2\r\n[]\r\n0\r\n\r\n", b"[]", None),
        (b"2\r\n[]\r\n", b"", "the answer was cut short"),
        (b"zz\r\n[]\r\n", b"", "the answer was cut short"),
    ],
)
def test_an_answer_in_chunks_is_put_together_or_called_broken(
    server: Loopback, body: bytes, content: bytes, broken: str | None
) -> None:
    server.script.append(Reply(body=body, headers={"Transfer-Encoding": "chunked", "Connection": "close"}))
    answer = HttpClient().call("GET", server.url, headers={})
    assert (bytes(answer.body), answer.broken) == (content, broken)


def test_a_refusal_whose_body_is_cut_keeps_its_status(server: Loopback) -> None:
    server.script.append(Reply(status=400, body=b"x" * 1000, fault="cut_body"))
    answer = HttpClient().call("POST", server.url, headers={}, body=Body.of(b"{}"), safe=False)
    assert (answer.status, answer.broken) == (400, "the answer was cut short")


def test_p2_an_upload_that_nobody_reads_is_cut_and_unknown(server: Loopback) -> None:
    server.deaf = True
    body = Body(lambda: iter([b"x" * 100_000] * 400), 40_000_000)
    began = time.monotonic()
    with pytest.raises(UnknownOutcomeError, match="took too long"):
        HttpClient(FAST).call("POST", server.url, headers={}, body=body, safe=False)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:1/\x00", "https://127.0.0.1:99999/"])
def test_an_address_that_cannot_be_called_is_a_transport_error(url: str) -> None:
    with pytest.raises(TransportError):
        HttpClient().call("GET", url, headers={})


def test_a_header_that_cannot_be_sent_is_a_transport_error(server: Loopback) -> None:
    with pytest.raises(TransportError, match="header"):
        HttpClient().call("GET", server.url, headers={"x": "a\r\nb"})
    assert server.asked == []


def test_p21_a_failure_names_no_address(server: Loopback) -> None:
    server.script.append(Reply(fault="no_answer"))
    with pytest.raises(TransportError) as caught:
        HttpClient().call("GET", f"{server.url}/secret-path", headers={})
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


def test_the_environments_proxies_are_not_used(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert HttpClient().call("GET", server.url, headers={}).status == 200


def test_p2_closing_breaks_off_the_calls_under_way(server: Loopback) -> None:
    server.script.append(Reply(fault="silence"))
    client = HttpClient()
    caught: list[Exception] = []

    def call() -> None:
        try:
            client.call("POST", server.url, headers={}, body=Body.of(b"{}"), safe=False)
        except TransportError as error:
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert server.heard.wait(5)
    client.close()
    thread.join(5)
    assert [(type(error), "stopping" in str(error)) for error in caught] == [(UnknownOutcomeError, True)]
    assert client.call("GET", server.url, headers={}).status == 200


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "loopback.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[Loopback]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Loopback(otherwise=Reply(body={"a": 1}), tls=context) as running:
        yield running


def test_a_server_with_a_known_certificate_is_called(tls_server: Loopback, certificate: Path) -> None:
    client = HttpClient(verify=str(certificate))
    answer = client.call("POST", tls_server.url, headers={}, body=Body.of(b"{}"), safe=False)
    assert (answer.status, bytes(answer.body)) == (200, b'{"a": 1}')


def test_p20_a_server_with_an_unknown_certificate_gets_nothing(tls_server: Loopback) -> None:
    with pytest.raises(TransportError, match="TLS") as caught:
        HttpClient().call("POST", tls_server.url, headers={}, body=Body.of(b"{}"), safe=False)
    assert type(caught.value) is TransportError
    assert tls_server.asked == []


@pytest.mark.parametrize("reply", [Reply(fault="drip_head"), Reply(fault="silence"), Reply(fault="no_answer")])
def test_p2_deadlines_and_cuts_hold_under_tls_too(tls_server: Loopback, certificate: Path, reply: Reply) -> None:
    tls_server.script.append(reply)
    client = HttpClient(FAST, verify=str(certificate))
    with pytest.raises(UnknownOutcomeError):
        client.call("POST", tls_server.url, headers={}, body=Body.of(b"{}"), safe=False)
    assert client.call("GET", tls_server.url, headers={}).status == 200


def test_p2_a_slow_body_under_tls_is_called_broken(tls_server: Loopback, certificate: Path) -> None:
    tls_server.script.append(Reply(body=b"x" * 5000, fault="drip_body"))
    answer = HttpClient(FAST, verify=str(certificate)).call("GET", tls_server.url, headers={})
    assert answer.broken == "the call took too long"
