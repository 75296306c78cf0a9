"""Mail servers whose answers are damaged at random: only our own errors come out, in bounded time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from adapter.config import ImapSettings, Pop3Settings, SmtpSettings
from adapter.errors import AdapterError
from adapter.transport.imap import ImapMailbox
from adapter.transport.mailbox import Mailbox
from adapter.transport.pop3 import Pop3Mailbox
from adapter.transport.smtp import MailSender
from tests.transport.mail_servers import Scripted, Wire

ROUNDS = 20
LIMITS = {"host": "127.0.0.1", "security": "none", "user": "u", "read_timeout_s": 0.1, "total_timeout_s": 0.5}
IMAP = [
    b"* OK hello\r\n",
    b"* CAPABILITY IMAP4rev1 UIDPLUS\r\n%s OK x\r\n",
    b"%s OK x\r\n",
    b"* CAPABILITY IMAP4rev1 UIDPLUS\r\n%s OK x\r\n",
    b"* 2 EXISTS\r\n* OK [PERMANENTFLAGS (\\Seen \\*)] x\r\n* OK [UIDVALIDITY 7] x\r\n%s OK [READ-WRITE] x\r\n",
    b"* 2 EXISTS\r\n* OK [PERMANENTFLAGS (\\Seen \\*)] x\r\n* OK [UIDVALIDITY 7] x\r\n%s OK [READ-WRITE] x\r\n",
    b"* SEARCH 4 9\r\n%s OK x\r\n",
    b"* 1 FETCH (UID 4 RFC822.SIZE 4)\r\n* 2 FETCH (UID 9 RFC822.SIZE 31)\r\n%s OK x\r\n",
    b"* 1 FETCH (UID 4 BODY[] {4}\r\nab\r\n)\r\n%s OK x\r\n",
    b"%s OK x\r\n",
    b"* 1 FETCH (UID 4 RFC822.SIZE 4)\r\n%s OK x\r\n",
    b"%s OK x\r\n",
    b"* 1 EXPUNGE\r\n%s OK x\r\n",
    b"%s OK x\r\n",
    b"* BYE\r\n%s OK x\r\n",
]
POP3 = [b"+OK hello\r\n", b"+OK\r\n", b"+OK\r\n", b"+OK\r\n1 4\r\n2 5\r\n.\r\n", b"+OK\r\n1 a\r\n2 b\r\n.\r\n"]
POP3 += [b"+OK\r\nab\r\n.\r\n", b"+OK\r\n", b"+OK\r\n"]
SMTP = [b"220 hello\r\n", b"250-me\r\n250-AUTH PLAIN\r\n250 SIZE 99\r\n", b"235 OK\r\n", b"250 OK\r\n", b"250 OK\r\n"]
SMTP += [b"354 go\r\n", b"250 OK\r\n", b"221 bye\r\n"]
SPICE = [
    b"",
    b"\r\n",
    b"\0",
    b"\xff",
    b"{99}",
    b"{0}\r\n",
    b"(",
    b")",
    b'"',
    b"]",
    b"* BYE\r\n",
    b"NIL",
    b"-",
    b"9" * 30,
]


def damage(answer: bytes, dice: random.Random) -> bytes:
    at, end = sorted(dice.randrange(len(answer) + 1) for _ in range(2))
    way = dice.randrange(4)
    if way == 0:
        return answer[:at] + dice.choice(SPICE) + answer[at:]
    if way == 1:
        return answer[:at] + answer[end:]
    if way == 2:
        return answer[:at] + bytes([dice.randrange(256)]) + answer[at + 1 :]
    return answer[:end] + answer[at:]


def playing(answers: list[bytes], seed: int) -> Callable[[Wire], None]:
    dice = random.Random(seed)
    hit = dice.randrange(len(answers))

    def play(wire: Wire) -> None:
        tag = b""
        for place, answer in enumerate(answers):
            if tag == b"DATA":
                wire.hear_until_dot()
                tag = b""
            elif place:
                tag = wire.hear().split(b" ")[0].strip()
            sent = answer.replace(b"%s", tag)
            wire.say(damage(sent, dice) if place == hit else sent)

    return play


def use(mailbox: Mailbox) -> None:
    for item in mailbox.list():
        content = mailbox.fetch(item)
        assert isinstance(content, bytes)
        mailbox.mark(item)
        assert mailbox.delete(item) <= {item.identity}
        break
    mailbox.close()


def use_imap(port: int) -> None:
    use(ImapMailbox(replace(ImapSettings(**LIMITS), port=port), password=b"p"))  # type: ignore[arg-type]


def use_pop3(port: int) -> None:
    use(Pop3Mailbox(replace(Pop3Settings(**LIMITS), port=port), password=b"p"))  # type: ignore[arg-type]


def use_smtp(port: int) -> None:
    sender = MailSender(replace(SmtpSettings(**LIMITS, accept_timeout_s=0.2), port=port), password=b"p")  # type: ignore[arg-type]
    sender.send("a@example.org", "b@example.org", b"x\r\n")
    sender.close()


@pytest.mark.parametrize(("answers", "run"), [(IMAP, use_imap), (POP3, use_pop3), (SMTP, use_smtp)])
def test_damaged_answers_end_in_our_own_errors(answers: list[bytes], run: Callable[[int], None]) -> None:
    outcomes = set()
    for seed in range(ROUNDS):
        with Scripted(playing(answers, seed)) as server:
            try:
                run(server.port)
                outcomes.add("done")
            except AdapterError as error:
                outcomes.add(error.code)
    assert {"done", "TRANSPORT"} <= outcomes
