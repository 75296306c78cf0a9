from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode
from dataclasses import replace
from typing import Any

import pytest

from adapter.simulator import Simulation
from adapter.simulator.world import SOLVANG_GP
from tests.simulator.caller import Caller, signed

CLAIMS = "helseid://claims/client/claims/"


def _claims(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


def test_discovery_names_the_endpoints_and_the_keys(simulation: Simulation, caller: Caller) -> None:
    plain = caller.session.get(f"{simulation.helseid_issuer}/.well-known/openid-configuration", timeout=5).json()
    assert plain["issuer"] == simulation.helseid_issuer
    assert plain["token_endpoint"] == f"{simulation.helseid_issuer}/connect/token"
    assert "client_credentials" in plain["grant_types_supported"]
    keys = caller.session.get(plain["jwks_uri"], timeout=5).json()["keys"]
    assert all("d" not in key and key["kid"] for key in keys)


def test_the_first_request_is_answered_with_a_nonce_and_uses_up_its_assertion(caller: Caller) -> None:
    assertion = caller.assertion()
    first = caller.ask_token(assertion=assertion)
    assert (first.status_code, first.json()["error"]) == (400, "use_dpop_nonce")
    proof = caller.proof("POST", f"{caller.simulation.helseid_issuer}/connect/token", nonce=first.headers["DPoP-Nonce"])
    second = caller.ask_token(assertion=assertion, proof=proof)
    assert second.json()["error"] == "invalid_client"
    assert "jti" in second.json()["error_description"]
    assert caller.ask_token(proof=caller.nonce_proof()).status_code == 200


def test_a_token_is_bound_and_says_for_whom_it_speaks(caller: Caller) -> None:
    answer = caller.ask_token(proof=caller.nonce_proof()).json()
    assert (answer["token_type"], answer["expires_in"], answer["scope"]) == ("DPoP", 60, "nhn:msh/api")
    claims = _claims(answer["access_token"])
    assert claims["cnf"]["jkt"] == caller.proof_key.thumbprint()
    assert claims[CLAIMS + "orgnr_parent"] == "310045101"
    assert CLAIMS + "orgnr_child" not in claims
    assert claims["helseid://claims/client/client_tenancy"] == "single-tenant"


@pytest.mark.parametrize("suffix", ["", ":"])
def test_a_supplier_speaks_for_its_customer(simulation: Simulation, suffix: str) -> None:
    caller = Caller(simulation, "fjellglott")
    details = caller.details(f"NO:ORGNR:311045202{suffix}")
    answer = caller.ask_token(assertion=caller.assertion(assertion_details=details), proof=caller.nonce_proof())
    claims = _claims(answer.json()["access_token"])
    assert claims[CLAIMS + "orgnr_parent"] == "311045202"
    assert claims[CLAIMS + "orgnr_supplier"] == "316045707"
    assert claims["helseid://claims/client/client_tenancy"] == "multi-tenant"
    child = caller.details("NO:ORGNR:311045202:317045808")
    answer = caller.ask_token(assertion=caller.assertion(assertion_details=[child]), proof=caller.nonce_proof())
    assert _claims(answer.json()["access_token"])[CLAIMS + "orgnr_child"] == "317045808"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("NO:ORGNR:999999999", "HID-1001"),
        ("NO:ORGNR:311045202:999999999", "HID-1002"),
        ("NO:ORGNR:311045202:310045101", "HID-1003"),
        ("NO:ORGNR:31104520", "HID-1004"),
        ("311045202", "HID-1004"),
        ("SE:ORGNR:311045202", "HID-1004"),
    ],
)
def test_a_supplier_names_only_its_customers(simulation: Simulation, value: str, code: str) -> None:
    caller = Caller(simulation, "fjellglott")
    client = simulation.helseid.clients[caller.tenant.client_id]
    simulation.helseid.clients[client.client_id] = replace(
        client, customers={**client.customers, "318045909": ("310045101",)}
    )
    details = caller.details(value)
    answer = caller.ask_token(assertion=caller.assertion(assertion_details=details), proof=caller.nonce_proof())
    assert answer.json() == {"error": "invalid_client", "error_description": code}


def test_a_supplier_without_a_customer_and_malformed_details_are_refused(simulation: Simulation) -> None:
    caller = Caller(simulation, "fjellglott")
    for details, code in ((None, "HID-1010"), ("x", "HID-1007"), ({"type": "other"}, "HID-1007")):
        answer = caller.ask_token(assertion=caller.assertion(assertion_details=details), proof=caller.nonce_proof())
        assert answer.json()["error_description"] == code
    wrong: Any = caller.details()
    wrong["practitioner_role"]["organization"]["identifier"]["type"] = "HER"
    answer = caller.ask_token(assertion=caller.assertion(assertion_details=wrong), proof=caller.nonce_proof())
    assert answer.json()["error_description"] == "HID-1007"


def test_a_single_tenant_names_at_most_its_own_units(simulation: Simulation, caller: Caller) -> None:
    child = "urn:oid:2.16.578.1.12.4.1.4.101"
    client = simulation.helseid.clients[caller.tenant.client_id]

    def ask(value: str, system: str = child) -> dict[str, Any]:
        details = caller.details(value, system)
        answer = caller.ask_token(assertion=caller.assertion(assertion_details=details), proof=caller.nonce_proof())
        plain: dict[str, Any] = answer.json()
        return plain

    assert ask("317045816")["error_description"] == "HID-1006"
    simulation.helseid.clients[client.client_id] = replace(client, children=("317045816",))
    assert ask("317045808")["error_description"] == "HID-1002"
    assert ask("1234")["error_description"] == "HID-1004"
    assert ask("NO:ORGNR:310045101", "urn:oid:1.0.6523")["error_description"] == "HID-1005"
    assert _claims(ask("317045816")["access_token"])[CLAIMS + "orgnr_child"] == "317045816"


def test_terms_that_are_not_accepted_reject_the_scope(simulation: Simulation, caller: Caller) -> None:
    client = simulation.helseid.clients[caller.tenant.client_id]
    refused = replace(client, refused_by=(client.organisation_number,))
    simulation.helseid.clients[client.client_id] = refused
    answer = caller.ask_token(proof=caller.nonce_proof()).json()
    assert (answer["scope"], answer["rejected_scope"]) == ("", "nhn:msh/api")
    caller._token = answer["access_token"]
    assert caller.call("GET", "/Messages", params={"ReceiverHerIds": SOLVANG_GP}).status_code == 401


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"jti": None}, "jti"),
        ({"aud": "https://elsewhere.invalid"}, "aud"),
        ({"aud": ["https://elsewhere.invalid"]}, "aud"),
        ({"iss": "someone"}, "iss"),
        ({"sub": "someone"}, "iss and sub"),
        ({"exp": 1000}, "expired"),
        ({"exp": None}, "expired"),
        ({"exp": int(time.time()) + 3600}, "60 seconds"),
        ({"nbf": int(time.time()) + 3600}, "not valid yet"),
        ({"header": {"kid": "unknown"}}, "kid"),
        ({"header": {"typ": "at+jwt"}}, "typ"),
    ],
)
def test_a_bad_client_assertion_is_refused(caller: Caller, change: dict[str, Any], reason: str) -> None:
    answer = caller.ask_token(assertion=caller.assertion(**change))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")
    assert reason in answer.json()["error_description"]


def test_an_assertion_by_another_key_or_algorithm_is_refused(caller: Caller) -> None:
    other = Caller(caller.simulation, "fjellglott")
    header = {"kid": caller.tenant.private_jwk["kid"], "typ": "client-authentication+jwt", "alg": "PS256"}
    forged = signed(header, {"iss": "x"}, other.key)
    assert caller.ask_token(assertion=forged).json()["error"] == "invalid_client"
    none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.e30."
    assert "alg" in caller.ask_token(assertion=none).json()["error_description"]


def test_the_token_endpoint_may_be_the_audience_and_the_older_typ_is_taken(caller: Caller) -> None:
    url = f"{caller.simulation.helseid_issuer}/connect/token"
    assertion = caller.assertion(aud=[url], header={"typ": "JWT"})
    assert caller.ask_token(assertion=assertion, proof=caller.nonce_proof()).status_code == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_secret": "hush"}, "invalid_client"),
        ({"client_assertion_type": "other"}, "invalid_client"),
        ({"scope": "nhn:everything"}, "invalid_scope"),
    ],
)
def test_a_bad_form_is_refused(caller: Caller, form: dict[str, str], error: str) -> None:
    proof = caller.nonce_proof()
    assert caller.ask_token(proof=proof, **form).json()["error"] == error


def test_a_body_that_is_no_form_and_a_missing_proof_are_refused(caller: Caller) -> None:
    url = f"{caller.simulation.helseid_issuer}/connect/token"
    assert caller.session.post(url, json={}, timeout=5).json()["error"] == "invalid_request"
    assert caller.ask_token(proof="none").json()["error"] == "invalid_dpop_proof"
    assert caller.session.get(url, timeout=5).json()["error"] == "invalid_request"


def test_a_nonce_that_was_never_given_is_answered_with_a_fresh_one(caller: Caller) -> None:
    url = f"{caller.simulation.helseid_issuer}/connect/token"
    answer = caller.ask_token(proof=caller.proof("POST", url, nonce="invented"))
    assert answer.json()["error"] == "use_dpop_nonce"
    assert answer.headers["DPoP-Nonce"] != "invented"


def test_faults_reach_the_token_endpoint(simulation: Simulation, caller: Caller) -> None:
    simulation.set_faults({"POST /connect/token": [["503", 1]]})
    assert (caller.ask_token().status_code, simulation.faults.seen["POST /connect/token", "503"]) == (503, 1)
