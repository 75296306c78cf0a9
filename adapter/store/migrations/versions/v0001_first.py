"""The first tables. Frozen: a later change of the tables is a migration of its own, never an edit here."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("value", sa.String(), nullable=False),
    )
    _create_message()
    _create_delivery()
    _create_traces()
    _create_watch()


def _create_message() -> None:
    op.create_table(
        "message",
        sa.Column("seq", _KEY, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(), nullable=False, unique=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("msg_id", sa.String()),
        sa.Column("msg_type", sa.String()),
        sa.Column("kind", sa.String()),
        sa.Column("namespace", sa.String()),
        sa.Column("sender", sa.BigInteger()),
        sa.Column("gen_date", sa.String()),
        sa.Column("priority", sa.String()),
        sa.Column("document_id", sa.String()),
        sa.Column("service_type", sa.String()),
        sa.Column("parent", sa.String()),
        sa.Column("conversation", sa.String()),
        sa.Column("digest", sa.String()),
        sa.Column("submit_key", sa.String()),
        sa.Column("input_digest", sa.String()),
        sa.Column("answers", sa.String()),
        sa.Column("is_test", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("tenant", "submit_key", name="message_submit_key"),
    )
    op.create_index("message_identity", "message", ["msg_id", "direction", "sender"])
    op.create_index("message_document", "message", ["document_id", "sender"])
    op.create_index("message_answers", "message", ["answers"])
    op.create_index("message_digest", "message", ["digest"])
    op.create_index("message_created", "message", ["created_at"])


def _create_delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("message_id", sa.String(), sa.ForeignKey("message.id"), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("party", sa.BigInteger(), nullable=False),
        sa.Column("is_copy", sa.Boolean(), nullable=False),
        sa.Column("road", sa.String(), nullable=False),
        sa.Column("leg", sa.String()),
        sa.Column("answer", sa.String()),
        sa.Column("step", sa.String()),
        sa.Column("urgency", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("poll_at", sa.BigInteger()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("resends", sa.Integer(), nullable=False),
        sa.Column("lane", sa.String()),
        sa.Column("remote_id", sa.String()),
        sa.Column("overrides", sa.JSON()),
        sa.Column("errors", sa.JSON()),
        sa.Column("lease_by", sa.String()),
        sa.Column("lease_until", sa.BigInteger()),
        sa.Column("put_away", sa.Boolean(), nullable=False),
        sa.Column("attention", sa.String()),
        sa.Column("attention_since", sa.BigInteger()),
        sa.Column("settled_by", sa.String()),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger()),
        sa.Column("confirmed_at", sa.BigInteger()),
        sa.Column("answered_at", sa.BigInteger()),
        sa.Column("overdue_at", sa.BigInteger()),
    )
    op.create_index("ix_delivery_message_id", "delivery", ["message_id"])
    _index_where("delivery_due", ["due_at"], "due_at IS NOT NULL")
    _index_where("delivery_turn", ["urgency", "seq", "due_at"], "due_at IS NOT NULL")
    _index_where("delivery_poll", ["poll_at"], "poll_at IS NOT NULL")
    _index_where("delivery_overdue", ["overdue_at"], "overdue_at IS NOT NULL")
    op.create_index("delivery_lane", "delivery", ["lane", "party", "seq"])
    op.create_index("delivery_lease", "delivery", ["leg", "lease_until"])
    op.create_index("delivery_step", "delivery", ["step", "seq"])
    op.create_index("delivery_newest", "delivery", ["seq"])
    _index_where("delivery_attention", ["attention"], "attention IS NOT NULL")
    op.create_index("delivery_open_inbox", "delivery", ["put_away", "direction"])
    inbound = "direction = 'in' AND remote_id IS NOT NULL"
    _index_where("delivery_inbox_item", ["road", "remote_id", "party"], inbound, unique=True)


def _index_where(name: str, columns: list[str], condition: str, *, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(name, "delivery", columns, unique=unique, sqlite_where=where, postgresql_where=where)


def _create_traces() -> None:
    op.create_table(
        "remote",
        sa.Column("remote_id", sa.String(), primary_key=True),
        sa.Column("message_id", sa.String(), sa.ForeignKey("message.id"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_remote_message_id", "remote", ["message_id"])
    op.create_table(
        "event",
        sa.Column("id", _KEY, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("message_id", sa.String()),
        sa.Column("delivery_id", sa.String()),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("old", sa.String()),
        sa.Column("new", sa.String()),
        sa.Column("detail", sa.JSON()),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_message_id", "event", ["message_id"])
    op.create_table(
        "payload",
        sa.Column("message_id", sa.String(), sa.ForeignKey("message.id"), primary_key=True),
        sa.Column("role", sa.String(), primary_key=True),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary()),
    )


def _create_watch() -> None:
    op.create_table(
        "pause",
        sa.Column("tenant", sa.String(), primary_key=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("again_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "incident",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
    )
