"""Sending and following up when processes die, servers repeat themselves, and rows are moved under one's hands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from adapter import worker
from adapter.codes import Coded
from adapter.errors import InputError, RefusedError, StateError, TransportError, UnknownOutcomeError
from adapter.flow import dispatch, outcomes, receipts, watch
from adapter.model.receipt import ReceiptSeen, ReceiptStatus, Verdict
from adapter.model.wire import Sent
from adapter.security.demo_ca import write_pkcs12
from adapter.simulator import world as place
from adapter.store import outbox
from adapter.store.tables import incident, payload
from tests.journeys.rig import Rig, inquiry, letter, load, referral

MakeRig = Callable[..., Rig]
POST, APPREC = "POST /Messages", "POST /Messages/{id}/apprec/{herid}"
ID = "aaaaaaaa-0000-4000-8000-000000000001"
US = place.SOLVANG_GP


def posts(rig: Rig) -> int:
    return len([entry for entry in rig.world.ledger if entry.sender == US])


def claimed(rig: Rig) -> list[dict[str, Any]]:
    """The rows of one due message, as the dispatcher holds them before the first byte leaves."""
    store = rig.adapter.parts.store
    with store.transaction() as db:
        (rows,) = outbox.claim(db, now=store.now_us(), by=rig.adapter.parts.worker, until=store.now_us() + 1_000_000)
    return rows


def message_of(rig: Rig, rows: list[dict[str, Any]]) -> dict[str, Any]:
    with rig.adapter.parts.store.reading() as db:
        found = outbox.find_message(db, rows[0]["message_id"])
    assert found is not None
    return found


def test_p2_an_answer_that_comes_after_its_claim_ran_out_ends_the_wait_for_proof(rig: Rig) -> None:
    sent = rig.send(referral())
    rows = claimed(rig)
    rig.advance(seconds=2)
    dispatch.recover_claims(rig.adapter.parts)  # another worker takes us for dead
    assert rig.state(sent) == [("unknown", "awaited")]
    answer = Sent(remote_id="eeeeeeee-0000-4000-8000-000000000001")
    outcomes.record_sent(rig.adapter.parts, rows, message_of(rig, rows), answer, None)
    assert rig.state(sent) == [("sent", "awaited")]
    rig.rounds(4)
    assert posts(rig) == 0  # nothing is sent a second time


def test_p2_two_workers_that_recover_the_same_row_do_so_once(rig: Rig) -> None:
    sent = rig.send(referral())
    rows = claimed(rig)
    rig.advance(seconds=2)
    dispatch.recover_claims(rig.adapter.parts)
    dispatch._give_up(rig.adapter.parts, rows)  # the second has read the row before the first moved it
    assert rig.kinds(sent).count("unknown") == 1


def test_a_claim_outlasts_every_call_however_long_calls_may_take(make_rig: MakeRig) -> None:
    assert dispatch.claim_us(make_rig().adapter.parts) >= 120e6
    patient = make_rig()
    object.__setattr__(patient.adapter.parts.settings.edi20, "total_timeout_s", 300.0)
    assert dispatch.claim_us(patient.adapter.parts) >= 2 * 300e6


def test_damaged_bytes_stop_their_own_message_only(rig: Rig) -> None:
    first, second = rig.send(referral()), rig.send(inquiry())
    with rig.adapter.parts.store.transaction() as db:
        db.execute(payload.update().where(payload.c.message_id == first).values(content=b"<changed/>"))
    rig.rounds(2)
    assert rig.state(first) == [("suspended", "awaited")]
    assert rig.state(second) == [("confirmed", "accepted")]
    assert rig.attention() == ["suspended"]


def test_p5_an_abandoned_or_refused_earlier_row_frees_its_lane_and_a_suspended_one_holds_it(rig: Rig) -> None:
    change = {**load("referral-frisklivssentral-change"), "receiver": {"her_id": place.GRANLI_FRISKLIV}}
    first, second = rig.send(referral()), rig.send(change)
    with rig.adapter.parts.store.transaction() as db:
        db.execute(payload.update().where(payload.c.message_id == first).values(content=None))
    rig.rounds(3)
    assert (rig.state(first)[0][0], rig.state(second)[0][0]) == ("suspended", "queued")
    rig.adapter.cancel(first)
    rig.rounds(2)
    assert rig.state(second) == [("confirmed", "accepted")]


def test_p5_a_refused_original_does_not_hold_its_change(rig: Rig) -> None:
    rig.world.script(place.GRANLI_FRISKLIV, "transport reject")
    first = rig.send(referral())
    rig.rounds(2)
    change = rig.send({**load("referral-frisklivssentral-change"), "receiver": {"her_id": place.GRANLI_FRISKLIV}})
    rig.rounds(2)
    assert (rig.state(first)[0][0], rig.state(change)[0][0]) == ("refused", "refused")


def test_p5_a_message_in_a_conversation_waits_for_the_one_that_began_it(make_rig: MakeRig) -> None:
    rig = make_rig(faults={POST: [("429", 1, 300)]})
    first = rig.send(referral())
    begun = rig.adapter.show(first)["message"]["msg_id"]
    plain = {**load("dialogue-notat"), "sender": US, "receiver": {"her_id": place.GRANLI_FRISKLIV}}
    reply = rig.send({**plain, "conversation": {"parent": begun, "conversation": begun}})
    elsewhere = rig.send({**plain, "receiver": {"her_id": place.BEKKELIA_GP}})
    rig.rounds(1)
    assert [rig.state(one)[0][0] for one in (first, reply)] == ["queued", "queued"]
    assert rig.state(elsewhere)[0][0] != "queued"
    rig.advance(seconds=400)
    rig.rounds(2)
    order = [entry.msg_id for entry in rig.world.ledger if entry.receivers == (place.GRANLI_FRISKLIV,)]
    assert order == [begun, rig.adapter.show(reply)["message"]["msg_id"]]


def test_p26_a_crash_between_the_commit_and_the_bell_does_not_keep_an_alarm_silent(rig: Rig) -> None:
    rig.world.inject(b"not XML", US)
    rig.rounds(1)
    with rig.adapter.parts.store.transaction() as db:
        db.execute(incident.delete())  # as if the process had died before it rang
    rig.alarms.clear()
    rig.adapter.close()
    rig.adapter = rig.open()
    rig.rounds(2)
    rung = [name for name, clear in rig.alarms if not clear]
    assert len(rung) == 1
    (row,) = rig.adapter.list(attention=True)
    assert rung[0].endswith(row["delivery_id"])
    rig.adapter.settle(row["message_id"], by="Kari", note="seen")
    rig.rounds(2)
    assert (rung[0], True) in rig.alarms


def seen(rig: Rig, sent: str, status: ReceiptStatus, by: int, text: str | None = None) -> str:
    """An AppRec document about a message of ours, matched."""
    errors = () if status is ReceiptStatus.OK else (Coded("X99", "8221", "Annen feil", text),)
    verdict = Verdict(status=status, errors=errors)
    msg_id = rig.adapter.show(sent)["message"]["msg_id"]
    parts = rig.adapter.parts
    with parts.store.transaction() as db:
        return receipts.match_receipt(
            db,
            parts.book(),
            "solvang",
            ReceiptSeen(
                original_msg_id=msg_id.upper(),
                acknowledger_her_ids=(by,),
                verdict=verdict,
                receipt_id="r",
                via="document",
            ),
            at=parts.store.now_us(),
            alarms=[],
        )


@pytest.fixture
def silent(rig: Rig) -> Rig:
    rig.world.script(place.GRANLI_FRISKLIV, "silent")
    return rig


def test_a_status_is_not_asked_for_ever(silent: Rig) -> None:
    sent = silent.send(referral())
    silent.rounds(1)
    silent.advance(days=29)
    silent.rounds(1)
    store = silent.adapter.parts.store
    with store.reading() as db:
        assert outbox.due_polls(db, store.now_us() + 1_900_000_000, 10)
    silent.advance(days=2)
    silent.rounds(1)
    with store.reading() as db:
        assert outbox.due_polls(db, store.now_us() + 10**15, 10) == []
    assert seen(silent, sent, ReceiptStatus.OK, place.GRANLI_FRISKLIV) == "accepted"


def test_p4_a_rejected_message_never_becomes_accepted(silent: Rig) -> None:
    sent = silent.send(referral())
    silent.rounds(1)
    assert seen(silent, sent, ReceiptStatus.REJECTED, place.GRANLI_FRISKLIV) == "rejected"
    assert seen(silent, sent, ReceiptStatus.OK, place.GRANLI_FRISKLIV) == "contradicting receipt"
    assert silent.state(sent) == [("confirmed", "rejected")]


def test_p4_the_receiver_s_organisation_may_answer_and_a_sister_service_may_not(silent: Rig) -> None:
    sent = silent.send(referral())
    silent.rounds(1)
    assert seen(silent, sent, ReceiptStatus.OK, place.GRANLI_NURSING) == "stranger"
    assert silent.state(sent) == [("confirmed", "awaited")]
    assert seen(silent, sent, ReceiptStatus.OK, place.GRANLI) == "accepted"


def test_p4_an_acceptance_after_giving_up_is_taken(rig: Rig) -> None:
    sent = rig.send(referral())
    rows = claimed(rig)
    rig.advance(hours=73)
    outcomes.record_failure(rig.adapter.parts, rows, TransportError("no way out"))
    assert rig.state(sent) == [("abandoned", "awaited")]
    assert seen(rig, sent, ReceiptStatus.OK, place.GRANLI_FRISKLIV) == "accepted"
    assert (rig.state(sent), rig.attention()) == ([("confirmed", "accepted")], [])


def test_p4_an_apprec_for_what_never_left_moves_nothing(rig: Rig) -> None:
    sent = rig.send(referral())
    assert seen(rig, sent, ReceiptStatus.OK, place.GRANLI_FRISKLIV) == "unasked receipt"
    assert rig.state(sent) == [("queued", "awaited")]
    assert rig.attention() == ["unasked receipt"]


def test_p4_an_apprec_ends_the_way_of_a_row_that_was_put_back_into_the_queue(rig: Rig) -> None:
    sent = rig.send(referral())
    outcomes.record_failure(rig.adapter.parts, claimed(rig), TransportError("try later"))
    assert rig.state(sent) == [("queued", "awaited")]
    assert seen(rig, sent, ReceiptStatus.OK, place.GRANLI_FRISKLIV) == "accepted"
    change = rig.send({**load("referral-frisklivssentral-change"), "receiver": {"her_id": place.GRANLI_FRISKLIV}})
    rig.rounds(2)
    assert rig.state(sent) == [("confirmed", "accepted")]
    assert rig.state(change)[0][0] == "confirmed"  # its lane is free


def test_p4_a_repeat_refused_after_an_operator_s_requeue_is_no_rejection(rig: Rig) -> None:
    rig.world.script(place.GRANLI_FRISKLIV, "transport reject")
    sent = rig.send(referral())
    rig.rounds(2)
    rig.world.script(place.GRANLI_FRISKLIV, "silent")
    rig.adapter.requeue(sent, reason="they are back")
    rig.rounds(2)
    answer = seen(rig, sent, ReceiptStatus.REJECTED, place.GRANLI_FRISKLIV, "Duplikat! Meldingen er mottatt før")
    assert (answer, rig.state(sent)[0][1]) == ("repeat refused", "awaited")
    before = len(rig.adapter.events())
    seen(rig, sent, ReceiptStatus.REJECTED, place.GRANLI_FRISKLIV, "Duplikat! Meldingen er mottatt før")
    assert len(rig.adapter.events()) == before  # seen again is no news
    assert rig.attention() == ["repeat refused"]


def answered(rig: Rig, note: bytes | None = None) -> str:
    """The AppRec of a note that a consumer has accepted, queued; its message id."""
    rig.world.inject(note or letter(rig), US)
    rig.adapter.run_once()
    (taken,) = rig.adapter.take("journal")
    rig.adapter.confirm(taken.token, "accept")
    return str(next(row["message_id"] for row in rig.adapter.list() if row["direction"] == "out"))


@pytest.mark.parametrize("fault", ["cut_after_commit", "truncated_json"])
def test_p3_an_apprec_whose_sending_is_unconfirmed_is_looked_for_and_not_doubled(make_rig: MakeRig, fault: str) -> None:
    rig = make_rig(faults={APPREC: [(fault, 1)]})
    receipt = answered(rig)
    rig.rounds(5)
    assert rig.state(receipt)[0][0] == "confirmed"
    assert len(rig.world.receipts(ID)) == 1
    assert rig.steps() == ["receipted"]


def test_p3_an_apprec_that_never_arrived_is_sent_again(make_rig: MakeRig) -> None:
    rig = make_rig(faults={APPREC: [("cut_before", 1)]})
    receipt = answered(rig)
    rig.rounds(5)
    assert rig.state(receipt)[0][0] == "confirmed"
    assert len(rig.world.receipts(ID)) == 1
    assert rig.steps() == ["receipted"]


def test_p3_a_duplicate_hastens_the_resending_of_an_unconfirmed_apprec(make_rig: MakeRig) -> None:
    rig = make_rig(faults={APPREC: [("cut_before", 1)]}, settings={"worker": {"unknown_wait_s": 86400.0}})
    note = letter(rig)
    receipt = answered(rig, note)
    rig.rounds(2)
    assert rig.state(receipt)[0][0] == "unknown"
    rig.world.inject(note, US)
    rig.rounds(3)
    assert "resend asked" in rig.kinds(receipt)
    assert len(rig.world.receipts(ID)) == 1


def test_an_apprec_that_the_server_refuses_asks_for_a_person(rig: Rig) -> None:
    receipt = answered(rig)
    rig.world.office.messages.clear()  # purged at the server: there is nothing to answer any more
    rig.rounds(2)
    assert rig.state(receipt)[0][0] == "refused"
    assert rig.attention() == ["refused"]


def test_an_apprec_that_cannot_leave_for_a_day_is_told(make_rig: MakeRig) -> None:
    rig = make_rig(faults={APPREC: [("500", 1.0), ("cut_before", 1.0)]})
    answered(rig)
    rig.rounds(1)
    rig.advance(hours=25)
    rig.rounds(3)
    assert rig.attention() != []


def test_one_row_that_cannot_be_looked_at_does_not_hold_up_the_other_clocks(make_rig: MakeRig) -> None:
    rig = make_rig(settings={"inbound": {"auto_sorting": True}})
    rig.world.inject(letter(rig), US)
    rig.world.inject(letter(rig, msg_id=f"{ID[:-1]}2"), US)
    rig.rounds(1)
    first = next(row["message_id"] for row in rig.adapter.inbox() if row["msg_id"] == ID)
    with rig.adapter.parts.store.transaction() as db:
        db.execute(payload.update().where(payload.c.message_id == first).values(content=b"not XML"))
    rig.adapter.close()
    rig.adapter = rig.open()  # nothing is remembered of it
    rig.advance(hours=95, minutes=10)
    rig.rounds(2)
    assert len(rig.world.receipts(f"{ID[:-1]}2")) == 1
    assert rig.attention() == ["clock"]
    assert any(name.startswith("clock:") for name, _ in rig.alarms)


def test_a_row_moved_by_another_worker_is_no_alarm(silent: Rig) -> None:
    sent = silent.send(referral())
    silent.rounds(1)
    silent.advance(hours=97)
    parts = silent.adapter.parts
    with parts.store.reading() as db:
        (row,) = [row for row in outbox.overdue(db, parts.store.now_us()) if row["message_id"] == sent]
    watch.find_overdue(parts)
    before = len(silent.alarms)
    watch._look_later(parts, row, StateError("moved", code="STATE.RACE"))
    assert len(silent.alarms) == before


def test_p14_a_finished_document_that_a_company_signed_is_refused_where_a_person_must(rig: Rig) -> None:
    document = letter(
        rig, "nav-henvendelse", sender=US, receiver=place.NAV, sign_with=rig.world.keys.companies["solvang"]
    )
    with pytest.raises(RefusedError, match=r"P14\.OWNER"):
        rig.adapter.send_document(document)


def test_p14_a_finished_document_without_the_signature_its_process_wants_is_refused(rig: Rig) -> None:
    with pytest.raises(RefusedError, match=r"P14\.SIGNATURE"):
        rig.adapter.send_document(letter(rig, "nav-henvendelse", sender=US, receiver=place.NAV))


def test_p23_a_document_goes_out_for_the_tenant_that_its_caller_names_or_not_at_all(make_rig: MakeRig) -> None:
    rig = make_rig(tenants=("solvang", "fjellglott"))
    document = letter(rig, sender=US, receiver=place.BEKKELIA_GP)
    with pytest.raises(InputError, match=r"P23\.TENANT"):
        rig.adapter.send_document(document, tenant="fjellglott")
    assert rig.adapter.send_document(document, tenant="solvang")


def test_p27_a_new_key_is_used_without_a_restart_and_a_broken_one_is_told(rig: Rig) -> None:
    from adapter import xmlio
    from adapter.security import xmldsig

    def signer(about: str) -> int:
        plain = inquiry()
        plain["body"]["text"] += about  # NAV takes the same content once only
        document = rig.adapter.export(rig.send(plain), reason="test")
        return int(xmldsig.verify(xmlio.parse(document)).certificate.serial_number)

    first = signer("1")
    file = rig.folder / "lege.p12"
    file.write_bytes(b"no key")
    assert signer("2") == first
    watch.tell_problems(rig.adapter.parts)
    assert ("renewal:key lege", False) in rig.alarms
    file.unlink()
    write_pkcs12(another_person(rig), file)
    assert signer("3") != first
    watch.tell_problems(rig.adapter.parts)
    assert ("renewal:key lege", True) in rig.alarms


def another_person(rig: Rig) -> Any:
    """A person's key that is not the doctor's."""
    keys = rig.world.keys.persons
    return next(key for name, key in keys.items() if name != ("solvang", "lege"))


def test_p28_housekeeping_deletes_nothing_unless_retention_is_set(rig: Rig) -> None:
    sent = rig.send(referral())
    rig.rounds(2)
    rig.advance(days=4000)
    rig.rounds(2)
    assert rig.adapter.export(sent, reason="still there")


def test_p28_with_retention_final_bytes_go_and_open_ones_stay(make_rig: MakeRig) -> None:
    rig = make_rig(settings={"store": {"url": "sqlite:///store.db", "low_water_bytes": 0, "keep_bytes_days": 30}})
    done = rig.send(referral())
    rig.rounds(2)
    rig.world.script(place.NAV, "silent")
    still = rig.send(inquiry())
    rig.rounds(2)
    rig.advance(days=40)
    rig.rounds(1)
    with rig.adapter.parts.store.reading() as db:
        kept: dict[str, bool] = dict(
            db.execute(sa.select(payload.c.message_id, payload.c.content.is_not(None))).tuples().all()
        )
    assert (bool(kept[done]), bool(kept[still])) == (False, True)


def test_an_unknown_outcome_error_keeps_every_row_of_its_message_together(rig: Rig) -> None:
    plain = {**load("dialogue-status-henvisning"), "sender": US, "receiver": {"her_id": place.BEKKELIA_GP}}
    sent = rig.send({**plain, "copies": [{"her_id": place.NORDVIK_POLICLINIC}]})
    outcomes.record_failure(rig.adapter.parts, claimed(rig), UnknownOutcomeError("cut"))
    assert rig.state(sent) == [("unknown", "awaited")] * 2
    rig.rounds(4)
    assert posts(rig) == 1


def test_damaged_bytes_are_left_out_of_a_batch_and_told(rig: Rig) -> None:
    for number in (1, 2):
        rig.world.inject(letter(rig, msg_id=f"{ID[:-1]}{number}"), US)
    rig.rounds(1)
    damaged = rig.adapter.inbox()[0]["message_id"]
    with rig.adapter.parts.store.transaction() as db:
        db.execute(payload.update().where(payload.c.message_id == damaged).values(content=b"not XML"))
    assert len(rig.adapter.take("journal")) == 1
    assert rig.attention() == ["cannot be handed over"]


@pytest.mark.parametrize("job", ["resume", "poll:solvang", "dispatch", "status", "overdue"])
def test_once_asked_to_stop_no_job_begins_anything(rig: Rig, job: str) -> None:
    rig.send(referral())
    rig.world.inject(letter(rig), US)
    rig.adapter.parts.stopping.set()
    before = rig.adapter.list()
    worker.run_job(rig.adapter.parts, job, worker.jobs(rig.adapter.parts)[job][1])
    assert rig.adapter.list() == before
    assert (posts(rig), rig.world.unread(US)) == (0, 1)


def test_a_refused_status_stops_the_tenant_and_the_next_good_one_starts_it(make_rig: MakeRig) -> None:
    rig = make_rig(faults={"GET /Messages/{id}/status": [("403", [1, 2])]})
    rig.world.script(place.GRANLI_FRISKLIV, "silent")
    sent = rig.send(referral())
    for _ in range(4):
        rig.rounds(2)
        rig.advance(seconds=301)
    assert rig.state(sent) == [("confirmed", "awaited")]
    assert [clear for name, clear in rig.alarms if name == "access:solvang"] == [False, True]
