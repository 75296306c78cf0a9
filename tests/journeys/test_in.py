"""A message on its way in: fetched, remembered, judged, handed over, answered once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from adapter.errors import InputError, NotFoundError, StateError
from adapter.simulator import world as place
from tests.journeys.rig import Rig, emergency, letter

MakeRig = Callable[..., Rig]
ID = "aaaaaaaa-0000-4000-8000-000000000001"
US, COLLEAGUE = place.SOLVANG_GP, place.SOLVANG_DOCTOR


def receive(rig: Rig, xml: bytes, receiver: int = US, **known: object) -> list[str]:
    """Put it in our inbox and let one round go by; the steps of all we have, newest first."""
    rig.world.inject(xml, receiver, **known)  # type: ignore[arg-type]
    rig.adapter.run_once()
    return rig.steps()


def answers(rig: Rig, msg_id: str = ID) -> list[tuple[int, str]]:
    """(who answered, status) of the AppRecs that reached the server."""
    rig.rounds(1)
    return [(entry.acknowledger, entry.status) for entry in rig.world.receipts(msg_id)]


def test_a_note_is_handed_over_and_answered_when_the_consumer_confirms(rig: Rig) -> None:
    assert receive(rig, letter(rig)) == ["accepted"]
    assert answers(rig) == []
    (taken,) = rig.adapter.take("journal")
    assert rig.adapter.confirm(taken.token, "accept") == "handed over"
    assert answers(rig) == [(US, "Ok")]
    assert rig.steps() == ["receipted"]


def test_the_server_is_told_that_a_message_is_read_only_after_it_is_stored(rig: Rig) -> None:
    receive(rig, letter(rig))
    assert rig.world.unread(US) == 0
    kinds = rig.kinds(rig.adapter.list()[0]["message_id"])
    assert kinds[:2] == ["received", "opened"]


def test_a_crash_between_storing_and_marking_fetches_nothing_twice(make_rig: MakeRig) -> None:
    rig = make_rig(faults={"PUT /Messages/{id}/read/{herid}": [("cut_before", [1])]})
    assert receive(rig, letter(rig)) == ["accepted"]
    assert rig.world.unread(US) == 1
    rig.adapter.close()
    rig.adapter = rig.open()
    rig.rounds(3)  # the dead worker's lease on the inbox runs out
    assert (rig.steps(), rig.world.unread(US)) == (["accepted"], 0)


def test_p3_the_same_message_again_is_a_duplicate_without_a_second_apprec(rig: Rig) -> None:
    receive(rig, letter(rig))
    (taken,) = rig.adapter.take("journal")
    rig.adapter.confirm(taken.token, "accept")
    assert receive(rig, letter(rig))[0] == "duplicate"
    assert rig.adapter.take("journal") == []
    assert answers(rig) == [(US, "Ok")]


def test_p3_the_same_msg_id_with_other_content_is_a_conflict(rig: Rig) -> None:
    receive(rig, letter(rig))
    other = letter(rig, processing_status="P")
    assert receive(rig, other)[0] == "conflict"
    assert "conflict" in rig.attention()
    assert any(name.startswith("conflict") for name, _ in rig.alarms)
    assert len(rig.adapter.take("journal")) == 1


def test_p3_the_letter_case_of_a_msg_id_makes_no_new_message(rig: Rig) -> None:
    receive(rig, letter(rig))
    assert receive(rig, letter(rig, msg_id=ID.upper()))[0] in ("duplicate", "conflict")


def test_p3_a_second_recipient_of_ours_gets_its_own_apprec(rig: Rig) -> None:
    xml = letter(rig, copies=[COLLEAGUE])
    receive(rig, xml, US)
    receive(rig, xml, COLLEAGUE)
    for taken in rig.adapter.take("journal"):
        rig.adapter.confirm(taken.token, "accept")
    assert sorted(answers(rig)) == sorted([(US, "Ok"), (COLLEAGUE, "Ok")])


def test_p7_a_consumer_may_reject_with_a_code_that_is_legal_for_the_type(rig: Rig) -> None:
    receive(rig, letter(rig))
    (taken,) = rig.adapter.take("journal")
    assert rig.adapter.confirm(taken.token, "reject", ["E21"]) == "rejected"
    assert answers(rig) == [(US, "Rejected")]


def test_p7_e35_is_not_legal_for_a_note(rig: Rig) -> None:
    receive(rig, letter(rig))
    (taken,) = rig.adapter.take("journal")
    with pytest.raises(InputError, match=r"P7\.CODE"):
        rig.adapter.confirm(taken.token, "reject", ["E35"])
    assert rig.steps() == ["accepted"]


def test_p7_confirming_twice_changes_nothing_and_the_other_word_is_refused(rig: Rig) -> None:
    receive(rig, letter(rig))
    (taken,) = rig.adapter.take("journal")
    rig.adapter.confirm(taken.token, "accept")
    assert rig.adapter.confirm(taken.token, "accept") == "handed over"
    with pytest.raises(StateError):
        rig.adapter.confirm(taken.token, "reject", ["E21"])
    assert answers(rig) == [(US, "Ok")]


def test_p7_a_taken_message_is_nobody_else_s_until_the_lease_runs_out(rig: Rig) -> None:
    receive(rig, letter(rig))
    (first,) = rig.adapter.take("journal", lease_s=60)
    assert rig.adapter.take("other") == []
    rig.advance(seconds=61)
    (second,) = rig.adapter.take("other")
    with pytest.raises(NotFoundError):
        rig.adapter.confirm(first.token, "accept")
    rig.adapter.confirm(second.token, "accept")


def test_p7_sorting_is_answered_ok(rig: Rig) -> None:
    receive(rig, letter(rig))
    (taken,) = rig.adapter.take("staff")
    rig.adapter.confirm(taken.token, "sorting")
    assert answers(rig) == [(US, "Ok")]


def test_p7_an_unconfirmed_message_alarms_and_is_never_accepted_by_itself(rig: Rig) -> None:
    receive(rig, letter(rig))
    rig.advance(hours=25)
    rig.adapter.run_once()
    assert rig.attention() == ["handover overdue"]
    rig.advance(hours=100)
    rig.adapter.run_once()
    assert rig.steps() == ["accepted"]
    assert len([name for name, clear in rig.alarms if name.startswith("handover") and not clear]) == 2


def test_p7_auto_sorting_answers_ok_before_96_hours(make_rig: MakeRig) -> None:
    rig = make_rig(settings={"inbound": {"auto_sorting": True}})
    receive(rig, letter(rig))
    rig.advance(hours=94)
    rig.adapter.run_once()
    assert rig.steps() == ["accepted"]
    rig.advance(hours=1, minutes=10)
    rig.adapter.run_once()
    assert answers(rig) == [(US, "Ok")]


def test_p8_an_emergency_referral_with_faults_is_accepted_and_alarms_at_once(rig: Rig) -> None:
    xml = letter(rig, "referral-frisklivssentral", **emergency(), patient={"family_name": "Ukjent"})
    assert receive(rig, xml) == ["accepted"]
    assert rig.attention() == ["emergency with faults"]
    assert any(name.startswith("emergency") for name, _ in rig.alarms)


def test_p8_a_consumer_cannot_reject_an_emergency_referral(rig: Rig) -> None:
    receive(rig, letter(rig, "referral-frisklivssentral", **emergency()))
    (taken,) = rig.adapter.take("journal")
    rig.adapter.confirm(taken.token, "reject", ["X99"])
    assert answers(rig) == [(US, "Ok")]


def test_p8_emergencies_are_taken_first(rig: Rig) -> None:
    receive(rig, letter(rig))
    receive(rig, letter(rig, "referral-frisklivssentral", msg_id=ID[:-1] + "2", **emergency()))
    assert [taken.msg_type for taken in rig.adapter.take("journal")] == ["HENVISNING_NYTILSTAND", "DIALOG_NOTAT"]


def test_a_message_without_a_sufficient_patient_is_rejected_at_once_with_e36(rig: Rig) -> None:
    assert receive(rig, letter(rig, patient={"family_name": "Ukjent"})) == ["rejected"]
    assert answers(rig) == [(US, "Rejected")]
    assert rig.adapter.take("journal") == []


@pytest.mark.parametrize("via", ["api", "document"])
def test_p10_our_own_apprec_is_kept_as_evidence_either_way(make_rig: MakeRig, via: str) -> None:
    rig = make_rig(settings={"receipts": {"via": via}})
    receive(rig, letter(rig))
    (taken,) = rig.adapter.take("journal")
    rig.adapter.confirm(taken.token, "accept")
    assert answers(rig) == [(US, "Ok")]
    (receipt,) = [row for row in rig.adapter.list() if row["msg_type"] == "APPREC" and row["direction"] == "out"]
    assert b"AppRec" in rig.adapter.export(receipt["message_id"], reason="test")


def test_p10_an_apprec_is_never_answered(rig: Rig) -> None:
    from tests.journeys.rig import referral

    rig.send(referral())
    rig.rounds(3)
    assert rig.steps() == ["matched"]
    assert [row for row in rig.adapter.list() if row["msg_type"] == "APPREC" and row["direction"] == "out"] == []


def test_p12_types_of_another_system_stay_unread_and_unanswered(make_rig: MakeRig) -> None:
    rig = make_rig()
    object.__setattr__(rig.adapter.parts.settings.tenant[0], "types_elsewhere", ("DIALOG_NOTAT",))
    assert receive(rig, letter(rig)) == []
    assert rig.world.unread(US) == 1


def test_p12_listen_only_never_marks_read_and_never_answers(rig: Rig) -> None:
    object.__setattr__(rig.adapter.parts.settings.tenant[0], "listen_only", True)
    assert receive(rig, letter(rig)) == ["accepted"]
    (taken,) = rig.adapter.take("journal")
    rig.adapter.confirm(taken.token, "accept")
    assert answers(rig) == []
    assert rig.world.unread(US) == 1
    assert len(rig.steps()) == 1


def test_p12_a_message_that_cannot_be_fetched_is_looked_past(make_rig: MakeRig) -> None:
    rig = make_rig(faults={"GET /Messages/{id}/business-document": [("403", [1])]})
    rig.world.inject(letter(rig), US)
    rig.world.inject(letter(rig, msg_id=ID[:-1] + "2"), US)
    rig.rounds(1)
    rig.advance(seconds=301)
    rig.rounds(2)
    assert rig.steps() == ["accepted", "accepted"]


def test_p18_a_transport_sender_that_is_not_the_content_s_sender_is_quarantined(rig: Rig) -> None:
    assert receive(rig, letter(rig), sender=place.GRANLI_NURSING) == ["quarantined"]
    assert rig.attention() == ["spoof suspected"]
    assert answers(rig) == []


def test_p18_another_document_id_in_the_transport_is_quarantined(rig: Rig) -> None:
    assert receive(rig, letter(rig), msg_id="bbbbbbbb-0000-4000-8000-000000000001") == ["quarantined"]


def test_p4_an_apprec_from_a_stranger_moves_nothing(rig: Rig) -> None:
    from tests.journeys.rig import referral

    rig.world.script(place.GRANLI_FRISKLIV, "silent")
    sent = rig.send(referral())
    rig.rounds(1)
    msg_id = rig.adapter.show(sent)["message"]["msg_id"]
    forged = rig.adapter.export(sent, reason="to answer it as somebody else")
    from datetime import datetime

    from adapter import documents, xmlio
    from adapter.model.receipt import ReceiptStatus, Verdict

    stranger = forged.replace(str(place.GRANLI_FRISKLIV).encode(), str(place.BEKKELIA_GP).encode()).replace(
        b"<Id>" + str(place.GRANLI).encode(), b"<Id>" + str(place.BEKKELIA).encode()
    )
    apprec = documents.build_apprec(
        documents.read_facts(xmlio.parse(stranger)),
        verdict=Verdict(status=ReceiptStatus.OK),
        receipt_id="cccccccc-0000-4000-8000-000000000001",
        gen_date=datetime(2026, 11, 21, 12),
        version="1.1",
    )
    receive(rig, xmlio.serialise(apprec))
    assert rig.state(sent) == [("confirmed", "awaited")]
    assert rig.steps() == ["quarantined"]
    assert any(name.startswith("stranger") for name, _ in rig.alarms)
    assert msg_id


def test_v22_an_apprec_for_an_unknown_message_is_logged_only(rig: Rig) -> None:
    from datetime import datetime

    from adapter import documents, xmlio
    from adapter.model.receipt import ReceiptStatus, Verdict

    note = letter(rig, sender=US, receiver=place.BEKKELIA_GP)
    apprec = documents.build_apprec(
        documents.read_facts(xmlio.parse(note)),
        verdict=Verdict(status=ReceiptStatus.OK),
        receipt_id="cccccccc-0000-4000-8000-000000000001",
        gen_date=datetime(2026, 11, 21, 12),
        version="1.0",
    )
    assert receive(rig, xmlio.serialise(apprec)) == ["refused"]
    assert [row["direction"] for row in rig.adapter.list()] == ["in"]


def test_p5_a_cancel_before_its_original_is_parked_and_follows_right_after_it(rig: Rig) -> None:
    cancel = letter(rig, "referral-frisklivssentral-cancel", msg_id=ID[:-1] + "9")
    assert receive(rig, cancel) == ["parked"]
    assert rig.adapter.take("journal") == []
    receive(rig, letter(rig, "referral-frisklivssentral"))
    (original,) = rig.adapter.take("journal")
    rig.adapter.confirm(original.token, "accept")
    (following,) = rig.adapter.take("journal")
    assert following.msg_id == ID[:-1] + "9"


def test_p5_a_parked_cancel_is_handed_over_with_a_flag_after_72_hours(rig: Rig) -> None:
    receive(rig, letter(rig, "referral-frisklivssentral-cancel"))
    rig.advance(hours=73)
    rig.adapter.run_once()
    assert rig.attention() == ["original missing"]
    assert len(rig.adapter.take("journal")) == 1


def test_p14_a_signature_that_is_broken_is_rejected_with_s01(rig: Rig) -> None:
    key = rig.world.keys.companies["solvang"]
    signed = letter(rig, sign_with=key)
    altered = signed.replace(b"Fjellbekk", b"Fjellbakk").replace(b"Solbakk", b"Solbekk")
    assert altered != signed
    assert receive(rig, altered) == ["rejected"]
    (row,) = [row for row in rig.adapter.list() if row["direction"] == "in"]
    assert [error["code"] for error in row["errors"]] == ["S01"]


def test_p17_a_missing_signature_where_it_must_be_is_quarantined_without_an_answer(rig: Rig) -> None:
    book = rig.adapter.parts.book()
    entry = book.entries[place.BEKKELIA_GP]
    object.__setattr__(entry.agreement, "sign", True)
    assert receive(rig, letter(rig)) == ["quarantined"]
    assert rig.attention() == ["signature missing"]
    assert answers(rig) == []


@pytest.mark.parametrize("xml", [b"not XML", b"<!DOCTYPE a><a/>", b"\xff\xfe<\x00a\x00/\x00>\x00", b""])
def test_what_cannot_be_read_is_kept_refused_and_the_loop_goes_on(rig: Rig, xml: bytes) -> None:
    rig.world.inject(xml, US)
    assert receive(rig, letter(rig))[0] == "accepted"
    assert rig.steps()[1] == "refused"
    (row,) = [row for row in rig.adapter.list() if row["step"] == "refused"]
    assert rig.adapter.export(row["message_id"], reason="look") == xml


def test_p28_below_the_low_water_mark_nothing_is_fetched_and_it_resumes_alone(rig: Rig) -> None:
    store = rig.adapter.parts.settings.store
    object.__setattr__(store, "low_water_bytes", 1 << 60)
    assert receive(rig, letter(rig)) == []
    assert ("disk", False) in rig.alarms
    object.__setattr__(store, "low_water_bytes", 0)
    rig.adapter.run_once()
    assert rig.steps() == ["accepted"]
    assert ("disk", True) in rig.alarms


def test_p23_two_tenants_see_only_their_own_messages(make_rig: MakeRig) -> None:
    rig = make_rig(tenants=("solvang", "fjellglott"))
    rig.world.inject(letter(rig), US)
    rig.world.inject(letter(rig, receiver=place.KLINIKK_SERVICE), place.KLINIKK_SERVICE)
    rig.adapter.run_once()
    assert len(rig.adapter.take("a", tenant="solvang")) == 1
    assert len(rig.adapter.take("b", tenant="fjellglott")) == 1
    with pytest.raises(InputError):
        rig.adapter.take("c")


def test_a_garbage_message_of_a_partner_does_not_hold_up_its_receipt(rig: Rig) -> None:
    from tests.journeys.rig import referral

    rig.world.script(place.GRANLI_FRISKLIV, "apprec ok", "garbage")
    sent = rig.send(referral())
    rig.rounds(3)
    assert rig.state(sent) == [("confirmed", "accepted")]
    assert sorted(rig.steps()) == ["matched", "refused"]


def test_the_frisklivssentral_s_status_message_joins_the_referral_s_conversation(rig: Rig) -> None:
    from tests.journeys.rig import referral

    rig.world.script(place.GRANLI_FRISKLIV, "apprec ok", "reply")
    sent = rig.send(referral())
    rig.rounds(4)
    (taken,) = rig.adapter.take("journal")
    assert taken.msg_type == "DIALOG_STATUS_HENVISNING"
    assert taken.message_id in rig.adapter.show(sent)["conversation"]
