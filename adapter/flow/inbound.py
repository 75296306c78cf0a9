"""The way in, part two: open, judge, accept or answer. Each step is a commit; a crash anywhere resumes there.

1 open: parse, facts, transport against content (P18)   2 duplicate or conflict? (P3)   3 a receipt? match it (P4)
4 judge: signature, schema, rules   5 park (P5), accept, reject with an AppRec, refuse, or quarantine
Our own fault quarantines the message and tells the partner nothing (DESIGN 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from adapter import documents, xmlio
from adapter.errors import AdapterError, Severity, UnreadableError, UnsupportedError
from adapter.flow.alarms import raise_alarm
from adapter.flow.answers import build_answer, queue_answer
from adapter.flow.check import Checked, check_document
from adapter.flow.fetch import content_digest
from adapter.flow.parts import HOUR_US, Parts, urgency_of
from adapter.flow.processes import agreement_of
from adapter.flow.receipts import match_receipt
from adapter.flow.trust import inbound_context, signature_missing
from adapter.identifiers import read_her_id
from adapter.model.delivery import Leg, Step
from adapter.model.document import Facts, Family
from adapter.model.party import Party
from adapter.model.receipt import ReceiptSeen, ReceiptStatus, Verdict
from adapter.store import inbox, journal, outbox, queries
from adapter.store.statements import Row

ALARM_HANDOVER_H = 24  # unconfirmed by a consumer (P7)
PARKED_H = 72


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A message that could be read: its tree before any judgement, and its facts."""

    root: xmlio.Element
    facts: Facts


def receive(parts: Parts, row: Row) -> str:
    """Carry one stored row as far as it goes now; gives the step it stands at. Safe to call again after a crash."""
    try:
        return _advance(parts, row)
    except Exception as error:  # noqa: BLE001  # our own fault: isolate, keep the bytes, say nothing untrue
        return _quarantine_ours(parts, row, error)


def resume(parts: Parts, limit: int = 200) -> int:
    """Carry on with rows that a crash left between two steps; gives how many."""
    with parts.store.reading() as db:
        rows = inbox.in_step(db, (Step.RECEIVED, Step.OPENED), limit)
    for row in rows:
        receive(parts, row)
    return len(rows)


def _advance(parts: Parts, row: Row) -> str:
    with parts.store.reading() as db:
        raw = journal.read_payload(db, row["message_id"])
    # 1. Open.
    if row["step"] == Step.RECEIVED.value:
        try:
            opened = _read(raw)
        except (UnreadableError, UnsupportedError) as error:
            return _refuse_unread(parts, row, error)
        step = _open(parts, row, opened)
        if step is not Step.OPENED:
            return step.value
        row = {**row, "step": Step.OPENED.value}
    else:
        opened = _read(raw)
    # 3. A receipt is matched, never judged and never answered.
    if opened.facts.family is Family.APPREC:
        return _match(parts, row, opened.facts)
    # 4. Judge.
    checked = check_document(raw, inbound_context(parts, row, opened.facts), at=parts.now())
    return _settle(parts, row, checked).value


def _read(raw: bytes) -> Opened:
    root = documents.unwrap(xmlio.parse(raw))
    return Opened(root=root, facts=documents.read_facts(root))


def _refuse_unread(parts: Parts, row: Row, error: AdapterError) -> str:
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        detail = {"code": error.code, "line": getattr(error, "line", None)}
        journal.move(db, row, at=now, kind="refused", step=Step.REFUSED, detail=detail)
        journal.flag(db, row, "unreadable", at=now, detail=detail)
    raise_alarm(parts, f"unreadable:{row['id']}", "a message cannot be read, so no AppRec can be sent")
    return Step.REFUSED.value


def her_id_of(party: Party | None, level: int = 2) -> int | None:
    """The HER-id as a number; None when it is missing or malformed."""
    text = party.her_id(level) if party is not None else None
    try:
        return read_her_id(text) if text else None
    except AdapterError:
        return None


def _open(parts: Parts, row: Row, opened: Opened) -> Step:
    """Step 1 and 2 in one commit: what the message is, and whether we have had it."""
    facts = opened.facts
    sender = _sender(facts)
    digest = content_digest(opened.root)
    now = parts.store.now_us()
    alarms: list[tuple[str, str]] = []
    with parts.store.transaction() as db:
        message = outbox.find_message(db, row["message_id"])
        assert message is not None
        spoofed = _spoofed(parts, message, facts, sender)
        inbox.set_facts(db, row["message_id"], _columns(facts, sender, digest))
        outbox.set_columns(db, row["id"], urgency=urgency_of(facts.priority))
        if spoofed:
            step = Step.QUARANTINED
            journal.move(db, row, at=now, kind="spoof suspected", step=step, detail={"differs": spoofed})
            journal.flag(db, row, "spoof suspected", at=now, detail={"differs": spoofed})
            alarms.append((f"spoof:{row['id']}", "transport and content name different parties (P18)"))
        else:
            step = _compare(db, parts, row, message, facts, sender, digest, alarms)
    for name, text in alarms:
        raise_alarm(parts, name, text)
    return step


def _sender(facts: Facts) -> int | None:
    if facts.family is Family.APPREC:
        acknowledger = facts.original.acknowledger if facts.original else None
        return her_id_of(acknowledger) or her_id_of(acknowledger, 1)
    return her_id_of(facts.sender) or her_id_of(facts.sender, 1)


def _columns(facts: Facts, sender: int | None, digest: str) -> dict[str, Any]:
    conversation = facts.conversation
    return {
        "msg_id": (facts.msg_id or "").lower() or None,
        "msg_type": facts.msg_type,
        "kind": facts.kind,
        "namespace": facts.namespace,
        "sender": sender,
        "gen_date": facts.gen_date,
        "priority": facts.priority,
        "document_id": facts.document_id,
        "service_type": facts.service_type,
        "parent": conversation.parent.lower() if conversation else None,
        "conversation": conversation.conversation.lower() if conversation else None,
        "digest": digest,
        "is_test": facts.processing_status in ("T", "D"),
    }


def _spoofed(parts: Parts, message: Row, facts: Facts, sender: int | None) -> list[str]:
    """Which of sender and document id the transport names otherwise than the content (P18)."""
    differs = []
    hinted = message["sender"]
    if hinted is not None and sender is not None and hinted != sender:
        entry = parts.entry(sender)
        level1 = her_id_of(facts.sender, 1) if facts.sender else (entry.parent_her_id if entry else None)
        tolerated = agreement_of(parts.entry(hinted) or entry).level1_transport or facts.family is Family.APPREC
        if not (tolerated and hinted in (level1, _parent(parts, sender), *_below(parts, sender))):
            differs.append("sender")
    if message["msg_id"] and facts.msg_id and message["msg_id"] != facts.msg_id.lower():
        differs.append("document id")
    return differs


def _parent(parts: Parts, her_id: int) -> int | None:
    entry = parts.entry(her_id)
    return entry.parent_her_id if entry else None


def _below(parts: Parts, her_id: int) -> tuple[int, ...]:
    return tuple(entry.her_id for entry in parts.book().entries.values() if entry.parent_her_id == her_id)


def _compare(
    db: sa.Connection,
    parts: Parts,
    row: Row,
    message: Row,
    facts: Facts,
    sender: int | None,
    digest: str,
    alarms: list[tuple[str, str]],
) -> Step:
    """New, duplicate or conflict: key = sender, MsgId, own receiver, digest (P3)."""
    now = parts.store.now_us()
    earlier = []
    if facts.msg_id:
        earlier = inbox.same_message(
            db, sender=sender, msg_id=facts.msg_id, tenant=row["tenant"], before=message["seq"]
        )
    if any(other["digest"] != digest for other in earlier):
        journal.move(db, row, at=now, kind="conflict", step=Step.CONFLICT, detail={"with": earlier[0]["message_id"]})
        journal.flag(db, row, "conflict", at=now)
        alarms.append((f"conflict:{row['id']}", "a MsgId came again with other content (P3)"))
        return Step.CONFLICT
    same = next((other for other in earlier if other["party"] == row["party"]), None)
    if same is not None:
        journal.move(db, row, at=now, kind="duplicate", step=Step.DUPLICATE, detail={"of": same["id"]})
        _resend_answer(db, same, now)
        return Step.DUPLICATE
    journal.move(db, row, at=now, kind="opened", step=Step.OPENED)
    return Step.OPENED


def _resend_answer(db: sa.Connection, first: Row, now: int) -> None:
    """A duplicate gets no second AppRec; one whose sending is unconfirmed goes out again, same id and bytes (P3)."""
    answer = queries.answers_to(db, first["id"])
    if answer is None:
        return
    for delivery in outbox.deliveries(db, answer["id"]):
        if delivery["leg"] == Leg.UNKNOWN.value:
            outbox.set_columns(db, delivery["id"], due_at=now)
            journal.note(db, delivery, at=now, kind="resend asked", detail={"by": "duplicate"})


def _match(parts: Parts, row: Row, facts: Facts) -> str:
    original = facts.original
    now = parts.store.now_us()
    alarms: list[tuple[str, str]] = []
    status = original.status if original else None
    with parts.store.transaction() as db:
        if original is None or not original.msg_id or status not in set(ReceiptStatus):
            journal.move(db, row, at=now, kind="receipt unreadable", step=Step.REFUSED)
            journal.flag(db, row, "receipt unreadable", at=now)
            return Step.REFUSED.value
        her_ids = tuple(h for h in (her_id_of(original.acknowledger), her_id_of(original.acknowledger, 1)) if h)
        seen = ReceiptSeen(
            original_msg_id=original.msg_id,
            acknowledger_her_ids=her_ids,
            verdict=Verdict(status=ReceiptStatus(status), errors=original.errors),
            receipt_id=facts.msg_id,
            via="document",
        )
        result = match_receipt(db, parts.book(), row["tenant"], seen, at=now, alarms=alarms)
        step = Step.QUARANTINED if result == "stranger" else Step.REFUSED if result == "unknown" else Step.MATCHED
        journal.move(db, row, at=now, kind="receipt", step=step, detail={"result": result})
        if result == "stranger":
            journal.flag(db, row, "spoof suspected", at=now)
    for name, text in alarms:
        raise_alarm(parts, name, text)
    return step.value


def _settle(parts: Parts, row: Row, checked: Checked) -> Step:
    """Step 5: one commit that says what became of the message, with the AppRec where one is owed."""
    facts, judgement = checked.facts, checked.judgement
    if facts is None or judgement.verdict == "unanswerable":
        return _aside(parts, row, checked, Step.REFUSED, "unanswerable")
    missing = signature_missing(parts, row, checked)
    if missing is not None:
        if missing == "wait":
            return _wait(parts, row)
        return _aside(parts, row, checked, Step.QUARANTINED, missing)
    if judgement.verdict == "reject" and judgement.status is not None:
        return _reject(parts, row, checked, Verdict(status=judgement.status, errors=judgement.errors))
    return _accept(parts, row, checked)


def _wait(parts: Parts, row: Row) -> Step:
    """Revocation could not be asked: the message stays opened and is tried again (P17)."""
    with parts.store.transaction() as db:
        journal.note(db, row, at=parts.store.now_us(), kind="waits for revocation")
    return Step.OPENED


def _aside(parts: Parts, row: Row, checked: Checked, step: Step, reason: str) -> Step:
    now = parts.store.now_us()
    detail = _rules(checked)
    with parts.store.transaction() as db:
        journal.move(db, row, at=now, kind=step.value, step=step, detail=detail)
        journal.flag(db, row, reason, at=now, detail=detail)
    raise_alarm(parts, f"{reason}:{row['id']}", f"a received message was set aside: {reason}")
    return step


def _rules(checked: Checked) -> dict[str, Any]:
    return {"rules": sorted({finding.rule for finding in checked.findings if finding.severity != "info"})}


def _reject(parts: Parts, row: Row, checked: Checked, verdict: Verdict) -> Step:
    assert checked.facts is not None
    built = build_answer(parts, checked.facts, row["party"], verdict)
    now = parts.store.now_us()
    listen_only = parts.tenant(row["tenant"]).listen_only
    with parts.store.transaction() as db:
        detail = {**_rules(checked), "errors": journal.write_errors(verdict.errors)}
        journal.move(db, row, at=now, kind="rejected", step=Step.REJECTED, detail=detail)
        outbox.set_columns(db, row["id"], errors=journal.write_errors(verdict.errors))
        if not listen_only:
            queue_answer(db, parts, row, checked.facts, verdict, built, at=now)
    return Step.REJECTED


def _accept(parts: Parts, row: Row, checked: Checked) -> Step:
    facts = checked.facts
    assert facts is not None
    now = parts.store.now_us()
    flagged = [finding.rule for finding in checked.findings if finding.severity != Severity.INFO]
    with parts.store.transaction() as db:
        park = _waits_for_original(db, row, facts)
        step = Step.PARKED if park else Step.ACCEPTED
        wait_h = PARKED_H if park else ALARM_HANDOVER_H
        columns: dict[str, Any] = {"overdue_at": row["queued_at"] + wait_h * HOUR_US}
        journal.move(db, row, at=now, kind=step.value, step=step, detail=_rules(checked), **columns)
        if facts.emergency and flagged:
            journal.flag(db, row, "emergency with faults", at=now, detail={"rules": flagged})
    if facts.emergency and flagged:
        raise_alarm(parts, f"emergency:{row['id']}", "an emergency referral with faults was accepted (P8)")
    return step


def _waits_for_original(db: sa.Connection, row: Row, facts: Facts) -> bool:
    """A change or cancel whose original has not come (V20)."""
    if facts.service_type not in ("M", "C") or not facts.document_id:
        return False
    sender = _sender(facts)
    return not inbox.knows_document(db, document_id=facts.document_id, sender=sender, tenant=row["tenant"])


def _quarantine_ours(parts: Parts, row: Row, error: Exception) -> str:
    code = error.code if isinstance(error, AdapterError) else type(error).__name__
    parts.log.error("quarantined", extra={"delivery": row["id"], "code": code})
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        current = outbox.find_delivery(db, row["id"])
        if current is None or current["step"] not in (Step.RECEIVED.value, Step.OPENED.value):
            return str(current["step"]) if current else ""
        journal.move(db, current, at=now, kind="quarantined", step=Step.QUARANTINED, detail={"code": code})
        journal.flag(db, current, "quarantined", at=now, detail={"code": code})
    raise_alarm(parts, f"quarantine:{row['id']}", f"a received message could not be treated: {code}")
    return Step.QUARANTINED.value
