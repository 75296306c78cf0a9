"""A mail server that falls silent, or hangs up, in each phase of each protocol, and what may be believed afterwards.

Out: before the final dot nothing was accepted, so the mail may be sent again; after it nobody knows (P2). In: what was
read counts whole or not at all, and a mail is gone only when the server has said so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from adapter.config_mail import ImapSettings, Pop3Settings, SmtpSettings
from adapter.errors import AccessError, AdapterError, Again, RemoteRefusalError, TransportError, UnknownOutcomeError
from adapter.transport.imap import ImapMailbox
from adapter.transport.line import MAIL_FULL, MAIL_LATER
from adapter.transport.mailbox import MailIdentity, MailItem
from adapter.transport.pop3 import Pop3Mailbox
from adapter.transport.smtp import MailSender
from tests.transport.mail_servers import Scripted, Wire

TIMES = {"connect_timeout_s": 0.2, "read_timeout_s": 0.2, "total_timeout_s": 3.0, "host": "127.0.0.1"}
SMTP = SmtpSettings(**TIMES, security="none", user="clinic", accept_timeout_s=0.2)  # type: ignore[arg-type]
IMAP = ImapSettings(**TIMES, security="none", user="clinic")  # type: ignore[arg-type]
POP3 = Pop3Settings(**TIMES, security="none", user="clinic")  # type: ignore[arg-type]
MAIL = b"Subject: x\r\n\r\nhello\r\n"
ENDS = pytest.mark.parametrize("end", ["silence", "hang up"])


def stop(wire: Wire, end: str) -> None:
    if end == "silence":
        wire.silence()


# --- out --------------------------------------------------------------------------------------------------------------

ANSWERS = {  # phase -> what the server says in it when it works
    "greeting": "220 hello",
    "EHLO": "250-me\r\n250 AUTH PLAIN",
    "AUTH": "235 OK",
    "MAIL": "250 OK",
    "RCPT": "250 OK",
    "DATA": "354 go on",
    "the final dot": "250 OK",
}


def smtp_until(phase: str, end: str, last: str | None = None) -> Callable[[Wire], None]:
    """A server that works until this phase, and ends there, after saying ``last`` if there is one."""

    def play(wire: Wire) -> None:
        for name, answer in ANSWERS.items():
            if name == "the final dot":
                wire.hear_until_dot()
            elif name != "greeting":
                wire.hear()
            if name == phase:
                if last is not None:
                    wire.say(last)
                stop(wire, end)
                return
            wire.say(answer)

    return play


def send_to(play: Callable[[Wire], None], settings: SmtpSettings = SMTP) -> AdapterError:
    with Scripted(play) as server:
        sender = MailSender(replace(settings, port=server.port), password=b"p")
        with pytest.raises(AdapterError) as caught:
            sender.send("a@example.org", "b@example.org", MAIL)
        sender.close()
        return caught.value


@ENDS
@pytest.mark.parametrize("phase", list(ANSWERS))
def test_p2_a_mail_may_be_sent_again_unless_its_final_dot_had_left(phase: str, end: str) -> None:
    error = send_to(smtp_until(phase, end))
    assert isinstance(error, UnknownOutcomeError) == (phase == "the final dot")
    assert error.again is (Again.AFTER_PROOF if phase == "the final dot" else Again.LATER)


@ENDS
@pytest.mark.parametrize("where", ["before the handshake", "in the handshake"])
def test_p2_a_server_that_stops_at_starttls_has_accepted_nothing(where: str, end: str) -> None:
    def play(wire: Wire) -> None:
        wire.say("220 hello")
        wire.dialogue("250-me\r\n250 STARTTLS")
        wire.hear()
        if where == "in the handshake":
            wire.say("220 go on")
        stop(wire, end)

    error = send_to(play, replace(SMTP, security="starttls"))
    assert (type(error), error.again) == (TransportError, Again.LATER)


REPLIES = [
    ("RCPT", "452 4.2.2 mailbox full", TransportError, MAIL_FULL),
    ("RCPT", "552 5.2.2 mailbox full", TransportError, MAIL_FULL),
    ("RCPT", "552 mailbox full", TransportError, MAIL_FULL),
    ("RCPT", "452 too much", TransportError, MAIL_FULL),
    ("RCPT", "450 4.2.1 greylisted", TransportError, MAIL_LATER),
    ("the final dot", "552 5.2.2 mailbox full", TransportError, MAIL_FULL),
    ("the final dot", "452 4.3.1 disk full", TransportError, MAIL_FULL),
    ("the final dot", "552 5.3.4 too big", RemoteRefusalError, "REMOTE_REFUSAL"),
    ("the final dot", "552 too big", RemoteRefusalError, "REMOTE_REFUSAL"),
    ("RCPT", "552 5.2.3 too big for this mailbox", RemoteRefusalError, "REMOTE_REFUSAL"),
    ("RCPT", "550 5.1.1 unknown", RemoteRefusalError, "REMOTE_REFUSAL"),
    ("MAIL", "421 4.3.2 closing", TransportError, "TRANSPORT"),
    ("EHLO", "421 4.3.2 closing", TransportError, "TRANSPORT"),
    ("AUTH", "454 4.7.0 later", TransportError, "TRANSPORT"),
    ("AUTH", "535 5.7.8 no", AccessError, "ACCESS"),
]


@pytest.mark.parametrize(("phase", "reply", "kind", "code"), REPLIES, ids=[f"{one[0]}-{one[1]}" for one in REPLIES])
def test_a_full_mailbox_is_for_later_and_told_apart_from_a_mail_too_large(
    phase: str, reply: str, kind: type[AdapterError], code: str
) -> None:
    error = send_to(smtp_until(phase, "hang up", reply))
    assert (type(error), error.code) == (kind, code)


def test_the_way_out_can_be_tried_without_a_mail() -> None:
    def play(wire: Wire) -> None:
        wire.say("220 hello")
        wire.dialogue("250-me\r\n250 AUTH PLAIN", "235 OK")
        wire.hear()

    with Scripted(play) as server:
        MailSender(replace(SMTP, port=server.port), password=b"p").probe()
    assert [line.split()[0] for line in server.heard] == [b"EHLO", b"AUTH", b"QUIT"]


# --- in by IMAP -------------------------------------------------------------------------------------------------------

IDENTITY = MailIdentity("clinic@127.0.0.1/INBOX", 7, "4")
SELECTED = "* 1 EXISTS|* OK [PERMANENTFLAGS (\\Deleted \\*)] x|* OK [UIDVALIDITY 7] x|{} OK"
START = [
    ("CAPABILITY", "* CAPABILITY IMAP4rev1 UIDPLUS|{} OK"),
    ("LOGIN", "{} OK"),
    ("CAPABILITY again", "* CAPABILITY IMAP4rev1 UIDPLUS QUOTA|{} OK"),
    ("SELECT", SELECTED),
]
SIZES = "* 1 FETCH (UID 4 RFC822.SIZE 5)|{} OK"
IMAP_CALLS: dict[str, tuple[Callable[[Any, MailItem], object], list[tuple[str, str]]]] = {
    "list": (
        lambda box, _: box.list(),
        [*START, ("SELECT again", SELECTED), ("SEARCH", "* SEARCH 4|{} OK"), ("FETCH sizes", SIZES)],
    ),
    "fetch": (lambda box, item: box.fetch(item), [*START, ("FETCH", "* 1 FETCH (UID 4 BODY[] {5}|hello)|{} OK")]),
    "mark": (lambda box, item: box.mark(item), [*START, ("STORE", "{} OK")]),
    "delete": (
        lambda box, item: box.delete(item),
        [*START, ("FETCH sizes", SIZES), ("STORE", "{} OK"), ("EXPUNGE", "{} OK"), ("FETCH sizes again", "{} OK")],
    ),
    "fill": (lambda box, _: box.fill(), [*START, ("GETQUOTAROOT", '* QUOTA "x" (STORAGE 9 10)|{} OK')]),
}
IMAP_PHASES = [(call, phase) for call, (_, steps) in IMAP_CALLS.items() for phase, _ in steps]
IMAP_PHASES = [one for one in IMAP_PHASES if one[0] == "list" or one[1] not in dict(START)]


def imap_until(call: str, phase: str, end: str) -> Callable[[Wire], None]:
    def play(wire: Wire) -> None:
        wire.say("* OK hello")
        for name, answer in IMAP_CALLS[call][1]:
            if name == phase:
                tag = wire.hear().split(b" ")[0].decode()
                if "FETCH" in name:  # in the middle of the answer
                    wire.say(b"* 1 FETCH (UID 4 BODY[] {5}\r\nhe")
                elif name == "STORE":
                    wire.say(f"* 1 FETCH (FLAGS ()) {tag}")
                stop(wire, end)
                return
            wire.tagged(answer)

    return play


@ENDS
@pytest.mark.parametrize(("call", "phase"), IMAP_PHASES)
def test_an_imap_server_that_stops_in_any_phase_is_for_later(call: str, phase: str, end: str) -> None:
    with Scripted(imap_until(call, phase, end)) as server:
        box = ImapMailbox(replace(IMAP, port=server.port), password=b"p")
        with pytest.raises(TransportError) as caught:
            IMAP_CALLS[call][0](box, MailItem(IDENTITY, 5))
        box.close()
    assert caught.value.again is Again.LATER


@pytest.mark.parametrize("call", list(IMAP_CALLS))
def test_the_same_imap_server_works_when_it_does_not_stop(call: str) -> None:
    with Scripted(imap_until(call, "", "hang up")) as server:
        box = ImapMailbox(replace(IMAP, port=server.port), password=b"p")
        found = IMAP_CALLS[call][0](box, MailItem(IDENTITY, 5))
    wanted = {
        "list": [MailItem(IDENTITY, 5)],
        "fetch": b"hello",
        "mark": {IDENTITY},
        "delete": {IDENTITY},
        "fill": 0.9,
    }
    assert found == wanted[call]


def imap_answers(*steps: str) -> Callable[[Wire], None]:
    def play(wire: Wire) -> None:
        wire.say("* OK hello")
        wire.tagged(*(answer for _, answer in START), *steps)
        wire.silence()

    return play


def test_a_mailbox_without_room_says_so_when_a_mail_is_marked() -> None:
    with Scripted(imap_answers("{} NO [OVERQUOTA] full")) as server:
        box = ImapMailbox(replace(IMAP, port=server.port), password=b"p")
        with pytest.raises(TransportError) as caught:
            box.mark(MailItem(IDENTITY, 5))
    assert caught.value.code == MAIL_FULL


@pytest.mark.parametrize(
    ("answer", "fill"),
    [
        ('* QUOTA "" (STORAGE 5 10 MESSAGE 8 10)|{} OK', 0.8),
        ('* QUOTA "a" (STORAGE 5 10)|* QUOTA "b" (MESSAGE 1 10)|{} OK', 0.5),
        ('* QUOTA "" (STORAGE 5 0)|{} OK', None),
        ("* QUOTAROOT INBOX|{} OK", None),
        ('* QUOTA "" (ODD x y)|{} OK', None),
    ],
)
def test_the_fullest_quota_counts(answer: str, fill: float | None) -> None:
    with Scripted(imap_answers(answer)) as server:
        assert ImapMailbox(replace(IMAP, port=server.port), password=b"p").fill() == fill


# --- in by POP3 -------------------------------------------------------------------------------------------------------

OPEN = [("USER", "+OK"), ("PASS", "+OK"), ("LIST", "+OK\r\n1 7\r\n."), ("UIDL", "+OK\r\n1 aa\r\n.")]
POP3_CALLS: dict[str, tuple[Callable[[Any, MailItem], object], list[tuple[str, str]]]] = {
    "list": (lambda box, _: box.list(), OPEN),
    "fetch": (lambda box, item: box.fetch(item), [*OPEN, ("RETR", "+OK\r\nhello\r\n.")]),
    "delete": (lambda box, item: box.delete(item), [*OPEN, ("DELE", "+OK"), ("QUIT", "+OK")]),
}
POP3_PHASES = [("list", name) for name, _ in OPEN] + [("fetch", "RETR"), ("delete", "DELE"), ("delete", "QUIT")]
NAMED = MailIdentity("clinic@127.0.0.1", 0, "aa")


def pop3_until(call: str, phase: str, end: str) -> Callable[[Wire], None]:
    def play(wire: Wire) -> None:
        wire.say("+OK hello")
        for name, answer in POP3_CALLS[call][1]:
            wire.hear()
            if name == phase:
                if name == "RETR":
                    wire.say(b"+OK\r\nhel")
                stop(wire, end)
                return
            wire.say(answer)

    return play


@ENDS
@pytest.mark.parametrize(("call", "phase"), POP3_PHASES)
def test_a_pop3_server_that_stops_in_any_phase_is_for_later(call: str, phase: str, end: str) -> None:
    with Scripted(pop3_until(call, phase, end)) as server:
        box = Pop3Mailbox(replace(POP3, port=server.port), password=b"p")
        with pytest.raises(TransportError) as caught:
            POP3_CALLS[call][0](box, MailItem(NAMED, 7))
        box.close()
    assert caught.value.again is Again.LATER  # a deletion that was not confirmed is asked for again


@pytest.mark.parametrize("call", list(POP3_CALLS))
def test_the_same_pop3_server_works_when_it_does_not_stop(call: str) -> None:
    with Scripted(pop3_until(call, "", "hang up")) as server:
        box = Pop3Mailbox(replace(POP3, port=server.port), password=b"p")
        found = POP3_CALLS[call][0](box, MailItem(NAMED, 7))
        assert (box.fill(), box.list(marked=True)) == (None, [])
    assert found == {"list": [MailItem(NAMED, 7)], "fetch": b"hello\r\n", "delete": {NAMED}}[call]
