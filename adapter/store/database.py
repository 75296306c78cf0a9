"""Open the database, migrate it, and hand out transactions.

SQLite runs in WAL mode with ``synchronous=FULL`` and ``BEGIN IMMEDIATE`` for writers, so that "remember before
answering" is one durable transaction and a second writer waits a bounded time. PostgreSQL works by URL. Files are 0600
(P21).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from adapter.errors import SettingsError, StoreError
from adapter.store import tables
from adapter.store.statements import put_once

HEAD = "0004"  # newest migration; opening an up-to-date store does not load Alembic


def to_us(when: datetime) -> int:
    """UTC microseconds of an aware datetime."""
    return round(when.timestamp() * 1_000_000)


def from_us(value: int | None) -> datetime | None:
    """The aware datetime, None for None."""
    return None if value is None else datetime.fromtimestamp(value / 1_000_000, UTC)


# The WAL is written over again and again once it has 32 MB: room for a large message, which would otherwise be written
# twice at once. The page size counts when a file is made: large messages are written faster in larger pages.
_PRAGMAS = ("page_size=8192", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "wal_autocheckpoint=4000")


class Store:
    """A database with its clock. Close it; one instance serves many threads.

    ``after_commit`` is called with the number of commits so far, for tests that stop the process at a given one.
    """

    def __init__(self, engine: sa.Engine, *, now: Callable[[], datetime], new_id: Callable[[], str]) -> None:
        self._engine = engine
        self._folder = _folder_of(engine.url)
        self.now = now
        self.new_id = new_id
        self.commits = 0
        self.after_commit: Callable[[int], None] | None = None

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One write transaction; any error rolls back. Raises StoreError; nothing was changed then."""
        with _translated(), _writing(self._engine) as connection:
            yield connection
        self.commits += 1
        if self.after_commit is not None:
            self.after_commit(self.commits)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A snapshot for reading; never waits for writers on SQLite."""
        with _translated(), self._engine.connect() as connection:
            _say(connection, "BEGIN")
            yield connection

    def now_us(self) -> int:
        return to_us(self.now())

    @property
    def postgres(self) -> bool:
        return self._engine.dialect.name == "postgresql"

    def free_bytes(self) -> int | None:
        """Free space beside a SQLite file, None for other databases (P28)."""
        if self._folder is None:
            return None
        stat = os.statvfs(self._folder)
        return stat.f_bavail * stat.f_frsize

    def close(self) -> None:
        self._engine.dispose()


def _folder_of(url: sa.URL) -> str | None:
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:":
        return None
    return os.path.dirname(name) or "."


def add_once(db: sa.Connection, table: sa.Table, **values: object) -> bool:
    """Insert a row unless its key is there, be it added by another writer at this moment; True when added."""
    if db.dialect.name == "sqlite":
        return put_once(db, table, values)
    first = postgresql.insert(table).values(**values).on_conflict_do_nothing().returning(*table.primary_key)
    return db.execute(first).first() is not None


def take_turns(db: sa.Connection, what: str) -> None:
    """Hold everybody else who names the same thing until this transaction ends.

    SQLite's writers take turns anyway; on PostgreSQL this is what keeps "look, then insert" one step.
    """
    if db.dialect.name == "postgresql":
        db.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(what, 0))))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:  # the second: from statements that go straight to the driver
        orig = error.orig if isinstance(error, DBAPIError) else error
        code = "STORE.INTEGRITY" if isinstance(error, IntegrityError | sqlite3.IntegrityError) else "STORE"
        # Only SQLite's own words are free of values (P21).
        reason = str(orig) if isinstance(orig, sqlite3.OperationalError) else type(orig).__name__
        raise StoreError(f"the database refused: {reason}", code=code, cure="see doctor: disk, rights, locks") from None
    except PoolTimeoutError:
        raise StoreError("no free connection to the database", cure="look for a hanging job") from None


def open_store(
    url: str,
    *,
    environment: str,
    now: Callable[[], datetime],
    new_id: Callable[[], str],
    busy_wait_s: float = 10.0,
) -> Store:
    """Open (and create or migrate) the store. Raises SettingsError when it belongs to another environment (P22)."""
    engine = _engine(url, busy_wait_s)
    with _translated():
        _migrate(engine)
        _stamp(engine, environment)
    return Store(engine, now=now, new_id=new_id)


def _engine(url: str, busy_wait_s: float) -> sa.Engine:
    cure = "write sqlite:///FILE or postgresql+psycopg://HOST/NAME"
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return _server_engine(parsed, busy_wait_s)
    except ArgumentError:
        raise SettingsError("the store's URL is not one of a database", where="store.url", cure=cure) from None
    except ModuleNotFoundError:
        cure = "pip install 'adapter[postgres]'"
        raise SettingsError("the database's driver is not installed", where="store.url", cure=cure) from None
    if parsed.database and parsed.database.startswith("file:"):  # SQLite's own URIs would go round the 0600 (P21)
        raise SettingsError("the store's URL names a URI, not a file", where="store.url", cure=cure)
    if parsed.database and parsed.database != ":memory:":
        _make_private(Path(parsed.database))
    engine = sa.create_engine(parsed, connect_args={"timeout": busy_wait_s, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _connected(raw: Any, _record: Any) -> None:
        raw.isolation_level = None  # we say BEGIN ourselves
        for pragma in _PRAGMAS:
            raw.execute(f"PRAGMA {pragma}")

    return engine


@contextmanager
def _writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect() as connection, connection.begin():
        _say(connection, "BEGIN IMMEDIATE")
        yield connection


def _say(connection: sa.Connection, words: str) -> None:
    """BEGIN in our words on SQLite. Not by an engine event: those slow down every statement."""
    if connection.dialect.name == "sqlite":
        raw: Any = connection.connection.driver_connection
        raw.execute(words)


def _server_engine(url: sa.URL, busy_wait_s: float) -> sa.Engine:
    """PostgreSQL; waits for connections and locks are bounded, as on SQLite."""
    bounds = {"connect_timeout": max(2, round(busy_wait_s)), "options": f"-c lock_timeout={round(busy_wait_s * 1000)}"}
    return sa.create_engine(url, pool_pre_ping=True, connect_args=bounds)


def _make_private(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        # WAL and shared memory take the main file's mode when they are made; old ones may be left from a crash.
        for made in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
            with suppress(OSError):
                made.chmod(0o600)
    except OSError as error:
        text = f"the database file cannot be written: {error.strerror}"
        raise StoreError(text, where=str(file), cure="check rights") from None


def _migrate(engine: sa.Engine) -> None:
    with engine.connect() as reading:  # an up-to-date store is opened without waiting for its writers
        reading.execution_options(reading=True)
        version = None
        if sa.inspect(reading).has_table("alembic_version"):
            version = reading.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if version == HEAD:
        return
    if version is not None and version > HEAD:
        text = "the store was made by a newer version of the adapter"
        raise SettingsError(text, code="SETTINGS.STORE", cure="install that version, or use another store")
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    with _writing(engine) as connection:
        if engine.dialect.name == "postgresql":  # two starts at once: the second finds the tables made
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7210001)")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _stamp(engine: sa.Engine, environment: str) -> None:
    query = sa.select(tables.meta.c.value).where(tables.meta.c.name == "environment")
    with engine.connect() as reading:
        found = reading.execution_options(reading=True).execute(query).scalar()
    if found is None:
        with _writing(engine) as connection:
            add_once(connection, tables.meta, name="environment", value=environment)
            found = connection.execute(query).scalar()
    if found != environment:
        raise SettingsError(
            f"the store belongs to environment '{found}'", code="SETTINGS.MIX", cure="use a store of its own (P22)"
        )
