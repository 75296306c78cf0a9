"""Ping and status requests by mail: the answer comes through the mailbox, and the command waits for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapter.cli.app import run
from adapter.ebxml.opening import open_message
from tests.journeys.clinic import CLINIC, edi_address
from tests.journeys.mailing import MailRig, Make
from tests.journeys.rig import letter


@pytest.fixture(params=["imap", "pop3"])
def rig(request: pytest.FixtureRequest, make_mail: Make) -> MailRig:
    return make_mail(request.param)


def test_a_ping_by_mail_is_answered_by_mail_to_the_registered_address(rig: MailRig) -> None:
    rig.sink.on_mail = None
    words = rig.clinic.question()
    rig.deliver(rig.clinic.mail(rig.clinic.sign(words, rig.clinic.signing)))
    rig.rounds(2)
    assert rig.told() == ["Pong"]
    assert rig.sink.taken[0].receiver == edi_address(CLINIC)
    assert open_message(rig.sink.taken[0].content).envelope.ref_to_message_id == words.message_id
    assert rig.adapter.list() == []


def test_an_unsigned_ping_by_mail_gets_nothing(rig: MailRig) -> None:
    rig.sink.on_mail = None
    rig.deliver(rig.clinic.mail(rig.clinic.sign(rig.clinic.question(), None)))
    rig.rounds(3)
    assert rig.told() == []
    assert list(rig.adapter.alarms()) == []


def test_the_pong_comes_through_the_mailbox_among_other_mail(rig: MailRig) -> None:
    rig.deliver(rig.clinic.mail(*rig.clinic.note(letter(rig, sender=CLINIC))))
    found = rig.adapter.ping(CLINIC, wait_s=60, pause=lambda s: rig.advance(seconds=s))
    assert (found.result, found.signed, found.road) == ("answered", True, "ebxml-mail")
    assert found.seconds is not None
    assert found.seconds < 10
    assert len(rig.adapter.list()) == 1  # the other mail was taken in as ever


@pytest.mark.parametrize("what", ["silent", "forged", "unsigned", "another question"])
def test_p19_by_mail_only_the_partners_own_signed_pong_is_an_answer(rig: MailRig, what: str) -> None:
    rig.clinic.script = [what]
    found = rig.adapter.ping(CLINIC, wait_s=10, pause=lambda s: rig.advance(seconds=s))
    assert found.result == "no answer"


def test_a_mail_server_that_is_away_is_no_answer_with_its_code(rig: MailRig) -> None:
    rig.sink.refuse[edi_address(CLINIC)] = "451 4.3.0 later"
    found = rig.adapter.ping(CLINIC, wait_s=10, pause=lambda s: rig.advance(seconds=s))
    assert found.result == "no answer"
    assert found.code is not None


@pytest.fixture
def command(make_mail: Make, monkeypatch: pytest.MonkeyPatch) -> tuple[MailRig, Any]:
    """``adapter ping`` on the rig's own adapter, with its virtual clock."""
    rig = make_mail("imap")
    monkeypatch.setattr("adapter.assembly.open_adapter", lambda settings: rig.adapter)
    monkeypatch.setattr("adapter.cli.app.Shared.settings", lambda shared: rig.settings)
    monkeypatch.setattr(type(rig.adapter), "close", lambda self: None)

    class Stopping:
        def is_set(self) -> bool:
            return False

        def wait(self, seconds: float) -> bool:
            rig.advance(seconds=seconds)
            return False

    object.__setattr__(rig.adapter.parts, "stopping", Stopping())
    return rig, lambda *words: run(["ping", *map(str, words)])


def test_the_command_says_what_came_of_it_and_ends_with_its_code(
    command: tuple[MailRig, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    rig, ping = command
    rig.clinic.script = ["answer", "silent", "error"]
    assert ping(CLINIC, "--wait", 30, "--json") == 0
    line = json.loads(capsys.readouterr().out)
    assert {"result", "partner", "road", "seconds", "status", "errors", "signed", "code", "message_id", "about"} == set(
        line
    )
    assert (line["result"], line["partner"], line["road"]) == ("answered", CLINIC, "ebxml-mail")
    assert ping(CLINIC, "--wait", 4) == 3
    assert capsys.readouterr().out == f"no answer  {CLINIC} over ebxml-mail\n"
    assert ping(CLINIC, "--wait", 30) == 1
    assert "NotSupported" in capsys.readouterr().out
    assert ping(4711) == 2
    assert ping("nobody") == 2
    assert ping(CLINIC, "--about", "00000000-0000-4000-8000-000000000000") == 2
