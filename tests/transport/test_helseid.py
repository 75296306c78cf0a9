"""HelseID tokens against a scripted token service on a real socket."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from adapter.config import HelseIdSettings
from adapter.errors import AccessError, KeyFileError, SettingsError, TransportError
from adapter.transport import jose
from adapter.transport.helseid import HelseIdTokens, assertion_details, open_tokens
from adapter.transport.keyring import KeyRing
from tests.transport.loopback import Asked, Loopback, Reply, closed_port

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
REFERENCE = Path(__file__).resolve().parents[2].parent / "shared" / "reference" / "nhn" / "helseid"
NONCE = Reply(status=400, body={"error": "use_dpop_nonce"}, headers={"DPoP-Nonce": "n-1"})


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def rsa_jwk() -> dict[str, Any]:
    key = RSAKey.generate_key(2048, private=True)
    return {**key.as_dict(private=True), "alg": "PS256", "kid": "rsa-1"}


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return write_key(tmp_path / "client.jwk", "ec-1")


def write_key(path: Path, kid: str) -> Path:
    plain = ECKey.generate_key("P-256", private=True).as_dict(private=True)
    path.write_text(json.dumps({**plain, "alg": "ES256", "kid": kid, "use": "sig"}))
    path.chmod(0o600)
    return path


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        running.script.append(discovery(running.url))
        yield running


def discovery(url: str) -> Reply:
    return Reply(body={"issuer": url, "token_endpoint": f"{url}/connect/token", "jwks_uri": "x"})


def token(value: str = "at-1", seconds: object = 60, **more: object) -> Reply:
    return Reply(
        body={"access_token": value, "expires_in": seconds, "token_type": "DPoP", "scope": "nhn:msh/api", **more}
    )


def tokens_at(
    url: str, key_file: Path, clock: Clock | None = None, next_key: Path | None = None, **more: Any
) -> HelseIdTokens:
    numbers = count(1)
    return HelseIdTokens(
        HelseIdSettings(issuer=url, client_id="client-1", key="unused", form=more.pop("form", "single")),
        organisation_number="310045101",
        child_number=more.pop("child", None),
        keys=KeyRing(key_file, next_key),
        clock=clock or Clock(),
        new_id=lambda: f"id-{next(numbers)}",
        **more,
    )


def form_of(asked: Asked) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}


def open_jwt(text: str, key: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    found = jwt.decode(text, key, registry=jose.REGISTRY)
    return dict(found.header), dict(found.claims)


def open_proof(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    import base64

    head = text.split(".")[0]
    header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    key = ECKey.import_key(header["jwk"]) if header["jwk"]["kty"] == "EC" else RSAKey.import_key(header["jwk"])
    return open_jwt(text, key)


# --- the request for a token


def test_the_first_refusal_with_a_nonce_is_answered_with_a_fresh_assertion(server: Loopback, key_file: Path) -> None:
    server.script += [NONCE, token()]
    assert tokens_at(server.url, key_file).token() == "at-1"
    _, first, second = server.asked
    assert second.path == "/connect/token"
    key = ECKey.import_key(json.loads(key_file.read_text()))
    heads, claims = zip(*(open_jwt(form_of(asked)["client_assertion"], key) for asked in (first, second)), strict=True)
    assert heads[0] == {"alg": "ES256", "typ": "client-authentication+jwt", "kid": "ec-1"}
    now = int(START.timestamp())
    assert claims[0] == {
        "iss": "client-1",
        "sub": "client-1",
        "aud": server.url,
        "jti": claims[0]["jti"],
        "iat": now,
        "nbf": now,
        "exp": now + 30,
    }
    proofs = [open_proof(asked.headers["dpop"]) for asked in (first, second)]
    assert proofs[0][1] == {"jti": proofs[0][1]["jti"], "htm": "POST", "htu": f"{server.url}/connect/token", "iat": now}
    assert proofs[1][1]["nonce"] == "n-1"
    assert len({claims[0]["jti"], claims[1]["jti"], proofs[0][1]["jti"], proofs[1][1]["jti"]}) == 4
    form = form_of(first)
    assert form["grant_type"] == "client_credentials"
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert (form["client_id"], form["scope"]) == ("client-1", "nhn:msh/api")


def test_a_call_carries_a_proof_of_its_own_bound_to_token_method_and_address(server: Loopback, key_file: Path) -> None:
    server.script.append(token("the-token"))
    tokens = tokens_at(server.url, key_file)
    first = tokens.authorise("get", "https://api.example/Messages?ReceiverHerIds=1#x")
    second = tokens.authorise("GET", "https://api.example/Messages")
    assert first["Authorization"] == "DPoP the-token"
    header, claims = open_proof(first["DPoP"])
    assert header["typ"] == "dpop+jwt"
    assert set(header["jwk"]) == {"kty", "crv", "x", "y"}
    assert (claims["htm"], claims["htu"]) == ("GET", "https://api.example/Messages")
    assert claims["ath"] == jose.hash_token("the-token")
    assert open_proof(second["DPoP"])[1]["jti"] != claims["jti"]
    assert "nonce" not in claims


def test_a_proof_with_an_rsa_key_has_only_its_public_members(rsa_jwk: dict[str, Any]) -> None:
    key = jose.read_jwk(rsa_jwk, "key")
    proof = jose.sign_proof(key, method="POST", url="https://x", jti="1", now_s=5, nonce="n")
    header, claims = open_proof(proof)
    assert set(header["jwk"]) == {"kty", "n", "e"}
    assert (header["alg"], claims["nonce"]) == ("PS256", "n")


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference folder is not there")
def test_hash_and_thumbprint_are_those_of_the_standards_examples() -> None:
    vectors = json.loads((REFERENCE / "vectors.json").read_text())
    assert jose.hash_token(vectors["ath"]["access_token"]) == vectors["ath"]["ath"]
    key = jose.SigningJwk(ECKey.import_key(vectors["jkt"]["jwk"]), "ES256", "")
    assert key.thumbprint == vectors["jkt"]["thumbprint"]


# --- tenancy


@pytest.mark.parametrize(
    ("form", "system", "value"),
    [
        ("single-child", "urn:oid:2.16.578.1.12.4.1.4.101", "317045808"),
        ("multi", "urn:oid:1.0.6523", "NO:ORGNR:310045101"),
        ("multi-child", "urn:oid:1.0.6523", "NO:ORGNR:310045101:317045808"),
    ],
)
def test_p23_the_assertion_says_for_whom_we_act(
    server: Loopback, key_file: Path, form: str, system: str, value: str
) -> None:
    server.script.append(token())
    tokens_at(server.url, key_file, form=form, child="317045808").token()
    key = ECKey.import_key(json.loads(key_file.read_text()))
    details = open_jwt(form_of(server.asked[1])["client_assertion"], key)[1]["assertion_details"]
    assert details["type"] == "helseid_authorization"
    identifier = {"system": system, "type": "ENH", "value": value}
    assert details["practitioner_role"]["organization"]["identifier"] == identifier


@pytest.mark.parametrize(("form", "child"), [("double", None), ("single-child", None), ("multi-child", "")])
def test_a_form_of_tenancy_that_cannot_work_is_refused_at_the_start(form: str, child: str | None) -> None:
    with pytest.raises(SettingsError):
        assertion_details(form, "310045101", child)


# --- the cache


def test_a_token_serves_until_shortly_before_it_expires(server: Loopback, key_file: Path) -> None:
    server.script += [token("a"), token("b")]
    clock = Clock()
    tokens = tokens_at(server.url, key_file, clock)
    found = [tokens.token()]
    clock.pass_s(49.9)
    found.append(tokens.token())
    clock.pass_s(0.2)
    found.append(tokens.token())
    assert found == ["a", "a", "b"]
    assert [asked.path for asked in server.asked].count("/.well-known/openid-configuration") == 1


@pytest.mark.parametrize("seconds", [None, "60", -5, 1e300])
def test_a_token_without_a_usable_lifetime_serves_once(server: Loopback, key_file: Path, seconds: object) -> None:
    server.script += [token("a", seconds), token("b", seconds)]
    tokens = tokens_at(server.url, key_file)
    assert [tokens.token(), tokens.token()] == ["a", "b"]


def test_p23_scopes_have_tokens_of_their_own(server: Loopback, key_file: Path) -> None:
    server.script += [token("edi"), token("register")]
    tokens = tokens_at(server.url, key_file)
    register = tokens.for_scope("nhn:cp-api/access-v2-dpop")
    assert tokens.authorise("GET", "https://x")["Authorization"] == "DPoP edi"
    assert register.authorise("GET", "https://x")["Authorization"] == "DPoP register"
    assert form_of(server.asked[2])["scope"] == "nhn:cp-api/access-v2-dpop"
    register.renew()
    server.script.append(token("edi-2"))
    assert tokens.token() == "edi-2"


def test_p23_two_tenants_never_share_a_proof_key(key_file: Path) -> None:
    with Loopback(otherwise=token()) as server:
        server.script += [discovery(server.url), token(), discovery(server.url), token()]
        keys = []
        for _ in range(2):
            proof = tokens_at(server.url, key_file).authorise("GET", "https://x")["DPoP"]
            keys.append(open_proof(proof)[0]["jwk"]["x"])
    assert keys[0] != keys[1]


def test_many_threads_ask_for_one_token(server: Loopback, key_file: Path) -> None:
    server.script += [NONCE, token("only")]
    tokens = tokens_at(server.url, key_file)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(tokens.token())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["only"] * 8
    assert len(server.asked) == 3


def test_renewing_throws_the_token_away(server: Loopback, key_file: Path) -> None:
    server.script += [token("a"), token("b")]
    tokens = tokens_at(server.url, key_file)
    assert tokens.token() == "a"
    tokens.renew()
    assert tokens.token() == "b"


# --- refusals


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(status=400, body={"error": "invalid_client", "error_description": "HID-1002 Kari"}), "HID-1002"),
        (Reply(status=401, body={"error": "invalid_client"}), "invalid_client"),
        (Reply(status=400, body={"error": "invalid_scope"}), "Selvbetjening"),
        (Reply(status=400, body={"error": "KARI NORDMANN"}), "status 400"),
        (Reply(status=404), "status 404"),
        (Reply(status=400, body=b"<html>"), "status 400"),
        (token(rejected_scope="nhn:msh/api"), "terms"),
        (token(token_type="Bearer"), "not bound"),
    ],
)
def test_p23_a_fault_of_configuration_is_an_access_error_asked_once(
    server: Loopback, key_file: Path, reply: Reply, words: str
) -> None:
    server.date = format_datetime(START, usegmt=True)
    server.script.append(reply)
    with pytest.raises(AccessError, match=words) as caught:
        tokens_at(server.url, key_file).token()
    assert "kari" not in str(caught.value).lower()
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=503, headers={"Retry-After": "9"}),
        Reply(status=429, headers={"Retry-After": "9"}),
        Reply(status=302, headers={"Location": "http://127.0.0.1:1", "Retry-After": "9"}),
    ],
)
def test_a_busy_helseid_is_asked_later(server: Loopback, key_file: Path, reply: Reply) -> None:
    server.script.append(reply)
    with pytest.raises(TransportError) as caught:
        tokens_at(server.url, key_file).token()
    assert caught.value.retry_after_s == 9


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"{"),
        Reply(body=[]),
        Reply(body={"token_type": "DPoP"}),
        Reply(body={"access_token": "a\nb"}),
        Reply(body={"access_token": "x" * 100}, fault="cut_body"),
        Reply(fault="no_answer"),
    ],
)
def test_a_broken_token_answer_is_a_transport_error_because_nothing_was_sent_onwards(
    server: Loopback, key_file: Path, reply: Reply
) -> None:
    server.script.append(reply)
    with pytest.raises(TransportError) as caught:
        tokens_at(server.url, key_file).token()
    assert type(caught.value) is TransportError


def test_a_helseid_that_is_down_is_a_transport_error(key_file: Path) -> None:
    with pytest.raises(TransportError):
        tokens_at(f"http://127.0.0.1:{closed_port()}", key_file).token()


def test_a_nonce_that_never_suits_ends_in_an_error(server: Loopback, key_file: Path) -> None:
    server.otherwise = NONCE
    with pytest.raises(AccessError, match="use_dpop_nonce"):
        tokens_at(server.url, key_file).token()
    assert len(server.asked) == 4


# --- discovery


def test_discovery_is_kept_for_a_day_and_an_old_one_serves_during_an_outage(server: Loopback, key_file: Path) -> None:
    clock = Clock()
    tokens = tokens_at(server.url, key_file, clock)
    server.script.append(token("a"))
    tokens.token()
    clock.pass_s(23 * 3600)
    server.script.append(token("b"))
    tokens.token()
    clock.pass_s(3600)
    server.script += [Reply(status=503), token("c")]
    assert tokens.token() == "c"
    paths = [asked.path[:5] for asked in server.asked]
    assert paths == ["/.wel", "/conn", "/conn", "/.wel", "/conn"]


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "{url}", "token_endpoint": "https://evil.invalid/connect/token"},
        {"issuer": "https://evil.invalid", "token_endpoint": "{url}/connect/token"},
    ],
)
def test_p20_a_discovery_that_points_elsewhere_is_a_fault_of_configuration(
    key_file: Path, document: dict[str, str]
) -> None:
    with Loopback() as server:
        server.script.append(Reply(body={name: value.format(url=server.url) for name, value in document.items()}))
        with pytest.raises(AccessError, match="issuer"):
            tokens_at(server.url, key_file).token()
        assert len(server.asked) == 1


def test_a_discovery_without_an_endpoint_is_a_broken_answer(key_file: Path) -> None:
    with Loopback(Reply(body={"issuer": 5})) as server, pytest.raises(TransportError):
        tokens_at(server.url, key_file).token()


# --- clocks


def test_a_clock_that_is_off_is_set_by_the_servers_date_and_tried_once_more(server: Loopback, key_file: Path) -> None:
    server.date = format_datetime(START + timedelta(seconds=300), usegmt=True)
    server.script += [Reply(status=400, body={"error": "invalid_client"}), token()]
    tokens = tokens_at(server.url, key_file)
    assert tokens.token() == "at-1"
    assert tokens.skew_s == pytest.approx(300)
    key = ECKey.import_key(json.loads(key_file.read_text()))
    claims = open_jwt(form_of(server.asked[2])["client_assertion"], key)[1]
    assert claims["iat"] == int(START.timestamp()) + 300
    proof = open_proof(tokens.authorise("GET", "https://x")["DPoP"])[1]
    assert proof["iat"] == int(START.timestamp()) + 300


def test_a_clock_that_is_right_is_no_reason_to_ask_twice(server: Loopback, key_file: Path) -> None:
    server.date = format_datetime(START + timedelta(seconds=2), usegmt=True)
    server.script.append(Reply(status=400, body={"error": "invalid_client"}))
    with pytest.raises(AccessError):
        tokens_at(server.url, key_file).token()
    assert len(server.asked) == 2


def test_an_apis_date_sets_the_clock_too_and_nonsense_does_not(server: Loopback, key_file: Path) -> None:
    tokens = tokens_at(server.url, key_file)
    tokens.renew("yesterday")
    tokens.renew(None)
    assert tokens.skew_s == 0
    tokens.renew(format_datetime(START - timedelta(seconds=90), usegmt=True))
    assert tokens.skew_s == -90


# --- keys


def test_p27_the_next_key_takes_over_when_helseid_knows_it(server: Loopback, key_file: Path, tmp_path: Path) -> None:
    clock = Clock()
    following = tmp_path / "next.jwk"
    tokens = tokens_at(server.url, key_file, clock, following)
    server.script.append(token("old"))
    assert tokens.token() == "old"
    write_key(following, "ec-2")
    refused = Reply(status=400, body={"error": "invalid_client"})
    server.date = format_datetime(START, usegmt=True)
    server.script.append(refused)
    assert tokens.token() == "old"  # not registered yet: the old one goes on
    assert tokens.token() == "old"  # and the new one is not tried all the time
    clock.pass_s(11 * 60)
    server.date = format_datetime(clock.now, usegmt=True)
    server.script.append(token("new"))
    assert tokens.token() == "new"
    assert server.script == type(server.script)()


def test_p27_a_broken_next_key_does_not_stop_the_one_in_use(server: Loopback, key_file: Path, tmp_path: Path) -> None:
    following = tmp_path / "next.jwk"
    following.write_text("{")
    following.chmod(0o600)
    server.script.append(token("old"))
    assert tokens_at(server.url, key_file, next_key=following).token() == "old"
    with pytest.raises(KeyFileError):
        KeyRing(key_file, following).following()


def test_p27_a_key_file_that_changes_is_read_again(key_file: Path) -> None:
    ring = KeyRing(key_file)
    assert ring.current() is ring.current()
    write_key(key_file, "ec-9")
    os.utime(key_file, (1, 1))
    assert ring.current().kid == "ec-9"
    assert ring.following() is None
    key_file.unlink()
    with pytest.raises(KeyFileError, match="missing"):
        ring.current()


def test_a_bad_key_is_told_at_the_start(tmp_path: Path, key_file: Path) -> None:
    settings = HelseIdSettings(issuer="https://x", client_id="c", key="absent.jwk")
    opened = {"organisation_number": "310045101", "child_number": None, "new_id": lambda: "1"}
    with pytest.raises(KeyFileError):
        open_tokens(settings, path=lambda name: tmp_path / name, **opened)  # type: ignore[arg-type]
    good = open_tokens(settings, path=lambda name: key_file, **opened)  # type: ignore[arg-type]
    good.close()


def test_p21_a_readable_key_file_is_refused(key_file: Path) -> None:
    key_file.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        jose.load_jwk(key_file)


@pytest.mark.parametrize(
    "change",
    [
        {"kid": None},
        {"kid": ""},
        {"alg": "HS256"},
        {"alg": "ES256"},
        {"alg": None},
        {"kty": "oct"},
        {"d": None},
        {"n": "AQAB"},
        {"n": "!"},
    ],
)
def test_p21_a_key_that_cannot_sign_is_refused_without_being_quoted(
    rsa_jwk: dict[str, Any], change: dict[str, Any]
) -> None:
    plain = {name: value for name, value in {**rsa_jwk, **change}.items() if value is not None}
    with pytest.raises(KeyFileError) as caught:
        jose.read_jwk(plain, "key.jwk")
    assert rsa_jwk["d"][:20] not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Key size")
def test_p21_a_short_rsa_key_and_a_foreign_shape_are_refused() -> None:
    short = RSAKey.generate_key(1024, private=True).as_dict(private=True)
    with pytest.raises(KeyFileError):
        jose.read_jwk({**short, "alg": "PS256", "kid": "k"}, "key.jwk")
    with pytest.raises(KeyFileError):
        jose.read_jwk([], "key.jwk")


def test_p21_reprs_of_keys_and_tokens_show_no_secret(rsa_jwk: dict[str, Any]) -> None:
    key = jose.read_jwk(rsa_jwk, "k")
    assert repr(key) == "SigningJwk(PS256, rsa-1)"
