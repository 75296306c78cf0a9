"""POP3: names, deletions that count at the end, and servers that misbehave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from adapter.config import Pop3Settings
from adapter.errors import AccessError, AdapterError, SettingsError, TransportError
from adapter.transport import line
from adapter.transport.mailbox import MailIdentity, MailItem
from adapter.transport.pop3 import Pop3Mailbox
from tests.transport.mail_servers import PASSWORD, Dovecot, Play, Scripted, Wire
from tests.transport.outcomes import cut_at_connect, outcome, stall_at_connect

USERS = count()
HEAD = b"From: a@example.org\r\n\r\n"
FAST = Pop3Settings(
    host="127.0.0.1", security="none", user="clinic", read_timeout_s=3.0, total_timeout_s=5.0, mail_limit_bytes=10_000
)
QUICK = replace(FAST, read_timeout_s=0.2, total_timeout_s=0.5)


def test_marks_are_the_callers_affair(dovecot: Dovecot) -> None:
    user = f"pop{next(USERS)}"
    dovecot.deliver(user, HEAD)
    settings = Pop3Settings(host="127.0.0.1", port=dovecot.pop3s, user=user)
    mailbox = Pop3Mailbox(settings, password=PASSWORD.encode(), ca_file=dovecot.certificate)
    items = mailbox.list()
    assert mailbox.mark(*items) == frozenset()
    assert mailbox.list() == items
    assert mailbox.list(known={items[0].identity}.__contains__) == []
    mailbox.close()


# --- servers that misbehave


def log_in(wire: Wire) -> None:
    wire.say("+OK hello")
    wire.dialogue("+OK", "+OK")


def listing(wire: Wire, sizes: str = "1 30|2 31", names: str = "1 aa|2 bb") -> None:
    for lines in (sizes, names):
        wire.hear()
        wire.say("+OK", *lines.split("|"), ".")


def begin(wire: Wire) -> None:
    log_in(wire)
    listing(wire)


def item(uid: str, size: int | None = None) -> MailItem:
    return MailItem(MailIdentity("clinic@127.0.0.1", 0, uid), size)


def try_with(
    play: Play, call: Callable[[Pop3Mailbox], object], settings: Pop3Settings = FAST
) -> tuple[object, list[bytes]]:
    """What the call gives or raises against a server with this script, and what the server heard."""
    return outcome(play, call, lambda port: Pop3Mailbox(replace(settings, port=port), password=b"p"))


def drip_at_connect(wire: Wire) -> None:
    wire.drip(b"+OK " + b"x" * 5000)


def other_protocol(wire: Wire) -> None:
    wire.say("* OK imap here")


def endless_line(wire: Wire) -> None:
    wire.say(b"+OK " + b"x" * 200_000)
    wire.silence()


def in_use(wire: Wire) -> None:
    wire.say("+OK hello")
    wire.dialogue("+OK", "-ERR [IN-USE] another session")


def no_uidl(wire: Wire) -> None:
    log_in(wire)
    wire.dialogue("+OK\r\n.", "-ERR what?")


def stall_in_listing(wire: Wire) -> None:
    log_in(wire)
    wire.dialogue("+OK\r\n1 30")
    wire.silence()


def cut_in_listing(wire: Wire) -> None:
    log_in(wire)
    wire.dialogue("+OK\r\n1 30\r\n.\r")


def endless_listing(wire: Wire) -> None:
    log_in(wire)
    wire.hear()
    wire.say("+OK")
    while True:
        wire.say(b"1 30\r\n" * 100_000)


@pytest.mark.parametrize(
    "play",
    [
        cut_at_connect, stall_at_connect, drip_at_connect, other_protocol, endless_line, in_use, no_uidl,
        stall_in_listing, cut_in_listing, endless_listing,
    ],
)  # fmt: skip
def test_a_server_that_cannot_be_talked_to_is_for_later_and_costs_bounded_time(play: Play) -> None:
    error, _ = try_with(play, lambda mailbox: mailbox.list(), QUICK)
    assert isinstance(error, TransportError)
    assert str(error).startswith("TRANSPORT: ")


def test_a_refused_user_is_an_access_error_and_no_password_follows() -> None:
    def play(wire: Wire) -> None:
        wire.say("+OK hello")
        wire.dialogue("-ERR who?")
        wire.hear()

    error, heard = try_with(play, lambda mailbox: mailbox.list())
    assert isinstance(error, AccessError)
    assert heard == [b"USER clinic"]


def test_p20_a_server_without_stls_gets_no_password() -> None:
    def play(wire: Wire) -> None:
        wire.say("+OK hello")
        wire.dialogue("-ERR what?")
        wire.hear()

    with Scripted(play) as server, pytest.raises(TransportError, match="STLS"):
        Pop3Mailbox(replace(FAST, port=server.port, security="starttls"), password=b"p").list()
    assert server.heard == [b"STLS"]


def test_odd_lines_in_a_listing_do_not_hide_the_others() -> None:
    def play(wire: Wire) -> None:
        log_in(wire)
        listing(wire, "1 30 extra|x|2 |3 33", "1 aa|2 bb|3|4 dd|5 \xe6|6 " + "f" * 80)

    found, _ = try_with(play, lambda mailbox: mailbox.list())
    assert found == [item("aa", 30), item("bb", None), item("dd", None)]


def test_mails_that_share_a_name_are_both_listed_and_never_deleted() -> None:
    def play(wire: Wire) -> None:
        log_in(wire)
        listing(wire, "1 30|2 31|3 32", "1 aa|2 aa|3 bb")
        wire.dialogue("+OK", "+OK")

    found, _ = try_with(play, lambda mailbox: mailbox.list())
    assert found == [item("aa#1#30", 30), item("aa#2#31", 31), item("bb", 32)]
    gone, heard = try_with(play, lambda mailbox: mailbox.delete(item("aa#1#30", 30), item("bb", 32), item("cc")))
    assert gone == {item("bb").identity, item("cc").identity}
    assert heard[-2:] == [b"DELE 3", b"QUIT"]


def test_a_deletion_counts_only_when_the_end_was_answered() -> None:
    def play(wire: Wire) -> None:
        begin(wire)
        wire.dialogue("+OK")
        wire.hear()

    error, heard = try_with(play, lambda mailbox: mailbox.delete(item("aa", 30)))
    assert isinstance(error, TransportError)
    assert heard[-2:] == [b"DELE 1", b"QUIT"]


def test_a_refused_deletion_is_for_later() -> None:
    def play(wire: Wire) -> None:
        begin(wire)
        wire.dialogue("-ERR no")

    assert isinstance(try_with(play, lambda mailbox: mailbox.delete(item("aa", 30)))[0], TransportError)


def test_one_bad_mail_does_not_stop_the_rest() -> None:
    """Refused, stalled, cut, and one that never ends: the next is read."""

    def refuses(wire: Wire) -> None:
        begin(wire)
        wire.dialogue("-ERR cannot read")

    def stalls(wire: Wire) -> None:
        begin(wire)
        wire.dialogue("+OK\r\nhalf of")
        wire.silence()

    def cuts(wire: Wire) -> None:
        begin(wire)
        wire.dialogue(b"+OK\r\nhalf of\r\n.")

    def floods(wire: Wire) -> None:
        begin(wire)
        wire.dialogue("+OK")
        while True:
            wire.say(b"x" * 70 + b"\r\n")

    def exceeds(wire: Wire) -> None:
        begin(wire)
        wire.dialogue("+OK")
        wire.say(b"x" * 10_001 + b"\r\n", ".")

    def serves(wire: Wire) -> None:
        begin(wire)
        wire.dialogue("+OK\r\n..dots\r\n...\r\n..\r\n.")

    with Scripted(refuses, stalls, cuts, floods, exceeds, serves) as server:
        mailbox = Pop3Mailbox(replace(FAST, port=server.port, read_timeout_s=0.3), password=b"p")
        codes = []
        for _ in range(4):
            with pytest.raises(AdapterError) as caught:
                mailbox.fetch(item("aa"))
            codes.append(caught.value.code)
        with pytest.raises(AdapterError) as caught:
            mailbox.fetch(item("aa"))
        mailbox.close()
        assert (*codes, caught.value.code) == ("TRANSPORT", "TRANSPORT", "TRANSPORT", *["MAIL.TOO_LARGE"] * 2)
        assert mailbox.fetch(item("aa")) == b".dots\r\n..\r\n.\r\n"


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 4, 5, 6, 7, 11, 4096])
@pytest.mark.parametrize(
    ("sent", "content"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...a\r\n..\r\n\r\n..b\r\nc.\r\nd\n.\nx\r\n.\r\n", b"..a\r\n.\r\n\r\n.b\r\nc.\r\nd\n.\nx\r\n"),
    ],
)
def test_a_mail_is_the_same_however_the_network_cuts_it(
    monkeypatch: pytest.MonkeyPatch, piece_bytes: int, sent: bytes, content: bytes
) -> None:
    def play(wire: Wire) -> None:
        begin(wire)
        wire.dialogue(b"+OK\r\n" + sent, b"+OK\r\n" + sent)

    monkeypatch.setattr(line, "_BLOCK_BYTES", piece_bytes)
    found, _ = try_with(play, lambda mailbox: [mailbox.fetch(item("aa")), mailbox.fetch(item("bb"))])
    assert found == [content, content]


@pytest.mark.parametrize(
    ("more", "password", "where"),
    [
        ({"user": None}, b"p", "mail.pop3.user"),
        ({"user": "a\r\nb"}, b"p", "mail.pop3.user"),
        ({}, b"p\r\nDELE 1", "mail.pop3.user"),
        ({"host": "pop.example.org"}, b"p", "mail.pop3.security"),
    ],
)
def test_settings_that_cannot_work_are_refused(more: dict[str, str], password: bytes, where: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Pop3Mailbox(replace(FAST, **more), password=password)  # type: ignore[arg-type]
    assert caught.value.where == where
