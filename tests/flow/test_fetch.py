"""Looking into an inbox that other systems fill, that fails, or that somebody else reads (P12, P23, P28)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adapter.errors import RemoteRefusalError, StoreError, TransportError
from adapter.flow import fetch
from adapter.flow.parts import Parts
from adapter.model.wire import InboxItem, Parcel, ReceiptParcel, RemoteStatus, Sent
from adapter.simulator import world as place
from adapter.store import inbox
from tests.journeys.rig import Rig, letter, referral

MakeRig = Callable[..., Rig]
US = place.SOLVANG_GP
ID = "aaaaaaaa-0000-4000-8000-0000000000"
LIST, DOCUMENT = "GET /Messages", "GET /Messages/{id}/business-document"


class Crowded:
    """A road whose unread list is long: foreign notes by number, and whatever else is put there."""

    name = "edi20"

    def __init__(self, documents: dict[str, bytes]) -> None:
        self.documents = documents  # oldest first
        self.fetched: list[str] = []
        self.broken: set[str] = set()

    def unread(self, receivers: Any, limit: int = 100, *, newest_first: bool = False) -> list[InboxItem]:
        ids = list(self.documents)
        return [InboxItem(remote_id=one, receiver=US) for one in (ids[::-1] if newest_first else ids)[:limit]]

    def fetch(self, remote_id: str, receiver: int) -> bytes:
        self.fetched.append(remote_id)
        if remote_id in self.broken:
            raise TransportError("the server failed")
        return self.documents[remote_id]

    def put_away(self, remote_id: str, receiver: int) -> None:
        self.documents.pop(remote_id, None)

    def send(self, parcel: Parcel) -> Sent:
        raise TransportError("nothing is sent here")

    def send_receipt(self, receipt: ReceiptParcel) -> Sent:
        raise TransportError("nothing is sent here")

    def statuses(self, remote_id: str) -> list[RemoteStatus]:
        return []

    def close(self) -> None:
        return


def number(count: int) -> str:
    return f"cccccccc-0000-4000-8000-{count:012x}"


def crowd(rig: Rig, foreign: int, ours: int, **tenant: Any) -> Crowded:
    """So many notes of another system, then as many referrals of ours."""
    note = letter(rig)
    documents = {number(count): note for count in range(foreign)}
    for count in range(ours):
        documents[number(foreign + count)] = letter(rig, "referral-frisklivssentral", msg_id=f"{ID}{count:02}")
    road = Crowded(documents)
    object.__setattr__(rig.adapter.parts, "roads", {"solvang": road})
    for name, value in tenant.items():
        object.__setattr__(rig.adapter.parts.settings.tenant[0], name, value)
    return road


def test_p12_ours_are_found_behind_a_hundred_that_belong_to_others(rig: Rig) -> None:
    road = crowd(rig, 130, 3, types_elsewhere=("DIALOG_NOTAT",))
    rig.rounds(1)
    assert rig.steps() == ["accepted"] * 3
    assert len(road.documents) == 130
    assert ("inbox full:solvang", False) in rig.alarms


def test_p12_what_belongs_to_others_is_fetched_once_and_not_each_round(rig: Rig) -> None:
    road = crowd(rig, 20, 1, types_elsewhere=("DIALOG_NOTAT",))
    rig.rounds(3)
    assert len(road.fetched) == 21
    assert rig.alarms == []


def test_p12_the_all_clear_comes_when_the_list_is_short_again(rig: Rig) -> None:
    road = crowd(rig, 120, 0, types_elsewhere=("DIALOG_NOTAT",))
    rig.rounds(1)
    for one in list(road.documents)[:60]:
        del road.documents[one]
    rig.rounds(1)
    assert [clear for name, clear in rig.alarms if name.startswith("inbox full")] == [False, True]


def test_p12_listening_only_new_messages_are_seen_behind_a_hundred_old_ones(rig: Rig) -> None:
    road = crowd(rig, 0, 99, listen_only=True)
    rig.rounds(1)
    for count in range(5):
        road.documents[number(500 + count)] = letter(rig, "referral-frisklivssentral", msg_id=f"{ID[:-2]}ff{count:02}")
        rig.rounds(1)
    assert len(rig.adapter.list(state="accepted")) == 104
    assert len(road.documents) == 104
    assert rig.alarms == []


def test_a_message_that_the_server_fails_to_give_does_not_hold_up_the_others(rig: Rig) -> None:
    road = crowd(rig, 0, 3)
    road.broken.add(number(0))
    rig.rounds(2)
    assert rig.steps() == ["accepted", "accepted"]
    assert [name for name, clear in rig.alarms if not clear] == [f"fetch:{number(0)}:{US}"]
    road.broken.clear()
    rig.rounds(1)
    assert rig.steps() == ["accepted"] * 3
    assert (f"fetch:{number(0)}:{US}", True) in rig.alarms


def test_a_server_that_fails_is_not_asked_for_every_message_of_the_list(rig: Rig) -> None:
    road = crowd(rig, 0, 10)
    road.broken.update(road.documents)
    rig.rounds(1)
    assert len(road.fetched) == fetch.FAILURES_IN_A_ROW
    assert ("inbox:solvang", False) in rig.alarms


def test_the_inbox_is_given_back_so_that_the_next_run_need_not_wait(rig: Rig) -> None:
    rig.adapter.run_once()
    rig.adapter.close()
    rig.adapter = rig.open()  # as two runs of "adapter run --once" within a minute
    rig.world.inject(letter(rig), US)
    rig.adapter.run_once()
    assert rig.steps() == ["accepted"]


def test_an_inbox_that_another_worker_holds_is_left_to_it(rig: Rig) -> None:
    parts: Parts = rig.adapter.parts
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        assert inbox.take_lease(db, "inbox:solvang", "somebody else", now=now, until=now + 60_000_000) == 1
    rig.world.inject(letter(rig), US)
    rig.adapter.run_once()
    assert rig.steps() == []
    rig.advance(seconds=61)
    rig.adapter.run_once()
    assert rig.steps() == ["accepted"]


def test_an_inbox_that_was_lost_while_the_server_was_told_of_the_last_round_is_left(rig: Rig) -> None:
    road = crowd(rig, 0, 2)
    parts: Parts = rig.adapter.parts
    item = road.unread([US])[0]
    fetch.remember(parts, parts.settings.tenant[0], road.fetch(item.remote_id, US), road=road.name, item=item)
    told: list[str] = []

    def slowly(remote_id: str, receiver: int) -> None:
        told.append(remote_id)
        rig.advance(seconds=61)
        now = parts.store.now_us()
        with parts.store.transaction() as db:
            assert inbox.take_lease(db, "inbox:solvang", "somebody else", now=now, until=now + 60_000_000)

    road.put_away = slowly  # type: ignore[method-assign]
    assert fetch.poll(parts, parts.settings.tenant[0], lambda row, raw: None) == 0
    assert (told, len(road.fetched)) == ([item.remote_id], 1)


def test_a_look_into_an_empty_inbox_writes_twice_for_its_lease_and_nothing_else(rig: Rig) -> None:
    crowd(rig, 0, 0)
    parts: Parts = rig.adapter.parts
    before = parts.store.commits
    fetch.poll(parts, parts.settings.tenant[0], lambda row, raw: None)
    assert parts.store.commits - before == 2


def test_a_message_that_another_worker_has_stored_a_moment_ago_is_not_stored_again(rig: Rig) -> None:
    rig.world.inject(letter(rig), US)
    parts: Parts = rig.adapter.parts
    road = parts.roads["solvang"]
    (item,) = road.unread([US])
    raw = road.fetch(item.remote_id, item.receiver)
    fetch.remember(parts, parts.settings.tenant[0], raw, road=road.name, item=item)
    assert fetch._take(parts, parts.settings.tenant[0], road, item) is None
    rig.rounds(1)
    assert rig.steps() == ["accepted"]


def test_p23_an_access_fault_while_marking_pauses_the_tenant_and_nothing_is_lost(make_rig: MakeRig) -> None:
    rig = make_rig(faults={"PUT /Messages/{id}/read/{herid}": [("403", [1, 2])]})
    rig.world.inject(letter(rig), US)
    rig.rounds(1)
    assert ("access:solvang", False) in rig.alarms
    rig.advance(seconds=301)
    rig.rounds(1)
    rig.advance(seconds=301)
    rig.rounds(2)
    assert (rig.steps(), rig.world.unread(US)) == (["accepted"], 0)
    assert [clear for name, clear in rig.alarms if name == "access:solvang"] == [False, True]


def test_p23_a_poll_that_works_says_nothing_of_a_sending_that_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig(faults={"POST /Messages": [("403", [1, 2, 3])]})
    sent = rig.send(referral())
    for _ in range(4):
        rig.rounds(2)
        rig.advance(seconds=301)
    assert [clear for name, clear in rig.alarms if name == "access:solvang"] == [False, True]
    rig.rounds(2)
    assert rig.state(sent) == [("confirmed", "accepted")]


def test_p23_a_locked_out_tenant_stops_alone(make_rig: MakeRig) -> None:
    rig = make_rig(tenants=("solvang", "fjellglott"))
    parts = rig.adapter.parts
    client = rig.world.helseid.clients.pop(rig.world.tenants["solvang"].client_id)  # HelseID knows it no longer
    rig.world.inject(letter(rig), US)
    rig.world.inject(letter(rig, receiver=place.KLINIKK_SERVICE), place.KLINIKK_SERVICE)
    rig.rounds(3)
    assert len(rig.adapter.take("a", tenant="fjellglott")) == 1
    assert rig.adapter.take("a", tenant="solvang") == []
    assert [name for name, clear in rig.alarms if not clear] == ["access:solvang"]
    rig.world.helseid.clients[client.client_id] = client
    rig.advance(seconds=301)
    rig.rounds(1)
    assert len(rig.adapter.take("a", tenant="solvang")) == 1
    assert ("access:solvang", True) in rig.alarms
    assert parts.roads["solvang"] is not parts.roads["fjellglott"]


@pytest.mark.parametrize("fault", ["500", "cut_before", "truncated_json"])
def test_a_list_that_cannot_be_read_is_one_alarm_and_one_all_clear(make_rig: MakeRig, fault: str) -> None:
    rig = make_rig(faults={LIST: [(fault, [1, 2, 3])]})
    rig.world.inject(letter(rig), US)
    rig.rounds(6)
    assert rig.steps() == ["accepted"]
    assert [clear for name, clear in rig.alarms if name == "inbox:solvang"] == [False, True]


class Refusing(Crowded):
    """A server that says no: ``refused`` gives the status by the message's number, ``marking`` what marking gets."""

    refused: dict[str, int] = {}
    marking: list[Exception] = []

    def fetch(self, remote_id: str, receiver: int) -> bytes:
        if remote_id in self.refused:
            raise RemoteRefusalError("no", status=self.refused[remote_id])
        return super().fetch(remote_id, receiver)

    def put_away(self, remote_id: str, receiver: int) -> None:
        if self.marking:
            raise self.marking.pop(0)
        super().put_away(remote_id, receiver)


def refusing(rig: Rig, ours: int, **more: Any) -> Refusing:
    road = Refusing(crowd(rig, 0, ours, **more).documents)
    road.refused, road.marking = {}, []
    object.__setattr__(rig.adapter.parts, "roads", {"solvang": road})
    return road


def test_p12_a_message_that_the_server_refuses_to_give_is_looked_past_and_told_once(rig: Rig) -> None:
    road = refusing(rig, 3)
    road.refused[number(1)] = 410
    rig.rounds(3)
    assert rig.steps() == ["accepted", "accepted"]
    assert rig.alarms == [(f"fetch:{number(1)}:{US}", False)]


@pytest.mark.parametrize(
    ("faults", "left"),
    [
        ([TransportError("the server failed")], 0),  # marked in the next round
        ([RemoteRefusalError("no", status=400)], 0),
        ([RemoteRefusalError("gone", status=404)], 1),  # purged there: nothing is left to mark
    ],
    ids=["failed", "refused", "purged"],
)
def test_a_message_that_cannot_be_marked_as_read_is_stored_once_and_marked_later(
    rig: Rig, faults: list[Exception], left: int
) -> None:
    road = refusing(rig, 1)
    road.marking = list(faults)
    rig.rounds(2)
    assert rig.steps() == ["accepted"]
    assert (len(road.documents), road.marking) == (left, [])
    rig.rounds(1)
    assert (rig.steps(), rig.alarms) == (["accepted"], [])


def test_p12_what_cannot_be_read_is_nobody_elses_type_and_is_taken_in(rig: Rig) -> None:
    road = crowd(rig, 1, 0, types_elsewhere=("DIALOG_NOTAT",))
    road.documents[number(7)] = b"<not a message"
    rig.rounds(1)
    assert list(road.documents) == [number(0)]
    assert (rig.steps(), rig.attention()) == (["refused"], ["unreadable"])


def test_a_stop_ends_the_look_after_the_message_under_way(rig: Rig) -> None:
    road = crowd(rig, 0, 3)
    taken: list[bytes] = []

    def receive(row: Any, raw: bytes) -> None:
        taken.append(raw)
        rig.adapter.parts.stopping.set()

    assert fetch.poll(rig.adapter.parts, rig.adapter.parts.settings.tenant[0], receive) == 1
    assert (len(taken), len(road.documents)) == (1, 2)


def test_a_message_whose_judging_breaks_waits_and_does_not_hold_up_the_list(rig: Rig) -> None:
    crowd(rig, 0, 3)
    taken: list[bytes] = []

    def receive(row: Any, raw: bytes) -> None:
        taken.append(raw)
        if len(taken) == 1:
            raise StoreError("locked")

    assert fetch.poll(rig.adapter.parts, rig.adapter.parts.settings.tenant[0], receive) == 3
    assert rig.alarms == [("held:solvang", False)]
    rig.rounds(1)
    assert rig.steps() == ["accepted"] * 3
