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
from sqlalchemy.exc import DBAPIError

from adapter.errors import SettingsError, StoreError
from adapter.store import tables

HEAD = "0001"  # newest migration; opening an up-to-date store does not load Alembic


def to_us(when: datetime) -> int:
    """UTC microseconds of an aware datetime."""
    return round(when.timestamp() * 1_000_000)


def from_us(value: int | None) -> datetime | None:
    """The aware datetime, None for None."""
    return None if value is None else datetime.fromtimestamp(value / 1_000_000, UTC)


class Store:
    """A database with its clock. Close it; one instance serves many threads.

    ``after_commit`` is called with the number of commits so far, for tests that stop the process at a given one.
    """

    def __init__(self, engine: sa.Engine, *, now: Callable[[], datetime], new_id: Callable[[], str]) -> None:
        self._engine = engine
        self.now = now
        self.new_id = new_id
        self.commits = 0
        self.after_commit: Callable[[int], None] | None = None

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One write transaction; any error rolls back. Raises StoreError; nothing was changed then."""
        with _translated(), self._engine.begin() as connection:
            yield connection
        self.commits += 1
        if self.after_commit is not None:
            self.after_commit(self.commits)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A snapshot for reading; never waits for writers on SQLite."""
        with _translated(), self._engine.connect() as connection:
            yield connection.execution_options(reading=True)

    def now_us(self) -> int:
        return to_us(self.now())

    @property
    def postgres(self) -> bool:
        return self._engine.dialect.name == "postgresql"

    def free_bytes(self) -> int | None:
        """Free space beside a SQLite file, None for other databases (P28)."""
        name = self._engine.url.database
        if self._engine.dialect.name != "sqlite" or not name or name == ":memory:":
            return None
        stat = os.statvfs(Path(name).parent)
        return stat.f_bavail * stat.f_frsize

    def close(self) -> None:
        self._engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        text = type(error.orig).__name__
        code = "STORE.INTEGRITY" if isinstance(error.orig, sqlite3.IntegrityError) else "STORE"
        reason = str(error.orig) if isinstance(error.orig, sqlite3.OperationalError) else text
        raise StoreError(f"the database refused: {reason}", code=code, cure="see doctor: disk, rights, locks") from None


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
        with engine.begin() as connection:
            _stamp(connection, environment)
    return Store(engine, now=now, new_id=new_id)


def _engine(url: str, busy_wait_s: float) -> sa.Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(parsed, pool_pre_ping=True)
    if parsed.database and parsed.database != ":memory:":
        _make_private(Path(parsed.database))
    engine = sa.create_engine(parsed, connect_args={"timeout": busy_wait_s, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _connected(raw: Any, _record: Any) -> None:
        raw.isolation_level = None  # we say BEGIN ourselves
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "wal_autocheckpoint=2000"):
            raw.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _make_private(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        # WAL and shared memory take the main file's mode.
        with suppress(OSError):
            file.chmod(0o600)
    except OSError as error:
        text = f"the database file cannot be written: {error.strerror}"
        raise StoreError(text, where=str(file), cure="check rights") from None


def _migrate(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        if sa.inspect(connection).has_table("alembic_version"):
            version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            if version == HEAD:
                return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _stamp(connection: sa.Connection, environment: str) -> None:
    found = connection.execute(sa.select(tables.meta.c.value).where(tables.meta.c.name == "environment")).scalar()
    if found is None:
        connection.execute(tables.meta.insert().values(name="environment", value=environment))
    elif found != environment:
        raise SettingsError(
            f"the store belongs to environment '{found}'", code="SETTINGS.MIX", cure="use a store of its own (P22)"
        )
