"""A business-document answer that is read while it comes in: the outcome is that of reading it as JSON in whole."""

from __future__ import annotations

import base64
import gc
import gzip
import json
import random
import sys
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.errors import RemoteRefusalError, TransportError
from adapter.transport.edi20_document import DocumentReader
from adapter.transport.edi20_json import fields, read_json
from tests.transport.loopback import Loopback, Reply
from tests.transport.test_edi20 import NEW_ID, Pass, road_to

LARGE = random.Random(1).randbytes(60_000) + b"\xfb\xef\xff" * 4  # ends in +, / and more of them
TEXT = base64.b64encode(LARGE).decode()
PLAIN = json.dumps({"businessDocument": TEXT, "contentType": "application/xml", "contentTransferEncoding": "base64"})
STEPS = (1, 7, 4099, 65_536, 1_000_000)
DOTNET = PLAIN.replace("+", "\\u002B")
EDITIONS = (
    PLAIN,
    "\ufeff" + PLAIN,
    PLAIN.replace('"businessDocument": ', '"BusinessDocument"\r\n :\t'),
    json.dumps({"contentTransferEncoding": "base64", "businessDocument": TEXT}, indent=2),
    json.dumps({"new": {"a": [1, None]}, "contentTransferEncoding": "base64", "BUSINESSDOCUMENT": TEXT, "more": 1}),
    DOTNET,
    DOTNET.replace("\\u002B", "\\u002b").replace("/", "\\/").replace("application\\/", "application/"),
)


def read(body: bytes, step: int = 65_536, declared: int | None = None) -> tuple[dict[str, Any], bytes | None]:
    reader = DocumentReader()
    reader.expect(len(body) if declared is None else declared)
    for start in range(0, len(body), step):
        reader.add(body[start : start + step])
    return reader.finish()


def nested(value: str) -> str:
    return f'{{"a": {PLAIN}, "businessDocument": "{value}"}}'


UNUSUAL = (
    json.dumps({"businessDocument": TEXT[:60]}),
    json.dumps({"businessDocument": TEXT + "*"}),
    json.dumps({"businessDocument": TEXT + "\n"}),
    json.dumps({"businessDocument": TEXT + "A"}),
    json.dumps({"businessDocument": TEXT + "QQ==QUJD"}),
    json.dumps({"businessDocument": TEXT + "QQ==" + TEXT}),
    json.dumps({"businessDocument": TEXT + "===="}),
    json.dumps({"businessDocument": TEXT[:40_000] + "*" + TEXT[40_000:]}),
    json.dumps({"businessDocument": TEXT + "\u00e5"}, ensure_ascii=False),
    json.dumps({"businessDocument": TEXT + '"' + TEXT}),
    json.dumps({"businessDocument": TEXT + "\\u002B" + TEXT}),
    json.dumps({"businessDocument": TEXT + "\\/" + TEXT}),
    PLAIN.replace("A", "\\u0041"),
    json.dumps({"other": "x" * 5000, "businessDocument": TEXT}),
    json.dumps({"other": "x" * 500_000, "businessDocument": TEXT}),
    json.dumps({"businessDocument": TEXT, "other": "x" * 5000}),
    json.dumps({"businessDocument": TEXT, "other": "x" * 500_000}),
    json.dumps({"businessDocument": TEXT, "other": "//cut/out/"}),
    json.dumps({"businessDocument": TEXT, "other": 'a "quoted" word'}),
    json.dumps({"businessDocument": TEXT, "other": "\u00e5"}),
    json.dumps({'x"businessDocument': TEXT}),
    json.dumps({"x": '"businessDocument":"' + TEXT}),
    json.dumps([json.loads(PLAIN)]),
    json.dumps({"businessDocument": None, "other": TEXT}),
    PLAIN[:-1] + ', "businessDocument": "QUJD"}',
    PLAIN[:-1] + ', "BUSINESSDOCUMENT": "QUJD"}',
    nested("//cut/out/"),
    nested("\\/\\/cut\\/out\\/"),
    nested(TEXT),
    '{"businessDocument": "", ' + PLAIN[1:].replace(TEXT, "QUJD"),
    '{"businessDocument": "QUJD", ' + PLAIN[1:].replace("businessD", "other"),
)
BROKEN = (
    PLAIN[:-1],
    PLAIN[:-100],
    PLAIN[: len(TEXT) // 2],
    PLAIN[: len(TEXT) // 2].replace("+", "\\u002B") + "\\u00",
    PLAIN + "}",
    PLAIN.replace('", "c', '" "c'),
    PLAIN + "\xff",
    "",
    "\xff",
)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("number", range(len(EDITIONS)))
def test_a_large_document_is_decoded_on_the_way(number: int, step: int) -> None:
    found, document = read(EDITIONS[number].encode(), step)
    assert document == LARGE
    assert found["contenttransferencoding"] == "base64"
    assert found["businessdocument"] != TEXT


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("number", range(len(UNUSUAL)))
def test_an_unusual_answer_is_read_as_json_in_whole(number: int, step: int) -> None:
    body = UNUSUAL[number].encode()
    assert read(body, step) == (fields(read_json(body)), None)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_a_large_answer_that_is_no_json_is_none(number: int, step: int) -> None:
    with pytest.raises(ValueError):  # whatever the JSON reader says
        read(BROKEN[number].encode("latin-1"), step)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le"])
def test_another_encoding_is_read_as_json_in_whole(encoding: str) -> None:
    assert read(PLAIN.encode(encoding)) == (fields(json.loads(PLAIN)), None)


@pytest.mark.parametrize("declared", [0, 1, 70_000, 4_000_000])
@pytest.mark.parametrize("body", [PLAIN, DOTNET, UNUSUAL[4], UNUSUAL[13]])
def test_what_an_answer_says_of_its_size_changes_nothing(body: str, declared: int) -> None:
    assert read(body.encode(), declared=declared) == read(body.encode())


def outcome(found: dict[str, Any], document: bytes | None) -> object:
    """What a caller gets to know: the document or that there is none, and the other fields."""
    text = found.pop("businessdocument", None)
    if document is None and isinstance(text, str):
        try:
            document = base64.b64decode(text, validate=True)
        except ValueError:
            document = None
    return found, document


SCRAPS = st.sampled_from(
    [
        "AAAA",
        "QQ==",
        "QUI=",
        "=",
        "Q",
        "\\u002B",
        "\\u002b",
        "\\/",
        "\\",
        "\\\\",
        '"',
        '\\"',
        " ",
        "*",
        "/+/+",
        "-",
        "å",
    ]
) | st.sampled_from([TEXT[:50_001], TEXT[:70_000], TEXT])
ENDS = st.sampled_from(
    ['"}', '","a":1}', '","contentTransferEncoding":"base64"}', '"', "", '","businessDocument":"QUJD"}']
)


@settings(max_examples=400, deadline=None)
@given(st.lists(SCRAPS, max_size=6), ENDS, st.lists(st.integers(1, 90_000), max_size=5))
def test_any_text_cut_anywhere_has_the_outcome_of_the_whole(scraps: list[str], end: str, cuts: list[int]) -> None:
    body = ('{"x":"","BusinessDocument":"' + TEXT[:65_536] + "".join(scraps) + end).encode()
    reader = DocumentReader()
    reader.expect(0)
    start = 0
    for cut in sorted(cuts):
        if start < cut < len(body):
            reader.add(body[start:cut])
            start = cut
    reader.add(body[start:])
    try:
        expected = outcome(fields(read_json(body)), None)
    except ValueError:
        with pytest.raises(ValueError):
            reader.finish()
    else:
        assert outcome(*reader.finish()) == expected


# -- over a real connection


def chunked(body: bytes, size: int = 5000) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


CHUNKED = {"Transfer-Encoding": "chunked", "Connection": "close"}


@pytest.mark.parametrize(
    "reply",
    [
        *(Reply(body=body.encode()) for body in EDITIONS),
        Reply(body=PLAIN.encode(), headers={"Connection": "close"}),
        Reply(body=chunked(PLAIN.encode()), headers=CHUNKED),
        Reply(body=chunked(DOTNET.encode(), 11), headers=CHUNKED),
        Reply(body=json.dumps({"other": "x" * 500_000, "businessDocument": TEXT}).encode()),
        Reply(body=json.dumps({"businessDocument": TEXT, "other": "x" * 500_000}).encode()),
    ],
)
def test_a_large_document_arrives_byte_for_byte(reply: Reply) -> None:
    with Loopback(reply, reply) as server:
        road = road_to(server.url)
        assert [road.fetch(NEW_ID, 8000002), road.fetch(NEW_ID, 8000002)] == [LARGE, LARGE]
        assert server.connections == (2 if "Connection" in reply.headers else 1)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(body=PLAIN.encode(), fault="cut_body"), "cut short"),
        (Reply(body=chunked(PLAIN.encode())[:-5000], headers=CHUNKED), "cut short"),
        (Reply(body=PLAIN[:70_000].encode(), headers={"Connection": "close"}), "not the promised content"),
        (Reply(body=gzip.compress(PLAIN.encode()), headers={"Content-Encoding": "gzip"}), "encoded"),
        (Reply(body=PLAIN.encode(), fault="drip_body"), "took too long"),
        (Reply(body=PLAIN.encode(), headers={"Connection": "close"}, fault="drip_body"), "took too long"),
    ],
)
def test_p20_a_large_document_that_is_not_whole_is_fetched_again_later(reply: Reply, why: str) -> None:
    with Loopback(reply, Reply(body=PLAIN.encode())) as server:
        with pytest.raises(TransportError, match=why):
            road_to(server.url, total_timeout_s=0.4).fetch(NEW_ID, 8000002)
        assert road_to(server.url).fetch(NEW_ID, 8000002) == LARGE


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=json.dumps({"businessDocument": TEXT + "*"}).encode()),
        Reply(body=json.dumps({"businessDocument": TEXT + "QQ==QUJD"}).encode()),
        Reply(body=json.dumps({"businessDocument": TEXT, "contentTransferEncoding": "hex"}).encode()),
        Reply(body=json.dumps({"businessDocument": TEXT * 3}).encode()),
        Reply(body=json.dumps({"businessDocument": TEXT * 3}).encode(), headers={"Connection": "close"}),
        Reply(body=chunked(json.dumps({"businessDocument": TEXT * 3}).encode()), headers=CHUNKED),
    ],
)
def test_p12_a_large_document_that_can_never_be_had_is_looked_past(reply: Reply) -> None:
    with Loopback(reply) as server, pytest.raises(RemoteRefusalError) as caught:
        road_to(server.url, response_limit_bytes=200_000).fetch(NEW_ID, 8000002)
    assert caught.value.status == 200


def test_a_large_document_comes_after_a_401_too() -> None:
    tokens = Pass()
    with Loopback(Reply(status=401, body=b"x" * 100_000), Reply(body=PLAIN.encode())) as server:
        assert road_to(server.url, tokens).fetch(NEW_ID, 8000002) == LARGE
    assert len(tokens.renewed) == 1


def test_a_refusal_is_read_as_a_refusal_however_large_it_is() -> None:
    body = {"errorCode": 1010, "businessDocument": TEXT}
    with Loopback(Reply(status=404, body=body)) as server, pytest.raises(RemoteRefusalError) as caught:
        road_to(server.url).fetch(NEW_ID, 8000002)
    assert (caught.value.status, caught.value.remote_code) == (404, 1010)


def test_a_large_document_is_held_once_and_by_nobody_but_the_caller() -> None:
    document = random.Random(2).randbytes(6_000_000)
    body = json.dumps({"businessDocument": base64.b64encode(document).decode()}).encode()
    reader = DocumentReader()
    gc.disable()
    tracemalloc.start()
    try:
        reader.expect(len(body))
        tracemalloc.reset_peak()
        for start in range(0, len(body), 100_000):
            reader.add(body[start : start + 100_000])
        _, found = reader.finish()
        del reader
        peak = tracemalloc.get_traced_memory()[1]
        assert found == document
        assert sys.getrefcount(found) == 2  # this name, and the question itself
    finally:
        tracemalloc.stop()
        gc.enable()
    assert peak < 7_000_000 + len(body)  # the size that was declared is asked for once, and not used
