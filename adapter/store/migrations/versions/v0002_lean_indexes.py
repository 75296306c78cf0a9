"""Indexes hold only the rows that somebody looks for: each one that a commit need not touch is time saved."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_DROPPED = {
    "message": ("message_document", "message_answers", "message_digest"),
    "delivery": ("delivery_due", "delivery_lane", "delivery_lease", "delivery_step", "delivery_open_inbox"),
}


def upgrade() -> None:
    for table, names in _DROPPED.items():
        for name in names:
            op.drop_index(name, table)
    _index_where("message_document", "message", ["document_id"], "document_id IS NOT NULL")
    _index_where("message_answers", "message", ["answers"], "answers IS NOT NULL")
    _index_where("message_digest", "message", ["digest"], "digest IS NOT NULL")
    _index_where("delivery_lane", "delivery", ["lane", "party", "seq"], "lane IS NOT NULL")
    _index_where("delivery_lease", "delivery", ["leg", "lease_until"], "lease_until IS NOT NULL AND direction = 'out'")
    _index_where("delivery_step", "delivery", ["step", "seq"], "step IS NOT NULL")
    not_told = "direction = 'in' AND put_away = 0", "direction = 'in' AND NOT put_away"
    _index_where("delivery_open_inbox", "delivery", ["seq"], *not_told)


def _index_where(name: str, table: str, columns: list[str], condition: str, on_postgres: str | None = None) -> None:
    where, there = sa.text(condition), sa.text(on_postgres or condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=there)
