"""By mail, too, a stranger cannot fill our disk: what there is no room for stays in the mailbox (P28)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapter.simulator.world import KLINIKK_SERVICE
from adapter.store.envelopes import BESIDE_BYTES, held_unverified
from tests.journeys.clinic import CLINIC
from tests.journeys.mailing import MailRig, Make
from tests.journeys.rig import letter
from tests.journeys.test_ebxml_mailbox import KINDS
from tests.journeys.test_ebxml_roll import register

FILLER = b"hello\r\n" * 300
WEIGHT = BESIDE_BYTES + 2_400


def junk(number: int = 0, *, bounce: bool = False) -> bytes:
    """A mail that is no ebXML message; ``bounce``: it says that a mail of ours came back."""
    kind = "multipart/report; report-type=delivery-status; boundary=b" if bounce else "text/plain"
    head = f"From: x@example.org\r\nTo: y@example.org\r\nSubject: {number}\r\nContent-Type: {kind}\r\n\r\n"
    status = (
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nAction: failed\r\n--b--\r\n"
    )
    return head.encode() + (status.encode() if bounce else b"") + FILLER


def narrow(rig: MailRig, **store: Any) -> MailRig:
    """The same, with room for two pieces of junk."""
    bounds = {"unverified_max_bytes": 2 * WEIGHT, **store}
    rig.settings = replace(rig.settings, store=replace(rig.settings.store, **bounds))
    rig.adapter.close()
    rig.adapter = rig.open()
    return rig


def held(rig: MailRig) -> int:
    with rig.adapter.parts.store.reading() as db:
        return held_unverified(db)


def fetches(rig: MailRig, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the mails that are fetched from now on."""
    mailbox, fetched = rig.adapter.parts.mails[0].mailbox, []
    fetch = mailbox.fetch

    def counted(item: Any) -> bytes:
        fetched.append(item.identity.remote_id)
        return fetch(item)

    monkeypatch.setattr(mailbox, "fetch", counted)
    return fetched


@KINDS
def test_p28_what_there_is_no_room_for_stays_in_the_mailbox_and_partners_mail_is_taken(
    make_mail: Make, kind: str
) -> None:
    rig = narrow(make_mail(kind))
    for number in range(4):
        rig.deliver(junk(number))
    rig.deliver(junk(bounce=True))
    rig.deliver(rig.note())
    rig.rounds(2)
    assert (rig.steps(), rig.told()) == (["accepted"], ["Acknowledgment"])
    assert rig.kept() == 3  # two pieces of junk, and the note
    assert rig.held() == 6
    assert rig.alarms.count(("unverified", False)) == 1
    assert "unread mail" not in rig.open_alarms()  # not one for each of them
    rig.advance(hours=80)
    rig.rounds(2)
    assert rig.held() == 3  # what was never stored is never deleted


def test_p28_when_there_is_room_again_the_mails_that_waited_are_taken(make_mail: Make) -> None:
    rig = narrow(make_mail(), keep_unverified_days=1)
    for number in range(3):
        rig.deliver(junk(number))
    rig.rounds(1)
    assert rig.kept() == 2
    rig.advance(hours=25)
    rig.rounds(2)
    rig.advance(hours=2)
    rig.rounds(1)
    assert rig.kept() == 3
    assert rig.alarms[-1] == ("unverified", True)


def test_p28_a_mail_without_room_is_not_fetched_again_before_an_hour(
    make_mail: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = narrow(make_mail(), unverified_max_bytes=0)
    fetched = fetches(rig, monkeypatch)
    rig.deliver(junk())
    rig.rounds(3)
    assert len(fetched) == 1
    rig.advance(hours=1)
    rig.rounds(1)
    assert (len(fetched), rig.kept(), rig.held()) == (2, 0, 1)


def test_p27_p28_a_partner_whose_certificate_has_just_rolled_waits_in_the_mailbox_and_is_taken(make_mail: Make) -> None:
    rig = narrow(make_mail(), unverified_max_bytes=0)
    rolled = rig.clinic.stranger
    rig.deliver(rig.clinic.mail(*rig.clinic.note(letter(rig, sender=CLINIC), signer=rolled)))
    rig.rounds(1)
    assert (rig.steps(), rig.told(), rig.kept()) == ([], [], 0)  # no SecurityFailure goes back
    register(rig, signing=rolled)
    rig.advance(hours=1)
    rig.rounds(1)
    assert (rig.steps(), rig.told()) == (["accepted"], ["Acknowledgment"])


def test_p23_p28_another_tenants_message_counts_until_a_person_has_settled_it(make_mail: Make) -> None:
    rig = make_mail(tenants=("solvang", "fjellglott"), own=("fjellglott",))
    narrow(rig, unverified_max_bytes=100_000, keep_unverified_days=1)
    rig.deliver(rig.note(KLINIKK_SERVICE))
    rig.poll()
    assert (rig.attention(), held(rig) > BESIDE_BYTES) == (["spoof suspected"], True)
    rig.advance(days=3)
    rig.rounds(1)
    assert held(rig) > BESIDE_BYTES
    [row] = rig.adapter.list(attention=True)
    rig.adapter.settle(row["message_id"], by="Kari", note="sent to the other mailbox by mistake")
    rig.rounds(1)
    assert held(rig) == 0
