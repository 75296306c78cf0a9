# ruff: noqa: E501
"""Readers under generated input for a bounded time: no exception but our own, and no time without bound."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter.ebxml.agreement_report import agreement_json, check_agreement
from adapter.ebxml.bounce import read_bounce, read_plain_bounce
from adapter.ebxml.build import build
from adapter.ebxml.cpa import check_against, read_agreement
from adapter.ebxml.head import Head, MimeLimits
from adapter.ebxml.mime import unpack
from adapter.ebxml.opening import SignatureOutcome, judge, open_http, open_json, open_message
from adapter.ebxml.pack import Attachment, MailHead, pack_mail
from adapter.ebxml.plaintext import read_plaintext
from adapter.ebxml.read import read
from adapter.errors import AdapterError, UnreadableError
from adapter.xmlio import parse, serialise
from tests.ebxml.making import ATTACHED, NOW, mailed, payload, signed
from tests.ebxml.test_cpa import text
from tests.ebxml.test_envelope import EVERY_KIND

GOOD = serialise(signed(build(payload())))
WIRE = mailed(GOOD, ATTACHED)
CPA = text().encode()
SMALL = MimeLimits(size_bytes=200_000, parts=6, head_bytes=2_000, decoded_bytes=200_000)
BOUNDED = settings(max_examples=150, deadline=2_000, suppress_health_check=[HealthCheck.too_slow], database=None)
PIECES = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r\n\r\n", b"--b-1", b"--b-1--", b"--b-1--\r\n", b"--", b"Content-Type: ", b"multipart/related",
        b"multipart/mixed", b"multipart/report", b"message/delivery-status", b"Action: failed\r\n", b'; boundary="b-1"', b"; boundary=", b"text/xml", b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n", b"Content-ID: <a@b>\r\n", b"Content-ID: ", b"<a/>", b"=",
        b'"', b";", b"\x00", b"\xff", b"From: a@b\r\n", b"POST / HTTP/1.1\r\n", b"HTTP/1.1 200\r\n",
        b"Transfer-Encoding: chunked\r\n", b"5\r\n", b"0\r\n", b"PGEvPg==", b"\x1f\x8b\x08", b" ", b"\t", GOOD[:700],
    ]
)  # fmt: skip
NOISE = st.lists(st.one_of(PIECES, st.binary(max_size=12)), max_size=40).map(b"".join)


def mutated(original: bytes) -> st.SearchStrategy[bytes]:
    """The octets with up to four places cut, doubled or overwritten."""
    at = st.integers(0, len(original))
    edit = st.tuples(at, st.integers(0, 40), st.one_of(PIECES, st.binary(max_size=6)))

    def apply(edits: list[tuple[int, int, bytes]]) -> bytes:
        data = original
        for where, length, new in edits:
            data = data[:where] + new + data[where + length :]
        return data

    return st.lists(edit, min_size=1, max_size=4).map(apply)


def looked_at(data: bytes) -> None:
    """Everything that is done with a received message; the line it gives is JSON-ready."""
    opened = open_message(data, SMALL)
    for outcome in (None, SignatureOutcome(status="valid", covered=("",)), SignatureOutcome(status="invalid")):
        judged = judge(opened, outcome, now=NOW)
        open_json("f", opened, judged, outcome)
        if opened.package is not None:
            read_bounce(opened.package, SMALL)
            read_plain_bounce(opened.package, data)
        assert opened.root is not None or judged.hits or opened.package is not None


@BOUNDED
@given(NOISE)
def test_noise_of_mime_pieces_is_opened_or_refused(data: bytes) -> None:
    looked_at(data)


@BOUNDED
@given(NOISE)
def test_noise_that_a_mail_server_sends_back_is_borne(data: bytes) -> None:
    looked_at(b"From: MAILER-DAEMON@a.b\r\n" + data)


@BOUNDED
@given(mutated(WIRE))
def test_a_damaged_mail_is_opened_or_refused(data: bytes) -> None:
    looked_at(data)


@BOUNDED
@given(mutated(GOOD))
def test_a_damaged_envelope_is_opened_or_refused(data: bytes) -> None:
    looked_at(mailed(data, ATTACHED))
    looked_at(data)


TAGS = sorted(set(re.findall(r"</?(?:eb|ds|SOAP):[A-Za-z]+", GOOD.decode())))


@BOUNDED
@given(st.sampled_from(list(EVERY_KIND)), st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), max_size=3))
def test_elements_in_wrong_places_are_judged(name: str, swaps: list[tuple[str, str]]) -> None:
    xml = serialise(build(EVERY_KIND[name])).decode()
    for one, other in swaps:
        one, other = one.lstrip("</"), other.lstrip("</")
        xml = xml.replace(f"<{one}", f"<{other}", 1).replace(f"</{one}>", f"</{other}>", 1)
    looked_at(xml.encode())


@BOUNDED
@given(mutated(CPA))
def test_a_damaged_agreement_is_read_or_refused(data: bytes) -> None:
    try:
        agreement = read_agreement(data)
    except AdapterError:
        return
    agreement_json(agreement)
    check_agreement(agreement, NOW)
    check_against(agreement, payload(), NOW)


@BOUNDED
@given(st.one_of(st.binary(max_size=300), NOISE))
def test_a_plaintext_is_read_or_refused(data: bytes) -> None:
    try:
        read_plaintext(data, SMALL)
    except UnreadableError as error:
        assert error.code.startswith("MIME.")  # noqa: PT017


@BOUNDED
@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=80)), max_size=8), st.binary(max_size=200))
def test_odd_fields_of_an_http_head_are_borne(fields: list[tuple[str, str]], body: bytes) -> None:
    open_http([*fields, ("Content-Type", "multipart/related; boundary=q")], body, SMALL)
    head = Head(tuple(fields))
    assert all(name == name.lower() for name in head.parameters)


@BOUNDED
@given(st.binary(max_size=5_000), st.binary(max_size=400))
def test_what_is_packed_is_unpacked_unchanged(content: bytes, envelope: bytes) -> None:
    head = MailHead(sender="a@b", receiver="c@d", subject="s", date=NOW, message_id="1@b")
    xml = b"<a>" + envelope.hex().encode() + b"</a>"
    wire = pack_mail(xml, (Attachment(content_id="x@y", content=content),), head, boundary="b-1", content_id="s").mail()
    package = unpack(wire)
    assert package.envelope is not None
    assert package.envelope.content() == xml
    assert [part.content() for part in package.attachments] == [content]


HOSTILE = {
    "a boundary of one letter everywhere": b"Content-Type: multipart/related; boundary=a\r\n\r\n" + b"\n--a" * 1_000_000,
    "lines of dashes": b"Content-Type: multipart/related; boundary=-\r\n\r\n" + b"---\n" * 1_000_000,
    "a head that never ends": b"Content-Type: text/xml\r\n" + b"X: y\r\n" * 1_000_000,
    "parameters without end": b"Content-Type: multipart/related; " + b'a="' * 1_300 + b"\r\n\r\n",
    "equal signs": b"Content-Type: multipart/related; " + b"=" * 8_000 + b"\r\n\r\n",
    "backslashes in quotes": b'Content-Type: multipart/related; boundary="' + b"\\" * 8_000 + b"\r\n\r\n",
    "encoded words": b"Subject: " + b"=?utf-8?q?=41?= " * 500 + b"\r\nContent-Type: text/xml\r\n\r\n<a/>",
    "comments": b"Content-Type: text/xml " + b"(" * 8_000 + b"\r\n\r\n<a/>",
    "chunks of one octet": b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 200_000,
    "base64 of padding": b"Content-Type: text/xml\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"=" * 4_000_000,
    "many elements": mailed(b"<S:Envelope xmlns:S='http://schemas.xmlsoap.org/soap/envelope/'>" + b"<a/>" * 400_000),
    "many references": GOOD.replace(b"<eb:Reference ", b"<eb:Reference/>" * 15_000 + b"<eb:Reference "),
    "many parties": GOOD.replace(b"<eb:PartyId ", b"<eb:PartyId/>" * 9_000 + b"<eb:PartyId "),
    "many signatures": GOOD.replace(b"<ds:Signature", b"<ds:Signature/>" * 9_000 + b"<ds:Signature"),
    "a long description": GOOD.replace(b"<eb:Action>", b"<eb:Action>" + b"x" * 900_000),
}  # fmt: skip


@pytest.mark.cost
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_megabytes_cost_less_than_a_second(name: str) -> None:
    started = time.process_time()
    opened = open_message(HOSTILE[name])
    judge(opened, SignatureOutcome(status="invalid"))
    assert time.process_time() - started < 1.0


def test_findings_of_a_flood_are_bounded() -> None:
    flood = GOOD.replace(b"<eb:Reference ", b"<eb:Reference/>\n" * 15_000 + b"<eb:Reference ")
    assert len(judge(open_message(flood), None).hits) < 100


def test_reading_is_the_same_whatever_the_prefix() -> None:
    other = GOOD.replace(b"SOAP:", b"s:").replace(b"xmlns:SOAP=", b"xmlns:s=")
    assert read(parse(other)) == read(parse(GOOD))
