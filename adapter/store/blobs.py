"""Large contents on SQLite, written and read where they lie: as a parameter each is copied twice on its way.

The rest of the store runs on every database; here SQLite's incremental input and output is used, in the caller's
transaction like everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa

from adapter.store.statements import Ready, Row
from adapter.store.tables import payload

LARGE_BYTES = 1_000_000
_BYTES_PER_KIB = 900  # of content; the rest of each KiB of the page cache is for what belongs to a page


@cache
def _insert() -> Ready:
    """The row with room for its content."""
    columns: dict[str, Any] = {
        column.name: sa.bindparam(column.name, type_=column.type) for column in payload.c if column.name != "content"
    }
    return Ready(payload.insert().values({**columns, "content": sa.func.zeroblob(sa.bindparam("size_bytes"))}), ())


def put_large(db: sa.Connection, values: Mapping[str, object], content: bytes) -> None:
    """INSERT a payload row whose other columns are ``values``, and write its content into it.

    Until it is written the pages stay in memory; else SQLite would write them to the log twice, empty ones first.
    """
    raw: Any = db.connection.driver_connection
    (usual,) = raw.execute("PRAGMA cache_size").fetchone()
    raw.execute(f"PRAGMA cache_size={-(len(content) // _BYTES_PER_KIB + 2000)}")
    try:
        place = _insert().run(db, values).lastrowid
        with raw.blobopen("payload", "content", place) as blob:
            blob.write(content)
    finally:
        raw.execute(f"PRAGMA cache_size={usual}")


@cache
def _select() -> Ready:
    """All but a large content."""
    small = sa.case((payload.c.size_bytes < LARGE_BYTES, payload.c.content)).label("content")
    kept = payload.c.content.is_not(None).label("kept")
    columns = (
        payload.c.sha256,
        payload.c.size_bytes,
        kept,
        small,
        sa.literal_column("rowid", sa.Integer).label("place"),
    )
    keys = (payload.c[name] == sa.bindparam(name, type_=sa.String()) for name in ("message_id", "role"))
    query = sa.select(*columns).where(*keys)
    return Ready(query, tuple(query.selected_columns))


def find_content(db: sa.Connection, message_id: str, role: str) -> Row | None:
    """A payload's ``content`` (None when it is not kept any more) and ``sha256``; None when there is no such row."""
    ready = _select()
    found = ready.run(db, {"message_id": message_id, "role": role}).fetchone()
    if found is None:
        return None
    row = ready.row(found)
    if row["content"] is None and row["kept"]:
        raw: Any = db.connection.driver_connection
        with raw.blobopen("payload", "content", row["place"], readonly=True) as blob:
            row["content"] = blob.read()
    return row
