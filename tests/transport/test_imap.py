"""IMAP: marks, numbering, deletion that hits nothing else, and servers that misbehave."""

from __future__ import annotations

import imaplib
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from adapter.config import ImapSettings
from adapter.errors import AccessError, AdapterError, NotFoundError, SettingsError, TransportError, UnsupportedError
from adapter.transport import imap
from adapter.transport.imap import ImapMailbox
from adapter.transport.mailbox import MailIdentity, MailItem
from tests.transport.mail_servers import PASSWORD, Dovecot, Play, Scripted, Wire
from tests.transport.outcomes import cut_at_connect, outcome, stall_at_connect

USERS = count()
HEAD = b"From: a@example.org\r\n\r\n"
FAST = ImapSettings(
    host="127.0.0.1", security="none", user="clinic", read_timeout_s=3.0, total_timeout_s=5.0, mail_limit_bytes=10_000
)
QUICK = replace(FAST, read_timeout_s=0.2, total_timeout_s=0.5)


@pytest.fixture
def user() -> str:
    return f"imap{next(USERS)}"


def open_real(dovecot: Dovecot, user: str, **more: object) -> ImapMailbox:
    settings = ImapSettings(host="127.0.0.1", port=dovecot.imaps, user=user, **more)  # type: ignore[arg-type]
    return ImapMailbox(settings, password=PASSWORD.encode(), ca_file=dovecot.certificate)


def person(dovecot: Dovecot, user: str) -> imaplib.IMAP4_SSL:
    """Somebody with a mail program at the same mailbox."""
    context = ssl.create_default_context(cafile=dovecot.certificate)
    program = imaplib.IMAP4_SSL("127.0.0.1", dovecot.imaps, ssl_context=context)
    program.login(user, PASSWORD)
    program.select()
    return program


# --- Dovecot


@pytest.mark.parametrize("mark", ["AdapterTaken", "\\Seen", "\\Flagged"])
def test_marked_mails_are_not_listed_again(dovecot: Dovecot, user: str, mark: str) -> None:
    for _ in range(3):
        dovecot.deliver(user, HEAD)
    mailbox = open_real(dovecot, user, mark=mark)
    first, second, third = mailbox.list()
    assert mailbox.mark(first, third) == {first.identity, third.identity}
    assert mailbox.list() == [second]
    mailbox.close()
    assert open_real(dovecot, user, mark=mark).list() == [second]
    assert mailbox.fetch(first) == HEAD  # marked is not gone


def test_a_person_who_reads_the_mailbox_hides_nothing_from_us(dovecot: Dovecot, user: str) -> None:
    dovecot.deliver(user, HEAD)
    program = person(dovecot, user)
    program.fetch("1", "(BODY[])")
    program.logout()
    assert len(open_real(dovecot, user).list()) == 1


def test_our_reading_leaves_no_trace_for_the_person(dovecot: Dovecot, user: str) -> None:
    dovecot.deliver(user, HEAD)
    mailbox = open_real(dovecot, user)
    mailbox.fetch(mailbox.list()[0])
    mailbox.close()
    program = person(dovecot, user)
    assert program.search(None, "UNSEEN")[1] == [b"1"]
    program.logout()


def test_what_a_person_has_flagged_as_deleted_is_neither_listed_nor_expunged_by_us(dovecot: Dovecot, user: str) -> None:
    for i in range(2):
        dovecot.deliver(user, HEAD + b"%d\r\n" % i)
    program = person(dovecot, user)
    program.store("1", "+FLAGS", "\\Deleted")
    mailbox = open_real(dovecot, user)
    (second,) = mailbox.list()
    assert mailbox.delete(second) == {second.identity}
    assert dovecot.held(user) == [HEAD + b"0\r\n"]
    program.logout()


def test_a_renumbered_mailbox_looks_new_and_old_names_touch_nothing(dovecot: Dovecot, user: str) -> None:
    dovecot.deliver(user, HEAD)
    mailbox = open_real(dovecot, user)
    (old,) = mailbox.list()
    mailbox.close()
    dovecot.renumber(user)
    assert (mailbox.delete(old), mailbox.mark(old)) == (frozenset(), frozenset())
    with pytest.raises(NotFoundError):
        mailbox.fetch(old)
    (new,) = mailbox.list()
    assert new.identity == replace(old.identity, uidvalidity=old.identity.uidvalidity + 1)
    assert mailbox.fetch(new) == HEAD
    assert len(dovecot.held(user)) == 1
    mailbox.close()


def test_many_mails_are_listed_in_windows_and_named_in_batches(
    dovecot: Dovecot, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "_WINDOW", 7)
    monkeypatch.setattr(imap, "_BATCH", 4)
    for _ in range(20):
        dovecot.deliver(user, HEAD)
    mailbox = open_real(dovecot, user)
    items = mailbox.list()
    assert [int(item.identity.uid) for item in items] == list(range(1, 21))
    assert len(mailbox.mark(*items[:18])) == 18
    assert mailbox.list() == items[18:]
    assert len(mailbox.delete(*items)) == 20
    assert dovecot.held(user) == []
    mailbox.close()


def test_a_mailbox_that_is_not_there_is_a_transport_error(dovecot: Dovecot, user: str) -> None:
    with pytest.raises(TransportError, match="does not open"):
        open_real(dovecot, user, mailbox='No "such" box').list()


# --- servers that misbehave


def log_in(wire: Wire, abilities: str = "IMAP4rev1 UIDPLUS", login: str = "{} OK") -> None:
    wire.say("* OK hello")
    wire.tagged(f"* CAPABILITY {abilities}|{{}} OK", login, f"* CAPABILITY {abilities}|{{}} OK")


def select(wire: Wire, validity: int | None = 7, exists: int = 2, flags: str = "\\Seen \\*") -> None:
    named = f"* OK [UIDVALIDITY {validity}] x|" if validity is not None else ""
    wire.tagged(f"* {exists} EXISTS|* OK [PERMANENTFLAGS ({flags})] x|{named}{{}} OK [READ-WRITE]")


def begin(wire: Wire, **more: int) -> None:
    log_in(wire)
    select(wire, **more)


def item(uid: str, size: int | None = None, validity: int = 7) -> MailItem:
    return MailItem(MailIdentity("clinic@127.0.0.1/INBOX", validity, uid), size)


def try_with(
    play: Play, call: Callable[[ImapMailbox], object], settings: ImapSettings = FAST
) -> tuple[object, list[bytes]]:
    """What the call gives or raises against a server with this script, and what the server heard."""
    return outcome(play, call, lambda port: ImapMailbox(replace(settings, port=port), password=b"p"))


def drip_at_connect(wire: Wire) -> None:
    wire.drip(b"* OK " + b"x" * 5000)


def other_protocol(wire: Wire) -> None:
    wire.say("220 smtp here")
    wire.silence()


def goodbye(wire: Wire) -> None:
    wire.say("* BYE full")


def no_abilities(wire: Wire) -> None:
    wire.say("* OK hello")
    wire.tagged("{} OK")
    wire.silence()


def odd_abilities(wire: Wire) -> None:
    wire.say("* OK hello")
    wire.tagged("* CAPABILITY IMAP2|{} OK")
    wire.silence()


def eight_bit_abilities(wire: Wire) -> None:
    wire.say("* OK hello")
    wire.hear()
    wire.say(b"* CAPABILITY \xff\xfe\r\n")
    wire.silence()


def busy_login(wire: Wire) -> None:
    log_in(wire, login="{} NO [UNAVAILABLE] later")


def bye_at_login(wire: Wire) -> None:
    log_in(wire, login="* BYE now|{} NO")


def no_select(wire: Wire) -> None:
    log_in(wire)
    wire.tagged("{} NO not here")
    wire.silence()


def read_only(wire: Wire) -> None:
    log_in(wire)
    wire.tagged("* 1 EXISTS|* OK [READ-ONLY] x|{} OK [READ-ONLY]")
    wire.silence()


def no_validity(wire: Wire) -> None:
    log_in(wire)
    select(wire, validity=None)


def stall_at_search(wire: Wire) -> None:
    begin(wire)
    select(wire)
    wire.hear()
    wire.silence()


def bad_search(wire: Wire) -> None:
    begin(wire)
    select(wire)
    wire.tagged("{} BAD what?")
    wire.silence()


def endless_search(wire: Wire) -> None:
    begin(wire)
    select(wire)
    wire.hear()
    wire.say(b"* SEARCH " + b"1 " * 2_000_000)


def flood(wire: Wire) -> None:
    begin(wire)
    select(wire)
    wire.hear()
    for _ in range(100):
        wire.say(b"* 1 RECENT\r\n" * 100_000)


@pytest.mark.parametrize(
    "play",
    [
        cut_at_connect, stall_at_connect, drip_at_connect, other_protocol, goodbye, no_abilities, odd_abilities,
        eight_bit_abilities, busy_login, bye_at_login, no_select, read_only, no_validity, stall_at_search, bad_search,
        endless_search, flood,
    ],
)  # fmt: skip
def test_a_server_that_cannot_be_talked_to_is_for_later_and_costs_bounded_time(play: Play) -> None:
    error, _ = try_with(play, lambda mailbox: mailbox.list(), QUICK)
    assert isinstance(error, TransportError)
    assert str(error).startswith("TRANSPORT: ")


def lists_two(wire: Wire) -> None:
    begin(wire)
    select(wire)
    wire.tagged("* SEARCH 4 9|{} OK", "* 1 FETCH (UID 4 RFC822.SIZE 30)|* 2 FETCH (UID 9 RFC822.SIZE 31)|{} OK")


def test_a_listing_skips_what_has_gone_meanwhile_and_words_nobody_asked_for() -> None:
    def play(wire: Wire) -> None:
        begin(wire)
        select(wire)
        wire.tagged(
            "* SEARCH|* SEARCH 4 x 9 12|{} OK",
            "* 3 FETCH (FLAGS (\\Seen))|* 2 FETCH (UID 9 FLAGS ())|* 9 FETCH (UID 99 RFC822.SIZE 5)"
            "|* 1 FETCH (RFC822.SIZE 30 UID 4)|* 8 EXISTS|{} OK",
        )

    found, _ = try_with(play, lambda mailbox: mailbox.list())
    assert found == [item("4", 30), item("9", None)]


def test_one_bad_mail_does_not_stop_the_rest() -> None:
    """The first stalls, the second is cut, the third is larger than it said: the fourth is read."""

    def stalls(wire: Wire) -> None:
        lists_two(wire)
        wire.hear()
        wire.say("* 1 FETCH (UID 1 BODY[] {100}", b"half of")
        wire.silence()

    def cuts(wire: Wire) -> None:
        begin(wire)
        wire.hear()
        wire.say("* 2 FETCH (UID 2 BODY[] {100}", b"half of")

    def lies(wire: Wire) -> None:
        begin(wire)
        wire.hear()
        wire.say("* 2 FETCH (UID 3 BODY[] {4000000000}")
        wire.silence()

    def serves(wire: Wire) -> None:
        begin(wire)
        wire.hear()
        wire.say("* 2 FETCH (UID 4 BODY[] {4}", b"ab\r\n", ")", wire.heard[-1].split()[0] + b" OK done\r\n")

    with Scripted(stalls, cuts, lies, serves) as server:
        mailbox = ImapMailbox(replace(FAST, port=server.port, read_timeout_s=0.3), password=b"p")
        mailbox.list()
        kinds = []
        for uid in "1234":
            try:
                kinds.append(mailbox.fetch(item(uid)))
            except AdapterError as error:
                kinds.append(error.code.encode())
    assert kinds == [b"TRANSPORT", b"TRANSPORT", b"MAIL.TOO_LARGE", b"ab\r\n"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("{} OK", "MAIL.GONE"),
        ("* 1 FETCH (UID 1 BODY[] NIL)|{} OK", "MAIL.GONE"),
        ("* 1 FETCH (UID 1 BODY[] NIL)|{} OK/* 1 FETCH (UID 1 RFC822.SIZE 5)|{} OK", "TRANSPORT"),
        ("* 1 FETCH (FLAGS ())|{} OK", "MAIL.GONE"),
        ("* 1 FETCH (UID 2 BODY[] {2}||)|{} OK", "MAIL.GONE"),
        ("* 1 FETCH (BODY[] {2}||)|{} OK", "MAIL.GONE"),
        ("{} NO cannot", "TRANSPORT"),
        ("* 1 FETCH (UID 1 BODY[] {" + "9" * 5000 + "}|{} OK", "TRANSPORT"),
        ("nonsense|{} OK", "TRANSPORT"),
        ("* BYE now", "TRANSPORT"),
    ],
)
def test_a_mail_that_the_server_does_not_give_has_a_cause(answer: str, code: str) -> None:
    def play(wire: Wire) -> None:
        begin(wire)
        wire.tagged(*answer.split("/"), "{} OK")

    error, _ = try_with(play, lambda mailbox: mailbox.fetch(item("1")))
    assert isinstance(error, AdapterError)
    assert error.code == code


def test_a_mail_slightly_larger_than_the_limit_is_not_handed_out() -> None:
    def play(wire: Wire) -> None:
        begin(wire)
        wire.hear()
        wire.say("* 1 FETCH (UID 1 BODY[] {10001}", b"x" * 10_001, ")", wire.heard[-1].split()[0] + b" OK done\r\n")

    error, _ = try_with(play, lambda mailbox: mailbox.fetch(item("1")))
    assert isinstance(error, UnsupportedError)


def test_the_uid_may_stand_behind_the_content() -> None:
    def play(wire: Wire) -> None:
        begin(wire)
        wire.hear()
        wire.say("* 1 FETCH (BODY[] {4}", b"ab\r\n", " UID 1)", wire.heard[-1].split()[0] + b" OK done\r\n")

    assert try_with(play, lambda mailbox: mailbox.fetch(item("1")))[0] == b"ab\r\n"


def test_a_server_that_renumbers_under_us_has_nothing_deleted() -> None:
    def play(wire: Wire) -> None:
        begin(wire)
        wire.tagged("* OK [UIDVALIDITY 8] renumbered|* 1 FETCH (UID 1 RFC822.SIZE 5)|{} OK")
        wire.hear()

    error, heard = try_with(play, lambda mailbox: mailbox.delete(item("1", 5)))
    assert isinstance(error, TransportError)
    assert "renumbered" in error.text
    assert not any(b"STORE" in line or b"EXPUNGE" in line for line in heard)


def test_a_server_that_renumbers_while_we_read_gives_nothing() -> None:
    def play(wire: Wire) -> None:
        begin(wire)
        wire.hear()
        wire.say("* OK [UIDVALIDITY 8] renumbered", "* 1 FETCH (UID 1 BODY[] {4}", b"ab\r\n", ")")
        wire.say(wire.heard[-1].split()[0] + b" OK done\r\n")

    error, _ = try_with(play, lambda mailbox: mailbox.fetch(item("1")))
    assert isinstance(error, TransportError)


def expunging(deleted: str) -> Play:
    def play(wire: Wire) -> None:
        log_in(wire, "IMAP4rev1")
        select(wire)
        wire.tagged("* 1 FETCH (UID 4 RFC822.SIZE 5)|{} OK", "{} OK", f"* SEARCH {deleted}|{{}} OK")
        if deleted == "4":
            wire.tagged("* 1 EXPUNGE|{} OK", "{} OK")
        else:
            wire.tagged("* 1 FETCH (UID 4 RFC822.SIZE 5)|{} OK")

    return play


def test_without_uidplus_only_our_own_flagged_mails_are_expunged() -> None:
    gone, heard = try_with(expunging("4"), lambda mailbox: mailbox.delete(item("4", 5)))
    assert gone == {item("4").identity}
    assert any(line.endswith(b" EXPUNGE") for line in heard)
    kept, heard = try_with(expunging("4 5"), lambda mailbox: mailbox.delete(item("4", 5)))
    assert kept == frozenset()
    assert not any(b"EXPUNGE" in line for line in heard)


def test_a_server_that_keeps_no_keywords_marks_nothing_and_lists_everything() -> None:
    def play(wire: Wire) -> None:
        log_in(wire)
        select(wire, flags="\\Seen")
        select(wire, flags="\\Seen")
        wire.tagged("* SEARCH 4|{} OK", "* 1 FETCH (UID 4 RFC822.SIZE 30)|{} OK")

    def call(mailbox: ImapMailbox) -> object:
        items = mailbox.list()
        return items, mailbox.mark(*items)

    found, heard = try_with(play, call)
    assert found == ([item("4", 30)], frozenset())
    assert any(line.endswith(b"UNDELETED") for line in heard)


@pytest.mark.parametrize(
    ("abilities", "password"),
    [("IMAP4rev1 LOGINDISABLED", b"p"), ("IMAP4rev1", b"p\r\nx"), ("IMAP4rev1", b"\xff")],
)
def test_a_login_that_cannot_be_used_is_an_access_error(abilities: str, password: bytes) -> None:
    def play(wire: Wire) -> None:
        log_in(wire, abilities)

    with Scripted(play) as server, pytest.raises(AccessError):
        ImapMailbox(replace(FAST, port=server.port), password=password).list()
    assert len(server.heard) <= 1


def test_a_password_with_quotes_is_quoted() -> None:
    with Scripted(lists_two) as server:
        ImapMailbox(replace(FAST, port=server.port, user='a"b'), password=b'p\\"').list()
        assert server.heard[1].endswith(b'LOGIN "a\\"b" "p\\\\\\""')


def test_p20_a_server_without_starttls_gets_no_password() -> None:
    error, heard = try_with(log_in, lambda mailbox: mailbox.list(), replace(FAST, security="starttls"))
    assert isinstance(error, TransportError)
    assert "offers no STARTTLS" in error.text
    assert len(heard) == 1


def test_a_server_that_is_logged_in_already_needs_no_login() -> None:
    def play(wire: Wire) -> None:
        wire.say("* PREAUTH hello")
        wire.tagged("* CAPABILITY IMAP4rev1|{} OK")
        select(wire, exists=0)
        select(wire, exists=0)

    assert try_with(play, lambda mailbox: mailbox.list(), replace(FAST, user=None))[0] == []


def test_a_connection_that_the_server_ended_at_rest_is_replaced_unnoticed() -> None:
    def first(wire: Wire) -> None:
        lists_two(wire)
        wire.say("* BYE idle for too long")

    with Scripted(first, lists_two) as server:
        mailbox = ImapMailbox(replace(FAST, port=server.port), password=b"p")
        assert mailbox.list() == mailbox.list()
        mailbox.close()
    assert len(server.wires) == 2


def test_closing_breaks_off_a_call_of_another_thread() -> None:
    there = threading.Event()

    def play(wire: Wire) -> None:
        begin(wire)
        there.set()
        wire.silence()

    caught: list[Exception] = []
    with Scripted(play) as server:
        settings = replace(FAST, port=server.port, read_timeout_s=15, total_timeout_s=15)
        mailbox = ImapMailbox(settings, password=b"p")

        def run() -> None:
            try:
                mailbox.list()
            except TransportError as error:
                caught.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        assert there.wait(5)
        mailbox.close()
        thread.join(5)
    assert ["stopping" in str(error) for error in caught] == [True]


def test_closing_a_connection_that_the_server_has_left_is_no_fault() -> None:
    def play(wire: Wire) -> None:
        lists_two(wire)
        wire.tagged("nonsense")

    with Scripted(play) as server:
        mailbox = ImapMailbox(replace(FAST, port=server.port), password=b"p")
        mailbox.list()
        mailbox.close()


# --- settings


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"mark": "two words"}, "mail.imap.mark"),
        ({"mark": "\\Deleted"}, "mail.imap.mark"),
        ({"mailbox": "IN\r\nBOX"}, "mail.imap.mailbox"),
        ({"mailbox": "INBØX"}, "mail.imap.mailbox"),
        ({"user": "a\nb"}, "mail.imap.user"),
        ({"host": "imap.example.org"}, "mail.imap.security"),
    ],
)
def test_settings_that_cannot_work_are_refused(more: dict[str, str], where: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ImapMailbox(replace(FAST, **more))  # type: ignore[arg-type]
    assert caught.value.where == where
