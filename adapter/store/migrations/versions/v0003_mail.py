"""The mails of the mailboxes: what each was kept as, which signal it is owed, and when it may be deleted there."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "mail",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("mailbox", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), sa.ForeignKey("message.id"), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.Column("signal_of", sa.String()),
        sa.Column("signal_to", sa.BigInteger()),
        sa.Column("signal_kind", sa.String()),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("answered_at", sa.BigInteger()),
        sa.Column("deleted_at", sa.BigInteger()),
    )
    envelopes = sa.text("direction = 'out' AND road IN ('ebxml-http', 'ebxml-mail')")
    op.create_index("delivery_envelope", "delivery", ["remote_id"], sqlite_where=envelopes, postgresql_where=envelopes)
    _index_where("mail_owed", ["mailbox", "due_at"], "due_at IS NOT NULL")
    _index_where("mail_there", ["mailbox", "answered_at"], "deleted_at IS NULL")
    op.create_index("mail_content", "mail", ["sha256", "mailbox"])
    _index_where("mail_faults", ["signal_to", "taken_at"], "signal_kind = 'SoapFault'")


def _index_where(name: str, columns: list[str], condition: str) -> None:
    op.create_index(name, "mail", columns, sqlite_where=sa.text(condition), postgresql_where=sa.text(condition))
