"""The way out of the store: submit once, claim once, in order (P1, P2, P5, P6, P23)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapter.errors import ConflictError
from adapter.model.delivery import Answer, Leg
from adapter.store import outbox, queries
from adapter.store.database import Store, open_store
from tests.store.shelf import HOUR, SECOND, TENANT, Clock, claim, claimed, go, kinds_of, new_id, put_in, put_out, row_of


def test_a_submitted_message_has_its_bytes_a_row_per_receiver_and_an_event_each(store: Store) -> None:
    message_id, rows = put_out(store, 100, 200, content=b"<doc/>")
    with store.reading() as db:
        found = outbox.deliveries(db, message_id)
        assert outbox.find_message(db, message_id)["direction"] == "out"  # type: ignore[index]
        assert queries.payload_roles(db, message_id)[0]["size_bytes"] == 6
    assert [(row["party"], row["is_copy"], row["leg"], row["answer"]) for row in found] == [
        (100, False, "queued", "awaited"),
        (200, True, "queued", "awaited"),
    ]
    assert {row["id"] for row in found} == set(rows)
    assert kinds_of(store, message_id) == ["submitted", "submitted"]


def test_p6_a_submit_key_is_found_again_with_its_input_digest(store: Store) -> None:
    message_id, _ = put_out(store, submit_key="order 7", input_digest="abc")
    with store.reading() as db:
        assert outbox.find_submission(db, TENANT, "order 7") == (message_id, "abc")
        assert outbox.find_submission(db, "another tenant", "order 7") is None
        assert outbox.find_submission(db, TENANT, "order 8") is None


def test_p6_two_submits_with_one_key_at_the_same_time_store_one_message(store: Store) -> None:
    ready = threading.Barrier(2)

    def submit() -> str:
        ready.wait()
        message_id = new_id()
        with store.transaction() as db:
            found = outbox.find_submission(db, TENANT, "the same")
            if found is not None:
                return found[0]
            columns = {"submit_key": "the same", "input_digest": "abc"}
            message = outbox.NewMessage(id=message_id, tenant=TENANT, document=b"x", columns=columns)
            outbox.add(db, message, [outbox.NewDelivery(id=new_id(), party=1, road="edi20")], at=1)
        return message_id

    with ThreadPoolExecutor(2) as pool:
        ids = {future.result() for future in [pool.submit(submit), pool.submit(submit)]}
    assert len(ids) == 1


def test_p1_a_second_message_with_the_same_msg_id_is_a_conflict_whatever_the_letter_case(store: Store) -> None:
    put_out(store, msg_id="abcdef00-0000-4000-8000-000000000001")
    with store.transaction() as db, pytest.raises(ConflictError):
        outbox.refuse_second_msg_id(db, TENANT, "ABCDEF00-0000-4000-8000-000000000001")
    with store.transaction() as db:
        outbox.refuse_second_msg_id(db, "another tenant", "ABCDEF00-0000-4000-8000-000000000001")


def test_p1_rows_of_one_message_are_claimed_together(store: Store) -> None:
    message_id, rows = put_out(store, 100, 200, 300)
    groups = claim(store, limit=1)
    assert [{row["id"] for row in group} for group in groups] == [set(rows)]
    assert kinds_of(store, message_id).count("sending") == 3


def test_p1_the_limit_of_a_claim_never_parts_the_rows_of_one_message(store: Store) -> None:
    put_out(store, 100)
    _, rows = put_out(store, 100, 200, 300)
    put_out(store, 100)
    groups = claim(store, limit=2)
    assert [len(group) for group in groups] == [1, 3]
    assert {row["id"] for row in groups[1]} == set(rows)


def test_a_claimed_row_is_leased_counted_and_no_longer_due(store: Store) -> None:
    _, (row_id,) = put_out(store)
    [[given]] = claim(store, by="worker-7", lease_s=60)
    row = row_of(store, row_id)
    assert (row["leg"], row["due_at"], row["lease_by"], row["attempts"]) == ("sending", None, "worker-7", 1)
    assert row["lease_until"] == store.now_us() + 60 * SECOND
    assert (given["leg"], given["attempts"], given["resends"]) == ("sending", 1, 0)
    assert claimed(store) == []


def test_an_emergency_goes_first_then_submit_order(store: Store, clock: Clock) -> None:
    first, second = put_out(store)[1], put_out(store)[1]
    urgent, emergency = put_out(store, urgency=3)[1], put_out(store, urgency=0)[1]
    assert claimed(store) == [*emergency, *urgent, *first, *second]


def test_a_row_that_is_due_later_is_left_until_then(store: Store, clock: Clock) -> None:
    _, (row_id,) = put_out(store)
    with store.transaction() as db:
        outbox.set_columns(db, row_id, due_at=store.now_us() + SECOND)
    assert claimed(store) == []
    with store.reading() as db:
        assert outbox.due_rows(db, now=store.now_us()) == 0
        assert outbox.due_rows(db, now=store.now_us() + SECOND) == 1
    clock.forward(1)
    assert claimed(store) == [row_id]


def test_p2_a_row_of_unknown_outcome_is_taken_again_after_its_wait_and_counted_as_a_resend(
    store: Store, clock: Clock
) -> None:
    message_id, (row_id,) = put_out(store)
    claim(store)
    go(store, row_id, Leg.UNKNOWN, due_at=store.now_us() + 120 * SECOND)
    assert claimed(store) == []
    clock.forward(120)
    [[row]] = claim(store)
    assert (row["resends"], row["attempts"]) == (1, 2)
    assert kinds_of(store, message_id)[-1] == "resending"


@pytest.mark.parametrize("blocking", [Leg.QUEUED, Leg.SENDING, Leg.UNKNOWN, Leg.SUSPENDED])
def test_p5_a_later_row_of_a_lane_waits_while_the_earlier_is_under_way(store: Store, blocking: Leg) -> None:
    _, (earlier,) = put_out(store, 100, lane="document 1")
    _, (later,) = put_out(store, 100, lane="document 1")
    _hold(store, earlier, blocking)
    assert claimed(store) == []
    assert row_of(store, later)["leg"] == "queued"


@pytest.mark.parametrize("done", [Leg.SENT, Leg.CONFIRMED, Leg.REFUSED, Leg.ABANDONED, Leg.CANCELLED])
def test_p5_a_later_row_of_a_lane_goes_once_the_earlier_is_sent_or_final(store: Store, done: Leg) -> None:
    _, (earlier,) = put_out(store, 100, lane="document 1")
    _, (later,) = put_out(store, 100, lane="document 1")
    _hold(store, earlier, done)
    assert claimed(store) == [later]


def test_p5_only_the_same_lane_and_receiver_waits(store: Store) -> None:
    _, (earlier,) = put_out(store, 100, lane="document 1")
    _, (other_party,) = put_out(store, 200, lane="document 1")
    _, (other_lane,) = put_out(store, 100, lane="document 2")
    _, (no_lane,) = put_out(store, 100)
    _hold(store, earlier, Leg.UNKNOWN)
    assert claimed(store) == [other_party, other_lane, no_lane]


def test_p5_one_claim_takes_the_first_of_a_lane_only(store: Store) -> None:
    rows = [put_out(store, 100, lane="document 1")[1][0] for _ in range(3)]
    assert claimed(store) == rows[:1]


def _hold(store: Store, row_id: str, leg: Leg) -> None:
    """Bring a queued row to that leg, with nothing due."""
    ways = {
        Leg.QUEUED: (),
        Leg.SENDING: (Leg.SENDING,),
        Leg.UNKNOWN: (Leg.SENDING, Leg.UNKNOWN),
        Leg.SENT: (Leg.SENDING, Leg.SENT),
        Leg.CONFIRMED: (Leg.SENDING, Leg.CONFIRMED),
        Leg.REFUSED: (Leg.SENDING, Leg.REFUSED),
        Leg.SUSPENDED: (Leg.SUSPENDED,),
        Leg.ABANDONED: (Leg.ABANDONED,),
        Leg.CANCELLED: (Leg.CANCELLED,),
    }
    go(store, row_id, *ways[leg])
    with store.transaction() as db:
        outbox.set_columns(db, row_id, due_at=None)


def test_p23_a_paused_tenant_holds_its_rows_and_no_one_elses(store: Store, clock: Clock) -> None:
    _, (held,) = put_out(store, tenant="a")
    _, (free,) = put_out(store, tenant="b")
    with store.transaction() as db:
        assert queries.pause_tenant(db, "a", "ACCESS", at=store.now_us(), again_at=store.now_us() + 300 * SECOND)
    assert claimed(store) == [free]
    clock.forward(301)
    assert claimed(store) == [held]


def test_p23_a_pause_is_new_once_and_a_resume_ends_it(store: Store) -> None:
    now = store.now_us()
    with store.transaction() as db:
        assert queries.pause_tenant(db, "a", "ACCESS", at=now, again_at=now + HOUR)
        assert not queries.pause_tenant(db, "a", "HID-9", at=now + 1, again_at=now + 2 * HOUR)
    with store.reading() as db:
        held = queries.paused(db, "a", now + HOUR)
        assert held is not None
        assert (held["reason"], held["since"], held["again_at"]) == ("HID-9", now, now + 2 * HOUR)
        assert queries.paused(db, "a", now + 2 * HOUR) is None
        assert queries.paused(db, "b", now) is None
    with store.transaction() as db:
        assert queries.resume_tenant(db, "a")
        assert not queries.resume_tenant(db, "a")


def test_two_workers_never_claim_a_row_twice(url: str, clock: Clock) -> None:
    stores = [open_store(url, environment="test", now=clock, new_id=new_id, busy_wait_s=20) for _ in range(2)]
    expected = {row for _ in range(30) for row in put_out(stores[0], 100, 200)[1]}
    ready = threading.Barrier(2)

    def work(store: Store) -> list[list[str]]:
        ready.wait()
        taken: list[list[str]] = []
        idle = 0
        while idle < 3:
            groups = claim(store, limit=3, by=str(id(store)))
            idle = 0 if groups else idle + 1
            taken += [[row["id"] for row in group] for group in groups]
        return taken

    with ThreadPoolExecutor(2) as pool:
        taken = [group for groups in pool.map(work, stores) for group in groups]
    for store in stores:
        store.close()
    rows = [row for group in taken for row in group]
    assert len(rows) == len(set(rows))
    assert set(rows) == expected
    assert {len(group) for group in taken} == {2}  # the receivers of one message stayed together (P1)


def test_rows_of_a_dead_worker_are_found_when_their_lease_has_run_out(store: Store, clock: Clock) -> None:
    _, (row_id,) = put_out(store)
    claim(store, lease_s=60)
    with store.reading() as db:
        assert outbox.expired_claims(db, store.now_us() + 60 * SECOND) == []
        assert [row["id"] for row in outbox.expired_claims(db, store.now_us() + 61 * SECOND)] == [row_id]


def test_p2_every_server_id_of_a_message_is_kept_once_in_order(store: Store) -> None:
    message_id, _ = put_out(store)
    with store.transaction() as db:
        for at, remote_id in ((1, "first"), (2, "second"), (3, "first")):
            outbox.add_remote_id(db, message_id, remote_id, at=at)
    with store.reading() as db:
        assert outbox.remote_ids(db, message_id) == ["first", "second"]


def test_messages_whose_status_is_due_come_once_each_and_oldest_first(store: Store) -> None:
    late, rows_late = put_out(store, 100, 200)
    early, rows_early = put_out(store)
    _, rows_never = put_out(store)
    with store.transaction() as db:
        for number, row_id in enumerate([*rows_early, *rows_late], start=1):
            outbox.set_columns(db, row_id, poll_at=number)
        outbox.set_columns(db, rows_never[0], poll_at=100)
    with store.reading() as db:
        assert outbox.due_polls(db, 99, 10) == [early, late]
        assert outbox.due_polls(db, 99, 1) == [early]


def test_p9_overdue_rows_come_most_urgent_first(store: Store) -> None:
    normal = put_out(store, overdue_at=1)[1]
    emergency = put_out(store, overdue_at=5, urgency=0)[1]
    put_out(store, overdue_at=50)
    with store.reading() as db:
        assert [row["id"] for row in outbox.overdue(db, 10)] == [*emergency, *normal]
        assert len(outbox.overdue(db, 100, limit=1)) == 1


def test_a_sent_message_is_found_by_msg_id_in_its_tenant_only(store: Store) -> None:
    message_id, _ = put_out(store, msg_id="abcdef00-0000-4000-8000-000000000001")
    put_in(store, msg_id="abcdef00-0000-4000-8000-000000000002")
    with store.reading() as db:
        found = outbox.find_sent(db, TENANT, "ABCDEF00-0000-4000-8000-000000000001")
        assert found is not None
        assert found["id"] == message_id
        assert outbox.find_sent(db, "another tenant", "abcdef00-0000-4000-8000-000000000001") is None
        assert outbox.find_sent(db, TENANT, "abcdef00-0000-4000-8000-000000000002") is None
        assert outbox.find_message(db, "unknown") is None
        assert outbox.find_delivery(db, "unknown") is None


def test_further_payloads_and_wire_names_are_kept_with_the_message(store: Store) -> None:
    from adapter.store import journal

    message = outbox.NewMessage(id=new_id(), tenant=TENANT, document=b"d", columns={}, extra={"input": b"i"})
    delivery = outbox.NewDelivery(id=new_id(), party=1, road="edi20", overrides={"service": "S"}, answer=Answer.AWAITED)
    with store.transaction() as db:
        outbox.add(db, message, [delivery], at=1)
    assert row_of(store, delivery.id)["overrides"] == {"service": "S"}
    with store.reading() as db:
        assert [row["role"] for row in queries.payload_roles(db, message.id)] == ["document", "input"]
        assert journal.read_payload(db, message.id, "input") == b"i"
