"""adapter doctor on the mail road: greeting and login of the way out, the mailbox, and its room."""

from __future__ import annotations

from typing import Any

from adapter.cli.doctor_checks import examine
from tests.journeys.mailing import MailRig, Make
from tests.transport.mail_servers import MOST_MAILS, free_ports


def checks(rig: MailRig) -> dict[str, tuple[str | None, str]]:
    """Status and text of the rows about mail."""
    rows = list(examine(rig.settings))
    return {str(row["check"]): (row["status"], str(row["text"])) for row in rows if "mail" in str(row["check"])}


def test_a_mail_road_that_works_is_well(make_mail: Make) -> None:
    rig = make_mail()
    rig.deliver(rig.note())
    found = checks(rig)
    assert {status for status, _ in found.values()} == {"ok"}
    assert set(found) == {"mail out", "mailbox"}
    assert found["mailbox"][1].startswith("can be listed, mails wait, ")
    assert rig.sink.taken == []


def test_a_pop3_mailbox_says_nothing_of_its_room(make_mail: Make) -> None:
    assert checks(make_mail("pop3"))["mailbox"] == ("ok", "can be listed")


def test_each_tenants_own_mail_is_looked_at(make_mail: Make) -> None:
    rig = make_mail(tenants=("solvang", "fjellglott"), own=("fjellglott",))
    assert sorted(checks(rig)) == ["mail out", "mail out fjellglott", "mailbox", "mailbox fjellglott"]


def test_a_dead_mail_server_and_a_full_mailbox_are_errors(make_mail: Make) -> None:
    rig = make_mail(smtp={"port": free_ports(1)[0]})
    rig.deliver(b"x")
    rig.poll()
    cur: Any = rig.dovecot.mail / rig.user / "cur"
    for number in range(MOST_MAILS):
        rig.dovecot.put(cur / f"1.M{number}.loopback,S=1:2,a", b"x")
    found = checks(rig)
    assert (found["mail out"][0], found["mailbox"][0]) == ("error", "error")
    assert found["mail out"][1].startswith("TRANSPORT")
    assert "100% full" in found["mailbox"][1]
