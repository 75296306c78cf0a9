"""A store of each kind: SQLite in a file, and PostgreSQL where it can be started."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapter.store import tables
from adapter.store.database import Store, open_store
from tests.store import postgres
from tests.store.shelf import Clock, new_id


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    reason = postgres.why_not()
    if reason is not None:
        pytest.skip(reason)
    with postgres.server() as url:
        yield url


@pytest.fixture
def bare_postgres(postgres_url: str) -> str:
    """The server's database with nothing in it."""
    _run(postgres_url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    return postgres_url


@pytest.fixture
def clean_postgres(postgres_url: str) -> str:
    """The server's database with our tables and no rows."""
    open_store(postgres_url, environment="test", now=Clock(), new_id=new_id).close()
    names = ", ".join(table.name for table in tables.metadata.sorted_tables)
    _run(postgres_url, f"TRUNCATE {names} RESTART IDENTITY")
    return postgres_url


def _run(url: str, *statements: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as db:
        for statement in statements:
            db.exec_driver_sql(statement)
    engine.dispose()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file; a copy of it is a new store, which is quicker than migrating each time."""
    file = tmp_path_factory.mktemp("template") / "store.db"
    open_store(f"sqlite:///{file}", environment="test", now=Clock(), new_id=new_id).close()
    return file


@pytest.fixture
def file(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(template, tmp_path / "store.db"))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('file')}"
    found: str = request.getfixturevalue("clean_postgres")
    return found


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    opened = open_store(url, environment="test", now=clock, new_id=new_id, busy_wait_s=5.0)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(file: Path, clock: Clock) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{file}", environment="test", now=clock, new_id=new_id, busy_wait_s=0.2)
    yield opened
    opened.close()
