"""Statements that are built once and run many times: composing one costs more than running it.

On SQLite they go to the driver in the form that SQLAlchemy has written for it, with its conversions of JSON and
booleans; its own way of running a statement costs several times as much. Elsewhere SQLAlchemy runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

Row = dict[str, Any]
_Convert = Callable[[Any], Any] | None
_SQLITE = sqlite.dialect()


class Ready:
    """A statement as the SQLite driver takes it; ``columns`` are those of the rows it gives."""

    def __init__(
        self, statement: sa.Select[Any] | sa.Insert | sa.Update | sa.Delete, columns: tuple[sa.ColumnElement[Any], ...]
    ) -> None:
        compiled = statement.compile(dialect=_SQLITE)
        self.sql = str(compiled)
        self._order = [
            (name, compiled.binds[name].type.dialect_impl(_SQLITE).bind_processor(_SQLITE))
            for name in compiled.positiontup or ()
        ]
        # Values that the statement itself has: constants, LIMIT.
        self._fixed = {name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required}
        self._columns: list[tuple[str, _Convert]] = [
            (str(column.key), column.type.dialect_impl(_SQLITE).result_processor(_SQLITE, None)) for column in columns
        ]

    def run(self, db: sa.Connection, values: Mapping[str, object]) -> Any:
        """The driver's cursor."""
        raw: Any = db.connection.driver_connection
        if self._fixed:
            values = {**self._fixed, **values}
        given = [values[name] if convert is None else convert(values[name]) for name, convert in self._order]
        return raw.execute(self.sql, given)

    def row(self, found: tuple[Any, ...]) -> Row:
        pairs = zip(self._columns, found, strict=True)
        return {name: value if convert is None else convert(value) for (name, convert), value in pairs}


@lru_cache(maxsize=256)
def _select(table: sa.Table, keys: tuple[str, ...], order: tuple[str, ...]) -> sa.Select[Any]:
    query = sa.select(table).where(*(table.c[key] == sa.bindparam(f"is_{key}") for key in keys))
    return query.order_by(*(table.c[name] for name in order))


@lru_cache(maxsize=256)
def _ready_select(table: sa.Table, keys: tuple[str, ...], order: tuple[str, ...]) -> Ready:
    return Ready(_select(table, keys, order), tuple(table.c))


@lru_cache(maxsize=512)
def _update(table: sa.Table, keys: tuple[str, ...], columns: tuple[str, ...]) -> sa.Update:
    where = [table.c[key] == sa.bindparam(f"is_{key}", type_=table.c[key].type) for key in keys]
    values = {name: sa.bindparam(f"to_{name}", type_=table.c[name].type) for name in columns}
    return table.update().where(*where).values(values)


@lru_cache(maxsize=512)
def _ready_update(table: sa.Table, keys: tuple[str, ...], columns: tuple[str, ...]) -> Ready:
    return Ready(_update(table, keys, columns), ())


@lru_cache(maxsize=64)
def _delete(table: sa.Table, keys: tuple[str, ...]) -> sa.Delete:
    return table.delete().where(*(table.c[key] == sa.bindparam(f"is_{key}", type_=table.c[key].type) for key in keys))


@lru_cache(maxsize=64)
def _ready_delete(table: sa.Table, keys: tuple[str, ...]) -> Ready:
    return Ready(_delete(table, keys), ())


@lru_cache(maxsize=64)
def _insert(table: sa.Table) -> sa.Insert:
    return table.insert()


@lru_cache(maxsize=64)
def _defaults(table: sa.Table) -> dict[str, object]:
    found: dict[str, object] = {}
    for column in table.c:
        default: Any = column.default
        if default is not None:
            found[column.name] = default.arg  # all of ours are plain values
    return found


@lru_cache(maxsize=256)
def _ready_insert(table: sa.Table, columns: tuple[str, ...]) -> Ready:
    return Ready(table.insert().values({name: sa.bindparam(name, type_=table.c[name].type) for name in columns}), ())


@lru_cache(maxsize=64)
def _ready_query(query: sa.Select[Any]) -> Ready:
    return Ready(query, tuple(query.selected_columns))


def rows_of(db: sa.Connection, query: sa.Select[Any], values: Mapping[str, object]) -> list[Row]:
    """The rows of a query that is made once, at import, and has all its values as parameters."""
    if db.dialect.name == "sqlite":
        ready = _ready_query(query)
        return [ready.row(found) for found in ready.run(db, values).fetchall()]
    return [dict(row) for row in db.execute(query, values).mappings()]


def rows_where(db: sa.Connection, table: sa.Table, *order: str, **keys: object) -> list[Row]:
    """The rows whose columns have these values (None is never equal), in the order of the named columns."""
    values = {f"is_{key}": value for key, value in keys.items()}
    if db.dialect.name == "sqlite":
        ready = _ready_select(table, tuple(keys), order)
        return [ready.row(found) for found in ready.run(db, values).fetchall()]
    return [dict(row) for row in db.execute(_select(table, tuple(keys), order), values).mappings()]


def row_where(db: sa.Connection, table: sa.Table, **keys: object) -> Row | None:
    """The first such row, None when there is none."""
    values = {f"is_{key}": value for key, value in keys.items()}
    if db.dialect.name == "sqlite":
        ready = _ready_select(table, tuple(keys), ())
        cursor = ready.run(db, values)
        found = cursor.fetchone()
        cursor.close()
        return None if found is None else ready.row(found)
    row = db.execute(_select(table, tuple(keys), ()), values).mappings().first()
    return None if row is None else dict(row)


def change(db: sa.Connection, table: sa.Table, keys: Mapping[str, object], values: Mapping[str, object]) -> int:
    """UPDATE … SET values WHERE keys; gives how many rows it changed."""
    parameters = {f"is_{key}": value for key, value in keys.items()}
    parameters |= {f"to_{name}": value for name, value in values.items()}
    if db.dialect.name == "sqlite":
        return int(_ready_update(table, tuple(keys), tuple(values)).run(db, parameters).rowcount)
    return db.execute(_update(table, tuple(keys), tuple(values)), parameters).rowcount


def remove(db: sa.Connection, table: sa.Table, **keys: object) -> int:
    """DELETE the rows whose columns have these values; gives how many there were."""
    values = {f"is_{key}": value for key, value in keys.items()}
    if db.dialect.name == "sqlite":
        return int(_ready_delete(table, tuple(keys)).run(db, values).rowcount)
    return db.execute(_delete(table, tuple(keys)), values).rowcount


def put(db: sa.Connection, table: sa.Table, values: Mapping[str, object]) -> Any:
    """INSERT one row; gives its first primary key column."""
    if db.dialect.name == "sqlite":
        whole = {**_defaults(table), **values}
        cursor = _ready_insert(table, tuple(whole)).run(db, whole)
        return whole.get(next(iter(table.primary_key)).name, cursor.lastrowid)
    return db.execute(_insert(table), dict(values)).inserted_primary_key[0]  # type: ignore[index]  # one row: always there


@lru_cache(maxsize=256)
def _insert_once(table: sa.Table, columns: tuple[str, ...]) -> sqlite.Insert:
    values = {name: sa.bindparam(name, type_=table.c[name].type) for name in columns}
    return sqlite.insert(table).values(values).on_conflict_do_nothing()


@lru_cache(maxsize=256)
def _ready_insert_once(table: sa.Table, columns: tuple[str, ...]) -> Ready:
    return Ready(_insert_once(table, columns), ())


def put_once(db: sa.Connection, table: sa.Table, values: Mapping[str, object]) -> bool:
    """INSERT one row on SQLite unless its key is there; True when it was added."""
    whole = {**_defaults(table), **values}
    return int(_ready_insert_once(table, tuple(whole)).run(db, whole).rowcount) == 1
