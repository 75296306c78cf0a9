"""What the endpoint refuses before anybody looks at it: too large, too slow, too many, or no request for it."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.test_worker import wait_until
from tests.web.caller import NOTHING, Said, drip, ended, head, hear, took
from tests.web.conftest import OpenSite, Site, sites

CANARY = "13116900216"
LIMIT = 100_000


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with sites(tmp_path_factory.mktemp("bounds")) as opened:
        yield opened(body_limit_bytes=LIMIT, most_requests=2, most_connections=6)


@pytest.fixture
def site(shared: Site) -> Site:
    """One for all tests here: ``kept`` counts from the start of each."""
    assert wait_until(lambda: shared.receiver.under_way == 0)
    shared.kept_before = count(shared)
    return shared


def kept(site: Site) -> int:
    """How many messages the store holds that it did not hold before."""
    return count(site) - site.kept_before


def count(site: Site) -> int:
    with site.rig.adapter.parts.store.reading() as db:
        return int(db.exec_driver_sql("SELECT count(*) FROM message").scalar() or 0)


def is_refusal(said: Said, status: int) -> bool:
    """Short, plain, without a word of the request, and the last on its connection."""
    assert said.status == status, said
    assert said.headers["connection"] == "close"
    assert said.headers.get("content-type", "text/plain; charset=utf-8") == "text/plain; charset=utf-8"
    assert len(said.body) < 80
    assert CANARY not in repr(said)
    return True


# -- size ----------------------------------------------------------------------------------------------------------


def test_a_request_that_says_it_is_too_large_is_refused_before_its_body_is_sent(site: Site) -> None:
    with site.call.line() as line:
        line.sendall(head(LIMIT + 1, "Expect: 100-continue"))
        assert is_refusal(hear(line), 413)  # and not 100 Continue
    assert kept(site) == 0


def test_a_client_that_sends_all_of_it_first_hears_the_refusal_too(site: Site) -> None:
    assert is_refusal(site.call.post(b"x" * 20_000_000), 413)


def test_a_body_without_a_length_is_cut_at_the_limit(site: Site) -> None:
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(2_000):
            sent += 10_000
            yield b"x" * 10_000

    try:
        assert is_refusal(site.call.post(pieces()), 413)
    except OSError:  # it was cut while it was still sending
        assert sent > LIMIT
    assert kept(site) == 0


def test_a_body_of_exactly_the_limit_is_taken(site: Site) -> None:
    assert site.call.post(b"x" * LIMIT, [("Content-Type", "text/xml")]).status == 500  # a SOAP Fault
    assert kept(site) == 1


@pytest.mark.cost
def test_a_body_in_crumbs_is_cut_before_it_costs_anything(site: Site) -> None:
    began = time.process_time()
    with site.call.line() as line:
        line.sendall(head(None, "Transfer-Encoding: chunked"))
        with pytest.raises(OSError):
            line.sendall(b"1\r\nx\r\n" * 10_000_000)
    assert time.process_time() - began < 2
    assert kept(site) == 0


def test_ordinary_chunks_are_taken_whatever_their_size(site: Site) -> None:
    said = site.call.post((b"x" * size for size in (1, 7, 1_000, 60_000, 2)), [("Content-Type", "text/xml")])
    assert said.status == 500
    assert b"Fault" in said.body


@pytest.mark.parametrize("lines", [1, 3_000], ids=["one long line", "many lines"])
def test_a_head_that_never_ends_is_refused(site: Site, lines: int) -> None:
    filler = [f"X-{number}: {'y' * (90_000 // lines)}" for number in range(lines)]
    with site.call.line() as line:
        try:
            line.sendall(head(None, *filler)[:-4])
            said = hear(line)
        except OSError:
            said = NOTHING
        assert said is NOTHING or said.status == 400


# -- time ----------------------------------------------------------------------------------------------------------


def test_a_connection_that_says_nothing_is_closed(site: Site) -> None:
    began = time.monotonic()
    with site.call.line() as line:
        assert ended(line)
    assert 0.2 < took(began) < 2


def test_a_head_that_comes_slowly_is_given_up(site: Site) -> None:
    began = time.monotonic()
    with site.call.line() as line:
        assert drip(line, [bytes([one]) for one in head(10)], 0.02) < 40
        said = hear(line)
    assert said.status == 408
    assert said.headers["connection"] == "close"
    assert 0.2 < took(began) < 2


def test_a_body_that_stops_is_given_up(site: Site) -> None:
    began = time.monotonic()
    with site.call.line() as line:
        line.sendall(head(1_000) + CANARY.encode())
        assert is_refusal(hear(line), 408)
        assert ended(line)
    assert 0.2 < took(began) < 2
    assert kept(site) == 0


def test_a_body_that_drips_is_given_up_when_its_time_is_over(site: Site) -> None:
    began = time.monotonic()
    with site.call.line() as line:
        line.sendall(head(1_000))
        assert drip(line, [b"x"] * 200, 0.05) < 60
        assert is_refusal(hear(line), 408)
    assert 0.8 < took(began) < 3
    assert kept(site) == 0


def test_a_connection_serves_message_after_message_and_is_closed_when_it_rests(site: Site) -> None:
    line = site.call.connection()
    for _ in range(3):
        line.request("POST", "/ebxml", b"<a/>", {"Content-Type": "text/xml"})
        said = Said.of(line.getresponse())
        assert said.status == 500
        assert "connection" not in said.headers
    began = time.monotonic()
    assert ended(line.sock)
    assert 0.2 < took(began) < 2
    line.close()


def test_the_second_head_on_a_connection_is_bounded_too(site: Site) -> None:
    with site.call.line() as line:
        line.sendall(head(4) + b"<a/>")
        answer = http.client.HTTPResponse(line)
        answer.begin()
        assert answer.read()
        line.sendall(b"POST /eb")
        assert hear(line).status == 408


# -- number --------------------------------------------------------------------------------------------------------


def test_more_requests_at_once_than_there_is_room_for_are_told_to_come_back(open_site: OpenSite) -> None:
    site = open_site(most_requests=2, idle_timeout_s=5.0, total_timeout_s=5.0)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(site.call.line()).sendall(head(100) + b"half")
        assert wait_until(lambda: site.receiver.under_way == 2)
        said = site.call.post(b"<a/>")
        assert is_refusal(said, 503)
        assert int(said.headers["retry-after"]) > 0
        assert site.call.get("/health").status == 200
    assert wait_until(lambda: site.receiver.under_way == 0)
    assert site.call.post(b"<a/>").status == 500


def test_more_connections_than_there_is_room_for_are_closed_unread(open_site: OpenSite) -> None:
    site = open_site(most_connections=3, idle_timeout_s=5.0)
    with ExitStack() as stack:
        lines = [stack.enter_context(site.call.line()) for _ in range(3)]
        lines[0].sendall(head(4) + b"<a/>")
        assert lines[0].recv(12) == b"HTTP/1.1 500"  # all three are accepted in order
        with site.call.line() as one_more:
            assert ended(one_more)
    assert wait_until(lambda: answers(site))


def answers(site: Site) -> bool:
    try:
        return site.call.get("/health").status == 200
    except (OSError, http.client.HTTPException):
        return False


# -- no request for us ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/ebxml/", "/EBXML", "/ebxml/x", f"/{CANARY}", "//ebxml", "/ebxml%2f.."])
def test_another_path_is_not_there(site: Site, path: str) -> None:
    assert is_refusal(site.call.post(b"<a/>", path=path), 404)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_another_method_is_told_the_right_one(site: Site, method: str) -> None:
    said = site.call.ask(method, "/ebxml")
    assert is_refusal(said, 405)
    assert said.headers["allow"] == "POST"


def test_a_message_to_the_health_page_is_refused(site: Site) -> None:
    said = site.call.post(b"x" * 300_000, path="/health")
    assert is_refusal(said, 405)
    assert set(said.headers["allow"].replace(" ", "").split(",")) == {"GET", "HEAD"}


def test_an_empty_body_is_no_message(site: Site) -> None:
    assert is_refusal(site.call.post(b""), 400)
    assert kept(site) == 0


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, identity"])
def test_an_encoded_body_is_refused_and_the_partner_told_what_is_read(site: Site, encoding: str) -> None:
    said = site.call.post(b"\x1f\x8b", [("Content-Encoding", encoding)])
    assert is_refusal(said, 415)
    assert said.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data; boundary=x", ""])
def test_a_wrong_content_type_gets_a_soap_fault_and_the_bytes_are_kept(site: Site, content_type: str) -> None:
    """HITS 1172 5.5.2.1, rules 66 and 252."""
    said = site.call.post(b"{}", [("Content-Type", content_type)])
    assert (said.status, said.headers["content-type"]) == (500, "text/xml; charset=UTF-8")
    assert b"Fault" in said.body
    assert kept(site) == 1


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",  # TLS to a plain port
        b"POST /ebxml HTTP/1.1\r\nContent-Length: x\r\nHost: a\r\n\r\n",
        b"POST /ebxml HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\nHost: a\r\n\r\n<a/>",
        b"POST /ebxml HTTP/1.1\r\nContent-Length: 4\r\n\r\n<a/>",  # no Host
        b"POST /ebxml HTTP/9.9\r\n\r\n",
        b"POST  /ebxml\r\n\r\n",
        b"POST /ebxml HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /ebxml HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /ebxml HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"POST /ebxml HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\nContent-Length: 4\r\n\r\n<a/>",
    ],
    ids=["tls", "length", "two lengths", "no host", "version", "line", "chunk", "coding", "two framings", "null"],
)
def test_what_is_not_http_is_refused_and_the_next_request_served(site: Site, request_: bytes) -> None:
    with site.call.line() as line:
        line.sendall(request_)
        said = hear(line)
        assert said.status in (400, 408, 501), said
    assert kept(site) == 0
    assert site.call.get("/health").status == 200


# -- clients that go away ------------------------------------------------------------------------------------------


def test_half_a_message_leaves_nothing(site: Site) -> None:
    with site.call.line() as line:
        line.sendall(head(1_000) + b"x" * 500)
        assert wait_until(lambda: site.receiver.under_way == 1)
    assert wait_until(lambda: site.receiver.under_way == 0)
    assert kept(site) == 0


def test_a_client_that_resets_the_connection_leaves_nothing(site: Site) -> None:
    with site.call.line() as line:
        line.sendall(head(1_000) + b"x" * 500)
        assert wait_until(lambda: site.receiver.under_way == 1)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    assert wait_until(lambda: site.receiver.under_way == 0)
    assert kept(site) == 0


def test_p21_neither_answers_nor_logs_repeat_a_request(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    named = [("Content-Type", f"text/xml; name={CANARY}"), ("X-Patient", CANARY)]
    for path in ("/ebxml", f"/{CANARY}", f"/ebxml?patient={CANARY}", f"/ebxml#{CANARY}"):
        assert CANARY not in repr(site.call.post(f"<a>{CANARY}</a>".encode(), named, path=path))
    with site.call.line() as line:
        line.sendall(f"POST /{CANARY} HTTP/1.1\r\n{CANARY}\r\n\r\n".encode())
        assert CANARY not in repr(hear(line))
    told = [record for record in caplog.records if record.name.startswith(("adapter", "uvicorn", "asyncio"))]
    assert told
    assert [record for record in told if CANARY in record.getMessage() or CANARY in repr(vars(record))] == []
