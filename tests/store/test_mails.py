"""Mails of our mailboxes in the store, and the fence that work on one is done behind."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapter.errors import StateError
from adapter.store import envelopes, fence, inbox, mails
from adapter.store.database import Store
from tests.store.shelf import SECOND, TENANT, Clock, new_id

BOX = "clinic@mail/INBOX"


def keep(store: Store, raw: bytes = b"raw") -> tuple[str, str]:
    """A kept envelope: its message and the digest of its bytes."""
    message_id = new_id()
    with store.transaction() as db:
        envelopes.add_envelope(db, message_id=message_id, tenant=TENANT, raw=raw, at=store.now_us(), most_bytes=None)
        found = db.exec_driver_sql(f"SELECT sha256 FROM payload WHERE message_id = '{message_id}'").scalar()
    return message_id, str(found)


def take(store: Store, name: str, *, due: bool = False, kind: str | None = None, raw: bytes = b"raw") -> str:
    message_id, digest = keep(store, raw)
    taken = mails.TakenMail(
        name=name,
        mailbox=BOX,
        message_id=message_id,
        sha256=digest,
        size_bytes=len(raw),
        signal_of=message_id,
        signal_to=17,
        signal_kind=kind,
        due_at=store.now_us() if due else None,
    )
    with store.transaction() as db:
        assert mails.add_mail(db, taken, at=store.now_us())
        assert not mails.add_mail(db, taken, at=store.now_us())
    return digest


def test_a_mail_is_known_by_its_name_until_it_is_deleted_or_forgotten(store: Store) -> None:
    for name in ("7 1 box", "7 2 box", "7 3 box"):
        take(store, name)
    with store.transaction() as db:
        mails.set_deleted(db, "7 1 box", at=1)
        mails.forget_mail(db, "7 2 box")
        assert mails.known_names(db, BOX) == {"7 3 box"}
        assert mails.known_names(db, "another") == set()


def test_signals_are_owed_in_the_order_the_mails_came_and_from_their_time_on(store: Store, clock: Clock) -> None:
    for name in ("7 9 box", "7 1 box"):
        take(store, name, due=True)
        clock.forward(1)
    take(store, "7 5 box")
    with store.transaction() as db:
        assert [row["name"] for row in mails.owed_signals(db, BOX, now=store.now_us(), limit=9)] == [
            "7 9 box",
            "7 1 box",
        ]
        mails.set_due(db, "7 9 box", store.now_us() + SECOND)
        mails.set_answered(db, "7 1 box", at=store.now_us())
        assert mails.owed_signals(db, BOX, now=store.now_us(), limit=9) == []
        assert len(mails.owed_signals(db, BOX, now=store.now_us() + SECOND, limit=9)) == 1


def test_only_mails_that_are_answered_stored_and_there_are_past_their_grace(store: Store, clock: Clock) -> None:
    take(store, "7 1 box")
    take(store, "7 2 box", due=True)
    take(store, "7 3 box")
    other = take(store, "7 4 box", raw=b"other")
    clock.forward(10)
    with store.transaction() as db:
        mails.set_deleted(db, "7 3 box", at=store.now_us())
        db.exec_driver_sql(f"UPDATE payload SET sha256 = 'x' WHERE sha256 = '{other}'")  # these bytes are not stored
        assert [row["name"] for row in mails.past_grace(db, BOX, before=store.now_us(), limit=9)] == ["7 1 box"]
        assert mails.past_grace(db, BOX, before=store.now_us() - 20 * SECOND, limit=9) == []


def test_a_renumbered_mail_keeps_what_it_is_owed_and_equal_bytes_of_one_numbering_are_two_mails(store: Store) -> None:
    digest = take(store, "7 1 box", due=True)
    with store.transaction() as db:
        assert not mails.renumber(db, BOX, digest, 7, "7 2 box")
        assert mails.renumber(db, BOX, digest, 8, "8 2 box")
        assert not mails.renumber(db, BOX, digest, 8, "8 3 box")
        [row] = mails.owed_signals(db, BOX, now=store.now_us(), limit=9)
    assert row["name"] == "8 2 box"


def test_faults_are_counted_for_a_party_and_for_all(store: Store, clock: Clock) -> None:
    take(store, "7 1 box", kind="SoapFault")
    take(store, "7 2 box", kind="Acknowledgment")
    clock.forward(5)
    with store.reading() as db:
        now = store.now_us()
        assert mails.faults_since(db, now - 6 * SECOND) == mails.faults_since(db, now - 6 * SECOND, 17) == 1
        assert mails.faults_since(db, now - 6 * SECOND, 18) == mails.faults_since(db, now - SECOND) == 0
        assert not mails.has_junk(db, BOX)
    take(store, "7 3 box", kind=mails.JUNK)
    with store.reading() as db:
        assert mails.has_junk(db, BOX)


# --- the fence --------------------------------------------------------------------------------------------------------


def test_a_lost_lease_lets_nothing_be_written(store: Store, clock: Clock) -> None:
    first = fence.take(store, "box", "one", lasts_s=10)
    assert first is not None
    behind = fence.FencedStore(store, first)
    with behind.transaction() as db:
        mails.forget_mail(db, "x")
    assert fence.take(store, "box", "two", lasts_s=10) is None
    clock.forward(11)
    with behind.transaction() as db:  # nobody has taken it: it is ours as before
        mails.forget_mail(db, "x")
    second = fence.take(store, "box", "two", lasts_s=10)
    assert second is not None
    for use in (lambda: fence.keep(store, first, lasts_s=10), lambda: behind.transaction().__enter__()):
        with pytest.raises(StateError) as caught:
            use()
        assert caught.value.code == fence.LOST
    fence.leave(store, first)  # what is another's is not given away
    assert fence.take(store, "box", "three", lasts_s=10) is None


def test_a_lease_that_was_another_s_in_between_is_lost_too(store: Store, clock: Clock) -> None:
    first = fence.take(store, "box", "one", lasts_s=10)
    assert first is not None
    clock.forward(11)
    second = fence.take(store, "box", "two", lasts_s=10)
    assert second is not None
    fence.leave(store, second)
    assert fence.take(store, "box", "one", lasts_s=10) is not None
    with pytest.raises(StateError):
        fence.keep(store, first, lasts_s=10)


def test_a_lease_can_be_left_closed_for_a_while(store: Store, clock: Clock) -> None:
    held = fence.take(store, "box", "one", lasts_s=10)
    assert held is not None
    fence.leave(store, held, closed_s=300)
    clock.forward(299)
    assert fence.take(store, "box", "two", lasts_s=10) is None
    clock.forward(2)
    assert fence.take(store, "box", "two", lasts_s=10) is not None


def until_it_waits(store: Store) -> None:
    """On PostgreSQL: until somebody has read the lease and waits for its row."""
    ends = time.monotonic() + 5
    while store.postgres and time.monotonic() < ends:
        with store.reading() as db:
            if db.exec_driver_sql("SELECT 1 FROM pg_locks WHERE NOT granted").first() is not None:
                return


def test_nobody_takes_the_lease_while_a_write_behind_it_is_under_way(store: Store, clock: Clock) -> None:
    held = fence.take(store, "box", "one", lasts_s=10)
    assert held is not None
    clock.forward(11)
    with ThreadPoolExecutor(1) as pool:
        with fence.FencedStore(store, held).transaction() as db:
            taking = pool.submit(fence.take, store, "box", "two", lasts_s=10)
            mails.forget_mail(db, "x")
            until_it_waits(store)
            assert not taking.done()
            inbox.take_lease(db, "box", "one", now=store.now_us(), until=store.now_us() + 10 * SECOND)
        assert taking.result() is None
