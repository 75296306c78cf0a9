"""ebXML over HTTP: the synchronous answer, or the right kind of no answer (P2, P20)."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapter.config import Settings, read_settings
from adapter.config_mail import EbmsHttpSettings, Secret
from adapter.errors import AccessError, Again, RemoteRefusalError, SettingsError, TransportError, UnknownOutcomeError
from adapter.transport.ebms_http import EbmsHttpClient, open_client
from tests.transport.loopback import Loopback, Reply, closed_port
from tests.transport.mail_servers import server_context
from tests.transport.pairs import write_pair

FAST = EbmsHttpSettings(connect_timeout_s=2.0, read_timeout_s=2.0, total_timeout_s=0.4, response_limit_bytes=100_000)
HEADERS = (("SOAPAction", '"ebXML"'), ("Content-Type", 'multipart/related; type="text/xml";\r\n\tboundary="b"'))
XML = {"Content-Type": "text/xml; charset=UTF-8"}
FAULT = b"<SOAP:Envelope/>"
NAMES = ("fagsystem", "mellomvare", "msh", "fagsystem_version", "mellomvare_version", "msh_version")
PLAIN = {
    "environment": "test",
    "software": dict.fromkeys(NAMES, "1"),
    "tenant": [{"name": "a", "organisation_number": "310045101", "her_ids": [8091301]}],
}


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(otherwise=Reply(body=FAULT, headers=XML)) as running:
        yield running


def post(server: Loopback, client: EbmsHttpClient | None = None) -> object:
    return (client or EbmsHttpClient(FAST)).post(f"{server.url}/ebms/sync", HEADERS, (b"--b\r\n", b"x"))


def test_the_message_arrives_as_it_is_and_the_answer_comes_back(server: Loopback) -> None:
    server.script.append(Reply(body=b"--c\r\nmixed", headers={"Content-Type": 'Multipart/Related; boundary="c"'}))
    answer = EbmsHttpClient(FAST).post(f"{server.url}/ebms/sync?x=1", HEADERS, (b"--b\r\n", b"x" * 600_000, b"", b"y"))
    assert (answer.status, answer.body) == (200, b"--c\r\nmixed")
    assert answer.headers["content-type"] == 'Multipart/Related; boundary="c"'
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/ebms/sync?x=1", b"--b\r\n" + b"x" * 600_000 + b"y")
    assert asked.headers["soapaction"] == '"ebXML"'
    assert asked.headers["content-type"] == 'multipart/related; type="text/xml"; boundary="b"'
    assert asked.headers["content-length"] == str(len(asked.body))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=200, body=FAULT, headers=XML),
        Reply(status=202),
        Reply(status=204),
        Reply(status=200, body=b""),
        Reply(status=500, body=FAULT, headers=XML),
        Reply(status=400, body=FAULT, headers={"Content-Type": "TEXT/XML"}),
        Reply(status=503, body=FAULT, headers=XML),
    ],
)
def test_what_can_be_read_is_an_answer_whatever_its_status(server: Loopback, reply: Reply) -> None:
    server.script.append(reply)
    answer = EbmsHttpClient(FAST).post(server.url, HEADERS, (b"x",))
    assert (answer.status, answer.body) == (reply.status, reply.content)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 503])
def test_what_was_not_taken_may_be_tried_again(server: Loopback, status: int) -> None:
    server.script.append(Reply(status=status, headers={"Retry-After": "17"}))
    with pytest.raises(TransportError) as caught:
        post(server)
    assert (caught.value.again, caught.value.retry_after_s) == (Again.LATER, 17.0)


@pytest.mark.parametrize("wait", ["", "soon", "-1", "9999999", "²"])
def test_an_odd_wait_is_no_wait(server: Loopback, wait: str) -> None:
    headers = {"Retry-After": wait} if wait.isascii() else {}
    server.script.append(Reply(status=503, headers=headers))
    with pytest.raises(TransportError) as caught:
        post(server)
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize("status", [401, 403])
def test_an_endpoint_that_does_not_know_us_is_an_access_error(server: Loopback, status: int) -> None:
    server.script.append(Reply(status=status, body=b"<html>", headers={"Content-Type": "text/html"}))
    with pytest.raises(AccessError) as caught:
        post(server)
    assert caught.value.status == status


@pytest.mark.parametrize("status", [301, 307, 400, 404, 413, 415])
def test_p20_a_refusal_is_final_and_a_redirect_is_one(server: Loopback, status: int) -> None:
    server.script.append(Reply(status=status, headers={"Location": f"{server.url}/elsewhere"}))
    with pytest.raises(RemoteRefusalError) as caught:
        post(server)
    assert caught.value.status == status
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply(fault="no_answer"),
        Reply(fault="silence"),
        Reply(fault="drip_head"),
        Reply(body=b"x" * 50, headers=XML, fault="cut_body"),
        Reply(body=b"x" * 5000, headers=XML, fault="drip_body"),
        Reply(body=b"x" * 100_001, headers=XML),
        Reply(body=FAULT, headers={**XML, "Content-Encoding": "gzip"}),
        Reply(status=500),
        Reply(status=500, body=b"<html>", headers={"Content-Type": "text/html"}),
        Reply(status=502),
        Reply(status=504),
    ],
)
def test_p2_a_message_that_left_and_has_no_readable_answer_is_unknown(server: Loopback, reply: Reply) -> None:
    server.script.append(reply)
    began = time.monotonic()
    with pytest.raises(UnknownOutcomeError) as caught:
        post(server)
    assert caught.value.again is Again.AFTER_PROOF
    assert time.monotonic() - began < 3
    assert len(server.asked) == 1


def test_p2_a_server_that_does_not_read_leaves_the_outcome_unknown(server: Loopback) -> None:
    server.deaf = True
    with pytest.raises(UnknownOutcomeError):
        EbmsHttpClient(FAST).post(server.url, HEADERS, [b"x" * 40_000_000])


def test_p2_nobody_there_is_for_later() -> None:
    with pytest.raises(TransportError) as caught:
        EbmsHttpClient(FAST).post(f"http://127.0.0.1:{closed_port()}/", HEADERS, (b"x",))
    assert caught.value.again is Again.LATER


@pytest.mark.parametrize("url", ["http://partner.example.org/msh", "ftp://127.0.0.1/", "https://u:p@x.example/", "x"])
def test_p20_an_address_that_is_not_private_is_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        EbmsHttpClient(FAST).post(url, HEADERS, (b"x",))


def test_p20_certificates_are_checked(certificate: Path) -> None:
    with Loopback(otherwise=Reply(body=FAULT, headers=XML), tls=server_context(certificate)) as server:
        slow = replace(FAST, total_timeout_s=5.0)
        with pytest.raises(TransportError, match="TLS"):
            post(server, EbmsHttpClient(slow))
        assert server.asked == []
        assert post(server, EbmsHttpClient(slow, ca_file=certificate))


def test_the_client_is_made_from_the_settings(certificate: Path, tmp_path: Path) -> None:
    settings: Settings = read_settings(PLAIN, tmp_path)
    open_client(settings).close()
    (tmp_path / "ca.pem").write_bytes(certificate.read_bytes())
    with Loopback(otherwise=Reply(body=FAULT, headers=XML), tls=server_context(certificate)) as server:
        client = open_client(replace(settings, ebms_http=EbmsHttpSettings(ca_file="ca.pem")))
        assert post(server, client)
        client.close()


@pytest.mark.parametrize("passphrase", [None, b"hemmelig"], ids=["open key", "passphrase"])
def test_a_partner_that_asks_who_calls_is_shown_our_certificate(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passphrase: bytes | None
) -> None:
    write_pair(tmp_path, passphrase)
    monkeypatch.setenv("TLS_WORD", "hemmelig")
    (tmp_path / "ca.pem").write_bytes(certificate.read_bytes())
    asking = server_context(certificate)
    asking.load_verify_locations(tmp_path / "endpoint.pem")
    asking.verify_mode = ssl.CERT_REQUIRED
    with Loopback(otherwise=Reply(body=FAULT, headers=XML), tls=asking) as server:
        with pytest.raises(TransportError):
            post(server, EbmsHttpClient(FAST, ca_file=certificate))
        assert server.asked == []
        client = open_client(with_certificate(tmp_path, "TLS_WORD" if passphrase else None))
        assert post(server, client)
        client.close()


@pytest.mark.parametrize("fault", ["no passphrase", "other key", "readable", "missing"])
def test_a_certificate_of_ours_that_is_of_no_use_names_its_place(tmp_path: Path, fault: str) -> None:
    write_pair(tmp_path, b"hemmelig" if fault == "no passphrase" else None)
    if fault == "other key":
        pem = (tmp_path / "endpoint.pem").read_bytes()
        write_pair(tmp_path)
        (tmp_path / "endpoint.pem").write_bytes(pem)
    if fault == "readable":
        (tmp_path / "endpoint.key").chmod(0o644)
    if fault == "missing":
        (tmp_path / "endpoint.pem").unlink()
    with pytest.raises(SettingsError) as caught:
        open_client(with_certificate(tmp_path, None))
    assert caught.value.code == ("KEY.READABLE" if fault == "readable" else "TLS.CERTIFICATE")


def with_certificate(folder: Path, env: str | None) -> Settings:
    http = EbmsHttpSettings(
        ca_file="ca.pem", certificate="endpoint.pem", key="endpoint.key", key_passphrase=Secret(env=env)
    )
    return replace(read_settings(PLAIN, folder), ebms_http=http)


def test_half_of_a_certificate_of_ours_is_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({**PLAIN, "ebms_http": {"certificate": "x.pem"}}, Path())
    assert caught.value.where == "ebms_http.key"
