"""What every mailbox keeps to, over IMAP and POP3, against Dovecot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from adapter.config import ImapSettings, MailSettings, Pop3Settings, Secret, SmtpSettings, read_settings
from adapter.errors import AccessError, InputError, NotFoundError, SettingsError, TransportError, UnsupportedError
from adapter.transport.imap import ImapMailbox
from adapter.transport.mailbox import Mailbox, MailIdentity, MailItem, digest_of, open_mailbox, read_identity
from adapter.transport.pop3 import Pop3Mailbox
from adapter.transport.smtp import MailSender
from tests.transport.mail_servers import PASSWORD, Dovecot, Sink

USERS = count()
HEAD = b"From: a@example.org\r\nTo: b@example.org\r\n\r\n"
KINDS = ["imaps", "imap", "pop3s", "pop3"]
Open = Callable[..., Mailbox]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def user() -> str:
    return f"clinic{next(USERS)}"


@pytest.fixture
def open_kind(dovecot: Dovecot, kind: str, user: str) -> Iterator[Open]:
    """Open the user's mailbox by one of the four ways."""
    opened: list[Mailbox] = []

    def run(password: str = PASSWORD, **more: object) -> Mailbox:
        security = "tls" if kind.endswith("s") else "starttls"
        settings = {"host": "127.0.0.1", "port": getattr(dovecot, kind), "security": security, "user": user, **more}
        keys = {"password": password.encode(), "ca_file": dovecot.certificate}
        if kind.startswith("imap"):
            opened.append(ImapMailbox(ImapSettings(**settings), **keys))  # type: ignore[arg-type]
        else:
            opened.append(Pop3Mailbox(Pop3Settings(**settings), **keys))  # type: ignore[arg-type]
        return opened[-1]

    yield run
    for mailbox in opened:
        mailbox.close()


def test_an_empty_mailbox_lists_nothing(open_kind: Open) -> None:
    assert open_kind().list() == []


@pytest.mark.parametrize(
    "content",
    [
        HEAD + b"body\r\n",
        HEAD + b".\r\n..\r\n.x\r\n",
        b".first line is a dot\r\n\r\n.\r\n",
        HEAD,
        b"no head at all\r\n",
        b"\r\n",
        b"Content-Type: multipart/related; boundary=\r\n\r\n--\r\n",
        HEAD + b"\xff\xfe odd octets \xe6\r\n",
        HEAD + b"x" * 70_000 + b"\r\n",
    ],
)
def test_a_mail_is_read_byte_for_byte(dovecot: Dovecot, open_kind: Open, user: str, content: bytes) -> None:
    dovecot.deliver(user, content)
    mailbox = open_kind()
    (item,) = mailbox.list()
    assert mailbox.fetch(item) == content
    assert item.size_bytes == len(content)
    assert mailbox.fetch(item) == content  # reading changes nothing


def test_a_large_mail_is_read_byte_for_byte(dovecot: Dovecot, open_kind: Open, user: str) -> None:
    content = HEAD + b"".join(f"{i:070}\r\n".encode() for i in range(60_000))
    dovecot.deliver(user, content)
    mailbox = open_kind()
    assert mailbox.fetch(mailbox.list()[0]) == content


def test_the_list_is_in_order_bounded_and_looks_past_what_is_known(
    dovecot: Dovecot, open_kind: Open, user: str
) -> None:
    for i in range(5):
        dovecot.deliver(user, HEAD + str(i).encode() + b"\r\n")
    mailbox = open_kind()
    first = mailbox.list(2)
    known = {item.identity for item in first}
    rest = mailbox.list(2, known.__contains__)
    assert [mailbox.fetch(item)[-3:-2] for item in (*first, *rest)] == [b"0", b"1", b"2", b"3"]


def test_new_mails_are_seen_on_the_same_connection(dovecot: Dovecot, open_kind: Open, user: str) -> None:
    mailbox = open_kind()
    dovecot.deliver(user, HEAD)
    assert len(mailbox.list()) == 1
    dovecot.deliver(user, HEAD)
    assert len(mailbox.list()) == 2


def test_the_same_mail_has_the_same_identity_next_time(dovecot: Dovecot, open_kind: Open, user: str) -> None:
    dovecot.deliver(user, HEAD)
    assert open_kind().list() == open_kind().list()


def test_deleted_mails_are_gone_and_no_others(dovecot: Dovecot, open_kind: Open, user: str) -> None:
    for i in range(3):
        dovecot.deliver(user, HEAD + str(i).encode() + b"\r\n")
    mailbox = open_kind()
    first, second, third = mailbox.list()
    assert mailbox.delete(first, third) == {first.identity, third.identity}
    assert dovecot.held(user) == [HEAD + b"1\r\n"]
    assert mailbox.list() == [second]
    assert mailbox.delete(first) == {first.identity}  # gone is gone
    assert mailbox.delete() == frozenset()


def test_nothing_is_deleted_without_being_asked_for(dovecot: Dovecot, open_kind: Open, user: str) -> None:
    dovecot.deliver(user, HEAD)
    mailbox = open_kind()
    (item,) = mailbox.list()
    mailbox.fetch(item)
    mailbox.mark(item)
    mailbox.close()
    assert len(dovecot.held(user)) == 1


def test_a_mail_of_another_size_than_it_had_is_not_deleted(dovecot: Dovecot, open_kind: Open, user: str) -> None:
    dovecot.deliver(user, HEAD)
    mailbox = open_kind()
    (item,) = mailbox.list()
    assert mailbox.delete(replace(item, size_bytes=1)) == frozenset()
    assert len(dovecot.held(user)) == 1


def test_a_mail_of_another_mailbox_or_numbering_is_not_touched(dovecot: Dovecot, open_kind: Open, user: str) -> None:
    dovecot.deliver(user, HEAD)
    mailbox = open_kind()
    (item,) = mailbox.list()
    for identity in (
        replace(item.identity, mailbox="x"),
        replace(item.identity, uidvalidity=item.identity.uidvalidity + 1),
    ):
        strange = MailItem(identity, item.size_bytes)
        assert (mailbox.delete(strange), mailbox.mark(strange)) == (frozenset(), frozenset())
        with pytest.raises(NotFoundError) as caught:
            mailbox.fetch(strange)
        assert caught.value.code == "MAIL.GONE"
    assert mailbox.list() == [item]


def test_a_mail_that_has_vanished_does_not_stop_the_rest(dovecot: Dovecot, open_kind: Open, user: str) -> None:
    dovecot.deliver(user, HEAD + b"1\r\n")
    dovecot.deliver(user, HEAD + b"2\r\n")
    mailbox = open_kind()
    first, second = mailbox.list()
    other = open_kind()
    if isinstance(mailbox, Pop3Mailbox):  # a POP3 session keeps the mailbox to itself
        mailbox.close()
    assert other.delete(first)
    other.close()
    with pytest.raises(NotFoundError):
        mailbox.fetch(first)
    assert mailbox.fetch(second) == HEAD + b"2\r\n"


def test_an_oversize_mail_is_reported_not_loaded_and_does_not_stop_the_rest(
    dovecot: Dovecot, open_kind: Open, user: str
) -> None:
    dovecot.deliver(user, HEAD + b"x" * 3_000_000)
    dovecot.deliver(user, HEAD)
    mailbox = open_kind(mail_limit_bytes=1000)
    large, small = mailbox.list()
    assert large.size_bytes is not None
    assert large.size_bytes > 3_000_000
    for item in (large, MailItem(large.identity, None if mailbox.name.endswith("INBOX") else large.size_bytes)):
        with pytest.raises(UnsupportedError) as caught:
            mailbox.fetch(item)
        assert caught.value.code == "MAIL.TOO_LARGE"
    assert mailbox.fetch(small) == HEAD


def test_a_wrong_password_is_an_access_error_and_the_next_call_asks_again(open_kind: Open, kind: str) -> None:
    mailbox = open_kind("wrong")
    for _ in range(2 if kind == "imaps" else 1):  # half a second each
        with pytest.raises(AccessError) as caught:
            mailbox.list()
        assert caught.value.status == 535


def test_p20_a_server_with_an_unknown_certificate_gets_no_password(dovecot: Dovecot, kind: str) -> None:
    security = "tls" if kind.endswith("s") else "starttls"
    settings = {"host": "127.0.0.1", "port": getattr(dovecot, kind), "security": security, "user": "a"}
    mailbox: Mailbox = (
        ImapMailbox(ImapSettings(**settings), password=b"x")
        if kind.startswith("imap")
        else Pop3Mailbox(Pop3Settings(**settings), password=b"x")
    )
    with pytest.raises(TransportError, match="TLS"):
        mailbox.list()


def test_a_closed_mailbox_opens_again(dovecot: Dovecot, open_kind: Open, user: str) -> None:
    dovecot.deliver(user, HEAD)
    mailbox = open_kind()
    (item,) = mailbox.list()
    mailbox.close()
    mailbox.close()
    assert mailbox.fetch(item) == HEAD


def test_what_smtp_sent_is_what_the_mailbox_gives(dovecot: Dovecot, sink: Sink, open_kind: Open, user: str) -> None:
    """The whole way: our sender, an SMTP server, a Maildir, a mailbox server, our reader."""
    sink.on_mail = lambda mail: dovecot.deliver(mail.receiver.split("@")[0], mail.content)
    settings = SmtpSettings(host="127.0.0.1", port=sink.port, user=user)
    sender = MailSender(settings, password=PASSWORD.encode(), ca_file=sink.certificate)
    mails = [HEAD + b".%d\r\n" % i + b"." * i + b"\r\n" for i in range(20)]
    for mail in mails:
        sender.send("a@example.org", f"{user}@example.org", mail)
    sender.close()
    mailbox = open_kind()
    assert [mailbox.fetch(item) for item in mailbox.list()] == mails


# --- words


def test_an_identity_is_one_text_and_back() -> None:
    for identity in (MailIdentity("a@b/IN BOX;1", 7, "12"), MailIdentity("a@b", 0, ";/x#1#2")):
        assert read_identity(identity.remote_id) == identity


@pytest.mark.parametrize("text", ["", "1", "1 2", "x 2 a@b", "-1 2 a", "² 2 a"])
def test_another_text_is_no_identity(text: str) -> None:
    with pytest.raises(InputError):
        read_identity(text)


def test_the_digest_tells_equal_bytes_from_others() -> None:
    assert digest_of(HEAD) == digest_of(bytes(HEAD)) != digest_of(HEAD + b"x")


def settings_with(mail: MailSettings | None, folder: Path) -> object:
    names = ("fagsystem", "mellomvare", "msh", "fagsystem_version", "mellomvare_version", "msh_version")
    plain = {
        "environment": "test",
        "software": dict.fromkeys(names, "1"),
        "tenant": [{"name": "a", "organisation_number": "310045101", "her_ids": [8091301]}],
    }
    return replace(read_settings(plain, folder), mail=mail)


def test_the_mailbox_is_made_from_the_settings(
    dovecot: Dovecot, user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_MAIL_PASSWORD", PASSWORD)
    (tmp_path / "ca.pem").write_bytes(dovecot.certificate.read_bytes())
    dovecot.deliver(user, HEAD)
    server = {"host": "127.0.0.1", "user": user, "password": Secret(env="A_MAIL_PASSWORD"), "ca_file": "ca.pem"}
    smtp = SmtpSettings(host="127.0.0.1")
    for mail in (
        MailSettings(address="a@b", smtp=smtp, imap=ImapSettings(port=dovecot.imaps, **server)),  # type: ignore[arg-type]
        MailSettings(address="a@b", smtp=smtp, pop3=Pop3Settings(port=dovecot.pop3s, **server)),  # type: ignore[arg-type]
    ):
        mailbox = open_mailbox(settings_with(mail, tmp_path))  # type: ignore[arg-type]
        assert len(mailbox.list()) == 1
        mailbox.close()


def test_without_a_mail_road_there_is_no_mailbox(tmp_path: Path) -> None:
    for mail in (None, MailSettings(address="a@b", smtp=SmtpSettings(host="x"))):
        with pytest.raises(SettingsError):
            open_mailbox(settings_with(mail, tmp_path))  # type: ignore[arg-type]


def test_closing_from_another_thread_breaks_off_the_call(dovecot: Dovecot, open_kind: Open, user: str) -> None:
    dovecot.deliver(user, HEAD)
    mailbox = open_kind()
    inside, caught = threading.Event(), []

    def known(_: MailIdentity) -> bool:
        inside.set()
        gate.wait(5)
        return False

    def run() -> None:
        try:
            mailbox.list(known=known)
            mailbox.fetch(mailbox.list()[0])
        except TransportError as error:
            caught.append(error)

    gate = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    assert inside.wait(5)
    mailbox.close()
    gate.set()
    thread.join(10)
    assert not thread.is_alive()
    assert mailbox.list()  # it can be used again


def test_closing_when_a_call_needs_the_server_no_more_does_not_harm_it(
    dovecot: Dovecot, open_kind: Open, user: str
) -> None:
    dovecot.deliver(user, HEAD)
    mailbox = open_kind()

    def known(_: MailIdentity) -> bool:
        mailbox.close()  # as another thread would at this moment
        return True

    assert mailbox.list(known=known) == []
    assert len(mailbox.list()) == 1
