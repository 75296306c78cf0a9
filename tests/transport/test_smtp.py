"""Mail out: taken, refused, not taken or unknown, and never a guess (P2, P20)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapter.config import MailSettings, Pop3Settings, Secret, Settings, SmtpSettings, read_settings
from adapter.errors import (
    AccessError,
    Again,
    InputError,
    RemoteRefusalError,
    SettingsError,
    TransportError,
    UnknownOutcomeError,
)
from adapter.transport.smtp import MailSender, open_sender
from tests.transport.loopback import closed_port
from tests.transport.mail_servers import PASSWORD, Play, Scripted, Sink, Wire, make_certificate

MAIL = b"From: a@example.org\r\nTo: b@example.org\r\n\r\nbody\r\n"
FAST = SmtpSettings(
    host="127.0.0.1",
    security="none",
    connect_timeout_s=2.0,
    read_timeout_s=3.0,
    accept_timeout_s=3.0,
    total_timeout_s=5.0,
)
QUICK = replace(FAST, read_timeout_s=0.2, total_timeout_s=0.5)
IMPATIENT = replace(FAST, accept_timeout_s=0.3, total_timeout_s=0.8)


def real(sink: Sink, **more: object) -> MailSender:
    settings = SmtpSettings(host="127.0.0.1", port=sink.port, user="clinic", **more)  # type: ignore[arg-type]
    return MailSender(settings, password=PASSWORD.encode(), ca_file=sink.certificate)


def send(sender: MailSender, content: bytes = MAIL, receiver: str = "b@example.org") -> str:
    return sender.send("a@example.org", receiver, content)


# --- a real server


def test_a_mail_arrives_byte_for_byte_over_starttls_with_login(sink: Sink) -> None:
    sender = real(sink)
    assert send(sender) == "2.0.0 OK: queued as 1"
    assert [(mail.sender, mail.receiver, mail.content) for mail in sink.taken] == [
        ("a@example.org", "b@example.org", MAIL)
    ]
    sender.close()


def test_tls_from_the_first_byte_works_too(certificate: Path) -> None:
    with Sink(certificate, tls_at_once=True, login=False) as sink:
        sender = MailSender(SmtpSettings(host="127.0.0.1", port=sink.port, security="tls"), ca_file=certificate)
        send(sender)
        sender.close()
    assert sink.taken[0].content == MAIL


def test_mails_after_each_other_share_one_connection_until_its_count_is_full(sink: Sink) -> None:
    sender = real(sink, mails_per_connection=3)
    for _ in range(4):
        send(sender)
    sender.close()
    assert (len(sink.taken), len(sink.sessions)) == (4, 2)


def test_a_connection_at_rest_for_too_long_is_not_used_again(sink: Sink) -> None:
    sender = real(sink, idle_s=1e-9)
    send(sender)
    send(sender)
    assert len(sink.sessions) == 2


def test_threads_send_side_by_side_without_mixing_their_mails(sink: Sink) -> None:
    sender = real(sink)

    def write(name: str) -> None:
        for _ in range(10):
            sender.send(f"{name}@example.org", f"{name}@example.org", name.encode() * 900 + b"\r\n")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sender.close()
    assert len(sink.taken) == 40
    assert all(mail.content == mail.sender[0].encode() * 900 + b"\r\n" for mail in sink.taken)


@pytest.mark.parametrize(
    "content",
    [
        b".\r\n",
        b"\r\n.\r\n",
        b"a\r\n.\r\n..\r\n...b\r\n",
        b"",
        b"x" * 998 + b"\r\n",
        (b"." + b"y" * 61 + b"\r\n") * 3000,
        b"z" * 998 + b"\r\n" + (b".\r\n" * 60_000),
    ],
)
def test_lines_that_begin_with_dots_arrive_as_they_were(sink: Sink, content: bytes) -> None:
    send(real(sink), content)
    assert sink.taken[0].content == (content or b"\r\n")


def test_a_last_line_without_its_end_gets_one(sink: Sink) -> None:
    send(real(sink), b"a\r\nb")
    assert sink.taken[0].content == b"a\r\nb\r\n"


def test_a_large_mail_goes_through(sink: Sink) -> None:
    content = (b"A" * 76 + b"\r\n") * 30_000
    send(real(sink), content)
    assert sink.taken[0].content == content


def test_a_refused_receiver_is_final_and_the_next_mail_goes_out(sink: Sink) -> None:
    sink.refuse["c@example.org"] = "550 5.1.1 no such <c@example.org>"
    sender = real(sink)
    with pytest.raises(RemoteRefusalError) as caught:
        send(sender, receiver="c@example.org")
    assert (caught.value.status, caught.value.again) == (550, Again.NEVER)
    assert str(caught.value) == "REMOTE_REFUSAL: the mail server refused the receiver (550 5.1.1)"
    send(sender)
    assert len(sink.taken) == 1


def test_a_full_mailbox_is_for_later(sink: Sink) -> None:
    sink.refuse["c@example.org"] = "452 4.2.2 mailbox full"
    with pytest.raises(TransportError) as caught:
        send(real(sink), receiver="c@example.org")
    assert type(caught.value) is TransportError
    assert "452 4.2.2" in caught.value.text


def test_a_wrong_password_is_an_access_error(sink: Sink) -> None:
    settings = SmtpSettings(host="127.0.0.1", port=sink.port, user="clinic")
    with pytest.raises(AccessError) as caught:
        send(MailSender(settings, password=b"wrong", ca_file=sink.certificate))
    assert caught.value.status == 535
    assert sink.taken == []


def test_without_a_login_the_server_that_wants_one_is_an_access_error(sink: Sink) -> None:
    settings = SmtpSettings(host="127.0.0.1", port=sink.port)
    with pytest.raises(AccessError):
        send(MailSender(settings, ca_file=sink.certificate))


def test_a_mail_above_the_servers_size_never_leaves(certificate: Path) -> None:
    with Sink(certificate, size=1000) as sink, pytest.raises(RemoteRefusalError, match="larger") as caught:
        send(real(sink), b"x" * 900 + b"\r\n" + b"y" * 900)
    assert (caught.value.status, sink.taken) == (552, [])


def test_p20_a_server_with_an_unknown_certificate_gets_no_mail_and_no_password(sink: Sink) -> None:
    settings = SmtpSettings(host="127.0.0.1", port=sink.port, user="clinic")
    with pytest.raises(TransportError, match="TLS"):
        send(MailSender(settings, password=PASSWORD.encode()))
    assert sink.taken == []


def test_p20_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    with Sink(make_certificate(tmp_path, "127.0.0.2")) as sink, pytest.raises(TransportError, match="TLS"):
        send(real(sink))
    assert sink.taken == []


def test_the_senders_sockets_do_not_wait_to_fill_packets(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []
    connect = socket.create_connection

    def watched(*args: object, **kwargs: object) -> socket.socket:
        made.append(connect(*args, **kwargs))  # type: ignore[arg-type]
        return made[-1]

    states: list[int] = []
    sink.on_mail = lambda _: states.append(1)
    monkeypatch.setattr(socket, "create_connection", watched)
    sender = real(sink)
    began = time.monotonic()
    for _ in range(20):
        send(sender)
    assert time.monotonic() - began < 20 * 0.04  # each mail would wait 40 ms or more
    assert len(states) == 20


# --- servers that misbehave


def greet(wire: Wire, *abilities: str) -> None:
    wire.say("220 hello")
    wire.hear()
    wire.say("250-me", *(f"250-{ability}" for ability in abilities), "250 HELP")


def take_body(wire: Wire) -> bytes:
    wire.dialogue("250 OK", "250 OK", "354 go on")
    return wire.hear_until_dot()


@pytest.fixture
def attempt() -> Iterator[Callable[..., BaseException | str]]:
    """Send one mail to a server that plays these scripts; gives the error or the words."""
    servers: list[Scripted] = []

    def run(*plays: Play, content: bytes = MAIL, settings: SmtpSettings = FAST, **more: str) -> BaseException | str:
        servers.append(Scripted(*plays).__enter__())
        run.server = servers[-1]  # type: ignore[attr-defined]
        sender = MailSender(replace(settings, port=servers[-1].port))
        try:
            return sender.send("a@example.org", "b@example.org", content, **more)
        except (TransportError, RemoteRefusalError) as error:
            return error
        finally:
            sender.close()

    yield run
    for server in servers:
        server.__exit__()


def cut_after_dot(wire: Wire) -> None:
    greet(wire)
    take_body(wire)


def stall_after_dot(wire: Wire) -> None:
    greet(wire)
    take_body(wire)
    wire.silence()


def drip_after_dot(wire: Wire) -> None:
    greet(wire)
    take_body(wire)
    wire.drip(b"250 " + b"slow" * 100)


def nonsense_after_dot(wire: Wire) -> None:
    greet(wire)
    take_body(wire)
    wire.say("fine by me")


def go_on_after_dot(wire: Wire) -> None:
    greet(wire)
    take_body(wire)
    wire.say("354 more?")


@pytest.mark.parametrize("play", [cut_after_dot, stall_after_dot, drip_after_dot, nonsense_after_dot, go_on_after_dot])
def test_p2_no_answer_to_the_final_dot_is_unknown(attempt: Callable[..., BaseException | str], play: Play) -> None:
    error = attempt(play, settings=IMPATIENT)
    assert type(error) is UnknownOutcomeError
    assert error.again is Again.AFTER_PROOF
    assert "final dot" in error.text


def cut_at_connect(wire: Wire) -> None:
    return None


def stall_at_connect(wire: Wire) -> None:
    wire.silence()


def drip_greeting(wire: Wire) -> None:
    wire.drip(b"220 " + b"x" * 5000)


def flood_greeting(wire: Wire) -> None:
    wire.say(b"220-hello\r\n" * 200_000, "220 end")


def endless_line(wire: Wire) -> None:
    wire.say(b"220 " + b"x" * 200_000)
    wire.silence()


def other_protocol(wire: Wire) -> None:
    wire.say("SSH-2.0-OpenSSH_9.2")
    wire.silence()


def not_now(wire: Wire) -> None:
    wire.say("421 too busy")


def not_you(wire: Wire) -> None:
    wire.say("554 go away")


def cut_in_dialogue(wire: Wire) -> None:
    greet(wire)
    wire.dialogue("250 OK")
    wire.hear()


def cut_at_data(wire: Wire) -> None:
    greet(wire)
    wire.dialogue("250 OK", "250 OK")
    wire.hear()


def not_accepted_now(wire: Wire) -> None:
    greet(wire)
    take_body(wire)
    wire.say("451 4.3.0 try again")


def full_disk(wire: Wire) -> None:
    greet(wire)
    take_body(wire)
    wire.say("452 4.3.1 insufficient storage")


@pytest.mark.parametrize(
    "play",
    [
        cut_at_connect, stall_at_connect, drip_greeting, flood_greeting, endless_line, other_protocol, not_now, not_you,
        cut_in_dialogue, cut_at_data, not_accepted_now, full_disk,
    ],
)  # fmt: skip
def test_p2_what_was_not_accepted_may_be_tried_again(attempt: Callable[..., BaseException | str], play: Play) -> None:
    began = time.monotonic()
    error = attempt(play, settings=QUICK)
    assert isinstance(error, TransportError)
    assert error.again is Again.LATER
    assert time.monotonic() - began < 3


def deaf_in_body(wire: Wire) -> None:
    greet(wire)
    wire.dialogue("250 OK", "250 OK", "354 go on")
    wire.silence()


def too_big_in_body(wire: Wire) -> None:
    greet(wire)
    wire.dialogue("250 OK", "250 OK", "354 go on")
    wire.say("552 5.3.4 too big")
    wire.silence()


def test_p2_a_server_that_stops_reading_in_the_middle_has_accepted_nothing(
    attempt: Callable[..., BaseException | str],
) -> None:
    error = attempt(deaf_in_body, settings=QUICK, content=(b"x" * 900 + b"\r\n") * 20_000)
    assert isinstance(error, TransportError)
    assert error.again is Again.LATER


def test_a_refusal_in_the_middle_of_a_mail_is_heard(attempt: Callable[..., BaseException | str]) -> None:
    error = attempt(too_big_in_body, content=(b"x" * 900 + b"\r\n") * 20_000)
    assert isinstance(error, RemoteRefusalError)
    assert error.status == 552


def test_a_refusal_of_the_whole_mail_is_final(attempt: Callable[..., BaseException | str]) -> None:
    def play(wire: Wire) -> None:
        greet(wire)
        take_body(wire)
        wire.say("554-5.7.1 we do not like", "554 5.7.1 this")

    error = attempt(play)
    assert isinstance(error, RemoteRefusalError)
    assert (error.status, str(error)) == (554, "REMOTE_REFUSAL: the mail server refused the mail (554 5.7.1)")


def test_commands_go_out_together_where_the_server_allows_it(attempt: Callable[..., BaseException | str]) -> None:
    def play(wire: Wire) -> None:
        greet(wire, "PIPELINING", "SIZE 0", "DSN")
        for _ in range(3):
            wire.hear()
        wire.say("250 OK", "250 OK", "354 go on")
        wire.hear_until_dot()
        wire.say("250 mine \xe6".encode("latin-1") + b"\r\n")

    assert attempt(play, envelope_id="E1-a.b@c") == "mine ?"
    assert attempt.server.heard[1:4] == [  # type: ignore[attr-defined]
        f"MAIL FROM:<a@example.org> SIZE={len(MAIL)} RET=HDRS ENVID=E1-a.b@c".encode(),
        b"RCPT TO:<b@example.org> NOTIFY=FAILURE",
        b"DATA",
    ]


def test_a_refused_receiver_and_a_server_that_wants_the_mail_all_the_same_get_none(
    attempt: Callable[..., BaseException | str],
) -> None:
    def play(wire: Wire) -> None:
        greet(wire, "PIPELINING")
        for _ in range(3):
            wire.hear()
        wire.say("250 OK", "550 no", "354 go on")
        wire.hear()

    error = attempt(play)
    assert isinstance(error, RemoteRefusalError)
    assert attempt.server.heard[-1] == b"DATA"  # type: ignore[attr-defined]


def test_a_resting_connection_that_the_server_ended_is_replaced_unnoticed() -> None:
    def first(wire: Wire) -> None:
        greet(wire)
        take_body(wire)
        wire.say("250 one", "421 closing")

    def lazy(wire: Wire) -> None:
        greet(wire)
        take_body(wire)
        wire.say("250 two")
        wire.hear()  # and cuts

    def last(wire: Wire) -> None:
        greet(wire)
        take_body(wire)
        wire.say("250 three")

    with Scripted(first, lazy, last) as server:
        sender = MailSender(replace(FAST, port=server.port))
        assert [send(sender), send(sender), send(sender)] == ["one", "two", "three"]
        sender.close()


def test_a_refusal_on_a_connection_used_again_is_not_asked_for_twice() -> None:
    def play(wire: Wire) -> None:
        greet(wire)
        take_body(wire)
        wire.say("250 one")
        wire.dialogue("451 not now")

    with Scripted(play) as server:
        sender = MailSender(replace(FAST, port=server.port))
        send(sender)
        with pytest.raises(TransportError, match="451"):
            send(sender)
    assert len(server.wires) == 1


def test_closing_after_the_server_has_left_is_no_fault() -> None:
    with Scripted(lambda wire: (greet(wire), take_body(wire), wire.say("250 one"))) as server:  # type: ignore[func-returns-value]
        sender = MailSender(replace(FAST, port=server.port))
        send(sender)
    sender.close()
    sender.close()


def test_a_new_connection_that_fails_is_not_tried_twice() -> None:
    with Scripted(cut_at_connect) as server, pytest.raises(TransportError):
        send(MailSender(replace(FAST, port=server.port)))
    assert len(server.wires) == 1


def test_p20_a_server_without_starttls_gets_nothing(attempt: Callable[..., BaseException | str]) -> None:
    error = attempt(lambda wire: greet(wire), settings=replace(FAST, security="starttls"))
    assert isinstance(error, TransportError)
    assert "offers no STARTTLS" in error.text
    assert len(attempt.server.heard) == 1  # type: ignore[attr-defined]


def test_p20_words_smuggled_in_before_tls_are_refused(attempt: Callable[..., BaseException | str]) -> None:
    def play(wire: Wire) -> None:
        greet(wire, "STARTTLS")
        wire.hear()
        wire.say(b"220 go\r\n250-AUTH PLAIN\r\n")
        wire.silence()

    error = attempt(play, settings=replace(FAST, security="starttls"))
    assert isinstance(error, TransportError)
    assert "before TLS" in error.text


def test_a_handshake_that_never_ends_is_cut(attempt: Callable[..., BaseException | str]) -> None:
    def play(wire: Wire) -> None:
        wire.silence()

    began = time.monotonic()
    error = attempt(play, settings=replace(FAST, security="tls", connect_timeout_s=0.2, read_timeout_s=0.2))
    assert isinstance(error, TransportError)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("offered", "script", "error"),
    [
        ("AUTH LOGIN", ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 OK"], None),
        ("AUTH LOGIN", ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "535 no"], AccessError),
        ("AUTH PLAIN", ["454 4.7.0 not now"], TransportError),
        ("AUTH PLAIN", ["500 what?"], AccessError),
        ("AUTH GSSAPI", [], AccessError),
        ("HELP", [], AccessError),
    ],
)
def test_logins_of_every_kind_have_their_outcome(
    offered: str, script: list[str], error: type[Exception] | None
) -> None:
    def play(wire: Wire) -> None:
        greet(wire, offered)
        wire.dialogue(*script)
        take_body(wire)
        wire.say("250 OK")

    with Scripted(play) as server:
        sender = MailSender(replace(FAST, port=server.port, user="u"), password=b"p")
        if error is None:
            send(sender)
            assert server.heard[2:4] == [b"dQ==", b"cA=="]
        else:
            with pytest.raises(error):
                send(sender)
            assert not any(line.startswith(b"MAIL") for line in server.heard)


def test_nobody_there_is_for_later() -> None:
    with pytest.raises(TransportError, match="cannot be reached"):
        send(MailSender(replace(FAST, port=closed_port())))


@pytest.mark.parametrize("host", ["no such host.invalid", "x" * 300])
def test_a_host_without_an_address_is_for_later(host: str) -> None:
    with pytest.raises(TransportError):
        send(MailSender(SmtpSettings(host=host, security="tls", connect_timeout_s=1.0)))


def test_p2_closing_breaks_off_the_mail_under_way() -> None:
    there = threading.Event()

    def play(wire: Wire) -> None:
        greet(wire)
        take_body(wire)
        there.set()
        wire.silence()

    caught: list[Exception] = []
    with Scripted(play) as server:
        sender = MailSender(replace(FAST, port=server.port, accept_timeout_s=15, total_timeout_s=15))

        def run() -> None:
            try:
                send(sender)
            except TransportError as error:
                caught.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        assert there.wait(5)
        sender.close()
        thread.join(5)
    assert [(type(error), "stopping" in str(error)) for error in caught] == [(UnknownOutcomeError, True)]


# --- what never leaves


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"a\nb\r\n", "CRLF"),
        (b"a\r\n.\n", "CRLF"),
        (b"a\rb\r\n", "CRLF"),
        (b"a\0\r\n", "CRLF"),
        ("æ\r\n".encode(), "ASCII"),
        (b"x" * 999 + b"\r\n", "998"),
        (b"ok\r\n" * 400 + b"x" * 999, "998"),
        (b"x" * 2000, "998"),
    ],
)
def test_what_a_server_would_alter_or_misread_never_leaves(content: bytes, text: str) -> None:
    with pytest.raises(InputError, match=text):
        send(MailSender(replace(FAST, port=closed_port())), content)


@pytest.mark.parametrize(
    "address", ["", "a", "a@", "@b", "a b@c", "a@b\r\nDATA", "<a@b>", "a@b>", 'a"@b', "a@b c", "æ@b", "a@b\n"]
)
def test_what_is_no_address_never_reaches_a_command(address: str) -> None:
    sender = MailSender(replace(FAST, port=closed_port()))
    with pytest.raises(InputError, match="sender"):
        sender.send(address, "b@example.org", MAIL)
    with pytest.raises(InputError, match="receiver"):
        sender.send("a@example.org", address, MAIL)


def test_an_envelope_id_cannot_carry_commands() -> None:
    with pytest.raises(InputError, match="envelope_id"):
        MailSender(FAST).send("a@example.org", "b@example.org", MAIL, envelope_id="x\r\nDATA")


def test_a_mail_above_our_own_limit_never_leaves() -> None:
    with pytest.raises(InputError) as caught:
        send(MailSender(replace(FAST, mail_limit_bytes=10)))
    assert caught.value.code == "MAIL.TOO_LARGE"


# --- settings


def test_p20_mail_in_the_clear_is_for_loopback_only() -> None:
    with pytest.raises(SettingsError, match=r"loopback only \[mail.smtp.security\]"):
        MailSender(SmtpSettings(host="mail.example.org", security="none"))


@pytest.mark.parametrize("file", ["none.pem", "empty.pem"])
def test_unusable_authorities_are_a_settings_error(tmp_path: Path, file: str) -> None:
    (tmp_path / "empty.pem").write_bytes(b"")
    with pytest.raises(SettingsError, match="ca_file"):
        MailSender(SmtpSettings(host="mail.example.org"), ca_file=tmp_path / file)


def test_a_greeting_name_cannot_carry_commands() -> None:
    with pytest.raises(SettingsError, match="helo_name"):
        MailSender(replace(FAST, helo_name="a\r\nRSET"))


def test_the_sender_is_made_from_the_settings(sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("fagsystem", "mellomvare", "msh", "fagsystem_version", "mellomvare_version", "msh_version")
    plain = {
        "environment": "test",
        "software": dict.fromkeys(names, "1"),
        "tenant": [{"name": "a", "organisation_number": "310045101", "her_ids": [8091301]}],
    }
    settings: Settings = read_settings(plain, tmp_path)
    with pytest.raises(SettingsError, match="no mail road"):
        open_sender(settings)
    monkeypatch.setenv("A_MAIL_PASSWORD", PASSWORD)
    (tmp_path / "ca.pem").write_bytes(sink.certificate.read_bytes())
    smtp = SmtpSettings(
        host="127.0.0.1", port=sink.port, user="u", password=Secret(env="A_MAIL_PASSWORD"), ca_file="ca.pem"
    )
    mail = MailSettings(address="a@example.org", smtp=smtp, pop3=Pop3Settings(host="127.0.0.1"))
    send(open_sender(replace(settings, mail=mail)))
    assert len(sink.taken) == 1
