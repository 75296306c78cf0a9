"""The POP3 server of the simulation, held against Python's own client and ours."""

from __future__ import annotations

import contextlib
import poplib
import socket
from collections.abc import Iterator

import pytest

from adapter.config_mail import Pop3Settings
from adapter.errors import AccessError, TransportError
from adapter.simulator.mailroom import Mailroom
from adapter.simulator.pop3_server import Pop3Server, Session
from adapter.transport.pop3 import Pop3Mailbox

FIRST = b"From: a@b\r\nSubject: one\r\n\r\n.hidden dot\r\n..two\r\nend\r\n"
SECOND = b"Subject: two\r\n\r\nwithout a line end"


@pytest.fixture
def mailroom() -> Mailroom:
    room = Mailroom("hemmelig")
    room.open_box("adapter")
    return room


@pytest.fixture
def server(mailroom: Mailroom) -> Iterator[Pop3Server]:
    running = Pop3Server(mailroom)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def client(server: Pop3Server) -> Iterator[poplib.POP3]:
    made = poplib.POP3("127.0.0.1", server.port, timeout=5)
    yield made
    made.close()


def log_in(client: poplib.POP3) -> poplib.POP3:
    client.user("adapter")
    client.pass_("hemmelig")
    return client


def mailbox(server: Pop3Server, password: bytes = b"hemmelig") -> Pop3Mailbox:
    settings = Pop3Settings(host="127.0.0.1", port=server.port, security="none", user="adapter")
    return Pop3Mailbox(settings, password=password)


def test_poplib_reads_counts_names_and_bytes(mailroom: Mailroom, client: poplib.POP3) -> None:
    mailroom.deliver("adapter", FIRST)
    mailroom.deliver("adapter", SECOND)
    assert log_in(client).stat() == (2, len(FIRST) + len(SECOND))
    assert client.list()[1] == [f"1 {len(FIRST)}".encode(), f"2 {len(SECOND)}".encode()]
    assert [line.split()[1].decode() for line in client.uidl()[1]] == [mail.uid for mail in mailroom.held("adapter")]
    assert client.retr(1)[1] == FIRST.split(b"\r\n")[:-1]
    assert client.retr(2)[1] == SECOND.split(b"\r\n")


def test_one_mail_is_listed_by_its_number(mailroom: Mailroom, client: poplib.POP3) -> None:
    mailroom.deliver("adapter", FIRST)
    assert log_in(client).list(1) == f"+OK 1 {len(FIRST)}".encode()
    assert client.uidl(1).endswith(mailroom.held("adapter")[0].uid.encode())


def test_top_gives_the_head_and_some_lines(mailroom: Mailroom, client: poplib.POP3) -> None:
    mailroom.deliver("adapter", FIRST)
    assert log_in(client).top(1, 1)[1] == [b"From: a@b", b"Subject: one", b"", b".hidden dot"]


def test_deletions_count_when_quit_ends_the_session(mailroom: Mailroom, client: poplib.POP3) -> None:
    mailroom.deliver("adapter", FIRST)
    mailroom.deliver("adapter", SECOND)
    log_in(client).dele(1)
    assert client.stat()[0] == 1
    with pytest.raises(poplib.error_proto):
        client.retr(1)
    client.quit()
    assert [mail.content for mail in mailroom.held("adapter")] == [SECOND]


def test_reset_takes_deletions_back(mailroom: Mailroom, client: poplib.POP3) -> None:
    mailroom.deliver("adapter", FIRST)
    log_in(client).dele(1)
    client.rset()
    client.quit()
    assert len(mailroom.held("adapter")) == 1


def test_a_session_that_breaks_off_deletes_nothing_and_frees_the_mailbox(
    mailroom: Mailroom, server: Pop3Server
) -> None:
    mailroom.deliver("adapter", FIRST)
    broken = log_in(poplib.POP3("127.0.0.1", server.port, timeout=5))
    broken.dele(1)
    broken.close()
    box = mailbox(server)
    for _ in range(50):
        try:
            assert len(box.list()) == 1
            break
        except TransportError:  # the server has not seen the end of the other session yet
            continue
    box.close()
    assert len(mailroom.held("adapter")) == 1


def test_one_session_has_the_mailbox_at_a_time(mailroom: Mailroom, server: Pop3Server, client: poplib.POP3) -> None:
    log_in(client)
    with pytest.raises(TransportError):
        mailbox(server).list()


def test_a_wrong_password_is_refused(server: Pop3Server) -> None:
    with pytest.raises(AccessError):
        mailbox(server, b"falsk").list()


def test_our_client_lists_fetches_and_deletes(mailroom: Mailroom, server: Pop3Server) -> None:
    mailroom.deliver("adapter", FIRST)
    mailroom.deliver("adapter", SECOND)
    box = mailbox(server)
    items = box.list()
    assert [box.fetch(item) for item in items] == [FIRST, SECOND + b"\r\n"]
    assert box.delete(items[0]) == {items[0].identity}
    box.close()
    assert len(mailroom.held("adapter")) == 1


def test_what_falls_due_is_delivered_before_a_session_looks(mailroom: Mailroom, server: Pop3Server) -> None:
    mailroom.before = lambda: mailroom.deliver("adapter", FIRST)
    box = mailbox(server)
    assert len(box.list()) == 1
    box.close()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (b"STAT", b"-ERR not in this state"),
        (b"PASS x", b"-ERR USER comes first"),
        (b"XYZZY", b"-ERR unknown command"),
        (b"\xff\xfe", b"-ERR unknown command"),
        (b"", b"-ERR unknown command"),
    ],
    ids=["too early", "no user", "unknown", "noise", "empty"],
)
def test_what_does_not_fit_is_answered_with_err(mailroom: Mailroom, command: bytes, words: bytes) -> None:
    assert Session(mailroom).answer(command + b"\r\n").startswith(words)


@pytest.mark.parametrize("command", [b"RETR 0", b"RETR 2", b"RETR x", b"DELE -1", b"TOP 1", b"TOP 1 x", b"USER a"])
def test_a_mail_that_is_not_there_is_answered_with_err(mailroom: Mailroom, command: bytes) -> None:
    mailroom.deliver("adapter", FIRST)
    session = Session(mailroom)
    session.answer(b"USER adapter\r\n")
    assert session.answer(b"PASS hemmelig\r\n").startswith(b"+OK")
    assert session.answer(command + b"\r\n").startswith(b"-ERR")
    session.end()


def test_a_line_without_end_closes_the_connection(server: Pop3Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as wire:
        wire.recv(100)
        wire.sendall(b"A" * 600)
        with contextlib.suppress(ConnectionResetError):  # it did not read the rest
            assert wire.recv(100) == b""


def test_capa_tells_what_is_there(client: poplib.POP3) -> None:
    assert {"UIDL", "TOP", "USER"} <= set(client.capa())
