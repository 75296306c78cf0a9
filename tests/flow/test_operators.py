"""What a person may do to a message and see of it (P21, P26): asked why, refused with a cure, kept as events."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from adapter.errors import InputError, NotFoundError, StateError
from adapter.model.receipt import ReceiptStatus
from adapter.simulator import world as place
from adapter.store.tables import payload
from tests.flow.test_outgoing import seen
from tests.journeys.rig import Rig, letter, referral

MakeRig = Callable[..., Rig]
POST = "POST /Messages"
US = place.SOLVANG_GP


def received(rig: Rig) -> str:
    """A note that was taken in; its message's id."""
    rig.world.inject(letter(rig), US)
    rig.rounds(1)
    return str(rig.adapter.list()[0]["message_id"])


def kinds(rig: Rig) -> list[str]:
    return [one["kind"] for one in rig.adapter.events()]


def test_the_story_of_a_received_message_has_the_events_of_its_receipt_in_order(rig: Rig) -> None:
    message_id = received(rig)
    [taken] = rig.adapter.take("ehr")
    rig.adapter.confirm(taken.token, "accept")
    rig.rounds(2)
    shown = rig.adapter.show(message_id)
    told = [one["kind"] for one in shown["events"]]
    assert told.index("received") < told.index("submitted") < told.index("sent")
    assert [one["id"] for one in shown["events"]] == sorted(one["id"] for one in shown["events"])
    assert len(shown["receipts"]) == 1


@pytest.mark.parametrize("reason", ["", "  "])
def test_p21_without_a_reason_nothing_is_shown_and_nobody_is_noted_as_a_reader(rig: Rig, reason: str) -> None:
    sent = rig.send(referral())
    with pytest.raises(InputError):
        rig.adapter.export(sent, reason)
    assert "content read" not in kinds(rig)


@pytest.mark.parametrize("words", [("", "called them"), ("Kari", " ")])
def test_p26_settling_asks_who_and_what_was_done(rig: Rig, words: tuple[str, str]) -> None:
    rig.world.script(place.GRANLI_FRISKLIV, "apprec rejected E21")
    sent = rig.send(referral())
    rig.rounds(2)
    with pytest.raises(InputError, match="a name and a note"):
        rig.adapter.settle(sent, *words)
    assert rig.attention() == ["rejected"]


def test_p26_a_requeue_asks_why(rig: Rig) -> None:
    rig.world.script(place.GRANLI_FRISKLIV, "transport reject")
    sent = rig.send(referral())
    rig.rounds(2)
    with pytest.raises(InputError, match="reason"):
        rig.adapter.requeue(sent, " ")
    assert rig.state(sent)[0][0] == "refused"


def test_p26_what_goes_its_way_is_not_put_into_the_queue_again(rig: Rig) -> None:
    sent = rig.send(referral())
    with pytest.raises(StateError, match="it is queued and goes its way") as caught:
        rig.adapter.requeue(sent, "impatience")
    assert caught.value.code == "P26.REQUEUE"


def test_p2_p26_an_operator_may_end_the_wait_for_proof_and_the_same_bytes_go_at_once(make_rig: MakeRig) -> None:
    rig = make_rig(faults={POST: [("cut_before", [1])]})
    sent = rig.send(referral())
    rig.adapter.run_once()
    assert rig.state(sent) == [("unknown", "awaited")]
    rig.adapter.requeue(sent, "they have nothing of it")
    rig.adapter.run_once()
    assert [entry.sender for entry in rig.world.ledger if entry.sender == US] == [US]
    rig.rounds(2)
    assert rig.state(sent) == [("confirmed", "accepted")]


def test_p26_what_was_withdrawn_and_answered_all_the_same_is_not_sent_again(rig: Rig) -> None:
    sent = rig.send(referral())
    with rig.adapter.parts.store.transaction() as db:
        db.execute(payload.update().where(payload.c.message_id == sent).values(content=b"damaged"))
    rig.rounds(1)
    assert rig.state(sent) == [("suspended", "awaited")]  # an attempt was made, and nobody knows how far it came
    rig.adapter.cancel(sent)
    assert seen(rig, sent, ReceiptStatus.OK, place.GRANLI_FRISKLIV) == "accepted"
    assert rig.state(sent) == [("cancelled", "accepted")]
    with pytest.raises(StateError, match="answered it with an AppRec"):
        rig.adapter.requeue(sent, "again")


def test_p26_only_what_is_ours_can_be_withdrawn_and_only_what_is_quarantined_opened_again(rig: Rig) -> None:
    message_id = received(rig)
    with pytest.raises(StateError, match="only a message of ours"):
        rig.adapter.cancel(message_id)
    with pytest.raises(StateError, match="only a quarantined message"):
        rig.adapter.requeue(message_id, "look again")


def test_an_id_that_names_nothing_is_said_to_and_where_to_look(rig: Rig) -> None:
    with pytest.raises(NotFoundError, match="adapter list"):
        rig.adapter.show("00000000-0000-4000-8000-00000000ffff")
