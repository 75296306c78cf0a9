"""The ebXML road by mail, through a real SMTP server and Dovecot: receipts come as mails of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from adapter.config import TenantSettings
from adapter.ebxml.opening import open_message
from tests.journeys.clinic import CLINIC, EbxmlRig, edi_address
from tests.journeys.rig import letter, referral
from tests.transport.mail_servers import PASSWORD, Dovecot, Sink, Taken, dovecot_is_missing

USERS = count()


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    missing = dovecot_is_missing()
    if missing is not None:
        pytest.skip(missing)
    with Dovecot() as running:
        yield running


@pytest.fixture
def sink(dovecot: Dovecot) -> Iterator[Sink]:
    pytest.importorskip("aiosmtpd", reason="aiosmtpd is not installed (requirements-dev.txt)")
    with Sink(dovecot.certificate) as running:
        yield running


class MailRig(EbxmlRig):
    """The clinic reads what the SMTP server took; its own mails are put into our mailbox."""

    road = "ebxml-mail"
    dovecot: Dovecot
    sink: Sink
    kind = "imap"

    def _settings(self, tenants: Any, more: Any) -> Any:
        self.user = f"solvang{next(USERS)}"
        account = {"host": "127.0.0.1", "user": self.user, "ca_file": str(self.dovecot.certificate)}
        account["password"] = {"file": str(self._password())}  # type: ignore[assignment]
        port = self.dovecot.imaps if self.kind == "imap" else self.dovecot.pop3s
        mail = {
            "address": edi_address(8091301),
            "smtp": {**account, "port": self.sink.port},
            self.kind: {**account, "port": port},
        }
        return super()._settings(tenants, {**more, "mail": mail})

    def _password(self) -> Path:
        file = self.folder / "password"
        file.touch(mode=0o600)
        file.write_text(PASSWORD)
        return file

    def serve(self, mail: Taken) -> None:
        back = self.clinic.take_mail(mail.content)
        if back is not None:
            self.deliver(back)

    def deliver(self, mail: bytes) -> None:
        self.dovecot.deliver(self.user, mail)

    def change(self, tenant: TenantSettings) -> None:
        """Another process with other settings on the same store."""
        self.settings = replace(self.settings, tenant=(tenant,))
        self.adapter.close()
        self.adapter = self.open()

    def kept(self) -> int:
        """How often raw bytes were kept."""
        with self.adapter.parts.store.reading() as db:
            return len(db.exec_driver_sql("SELECT 1 FROM payload WHERE role = 'envelope'").all())

    def told(self) -> list[str | None]:
        """The kinds of what we sent by mail."""
        return [open_message(mail.content).envelope.kind for mail in self.sink.taken]


@pytest.fixture(params=["imap", "pop3"])
def rig(request: pytest.FixtureRequest, tmp_path: Path, dovecot: Dovecot, sink: Sink) -> Iterator[MailRig]:
    named = {"dovecot": dovecot, "sink": sink, "kind": request.param}
    made = type("RigHere", (MailRig,), named)(tmp_path)
    sink.on_mail = made.serve
    yield made
    sink.on_mail = None
    made.close()


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
