"""A message on its way out, through a real server on loopback."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from adapter import documents, shapes, xmlio
from adapter.config import read_settings
from adapter.errors import ConflictError, NotFoundError, RefusedError, SettingsError, StateError
from adapter.simulator import world as place
from tests.journeys.rig import Rig, inquiry, load, referral

MakeRig = Callable[..., Rig]
POST = "POST /Messages"


def posts(rig: Rig) -> list[object]:
    """What the server took from us, AppRecs apart."""
    return [entry for entry in rig.world.ledger if entry.sender in (place.SOLVANG_GP, place.SOLVANG_DOCTOR)]


def test_a_referral_reaches_the_frisklivssentral_and_its_apprec_is_matched(rig: Rig) -> None:
    sent = rig.send(referral())
    rig.rounds(2)
    assert rig.state(sent) == [("confirmed", "accepted")]
    assert [entry.receivers for entry in posts(rig)] == [(place.GRANLI_FRISKLIV,)]
    assert rig.kinds(sent)[:5] == ["submitted", "sending", "sent", "confirmed", "accepted"]


def test_p24_the_receiver_is_found_by_municipality_and_service_type(rig: Rig) -> None:
    plain = {**referral(), "receiver": {"municipality": "9901", "service_code": "KX04"}}
    assert rig.adapter.show(rig.send(plain))["deliveries"][0]["party"] == place.GRANLI_FRISKLIV


def test_p24_an_unknown_receiver_is_refused_before_anything_is_stored(rig: Rig) -> None:
    with pytest.raises(NotFoundError):
        rig.send({**referral(), "receiver": {"her_id": 4711}})
    assert rig.adapter.list() == []


def test_p24_a_type_that_is_not_agreed_is_refused_and_the_alternatives_are_named(rig: Rig) -> None:
    with pytest.raises(RefusedError, match=r"P24.TYPE.*DIALOG_NOTAT"):
        rig.send(referral(place.NAV))


def test_an_inquiry_signed_by_a_person_is_accepted_by_nav(rig: Rig) -> None:
    sent = rig.send(inquiry())
    rig.rounds(2)
    assert rig.state(sent) == [("confirmed", "accepted")]


def test_p13_a_nav_message_carries_nav_names_on_the_wire(rig: Rig) -> None:
    rig.send(inquiry())
    rig.rounds(1)
    (entry,) = posts(rig)
    names = {name.lower(): value for name, value in (entry.overrides or {}).items()}
    assert (names["service"], names["action"]) == ("HenvendelseFraLege", "Henvendelse")
    assert (names["senderrole"], names["receiverrole"]) == ("Sykmelder", "Saksbehandler")


def test_p13_a_nav_process_without_an_entry_is_refused_at_submit(rig: Rig) -> None:
    plain = {**load("dialogue-notat"), "receiver": {"her_id": place.NAV}}
    with pytest.raises(RefusedError, match=r"P13\.PROCESS"):
        rig.send(plain)


def test_p14_a_company_key_is_refused_where_a_person_must_sign(rig: Rig) -> None:
    with pytest.raises(RefusedError, match=r"P14\.OWNER"):
        rig.send(inquiry(signer={"key": "company", "fnr": "11857120150", "profession": "LE"}))


def test_p14_a_person_s_key_is_used_only_when_the_message_names_it(rig: Rig) -> None:
    plain = inquiry()
    del plain["signer"]
    with pytest.raises(RefusedError):
        rig.send(plain)


def test_p14_a_document_the_ehr_has_signed_is_sent_byte_for_byte(make_rig: MakeRig) -> None:
    first, second = make_rig(), make_rig()
    document = first.adapter.export(first.send(inquiry()), reason="test")
    sent = second.adapter.send_document(document)
    second.rounds(2)
    assert second.state(sent) == [("confirmed", "accepted")]
    assert second.world.ledger[0].digest == hashlib.sha256(document).hexdigest()


def test_p14_a_signed_document_that_was_altered_is_refused(rig: Rig) -> None:
    document = rig.adapter.export(rig.send(inquiry()), reason="test")
    with pytest.raises(RefusedError, match="S01"):
        rig.adapter.send_document(document.replace(b"60 %", b"90 %"))


def test_p15_a_signer_who_is_the_patient_is_refused_before_sending(rig: Rig) -> None:
    plain = inquiry()
    plain["signer"]["fnr"] = plain["patient"]["idents"][0]["id"]
    with pytest.raises(RefusedError, match="N13"):
        rig.send(plain)


def test_p1_a_copy_receiver_has_its_own_row_and_one_post_serves_both(rig: Rig) -> None:
    plain = {**load("dialogue-status-henvisning"), "sender": place.SOLVANG_GP}
    plain["receiver"] = {"her_id": place.BEKKELIA_GP}
    plain["copies"] = [{"her_id": place.NORDVIK_POLICLINIC}]
    sent = rig.send(plain)
    rig.rounds(2)
    assert rig.state(sent) == [("confirmed", "accepted"), ("confirmed", "accepted")]
    assert [sorted(entry.receivers) for entry in posts(rig)] == [sorted([place.BEKKELIA_GP, place.NORDVIK_POLICLINIC])]


def test_p2_a_lost_answer_makes_the_row_unknown_and_nothing_is_sent_twice_at_once(make_rig: MakeRig) -> None:
    rig = make_rig(faults={POST: [("cut_after_commit", 1)]})
    rig.world.script(place.GRANLI_FRISKLIV, "silent")
    sent = rig.send(referral())
    rig.adapter.run_once()
    rig.adapter.run_once()
    assert rig.state(sent) == [("unknown", "awaited")]
    assert len(posts(rig)) == 1


def test_p2_after_the_wait_the_same_bytes_go_out_once_more_with_the_same_msg_id(make_rig: MakeRig) -> None:
    rig = make_rig(faults={POST: [("cut_after_commit", 1)]})
    rig.world.script(place.GRANLI_FRISKLIV, "silent")
    sent = rig.send(referral())
    rig.rounds(4)
    first, second = posts(rig)
    assert (first.msg_id, first.digest) == (second.msg_id, second.digest)
    assert rig.state(sent) == [("confirmed", "awaited")]


def test_p2_an_apprec_is_proof_and_stops_the_resend(make_rig: MakeRig) -> None:
    rig = make_rig(faults={POST: [("cut_after_commit", 1)]})
    sent = rig.send(referral())
    rig.rounds(4)
    assert rig.state(sent) == [("confirmed", "accepted")]
    assert len(posts(rig)) == 1


def test_p2_a_second_unknown_outcome_asks_for_a_person(make_rig: MakeRig) -> None:
    rig = make_rig(faults={POST: [("cut_after_commit", [1, 2])]})
    rig.world.script(place.GRANLI_FRISKLIV, "ack never")
    sent = rig.send(referral())
    rig.rounds(8)
    assert rig.state(sent) == [("unknown", "awaited")]
    assert rig.attention() == ["unknown outcome"]
    assert len(posts(rig)) == 2


def test_p2_a_worker_that_died_while_sending_leaves_an_unknown_row(rig: Rig) -> None:
    from adapter.store import outbox

    sent = rig.send(referral())
    store = rig.adapter.parts.store
    with store.transaction() as db:  # what the worker commits before the first byte leaves
        outbox.claim(db, now=store.now_us(), by="dead", until=store.now_us() + 1, limit=10)
    rig.adapter.close()
    rig.adapter = rig.open()
    rig.advance(seconds=1)
    rig.adapter.run_once()
    assert rig.state(sent) == [("unknown", "awaited")]
    rig.rounds(4)
    assert rig.state(sent) == [("confirmed", "accepted")]


def test_p4_a_second_different_apprec_changes_nothing_and_alarms(rig: Rig) -> None:
    rig.world.script(place.GRANLI_FRISKLIV, "apprec contradictory")
    sent = rig.send(referral())
    rig.rounds(4)
    assert rig.state(sent) == [("confirmed", "accepted")]
    assert "contradicting receipt" in rig.kinds(sent)
    assert any(name.startswith("contradiction") for name, _ in rig.alarms)


def test_p4_the_same_verdict_twice_is_one_receipt(rig: Rig) -> None:
    rig.world.script(place.GRANLI_FRISKLIV, "apprec twice")
    sent = rig.send(referral())
    rig.rounds(4)
    assert rig.state(sent) == [("confirmed", "accepted")]
    assert rig.kinds(sent).count("accepted") == 1
    assert rig.alarms == []


def test_p4_a_repeat_refused_after_our_own_resend_is_no_rejection(make_rig: MakeRig) -> None:
    rig = make_rig(faults={POST: [("cut_after_commit", 1)], "GET /Messages": [("500", [1, 2, 3, 4])]})
    rig.world.script(place.GRANLI_FRISKLIV, "refuse repeats")
    sent = rig.send(referral())
    rig.rounds(8)
    assert len(posts(rig)) == 2
    assert rig.state(sent) == [("confirmed", "accepted")]
    assert rig.attention() == []


def test_a_rejection_keeps_its_reason_and_asks_for_a_person(rig: Rig) -> None:
    rig.world.script(place.GRANLI_FRISKLIV, "apprec rejected E21")
    sent = rig.send(referral())
    rig.rounds(2)
    (row,) = rig.adapter.show(sent)["deliveries"]
    assert (row["answer"], row["errors"][0]["code"], row["state"]) == ("rejected", "E21", "rejected")
    assert rig.attention() == ["rejected"]


def test_p4_a_late_acceptance_after_overdue_is_taken(rig: Rig) -> None:
    rig.world.script(place.GRANLI_FRISKLIV, f"apprec late {100 * 3600}")
    sent = rig.send(referral())
    rig.rounds(2)
    rig.advance(hours=97)
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "overdue")]
    rig.advance(hours=4)
    rig.rounds(2)
    assert rig.state(sent) == [("confirmed", "accepted")]
    assert rig.attention() == []


@pytest.mark.parametrize(("priority", "hours"), [("0", 1), ("3", 24), ("N", 96)])
def test_p9_a_missing_apprec_is_overdue_by_priority(rig: Rig, priority: str, hours: int) -> None:
    rig.world.script(place.GRANLI_FRISKLIV, "silent")
    plain = referral()
    plain["body"]["request"]["priority"] = priority
    sent = rig.send(plain)
    rig.rounds(1)
    rig.advance(hours=hours, minutes=-3)
    rig.rounds(1)
    assert rig.state(sent)[0][1] == "awaited"
    rig.advance(minutes=3)
    rig.rounds(1)
    assert rig.state(sent)[0][1] == "overdue"


def test_p9_a_missing_transport_confirmation_is_flagged(rig: Rig) -> None:
    rig.world.script(place.GRANLI_FRISKLIV, "ack never")
    rig.send(referral())
    rig.rounds(1)
    rig.advance(hours=25)
    rig.rounds(1)
    assert rig.attention() == ["transport overdue"]


def test_a_transport_rejection_is_refused_and_asks_for_a_person(rig: Rig) -> None:
    rig.world.script(place.GRANLI_FRISKLIV, "transport reject")
    sent = rig.send(referral())
    rig.rounds(2)
    assert rig.state(sent) == [("refused", "awaited")]
    assert rig.attention() == ["transport rejected"]


def test_p26_what_was_not_delivered_rings_once_and_is_clear_when_it_is_settled(rig: Rig) -> None:
    rig.world.script(place.GRANLI_FRISKLIV, "transport reject")
    sent = rig.send(referral())
    rig.rounds(4)
    (row,) = rig.adapter.show(sent)["deliveries"]
    assert rig.alarms == [(f"attention:{row['id']}", False)]
    rig.adapter.settle(row["id"], by="someone", note="told by telephone")
    rig.rounds(2)
    assert rig.alarms[1:] == [(f"attention:{row['id']}", True)]


def test_p5_a_change_waits_until_its_original_is_sent(make_rig: MakeRig) -> None:
    rig = make_rig(faults={POST: [("429", 1, 300)]})
    first = rig.send(referral())
    change = rig.send({**load("referral-frisklivssentral-change"), "receiver": {"her_id": place.GRANLI_FRISKLIV}})
    rig.adapter.run_once()
    assert [state[0] for state in rig.state(first) + rig.state(change)] == ["queued", "queued"]
    assert posts(rig) == []
    rig.advance(seconds=400)
    rig.rounds(3)
    types = [entry.msg_id for entry in posts(rig)]
    shown = [rig.adapter.show(message)["message"]["msg_id"] for message in (first, change)]
    assert types == shown


def test_p6_the_same_key_and_input_gives_the_same_id(rig: Rig) -> None:
    assert rig.send(referral(), key="a") == rig.send(referral(), key="a")
    assert len(rig.adapter.list()) == 1


def test_p6_the_same_key_with_other_input_is_an_error(rig: Rig) -> None:
    rig.send(referral(), key="a")
    with pytest.raises(ConflictError, match="P6"):
        rig.send({**referral(), "attachments": []}, key="a")


def test_p6_events_come_in_order_and_the_cursor_goes_on_where_it_stopped(rig: Rig) -> None:
    sent = rig.send(referral())
    rig.rounds(2)
    whole = rig.adapter.events()
    half = rig.adapter.events(limit=3)
    assert [event["id"] for event in half] + [
        event["id"] for event in rig.adapter.events(after=half[-1]["id"])
    ] == sorted(event["id"] for event in whole)
    assert {event["message_id"] for event in whole} >= {sent}


def test_p22_a_real_number_is_refused_in_the_test_environment(rig: Rig) -> None:
    plain = referral()
    plain["patient"]["idents"][0]["id"] = "26031490055"
    with pytest.raises(RefusedError):
        rig.send(plain)


def test_p23_a_refused_access_stops_the_tenant_with_one_alarm_and_goes_on_later(make_rig: MakeRig) -> None:
    rig = make_rig(faults={POST: [("403", [1])]})
    sent = rig.send(referral())
    rig.adapter.run_once()
    rig.adapter.run_once()
    assert rig.state(sent) == [("queued", "awaited")]
    assert [name for name, clear in rig.alarms if not clear] == ["access:solvang"]
    rig.advance(seconds=301)
    rig.rounds(2)
    assert rig.state(sent) == [("confirmed", "accepted")]
    assert ("access:solvang", True) in rig.alarms


def test_p23_a_tenant_cannot_send_from_another_s_address(rig: Rig) -> None:
    with pytest.raises(NotFoundError):
        rig.send({**referral(), "sender": place.KLINIKK_SERVICE})


def test_p25_an_attachment_whose_bytes_are_another_format_is_refused(rig: Rig) -> None:
    plain = referral()
    plain["attachments"][0]["mime_type"] = "image/png"
    with pytest.raises(RefusedError, match="V11"):
        rig.send(plain)


def test_p26_cancel_works_before_sending_only(rig: Rig) -> None:
    sent = rig.send(referral())
    rig.adapter.cancel(sent)
    assert rig.state(sent) == [("cancelled", "awaited")]
    left = rig.send(inquiry())
    rig.rounds(1)
    with pytest.raises(StateError, match="Kansellering"):
        rig.adapter.cancel(left)


def test_p26_requeue_refuses_what_was_answered_and_takes_what_was_refused(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.world.script(place.GRANLI_FRISKLIV, "transport reject")
    sent = rig.send(referral())
    rig.rounds(2)
    rig.world.script(place.GRANLI_FRISKLIV, "apprec ok")
    rig.adapter.requeue(sent, "their mailbox is mended")
    rig.rounds(2)
    assert rig.state(sent) == [("confirmed", "accepted")]
    with pytest.raises(StateError, match="P26"):
        rig.adapter.requeue(sent, "again")


def test_p26_a_requeued_message_has_its_whole_time_again(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.world.script(place.GRANLI_FRISKLIV, "transport reject")
    sent = rig.send(referral())
    rig.rounds(2)
    rig.advance(hours=80)
    rig.world.script(place.GRANLI_FRISKLIV, "apprec ok")
    rig.world.set_faults({POST: [("429", [1, 2])]})
    rig.adapter.requeue(sent, "their mailbox is mended")
    rig.rounds(4)
    assert rig.state(sent) == [("confirmed", "accepted")]


def test_p26_settle_takes_a_row_off_the_list_and_keeps_who_and_why(rig: Rig) -> None:
    rig.world.script(place.GRANLI_FRISKLIV, "apprec rejected E21")
    sent = rig.send(referral())
    rig.rounds(2)
    rig.adapter.settle(sent, by="Ola Drift", note="called them")
    assert rig.attention() == []
    settled = rig.adapter.show(sent)["events"][-1]
    assert (settled["kind"], settled["detail"]["by"]) == ("settled", "Ola Drift")


def test_p21_content_is_exported_with_a_reason_and_leaves_an_event(rig: Rig) -> None:
    sent = rig.send(referral())
    content = rig.adapter.export(sent, reason="checked with the patient")
    assert documents.read_facts(xmlio.parse(content)).msg_type == "HENVISNING_NYTILSTAND"
    assert rig.kinds(sent)[-1] == "content read"


def test_a_message_with_a_blocking_finding_is_not_stored(rig: Rig) -> None:
    plain = referral()
    plain["body"]["reasons"] = []
    with pytest.raises(RefusedError) as refused:
        rig.send(plain)
    assert any(finding.rule.startswith("V14") for finding in refused.value.findings)
    assert rig.adapter.list() == []


def test_p29_every_message_names_the_software_that_sent_it(rig: Rig) -> None:
    rig.send(referral())
    rig.rounds(1)
    (entry,) = posts(rig)
    names = {name.lower(): value for name, value in (entry.overrides or {}).items()}
    assert (names["applicationname"], names["applicationversion"]) == ("Prøve-EPJ", "1.0")
    assert (names["middlewarename"], names["middlewareversion"]) == ("adapter", "0.1.0")


@pytest.mark.parametrize("name", ["fagsystem", "fagsystem_version", "mellomvare", "mellomvare_version", "msh"])
def test_p29_settings_without_a_name_of_the_software_are_refused(rig: Rig, name: str) -> None:
    plain = shapes.plain(rig.settings)
    plain.pop("base")
    del plain["software"][name]
    with pytest.raises(SettingsError, match=f"software.{name}"):
        read_settings(plain, rig.folder)
