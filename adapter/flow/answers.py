"""The AppRec that answers a received message: built, checked, stored as evidence, queued (P7, P10)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

import adapter.documents as documents
import adapter.xmlio as xmlio
from adapter.errors import RefusedError, UnsupportedError
from adapter.flow.identity import her_id_of, written_id
from adapter.flow.parts import HOUR_US, Parts
from adapter.flow.processes import agreement_of, process_of, receipt_names
from adapter.model.delivery import Answer, Leg
from adapter.model.document import Facts
from adapter.model.partner import RegisterEntry
from adapter.model.process import apprec_version
from adapter.model.receipt import Verdict
from adapter.store import journal, outbox
from adapter.store.statements import Row
from adapter.validation.schema import check_schema


def build_answer(parts: Parts, facts: Facts, party: int, verdict: Verdict) -> tuple[str, bytes]:
    """The AppRec's id and bytes; raises UnsupportedError when our own AppRec is not valid, so none is sent."""
    receipt_id = parts.new_id()
    software = parts.settings.software
    root = documents.build_apprec(
        facts,
        acknowledger=_place(facts, party),
        verdict=verdict,
        receipt_id=receipt_id,
        gen_date=parts.local_now(),
        version=apprec_version(facts.namespace),
        software=(software.mellomvare, software.mellomvare_version),
    )
    if check_schema(root):
        raise UnsupportedError("the AppRec that answers this message would not be valid", code="APPREC.INVALID")
    return receipt_id, xmlio.serialise(root)


def _place(facts: Facts, party: int) -> int:
    """Which recipient of the message we are: 0 the receiver, 1 the first copy receiver, and so on."""
    for index, recipient in enumerate((facts.receiver, *facts.copies)):
        if recipient is not None and str(party) in (recipient.her_id(2), recipient.her_id(1)):
            return index
    return 0


def address_for(parts: Parts, row: Row, facts: Facts) -> int | None:
    """Where the AppRec goes: the sender's HER-id as the message, the transport or the register has it."""
    written = her_id_of(facts.sender) or her_id_of(facts.sender, 1)
    if written is not None:
        return written
    with parts.store.reading() as db:
        message = outbox.find_message(db, row["message_id"])
    if message is not None and message["sender"] is not None:
        return int(message["sender"])
    number = facts.sender.organisation.ident("ENH") if facts.sender else None
    known = [entry for entry in parts.book().entries.values() if number and entry.organisation_number == number]
    return known[0].her_id if len(known) == 1 else None


def queue_answer(
    db: sa.Connection,
    parts: Parts,
    row: Row,
    facts: Facts,
    verdict: Verdict,
    built: tuple[str, bytes],
    *,
    to: int,
    at: int,
) -> str:
    """Store the AppRec as a message of ours that answers the inbound ``row`` and goes ``to`` a HER-id; gives its id.

    What came from no server (a folder, a replay) is answered nowhere: its AppRec is kept as evidence and never sent.
    """
    receipt_id, content = built
    partner = parts.entry(to)
    columns = {
        "msg_id": receipt_id.lower(),
        "msg_type": "APPREC",
        "kind": "AppRec",
        "sender": row["party"],
        "document_id": None,
        "parent": written_id(facts.msg_id),
        "answers": row["id"],
    }
    new = outbox.NewMessage(id=parts.new_id(), tenant=row["tenant"], document=content, columns=columns)
    delivery = outbox.NewDelivery(
        id=parts.new_id(),
        party=to,
        road=row["road"],
        urgency=row["urgency"],
        answer=Answer.NOT_ASKED,
        overrides=_names(facts, partner) or None,
        overdue_at=at + round(parts.settings.overdue.normal.transport_h * HOUR_US) if row["remote_id"] else None,
        errors={"status": verdict.status.value, "errors": journal.write_errors(verdict.errors)},
    )
    outbox.add(db, new, [delivery], at=at)
    if not row["remote_id"]:
        queued = outbox.find_delivery(db, delivery.id)
        assert queued is not None
        never: dict[str, Any] = {"due_at": None}
        journal.move(db, queued, at=at, kind="kept as evidence", leg=Leg.CANCELLED, **never)
    journal.note(
        db, row, at=at, kind="receipt queued", detail={"receipt_id": receipt_id, "status": verdict.status.value}
    )
    return new.id


def _names(facts: Facts, partner: RegisterEntry | None) -> dict[str, object]:
    agreement = agreement_of(partner)
    try:
        process = process_of(facts.msg_type or "", facts.theme, agreement)
    except RefusedError:
        return dict(agreement.overrides)  # a NAV message outside the table: answer with the server's own names
    return receipt_names(process, agreement)
