"""Every route of the simulated message server against the published description of API version 2, in plain mode."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests

from adapter.simulator import Simulation, start
from adapter.simulator.world import GRANLI, GRANLI_FRISKLIV, KLINIKK, KLINIKK_SERVICE, SOLVANG, SOLVANG_GP
from tests.simulator.caller import message

DESCRIPTION = Path(__file__).parents[2].parent / "shared" / "reference" / "nhn" / "msh-api-v2.json"
pytestmark = pytest.mark.skipif(not DESCRIPTION.exists(), reason="the API description is not on this machine")
US, FRISKLIV, CLINIC = (SOLVANG, SOLVANG_GP), (GRANLI, GRANLI_FRISKLIV), (KLINIKK, KLINIKK_SERVICE)
HEADERS = {"api-version": "2", "nhn-source-system": "tests, v1"}


def _json_schema(plain: Any) -> Any:
    """OpenAPI 3.0 to JSON Schema: ``nullable`` becomes a null alternative; formats stay."""
    if isinstance(plain, list):
        return [_json_schema(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    out = {key: _json_schema(value) for key, value in plain.items() if key not in ("example", "nullable")}
    if "$ref" in out:
        out["$ref"] = out["$ref"].replace("#/components/schemas/", "#/$defs/")
    return {"anyOf": [out, {"type": "null"}]} if plain.get("nullable") else out


class Contract:
    """The description, and checks of an answer against it. ``seen``: which (method, path, status)."""

    def __init__(self) -> None:
        self.plain = json.loads(DESCRIPTION.read_text("utf-8"))
        self.defs = {name: _json_schema(body) for name, body in self.plain["components"]["schemas"].items()}
        self.seen: set[tuple[str, str, str]] = set()

    def check(self, method: str, path: str, answer: requests.Response) -> None:
        operation = self.plain["paths"][path][method.lower()]
        status = str(answer.status_code)
        assert status in operation["responses"], f"{method} {path} answered {status}, which is not described"
        content = operation["responses"][status].get("content", {})
        if not content:
            assert answer.content == b""
        else:
            assert answer.headers["Content-Type"].startswith("application/json")
            schema = {**_json_schema(content["application/json"]["schema"]), "$defs": self.defs}
            jsonschema.Draft202012Validator(schema).validate(answer.json())
        self.seen.add((method, path, status))


@pytest.fixture(scope="module")
def contract() -> Contract:
    return Contract()


@pytest.fixture(scope="module")
def plain() -> Iterator[Simulation]:
    with start(mode="plain") as running:
        yield running


def _call(plain: Simulation, method: str, path: str, **more: Any) -> requests.Response:
    session = requests.Session()
    session.trust_env = False
    headers = {**HEADERS, **more.pop("headers", {})}
    return session.request(method, plain.edi_url + path, headers=headers, timeout=5, **more)


def _send(plain: Simulation, document: bytes) -> requests.Response:
    body = {
        "businessDocument": base64.b64encode(document).decode(),
        "contentType": "application/xml",
        "contentTransferEncoding": "base64",
        "ebXmlOverrides": None,
        "receiverHerIdsSubset": None,
    }
    return _call(plain, "POST", "/Messages", json=body)


def test_every_answer_of_a_whole_exchange_is_as_described(plain: Simulation, contract: Contract) -> None:
    sent = _send(plain, message(US, FRISKLIV))
    contract.check("POST", "/Messages", sent)
    assert sent.headers["Location"] == f"{plain.edi_url}/Messages/{sent.json()}"
    id_ = sent.json()
    for suffix in ("", "/business-document", "/status", "/apprec"):
        contract.check("GET", "/Messages/{id}" + suffix, _call(plain, "GET", f"/Messages/{id_}{suffix}"))
    for metadata in ("true", "false"):
        params = {"ReceiverHerIds": SOLVANG_GP, "IncludeMetadata": metadata}
        contract.check("GET", "/Messages", _call(plain, "GET", "/Messages", params=params))
    inbound = plain.inject(message(CLINIC, US), SOLVANG_GP)
    rejected = {"appRecStatus": "Rejected", "appRecErrorList": [{"errorCode": "E10", "details": None}]}
    answer = _call(plain, "POST", f"/Messages/{inbound}/apprec/{SOLVANG_GP}", json=rejected)
    contract.check("POST", "/Messages/{id}/apprec/{appRecSenderHerId}", answer)
    contract.check("GET", "/Messages/{id}/apprec", _call(plain, "GET", f"/Messages/{inbound}/apprec"))
    read = _call(plain, "PUT", f"/Messages/{inbound}/read/{SOLVANG_GP}")
    contract.check("PUT", "/Messages/{id}/read/{herId}", read)
    operations = {(m.upper(), p) for p, item in contract.plain["paths"].items() for m in item if m != "parameters"}
    assert {(method, path) for method, path, _ in contract.seen} == operations


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/Messages/{id}"),
        ("GET", "/Messages/{id}/business-document"),
        ("GET", "/Messages/{id}/status"),
        ("GET", "/Messages/{id}/apprec"),
        ("PUT", "/Messages/{id}/read/{herId}"),
        ("POST", "/Messages/{id}/apprec/{appRecSenderHerId}"),
    ],
)
def test_unknown_messages_and_missing_headers_are_described_errors(
    plain: Simulation, contract: Contract, method: str, path: str
) -> None:
    real = path.replace("{id}", str(uuid.uuid4())).replace("{herId}", "1").replace("{appRecSenderHerId}", "1")
    more = {"json": {"appRecStatus": "Ok"}} if method == "POST" else {}
    missing = _call(plain, method, real, **more)
    assert missing.status_code == 404
    contract.check(method, path, missing)
    bare = _call(plain, method, real, headers={"api-version": ""}, **more)
    assert bare.status_code == 400
    contract.check(method, path, bare)


def test_bad_input_is_a_described_error(plain: Simulation, contract: Contract) -> None:
    contract.check("GET", "/Messages", _call(plain, "GET", "/Messages"))
    contract.check("POST", "/Messages", _call(plain, "POST", "/Messages", json={}))
    contract.check("POST", "/Messages", _send(plain, message(US, (None, None))))


def test_what_the_description_requires_of_requests_is_required(contract: Contract, plain: Simulation) -> None:
    required = contract.plain["components"]["schemas"]["PostMessageRequest"]["required"]
    whole = {
        "businessDocument": base64.b64encode(message(US, FRISKLIV)).decode(),
        "contentType": "application/xml",
        "contentTransferEncoding": "base64",
    }
    for name in required:
        body = {key: value for key, value in whole.items() if key != name}
        assert _call(plain, "POST", "/Messages", json=body).status_code == 400, name
    known = contract.plain["components"]["schemas"]["EbXmlInfo"]["properties"]
    overrides = {name: True if body["type"] == "boolean" else "x" for name, body in known.items()}
    overrides["useSenderLevel1HerId"] = False
    assert _call(plain, "POST", "/Messages", json={**whole, "ebXmlOverrides": overrides}).status_code == 201


def test_faults_of_the_server_are_described_errors(contract: Contract) -> None:
    with start(mode="plain", faults={"GET /Messages": [["500", 1], ["403", 2]]}) as plain:
        for status in (500, 403):
            answer = _call(plain, "GET", "/Messages", params={"ReceiverHerIds": SOLVANG_GP})
            assert answer.status_code == status
            contract.check("GET", "/Messages", answer)
