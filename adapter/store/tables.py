"""The tables (P1: message, delivery, event, payload, and what inboxes and leases need). Times are UTC microseconds.

A message is one MsgId of one tenant; a delivery is one receiver of it, with its own leg and answer (outbound) or step
(inbound). Events are append-only. Payload bytes stand alone, so that a state change never rewrites megabytes.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

metadata = MetaData()
_Key = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only INTEGER PRIMARY KEY


def _index_where(
    name: str, *columns: Column[Any], where: str, on_postgres: str | None = None, unique: bool = False
) -> None:
    """An index of the rows that fulfil a condition; others cost nothing when they are written."""
    there = text(on_postgres or where)
    Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=there)


meta = Table("meta", metadata, Column("name", String, primary_key=True), Column("value", String, nullable=False))

message = Table(
    "message",
    metadata,
    Column("seq", _Key, primary_key=True, autoincrement=True),  # submit order (P5)
    Column("id", String, nullable=False, unique=True),
    Column("tenant", String, nullable=False),
    Column("direction", String, nullable=False),  # out | in
    Column("msg_id", String),  # lower case; UUIDs are compared so
    Column("msg_type", String),
    Column("kind", String),
    Column("namespace", String),
    Column("sender", BigInteger),
    Column("gen_date", String),
    Column("priority", String),
    Column("document_id", String),
    Column("service_type", String),
    Column("parent", String),
    Column("conversation", String),
    Column("digest", String),  # in: canonical document without ds:Signature; out: the bytes
    Column("submit_key", String),
    Column("input_digest", String),
    Column("answers", String),  # an AppRec of ours: the inbound delivery it answers
    Column("is_test", Boolean, nullable=False, default=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("tenant", "submit_key", name="message_submit_key"),
)
Index("message_identity", message.c.msg_id, message.c.direction, message.c.sender)  # MsgId alone too: look-ups by id
_index_where("message_document", message.c.document_id, where="document_id IS NOT NULL")
_index_where("message_answers", message.c.answers, where="answers IS NOT NULL")
_index_where("message_digest", message.c.digest, where="digest IS NOT NULL")
Index("message_created", message.c.created_at)

delivery = Table(
    "delivery",
    metadata,
    Column("id", String, primary_key=True),
    Column("message_id", String, ForeignKey("message.id"), nullable=False, index=True),
    Column("seq", BigInteger, nullable=False),
    Column("tenant", String, nullable=False),
    Column("direction", String, nullable=False),
    Column("party", BigInteger, nullable=False),  # out: receiver; in: our own address
    Column("is_copy", Boolean, nullable=False, default=False),
    Column("road", String, nullable=False),
    Column("leg", String),
    Column("answer", String),
    Column("step", String),
    Column("urgency", Integer, nullable=False, default=9),  # 0 goes first (P9)
    Column("due_at", BigInteger),
    Column("poll_at", BigInteger),  # next status question
    Column("attempts", Integer, nullable=False, default=0),
    Column("resends", Integer, nullable=False, default=0),  # after an unknown outcome (P2)
    Column("lane", String),  # DocumentId or conversation (P5)
    Column("remote_id", String),  # the server's id, newest
    Column("overrides", JSON),
    Column("errors", JSON),
    Column("lease_by", String),
    Column("lease_until", BigInteger),
    Column("put_away", Boolean, nullable=False, default=False),
    Column("attention", String),  # reason code, None when nothing asks for a person
    Column("attention_since", BigInteger),
    Column("settled_by", String),
    Column("queued_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Column("confirmed_at", BigInteger),
    Column("answered_at", BigInteger),
    Column("overdue_at", BigInteger),  # when the overdue finder looks next (P9)
)
_index_where("delivery_turn", delivery.c.urgency, delivery.c.seq, delivery.c.due_at, where="due_at IS NOT NULL")
_index_where("delivery_poll", delivery.c.poll_at, where="poll_at IS NOT NULL")
_index_where("delivery_overdue", delivery.c.overdue_at, where="overdue_at IS NOT NULL")
_index_where("delivery_lane", delivery.c.lane, delivery.c.party, delivery.c.seq, where="lane IS NOT NULL")
CLAIMED = "lease_until IS NOT NULL AND direction = 'out'"  # a query that says this too goes by the index
_index_where("delivery_lease", delivery.c.leg, delivery.c.lease_until, where=CLAIMED)
_index_where("delivery_step", delivery.c.step, delivery.c.seq, where="step IS NOT NULL")
Index("delivery_newest", delivery.c.seq)
_index_where("delivery_attention", delivery.c.attention, where="attention IS NOT NULL")
NOT_PUT_AWAY = "direction = 'in' AND put_away = 0"
NOT_PUT_AWAY_ON_POSTGRES = "direction = 'in' AND NOT put_away"
_index_where("delivery_open_inbox", delivery.c.seq, where=NOT_PUT_AWAY, on_postgres=NOT_PUT_AWAY_ON_POSTGRES)
_index_where(
    "delivery_inbox_item",
    delivery.c.road,
    delivery.c.remote_id,
    delivery.c.party,
    where="direction = 'in' AND remote_id IS NOT NULL",
    unique=True,
)

OUR_ENVELOPES = "direction = 'out' AND road IN ('ebxml-http', 'ebxml-mail')"
_index_where("delivery_envelope", delivery.c.remote_id, where=OUR_ENVELOPES)

remote = Table(
    "remote",
    metadata,
    Column("remote_id", String, primary_key=True),
    Column("message_id", String, ForeignKey("message.id"), nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
)

mail = Table(  # every mail that was taken out of a mailbox
    "mail",
    metadata,
    Column("name", String, primary_key=True),  # UIDVALIDITY, UID and mailbox
    Column("mailbox", String, nullable=False),
    Column("message_id", String, ForeignKey("message.id"), nullable=False),  # where its bytes are kept
    Column("sha256", String, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("taken_at", BigInteger, nullable=False),
    Column("signal_of", String),  # the message whose stored signal answers it
    Column("signal_to", BigInteger),  # the HER-id that it goes to
    Column("signal_kind", String),
    Column("due_at", BigInteger),  # when the signal is sent, or tried again; None: nothing is owed
    Column("answered_at", BigInteger),  # since when nothing is owed
    Column("deleted_at", BigInteger),
)
_index_where("mail_owed", mail.c.mailbox, mail.c.due_at, where="due_at IS NOT NULL")
_index_where("mail_there", mail.c.mailbox, mail.c.answered_at, where="deleted_at IS NULL")
Index("mail_content", mail.c.sha256, mail.c.mailbox)
_index_where("mail_faults", mail.c.signal_to, mail.c.taken_at, where="signal_kind = 'SoapFault'")

unverified = Table(  # what was kept of senders that nobody has vouched for, while its bytes are here
    "unverified",
    metadata,
    Column("seq", _Key, primary_key=True, autoincrement=False),  # the message's
    Column("at", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),  # with what its rows and our answer take
)

event = Table(
    "event",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),  # the cursor of events(after=…)
    Column("at", BigInteger, nullable=False),
    Column("tenant", String, nullable=False),
    Column("message_id", String, index=True),
    Column("delivery_id", String),
    Column("kind", String, nullable=False),
    Column("old", String),
    Column("new", String),
    Column("detail", JSON),
    sqlite_autoincrement=True,
)

payload = Table(
    "payload",
    metadata,
    Column("message_id", String, ForeignKey("message.id"), primary_key=True),
    Column("role", String, primary_key=True),  # document | receipt | answer
    Column("sha256", String, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("content", LargeBinary),  # None when retention took it (P28)
)

pause = Table(
    "pause",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("reason", String, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("again_at", BigInteger, nullable=False),
)

incident = Table(
    "incident",
    metadata,
    Column("name", String, primary_key=True),
    Column("opened_at", BigInteger, nullable=False),
    Column("count", Integer, nullable=False, default=1),
)

lease = Table(
    "lease",
    metadata,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("fence", BigInteger, nullable=False),
)
