"""Several tenants by mail (P23): each with its own address and mailbox, or sharing one, and never in one another's."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.errors import TransportError
from adapter.simulator.world import KLINIKK_SERVICE, SOLVANG_GP
from tests.journeys.clinic import CLINIC, edi_address
from tests.journeys.mailing import MailRig, Make
from tests.journeys.rig import referral
from tests.journeys.test_ebxml_mail_back import by_envelope_id

BOTH = ("solvang", "fjellglott")


def inbound(rig: MailRig) -> list[tuple[str, str, str | None]]:
    """(tenant, step, attention) of all that was received."""
    rows = [row for row in rig.adapter.list() if row["direction"] == "in"]
    return sorted((row["tenant"], row["step"], row["attention"]) for row in rows)


def test_p23_each_tenant_is_reached_in_its_own_mailbox_and_answers_from_its_own_address(make_mail: Make) -> None:
    rig = make_mail(tenants=BOTH, own=("fjellglott",))
    rig.deliver(rig.note())
    rig.dovecot.deliver(rig.users["fjellglott"], rig.note(KLINIKK_SERVICE))
    rig.rounds(2)
    senders = {mail.sender for mail in rig.sink.taken}
    assert senders == {edi_address(SOLVANG_GP), edi_address(KLINIKK_SERVICE)}
    assert inbound(rig) == [("fjellglott", "accepted", None), ("solvang", "accepted", None)]


def test_tenants_without_mail_of_their_own_share_the_common_one(make_mail: Make) -> None:
    rig = make_mail(tenants=BOTH)
    assert [sorted(road.tenants) for road in rig.adapter.parts.mails] == [["fjellglott", "solvang"]]
    rig.deliver(rig.note())
    rig.deliver(rig.note(KLINIKK_SERVICE))
    rig.rounds(2)
    assert inbound(rig) == [("fjellglott", "accepted", None), ("solvang", "accepted", None)]


def test_p18_p23_a_message_to_another_tenant_is_quarantined_where_it_came_and_not_answered(make_mail: Make) -> None:
    rig = make_mail(tenants=BOTH, own=("fjellglott",))
    rig.deliver(rig.note(KLINIKK_SERVICE))
    rig.rounds(2)
    assert inbound(rig) == [("solvang", "quarantined", "spoof suspected")]
    assert (rig.sink.taken, rig.open_alarms()) == ([], ["attention"])
    [row] = rig.adapter.list(attention=True)
    rig.adapter.settle(row["message_id"], by="Kari", note="told the partner")
    rig.advance(hours=73)
    rig.rounds(2)
    assert (rig.attention(), rig.held(), rig.open_alarms()) == ([], 0, [])


def test_p23_a_bounce_in_another_tenants_mailbox_says_nothing_of_our_row(make_mail: Make) -> None:
    rig = make_mail(tenants=BOTH, own=("fjellglott",))
    rig.clinic.script = ["silent"]
    rig.send(referral(CLINIC))
    rig.rounds(1)
    rig.dovecot.deliver(rig.users["fjellglott"], by_envelope_id(rig.sink.taken[0].content))
    rig.rounds(1)
    assert (rig.attention(), rig.open_alarms()) == ([], ["mail"])


def test_one_tenants_broken_mailbox_does_not_hold_the_others(make_mail: Make) -> None:
    rig = make_mail(tenants=BOTH, own=("fjellglott",))
    first: Any = rig.adapter.parts.mails[0].mailbox

    def broken(*_: Any, **__: Any) -> Any:
        raise TransportError("no answer: the connection broke")

    first.list = broken
    rig.dovecot.deliver(rig.users["fjellglott"], rig.note(KLINIKK_SERVICE))
    rig.rounds(2)
    assert inbound(rig) == [("fjellglott", "accepted", None)]
    assert [one["name"] for one in rig.adapter.alarms() if one["name"].startswith("job")] == ["job:mailbox"]
    rig.dovecot.deliver(rig.users["fjellglott"], rig.note(KLINIKK_SERVICE))
    with pytest.raises(TransportError, match="connection broke"):
        rig.poll()
    assert len(rig.told()) == 2
