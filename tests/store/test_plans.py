"""The cost of claiming, polling and finding stays flat: no query of the loop reads a whole table."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapter.model.delivery import Step
from adapter.model.wire import EBXML_ROADS
from adapter.store import envelopes, inbox, mails, outbox, queries
from adapter.store.database import Store, open_store
from tests.store.shelf import TENANT, Clock, new_id

MANY = 50_000
X7 = f"{7:036d}"
FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many})
INSERT INTO {table} SELECT {columns} FROM n
"""


@pytest.fixture(scope="module")
def full(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with fifty thousand finished messages and one that is due."""
    file = tmp_path_factory.mktemp("full") / "store.db"
    file.write_bytes(template.read_bytes())
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA synchronous = OFF")
        _fill(db, "message", {"seq": "i", "id": "'m' || i", "tenant": "'legekontoret'", "direction": "'out'",
                              "msg_id": "printf('%036d', i)", "sender": "1", "is_test": "0",
                              "created_at": "i"})  # fmt: skip
        _fill(db, "delivery", {"id": "'d' || i", "message_id": "'m' || i", "seq": "i", "tenant": "'legekontoret'",
                               "direction": "'out'", "party": "i % 50", "is_copy": "0", "road": "'edi20'",
                               "leg": "'confirmed'", "answer": "'accepted'", "urgency": "9", "attempts": "1",
                               "resends": "0", "lane": "'lane ' || (i % 1000)", "put_away": "0",
                               "queued_at": "i"})  # fmt: skip
        _fill(db, "event", {"id": "i", "at": "i", "tenant": "'legekontoret'", "message_id": "'m' || i",
                            "kind": "'submitted'"})  # fmt: skip
        db.execute("UPDATE delivery SET leg = 'queued', answer = 'awaited', due_at = 1 WHERE id = 'd49999'")
    store = open_store(f"sqlite:///{file}", environment="test", now=Clock(), new_id=new_id)
    yield store
    store.close()


def _fill(db: sqlite3.Connection, table: str, columns: dict[str, str]) -> None:
    names = f"{table} ({', '.join(columns)})"
    db.execute(FILL.format(many=MANY, table=names, columns=", ".join(columns.values())))


Ask = Callable[[sa.Connection], object]
QUERIES: dict[str, Ask] = {
    "claim": lambda db: outbox.claim(db, now=9, by="w", until=10, limit=25),
    "due rows": lambda db: outbox.due_rows(db, now=9),
    "expired claims": lambda db: outbox.expired_claims(db, 9),
    "due polls": lambda db: outbox.due_polls(db, 9, 200),
    "overdue": lambda db: outbox.overdue(db, 9),
    "find sent": lambda db: outbox.find_sent(db, TENANT, X7),
    "find submission": lambda db: outbox.find_submission(db, TENANT, "key"),
    "second msg id": lambda db: outbox.refuse_second_msg_id(db, TENANT, "new"),
    "deliveries": lambda db: outbox.deliveries(db, "m7"),
    "remote ids": lambda db: outbox.remote_ids(db, "m7"),
    "same message": lambda db: inbox.same_message(db, sender=1, msg_id=X7, tenant=TENANT, besides=9),
    "same message, no sender": lambda db: inbox.same_message(db, sender=None, msg_id="x", tenant=TENANT, besides=9),
    "knows document": lambda db: inbox.knows_document(db, document_id="d", sender=1, tenant=TENANT),
    "parked on": lambda db: inbox.parked_on(db, document_id="d", sender=1, tenant=TENANT),
    "find item": lambda db: inbox.find_item(db, "edi20", "r", 1),
    "in step": lambda db: inbox.in_step(db, [Step.RECEIVED, Step.OPENED], 200),
    "in step and due": lambda db: inbox.in_step(db, [Step.RECEIVED, Step.OPENED], 200, now=9),
    "held by": lambda db: inbox.held_by(db, TENANT, "folder"),
    "claims of": lambda db: outbox.claims_of(db, "w"),
    "lane of": lambda db: outbox.lane_of(db, TENANT, "d", X7),
    "rows of": lambda db: queries.rows_of(db, ["d7", "d8"]),
    "not put away": lambda db: inbox.not_put_away(db, TENANT, 100),
    "lease": lambda db: inbox.lease_accepted(db, tenant=TENANT, consumer="c", token="t", now=9, until=10, limit=10),
    "find leased": lambda db: inbox.find_leased(db, "c:t:d7"),
    "newest rows": lambda db: queries.list_rows(db),
    "attention": lambda db: queries.list_rows(db, attention=True),
    "whole MsgId": lambda db: queries.resolve(db, X7),
    "events of": lambda db: queries.events_of(db, "m7"),
    "events after": lambda db: queries.events_after(db, 49_990, 100),
    "held of strangers": lambda db: envelopes.held_unverified(db),
    "verified": lambda db: envelopes.set_verified(db, 7),
    "envelope sent": lambda db: envelopes.find_sent(db, EBXML_ROADS, X7),
    "envelope received": lambda db: envelopes.find_received(db, EBXML_ROADS, X7, 1),
    "kept as": lambda db: envelopes.kept_as(db, "kept mail"),
    "known mails": lambda db: mails.known_names(db, "box"),
    "same mail": lambda db: mails.same_content(db, "box", "digest"),
    "owed signals": lambda db: mails.owed_signals(db, "box", now=9, limit=10),
    "faults of one": lambda db: mails.faults_since(db, 1, 7),
    "faults": lambda db: mails.faults_since(db, 1),
    "mails past grace": lambda db: mails.past_grace(db, "box", before=9, limit=10),
    "junk": lambda db: mails.has_junk(db, "box"),
    "mailed": lambda db: mails.find_mailed(db, "d7", "x@y"),
    "waits since": lambda db: mails.waits_since(db, {"message_id": "m7", "id": "d7"}),
    "answers to": lambda db: queries.answers_to(db, "d7"),
}
FULL_SCAN = re.compile(
    r"^SCAN (delivery|message|event|payload|remote|earlier|mail)"
    r"(?! USING (COVERING )?INDEX (delivery_(newest|turn|open_inbox)|mail_faults))"
)


@pytest.mark.parametrize("name", QUERIES)
def test_no_query_of_the_loop_reads_a_whole_table(full: Store, name: str) -> None:
    asked: list[str] = []
    with full.transaction() as db:
        raw = db.connection.dbapi_connection
        assert raw is not None
        raw.set_trace_callback(asked.append)  # each statement with its values
        try:
            QUERIES[name](db)
        finally:
            raw.set_trace_callback(None)
        assert asked
        for statement in asked:
            if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE")):
                plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}")]
                assert not [step for step in plan if FULL_SCAN.match(step)], (name, plan, statement)
        db.rollback()


def test_a_claim_and_a_look_up_take_as_little_among_fifty_thousand_as_among_few(full: Store) -> None:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with full.transaction() as db:
        raw = db.connection.dbapi_connection
        assert raw is not None
        raw.set_progress_handler(count, 100)  # every hundred steps of SQLite's machine
        groups = outbox.claim(db, now=9, by="w", until=10, limit=25)
        outbox.find_sent(db, TENANT, X7)
        outbox.due_polls(db, 9, 200)
        queries.list_rows(db, limit=20)
        raw.set_progress_handler(None, 0)
        db.rollback()
    assert [row["id"] for group in groups for row in group] == ["d49999"]
    assert steps < 100


def test_a_claim_from_a_backlog_of_fifty_thousand_stops_at_the_first(full: Store) -> None:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with full.transaction() as db:
        db.exec_driver_sql("UPDATE delivery SET leg = 'queued', due_at = 1")
        raw = db.connection.dbapi_connection
        assert raw is not None
        raw.set_progress_handler(count, 100)
        groups = outbox.claim(db, now=9, by="w", until=10, limit=1)
        raw.set_progress_handler(None, 0)
        db.rollback()
    assert [row["id"] for group in groups for row in group] == ["d1"]
    assert steps < 100


def test_a_document_s_lane_is_found_without_sorting_all_its_messages(full: Store) -> None:
    asked: list[str] = []
    with full.transaction() as db:
        raw = db.connection.dbapi_connection
        assert raw is not None
        raw.set_trace_callback(asked.append)
        outbox.lane_of(db, TENANT, "d", None)
        raw.set_trace_callback(None)
        (query,) = asked
        plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {query}")]
        db.rollback()
    assert not [step for step in plan if "TEMP B-TREE" in step], plan
