"""The catalogue of bad tokens and bad proofs (HelseID's test-token service has a switch for each)."""

from __future__ import annotations

import time
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from adapter.simulator import Simulation, start
from adapter.simulator.proofs import ProofError, SeenIds, public_key, read_header
from adapter.simulator.world import SOLVANG_GP
from tests.simulator.caller import Caller, signed

PARAMS = {"ReceiverHerIds": SOLVANG_GP}


def _get(caller: Caller, *, token: str | None = None, proof: str | None = None, scheme: str = "DPoP") -> Any:
    token = token if token is not None else caller.token()
    url = caller.simulation.edi_url + "/Messages"
    proof = proof if proof is not None else caller.proof("GET", url, token=token)
    headers = {"Authorization": f"{scheme} {token}".strip(), "DPoP": proof}
    return caller.call("GET", "/Messages", params=PARAMS, headers=headers)


def _refused(answer: Any, reason: str) -> None:
    assert answer.status_code == 401, answer.text
    assert reason in answer.headers["WWW-Authenticate"]
    assert answer.json()["error"] == "Unauthorized"


def test_a_good_token_and_proof_open_the_door(caller: Caller) -> None:
    assert _get(caller).status_code == 200


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"htu": None}, "htu"),
        ({"htm": None}, "htm"),
        ({"htu": "http://127.0.0.1/Messages"}, "htu"),
        ({"htm": "POST"}, "htm"),
        ({"htm": "get"}, "htm"),
        ({"iat": int(time.time()) - 3600}, "iat"),
        ({"iat": int(time.time()) + 3600}, "iat"),
        ({"iat": None}, "iat"),
        ({"iat": True}, "iat"),
        ({"ath": None}, "ath"),
        ({"ath": "AAAA"}, "ath"),
        ({"jti": None}, "jti"),
        ({"jti": ""}, "jti"),
        ({"header": {"typ": "JWT"}}, "typ"),
        ({"header": {"jwk": None}}, "jwk"),
        ({"header": {"jwk": {}}}, "jwk"),
        ({"header": {"jwk": {"kty": "RSA"}}}, "jwk"),
        ({"header": {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AA"}}}, "jwk"),
    ],
)
def test_a_proof_with_a_wrong_part_is_refused(caller: Caller, change: dict[str, Any], reason: str) -> None:
    url = caller.simulation.edi_url + "/Messages"
    arguments: dict[str, Any] = {"token": caller.token(), **change}
    _refused(_get(caller, proof=caller.proof("GET", url, **arguments)), reason)


def test_a_query_in_htu_is_refused(caller: Caller) -> None:
    url = caller.simulation.edi_url + "/Messages"
    _refused(_get(caller, proof=caller.proof("GET", url, token=caller.token(), htu=url + "?a=1")), "htu")


def test_a_used_proof_is_refused(caller: Caller) -> None:
    proof = caller.proof("GET", caller.simulation.edi_url + "/Messages", token=caller.token())
    assert _get(caller, proof=proof).status_code == 200
    _refused(_get(caller, proof=proof), "jti")


def test_a_private_key_in_the_header_is_refused(caller: Caller) -> None:
    url = caller.simulation.edi_url + "/Messages"
    private = caller.proof_key.as_dict(private=True)
    _refused(_get(caller, proof=caller.proof("GET", url, token=caller.token(), header={"jwk": private})), "private")


def test_a_symmetric_proof_is_refused(caller: Caller) -> None:
    key = OctKey.generate_key(256)
    url = caller.simulation.edi_url + "/Messages"
    claims = {"jti": "1", "htm": "GET", "htu": url, "iat": int(time.time())}
    header = {"typ": "dpop+jwt", "alg": "HS256", "jwk": key.as_dict()}
    _refused(_get(caller, proof=signed(header, claims, key)), "alg")
    with pytest.raises(ProofError, match="symmetric"):
        public_key({"kty": "oct", "k": "AA"})


def test_a_key_other_than_the_tokens_is_refused(caller: Caller) -> None:
    stranger = ECKey.generate_key("P-256")
    url = caller.simulation.edi_url + "/Messages"
    _refused(_get(caller, proof=caller.proof("GET", url, token=caller.token(), key=stranger)), "cnf.jkt")


def test_a_broken_signature_is_refused(caller: Caller) -> None:
    proof = caller.proof("GET", caller.simulation.edi_url + "/Messages", token=caller.token())
    head, body, tail = proof.split(".")
    flipped = ("A" if tail[0] != "A" else "B") + tail[1:]
    _refused(_get(caller, proof=f"{head}.{body}.{flipped}"), "signature")


@pytest.mark.parametrize("proof", ["", "x", "a.b.c", "e30.e30", "W10.e30.e30"])
def test_what_is_no_proof_is_refused(caller: Caller, proof: str) -> None:
    assert _get(caller, proof=proof).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", ""])
def test_a_token_must_come_under_the_dpop_scheme(caller: Caller, scheme: str) -> None:
    _refused(_get(caller, scheme=scheme), "Authorization")


def _token(caller: Caller, **changed: Any) -> str:
    helseid = caller.simulation.helseid
    client = helseid.clients[caller.tenant.client_id]
    jkt = caller.proof_key.thumbprint()
    return helseid.make_token(client, client.organisation_number, None, ["nhn:msh/api"], jkt, **changed)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"exp": 1000}, "expired"),
        ({"exp": None}, "expired"),
        ({"nbf": 99_999_999_999}, "not valid yet"),
        ({"iss": "https://elsewhere.invalid"}, "issuer"),
        ({"aud": "nhn:other"}, "audience"),
        ({"scope": ["nhn:other/api"]}, "scope"),
        ({"scope": None}, "scope"),
        ({"cnf": None}, "cnf.jkt"),
        ({"cnf": {"jkt": 1}}, "cnf.jkt"),
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(caller: Caller, change: dict[str, Any], reason: str) -> None:
    _refused(_get(caller, token=_token(caller, **change)), reason)


def test_a_scope_as_text_is_as_good_as_a_list(caller: Caller) -> None:
    assert _get(caller, token=_token(caller, scope="openid nhn:msh/api", aud="nhn:msh")).status_code == 200


def test_a_token_of_another_key_or_kind_is_refused(caller: Caller) -> None:
    key = RSAKey.generate_key(2048)
    header = {"alg": "RS256", "typ": "at+jwt", "kid": "x"}
    _refused(_get(caller, token=signed(header, {"exp": int(time.time()) + 60}, key)), "access token")
    from adapter.simulator.helseid import signing_key

    own = {"alg": "RS256", "typ": "JWT", "kid": signing_key().kid}
    _refused(_get(caller, token=signed(own, {"exp": int(time.time()) + 60}, signing_key())), "no access token")


def test_the_door_may_be_wide_open_or_ask_for_any_header() -> None:
    with start(mode="plain") as simulation:
        answer = Caller(simulation).call("GET", "/Messages", params=PARAMS, headers={"Authorization": None})
        assert answer.status_code == 200
    with start(mode="any") as simulation:
        caller = Caller(simulation)
        assert caller.call("GET", "/Messages", params=PARAMS, headers={"Authorization": None}).status_code == 401
        assert caller.call("GET", "/Messages", params=PARAMS, headers={"Authorization": "Bearer x"}).status_code == 200


def test_a_401_may_come_without_a_body() -> None:
    with start(deviations=["empty_401"], faults={"GET /Messages": [["401", 1]]}) as simulation:
        caller = Caller(simulation)
        for scheme in ("DPoP", "Bearer"):
            answer = _get(caller, scheme=scheme)
            assert (answer.status_code, answer.content) == (401, b"")
            assert answer.headers["WWW-Authenticate"].startswith("DPoP")


def test_ids_are_forgotten_when_they_are_too_old() -> None:
    seen = SeenIds(10.0)
    assert seen.first_time("a", 0.0)
    assert not seen.first_time("a", 9.0)
    assert seen.first_time("a", 11.0)
    for number in range(20_000):
        assert seen.first_time(f"n{number}", number * 0.1)
    assert len(seen._ids) < 10_000


def test_a_header_that_is_no_object_is_no_header() -> None:
    with pytest.raises(ProofError):
        read_header("W10.e30.x")


def test_many_keys_and_tokens_do_not_grow_the_memory(simulation: Simulation) -> None:
    judge = simulation.edi.gate.proofs
    judge._keys.update({f"k{i}": (ECKey.generate_key("P-256"), "t") for i in range(3)})
    judge._keys.update({f"m{i}": judge._keys["k0"] for i in range(300)})
    tokens = simulation.edi.gate.tokens
    tokens._good.update({f"t{i}": {} for i in range(300)})
    assert _get(Caller(simulation)).status_code == 200
    assert len(judge._keys) == 1
    assert len(tokens._good) == 1
