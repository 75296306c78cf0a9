"""The way out, part two: claim due rows and send them; what happened is recorded by ``outcomes``.

A claim is committed before a byte leaves (P2).
"""

from __future__ import annotations

from contextlib import suppress

import sqlalchemy as sa

from adapter.errors import AdapterError, NotFoundError, StateError
from adapter.flow.outcomes import STOPPED, access_works, record_failure, record_proof, record_sent, record_unknown
from adapter.flow.parts import Parts
from adapter.model.receipt import ReceiptStatus
from adapter.model.wire import EBXML_ROADS, Parcel, ReceiptParcel, Road, Sent
from adapter.store import journal, outbox
from adapter.store.statements import Row

CLAIM_S = 120.0  # longer than any call's total time-out


def dispatch(parts: Parts, *, limit: int | None = None) -> int:
    """Send what is due, one message after the other; gives the number of POSTs. One fault never stops the rest."""
    recover_claims(parts)
    tried = 0
    for _ in range(limit or parts.settings.worker.batch):
        if parts.stopping.is_set():
            break
        now = parts.store.now_us()
        with parts.store.reading() as db:
            if not outbox.due_rows(db, now=now):
                break
        with parts.store.transaction() as db:
            groups = outbox.claim(db, now=now, by=parts.worker, until=now + claim_us(parts))
        for rows in groups:
            send_group(parts, rows)
        tried += len(groups)
    return tried


def claim_us(parts: Parts) -> int:
    """How long a claim holds: longer than a call that is repeated once with a new token, which may take calls too.

    A mail is begun anew at once when the connection at rest had ended, so it is one call and a little.
    """
    edi20 = parts.settings.edi20
    mails = [1.1 * road.settings.smtp.total_timeout_s for road in parts.mails]
    return round(max(CLAIM_S, *mails, 5 * edi20.total_timeout_s if edi20 is not None else 0.0) * 1e6)


def recover_claims(parts: Parts) -> None:
    """Rows a dead worker left in *sending*: nobody knows whether bytes went out, so they wait for proof (P2)."""
    with parts.store.reading() as db:
        expired = outbox.expired_claims(db, parts.store.now_us())
    _give_up(parts, expired)


def give_up_claims(parts: Parts) -> int:
    """Our own rows whose call outlasted the stop: unknown from now on. A call that ends after all is still taken."""
    with parts.store.reading() as db:
        ours = outbox.claims_of(db, parts.worker)
    _give_up(parts, ours)
    return len(ours)


def _give_up(parts: Parts, rows: list[Row]) -> None:
    now = parts.store.now_us()
    for row in rows:
        with suppress(StateError), parts.store.transaction() as db:  # it has ended since it was read
            record_unknown(parts, db, row, now, reason=STOPPED)


def send_group(parts: Parts, rows: list[Row]) -> None:
    """One POST for all rows of a message that are due on one road (P1)."""
    if rows[0]["road"] in EBXML_ROADS:
        from adapter.flow import ebxml_out  # loads cryptography; EDI 2.0 alone need not

        ebxml_out.send_rows(parts, rows)
        return
    with parts.store.reading() as db:
        message = outbox.find_message(db, rows[0]["message_id"])
        assert message is not None
        answered = _answered(db, message)
    road = parts.roads.get(message["tenant"])
    try:
        with parts.store.reading() as db:
            document = journal.read_payload(db, message["id"])
        if road is None:
            raise NotFoundError("the tenant has no road", where=message["tenant"])
        if answered is not None and rows[0]["resends"] and _answer_arrived(parts, road, answered):
            record_proof(parts, rows, answered)
            return
        sent = _send(parts, road, rows, message, document, answered)
    except AdapterError as error:
        record_failure(parts, rows, error)
        return
    record_sent(parts, rows, message, sent, answered)
    access_works(parts, message["tenant"], "sending")


def _answered(db: sa.Connection, message: Row) -> Row | None:
    """The inbound row that an AppRec of ours answers."""
    if message["answers"] is None:
        return None
    return outbox.find_delivery(db, message["answers"])


def _send(parts: Parts, road: Road, rows: list[Row], message: Row, document: bytes, answered: Row | None) -> Sent:
    if answered is not None and parts.settings.receipts.via == "api" and answered["remote_id"]:
        stored = rows[0]["errors"] or {}
        return road.send_receipt(
            ReceiptParcel(
                remote_id=answered["remote_id"],
                acknowledger=answered["party"],
                status=ReceiptStatus(stored["status"]),
                errors=journal.read_errors(stored["errors"]),
                overrides=rows[0]["overrides"],
            )
        )
    return road.send(
        Parcel(
            document=document,
            sender=message["sender"],
            receivers=tuple(row["party"] for row in rows),
            msg_id=message["msg_id"],
            msg_type=message["msg_type"],
            overrides=rows[0]["overrides"],
        )
    )


def _answer_arrived(parts: Parts, road: Road, answered: Row) -> bool:
    """Before an AppRec is sent again: does the server show it already? Then there is no second one (P2, P3)."""
    if parts.settings.receipts.via != "api" or not answered["remote_id"]:
        return False
    return any(
        status.receiver == answered["party"] and status.answer is not None
        for status in road.statuses(answered["remote_id"])
    )
