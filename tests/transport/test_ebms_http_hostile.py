"""A partner's server that answers too much, too slowly, wrongly or not at all: the outcome is one of three, in time.

What surely did not arrive may be sent again at once (TransportError, again "later"); what may have arrived is unknown
(P2); what was refused is refused.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path

import pytest

from adapter.config_mail import EbmsHttpSettings
from adapter.errors import AdapterError, Again, RemoteRefusalError, TransportError, UnknownOutcomeError
from adapter.transport.ebms_http import EbmsHttpClient, SyncAnswer
from tests.transport.mail_servers import server_context
from tests.transport.pairs import write_pair
from tests.transport.rude import Call, Play, Rude

FAST = EbmsHttpSettings(connect_timeout_s=2.0, read_timeout_s=0.5, total_timeout_s=0.8, response_limit_bytes=100_000)
HEADERS = (("SOAPAction", '"ebXML"'), ("Content-Type", "text/xml; charset=UTF-8"))
XML = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n"
BODY = b"<a/>"
MEGABYTE = b"x" * 1_000_000


def post(server: Rude, settings: EbmsHttpSettings = FAST, body: bytes = BODY, **client: Path) -> SyncAnswer:
    """One post of one client, and never longer than the settings say."""
    began = time.monotonic()
    poster = EbmsHttpClient(settings, **client)
    try:
        return poster.post(server.url, HEADERS, (body,))
    finally:
        assert time.monotonic() - began < settings.total_timeout_s + 3
        poster.close()


def says(*pieces: bytes) -> Play:
    """Read the request, say this, and end the line."""

    def play(call: Call) -> None:
        call.read_all()
        call.say(*pieces)

    return play


def outcome(server: Rude, **more: object) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        post(server, **more)  # type: ignore[arg-type]
    return caught.value


# -- too much ------------------------------------------------------------------------------------------------------


def pours(head: bytes, pieces: Callable[[], Iterator[bytes]], told: list[int]) -> Play:
    def play(call: Call) -> None:
        call.read_all()
        call.say(head)
        told.append(call.pour(pieces()))

    return play


CHUNK = b"f4240\r\n" + MEGABYTE + b"\r\n"
ENDLESS = {
    "a length of 100 MB": (XML + b"Content-Length: 100000000\r\n\r\n", lambda: repeat(MEGABYTE, 100)),
    "100 MB without a length": (XML + b"Connection: close\r\n\r\n", lambda: repeat(MEGABYTE, 100)),
    "100 MB in chunks": (XML + b"Transfer-Encoding: chunked\r\n\r\n", lambda: repeat(CHUNK, 100)),
    "a chunk that never ends": (XML + b"Transfer-Encoding: chunked\r\n\r\n5f5e100\r\n", lambda: repeat(MEGABYTE, 100)),
    "a header of 100 MB": (XML + b"X: ", lambda: repeat(MEGABYTE, 100)),
    "headers without end": (XML, lambda: repeat(b"X: " + b"y" * 60_000 + b"\r\n", 2_000)),
    "a status line without end": (b"HTTP/1.1 200 ", lambda: repeat(MEGABYTE, 100)),
    "interim answers without end": (b"", lambda: repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 4_000, 1_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDLESS)
def test_p20_an_answer_without_end_is_unknown_and_is_not_held_in_memory(name: str) -> None:
    head, pieces = ENDLESS[name]
    told: list[int] = []
    with Rude(pours(head, pieces, told)) as server:
        tracemalloc.start()
        error = outcome(server)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert isinstance(error, UnknownOutcomeError)
    assert error.again is Again.AFTER_PROOF
    assert peak < 20_000_000  # the server's own pieces are in it
    assert told[0] < 100_000_000


# -- too slow ------------------------------------------------------------------------------------------------------


def stalls(*pieces: bytes) -> Play:
    def play(call: Call) -> None:
        call.read_all()
        call.say(*pieces)
        call.hold()

    return play


@pytest.mark.parametrize(
    "pieces",
    [(), (b"HTTP/1.1 200",), (XML,), (XML + b"Content-Length: 9\r\n\r\n",), (XML + b"Content-Length: 9\r\n\r\n", BODY)],
    ids=["nothing", "in the status", "in the head", "before the body", "in the body"],
)
def test_p2_a_server_that_stalls_leaves_the_outcome_unknown(pieces: tuple[bytes, ...]) -> None:
    with Rude(stalls(*pieces)) as server:
        assert isinstance(outcome(server), UnknownOutcomeError)
        assert len(server.calls) == 1


def test_p2_a_server_that_reads_slowly_leaves_the_outcome_unknown() -> None:
    def play(call: Call) -> None:
        call.read_head()
        call.over.wait(5)

    with Rude(play) as server:
        error = outcome(server, body=b"x" * 30_000_000)
    assert isinstance(error, UnknownOutcomeError)


# -- broken lines --------------------------------------------------------------------------------------------------


def resets(after: str) -> Play:
    def play(call: Call) -> None:
        if after == "head":
            call.read_head()
        if after in ("body", "half an answer"):
            call.read_all()
        if after == "half an answer":
            call.say(XML + b"Content-Length: 90\r\n\r\n" + BODY)
        call.reset()

    return play


@pytest.mark.parametrize("after", ["body", "half an answer"])
def test_p2_a_reset_after_the_body_is_unknown(after: str) -> None:
    with Rude(resets(after)) as server:
        assert isinstance(outcome(server), UnknownOutcomeError)
        assert len(server.calls) == 1


def test_p2_a_reset_while_a_large_body_leaves_is_unknown_as_bytes_are_on_their_way() -> None:
    with Rude(resets("head")) as server:
        error = outcome(server, body=b"x" * 30_000_000)
    assert isinstance(error, UnknownOutcomeError)


def test_p2_a_line_that_breaks_before_a_byte_of_the_message_is_for_later(tmp_path: Path) -> None:
    write_pair(tmp_path)

    def play(call: Call) -> None:
        call.reset()

    with Rude(play) as server:
        secure = server.url.replace("http:", "https:")  # it ends in the handshake
        with pytest.raises(TransportError) as caught:
            EbmsHttpClient(FAST, ca_file=tmp_path / "endpoint.pem").post(secure, HEADERS, (BODY,))
    assert not isinstance(caught.value, UnknownOutcomeError)
    assert caught.value.again is Again.LATER


def test_a_refusal_that_comes_while_the_body_leaves_is_heard() -> None:
    """A server that will not read 30 MB says so and closes; the answer must not be lost to the broken line."""

    def play(call: Call) -> None:
        call.read_head()
        call.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        call.pour(iter(()))
        while call.line.recv(1_000_000):  # a careful one listens for a moment
            continue

    with Rude(play) as server:
        error = outcome(server, body=b"x" * 30_000_000)
    assert isinstance(error, RemoteRefusalError)
    assert error.status == 413


def test_a_kept_connection_that_the_server_has_closed_is_not_used_again() -> None:
    with Rude(says(XML + b"Content-Length: 4\r\n\r\n" + BODY)) as server:
        client = EbmsHttpClient(FAST)
        for _ in range(3):
            assert client.post(server.url, HEADERS, (BODY,)).body == BODY
            assert server.calls[-1].closed.wait(5)
        assert len(server.calls) == 3


# -- wrong ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"\x16\x03\x01\x02\x00",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"<html>no head</html>",
        XML + b"Content-Length: 999999999999999999999999\r\n\r\n" + BODY,
        XML + b"Content-Length: 400\r\n\r\n" + BODY,
        XML + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + BODY,
        XML + b"Transfer-Encoding: chunked\r\n\r\n4\r\n" + BODY,
        XML + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
        b"HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<p/>",
        b"",
    ],
    ids=["tls", "ssh", "status word", "status number", "no head", "absurd length", "too short",
         "chunk word", "no last chunk", "gzip", "html error", "nothing"],
)  # fmt: skip
def test_p2_an_answer_that_cannot_be_read_leaves_the_outcome_unknown(answer: bytes) -> None:
    with Rude(says(answer)) as server:
        assert isinstance(outcome(server), UnknownOutcomeError)
        assert len(server.calls) == 1  # never repeated here


def test_p2_words_that_are_no_ebxml_under_a_good_status_are_left_to_the_reader_of_answers() -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<p/>"
    with Rude(says(page)) as server:
        answer = post(server)
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "text/html", b"<p/>")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_p20_no_redirect_is_followed_not_even_to_the_same_host(status: int) -> None:
    with Rude(says(f"HTTP/1.1 {status} Go\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".encode())) as server:
        error = outcome(server)
        assert isinstance(error, RemoteRefusalError)
        assert len(server.calls) == 1


def test_p21_no_error_repeats_what_the_partner_said() -> None:
    canary = b"13116900216"
    answers = (
        b"HTTP/1.1 403 " + canary + b"\r\nX: " + canary + b"\r\nContent-Length: 11\r\n\r\n" + canary,
        b"HTTP/1.1 500 " + canary + b"\r\nContent-Length: 11\r\n\r\n" + canary,
        b"HTTP/1.1 " + canary + b"\r\n\r\n",
        b"HTTP/1.1 302 Go\r\nLocation: http://" + canary + b".example/\r\nContent-Length: 0\r\n\r\n",
        canary,
    )
    for answer in answers:
        with Rude(says(answer)) as server:
            error = outcome(server)
        assert canary.decode() not in f"{error} {error!r} {vars(error)}"


# -- certificates --------------------------------------------------------------------------------------------------


def test_p20_a_certificate_of_another_host_gets_no_byte_of_the_message(tmp_path: Path) -> None:
    write_pair(tmp_path, host="127.0.0.2")
    assert_untrusted(tmp_path)


def test_p20_an_expired_certificate_gets_no_byte_of_the_message(tmp_path: Path) -> None:
    write_pair(tmp_path, days=-1, now=datetime.now(UTC) - timedelta(days=1))
    assert_untrusted(tmp_path)


def test_p20_a_certificate_of_an_unknown_authority_gets_no_byte_of_the_message(tmp_path: Path) -> None:
    write_pair(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    write_pair(other)
    assert_untrusted(tmp_path, trusted=other)


def assert_untrusted(folder: Path, trusted: Path | None = None) -> None:
    pair = folder / "pair.pem"
    pair.write_bytes((folder / "endpoint.pem").read_bytes() + (folder / "endpoint.key").read_bytes())
    with Rude(says(XML + b"Content-Length: 4\r\n\r\n" + BODY), tls=server_context(pair)) as server:
        patient = replace(FAST, total_timeout_s=3.0, read_timeout_s=3.0)
        error = outcome(server, settings=patient, ca_file=(trusted or folder) / "endpoint.pem")
        assert server.calls == []  # the handshake never ended
    assert isinstance(error, TransportError)
    assert not isinstance(error, UnknownOutcomeError)
    assert error.again is Again.LATER
    assert "TLS" in error.text
