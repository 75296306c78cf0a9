"""Opening, migrating, and every way in which a database says no (P21, P22)."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapter.errors import AdapterError, SettingsError, StoreError
from adapter.store import tables
from adapter.store.database import Store, from_us, open_store, to_us
from tests.store.shelf import Clock, claimed, new_id, put_out, row_of


def _open(url: str, environment: str = "test", busy_wait_s: float = 0.2) -> Store:
    return open_store(url, environment=environment, now=Clock(), new_id=new_id, busy_wait_s=busy_wait_s)


def _sqlite(file: Path) -> str:
    return f"sqlite:///{file}"


def _differences(store: Store) -> list[object]:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with store.reading() as db:
        context = MigrationContext.configure(db, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, tables.metadata))


def test_the_migrations_make_exactly_the_tables_of_the_code(store: Store) -> None:
    assert _differences(store) == []


def test_the_migrations_write_the_same_sqlite_statements_as_the_tables(file: Path) -> None:
    def statements(db: sqlite3.Connection) -> dict[str, str]:
        found = db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
        return {name: " ".join(sql.split()) for name, sql in found if name != "alembic_version"}

    made = sa.create_engine("sqlite://")
    tables.metadata.create_all(made)
    with sqlite3.connect(file) as migrated, made.connect() as direct:
        assert statements(migrated) == statements(direct.connection.dbapi_connection)  # type: ignore[arg-type]


def test_a_new_file_is_migrated_and_opened_again_without_alembic(tmp_path: Path) -> None:
    url = _sqlite(tmp_path / "folder" / "new.db")
    _open(url).close()
    code = (
        "import sys, datetime; from adapter.store.database import open_store;"
        f"open_store({url!r}, environment='test', now=lambda: datetime.datetime.now(datetime.UTC), new_id=str).close();"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_several_processes_may_open_a_new_store_at_once(
    url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    fresh = request.getfixturevalue("bare_postgres") if url.startswith("postgresql") else _sqlite(tmp_path / "n.db")
    with ThreadPoolExecutor(3) as pool:
        stores = list(pool.map(lambda _: _open(fresh, busy_wait_s=30), range(3)))
    assert _differences(stores[0]) == []
    for store in stores:
        store.close()


def test_p22_a_store_of_another_environment_is_refused(url: str) -> None:
    _open(url).close()
    with pytest.raises(SettingsError) as caught:
        _open(url, "production")
    assert caught.value.code == "SETTINGS.MIX"
    _open(url).close()


def test_a_store_of_a_newer_version_is_refused(file: Path) -> None:
    with sqlite3.connect(file) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SettingsError) as caught:
        _open(_sqlite(file))
    assert caught.value.code == "SETTINGS.STORE"


@pytest.mark.parametrize("url", ["not a url", "nosuchdatabase://x", "sqlite:///file:x.db?uri=true", "mysql://h/x"])
def test_a_url_that_names_no_store_is_a_settings_error(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        _open(url)
    assert caught.value.where == "store.url"
    assert caught.value.cure


def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"this is no database at all, " * 100)
    with pytest.raises(StoreError):
        _open(_sqlite(tmp_path / "store.db"))


def test_p21_the_database_and_its_side_files_are_readable_by_us_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        file = tmp_path / "store.db"
        (tmp_path / "store.db").touch(0o666)
        store = _open(_sqlite(file))
        put_out(store)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        store.close()
    finally:
        os.umask(old)
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


def test_sqlite_is_durable_and_lets_readers_pass_writers(sqlite_store: Store) -> None:
    with sqlite_store.reading() as db:
        assert db.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert db.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert db.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_locked_database_is_a_store_error_after_a_bounded_wait(sqlite_store: Store, file: Path) -> None:
    _, (row_id,) = put_out(sqlite_store)
    holder = _other_process_locks(file)
    try:
        started = time.monotonic()
        with pytest.raises(StoreError, match="locked") as caught:
            put_out(sqlite_store)
        assert time.monotonic() - started < 5
        assert caught.value.again == "later"
        assert row_of(sqlite_store, row_id)["leg"] == "queued"  # reading does not wait
        _open(_sqlite(file)).close()  # nor does opening a store that is up to date
    finally:
        holder.communicate(b"\n", timeout=10)
    assert claimed(sqlite_store) == [row_id]


def _other_process_locks(file: Path) -> subprocess.Popen[bytes]:
    code = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "db.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.readline()"
    )
    command = [sys.executable, "-c", code, str(file)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    return holder


def test_a_lock_that_is_held_too_long_is_a_store_error_on_postgresql_too(clean_postgres: str) -> None:
    first, second = _open(clean_postgres), _open(clean_postgres)
    _, (row_id,) = put_out(first)
    with first.transaction() as db:
        db.execute(tables.delivery.update().values(urgency=1))
        with pytest.raises(StoreError), second.transaction() as other:
            other.execute(tables.delivery.update().values(urgency=2))
    assert row_of(first, row_id)["urgency"] == 1
    first.close()
    second.close()


def test_a_full_disk_is_a_store_error_that_changes_nothing_and_passes(sqlite_store: Store) -> None:
    put_out(sqlite_store)
    engine = sqlite_store._engine

    def bound(raw: sqlite3.Connection, _record: object) -> None:
        pages = raw.execute("PRAGMA page_count").fetchone()[0]
        raw.execute(f"PRAGMA max_page_count = {pages + 2}")

    sa.event.listen(engine, "connect", bound)
    sqlite_store.close()  # the next connections have room for two pages more
    with pytest.raises(StoreError, match="full"):
        put_out(sqlite_store, content=b"x" * 100_000)
    with sqlite_store.reading() as db:
        assert db.execute(sa.select(sa.func.count()).select_from(tables.message)).scalar() == 1
        assert db.execute(sa.select(sa.func.count()).select_from(tables.event)).scalar() == 1
    sa.event.remove(engine, "connect", bound)
    sqlite_store.close()
    put_out(sqlite_store, content=b"x" * 100_000)


def _as_nobody(action: Callable[[], object]) -> str:
    """What the action raises in a child process without root's rights: the error's code, or "nothing"."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = "nothing"
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            action()
        except AdapterError as error:
            said = error.code
        except BaseException as error:  # noqa: BLE001  # the child must always answer
            said = repr(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as pipe:
        return pipe.read().decode()


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that a process without rights can reach."""
    for folder in (tmp_path, *tmp_path.parents):
        if str(folder) in ("/", tempfile.gettempdir()):
            break
        folder.chmod(folder.stat().st_mode | 0o555 if os.geteuid() == 0 else folder.stat().st_mode)
    return tmp_path


def test_a_read_only_file_or_folder_is_a_store_error(open_folder: Path, file: Path) -> None:
    file.chmod(0o444)
    assert _as_nobody(lambda: _open(_sqlite(file))) == "STORE"
    shut = open_folder / "shut"
    shut.mkdir(mode=0o555)
    assert _as_nobody(lambda: _open(_sqlite(shut / "new.db"))) == "STORE"
    assert _as_nobody(lambda: _open(_sqlite(shut / "deeper" / "new.db"))) == "STORE"


def test_a_folder_in_the_files_place_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        _open(_sqlite(tmp_path))
    assert os.strerror(errno.EISDIR) in str(caught.value)


def test_an_error_in_a_transaction_rolls_all_of_it_back(store: Store) -> None:
    commits = store.commits
    with pytest.raises(ZeroDivisionError), store.transaction() as db:
        db.execute(tables.incident.insert().values(name="x", opened_at=1, count=1 // 0))
    with store.reading() as db:
        assert db.execute(sa.select(tables.incident)).all() == []
    assert store.commits == commits


def test_p21_a_broken_rule_of_the_database_is_told_without_the_values(store: Store) -> None:
    values = {"message_id": "no such message", "role": "document", "sha256": "canary", "size_bytes": 1}
    with pytest.raises(StoreError) as caught, store.transaction() as db:
        db.execute(tables.payload.insert().values(values))
    assert caught.value.code == "STORE.INTEGRITY"
    assert "canary" not in str(caught.value)
    assert "no such message" not in str(caught.value)


def test_commits_are_counted_and_told(store: Store) -> None:
    told: list[int] = []
    store.after_commit = told.append
    put_out(store)
    put_out(store)
    assert told == [1, 2]


def test_threads_share_a_store_without_losing_a_write(store: Store) -> None:
    def work(_: int) -> None:
        for _ in range(5):
            put_out(store)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    with store.reading() as db:
        assert db.execute(sa.select(sa.func.count()).select_from(tables.message)).scalar() == 20
    assert threading.active_count() < 50


def test_times_are_whole_microseconds_both_ways() -> None:
    when = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=UTC)
    assert from_us(to_us(when)) == when
    assert from_us(None) is None
    assert from_us(0) == datetime(1970, 1, 1, tzinfo=UTC)


def test_p28_free_space_is_known_beside_a_file_only(sqlite_store: Store, clock: Clock) -> None:
    free = sqlite_store.free_bytes()
    assert free is not None
    assert free > 0
    memory = open_store("sqlite://", environment="test", now=clock, new_id=new_id)
    assert memory.free_bytes() is None
    memory.close()


def test_p28_free_space_of_a_server_is_not_ours_to_see(clean_postgres: str) -> None:
    store = _open(clean_postgres)
    assert store.free_bytes() is None
    store.close()
