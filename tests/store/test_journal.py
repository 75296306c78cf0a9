"""Moves, events, flags, payloads, incidents: the statements that every journey shares (P4, P6, P21, P26)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from adapter.codes import Coded
from adapter.errors import StateError, StoreError
from adapter.model.delivery import Answer, Leg, Step
from adapter.store import journal, queries
from adapter.store.database import Store
from adapter.store.tables import delivery, payload
from tests.store.shelf import go, kinds_of, put_in, put_out, row_of


def test_a_move_writes_state_columns_and_one_event_together(store: Store) -> None:
    message_id, (row_id,) = put_out(store)
    row = row_of(store, row_id)
    with store.transaction() as db:
        journal.move(db, row, at=7, kind="sending", leg=Leg.SENDING, detail={"n": 1}, lease_by="me", due_at=None)
    after = row_of(store, row_id)
    assert (after["leg"], after["lease_by"], after["due_at"]) == ("sending", "me", None)
    with store.reading() as db:
        event = queries.events_of(db, message_id)[-1]
    assert (event["kind"], event["old"], event["new"], event["detail"]) == ("sending", "queued", "sending", {"n": 1})
    assert (event["at"], event["delivery_id"], event["tenant"]) == (7, row_id, row["tenant"])


def test_leg_and_answer_may_move_together(store: Store) -> None:
    message_id, (row_id,) = put_out(store)
    go(store, row_id, Leg.SENDING)
    with store.transaction() as db:
        row = row_of(store, row_id)
        journal.move(db, row, at=7, kind="accepted", leg=Leg.CONFIRMED, answer=Answer.ACCEPTED)
    after = row_of(store, row_id)
    assert (after["leg"], after["answer"]) == ("confirmed", "accepted")
    with store.reading() as db:
        event = queries.events_of(db, message_id)[-1]
    assert (event["old"], event["new"]) == ("sending/awaited", "confirmed/accepted")


def test_a_row_that_somebody_else_moved_raises_a_race_and_writes_nothing(store: Store) -> None:
    message_id, (row_id,) = put_out(store)
    stale = row_of(store, row_id)
    go(store, row_id, Leg.SENDING)
    before = kinds_of(store, message_id)

    def write() -> None:
        with store.transaction() as db:
            journal.note(db, stale, at=8, kind="written before the race")
            journal.move(db, stale, at=8, kind="cancelled", leg=Leg.CANCELLED)

    with pytest.raises(StateError) as caught:
        write()
    assert caught.value.code == "STATE.RACE"
    assert row_of(store, row_id)["leg"] == "sending"
    assert kinds_of(store, message_id) == before


def test_a_move_that_the_table_forbids_raises_and_writes_nothing(store: Store) -> None:
    message_id, (row_id,) = put_out(store)
    go(store, row_id, Leg.SENDING, Leg.CONFIRMED)
    before = kinds_of(store, message_id)
    with pytest.raises(StateError, match="cannot go from confirmed to queued"), store.transaction() as db:
        journal.move(db, row_of(store, row_id), at=8, kind="requeued", leg=Leg.QUEUED, due_at=8)
    assert (row_of(store, row_id)["leg"], row_of(store, row_id)["due_at"]) == (
        "confirmed",
        row_of(store, row_id)["due_at"],
    )
    assert kinds_of(store, message_id) == before


def test_one_forbidden_half_stops_the_other_half_too(store: Store) -> None:
    _, (row_id,) = put_out(store, answer=Answer.NOT_ASKED)
    with pytest.raises(StateError), store.transaction() as db:
        journal.move(db, row_of(store, row_id), at=8, kind="x", leg=Leg.SENDING, answer=Answer.ACCEPTED)
    assert row_of(store, row_id)["leg"] == "queued"


def test_an_inbound_row_has_no_leg_to_move(store: Store) -> None:
    _, row_id = put_in(store)
    with pytest.raises(StateError), store.transaction() as db:
        journal.move(db, row_of(store, row_id), at=8, kind="x", leg=Leg.SENDING)


def test_p4_a_rejected_message_never_becomes_accepted_in_the_store(store: Store) -> None:
    _, (row_id,) = put_out(store)
    go(store, row_id, Leg.SENDING, Leg.SENT, Answer.REJECTED)
    with pytest.raises(StateError):
        go(store, row_id, Answer.ACCEPTED)
    assert row_of(store, row_id)["answer"] == "rejected"


def test_p4_an_overdue_message_may_still_be_accepted(store: Store) -> None:
    _, (row_id,) = put_out(store)
    go(store, row_id, Leg.SENDING, Leg.SENT, Answer.OVERDUE, Answer.ACCEPTED)
    assert row_of(store, row_id)["answer"] == "accepted"


def test_two_threads_that_move_one_row_at_once_move_it_once(store: Store) -> None:
    _, row_id = put_in(store)
    row = row_of(store, row_id)

    def open_it() -> str:
        try:
            with store.transaction() as db:
                journal.move(db, row, at=8, kind="opened", step=Step.OPENED)
        except StateError as error:
            return error.code
        return "moved"

    with ThreadPoolExecutor(2) as pool:
        said = sorted(future.result() for future in [pool.submit(open_it), pool.submit(open_it)])
    assert said == ["STATE.RACE", "moved"]


def test_p6_events_come_after_the_cursor_in_order_and_by_tenant(store: Store) -> None:
    for tenant in ("a", "b", "a"):
        put_out(store, tenant=tenant)
    with store.reading() as db:
        everything = queries.events_after(db, 0, 100)
        numbers = [event["id"] for event in everything]
        assert numbers == sorted(set(numbers))
        assert len(everything) == 3
        assert queries.events_after(db, numbers[0], 1) == everything[1:2]
        assert [event["id"] for event in queries.events_after(db, 0, 100, tenant="a")] == [numbers[0], numbers[2]]
        assert queries.events_after(db, numbers[-1], 100) == []


def test_p6_the_cursor_never_passes_an_event_that_is_not_committed_yet(store: Store) -> None:
    if not store.postgres:
        pytest.skip("SQLite's writers take turns, so numbers are given in commit order")
    slow = store._engine.connect()
    transaction = slow.begin()
    journal.add_event(slow, at=1, tenant="slow", kind="first")
    with store.transaction() as db:
        journal.add_event(db, at=2, tenant="quick", kind="second")

    def read() -> list[str]:
        with store.reading() as db:
            return [event["kind"] for event in queries.events_after(db, 0, 10)]

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        while not _somebody_waits(store):
            assert not reading.done(), "the reader must wait for the writer under way"
        transaction.commit()
        assert reading.result(timeout=10) == ["first", "second"]
    slow.close()


def _somebody_waits(store: Store) -> bool:
    with store.reading() as db:
        return bool(db.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar())


def test_a_flag_keeps_its_first_reason_until_it_is_settled(store: Store) -> None:
    message_id, (row_id,) = put_out(store)
    with store.transaction() as db:
        journal.flag(db, row_of(store, row_id), "overdue", at=5)
        journal.flag(db, row_of(store, row_id), "conflict", at=6, detail={"more": 1})
    row = row_of(store, row_id)
    assert (row["attention"], row["attention_since"]) == ("overdue", 5)
    assert kinds_of(store, message_id)[1:] == ["attention", "attention"]


def test_a_reason_that_is_no_longer_true_gives_way_to_what_became_of_the_row_and_no_other_does(store: Store) -> None:
    message_id, (row_id,) = put_out(store)
    with store.transaction() as db:
        stale = row_of(store, row_id)
        journal.flag(db, stale, "transport overdue", at=5)
        journal.flag(db, stale, "abandoned", at=6, over="transport overdue")
        journal.flag(db, stale, "refused", at=7, over="transport overdue")
    row = row_of(store, row_id)
    assert (row["attention"], row["attention_since"]) == ("abandoned", 6)
    assert kinds_of(store, message_id)[1:] == ["attention", "attention over", "attention", "attention"]


def test_good_news_takes_a_row_off_the_attention_list_once(store: Store) -> None:
    message_id, (row_id,) = put_out(store)
    with store.transaction() as db:
        journal.clear_flag(db, row_of(store, row_id), at=4, why="nothing was wrong")
        journal.flag(db, row_of(store, row_id), "overdue", at=5)
    with store.transaction() as db:
        journal.clear_flag(db, row_of(store, row_id), at=6, why="accepted")
    assert row_of(store, row_id)["attention"] is None
    assert kinds_of(store, message_id)[1:] == ["attention", "attention over"]


def test_stored_bytes_come_back_and_corrupt_ones_are_refused(store: Store) -> None:
    message_id, _ = put_out(store, content=b"\x00\xff<a/>")
    with store.reading() as db:
        assert journal.read_payload(db, message_id) == b"\x00\xff<a/>"
    with store.transaction() as db:
        db.execute(payload.update().where(payload.c.message_id == message_id).values(content=b"\x00\xff<b/>"))
    with store.reading() as db, pytest.raises(StoreError) as caught:
        journal.read_payload(db, message_id)
    assert caught.value.code == "STORE.CORRUPT"


def test_bytes_that_are_gone_or_never_were_are_named_so(store: Store) -> None:
    message_id, _ = put_out(store)
    with store.transaction() as db:
        db.execute(payload.update().values(content=None))
    with store.reading() as db:
        for wanted, role in ((message_id, "document"), (message_id, "receipt"), ("unknown", "document")):
            with pytest.raises(StoreError) as caught:
                journal.read_payload(db, wanted, role)
            assert caught.value.code == "STORE.GONE"


def test_p26_an_incident_opens_once_and_closes_once(store: Store) -> None:
    with store.transaction() as db:
        assert journal.open_incident(db, "disk", at=5)
        assert not journal.open_incident(db, "disk", at=6)
        assert journal.is_open(db, "disk")
        assert [(row["name"], row["opened_at"], row["count"]) for row in queries.incidents(db)] == [("disk", 5, 2)]
        assert journal.close_incident(db, "disk")
        assert not journal.close_incident(db, "disk")
        assert not journal.is_open(db, "disk")
        assert journal.open_incident(db, "disk", at=9)


def test_p26_two_jobs_that_open_one_incident_at_once_alarm_once(store: Store) -> None:
    def open_it() -> bool:
        with store.transaction() as db:
            return journal.open_incident(db, "inbox", at=5)

    with ThreadPoolExecutor(4) as pool:
        assert sum(future.result() for future in [pool.submit(open_it) for _ in range(8)]) == 1


def test_receipt_errors_survive_the_store(store: Store) -> None:
    errors = (Coded.of(8221, "T02"), Coded("X99", "8221", None, "free text"))
    _, (row_id,) = put_out(store)
    with store.transaction() as db:
        db.execute(delivery.update().values(errors=journal.write_errors(errors)))
    assert journal.read_errors(row_of(store, row_id)["errors"]) == errors
    assert journal.read_errors(None) == ()
