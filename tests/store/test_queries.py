"""What operators ask: list, look up, housekeeping (P9, P26, P28)."""

from __future__ import annotations

import pytest

from adapter.model.delivery import Answer, Leg, Step, outcome
from adapter.store import outbox, queries
from adapter.store.database import Store
from adapter.store.journal import flag, read_payload
from tests.store.shelf import HOUR, TENANT, Clock, go, kinds_of, put_in, put_out, row_of


def _listed(store: Store, **wanted: object) -> list[str]:
    with store.reading() as db:
        return [row["delivery_id"] for row in queries.list_rows(db, **wanted)]  # type: ignore[arg-type]


def test_the_list_shows_both_directions_newest_first(store: Store) -> None:
    first = put_out(store)[1][0]
    second = put_in(store)[1]
    third = put_out(store, 100, 200)[1]
    assert _listed(store) == [*third, second, first]
    assert _listed(store, limit=1) == third[:1]


def test_the_list_is_narrowed_by_party_tenant_time_and_patient_free_text(store: Store, clock: Clock) -> None:
    sent = put_out(store, 100, msg_type="HENVISNING_NYTILSTAND")[1][0]
    clock.forward(3600)
    came = put_in(store, party=1, tenant="b", sender=100, document_id="DOC-7")[1]
    assert _listed(store, party=100) == [came, sent]
    assert _listed(store, tenant="b") == [came]
    assert _listed(store, since=store.now_us()) == [came]
    assert _listed(store, text="nytilstand") == [sent]
    assert _listed(store, text="doc-7") == [came]
    assert _listed(store, text="nothing") == []


def test_p26_the_attention_list_is_ordered_by_urgency_then_by_time(store: Store) -> None:
    normal, urgent, calm = put_out(store)[1][0], put_out(store, urgency=0)[1][0], put_out(store)[1][0]
    with store.transaction() as db:
        flag(db, row_of(store, normal), "overdue", at=1)
        flag(db, row_of(store, urgent), "overdue", at=9)
    assert _listed(store, attention=True) == [urgent, normal]
    assert calm not in _listed(store, attention=True)


def _every_pair(store: Store) -> dict[tuple[Leg, Answer], str]:
    """One outbound row in each pair of leg and answer."""
    pairs = {(leg, answer): put_out(store)[1][0] for leg in Leg for answer in Answer}
    with store.transaction() as db:
        for (leg, answer), row_id in pairs.items():
            outbox.set_columns(db, row_id, leg=leg.value, answer=answer.value)
    return pairs


def test_the_list_by_state_agrees_with_the_outcome_table_for_every_pair(store: Store) -> None:
    pairs = _every_pair(store)
    inbound = put_in(store)[1]
    go(store, inbound, Step.REJECTED)
    words = {word.value for table in (Leg, Answer, Step) for word in table}
    words |= {outcome(leg, answer).value for leg, answer in pairs}
    for word in words:
        expected = {
            row_id
            for (leg, answer), row_id in pairs.items()
            if word in (leg.value, answer.value, outcome(leg, answer).value)
        }
        expected |= {inbound} if word == "rejected" else set()
        assert set(_listed(store, state=word)) == expected, word
    assert _listed(store, state="no such state") == []


def test_a_state_is_found_behind_ten_thousand_newer_rows(sqlite_store: Store) -> None:
    old = put_out(sqlite_store)[1][0]
    message_id, _ = put_out(sqlite_store)
    with sqlite_store.transaction() as db:
        db.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10100) INSERT INTO delivery"
            " (id, message_id, seq, tenant, direction, party, is_copy, road, leg, answer, urgency, attempts, resends,"
            "  put_away, queued_at)"
            " SELECT 'row ' || i, ?, 10 + i, 'a', 'out', 1, 0, 'edi20', 'confirmed', 'accepted', 9, 1, 0, 0, 1 FROM n",
            (message_id,),
        )
    assert old in _listed(sqlite_store, state="queued", limit=5)


def test_a_message_is_found_by_any_of_its_ids_and_by_a_unique_prefix(store: Store) -> None:
    message_id, (row_id,) = put_out(store, msg_id="abcdef00-0000-4000-8000-00000000000a")
    with store.transaction() as db:
        outbox.set_columns(db, row_id, remote_id="feedbeef-0000-4000-8000-000000000001")
        outbox.add_remote_id(db, message_id, "deadbeef-0000-4000-8000-000000000001", at=1)
    put_out(store, msg_id="abcdef01-0000-4000-8000-00000000000a")
    with store.reading() as db:
        for wanted in (
            message_id,
            row_id,
            "ABCDEF00-0000-4000-8000-00000000000A",
            "abcdef00",
            message_id[:12],
            "feedbeef-0000-4000-8000-000000000001",
            "deadbeef-0000-4000-8000-000000000001",  # the server's id of an earlier sending (P2)
        ):
            assert queries.resolve(db, wanted) == message_id, wanted


@pytest.mark.parametrize(
    "wanted", ["", "abcdef0", "abcdef0-", "________", "%%%%%%%%", "unknown-id-that-no-row-has", "x" * 40]
)
def test_an_id_that_is_short_ambiguous_or_unknown_finds_nothing(store: Store, wanted: str) -> None:
    put_out(store, msg_id="abcdef0-a")
    put_out(store, msg_id="abcdef0-b")
    with store.reading() as db:
        assert queries.resolve(db, wanted) is None


def test_of_two_messages_with_one_msg_id_the_first_is_shown(store: Store) -> None:
    msg_id = "abcdef00-0000-4000-8000-00000000000a"
    first = put_in(store, msg_id=msg_id)[0]
    put_in(store, msg_id=msg_id)
    with store.reading() as db:
        assert queries.resolve(db, msg_id) == first


def test_times_are_shown_as_iso_text_and_the_rest_as_it_is() -> None:
    row = {"queued_at": 1_772_442_000_000_000, "due_at": None, "party": 7, "at": 0}
    assert queries.shown(row) == {
        "queued_at": "2026-03-02T09:00:00+00:00",
        "due_at": None,
        "party": 7,
        "at": "1970-01-01T00:00:00+00:00",
    }


def test_messages_of_one_conversation_are_found_in_order(store: Store) -> None:
    first = put_out(store, msg_id="m1")[0]
    reply = put_in(store, msg_id="m2", parent="m1", conversation="m1")[0]
    put_in(store, msg_id="m3", conversation="other")
    with store.reading() as db:
        assert queries.conversation(db, ["M1", "", "m2"]) == [first, reply]


def test_the_receipt_of_ours_is_found_by_the_row_it_answers(store: Store) -> None:
    _, row_id = put_in(store)
    receipt = put_out(store, answers=row_id)[0]
    with store.reading() as db:
        assert queries.answers_to(db, row_id)["id"] == receipt  # type: ignore[index]
        assert queries.answers_to(db, "unknown") is None


def test_rows_are_counted_by_leg_answer_and_step(store: Store) -> None:
    put_out(store, 100, 200)
    put_in(store)
    with store.reading() as db:
        assert queries.counts(db) == {"leg.queued": 2, "answer.awaited": 2, "step.received": 1}


def _drop(store: Store, hours_ago: int = 0) -> int:
    with store.transaction() as db:
        return queries.drop_old_bytes(db, before=store.now_us() - hours_ago * HOUR, at=store.now_us())


FINISHED: tuple[tuple[Leg | Answer | Step, ...], ...] = (
    (Leg.SENDING, Leg.CONFIRMED, Answer.ACCEPTED),
    (Leg.SENDING, Leg.SENT, Answer.PARTIAL),
    (Leg.CANCELLED,),
    (Step.OPENED, Step.ACCEPTED, Step.HANDED_OVER, Step.RECEIPTED),
    (Step.DUPLICATE,),
    (Step.OPENED, Step.MATCHED),
)
UNFINISHED: tuple[tuple[Leg | Answer | Step, ...], ...] = (
    (Leg.QUEUED,),
    (Leg.SENDING,),
    (Leg.SENDING, Leg.UNKNOWN),
    (Leg.SENDING, Leg.SENT),
    (Leg.SENDING, Leg.CONFIRMED),
    (Leg.SENDING, Leg.REFUSED),
    (Leg.SENDING, Leg.CONFIRMED, Answer.REJECTED),
    (Leg.SENDING, Leg.SENT, Answer.OVERDUE),
    (Leg.SUSPENDED,),
    (Step.RECEIVED,),
    (Step.OPENED, Step.ACCEPTED),
    (Step.OPENED, Step.ACCEPTED, Step.HANDED_OVER),
    (Step.OPENED, Step.PARKED),
    (Step.QUARANTINED,),
    (Step.CONFLICT,),
)


def _put(store: Store, states: tuple[Leg | Answer | Step, ...]) -> str:
    inbound = isinstance(states[0], Step)
    message_id, row_id = put_in(store) if inbound else (lambda found: (found[0], found[1][0]))(put_out(store))
    first = Step.RECEIVED if inbound else Leg.QUEUED
    go(store, row_id, *(state for state in states if state is not first))
    return message_id


@pytest.mark.parametrize("states", FINISHED, ids=str)
def test_p28_old_bytes_of_finished_messages_are_dropped_with_an_event(
    sqlite_store: Store, clock: Clock, states: tuple[Leg | Answer | Step, ...]
) -> None:
    message_id = _put(sqlite_store, states)
    assert _drop(sqlite_store) == 0  # not older than the limit
    clock.forward(1)
    assert _drop(sqlite_store) == 1
    assert _drop(sqlite_store) == 0
    with sqlite_store.reading() as db:
        [kept] = queries.payload_roles(db, message_id)
        assert (kept["role"], len(kept["sha256"]), kept["size_bytes"]) == ("document", 64, 4)
    assert kinds_of(sqlite_store, message_id)[-1] == "bytes deleted"


@pytest.mark.parametrize("states", UNFINISHED, ids=str)
def test_p28_bytes_of_unfinished_messages_are_never_dropped(
    sqlite_store: Store, clock: Clock, states: tuple[Leg | Answer | Step, ...]
) -> None:
    message_id = _put(sqlite_store, states)
    clock.forward(10_000_000)
    assert _drop(sqlite_store) == 0
    with sqlite_store.reading() as db:
        assert read_payload(db, message_id) == b"<a/>"


def test_p28_a_message_with_one_open_receiver_or_a_flag_keeps_its_bytes(store: Store, clock: Clock) -> None:
    _, (done, _) = put_out(store, 100, 200)
    go(store, done, Leg.SENDING, Leg.CONFIRMED, Answer.ACCEPTED)
    _, (flagged,) = put_out(store)
    go(store, flagged, Leg.SENDING, Leg.CONFIRMED, Answer.ACCEPTED)
    with store.transaction() as db:
        flag(db, row_of(store, flagged), "contradicting receipt", at=1)
    clock.forward(60)
    assert _drop(store) == 0
    with store.transaction() as db:
        outbox.set_columns(db, flagged, attention=None)
    assert _drop(store) == 1


def test_p28_a_rejected_message_is_dropped_once_a_person_has_settled_it(store: Store, clock: Clock) -> None:
    _, (row_id,) = put_out(store, tenant=TENANT)
    go(store, row_id, Leg.SENDING, Leg.CONFIRMED, Answer.REJECTED)
    clock.forward(60)
    assert _drop(store) == 0
    with store.transaction() as db:
        outbox.set_columns(db, row_id, settled_by="Kari")
    assert _drop(store) == 1
