"""What goes straight to SQLite's driver is written and read as SQLAlchemy itself does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from adapter.errors import StoreError
from adapter.store.database import Store, open_store
from adapter.store.statements import change, put, row_where, rows_where
from adapter.store.tables import delivery, event, message, payload
from tests.store.shelf import Clock, new_id

ROW: dict[str, Any] = {
    "id": "d1",
    "message_id": "m1",
    "seq": 1,
    "tenant": "t",
    "direction": "out",
    "party": 7,
    "road": "edi20",
    "overrides": {"service": "blå", "list": [1, None]},
    "errors": None,
    "queued_at": 1 << 50,
}


@pytest.fixture
def store(tmp_path: Path) -> Any:
    opened = open_store(f"sqlite:///{tmp_path / 'store.db'}", environment="test", now=Clock(), new_id=new_id)
    with opened.transaction() as db:
        put(db, message, {"id": "m1", "tenant": "t", "direction": "out", "created_at": 1})
    yield opened
    opened.close()


def test_a_row_is_written_with_its_defaults_and_read_back_as_sqlalchemy_does(store: Store) -> None:
    with store.transaction() as db:
        put(db, delivery, ROW)
        db.execute(delivery.insert(), [{**ROW, "id": "d2"}])
        ours, theirs = (row_where(db, delivery, id=id_) for id_ in ("d1", "d2"))
        assert ours is not None
        assert ours == {**(theirs or {}), "id": "d1"}
        assert (ours["overrides"], ours["put_away"], ours["attempts"]) == (ROW["overrides"], False, 0)
        for row in db.execute(sa.select(delivery)).mappings():
            assert dict(row) == row_where(db, delivery, id=row["id"])
        raw: Any = db.connection.dbapi_connection
        stored = raw.execute("SELECT overrides, errors, put_away, is_copy FROM delivery").fetchall()
        assert stored[0] == stored[1]


def test_a_row_is_changed_where_all_its_keys_match(store: Store) -> None:
    with store.transaction() as db:
        put(db, delivery, ROW)
        assert change(db, delivery, {"id": "d1", "tenant": "other"}, {"put_away": True}) == 0
        assert change(db, delivery, {"id": "d1", "lane": None}, {"put_away": True}) == 0  # None is never equal
        assert change(db, delivery, {"id": "d1", "tenant": "t"}, {"put_away": True, "errors": [{"code": "E1"}]}) == 1
        found = row_where(db, delivery, id="d1")
        assert found is not None
        assert (found["put_away"], found["errors"]) == (True, [{"code": "E1"}])
        assert db.execute(sa.select(delivery.c.put_away)).scalar() is True


def test_the_key_of_a_new_row_comes_back_and_rows_come_in_order(store: Store) -> None:
    with store.transaction() as db:
        assert put(db, delivery, ROW) == "d1"
        numbers = [put(db, event, {"at": at, "tenant": "t", "kind": "x"}) for at in (3, 1, 2)]
        assert numbers == sorted(numbers)
        assert [row["at"] for row in rows_where(db, event, "at", kind="x")] == [1, 2, 3]
        assert [row["id"] for row in rows_where(db, event, "id", kind="x")] == numbers
        assert rows_where(db, event, kind="y") == []


def test_bytes_stay_bytes(store: Store) -> None:
    content = bytes(range(256))
    with store.transaction() as db:
        put(db, payload, {"message_id": "m1", "role": "r", "sha256": "x", "size_bytes": 256, "content": content})
        found = row_where(db, payload, message_id="m1")
        assert found is not None
        assert found["content"] == content


def test_a_second_row_with_the_same_key_is_an_integrity_error_without_values_and_rolls_back(store: Store) -> None:
    def twice() -> None:
        with store.transaction() as db:
            put(db, delivery, ROW)
            put(db, delivery, ROW)

    with pytest.raises(StoreError) as caught:
        twice()
    assert caught.value.code == "STORE.INTEGRITY"
    assert "d1" not in str(caught.value)
    with store.reading() as db:
        assert row_where(db, delivery, id="d1") is None


def test_a_wrong_column_is_a_defect_of_ours_and_not_ignored(store: Store) -> None:
    with pytest.raises(KeyError), store.transaction() as db:
        put(db, delivery, {**ROW, "no such column": 1})
