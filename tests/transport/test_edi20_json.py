"""Whatever a server says, reading it gives words of ours or the one error that callers expect."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.errors import AdapterError
from adapter.model.receipt import ReceiptStatus
from adapter.transport.call import Answer
from adapter.transport.edi20_errors import judge, read_retry_after
from adapter.transport.edi20_json import (
    read_error,
    read_inbox,
    read_json,
    read_new_id,
    read_receipt_errors,
    read_statuses,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)
NAMES = st.sampled_from(
    [
        "id",
        "Id",
        "receiverHerId",
        "ReceiverHerId",
        "senderHerId",
        "businessDocumentId",
        "businessDocumentGenDate",
        "isAppRec",
        "transportDeliveryState",
        "sent",
        "appRecStatus",
        "appRecErrorList",
        "errorCode",
        "details",
        "description",
        "oid",
        "error",
        "requestId",
        "validationErrors",
        "title",
        "new",
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=20)
    | st.sampled_from(
        ["Rejected", "ok", "3", "81b01cb1-c79c-4962-a8d2-41a8320e1a1a", "2.16.578.1.12.4.1.1.8221", "HerId(s): 12, 13"]
    )
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=8),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(ANYTHING)
def test_no_answer_makes_a_reader_stumble(found: object) -> None:
    for item in read_inbox(found, [1, 12]):
        assert item.receiver in (1, 12)
        assert len(item.remote_id) == 36
    errors = read_receipt_errors(found)
    for line in read_statuses(found, errors):
        assert isinstance(line.receiver, int)
        assert line.transport
        assert line.answer is None or isinstance(line.answer, ReceiptStatus)
        assert line.answer is None or line.answer_raw is None
    body = json.dumps(found).encode()
    read_error(body)
    assert read_new_id(body) is None or isinstance(found, str)


@settings(max_examples=200, deadline=None)
@given(st.integers(200, 599), st.binary(max_size=60), st.booleans(), st.text(max_size=30))
def test_every_answer_that_is_no_success_is_one_of_our_errors(status: int, body: bytes, safe: bool, wait: str) -> None:
    error = judge(Answer(status, {"Retry-After": wait}, body), "GET x", safe=safe, now=NOW)
    assert isinstance(error, AdapterError)
    assert f"status {status}" in str(error) or status == 303


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("120", 120.0),
        ("9" * 400, 3600.0),
        ("-5", None),
        ("Sat, 21 Nov 2026 00:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 00:00:30", 30.0),
        ("Fri, 20 Nov 2026 00:00:00 GMT", 0.0),
        ("Sat, 99 Nov 2026 00:00:30 GMT", None),
    ],
)
def test_a_wish_to_wait_is_read_and_bounded(text: str | None, wait: float | None) -> None:
    assert read_retry_after(text, NOW) == wait


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"1" * 5000, b"\xff"])
def test_what_is_no_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_json(body)


def test_characters_that_a_database_refuses_are_left_out() -> None:
    odd = json.loads('"a\\ud800\\u0000b\\n' + "c" * 5000 + '"')
    found = [{"receiverHerId": 1, "appRecErrorList": [{"errorCode": "E\x00", "details": odd}]}]
    (error,) = read_receipt_errors(found)[1]
    assert (error.code, (error.text or "")[:4], len(error.text or "")) == ("E", "ab\nc", 3998)


def test_p21_an_answer_shows_nothing_of_its_content_in_a_repr() -> None:
    assert "secret" not in repr(Answer(200, {"x": "secret"}, b"secret"))
