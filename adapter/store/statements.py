"""Statements that are built once and run many times: composing one costs more than running it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

Row = dict[str, Any]


@lru_cache(maxsize=256)
def _select(table: sa.Table, keys: tuple[str, ...], order: tuple[str, ...]) -> sa.Select[Any]:
    query = sa.select(table).where(*(table.c[key] == sa.bindparam(f"is_{key}") for key in keys))
    return query.order_by(*(table.c[name] for name in order))


@lru_cache(maxsize=512)
def _update(table: sa.Table, keys: tuple[str, ...], columns: tuple[str, ...]) -> sa.Update:
    where = [table.c[key] == sa.bindparam(f"is_{key}", type_=table.c[key].type) for key in keys]
    values = {name: sa.bindparam(f"to_{name}", type_=table.c[name].type) for name in columns}
    return table.update().where(*where).values(values)


@lru_cache(maxsize=64)
def _insert(table: sa.Table) -> sa.Insert:
    return table.insert()


def rows_where(db: sa.Connection, table: sa.Table, *order: str, **keys: object) -> list[Row]:
    """The rows whose columns have these values (None is never equal), in the order of the named columns."""
    found = db.execute(_select(table, tuple(keys), order), {f"is_{key}": value for key, value in keys.items()})
    return [dict(row) for row in found.mappings()]


def row_where(db: sa.Connection, table: sa.Table, **keys: object) -> Row | None:
    """The first such row, None when there is none."""
    found = db.execute(_select(table, tuple(keys), ()), {f"is_{key}": value for key, value in keys.items()})
    row = found.mappings().first()
    return None if row is None else dict(row)


def change(db: sa.Connection, table: sa.Table, keys: Mapping[str, object], values: Mapping[str, object]) -> int:
    """UPDATE … SET values WHERE keys; gives how many rows it changed."""
    parameters = {f"is_{key}": value for key, value in keys.items()}
    parameters |= {f"to_{name}": value for name, value in values.items()}
    return db.execute(_update(table, tuple(keys), tuple(values)), parameters).rowcount


def put(db: sa.Connection, table: sa.Table, values: Mapping[str, object]) -> Any:
    """INSERT one row; gives its first primary key column."""
    return db.execute(_insert(table), dict(values)).inserted_primary_key[0]  # type: ignore[index]  # one row: always there
