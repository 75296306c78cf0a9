"""Who can reach the endpoint (P19), and TLS: its versions, its files, a certificate that is renewed."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from adapter.config import read_settings
from adapter.config_mail import ReceiveSettings
from adapter.errors import SettingsError
from adapter.web.line import Certificate, listen
from adapter.web.receive import Receiver
from tests.transport.pairs import write_pair
from tests.web.caller import Caller
from tests.web.conftest import OpenSite, Site

NAMES = ("fagsystem", "mellomvare", "msh")
SOFTWARE = dict.fromkeys((*NAMES, *(f"{name}_version" for name in NAMES)), "1")
TLS = {"certificate": "endpoint.pem", "key": "endpoint.key"}


def settings(base: Path = Path(), **receive: Any) -> Any:
    tenant = {"name": "a", "organisation_number": "310045101", "her_ids": [8091301]}
    return read_settings({"environment": "test", "software": SOFTWARE, "tenant": [tenant], "receive": receive}, base)


# -- P19 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.0.2.1", "10.0.0.5", "ebxml.example.org", "127.0.0.1.example", ""]
)
def test_p19_without_tls_or_a_proxy_only_loopback_can_be_bound(host: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(host=host)
    assert (caught.value.code, caught.value.where) == ("P19.BIND", "receive.host")
    assert "behind_proxy" in (caught.value.cure or "")
    with pytest.raises(SettingsError, match=r"P19\.BIND"):  # not only where settings are read
        listen(ReceiveSettings(host=host, port=0))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_p19_loopback_needs_nothing_more(host: str) -> None:
    assert settings(host=host).receive.host == host


def test_p19_with_tls_or_a_declared_proxy_any_host_can_be_bound() -> None:
    assert settings(host="0.0.0.0", **TLS).receive.certificate == "endpoint.pem"
    assert settings(host="::", behind_proxy=True).receive.behind_proxy


@pytest.mark.parametrize(("given", "missing"), [("certificate", "key"), ("key", "certificate")])
def test_half_of_tls_is_refused(given: str, missing: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(**{given: "x.pem"})
    assert caught.value.where == f"receive.{missing}"


@pytest.mark.parametrize(
    ("receive", "where"),
    [
        ({"path": "ebxml"}, "receive.path"),
        ({"path": "/"}, "receive.path"),
        ({"path": "/health"}, "receive.path"),
        ({"path": "/ebxml?x=1"}, "receive.path"),
        ({"path": "/{name}"}, "receive.path"),
        ({"port": 65_536}, "receive.port"),
        ({"port": -1}, "receive.port"),
        ({"most_requests": 0}, "receive.most_requests"),
        ({"idle_timeout_s": 0.0}, "receive.idle_timeout_s"),
        ({"prot": 1}, "settings.receive.prot"),
    ],
)
def test_a_faulty_setting_names_its_place(receive: dict[str, Any], where: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(**receive)
    assert caught.value.where == where


def test_a_port_that_is_taken_refuses_to_start(open_site: OpenSite) -> None:
    site = open_site()
    with pytest.raises(SettingsError) as caught:
        listen(ReceiveSettings(port=site.receiver.port))
    assert (caught.value.code, caught.value.where) == ("RECEIVE.BIND", "receive.port")


def test_an_address_that_is_not_ours_refuses_to_start() -> None:
    with pytest.raises(SettingsError, match=r"RECEIVE\.BIND"):
        listen(ReceiveSettings(host="192.0.2.1", port=0, behind_proxy=True))


def test_loopback_of_ipv6_is_served_too(open_site: OpenSite) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    site = open_site(host="::1")
    with socket.create_connection(("::1", site.receiver.port), timeout=5) as line:
        line.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert line.recv(12) == b"HTTP/1.1 200"


def test_localhost_is_the_address_that_everybody_means_by_it() -> None:
    listening = listen(ReceiveSettings(host="localhost", port=0))
    assert listening.getsockname()[0] == "127.0.0.1"
    listening.close()


def test_without_the_section_there_is_no_endpoint(site: Site) -> None:
    plain = site.rig.adapter.parts.settings
    object.__setattr__(plain, "receive", None)
    with pytest.raises(SettingsError) as caught:
        Receiver(site.rig.adapter)
    assert caught.value.where == "receive"


# -- TLS -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tls_site(open_site: OpenSite, tmp_path: Path) -> Callable[..., tuple[Site, ssl.SSLContext]]:
    def opened(**receive: Any) -> tuple[Site, ssl.SSLContext]:
        trusts = write_pair(tmp_path)
        files = {name: str(tmp_path / file) for name, file in TLS.items()}
        return open_site(**files, **receive), trusts

    return opened


def test_a_message_comes_over_tls(tls_site: Callable[..., tuple[Site, ssl.SSLContext]]) -> None:
    site, trusts = tls_site()
    said = Caller(site.receiver.port, trusts).post(*site.note())
    assert said.status == 200
    assert site.rig.steps() == ["received"]


def test_tls_is_1_2_or_later_and_plain_http_gets_no_word(
    tls_site: Callable[..., tuple[Site, ssl.SSLContext]],
) -> None:
    site, trusts = tls_site()
    with socket.create_connection(("127.0.0.1", site.receiver.port), timeout=5) as line:
        trusts.minimum_version = ssl.TLSVersion.TLSv1_2
        trusts.maximum_version = ssl.TLSVersion.TLSv1_2
        with trusts.wrap_socket(line, server_hostname="127.0.0.1") as secure:
            assert secure.version() == "TLSv1.2"
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", site.receiver.port), timeout=5) as line, pytest.raises(OSError):
        old.wrap_socket(line)
    with site.call.line() as line:
        line.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        with suppress(OSError):
            assert not line.recv(100).startswith(b"HTTP")
    assert Caller(site.receiver.port, trusts).get("/health").status == 200


def test_p27_a_renewed_certificate_is_served_without_a_restart(
    tls_site: Callable[..., tuple[Site, ssl.SSLContext]], tmp_path: Path
) -> None:
    site, old = tls_site()
    certificate = site.receiver.certificate
    assert certificate is not None
    assert not certificate.look()
    trusts = write_pair(tmp_path)
    assert certificate.look()
    assert Caller(site.receiver.port, trusts).get("/health").status == 200
    with pytest.raises(ssl.SSLError):
        Caller(site.receiver.port, old).get("/health")


def test_p27_half_a_renewal_leaves_the_old_certificate_in_use(
    tls_site: Callable[..., tuple[Site, ssl.SSLContext]], tmp_path: Path
) -> None:
    site, trusts = tls_site()
    certificate = site.receiver.certificate
    assert certificate is not None
    key = (tmp_path / "endpoint.key").read_bytes()
    write_pair(tmp_path)
    (tmp_path / "endpoint.key").write_bytes(key)
    with pytest.raises(SettingsError, match=r"TLS\.CERTIFICATE"):
        certificate.look()
    assert Caller(site.receiver.port, trusts).get("/health").status == 200


def test_with_authorities_for_callers_only_their_certificates_are_heard(open_site: OpenSite, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("server", "partner", "stranger")]
    for folder in folders:
        folder.mkdir()
        write_pair(folder)
    server, partner, stranger = folders
    files = {name: str(server / file) for name, file in TLS.items()}
    site = open_site(**files, client_ca=str(partner / "endpoint.pem"))
    body, headers = site.note()
    for who in (None, stranger):
        with pytest.raises(OSError):
            Caller(site.receiver.port, showing(server, who)).post(body, headers)
    assert site.rig.steps() == []
    assert Caller(site.receiver.port, showing(server, partner)).post(body, headers).status == 200
    assert site.rig.steps() == ["received"]


def showing(server: Path, who: Path | None) -> ssl.SSLContext:
    """A caller that trusts the server and shows a certificate of its own."""
    context = ssl.create_default_context(cafile=str(server / "endpoint.pem"))
    if who is not None:
        context.load_cert_chain(who / "endpoint.pem", who / "endpoint.key")
    return context


def test_authorities_for_callers_need_tls_of_ours_and_a_file_that_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(client_ca="partners.pem", behind_proxy=True)
    assert caught.value.where == "receive.client_ca"
    write_pair(tmp_path)
    with pytest.raises(SettingsError) as caught:
        made(tmp_path, client_ca="nowhere.pem")
    assert (caught.value.code, caught.value.where) == ("TLS.CERTIFICATE", "receive.client_ca")


def test_a_key_with_a_passphrase_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pair(tmp_path, passphrase=b"hemmelig")
    with pytest.raises(SettingsError) as caught:  # and nobody is asked at a terminal
        made(tmp_path)
    assert (caught.value.code, caught.value.where) == ("TLS.CERTIFICATE", "receive.certificate")
    monkeypatch.setenv("TLS_WORD", "hemmelig")
    assert made(tmp_path, key_passphrase={"env": "TLS_WORD"}).context


def test_p21_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    write_pair(tmp_path)
    os.chmod(tmp_path / "endpoint.key", 0o640)
    with pytest.raises(SettingsError) as caught:
        made(tmp_path)
    assert caught.value.code == "KEY.READABLE"


@pytest.mark.parametrize("name", ["endpoint.pem", "endpoint.key"])
@pytest.mark.parametrize("content", [None, b"", b"no PEM"], ids=["missing", "empty", "no pem"])
def test_files_that_are_none_refuse_to_start(tmp_path: Path, name: str, content: bytes | None) -> None:
    write_pair(tmp_path)
    file = tmp_path / name
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"TLS\.CERTIFICATE|KEY\.MISSING"):
        made(tmp_path)


def made(folder: Path, **receive: Any) -> Certificate:
    plain = settings(folder, **TLS, **receive)
    return Certificate(plain, plain.receive)
