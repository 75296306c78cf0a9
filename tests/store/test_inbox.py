"""The way in of the store: remember, recognise, lease (P3, P5, P7, P20)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from adapter.errors import StoreError
from adapter.model.delivery import Step
from adapter.store import inbox, journal, outbox
from adapter.store.database import Store
from tests.store.shelf import SECOND, TENANT, Clock, go, kinds_of, new_id, put_in, put_out, row_of


def test_a_received_message_has_its_bytes_a_step_and_an_event(store: Store) -> None:
    message_id, row_id = put_in(store, party=5, content=b"<raw/>")
    row = row_of(store, row_id)
    assert (row["step"], row["party"], row["leg"], row["put_away"]) == ("received", 5, None, False)
    with store.reading() as db:
        assert journal.read_payload(db, message_id) == b"<raw/>"
        assert outbox.find_delivery(db, row_id) == row
        assert outbox.find_delivery(db, "unknown") is None
    assert kinds_of(store, message_id) == ["received"]


def test_an_inbox_item_is_found_again_by_road_server_id_and_address(store: Store) -> None:
    _, row_id = put_in(store, party=5)
    remote_id = row_of(store, row_id)["remote_id"]
    with store.reading() as db:
        assert inbox.find_item(db, "edi20", remote_id, 5)["id"] == row_id  # type: ignore[index]
        assert inbox.find_item(db, "edi20", remote_id, 6) is None
        assert inbox.find_item(db, "ebxml", remote_id, 5) is None


def test_one_inbox_item_is_stored_once_even_when_two_fetch_it(store: Store) -> None:
    _, row_id = put_in(store, party=5)
    first = row_of(store, row_id)
    with pytest.raises(StoreError) as caught, store.transaction() as db:
        inbox.add_received(
            db,
            message_id=new_id(),
            delivery_id=new_id(),
            tenant=TENANT,
            road="edi20",
            remote_id=first["remote_id"],
            party=5,
            raw=b"x",
            at=1,
            hints={},
        )
    assert caught.value.code == "STORE.INTEGRITY"
    with store.reading() as db:
        assert len(inbox.in_step(db, [Step.RECEIVED], 10)) == 1


def test_rows_in_a_step_come_oldest_first_emergencies_before_them(store: Store) -> None:
    first, second, third = (put_in(store)[1] for _ in range(3))
    other = put_in(store, tenant="b")[1]
    go(store, second, Step.OPENED)
    with store.transaction() as db:
        outbox.set_columns(db, third, urgency=0)
    with store.reading() as db:
        both = inbox.in_step(db, [Step.RECEIVED, Step.OPENED], 10)
        assert [row["id"] for row in both] == [third, first, second, other]
        assert [row["id"] for row in inbox.in_step(db, [Step.OPENED], 10)] == [second]
        assert [row["id"] for row in inbox.in_step(db, [Step.RECEIVED], 10, "b")] == [other]
        assert len(inbox.in_step(db, [Step.RECEIVED], 1)) == 1


def test_rows_that_the_server_still_shows_as_unread_are_listed_until_put_away(store: Store) -> None:
    row_id = put_in(store)[1]
    put_in(store, tenant="b")
    put_out(store)
    with store.reading() as db:
        assert [row["id"] for row in inbox.not_put_away(db, TENANT, 10)] == [row_id]
    with store.transaction() as db:
        inbox.set_put_away(db, row_id)
    with store.reading() as db:
        assert inbox.not_put_away(db, TENANT, 10) == []


MSG_ID = "abcdef00-0000-4000-8000-000000000001"


def test_p3_earlier_rows_of_the_same_sender_and_msg_id_are_found_with_their_digests(store: Store) -> None:
    first = put_in(store, msg_id=MSG_ID, sender=7, digest="d1", party=5)
    put_in(store, msg_id=MSG_ID, sender=8, digest="d1")  # another sender
    put_in(store, msg_id=MSG_ID, sender=7, digest="d1", tenant="b")  # another tenant
    put_in(store, msg_id=MSG_ID, sender=7)  # not opened yet
    now_opened = put_in(store, msg_id=MSG_ID, sender=7, digest="d2", party=6)
    with store.reading() as db:
        seq = outbox.find_message(db, now_opened[0])["seq"]  # type: ignore[index]
        found = inbox.same_message(db, sender=7, msg_id=MSG_ID.upper(), tenant=TENANT, besides=seq)
        assert [(row["id"], row["digest"], row["party"]) for row in found] == [(first[1], "d1", 5)]
        assert inbox.same_message(db, sender=None, msg_id=MSG_ID, tenant=TENANT, besides=seq) == []


def test_p3_a_message_without_a_readable_sender_is_compared_with_its_like(store: Store) -> None:
    first = put_in(store, msg_id=MSG_ID, digest="d1")
    with store.reading() as db:
        found = inbox.same_message(db, sender=None, msg_id=MSG_ID, tenant=TENANT, besides=99)
    assert [row["id"] for row in found] == [first[1]]


@pytest.mark.parametrize(
    ("steps", "known"),
    [
        ((), False),
        ((Step.OPENED,), False),
        ((Step.OPENED, Step.REJECTED), False),
        ((Step.OPENED, Step.ACCEPTED), True),
        ((Step.OPENED, Step.ACCEPTED, Step.HANDED_OVER), True),
        ((Step.OPENED, Step.ACCEPTED, Step.HANDED_OVER, Step.RECEIPTED), True),
    ],
)
def test_p5_an_original_is_known_once_it_was_accepted(store: Store, steps: tuple[Step, ...], known: bool) -> None:
    _, row_id = put_in(store, document_id="doc", sender=7)
    go(store, row_id, *steps)
    with store.reading() as db:
        assert inbox.knows_document(db, document_id="doc", sender=7, tenant=TENANT) is known
        assert not inbox.knows_document(db, document_id="doc", sender=8, tenant=TENANT)
        assert not inbox.knows_document(db, document_id="doc", sender=7, tenant="b")
        assert not inbox.knows_document(db, document_id="other", sender=7, tenant=TENANT)


def test_p5_parked_rows_are_found_by_the_document_they_wait_for(store: Store) -> None:
    rows = [put_in(store, document_id="doc", sender=7)[1] for _ in range(2)]
    put_in(store, document_id="doc", sender=7)
    for row_id in rows:
        go(store, row_id, Step.OPENED, Step.PARKED)
    with store.reading() as db:
        parked = inbox.parked_on(db, document_id="doc", sender=7, tenant=TENANT)
        assert [row["id"] for row in parked] == rows
        assert inbox.parked_on(db, document_id="doc", sender=8, tenant=TENANT) == []


def _take(store: Store, consumer: str, limit: int = 10, lease_s: int = 60) -> list[str]:
    now = store.now_us()
    until = now + lease_s * SECOND
    with store.transaction() as db:
        rows = inbox.lease_accepted(
            db, tenant=TENANT, consumer=consumer, token=new_id(), now=now, until=until, limit=limit
        )
    return [row["lease_by"] for row in rows]


def _accepted(store: Store, tenant: str = TENANT) -> str:
    row_id = put_in(store, tenant=tenant)[1]
    go(store, row_id, Step.OPENED, Step.ACCEPTED)
    return row_id


def test_p7_accepted_rows_are_leased_to_one_consumer_at_a_time(store: Store, clock: Clock) -> None:
    row_id = _accepted(store)
    _accepted(store, tenant="b")
    put_in(store)
    [holder] = _take(store, "ehr")
    with store.reading() as db:
        assert inbox.find_leased(db, holder)["id"] == row_id  # type: ignore[index]
    assert _take(store, "other") == []
    clock.forward(61)
    [second] = _take(store, "other")
    with store.reading() as db:
        assert inbox.find_leased(db, holder) is None  # the old token no longer holds it
        assert inbox.find_leased(db, second)["id"] == row_id  # type: ignore[index]
        assert inbox.find_leased(db, f"ehr:forged:{row_id}") is None
        assert inbox.find_leased(db, "") is None


def test_p7_two_consumers_at_once_never_take_the_same_row(store: Store) -> None:
    expected = {_accepted(store) for _ in range(12)}

    def take(name: str) -> list[str]:
        return [holder for _ in range(4) for holder in _take(store, name, limit=3)]

    with ThreadPoolExecutor(2) as pool:
        holders = [holder for taken in pool.map(take, ["one", "two"]) for holder in taken]
    rows = [holder.rpartition(":")[2] for holder in holders]
    assert len(rows) == len(set(rows))
    assert set(rows) <= expected


def test_a_named_lease_has_one_holder_and_a_fence_that_grows_with_each_new_one(store: Store) -> None:
    def ask(holder: str, now: int) -> int | None:
        with store.transaction() as db:
            return inbox.take_lease(db, "inbox:a", holder, now=now, until=now + 10)

    assert ask("one", 0) == 1
    assert ask("one", 5) == 1  # prolonged
    assert ask("two", 14) is None
    assert ask("two", 15) == 2
    assert ask("one", 16) is None
    assert ask("one", 100) == 3


def test_of_many_who_ask_for_a_free_lease_at_once_one_gets_it(store: Store) -> None:
    def ask(holder: str) -> int | None:
        with store.transaction() as db:
            return inbox.take_lease(db, "inbox:a", holder, now=0, until=10)

    with ThreadPoolExecutor(4) as pool:
        got = [fence for fence in pool.map(ask, [f"worker {n}" for n in range(8)]) if fence is not None]
    assert got == [1]
