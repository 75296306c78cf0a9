"""What we send by mail, and what comes back for it: signals that wait, Faults, bounces, a look before a resend."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from adapter.ebxml.opening import open_message
from adapter.errors import SettingsError
from adapter.flow import ebxml_look
from adapter.flow.ebxml_post import send_mail, send_owed
from adapter.store import fence
from tests.journeys.clinic import CLINIC, edi_address
from tests.journeys.mailing import MailRig, Make
from tests.journeys.rig import emergency, referral
from tests.transport.mail_servers import Scripted, Wire, free_ports

DAEMON = "From: MAILER-DAEMON@edi.simulator.invalid\r\nTo: us@edi.simulator.invalid\r\n"
REPORT = 'Content-Type: multipart/report; report-type=delivery-status; boundary="q"\r\n\r\n'


def head_of(mail: bytes, name: str) -> str:
    package = open_message(mail).package
    assert package is not None
    return package.head.get(name) or ""


def report(mail: bytes, *, status: str = "", returned: bytes | None = None, action: str = "failed") -> bytes:
    """A delivery report about ``mail``; what it returns of it is up to the caller."""
    blocks = [
        b"Content-Type: text/plain\r\n\r\nIt could not be delivered.",
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n"
        + status.encode()
        + b"\r\nFinal-Recipient: rfc822; a@b.no\r\nAction: "
        + action.encode()
        + b"\r\nStatus: 5.2.2",
    ]
    if returned is not None:
        blocks.append(returned)
    body = b"".join(b"--q\r\n" + block + b"\r\n" for block in blocks)
    return (DAEMON + REPORT).encode() + body + b"--q--\r\n"


def by_envelope_id(mail: bytes) -> bytes:
    words = open_message(mail).envelope
    return report(mail, status=f"Original-Envelope-Id: {words.message_id}\r\n")


def by_message_id(mail: bytes) -> bytes:
    head = mail.partition(b"\r\n\r\n")[0]
    return report(mail, returned=b"Content-Type: text/rfc822-headers\r\n\r\n" + head)


def by_whole_mail_of_another_id(mail: bytes) -> bytes:
    other = re.sub(rb"Message-ID: <[^>]*>", b"Message-ID: <1@relay>", mail)
    return report(mail, returned=b"Content-Type: message/rfc822\r\n\r\n" + other)


def in_nested_words(mail: bytes) -> bytes:
    inner = b'Content-Type: multipart/alternative; boundary="r"\r\n\r\n--r\r\n\r\nx\r\n--r--'
    return by_message_id(mail).replace(b"Content-Type: text/plain\r\n\r\nIt could not be delivered.", inner)


def in_plain_words(mail: bytes) -> bytes:
    head = mail.partition(b"\r\n\r\n")[0]
    return (
        (DAEMON + "Return-Path: <>\r\n\r\nHi. I'm afraid I wasn't able to deliver.\r\n\r\n").encode() + head + b"\r\n"
    )


def in_encoded_words(mail: bytes) -> bytes:
    import base64

    text = base64.encodebytes(in_plain_words(mail).partition(b"\r\n\r\n")[2]).replace(b"\n", b"\r\n")
    return (DAEMON + "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n").encode() + text


BOUNCES = [
    by_envelope_id,
    by_message_id,
    by_whole_mail_of_another_id,
    in_nested_words,
    in_plain_words,
    in_encoded_words,
]


@pytest.mark.parametrize("bounce", BOUNCES, ids=lambda bounce: str(bounce.__name__))
def test_p19_a_bounce_flags_our_row_and_changes_no_leg(make_mail: Make, bounce: Any) -> None:
    rig = make_mail()
    rig.clinic.script = ["silent"]
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    rig.deliver(bounce(rig.sink.taken[0].content))
    rig.poll()
    assert (rig.state(sent), rig.attention()) == ([("unknown", "awaited")], ["bounced"])
    assert "mail bounced" in rig.kinds(sent)
    assert rig.open_alarms() == []
    assert rig.told() == ["payload"]  # nobody answers a bounce


def test_p19_the_receipt_that_comes_after_a_bounce_ends_the_attention(make_mail: Make) -> None:
    rig = make_mail()
    rig.clinic.script = ["silent"]
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    rig.deliver(by_envelope_id(rig.sink.taken[0].content))
    rig.poll()
    [got] = rig.clinic.got
    rig.deliver(rig.clinic.mail(rig.clinic.receipt(got.words, got.opened)))
    rig.poll()
    assert (rig.state(sent), rig.attention()) == ([("confirmed", "awaited")], [])
    rig.deliver(by_message_id(rig.sink.taken[0].content))  # and a late one asks for nobody
    rig.poll()
    assert (rig.state(sent), rig.attention()) == ([("confirmed", "awaited")], [])


def test_a_notice_of_a_delay_is_an_event_and_asks_for_nobody(make_mail: Make) -> None:
    rig = make_mail()
    rig.clinic.script = ["silent"]
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    name = open_message(rig.sink.taken[0].content).envelope.message_id
    rig.deliver(report(b"", status=f"Original-Envelope-Id: {name}\r\n", action="delayed"))
    rig.poll()
    assert (rig.attention(), rig.open_alarms()) == ([], [])
    assert "mail report" in rig.kinds(sent)


def test_a_bounce_that_names_nothing_of_ours_is_an_incident_until_its_grace_is_over(make_mail: Make) -> None:
    rig = make_mail()
    rig.deliver(report(b"", status="Original-Envelope-Id: 17\r\n"))
    rig.deliver((DAEMON + "\r\nMessage-ID: <17@else.where>\r\n").encode())
    rig.poll()
    assert (rig.open_alarms(), rig.kept()) == (["mail"], 2)
    rig.advance(hours=73)
    rig.poll()
    assert (rig.open_alarms(), rig.held()) == ([], 0)


def test_a_signal_of_ours_that_bounces_is_an_event_of_what_it_answered_and_an_incident(make_mail: Make) -> None:
    rig = make_mail()
    rig.deliver(rig.note())
    rig.rounds(1)
    rig.deliver(by_message_id(rig.sink.taken[0].content))
    rig.poll()
    [row] = [row for row in rig.adapter.list() if row["direction"] == "in"]
    assert "signal: mail bounced" in rig.kinds(row["message_id"])
    assert rig.open_alarms() == ["mail"]


SOAP_FAULT = (
    '<SOAP:Envelope xmlns:SOAP="http://schemas.xmlsoap.org/soap/envelope/"><SOAP:Body><SOAP:Fault>'
    "<faultcode>SOAP:Client</faultcode><faultstring>no</faultstring></SOAP:Fault></SOAP:Body></SOAP:Envelope>"
)


def test_p19_a_fault_by_mail_flags_the_row_that_it_answers_and_gets_no_answer(make_mail: Make) -> None:
    rig = make_mail()
    rig.clinic.script = ["silent"]
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    named = head_of(rig.sink.taken[0].content, "Message-ID")
    head = f"From: a@b.no\r\nIn-Reply-To: {named}\r\nContent-Type: text/xml\r\n\r\n"
    rig.deliver((head + SOAP_FAULT).encode())
    rig.rounds(1)
    assert (rig.state(sent), rig.attention()) == ([("unknown", "awaited")], ["fault"])
    assert len(rig.sink.taken) == 1


# --- Faults of ours ---------------------------------------------------------------------------------------------------


def faulty(rig: MailRig, *more: str) -> bytes:
    """A mail that names the clinic as its sender and cannot be read as ebXML: only a Fault could answer it."""
    envelope, _ = rig.clinic.envelope(b"<a/>", rig.process())
    broken = re.sub(rb"<eb:MessageId>[^<]*</eb:MessageId>", b"", envelope)
    assert broken != envelope
    mail = rig.clinic.mail(broken)
    return "".join(f"{line}\r\n" for line in more).encode() + mail


def test_p19_a_fault_goes_to_the_registers_address_once_an_hour(make_mail: Make) -> None:
    rig = make_mail()
    for _ in range(3):
        rig.deliver(faulty(rig, "Reply-To: thief@example.org"))
    rig.rounds(1)
    [fault] = rig.sink.taken
    assert fault.receiver == edi_address(CLINIC)
    assert b"Fault" in (open_message(fault.content).octets or b"")
    assert head_of(fault.content, "Auto-Submitted") == "auto-replied"
    assert head_of(fault.content, "In-Reply-To").startswith("<")
    rig.advance(hours=1)
    rig.deliver(faulty(rig))
    rig.rounds(1)
    assert len(rig.sink.taken) == 2


@pytest.mark.parametrize("line", ["Auto-Submitted: auto-replied", "Precedence: bulk", "Return-Path: <>"])
def test_p19_no_fault_goes_to_automatic_mail(make_mail: Make, line: str) -> None:
    rig = make_mail()
    rig.deliver(faulty(rig, line))
    rig.rounds(1)
    assert (rig.sink.taken, rig.open_alarms()) == ([], ["junk"])


# --- signals that wait ------------------------------------------------------------------------------------------------


def answered(rig: MailRig) -> list[str | None]:
    """Which messages our signals name, in the order they came."""
    words = [open_message(mail.content).envelope for mail in rig.sink.taken]
    return [one.receipt.ref_to_message_id for one in words if one.receipt is not None]


def test_signals_that_waited_go_out_oldest_first(make_mail: Make) -> None:
    rig = make_mail()
    rig.sink.refuse[edi_address(CLINIC)] = "451 4.3.0 later"
    names = []
    for _ in range(3):
        mail = rig.note()
        names.append(open_message(mail).envelope.message_id)
        rig.deliver(mail)
        rig.rounds(1)
    assert (rig.steps(), rig.open_alarms()) == (["accepted"] * 3, ["signals"])
    rig.sink.refuse.clear()
    rig.advance(minutes=3)
    rig.rounds(1)
    assert (answered(rig), rig.open_alarms()) == (names, [])


def test_while_the_mail_server_is_gone_one_call_a_round_is_made_and_mails_are_taken_in(make_mail: Make) -> None:
    rig = make_mail(smtp={"port": free_ports(1)[0]})
    for _ in range(3):
        rig.deliver(rig.note())
    calls: list[int] = []
    sender: Any = rig.adapter.parts.mail_out
    send = sender.send
    sender.send = lambda *args, **named: (calls.append(1), send(*args, **named))
    rig.poll()
    assert (rig.steps(), len(calls), rig.open_alarms()) == (["received"] * 3, 1, ["signals"])
    rig.advance(seconds=61)
    rig.poll()
    assert len(calls) == 2


def test_a_signal_that_is_refused_for_good_is_an_incident_and_its_mail_is_taken(make_mail: Make) -> None:
    rig = make_mail()
    rig.sink.refuse[edi_address(CLINIC)] = "550 5.1.1 unknown"
    rig.deliver(rig.note())
    rig.rounds(2)
    assert (rig.steps(), rig.open_alarms()) == (["accepted"], ["mail"])
    [row] = rig.adapter.list()
    assert rig.kinds(row["message_id"]).count("signal refused") == 1
    rig.sink.refuse.clear()
    rig.deliver(rig.note())
    rig.rounds(1)
    assert rig.told() == ["Acknowledgment"]


def test_a_signal_that_nobody_takes_for_days_is_given_up(make_mail: Make) -> None:
    rig = make_mail()
    rig.sink.refuse[edi_address(CLINIC)] = "452 4.2.2 mailbox full"
    rig.deliver(rig.note())
    rig.poll()
    assert rig.open_alarms() == ["mailbox full", "signals"]
    rig.advance(hours=97)
    rig.poll()
    rig.sink.refuse.clear()
    rig.advance(hours=2)
    rig.poll()
    assert (rig.told(), rig.open_alarms()) == ([], ["mail", "mailbox full"])


def test_a_partners_full_mailbox_leaves_our_message_waiting_and_is_told(make_mail: Make) -> None:
    rig = make_mail()
    rig.sink.refuse[edi_address(CLINIC)] = "552 5.2.2 mailbox full"
    sent = rig.send(referral(CLINIC))
    rig.dispatch()
    assert (rig.state(sent), rig.open_alarms()) == ([("queued", "awaited")], ["mailbox full"])
    rig.sink.refuse.clear()
    rig.advance(hours=1)
    rig.dispatch()
    rig.poll()
    assert (rig.state(sent), rig.open_alarms()) == ([("confirmed", "awaited")], [])


# --- a look before a resend -------------------------------------------------------------------------------------------


def unanswered(rig: MailRig, plain: Any = None) -> str:
    """A message that was sent once, without a receipt, twelve hours ago."""
    rig.clinic.script = ["silent"] * 9
    sent = rig.send(plain or referral(CLINIC))
    rig.rounds(1)
    rig.advance(hours=12, minutes=1)
    return sent


def test_a_receipt_that_lies_unread_in_the_mailbox_stops_the_resend(make_mail: Make) -> None:
    rig = make_mail()
    sent = unanswered(rig)
    [got] = rig.clinic.got
    rig.deliver(rig.clinic.mail(rig.clinic.receipt(got.words, got.opened)))
    rig.dispatch()
    assert rig.state(sent) == [("confirmed", "awaited")]
    assert len(rig.sink.taken) == 1


def test_a_receipt_that_lies_unread_stops_the_giving_up_too(make_mail: Make) -> None:
    rig = make_mail()
    sent = unanswered(rig)
    for _ in range(5):
        rig.dispatch()
        rig.advance(hours=12, minutes=1)
    assert (len(rig.sink.taken), rig.state(sent)) == (6, [("unknown", "awaited")])
    got = rig.clinic.got[-1]
    rig.deliver(rig.clinic.mail(rig.clinic.receipt(got.words, got.opened)))
    rig.dispatch()
    assert (rig.state(sent), rig.attention()) == ([("confirmed", "awaited")], [])


def test_a_message_without_any_receipt_is_given_up_after_a_last_look(make_mail: Make) -> None:
    rig = make_mail()
    sent = unanswered(rig)
    for _ in range(6):
        rig.dispatch()
        rig.advance(hours=12, minutes=1)
    assert (rig.state(sent), rig.attention()) == ([("abandoned", "awaited")], ["abandoned"])


def test_a_resend_goes_out_after_a_look_that_found_nothing(make_mail: Make) -> None:
    rig = make_mail()
    sent = unanswered(rig)
    rig.dispatch()
    assert (len(rig.sink.taken), rig.state(sent)) == (2, [("unknown", "awaited")])


def closed(rig: MailRig) -> None:
    """Nobody answers for our mailbox."""
    box: Any = rig.adapter.parts.mailbox
    box.close()
    box._turns._terms = replace(box._turns._terms, port=free_ports(1)[0])


def test_while_the_mailbox_is_down_a_resend_waits_an_hour_with_an_alarm_and_then_goes(make_mail: Make) -> None:
    rig = make_mail()
    sent = unanswered(rig)
    closed(rig)
    for _ in range(6):
        rig.dispatch()
        rig.advance(minutes=9)
    assert (len(rig.sink.taken), rig.state(sent), rig.open_alarms()) == (1, [("unknown", "awaited")], ["look"])
    rig.advance(minutes=10)
    rig.dispatch()
    assert len(rig.sink.taken) == 2
    assert "sent without a look" in rig.kinds(sent)
    [row] = rig.adapter.show(sent)["deliveries"]
    assert row["resends"] == 1  # waiting uses none up


def test_an_emergencys_resend_does_not_wait_for_the_mailbox(make_mail: Make) -> None:
    rig = make_mail()
    unanswered(rig, {**referral(CLINIC), **emergency()})
    closed(rig)
    rig.dispatch()
    assert len(rig.sink.taken) == 2


def test_a_mailbox_that_another_worker_reads_delays_a_resend_and_does_not_hang_it(make_mail: Make) -> None:
    rig = make_mail()
    sent = unanswered(rig)
    name = f"mailbox:{rig.adapter.parts.mails[0].mailbox.name}"
    assert fence.take(rig.adapter.parts.store, name, "another", lasts_s=500) is not None
    rig.dispatch()
    assert (len(rig.sink.taken), rig.kinds(sent)[-1]) == (1, "resend waits")
    rig.advance(seconds=ebxml_look.LOOK_AGAIN_US / 1e6)
    rig.dispatch()
    rig.advance(seconds=ebxml_look.LOOK_AGAIN_US / 1e6)
    rig.dispatch()
    assert len(rig.sink.taken) == 2


def test_one_look_serves_all_resends_of_the_same_moment(make_mail: Make) -> None:
    rig = make_mail()
    rig.clinic.script = ["silent"] * 9
    for number in range(3):
        rig.send(referral(CLINIC, document_id=f"5d0c8b1e-3f52-4000-8000-00000000000{number}"))
    rig.rounds(1)
    rig.advance(hours=12, minutes=1)
    box: Any = rig.adapter.parts.mailbox
    looks: list[int] = []
    listed = box.list
    box.list = lambda *args, **named: (looks.append(1), listed(*args, **named))[1]
    rig.dispatch()
    assert (len(rig.sink.taken), len(looks)) == (6, 1)


def test_a_sender_that_got_our_mail_twice_is_told_apart_by_the_message_id(make_mail: Make) -> None:
    rig = make_mail()
    sent = unanswered(rig)
    rig.dispatch()
    first, second = (head_of(mail.content, "Message-ID") for mail in rig.sink.taken)
    assert first != second
    rig.deliver(by_message_id(rig.sink.taken[0].content))
    rig.poll()
    events = rig.adapter.show(sent)["events"]
    assert [f"<{one['detail']['mail_id']}>" for one in events if one["kind"] == "mailed"] == [first, second]
    assert rig.attention() == ["bounced"]


# --- what cannot be sent ----------------------------------------------------------------------------------------------


def test_p22_a_mail_needs_a_road_and_the_partners_registered_address_of_our_environment(make_mail: Make) -> None:
    rig = make_mail()
    parts = rig.adapter.parts
    entry = parts.entry(CLINIC)
    assert entry is not None
    for partner in (None, replace(entry, edi_address=None)):
        with pytest.raises(SettingsError) as caught:
            send_mail(parts, partner, b"<a/>", [], envelope_id=None, tenant="solvang")
        assert caught.value.code == "EBXML.ADDRESS"
    with pytest.raises(SettingsError) as caught:  # P22
        send_mail(parts, replace(entry, edi_address="a@EDI.nhn.no"), b"<a/>", [], envelope_id=None)
    assert caught.value.code == "SETTINGS.MIX"
    with pytest.raises(SettingsError) as caught:
        send_mail(parts, entry, b"<a/>", [], envelope_id=None, tenant="another")
    assert caught.value.code == "EBXML.ROAD"
    send_mail(parts, entry, b"<a/>", [], envelope_id=None)
    assert [mail.receiver for mail in rig.sink.taken] == [edi_address(CLINIC)]


def test_p28_a_signal_whose_bytes_are_gone_is_owed_no_more(make_mail: Make) -> None:
    rig = make_mail()
    rig.sink.refuse[edi_address(CLINIC)] = "451 4.3.0 later"
    rig.deliver(rig.note())
    rig.poll()
    rig.sink.refuse.clear()
    with rig.adapter.parts.store.transaction() as db:
        db.exec_driver_sql("UPDATE payload SET content = NULL WHERE role = 'signal'")
    rig.advance(minutes=5)
    rig.poll()
    [row] = rig.adapter.list()
    assert "signal gone" in rig.kinds(row["message_id"])
    assert (rig.told(), rig.open_alarms()) == ([], [])


def test_a_stop_keeps_the_signals_that_have_not_left(make_mail: Make) -> None:
    rig = make_mail()
    rig.sink.refuse[edi_address(CLINIC)] = "451 4.3.0 later"
    rig.deliver(rig.note())
    rig.poll()
    rig.sink.refuse.clear()
    rig.advance(minutes=5)
    parts = rig.adapter.parts
    parts.stopping.set()
    assert not send_owed(parts, parts.mails[0])
    parts.stopping.clear()
    assert send_owed(parts, parts.mails[0])
    assert rig.told() == ["Acknowledgment"]


def test_a_signal_after_whose_final_dot_nothing_came_is_sent_again(make_mail: Make) -> None:
    def play(wire: Wire) -> None:
        wire.say("220 hello")
        wire.dialogue("250-me\r\n250 AUTH PLAIN", "235 OK", "250 OK", "250 OK", "354 go on")
        wire.hear_until_dot()

    with Scripted(play) as deaf:
        rig = make_mail(smtp={"port": deaf.port, "security": "none"})
        rig.deliver(rig.note())
        rig.poll()
        assert (rig.steps(), rig.open_alarms()) == (["received"], ["signals"])
        rig.advance(minutes=2)
        rig.poll()
        assert len(deaf.wires) == 2


@pytest.mark.parametrize("name", ["message.17.x@edi.simulator.invalid", "signal.17.x@edi.simulator.invalid", "<>"])
def test_p19_a_bounce_that_imitates_our_names_flags_nothing(make_mail: Make, name: str) -> None:
    rig = make_mail()
    rig.clinic.script = ["silent"]
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    [row] = rig.adapter.show(sent)["deliveries"]
    imitated = name.replace("17", row["id"])
    rig.deliver(report(b"", returned=f"Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{imitated}>".encode()))
    rig.poll()
    assert (rig.attention(), rig.open_alarms()) == ([], ["mail"])
