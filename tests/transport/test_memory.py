"""The message server in memory behaves as the contract of a road says."""

from __future__ import annotations

import pytest

from adapter.codes import Coded
from adapter.errors import AccessError, RefusedError, RemoteRefusalError, TransportError, UnknownOutcomeError
from adapter.model.receipt import ReceiptStatus
from adapter.model.wire import Parcel, ReceiptParcel, RemoteStatus, Road
from adapter.transport.memory import MemoryServer

US, THEM, COPY = 8091301, 8091101, 8091601


def parcel(**changes: object) -> Parcel:
    plain: dict[str, object] = {
        "document": b"<x/>",
        "sender": US,
        "receivers": (THEM, COPY),
        "msg_id": "81b01cb1-c79c-4962-a8d2-41a8320e1a1a",
        "msg_type": "HENVISNING_NYTILSTAND",
    }
    return Parcel(**{**plain, **changes})  # type: ignore[arg-type]


def test_a_message_goes_to_each_receiver_and_away_when_it_is_put_away() -> None:
    server = MemoryServer()
    ours: Road = server.road(US)
    theirs: Road = server.road(THEM, COPY)
    sent = ours.send(parcel())
    items = theirs.unread([THEM, COPY])
    assert [(item.remote_id, item.receiver, item.sender) for item in items] == [
        (sent.remote_id, THEM, US),
        (sent.remote_id, COPY, US),
    ]
    assert items[0].is_apprec is False
    assert theirs.fetch(sent.remote_id, THEM) == b"<x/>"
    theirs.put_away(sent.remote_id, THEM)
    theirs.put_away(sent.remote_id, THEM)
    assert [item.receiver for item in theirs.unread([THEM, COPY])] == [COPY]
    assert theirs.unread([THEM, COPY], limit=0) == []
    assert server.parcels() == [parcel()]
    theirs.close()


def test_a_receipt_shows_in_the_senders_status() -> None:
    server = MemoryServer()
    ours, theirs = server.road(US), server.road(THEM)
    sent = ours.send(parcel())
    errors = (Coded.of(8221, "E10"),)
    receipt = ReceiptParcel(remote_id=sent.remote_id, acknowledger=THEM, status=ReceiptStatus.REJECTED, errors=errors)
    receipt_id = theirs.send_receipt(receipt).remote_id
    first, second = ours.statuses(sent.remote_id)
    assert (first.transport, first.answer, first.errors, first.receipt_id) == (
        "Acknowledged",
        ReceiptStatus.REJECTED,
        errors,
        receipt_id,
    )
    assert second.answer is None
    assert server.receipts == [receipt]


def test_ids_are_the_same_in_every_run() -> None:
    runs = [
        [road.send(parcel()).remote_id for _ in range(2)] for road in (MemoryServer().road(US), MemoryServer().road(US))
    ]
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 2


def test_a_foreign_her_id_is_not_ours_to_use() -> None:
    server = MemoryServer()
    sent = server.road(US).send(parcel())
    stranger = server.road(1)
    for call in (
        lambda: stranger.send(parcel()),
        lambda: stranger.unread([THEM]),
        lambda: stranger.fetch(sent.remote_id, THEM),
        lambda: stranger.statuses(sent.remote_id),
        lambda: stranger.put_away(sent.remote_id, THEM),
    ):
        with pytest.raises(AccessError):
            call()


def test_refusals_are_those_of_the_server() -> None:
    server = MemoryServer()
    ours, theirs = server.road(US), server.road(THEM)
    with pytest.raises(RefusedError):
        ours.send(parcel(receivers=()))
    with pytest.raises(RemoteRefusalError):
        ours.statuses("nowhere")
    sent = ours.send(parcel(receivers=(COPY,)))
    with pytest.raises(RefusedError):
        theirs.send_receipt(ReceiptParcel(remote_id=sent.remote_id, acknowledger=THEM, status=ReceiptStatus.REJECTED))
    with pytest.raises(RemoteRefusalError):
        theirs.send_receipt(ReceiptParcel(remote_id=sent.remote_id, acknowledger=THEM, status=ReceiptStatus.OK))
    receipt = ours.send(parcel(msg_type="APPREC", receivers=(THEM,)))
    assert theirs.unread([THEM])[0].is_apprec is True
    with pytest.raises(RemoteRefusalError):
        theirs.send_receipt(ReceiptParcel(remote_id=receipt.remote_id, acknowledger=THEM, status=ReceiptStatus.OK))


def test_p2_outages_can_be_rehearsed_before_and_after_the_commit() -> None:
    server = MemoryServer(acknowledge=False)
    ours = server.road(US)
    ours.fail_next(TransportError("down"))
    with pytest.raises(TransportError):
        ours.send(parcel())
    assert server.parcels() == []
    ours.fail_after_next(UnknownOutcomeError("cut"))
    with pytest.raises(UnknownOutcomeError):
        ours.send(parcel())
    assert len(server.parcels()) == 1
    sent = ours.send(parcel(receivers=(THEM,)))
    assert ours.statuses(sent.remote_id)[0].transport == "Unconfirmed"
    server.set_status(sent.remote_id, RemoteStatus(receiver=THEM, transport="Abandoned"))
    assert ours.statuses(sent.remote_id)[0].transport == "Abandoned"
