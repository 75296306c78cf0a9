"""The AppRec that answers a received message: built, checked, stored as evidence, queued (P7, P10)."""

from __future__ import annotations

import sqlalchemy as sa

from adapter import documents, xmlio
from adapter.errors import IdentifierError, RefusedError, UnsupportedError
from adapter.flow.parts import Parts
from adapter.flow.processes import agreement_of, process_of, receipt_names
from adapter.identifiers import read_her_id
from adapter.model.delivery import Answer
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


def _sender_of(facts: Facts) -> int | None:
    for level in (2, 1):
        text = facts.sender.her_id(level) if facts.sender else None
        try:
            if text:
                return read_her_id(text)
        except IdentifierError:
            continue
    return None


def queue_answer(
    db: sa.Connection, parts: Parts, row: Row, facts: Facts, verdict: Verdict, built: tuple[str, bytes], *, at: int
) -> str:
    """Store the AppRec as a message of ours that answers the inbound ``row``; gives its id.

    A sender without a HER-id cannot be addressed: the message keeps its step, and a person tells the sender.
    """
    receipt_id, content = built
    sender = _sender_of(facts)
    if sender is None:
        journal.flag(db, row, "receipt impossible", at=at, detail={"reason": "the sender has no HER-id"})
        return ""
    partner = parts.entry(sender)
    columns = {
        "msg_id": receipt_id.lower(),
        "msg_type": "APPREC",
        "kind": "AppRec",
        "sender": row["party"],
        "document_id": None,
        "parent": (facts.msg_id or "").lower() or None,
        "answers": row["id"],
    }
    new = outbox.NewMessage(id=parts.new_id(), tenant=row["tenant"], document=content, columns=columns)
    delivery = outbox.NewDelivery(
        id=parts.new_id(),
        party=sender,
        road=row["road"],
        urgency=row["urgency"],
        answer=Answer.NOT_ASKED,
        overrides=_names(facts, partner) or None,
    )
    outbox.add(db, new, [delivery], at=at)
    stored = {"status": verdict.status.value, "errors": journal.write_errors(verdict.errors)}
    outbox.set_columns(db, delivery.id, errors=stored)
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
