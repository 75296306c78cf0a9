"""A line to a mail server: what it costs to wait for nobody."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from adapter.config import SmtpSettings
from adapter.errors import TransportError
from adapter.transport.line import Line, Terms, dotted, read_terms
from tests.transport.mail_servers import Scripted, Wire


def terms(port: int, **more: object) -> Terms:
    settings = SmtpSettings(host="127.0.0.1", port=port, security="none", connect_timeout_s=0.2, **more)  # type: ignore[arg-type]
    return read_terms(settings, tls_port=465, plain_port=587, where="mail.smtp")


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue of callers is full: a new one waits."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = int(listener.getsockname()[1])
        for _ in range(3):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
        yield port


def test_a_server_that_does_not_take_the_call_is_given_up(full_port: int) -> None:
    began = time.monotonic()
    with pytest.raises(TransportError, match="connecting took too long"):
        Line(terms(full_port), 5.0, 1000).connect()
    assert time.monotonic() - began < 2


def test_a_line_cut_before_it_was_up_never_comes_up() -> None:
    with Scripted(lambda wire: wire.silence()) as server:
        line = Line(terms(server.port), 5.0, 1000)
        line.cut("the adapter is stopping")
        with pytest.raises(TransportError, match="stopping"):
            line.connect()
        line.close()


def test_a_call_that_has_no_time_left_does_not_begin() -> None:
    with pytest.raises(TransportError, match="took too long"):
        Line(terms(1), 0.0, 1000).connect()


def test_a_line_without_authorities_does_not_pretend_to_be_private() -> None:
    def play(wire: Wire) -> None:
        wire.silence()

    with Scripted(play) as server:
        line = Line(terms(server.port), 5.0, 1000)
        line.connect()
        with pytest.raises(TransportError, match="TLS is not set up"):
            line.start_tls()
        line.close()


def test_a_closed_line_is_stale_and_can_neither_be_read_nor_written() -> None:
    with Scripted(lambda wire: wire.silence()) as server:
        line = Line(terms(server.port), 5.0, 1000)
        line.connect()
        assert not line.is_stale()
        line.close()
        assert line.is_stale()
        with pytest.raises(TransportError, match="broke"):
            line.read_line()
        with pytest.raises(TransportError, match="broke"):
            line.write(b"x")
        line.cut("again")


def test_standard_ports_follow_the_security() -> None:
    for security, port in (("tls", 465), ("starttls", 587), ("none", 587)):
        settings = SmtpSettings(host="127.0.0.1", security=security)
        assert read_terms(settings, tls_port=465, plain_port=587, where="x").port == port


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 200_000])
@pytest.mark.parametrize("octets", [b".", b".\r\n", b"a\r\n.", b"\r\n", b"\n..\r"])
def test_dots_are_doubled_wherever_a_piece_ends(size: int, octets: bytes) -> None:
    content = (octets * (size // len(octets) + 1))[:size]
    sent = b"".join(dotted(content))
    assert sent.endswith(b"\r\n.\r\n")
    lines = sent.removesuffix(b".\r\n").split(b"\n")
    assert all(line.startswith(b"..") for line in lines if line.startswith(b"."))
    read = b"\n".join(line.removeprefix(b".") for line in lines)
    assert read == (content if content.endswith(b"\r\n") else content + b"\r\n")
