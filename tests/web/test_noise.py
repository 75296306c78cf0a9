"""Noise on the wire: whatever comes, there is an answer or an end, no defect of ours, and the next message is taken."""

from __future__ import annotations

import logging
import random
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.test_worker import wait_until
from tests.transport.pairs import write_pair
from tests.web.caller import NOTHING, Caller, Said, ended, head, hear
from tests.web.conftest import OpenSite, Site, sites
from tests.web.test_bind import TLS

SEEDS = 150
CUTS = (b"\r\n", b"\n", b"\r", b": ", b" ", b"\x00", b"\xff", b",", b";", b"\r\n\r\n", b"1\r\nx\r\n", b"0\r\n\r\n")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with sites(tmp_path_factory.mktemp("noise")) as opened:
        yield opened(idle_timeout_s=0.1, total_timeout_s=0.2, most_requests=4, body_limit_bytes=20_000)


def mutated(whole: bytes, chance: random.Random) -> bytes:
    """A request with one to four faults."""
    for _ in range(chance.randrange(1, 5)):
        start = chance.randrange(len(whole) + 1)
        end = min(len(whole), start + chance.choice((0, 1, 2, 10, 100)))
        what = chance.choice((b"", chance.choice(CUTS), chance.randbytes(3), whole[start:end] * 2, b"9" * 20))
        whole = whole[:start] + what + whole[end:]
    return whole


def requests(site: Site) -> list[bytes]:
    body, headers = site.note()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[:100], body[100:])) + b"0\r\n\r\n"
    plain = head(len(body), headers=headers) + body
    return [
        plain,
        head(None, "Transfer-Encoding: chunked", headers=headers) + chunks,
        head(None, method="GET", path="/health") * 3,
        head(4, "Expect: 100-continue", "Connection: Upgrade", "Upgrade: websocket") + b"<a/>",
        head(4) + b"<a/>" + plain[:500],
    ]


def test_noise_never_meets_a_defect_and_the_next_message_is_taken(
    shared: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    whole = requests(shared)
    for seed in range(SEEDS):
        chance = random.Random(seed)
        with suppress(OSError), shared.call.line() as line:
            line.sendall(mutated(chance.choice(whole), chance))
            if chance.random() < 0.5:
                line.shutdown(socket.SHUT_WR)
            said = hear(line)
            assert said is NOTHING or 200 <= said.status <= 503, seed
    assert wait_until(lambda: shared.receiver.under_way == 0)
    defects = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [f"{record.name} {record.msg} {record.exc_info}" for record in defects] == []
    assert shared.call.post(*shared.note()).status == 200


def test_two_requests_sent_at_once_get_their_answers_in_order(shared: Site) -> None:
    with shared.call.line() as line:
        line.sendall(head(4) + b"<a/>" + head(None, "Connection: close", method="GET", path="/health"))
        heard = b""
        while piece := line.recv(65_536):
            heard += piece
    assert heard.index(b"HTTP/1.1 500") == 0
    assert b"Fault" in heard
    assert heard.endswith(b"ok\n")


def test_who_ends_its_half_of_the_line_after_a_request_still_gets_the_answer(shared: Site) -> None:
    body, headers = shared.note()
    with shared.call.line() as line:
        line.sendall(head(len(body), headers=headers) + body)
        line.shutdown(socket.SHUT_WR)
        said = hear(line)
        assert ended(line)
    assert said.status == 200
    assert b"Acknowledgment" in said.body


def test_who_ends_its_half_of_the_line_within_a_request_is_left(shared: Site) -> None:
    with shared.call.line() as line:
        line.sendall(head(100) + b"half")
        line.shutdown(socket.SHUT_WR)
        assert hear(line) is NOTHING
    assert wait_until(lambda: shared.receiver.under_way == 0)


def test_an_upgrade_to_something_else_is_not_understood_and_the_message_is_judged(shared: Site) -> None:
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Content-Type", "text/xml")]
    assert shared.call.post(b"<a/>", upgrade).status == 500
    assert b"Fault" in shared.call.post(b"<a/>", upgrade).body


# -- TLS -----------------------------------------------------------------------------------------------------------


def secure(open_site: OpenSite, folder: Path, **receive: float) -> tuple[Site, ssl.SSLContext]:
    trusts = write_pair(folder)
    return open_site(**{name: str(folder / file) for name, file in TLS.items()}, **receive), trusts


def test_connections_that_never_shake_hands_are_counted_and_given_up(
    open_site: OpenSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapter.web.line.HANDSHAKE_S", 0.4)
    site, trusts = secure(open_site, tmp_path, most_connections=3)
    with ExitStack() as stack:
        silent = [stack.enter_context(site.call.line()) for _ in range(3)]
        assert wait_until(lambda: site.receiver.connections == 3)
        with site.call.line() as one_more:
            assert ended(one_more)
        assert all(ended(line) for line in silent)
    assert wait_until(lambda: site.receiver.connections == 0)
    assert Caller(site.receiver.port, trusts).get("/health").status == 200


def test_a_connection_that_shakes_hands_and_then_says_nothing_is_closed(open_site: OpenSite, tmp_path: Path) -> None:
    site, trusts = secure(open_site, tmp_path, idle_timeout_s=0.2)
    with site.call.line() as plain, trusts.wrap_socket(plain, server_hostname="127.0.0.1") as line:
        assert ended(line)


def test_noise_in_the_handshake_ends_the_connection(open_site: OpenSite, tmp_path: Path) -> None:
    site, trusts = secure(open_site, tmp_path)
    for seed in range(20):
        with suppress(OSError), site.call.line() as line:
            line.sendall(b"\x16\x03\x01" + random.Random(seed).randbytes(200))
            line.shutdown(socket.SHUT_WR)
            assert not line.recv(100).startswith(b"HTTP")
    said: Said = Caller(site.receiver.port, trusts).post(*site.note())
    assert said.status == 200
