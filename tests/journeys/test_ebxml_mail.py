"""The ebXML road by mail, through a real SMTP server and Dovecot: receipts come as mails of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapter.ebxml.opening import open_message
from tests.journeys.clinic import CLINIC, edi_address
from tests.journeys.mailing import MailRig, Make
from tests.journeys.rig import letter, referral


@pytest.fixture(params=["imap", "pop3"])
def rig(request: pytest.FixtureRequest, make_mail: Make) -> MailRig:
    return make_mail(request.param)


def test_a_referral_by_mail_is_confirmed_by_the_acknowledgment_that_comes_by_mail(rig: MailRig) -> None:
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    assert rig.state(sent) == [("unknown", "awaited")]
    assert rig.sink.taken[0].receiver == edi_address(CLINIC)
    rig.rounds(2)
    assert rig.state(sent) == [("confirmed", "awaited")]
    assert len(rig.sink.taken) == 1  # a signal is never acknowledged


def test_without_an_acknowledgment_the_same_envelope_goes_again_after_twelve_hours(rig: MailRig) -> None:
    rig.clinic.script = ["silent"]
    sent = rig.send(referral(CLINIC))
    rig.rounds(4)
    assert len(rig.clinic.got) == 1
    rig.advance(hours=12)
    rig.rounds(2)
    assert rig.state(sent) == [("confirmed", "awaited")]
    first, second = rig.clinic.got
    assert first.octets == second.octets
    heads = [open_message(mail.content).package for mail in rig.sink.taken]
    assert len({one.head.get("Message-ID") for one in heads if one is not None}) == 2


def test_p19_a_forged_acknowledgment_by_mail_changes_nothing(rig: MailRig) -> None:
    rig.clinic.script = ["forged"]
    sent = rig.send(referral(CLINIC))
    rig.rounds(3)
    assert rig.state(sent) == [("unknown", "awaited")]
    assert "unproved signal" in rig.kinds(sent)


def test_a_mail_is_acknowledged_by_mail_and_answered_on_the_same_road(rig: MailRig) -> None:
    document = letter(rig, sender=CLINIC)
    envelope, attached = rig.clinic.note(document)
    rig.sink.on_mail = None
    rig.deliver(rig.clinic.mail(envelope, attached))
    rig.rounds(1)
    assert rig.told() == ["Acknowledgment"]
    assert rig.sink.taken[0].receiver == edi_address(CLINIC)
    [taken] = rig.adapter.take("ehr")
    assert taken.document == document
    rig.sink.on_mail = rig.serve
    rig.adapter.confirm(taken.token)
    rig.rounds(2)
    assert rig.clinic.got[0].words.action == "APPREC"
    assert rig.steps() == ["receipted"]


def test_p03_a_repeated_mail_gets_the_same_signal_and_is_taken_once(rig: MailRig) -> None:
    envelope, attached = rig.clinic.note(letter(rig, sender=CLINIC))
    rig.sink.on_mail = None
    for _ in range(2):
        rig.deliver(rig.clinic.mail(envelope, attached))
        rig.rounds(2)
    first, second = (open_message(mail.content).octets for mail in rig.sink.taken)
    assert first == second
    assert rig.steps() == ["accepted"]


def test_while_our_mail_server_is_away_a_mail_stays_and_is_answered_later(rig: MailRig) -> None:
    rig.sink.on_mail = None
    rig.sink.refuse[edi_address(CLINIC)] = "451 4.3.0 later"
    rig.deliver(rig.clinic.mail(*rig.clinic.note(letter(rig, sender=CLINIC))))
    rig.rounds(1)
    assert rig.told() == []
    assert rig.steps() == ["accepted"]  # the message itself is safe
    rig.sink.refuse.clear()
    rig.rounds(2)
    assert rig.told() == ["Acknowledgment"]
    assert rig.steps() == ["accepted"]


def test_p19_a_bad_mail_gets_no_fault_and_does_not_stop_the_next(rig: MailRig) -> None:
    rig.sink.on_mail = None
    rig.deliver(b"From: x@example.org\r\nTo: y@example.org\r\nContent-Type: text/plain\r\n\r\nhello\r\n")
    rig.deliver(rig.clinic.mail(*rig.clinic.note(letter(rig, sender=CLINIC))))
    rig.rounds(2)
    assert rig.told() == ["Acknowledgment"]
    assert rig.steps() == ["accepted"]


def test_a_fault_in_a_mail_is_told_once_by_a_message_error(rig: MailRig) -> None:
    rig.sink.on_mail = None
    note = rig.clinic.note(letter(rig, sender=CLINIC), certificate=rig.clinic.opening.certificate)
    rig.deliver(rig.clinic.mail(*note))
    rig.sink.refuse[edi_address(CLINIC)] = "451 4.3.0 later"
    rig.rounds(3)
    rig.sink.refuse.clear()
    rig.rounds(3)
    assert rig.told() == ["MessageError"]
    assert rig.steps() == []
    assert rig.kept() == 1


def test_a_mail_that_waits_for_our_own_key_is_kept_once(rig: MailRig) -> None:
    rig.sink.on_mail = None
    tenant = rig.settings.tenant[0]
    rig.change(replace(tenant, decrypt_with=()))
    rig.deliver(rig.clinic.mail(*rig.clinic.note(letter(rig, sender=CLINIC))))
    rig.rounds(3)
    assert (rig.told(), rig.steps(), rig.kept()) == ([], [], 1)
    rig.change(tenant)
    rig.rounds(1)
    assert (rig.told(), rig.steps(), rig.kept()) == (["Acknowledgment"], ["accepted"], 1)


def test_p12_a_tenant_that_only_listens_takes_and_answers_nothing(rig: MailRig) -> None:
    rig.sink.on_mail = None
    rig.change(replace(rig.settings.tenant[0], listen_only=True))
    rig.deliver(rig.clinic.mail(*rig.clinic.note(letter(rig, sender=CLINIC))))
    rig.rounds(3)
    assert (rig.told(), rig.steps(), rig.kept()) == ([], [], 0)
