"""Large contents, which SQLite writes and reads where they lie: nothing about them differs but the cost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from adapter.errors import StoreError
from adapter.store import journal
from adapter.store.blobs import LARGE_BYTES
from adapter.store.database import Store
from adapter.store.tables import payload
from tests.store.shelf import put_in


def content_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def add_and_fail(store: Store, message_id: str, content: bytes) -> None:
    with store.transaction() as db:
        journal.add_payload(db, message_id, "sealed", content)
        raise ZeroDivisionError


@pytest.mark.parametrize("size", [0, LARGE_BYTES - 1, LARGE_BYTES, LARGE_BYTES + 1, 7_654_321])
def test_a_content_of_any_size_is_kept_byte_for_byte(store: Store, size: int) -> None:
    content = content_of(size)
    message_id, _ = put_in(store, content=content)
    with store.transaction() as db:
        journal.add_payload(db, message_id, "again", content)
        assert journal.read_payload(db, message_id, "again") == content
    with store.reading() as db:
        assert journal.read_payload(db, message_id) == content
        assert db.execute(payload.select().where(payload.c.role == "again")).one().content == content


def test_a_large_content_is_written_to_the_log_once(sqlite_store: Store, file: Path) -> None:
    size = 12_000_000
    log = file.with_name(f"{file.name}-wal")
    before = log.stat().st_size
    put_in(sqlite_store, content=content_of(size))
    assert log.stat().st_size - before < 1.05 * size


def test_room_for_a_large_content_is_given_back(sqlite_store: Store) -> None:
    message_id, _ = put_in(sqlite_store, content=content_of(LARGE_BYTES))
    with sqlite_store.transaction() as db:
        usual = db.exec_driver_sql("PRAGMA cache_size").scalar()
        journal.add_payload(db, message_id, "again", content_of(5_000_000))
        assert db.exec_driver_sql("PRAGMA cache_size").scalar() == usual
    with pytest.raises(StoreError) as caught, sqlite_store.transaction() as db:
        journal.add_payload(db, message_id, "document", content_of(LARGE_BYTES))
    assert caught.value.code == "STORE.INTEGRITY"
    with sqlite_store.transaction() as db:
        assert db.exec_driver_sql("PRAGMA cache_size").scalar() == usual


def test_a_large_content_is_there_when_it_is_committed_and_not_before(store: Store) -> None:
    message_id, _ = put_in(store)
    content = content_of(5_000_000)
    with pytest.raises(ZeroDivisionError):
        add_and_fail(store, message_id, content)
    with store.transaction() as db:
        journal.add_payload(db, message_id, "sealed", content)
        with store.reading() as other, pytest.raises(StoreError) as caught:
            journal.read_payload(other, message_id, "sealed")
        assert caught.value.code == "STORE.GONE"
    with store.reading() as db:
        assert journal.read_payload(db, message_id, "sealed") == content


def test_a_large_content_that_is_gone_or_damaged_is_told(store: Store) -> None:
    content = bytearray(content_of(2_000_000))
    message_id, _ = put_in(store, content=bytes(content))
    content[1_999_999] ^= 1
    for changed, code in ((bytes(content), "STORE.CORRUPT"), (b"", "STORE.CORRUPT"), (None, "STORE.GONE")):
        with store.transaction() as db:
            db.execute(payload.update().values(content=changed))
        with store.reading() as db, pytest.raises(StoreError) as caught:
            journal.read_payload(db, message_id)
        assert caught.value.code == code
