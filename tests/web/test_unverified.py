"""A stranger cannot fill the disk: what nobody has vouched for is held up to a bound, and partners go on (P28)."""

from __future__ import annotations

import pytest

from adapter.cli.doctor_checks import examine
from adapter.store.envelopes import BESIDE_BYTES, held_unverified
from tests.journeys.clinic import CLINIC
from tests.journeys.rig import letter, referral
from tests.journeys.test_ebxml_roll import register
from tests.web.caller import Said
from tests.web.conftest import OpenSite, Site, packed

JUNK = b"<a/>" * 500, [("Content-Type", "text/xml")]
WEIGHT = BESIDE_BYTES + 2_100  # of the junk, with the kept part of its head
STORE = {"url": "sqlite:///store.db", "low_water_bytes": 0}


@pytest.fixture
def site(open_site: OpenSite) -> Site:
    """There is room for three pieces of junk."""
    return open_site({"store": {**STORE, "unverified_max_bytes": 3 * WEIGHT}})


def held(site: Site) -> int:
    with site.rig.adapter.parts.store.reading() as db:
        return held_unverified(db)


def kept(site: Site) -> dict[str, int]:
    """How many rows each table holds that an arrival may write to."""
    with site.rig.adapter.parts.store.reading() as db:
        names = ("message", "payload", "event", "remote", "incident")
        return {name: int(db.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar() or 0) for name in names}


def fill(site: Site) -> None:
    """Junk until there is no room for more."""
    assert [site.call.post(*JUNK).status for _ in range(4)] == [500, 500, 500, 503]  # three SOAP Faults
    assert 2 * WEIGHT < held(site) <= 3 * WEIGHT


def refused(said: Said) -> bool:
    """Come back later; no signal that could be taken for an answer to the message."""
    assert (said.status, said.headers["retry-after"]) == (503, "3600")
    assert said.body == b"not taken, send it again later\n"
    return True


def test_p28_beyond_the_bound_a_stranger_is_told_to_come_later_and_nothing_is_written(site: Site) -> None:
    fill(site)
    before = kept(site)
    for _ in range(5):
        assert refused(site.call.post(*JUNK))
    forged = site.clinic.note(letter(site.rig, sender=CLINIC), signer=site.clinic.stranger)
    assert refused(site.call.post(*packed(site.clinic, *forged)))
    assert kept(site) == before


def test_p28_one_alarm_tells_of_all_that_were_turned_away_and_counts_them(site: Site) -> None:
    fill(site)
    site.call.post(*JUNK)
    assert site.rig.alarms == [("unverified", False)]
    [incident] = site.rig.adapter.alarms()
    assert (incident["name"], incident["count"]) == ("unverified", 2)


def test_p28_what_a_partner_has_signed_goes_on_beyond_the_bound(site: Site) -> None:
    fill(site)
    before = held(site)
    body, headers = site.note()
    first, again = site.call.post(body, headers), site.call.post(body, headers)
    assert (first.status, first.body) == (200, again.body)
    assert b"Acknowledgment" in first.body
    site.rig.rounds(1)
    assert site.rig.steps() == ["accepted"]
    assert held(site) == before  # a partner's own is no stranger's
    assert site.woken == ["resume"] * 5


def test_p28_a_partners_ping_and_its_receipts_go_on_beyond_the_bound(site: Site) -> None:
    site.clinic.script = ["silent"]
    message_id = site.rig.send(referral(CLINIC))
    site.rig.rounds(1)
    fill(site)
    [got] = site.clinic.got
    unsigned = packed(site.clinic, site.clinic.receipt(got.words, got.opened, "unsigned"))
    assert refused(site.call.post(*unsigned))
    assert site.rig.state(message_id) == [("unknown", "awaited")]
    assert site.call.post(*packed(site.clinic, site.clinic.receipt(got.words, got.opened))).status == 204
    assert site.rig.state(message_id) == [("confirmed", "awaited")]
    ping = site.clinic.sign(site.clinic.question(), site.clinic.signing)
    assert b"Pong" in site.call.post(*packed(site.clinic, ping)).body


def test_p28_the_answer_to_a_question_of_ours_goes_on_beyond_the_bound(site: Site) -> None:
    site.clinic.script = ["silent"]

    def later(seconds: float) -> None:
        site.rig.advance(seconds=seconds)
        for what, status in (("forged", 503), ("answer", 204)):
            back = site.clinic._reply(what, site.clinic.asked[0])
            assert back is not None
            assert site.call.post(*packed(site.clinic, back[1])).status == status

    fill(site)
    assert site.rig.adapter.ping(CLINIC, wait_s=10, pause=later).result == "answered"


def test_p28_a_verified_message_takes_no_room_whatever_becomes_of_it(site: Site) -> None:
    site.clinic.script = ["silent"]
    site.rig.send(referral(CLINIC))
    site.rig.rounds(1)
    [got] = site.clinic.got
    body, headers = site.note()
    conflict = site.clinic.note(letter(site.rig, sender=CLINIC, msg_id="aaaaaaaa-0000-4000-8000-000000000002"))
    undecrypted = site.clinic.note(letter(site.rig, sender=CLINIC), certificate=site.clinic.opening.certificate)
    for said, status in (
        (site.call.post(body, headers), 200),
        (site.call.post(body, headers), 200),
        (site.call.post(*packed(site.clinic, *undecrypted)), 200),  # a MessageError
        (site.call.post(*packed(site.clinic, *conflict)), 200),
        (site.call.post(*packed(site.clinic, site.clinic.receipt(got.words, got.opened))), 204),
        (site.call.post(*packed(site.clinic, site.clinic.sign(site.clinic.question(), site.clinic.signing))), 200),
    ):
        assert said.status == status
        assert held(site) == 0


def test_p27_p28_a_partner_whose_certificate_has_just_rolled_is_told_later_and_taken_when_it_comes_again(
    site: Site,
) -> None:
    fill(site)
    rolled = site.clinic.stranger
    posted = packed(site.clinic, *site.clinic.note(letter(site.rig, sender=CLINIC), signer=rolled))
    assert refused(site.call.post(*posted))  # and no SecurityFailure: its own retries go on
    register(site.rig, signing=rolled)
    said = site.call.post(*posted)
    assert said.status == 200
    assert b"Acknowledgment" in said.body
    assert site.rig.steps() == ["received"]


def test_p28_within_the_bound_a_partner_that_cannot_be_verified_is_kept_and_told_why(site: Site) -> None:
    rolled = site.clinic.note(letter(site.rig, sender=CLINIC), signer=site.clinic.stranger)
    said = site.call.post(*packed(site.clinic, *rolled))
    assert b"SecurityFailure" in said.body
    assert kept(site)["message"] == 1
    assert held(site) > WEIGHT


def test_p17_p28_while_the_register_is_silent_nothing_is_refused_for_good_nor_kept_beyond_the_bound(site: Site) -> None:
    fill(site)
    before = kept(site)
    object.__setattr__(site.rig.adapter.parts, "renew", lambda _: False)
    note = site.clinic.note(letter(site.rig, sender=CLINIC), signer=site.clinic.stranger)
    said = site.call.post(*packed(site.clinic, *note))
    assert (said.status, said.headers["retry-after"]) == (503, "60")
    assert kept(site) == {**before, "incident": before["incident"] + 1}
    assert ("job:receive", False) in site.rig.alarms  # it is ours to have the register answer


def test_p28_retention_makes_room_and_gives_the_all_clear(open_site: OpenSite) -> None:
    bounds = {**STORE, "unverified_max_bytes": 3 * WEIGHT, "keep_unverified_days": 30}
    site = open_site({"store": bounds})
    note, headers = site.note()
    assert site.call.post(note, headers).status == 200
    fill(site)
    site.rig.advance(days=29)
    site.rig.rounds(1)
    assert refused(site.call.post(*JUNK))
    site.rig.advance(days=2)
    site.rig.rounds(2)
    assert held(site) == 0
    assert [told for told in site.rig.alarms if told[0] == "unverified"] == [
        ("unverified", False),
        ("unverified", True),
    ]
    assert site.call.post(*JUNK).status == 500
    [row] = site.rig.adapter.list()
    assert site.rig.adapter.export(row["message_id"], "a look", "envelope")  # a partner's own stays


def test_p28_the_doctor_counts_what_is_held_before_it_is_too_much(site: Site) -> None:
    def told() -> list[tuple[str | None, str | None]]:
        return [(row["status"], row["text"]) for row in examine(site.rig.settings) if row["check"] == "unverified"]

    assert told() == []
    site.call.post(*JUNK)
    assert [status for status, _ in told()] == ["ok"]
    for _ in range(3):
        site.call.post(*JUNK)
    [(status, text)] = told()
    assert (status, str(text).endswith("MB are held of senders that could not be verified")) == ("warning", True)
