"""The client held against the published description of version 2: what it asks is allowed, what it gets it reads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import pytest

from adapter.codes import Coded
from adapter.errors import AccessError, AdapterError, RemoteRefusalError, TransportError, UnknownOutcomeError
from adapter.model.receipt import ReceiptStatus
from adapter.model.wire import ReceiptParcel
from adapter.transport.edi20 import Edi20Road
from tests.transport.loopback import Asked, Loopback, Reply
from tests.transport.test_edi20 import MSG_ID, NEW_ID, parcel, road_to

FILE = Path(__file__).resolve().parents[2].parent / "shared" / "reference" / "nhn" / "msh-api-v2.json"
pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the API's description is not there")

ERRORS = (Coded("E35", "8221", "Pasienten finnes ikke", None),)
OVERRIDES = {
    "cpaId": "nav:qass:1",
    "conversationId": NEW_ID,
    "service": "S",
    "serviceType": "string",
    "action": "A",
    "senderRole": "R",
    "receiverRole": "R",
    "useSenderLevel1HerId": True,
    "compressPayload": False,
}


def rejected(**more: Any) -> ReceiptParcel:
    status = ReceiptStatus.REJECTED
    return ReceiptParcel(remote_id=MSG_ID, acknowledger=8000002, status=status, errors=ERRORS, **more)


CALLS: dict[str, tuple[str, str, Callable[[Edi20Road], Any]]] = {
    "send": ("post", "/Messages", lambda road: road.send(parcel())),
    "send with overrides": ("post", "/Messages", lambda road: road.send(parcel(overrides=OVERRIDES))),
    "unread": ("get", "/Messages", lambda road: road.unread([42, 1337])),
    "unread, newest first": ("get", "/Messages", lambda road: road.unread([42], 7, newest_first=True)),
    "fetch": ("get", "/Messages/{id}/business-document", lambda road: road.fetch(MSG_ID, 42)),
    "statuses": ("get", "/Messages/{id}/status", lambda road: road.statuses(MSG_ID)),
    "send_receipt": ("post", "/Messages/{id}/apprec/{appRecSenderHerId}", lambda road: road.send_receipt(rejected())),
    "send_receipt with overrides": (
        "post",
        "/Messages/{id}/apprec/{appRecSenderHerId}",
        lambda road: road.send_receipt(rejected(overrides=OVERRIDES)),
    ),
    "put_away": ("put", "/Messages/{id}/read/{herId}", lambda road: road.put_away(MSG_ID, 42)),
}


@lru_cache(maxsize=1)
def description() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return loaded


def json_schema(plain: Any) -> Any:
    """OpenAPI 3.0 to JSON Schema: references, ``nullable``, and no examples."""
    if isinstance(plain, list):
        return [json_schema(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if "$ref" in plain:
        return json_schema(description()["components"]["schemas"][plain["$ref"].rsplit("/", 1)[1]])
    found = {name: json_schema(value) for name, value in plain.items() if name not in ("example", "nullable")}
    return {"anyOf": [found, {"type": "null"}]} if plain.get("nullable") else found


def operation(method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = description()["paths"][path][method]
    return found


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def good_reply(method: str, path: str) -> Reply:
    (status,) = [status for status in operation(method, path)["responses"] if status.startswith("2")]
    content = operation(method, path)["responses"][status].get("content", {}).get("application/json", {})
    example = content.get("example", b"")
    if isinstance(example, dict) and "businessDocument" in example:
        example = {**example, "businessDocument": "PD94"}  # the example's own value is not base64
    return Reply(status=int(status), body=example)


def checked(asked: Asked, method: str, path: str) -> None:
    """Path, query, headers and body are what the description allows and demands."""
    where = urlsplit(asked.path)
    assert asked.method == method.upper()
    pattern = re.sub(r"\\\{(\w+)\\\}", lambda found: f"(?P<{found.group(1)}>[^/]+)", re.escape(path))
    in_path = re.fullmatch(pattern, where.path)
    assert in_path is not None
    given: dict[str, list[str]] = {}
    for name, value in parse_qsl(where.query, keep_blank_values=True):
        given.setdefault(name, []).append(value)
    parameters = operation(method, path)["parameters"]
    assert set(given) <= {item["name"] for item in parameters if item["in"] == "query"}
    for item in parameters:
        if item["in"] == "header":
            assert asked.headers.get(item["name"].lower())
        elif item["in"] == "path":
            fits(in_path.group(item["name"]), item["schema"])
        elif item["name"] in given or item.get("required"):
            values = given[item["name"]]
            fits(values if item["schema"].get("type") == "array" else values[0], item["schema"])
    body = operation(method, path).get("requestBody")
    assert bool(asked.body) == bool(body)
    if body:
        assert asked.headers["content-type"] in body["content"]
        jsonschema.validate(asked.json, json_schema(body["content"]["application/json"]["schema"]))


def fits(value: Any, schema: dict[str, Any]) -> None:
    if schema.get("type") == "array":
        jsonschema.validate([int(item) for item in value], json_schema(schema))
    elif schema.get("type") == "integer":
        jsonschema.validate(int(value), json_schema(schema))
    elif schema.get("type") == "boolean":
        assert value in ("true", "false")
    elif schema.get("format") == "uuid":
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value)


@pytest.mark.parametrize("name", CALLS)
def test_every_call_is_one_the_description_allows(server: Loopback, name: str) -> None:
    method, path, call = CALLS[name]
    server.script.append(good_reply(method, path))
    call(road_to(server.url))
    checked(server.asked[0], method, path)


def test_every_operation_of_the_description_is_called_except_metadata() -> None:
    described = {(method, path) for path, methods in description()["paths"].items() for method in methods}
    called = {(method, path) for method, path, _ in CALLS.values()} | {("get", "/Messages/{id}/apprec")}
    assert described - called == {("get", "/Messages/{id}")}
    assert called <= described


def test_the_descriptions_examples_are_read(server: Loopback) -> None:
    server.script.append(good_reply("get", "/Messages"))
    items = road_to(server.url).unread([42, 1337])
    assert [(item.receiver, item.sender, item.is_apprec) for item in items] == [(42, 1111, False), (1337, 2222, False)]
    server.script.append(good_reply("get", "/Messages/{id}/status"))
    (line,) = road_to(server.url).statuses(MSG_ID)
    assert (line.receiver, line.transport, line.answer) == (42, "Acknowledged", ReceiptStatus.OK)


def test_the_receipt_details_example_is_merged_into_the_status(server: Loopback) -> None:
    status = {"receiverHerId": 42, "transportDeliveryState": "Acknowledged", "appRecStatus": "Rejected"}
    server.script += [Reply(body=[status]), good_reply("get", "/Messages/{id}/apprec")]
    (line,) = road_to(server.url).statuses(MSG_ID)
    assert line.errors == (Coded("E10", "8221", None, "Ugyldig meldingsidentifikator"),)
    checked(server.asked[1], "get", "/Messages/{id}/apprec")


def error_cases() -> list[tuple[str, str, dict[str, Any]]]:
    if not FILE.exists():
        return []
    return [
        (name, status, reply["content"]["application/json"]["example"])
        for name, (method, path, _) in CALLS.items()
        for status, reply in operation(method, path)["responses"].items()
        if not status.startswith("2")
    ]


@pytest.mark.parametrize(("name", "status", "example"), error_cases())
def test_every_error_of_the_description_becomes_one_of_ours(
    server: Loopback, name: str, status: str, example: dict[str, Any]
) -> None:
    server.script.append(Reply(status=int(status), body=example))
    method, _, call = CALLS[name]
    cancelled = status == "400" and example["error"] == "Request was cancelled"
    expected: type[AdapterError] = RemoteRefusalError
    if status == "403":
        expected = AccessError
    elif status == "500" or cancelled:
        expected = UnknownOutcomeError if method == "post" else TransportError
    with pytest.raises(AdapterError) as caught:
        call(road_to(server.url))
    assert type(caught.value) is expected
    if isinstance(caught.value, RemoteRefusalError):
        assert caught.value.request_id == example["requestId"]
