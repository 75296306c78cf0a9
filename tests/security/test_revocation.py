"""OCSP and CRL against a real responder on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from adapter.security import revocation
from adapter.security.demo_ca import DemoCa
from adapter.security.keys import SigningKey
from adapter.security.revocation import Bounds, RevocationClient, Standing

NOW = datetime.now(UTC).replace(microsecond=0)
Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


def reply(content: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler, _: bytes) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    return answer


@dataclass
class Responder:
    """A server whose answers the test sets: by path, from the request's body."""

    server: ThreadingHTTPServer
    answers: dict[str, Answer] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"


@pytest.fixture
def responder() -> Iterator[Responder]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            one.seen.append(f"{self.command} {self.path}")
            one.answers.get(self.path, reply(b"", 404))(self, body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    one = Responder(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
    thread = threading.Thread(target=one.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield one
    one.server.shutdown()
    one.server.server_close()
    thread.join()


@dataclass
class Issuer:
    """A CA whose certificates point to the responder, and one certificate by it."""

    ca: DemoCa
    key: SigningKey

    def ocsp_answer(self, life: timedelta = timedelta(hours=4)) -> Answer:
        return lambda request, body: reply(self.ca.ocsp(body, self.key.certificate, life=life))(request, body)

    def check(self, client: RevocationClient, when: datetime | None = None) -> Standing:
        return client.check(self.key.certificate, self.ca.certificate, when or NOW)


def issuer(
    responder: Responder,
    leaf_key: rsa.RSAPrivateKey,
    ca_of_run: DemoCa,
    *,
    with_ocsp: bool = True,
    with_crl: bool = True,
) -> Issuer:
    ca = DemoCa(certificate=ca_of_run.certificate, private_key=ca_of_run.private_key, clock=lambda: NOW)
    ca.ocsp_url = responder.url("/ocsp") if with_ocsp else None
    ca.crl_url = responder.url("/crl") if with_crl else None
    return Issuer(ca, ca.issue_company("X", "974760673", key=leaf_key))


@pytest.fixture
def both(responder: Responder, leaf_key: rsa.RSAPrivateKey, ca: DemoCa) -> Issuer:
    return issuer(responder, leaf_key, ca)


@pytest.fixture
def client(responder: Responder) -> RevocationClient:
    return RevocationClient([responder.host], bounds=Bounds(connect_s=1, read_s=0.3, total_s=0.6, crl_bytes=100_000))


def test_ocsp_says_good(responder: Responder, both: Issuer, client: RevocationClient) -> None:
    responder.answers["/ocsp"] = both.ocsp_answer()
    assert both.check(client) is Standing.GOOD
    assert responder.seen == ["POST /ocsp"]


def test_ocsp_says_revoked(responder: Responder, both: Issuer, client: RevocationClient) -> None:
    both.ca.revoke(both.key.certificate)
    responder.answers["/ocsp"] = both.ocsp_answer()
    assert both.check(client) is Standing.REVOKED


def test_the_crl_is_asked_when_ocsp_is_silent(responder: Responder, both: Issuer, client: RevocationClient) -> None:
    responder.answers["/crl"] = reply(both.ca.crl())
    assert both.check(client) is Standing.GOOD
    assert responder.seen == ["POST /ocsp", "GET /crl"]


def test_the_crl_says_revoked(
    responder: Responder, leaf_key: rsa.RSAPrivateKey, ca: DemoCa, client: RevocationClient
) -> None:
    one = issuer(responder, leaf_key, ca, with_ocsp=False)
    one.ca.revoke(one.key.certificate)
    responder.answers["/crl"] = reply(one.ca.crl())
    assert one.check(client) is Standing.REVOKED


def test_a_crl_in_pem_is_read_too(responder: Responder, both: Issuer, client: RevocationClient) -> None:
    pem = x509.load_der_x509_crl(both.ca.crl()).public_bytes(Encoding.PEM)
    responder.answers["/crl"] = reply(pem)
    assert both.check(client) is Standing.GOOD


def test_p17_silence_is_unchecked_and_never_revoked(both: Issuer, client: RevocationClient) -> None:
    assert both.check(client) is Standing.UNCHECKED


def test_a_certificate_that_names_no_place_is_unchecked(
    ca: DemoCa, company: SigningKey, client: RevocationClient
) -> None:
    assert client.check(company.certificate, ca.certificate, NOW) is Standing.UNCHECKED


def test_answers_are_kept_until_they_end(responder: Responder, both: Issuer, client: RevocationClient) -> None:
    responder.answers["/ocsp"] = both.ocsp_answer(life=timedelta(minutes=10))
    for minutes in (0, 9, 11):
        both.ca.clock = lambda m=minutes: NOW + timedelta(minutes=m)
        assert both.check(client, NOW + timedelta(minutes=minutes)) is Standing.GOOD
    assert responder.seen == ["POST /ocsp"] * 2


def test_answers_are_kept_an_hour_at_most(responder: Responder, both: Issuer, client: RevocationClient) -> None:
    responder.answers["/ocsp"] = both.ocsp_answer(life=timedelta(days=7))
    both.check(client)
    both.ca.revoke(both.key.certificate)
    assert both.check(client, NOW + timedelta(minutes=59)) is Standing.GOOD
    assert both.check(client, NOW + timedelta(minutes=61)) is Standing.REVOKED


def test_one_crl_serves_all_certificates_of_an_issuer(
    responder: Responder, leaf_key: rsa.RSAPrivateKey, ca: DemoCa, client: RevocationClient
) -> None:
    one = issuer(responder, leaf_key, ca, with_ocsp=False)
    other = one.ca.issue_company("Y", "991825827", key=leaf_key)
    one.ca.revoke(other.certificate)
    responder.answers["/crl"] = reply(one.ca.crl())
    assert one.check(client) is Standing.GOOD
    assert client.check(other.certificate, one.ca.certificate, NOW) is Standing.REVOKED
    assert responder.seen == ["GET /crl"]


def test_a_place_that_failed_is_left_alone_for_a_minute(
    responder: Responder, both: Issuer, client: RevocationClient
) -> None:
    both.check(client)
    responder.answers["/ocsp"] = both.ocsp_answer()
    assert both.check(client, NOW + timedelta(seconds=59)) is Standing.UNCHECKED
    assert responder.seen == ["POST /ocsp", "GET /crl"]
    assert both.check(client, NOW + timedelta(seconds=61)) is Standing.GOOD


# --- the leash --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hosts", [[], ["ocsp.example.no"], ["127.0.0.1"], ["127.0.0.1:1"]])
def test_p20_hosts_that_are_not_on_the_list_are_not_asked(hosts: list[str], responder: Responder, both: Issuer) -> None:
    responder.answers["/ocsp"] = both.ocsp_answer()
    assert both.check(RevocationClient(hosts)) is Standing.UNCHECKED
    assert responder.seen == []


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://ocsp.example.no/x", True),
        ("https://OCSP.example.no:443/x", True),
        ("http://ocsp.example.no:8080/x", False),
        ("http://crl.example.no:8080/x", True),
        ("http://crl.example.no/x", False),
        ("http://ocsp.example.no@evil.example/x", False),
        ("http://user@ocsp.example.no/x", False),
        ("ldap://ocsp.example.no/x", False),
        ("file:///etc/passwd", False),
        ("http://ocsp.example.no.evil.example/", False),
        ("http://ocsp.example.no:port/", False),
        ("http:///x", False),
    ],
)
def test_p20_a_host_is_allowed_by_its_exact_name(url: str, allowed: bool) -> None:
    client = RevocationClient(["ocsp.example.no", "CRL.example.no:8080"])
    assert client._allowed(url) is allowed


def test_p20_redirects_are_not_followed(responder: Responder, both: Issuer, client: RevocationClient) -> None:
    responder.answers["/ocsp"] = reply(b"", 302, Location="/good")
    responder.answers["/good"] = both.ocsp_answer()
    assert both.check(client) is Standing.UNCHECKED
    assert "POST /good" not in responder.seen
    assert "GET /good" not in responder.seen


def test_p20_an_answer_over_the_limit_is_dropped(responder: Responder, both: Issuer, client: RevocationClient) -> None:
    responder.answers["/crl"] = reply(both.ca.crl() + b"\0" * 200_000)
    assert both.check(client) is Standing.UNCHECKED


def test_p20_a_slow_answer_is_not_waited_for(responder: Responder, both: Issuer, client: RevocationClient) -> None:
    go_on = threading.Event()

    def drip(request: BaseHTTPRequestHandler, _: bytes) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100000")
        request.end_headers()
        while not go_on.wait(0.1):
            request.wfile.write(b"x" * 4096)

    responder.answers["/ocsp"] = lambda *_: go_on.wait(5) and None
    responder.answers["/crl"] = drip
    started = time.monotonic()
    assert both.check(client) is Standing.UNCHECKED
    assert time.monotonic() - started < 4
    go_on.set()


def test_a_server_that_is_not_there_is_unchecked(responder: Responder, both: Issuer) -> None:
    client = RevocationClient([responder.host], bounds=Bounds(connect_s=0.5))
    responder.server.server_close()
    assert both.check(client) is Standing.UNCHECKED


def test_a_caller_may_bring_a_session(responder: Responder, both: Issuer) -> None:
    with requests.Session() as session:
        session.headers["X-Brought"] = "1"
        responder.answers["/ocsp"] = both.ocsp_answer()
        assert both.check(RevocationClient([responder.host], session=session)) is Standing.GOOD


# --- answers that prove nothing ---------------------------------------------------------------------------------------


def request_for(one: Issuer, certificate: x509.Certificate | None = None) -> bytes:
    builder = ocsp.OCSPRequestBuilder()
    asked = builder.add_certificate(certificate or one.key.certificate, one.ca.certificate, hashes.SHA1())
    return asked.build().public_bytes(Encoding.DER)


def read(one: Issuer, content: bytes, when: datetime = NOW) -> Standing | None:
    found = revocation.read_ocsp(content, one.key.certificate, one.ca.certificate, when)
    return found[0] if found else None


def test_an_ocsp_answer_must_be_current_and_about_this_certificate(both: Issuer, leaf_key: rsa.RSAPrivateKey) -> None:
    good = both.ca.ocsp(request_for(both), both.key.certificate)
    assert read(both, good) is Standing.GOOD
    assert read(both, good, NOW + timedelta(hours=5)) is None
    assert read(both, good, NOW - timedelta(hours=1)) is None
    other = both.ca.issue_company("Y", "991825827", key=leaf_key)
    assert read(both, both.ca.ocsp(request_for(both, other.certificate), other.certificate)) is None


def test_an_ocsp_answer_must_be_signed_by_the_issuer(both: Issuer) -> None:
    good = both.ca.ocsp(request_for(both), both.key.certificate)
    assert read(both, good[:-1] + bytes([good[-1] ^ 1])) is None
    assert read(both, b"") is None
    assert read(both, b"\x30\x03\x0a\x01\x06") is None
    refused = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    assert read(both, refused.public_bytes(Encoding.DER)) is None
    twin = DemoCa.create(clock=lambda: NOW)
    assert read(both, answered(both, Status.GOOD, twin.private_key, twin.certificate)) is None


Status = ocsp.OCSPCertStatus


def delegated(one: Issuer, usage: x509.ObjectIdentifier, *, by: DemoCa | None = None, days: int = 1) -> bytes:
    """An answer signed with an elliptic key that the issuer has certified for ``usage``."""
    key, signer = ec.generate_private_key(ec.SECP256R1()), by or one.ca
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(signer.certificate.subject)
    builder = builder.public_key(key.public_key()).serial_number(5).not_valid_before(NOW - timedelta(days=9))
    builder = builder.not_valid_after(NOW + timedelta(days=days)).add_extension(x509.ExtendedKeyUsage([usage]), False)
    certificate = builder.sign(signer.private_key, hashes.SHA256())
    return answered(one, Status.GOOD, key, certificate)


def answered(
    one: Issuer,
    status: ocsp.OCSPCertStatus,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    responder: x509.Certificate,
    end: datetime | None = None,
) -> bytes:
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=one.key.certificate,
        issuer=one.ca.certificate,
        algorithm=hashes.SHA1(),
        cert_status=status,
        this_update=NOW,
        next_update=end,
        revocation_time=None,
        revocation_reason=None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, responder).certificates([responder])
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_an_ocsp_answer_may_come_from_a_responder_of_the_issuer(both: Issuer) -> None:
    assert read(both, delegated(both, ExtendedKeyUsageOID.OCSP_SIGNING)) is Standing.GOOD
    assert read(both, delegated(both, ExtendedKeyUsageOID.CLIENT_AUTH)) is None
    assert read(both, delegated(both, ExtendedKeyUsageOID.OCSP_SIGNING, days=-1)) is None
    assert read(both, delegated(both, ExtendedKeyUsageOID.OCSP_SIGNING, by=DemoCa.create())) is None


def test_an_ocsp_answer_without_an_end_lasts_a_day_and_unknown_is_no_answer(both: Issuer) -> None:
    good = answered(both, Status.GOOD, both.ca.private_key, both.ca.certificate)
    assert read(both, good, NOW + timedelta(hours=23)) is Standing.GOOD
    assert read(both, good, NOW + timedelta(hours=25)) is None
    assert read(both, answered(both, Status.UNKNOWN, both.ca.private_key, both.ca.certificate)) is None


def read_crl(one: Issuer, content: bytes, when: datetime = NOW) -> bool:
    return revocation.read_crl(content, one.ca.certificate, when) is not None


def test_a_crl_must_be_current_whole_and_by_the_issuer(both: Issuer) -> None:
    crl = both.ca.crl()
    assert read_crl(both, crl)
    assert not read_crl(both, crl, NOW + timedelta(days=2))
    assert not read_crl(both, crl, NOW - timedelta(days=2))
    assert not read_crl(both, crl[:-1] + bytes([crl[-1] ^ 1]))
    assert not read_crl(both, b"no crl")
    assert not read_crl(both, b"-----BEGIN")
    assert not read_crl(both, DemoCa.create("Other", clock=lambda: NOW).crl())
    assert not read_crl(both, DemoCa.create(clock=lambda: NOW).crl())
    builder = x509.CertificateRevocationListBuilder().issuer_name(both.ca.certificate.subject)
    builder = builder.last_update(NOW).next_update(NOW + timedelta(days=1))
    delta = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True).sign(both.ca.private_key, hashes.SHA256())
    assert not read_crl(both, delta.public_bytes(Encoding.DER))


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "_MAX_KEPT", 2)
    kept: dict[int, int] = {}
    for number in range(5):
        revocation._keep(kept, number, number)
    assert list(kept) == [3, 4]
