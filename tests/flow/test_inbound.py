"""Receiving under races, faults of our own, and oddities of the sender."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from adapter.config import Revocation
from adapter.errors import SettingsError, StoreError
from adapter.flow import inbound
from adapter.flow.fetch import remember
from adapter.model.wire import InboxItem
from adapter.security.demo_ca import write_roots
from adapter.simulator import world as place
from adapter.store import inbox
from adapter.store.statements import Row
from tests.journeys.rig import Rig, emergency, letter

MakeRig = Callable[..., Rig]
ID = "aaaaaaaa-0000-4000-8000-000000000001"
US = place.SOLVANG_GP


def stored(rig: Rig, xml: bytes, **item: Any) -> Row:
    """A message that was fetched and stored, and nothing more."""
    parts = rig.adapter.parts
    known = InboxItem(remote_id=parts.new_id(), receiver=US, **item)
    return dict(remember(parts, parts.settings.tenant[0], xml, road="edi20", item=known))


def break_with(rig: Rig, error: Exception) -> None:
    """From now on the address book cannot be asked."""

    def broken() -> Any:
        raise error

    object.__setattr__(rig.adapter.parts, "book", broken)


def taken_ids(rig: Rig) -> list[str | None]:
    return [taken.msg_id for taken in rig.adapter.take("journal")]


def confirm_all(rig: Rig, decision: Any = "accept") -> None:
    for taken in rig.adapter.take("journal"):
        rig.adapter.confirm(taken.token, decision)


def answers(rig: Rig, msg_id: str = ID) -> list[str]:
    rig.rounds(2)
    return [entry.status for entry in rig.world.receipts(msg_id)]


def test_a_row_that_another_worker_has_opened_is_left_to_it(rig: Rig) -> None:
    parts = rig.adapter.parts
    row = stored(rig, letter(rig))
    assert inbound.receive(parts, row) == "accepted"
    assert inbound.receive(parts, row) == "accepted"  # the second still believes that it is only received
    assert rig.steps() == ["accepted"]
    assert (rig.attention(), rig.alarms) == ([], [])


def when_judged(rig: Rig, do: Callable[[], object]) -> None:
    """Once, in the middle of the next judgement (it asks for the trust roots), something else happens."""
    roots, waiting = rig.adapter.parts.roots, [do]

    def asked() -> Any:
        if waiting:
            waiting.pop()()
        return roots()

    object.__setattr__(rig.adapter.parts, "roots", asked)


def test_p3_what_comes_twice_while_it_is_judged_is_accepted_once(rig: Rig) -> None:
    first, second = stored(rig, letter(rig)), stored(rig, letter(rig))
    when_judged(rig, lambda: inbound.receive(rig.adapter.parts, second))
    assert inbound.receive(rig.adapter.parts, first) == "duplicate"
    assert sorted(rig.steps()) == ["accepted", "duplicate"]
    assert len(taken_ids(rig)) == 1


def test_p3_other_content_under_its_id_that_came_while_it_was_judged_is_a_conflict(rig: Rig) -> None:
    first, second = stored(rig, letter(rig)), stored(rig, letter(rig, patient={"family_name": "Annen"}))
    when_judged(rig, lambda: inbound.receive(rig.adapter.parts, second))
    assert inbound.receive(rig.adapter.parts, first) == "conflict"
    assert ("conflict", True) in [(name.split(":")[0], not clear) for name, clear in rig.alarms]


def test_many_threads_on_the_same_rows_accept_each_once(rig: Rig) -> None:
    parts = rig.adapter.parts
    rows = [stored(rig, letter(rig, msg_id=f"{ID[:-2]}{number:02}")) for number in range(6)]
    bad = stored(rig, letter(rig, msg_id=f"{ID[:-2]}99", patient={"family_name": "Ukjent"}))
    gate = threading.Barrier(4)

    def work() -> None:
        gate.wait()
        for row in (*rows, bad):
            inbound.receive(parts, row)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(rig.steps()) == ["accepted"] * 6 + ["rejected"]
    kinds = [event["kind"] for event in rig.adapter.events()]
    assert (kinds.count("accepted"), kinds.count("receipt queued"), rig.attention()) == (6, 1, [])


@pytest.mark.parametrize("error", [SettingsError("the book is broken"), StoreError("the database is locked")])
def test_a_fault_that_is_not_the_message_s_quarantines_nothing(rig: Rig, error: Exception) -> None:
    rig.world.inject(letter(rig), US)
    book = rig.adapter.parts.book
    break_with(rig, error)
    rig.adapter.run_once()
    assert rig.steps() == ["opened"]
    assert ("held:solvang", False) in rig.alarms
    object.__setattr__(rig.adapter.parts, "book", book)
    rig.rounds(1)
    assert rig.steps() == ["accepted"]
    assert ("held:solvang", True) in rig.alarms


def test_a_defect_of_ours_quarantines_the_message_and_tells_the_partner_nothing(rig: Rig) -> None:
    rig.world.inject(letter(rig), US)
    book = rig.adapter.parts.book
    break_with(rig, ZeroDivisionError())
    rig.adapter.run_once()
    assert (rig.steps(), rig.attention()) == (["quarantined"], ["quarantined"])
    object.__setattr__(rig.adapter.parts, "book", book)
    assert answers(rig) == []
    (row,) = rig.adapter.list(attention=True)
    rig.adapter.requeue(row["message_id"], reason="mended")
    rig.rounds(1)
    assert rig.steps() == ["accepted"]


def test_p3_what_was_quarantined_unread_is_still_compared_when_it_is_opened_again(rig: Rig) -> None:
    book = rig.adapter.parts.book
    first = stored(rig, letter(rig), sender=place.BEKKELIA)
    break_with(rig, ZeroDivisionError())
    inbound.receive(rig.adapter.parts, first)
    object.__setattr__(rig.adapter.parts, "book", book)
    assert inbound.receive(rig.adapter.parts, stored(rig, letter(rig))) == "accepted"
    rig.adapter.requeue(first["message_id"], reason="mended")
    rig.rounds(1)
    assert sorted(rig.steps()) == ["accepted", "quarantined"]
    assert len(taken_ids(rig)) == 1


def test_p3_the_second_to_arrive_may_be_the_first_to_be_opened(rig: Rig) -> None:
    first, second = stored(rig, letter(rig)), stored(rig, letter(rig))
    assert inbound.receive(rig.adapter.parts, second) == "accepted"
    assert inbound.receive(rig.adapter.parts, first) == "duplicate"
    assert len(taken_ids(rig)) == 1


def test_p3_a_true_repeat_after_a_conflict_is_a_duplicate(rig: Rig) -> None:
    parts = rig.adapter.parts
    steps = [
        inbound.receive(parts, stored(rig, xml))
        for xml in (letter(rig), letter(rig, processing_status="P"), letter(rig), letter(rig, processing_status="P"))
    ]
    assert steps == ["accepted", "conflict", "duplicate", "duplicate"]
    assert answers(rig) == []


def test_p3_a_forged_message_does_not_make_the_true_one_a_duplicate(rig: Rig) -> None:
    parts = rig.adapter.parts
    forged = stored(rig, letter(rig), sender=place.GRANLI_NURSING)
    assert inbound.receive(parts, forged) == "quarantined"
    assert inbound.receive(parts, stored(rig, letter(rig), sender=place.BEKKELIA_GP)) == "accepted"
    rig.adapter.requeue(forged["message_id"], reason="looked at")
    rig.rounds(1)
    assert sorted(rig.steps()) == ["accepted", "duplicate"]


def without_her_ids(xml: bytes) -> bytes:
    """The sender's idents are no HER-ids any more."""
    head, tail = xml.split(b"<Receiver>", 1)
    return head.replace(b'V="HER"', b'V="LOK"') + b"<Receiver>" + tail


def test_a_sender_without_a_her_id_is_answered_where_the_transport_says_it_sits(rig: Rig) -> None:
    xml = without_her_ids(letter(rig))
    assert inbound.receive(rig.adapter.parts, stored(rig, xml, sender=place.BEKKELIA_GP)) == "accepted"
    confirm_all(rig)
    (receipt,) = [row for row in rig.adapter.list() if row["direction"] == "out"]
    assert receipt["party"] == place.BEKKELIA_GP


def test_a_rejected_message_whose_sender_has_no_address_is_set_aside_for_a_person(rig: Rig) -> None:
    step = inbound.receive(rig.adapter.parts, stored(rig, without_her_ids(letter(rig, patient={"family_name": "X"}))))
    assert (step, rig.attention()) == ("refused", ["unanswerable"])


def test_an_emergency_without_an_address_is_handed_over_although_nobody_can_be_told(rig: Rig) -> None:
    xml = without_her_ids(letter(rig, "referral-frisklivssentral", **emergency()))
    assert inbound.receive(rig.adapter.parts, stored(rig, xml)) == "accepted"
    confirm_all(rig)
    assert rig.steps() == ["handed over"]
    assert any(name.startswith("receipt impossible:") for name, _ in rig.alarms)


def test_p8_an_emergency_whose_signature_is_broken_still_reaches_the_consumer(rig: Rig) -> None:
    signed = letter(rig, "referral-frisklivssentral", sign_with=rig.world.keys.companies["solvang"], **emergency())
    broken = signed.replace(b"<GivenName>", b"<GivenName>X", 1)
    assert broken != signed
    assert inbound.receive(rig.adapter.parts, stored(rig, broken)) == "accepted"
    inbound.receive(rig.adapter.parts, stored(rig, letter(rig, msg_id=f"{ID[:-1]}2")))
    first, second = rig.adapter.take("journal")
    assert "signature broken" in first.flags
    assert (first.content["emergency"], second.msg_type) == (True, "DIALOG_NOTAT")
    assert rig.attention() == ["emergency with faults"]


def test_p8_a_rejecting_consumer_is_overruled_each_time_it_says_so_and_a_person_is_told(rig: Rig) -> None:
    inbound.receive(rig.adapter.parts, stored(rig, letter(rig, "referral-frisklivssentral", **emergency())))
    (taken,) = rig.adapter.take("journal")
    assert rig.adapter.confirm(taken.token, "reject", ["X99"]) == "handed over"
    assert rig.adapter.confirm(taken.token, "reject", ["X99"]) == "handed over"
    assert rig.attention() == ["emergency rejected"]
    assert len([name for name, clear in rig.alarms if name.startswith("emergency:") and not clear]) == 1


def test_p8_an_emergency_change_is_not_held_back_for_its_original(rig: Rig) -> None:
    xml = letter(rig, "referral-frisklivssentral-cancel", body=emergency_cancel())
    assert inbound.receive(rig.adapter.parts, stored(rig, xml)) == "accepted"
    assert rig.attention() == ["emergency with faults"]


def emergency_cancel() -> dict[str, Any]:
    from tests.journeys.rig import load

    plain: dict[str, Any] = load("referral-frisklivssentral-cancel")["body"]
    return {**plain, "request": {**plain["request"], "priority": "0"}}


@pytest.fixture
def unchecked(make_rig: MakeRig) -> Rig:
    """Revocation is required and nobody can be asked."""
    rig = make_rig(settings={"trust": {"roots": ["roots.pem"], "revocation": "required"}})
    write_roots(rig.world.keys.companies["solvang"].chain, rig.folder / "roots.pem")  # messages bring no chain along
    return rig


def signed(rig: Rig, name: str = "dialogue-notat", **changes: Any) -> bytes:
    return letter(rig, name, sender=US, sign_with=rig.world.keys.companies["solvang"], **changes)


def test_p17_revocation_unchecked_waits_alarms_at_72_h_and_is_quarantined_at_96(unchecked: Rig) -> None:
    rig = unchecked
    rig.world.inject(signed(rig), US)
    rig.rounds(5)
    assert (rig.steps(), rig.alarms) == (["opened"], [])
    kinds = rig.kinds(rig.adapter.list()[0]["message_id"])
    assert kinds.count("waits for revocation") == 1  # it is tried again, without an event each time
    rig.advance(hours=72)
    rig.rounds(1)
    assert (rig.steps(), rig.attention()) == (["opened"], ["revocation unchecked"])
    assert any(name.startswith("revocation:") for name, _ in rig.alarms)
    rig.advance(hours=24)
    rig.rounds(2)
    assert rig.steps() == ["quarantined"]
    assert answers(rig) == []


def test_p17_a_waiting_message_goes_on_when_revocation_can_be_asked(unchecked: Rig) -> None:
    rig = unchecked
    rig.world.inject(signed(rig), US)
    rig.rounds(2)
    object.__setattr__(rig.adapter.parts.settings.trust, "revocation", Revocation.OFF)
    rig.advance(minutes=6)
    rig.rounds(1)
    assert rig.steps() == ["accepted"]
    (row,) = rig.adapter.list()
    assert rig.kinds(row["message_id"])[-1] == "accepted"


def test_p17_waiting_messages_do_not_hold_up_the_others(unchecked: Rig) -> None:
    rig = unchecked
    for number in range(3):
        rig.world.inject(signed(rig, msg_id=f"{ID[:-1]}{number}"), US)
    rig.rounds(1)
    stored(rig, letter(rig, msg_id=f"{ID[:-1]}9"))
    assert inbound.resume(rig.adapter.parts) == 1
    assert sorted(rig.steps()) == ["accepted", "opened", "opened", "opened"]


def test_p8_p17_an_emergency_waits_for_no_revocation(unchecked: Rig) -> None:
    rig = unchecked
    rig.world.inject(signed(rig, "referral-frisklivssentral", **emergency()), US)
    rig.rounds(1)
    assert (rig.steps(), rig.attention()) == (["accepted"], ["emergency with faults"])


def old(rig: Rig, hours: float, name: str = "dialogue-notat", **changes: Any) -> bytes:
    """A message whose GenDate lies so many hours back."""
    rig.advance(hours=-hours)
    xml = letter(rig, name, **changes)
    rig.advance(hours=hours)
    return xml


def test_p7_older_than_96_h_on_arrival_is_taken_in_answered_and_flagged(rig: Rig) -> None:
    rig.world.inject(old(rig, 97), US)
    rig.rounds(1)
    assert (rig.steps(), rig.attention()) == (["accepted"], ["late"])
    assert any(name.startswith("late:") for name, _ in rig.alarms)
    confirm_all(rig)
    assert (answers(rig), rig.attention()) == (["Ok"], [])


def test_p7_sorting_keeps_the_sender_s_96_h_not_ours(make_rig: MakeRig) -> None:
    rig = make_rig(settings={"inbound": {"auto_sorting": True}})
    rig.world.inject(old(rig, 90), US)
    rig.rounds(1)
    assert rig.steps() == ["accepted"]
    rig.advance(hours=5, minutes=10)
    rig.rounds(1)
    assert answers(rig) == ["Ok"]


def test_p7_without_auto_sorting_an_old_message_alarms_24_h_after_it_came(rig: Rig) -> None:
    rig.world.inject(old(rig, 90), US)
    rig.rounds(1)
    rig.advance(hours=6)
    rig.rounds(1)
    assert rig.attention() == []
    rig.advance(hours=18)
    rig.rounds(1)
    assert rig.attention() == ["handover overdue"]


def test_p5_a_parked_cancel_leaves_time_for_the_answer_by_its_own_date(rig: Rig) -> None:
    rig.world.inject(old(rig, 70, "referral-frisklivssentral-cancel"), US)
    rig.rounds(1)
    assert rig.steps() == ["parked"]
    rig.advance(hours=2)
    rig.rounds(1)
    assert (rig.steps(), rig.attention()) == (["accepted"], ["original missing"])


def test_p10_bytes_from_a_folder_are_answered_to_nobody_and_the_apprec_is_kept(rig: Rig) -> None:
    rig.adapter.receive(letter(rig, patient={"family_name": "Ukjent"}), receiver=US)
    rig.rounds(3)
    assert rig.world.receipts(ID) == []
    assert rig.world.ledger == []
    (receipt,) = [row for row in rig.adapter.list() if row["direction"] == "out"]
    assert (receipt["leg"], rig.attention()) == ("cancelled", [])
    assert b"AppRec" in rig.adapter.export(receipt["message_id"], reason="test")


def test_what_came_by_hand_does_not_hold_up_the_marking_of_what_came_by_the_server(make_rig: MakeRig) -> None:
    rig = make_rig(faults={"PUT /Messages/{id}/read/{herid}": [("cut_before", [1])]})
    for number in range(3):
        rig.adapter.receive(letter(rig, msg_id=f"{ID[:-1]}{number}"), receiver=US)
    rig.world.inject(letter(rig, msg_id=f"{ID[:-1]}9"), US)
    rig.rounds(2)
    assert rig.world.unread(US) == 0
    with rig.adapter.parts.store.reading() as db:
        assert inbox.not_put_away(db, "solvang", 100) == []


def test_p21_ids_that_are_no_ids_are_kept_as_digests_only(rig: Rig) -> None:
    xml = letter(rig, "referral-frisklivssentral").replace(ID.encode(), b"Zebrafink 12057900565")
    rig.world.inject(xml, US)
    rig.rounds(1)
    shown = repr(rig.adapter.list()) + repr(rig.adapter.events())
    assert "ebrafink" not in shown
    assert "12057900565" not in shown
    assert inbound.receive(rig.adapter.parts, stored(rig, xml)) == "duplicate"
