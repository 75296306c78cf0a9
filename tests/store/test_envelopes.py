"""What may be held of senders that nobody has vouched for is bounded, and counts while its bytes are here (P28)."""

from __future__ import annotations

import pytest

from adapter.errors import StoreError
from adapter.store import envelopes, queries
from adapter.store.database import Store
from tests.store.shelf import TENANT, Clock, kinds_of, new_id

RAW = b"x" * 5_000
WEIGHT = len(RAW) + envelopes.BESIDE_BYTES
DAY_S = 86_400


def keep(store: Store, most_bytes: int | None = 10 * WEIGHT) -> tuple[str, int]:
    """A kept envelope: its message's id and place."""
    message_id = new_id()
    with store.transaction() as db:
        at = store.now_us()
        seq = envelopes.add_envelope(db, message_id=message_id, tenant=TENANT, raw=RAW, at=at, most_bytes=most_bytes)
    return message_id, seq


def held(store: Store) -> int:
    with store.reading() as db:
        return envelopes.held_unverified(db)


def drop(store: Store, *, only_unverified: bool) -> int:
    """Everything that is older than a day goes; gives of how many messages."""
    now = store.now_us()
    with store.transaction() as db:
        before = now - DAY_S * 1_000_000
        return queries.drop_old_bytes(db, before=before, at=now, only_unverified=only_unverified)


def test_p28_up_to_the_bound_is_kept_and_what_would_pass_it_is_not(store: Store) -> None:
    kept = [keep(store, 2 * WEIGHT) for _ in range(2)]
    with pytest.raises(StoreError) as caught:
        keep(store, 2 * WEIGHT)
    assert (caught.value.code, caught.value.again) == (envelopes.NO_ROOM, "later")
    assert held(store) == 2 * WEIGHT
    with store.reading() as db:
        assert [envelopes.find_raw(db, message_id) for message_id, _ in kept] == [RAW, RAW]
        assert db.exec_driver_sql("SELECT count(*) FROM message").scalar() == 2


def test_p28_what_is_verified_takes_no_room_and_needs_none(store: Store) -> None:
    _, seq = keep(store, WEIGHT)
    keep(store, None)
    assert held(store) == WEIGHT
    with store.transaction() as db:
        envelopes.set_verified(db, seq)
        envelopes.set_verified(db, seq)
    assert held(store) == 0
    keep(store, WEIGHT)


def test_p28_the_retention_of_unverified_bytes_takes_those_alone(store: Store, clock: Clock) -> None:
    stranger, _ = keep(store)
    partner, seq = keep(store)
    with store.transaction() as db:
        envelopes.set_verified(db, seq)
    assert drop(store, only_unverified=True) == 0
    clock.forward(DAY_S + 1)
    young, _ = keep(store)
    assert drop(store, only_unverified=True) == 1
    assert held(store) == WEIGHT
    with store.reading() as db:
        found = [envelopes.find_raw(db, message_id) for message_id in (stranger, partner, young)]
        [role] = queries.payload_roles(db, stranger)
    assert found == [b"", RAW, RAW]
    assert (len(role["sha256"]), role["size_bytes"]) == (64, len(RAW))  # ids and digests stay
    assert kinds_of(store, stranger) == ["envelope received", "bytes deleted"]


def test_p28_the_retention_of_everything_makes_room_too(store: Store, clock: Clock) -> None:
    keep(store)
    clock.forward(DAY_S + 1)
    assert drop(store, only_unverified=False) == 1
    assert held(store) == 0
