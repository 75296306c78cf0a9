"""The way in, part two: open, judge, accept or answer. A crash anywhere resumes at the last commit.

1 open: parse, facts, transport against content (P18)   2 duplicate or conflict? (P3)   3 a receipt? match it (P4)
4 judge: signature, schema, rules   5 park (P5), accept, reject with an AppRec, refuse, or quarantine
Judging holds nobody up, so it comes before the one commit that writes down 1, 2 and 5. Our own fault
quarantines the message and tells the partner nothing (DESIGN 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

import adapter.documents as documents
import adapter.xmlio as xmlio
from adapter.errors import AdapterError, Fault, Severity, StateError, UnreadableError, UnsupportedError
from adapter.flow.alarms import all_clear, raise_alarm
from adapter.flow.answers import address_for, build_answer, queue_answer
from adapter.flow.check import Checked, check_document
from adapter.flow.clocks import clock_of
from adapter.flow.fetch import content_digest
from adapter.flow.identity import Alarms, columns_of, compare, sender_of, spoofed, written_id
from adapter.flow.parts import HOUR_US, Parts, urgency_of
from adapter.flow.receipts import match_receipt
from adapter.flow.trust import inbound_context, signature_missing
from adapter.model.delivery import Step
from adapter.model.document import Facts, Family
from adapter.model.receipt import ReceiptSeen, ReceiptStatus, Verdict
from adapter.store import inbox, journal, outbox
from adapter.store.statements import Row

# Nobody's message is to blame for these: it waits until they are over. Damaged bytes will not mend by waiting.
_NOT_ITS_FAULT = (Fault.SETTINGS, Fault.WORLD)
REVOCATION_AGAIN_US = 300_000_000
REVOCATION_ALARM_H = 72
_DAMAGED = ("STORE.GONE", "STORE.CORRUPT", "STORE.INTEGRITY")


class _OvertakenError(StateError):
    """While it was judged it turned out to be a duplicate, a conflict or a forgery: then the judgement is void."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A message that could be read: its tree before any judgement, its facts, and its content's digest (P3)."""

    root: xmlio.Element
    facts: Facts
    digest: str


def receive(parts: Parts, row: Row, raw: bytes | None = None) -> str:
    """Carry one stored row as far as it goes now; gives the step it stands at. Safe to call again after a crash.

    ``raw``: the stored bytes, where the caller still holds them.
    """
    try:
        return _advance(parts, row, raw)
    except Exception as error:  # our own fault: isolate, keep the bytes, say nothing untrue
        if isinstance(error, StateError) and error.code == "STATE.RACE":
            return _step_now(parts, row)  # another thread or worker has carried it on: it is theirs
        if isinstance(error, AdapterError) and error.fault in _NOT_ITS_FAULT and error.code not in _DAMAGED:
            raise
        return _quarantine_ours(parts, row, error)


def resume(parts: Parts, limit: int = 200) -> int:
    """Carry on with rows that a crash left between two steps, and with those that wait; gives how many."""
    with parts.store.reading() as db:
        rows = inbox.in_step(db, (Step.RECEIVED, Step.OPENED), limit, now=parts.store.now_us())
    held: dict[str, str] = {}
    for row in rows:
        if parts.stopping.is_set():
            break
        try:
            receive(parts, row)
        except AdapterError as error:  # the others may be free of it
            held[row["tenant"]] = error.code
    for tenant in parts.settings.tenant:
        if tenant.name in held:
            tell_held(parts, tenant.name, held[tenant.name])
        else:
            all_clear(parts, f"held:{tenant.name}")
    return len(rows)


def tell_held(parts: Parts, tenant: str, code: str) -> None:
    """Messages are stored and wait, because something of ours stands in their way (settings, register, store)."""
    raise_alarm(parts, f"held:{tenant}", f"received messages wait: {code}")


def _step_now(parts: Parts, row: Row) -> str:
    with parts.store.reading() as db:
        current = outbox.find_delivery(db, row["id"])
    return str(current["step"]) if current is not None else ""


def _advance(parts: Parts, row: Row, raw: bytes | None) -> str:
    if raw is None:
        with parts.store.reading() as db:
            raw = journal.read_payload(db, row["message_id"])
    # 1. Open.
    if row["step"] == Step.RECEIVED.value:
        try:
            opened = _read(raw)
        except (UnreadableError, UnsupportedError) as error:
            return _refuse_unread(parts, row, error)
    else:
        opened = _read(raw)
        step = _open_released(parts, row, opened)
        if step is not Step.OPENED:
            return step.value
    # 3. A receipt is matched, never judged and never answered.
    if opened.facts.family is Family.APPREC:
        return _match(parts, row, opened).value
    # 4. Judge.
    checked = _judge(parts, row, opened)
    # 5. Settle.
    try:
        return _settle(parts, row, opened, checked).value
    except _OvertakenError:
        return _open(parts, row, opened).value


def _judge(parts: Parts, row: Row, opened: Opened) -> Checked:
    digest, judged = bytes.fromhex(opened.digest), False
    try:
        context = inbound_context(parts, row, opened.facts)
        checked = check_document(opened.root, context, at=parts.now(), content_sha256=digest, facts=opened.facts)
        judged = True
        return checked
    finally:
        if not judged and row["step"] == Step.RECEIVED.value:
            _open(parts, row, opened)  # what it is, is known all the same


def _read(raw: bytes) -> Opened:
    root = documents.unwrap(xmlio.parse(raw))
    return Opened(root=root, facts=documents.read_facts(root), digest=content_digest(root))


def _refuse_unread(parts: Parts, row: Row, error: AdapterError) -> str:
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        detail = {"code": error.code, "line": getattr(error, "line", None)}
        journal.move(db, row, at=now, kind="refused", step=Step.REFUSED, detail=detail)
        journal.flag(db, row, "unreadable", at=now, detail=detail)
    raise_alarm(parts, f"unreadable:{row['id']}", "a message cannot be read, so no AppRec can be sent")
    return Step.REFUSED.value


def _open(parts: Parts, row: Row, opened: Opened) -> Step:
    """Steps 1 and 2 in a commit of their own."""
    alarms: Alarms = []
    with parts.store.transaction() as db:
        step = _write_open(db, parts, row, opened, parts.store.now_us(), alarms)
    for name, text in alarms:
        raise_alarm(parts, name, text)
    return step


def _write_open(db: sa.Connection, parts: Parts, row: Row, opened: Opened, now: int, alarms: Alarms) -> Step:
    """What the message is, and whether we have had it."""
    facts, digest = opened.facts, opened.digest
    message = outbox.find_message(db, row["message_id"])
    assert message is not None
    differs = spoofed(parts, message, facts, sender_of(facts))
    sender = sender_of(facts) or message["sender"]  # what the transport knows is better than nothing
    # Without a digest it is no one's original: a forged message must not turn the true one into a duplicate (P3).
    inbox.set_facts(db, row["message_id"], {**columns_of(facts, sender), "digest": None if differs else digest})
    urgency = urgency_of(facts.priority)
    if urgency != row["urgency"]:
        outbox.set_columns(db, row["id"], urgency=urgency)
    if differs:
        step = Step.QUARANTINED
        journal.move(db, row, at=now, kind="spoof suspected", step=step, detail={"differs": differs})
        journal.flag(db, row, "spoof suspected", at=now, detail={"differs": differs})
        alarms.append((f"spoof:{row['id']}", "transport and content name different parties (P18)"))
        return step
    step = compare(db, row, message, facts, sender, digest, at=now, alarms=alarms) or Step.OPENED
    if step is Step.OPENED:
        journal.move(db, row, at=now, kind="opened", step=step)
    return step


def _enter(db: sa.Connection, parts: Parts, row: Row, opened: Opened, now: int) -> Row:
    """The row as opened, in the transaction that settles it; raises _OvertakenError when it is not to be settled."""
    if row["step"] != Step.RECEIVED.value:
        return row
    if _write_open(db, parts, row, opened, now, []) is not Step.OPENED:
        raise _OvertakenError("the message is not new", code="STATE.OVERTAKEN")
    return {**row, "step": Step.OPENED.value}


def _open_released(parts: Parts, row: Row, opened: Opened) -> Step:
    """A message that an operator has opened again before it was ever compared: duplicate or conflict after all?"""
    alarms: Alarms = []
    with parts.store.transaction() as db:
        message = outbox.find_message(db, row["message_id"])
        assert message is not None
        if message["digest"] is not None:
            return Step.OPENED
        digest = opened.digest
        sender = sender_of(opened.facts) or message["sender"]
        inbox.set_facts(db, row["message_id"], {**columns_of(opened.facts, sender), "digest": digest})
        now = parts.store.now_us()
        step = compare(db, row, message, opened.facts, sender, digest, at=now, alarms=alarms) or Step.OPENED
    for name, text in alarms:
        raise_alarm(parts, name, text)
    return step


def _match(parts: Parts, row: Row, opened: Opened) -> Step:
    facts, alarms = opened.facts, list[tuple[str, str]]()
    with parts.store.transaction() as db:
        now = parts.store.now_us()
        step = Step.OPENED
        if row["step"] == Step.RECEIVED.value:
            step = _write_open(db, parts, row, opened, now, alarms)
            row = {**row, "step": step.value}
        if step is Step.OPENED:
            step = _match_in(db, parts, row, facts, now, alarms)
    for name, text in alarms:
        raise_alarm(parts, name, text)
    return step


def _match_in(db: sa.Connection, parts: Parts, row: Row, facts: Facts, now: int, alarms: Alarms) -> Step:
    original = facts.original
    status = original.status if original else None
    if original is None or not original.msg_id or status not in set(ReceiptStatus):
        journal.move(db, row, at=now, kind="receipt unreadable", step=Step.REFUSED)
        journal.flag(db, row, "receipt unreadable", at=now)
        return Step.REFUSED
    acknowledger = sender_of(facts)
    her_ids = (acknowledger,) if acknowledger is not None else ()
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
        alarms.append((f"stranger:{row['id']}", "an AppRec came from a party that did not get the message"))
        journal.flag(db, row, "spoof suspected", at=now)
    return step


def _settle(parts: Parts, row: Row, opened: Opened, checked: Checked) -> Step:
    """Step 5: one commit that says what became of the message, with the AppRec where one is owed."""
    facts, judgement = checked.facts, checked.judgement
    if facts is None or judgement.verdict == "unanswerable":
        return _aside(parts, row, opened, checked, Step.REFUSED, "unanswerable")
    missing = signature_missing(parts, row, checked)
    if missing == "wait" and not facts.emergency:  # an emergency waits for no revocation list (P8)
        return _wait(parts, row, opened)
    if missing is not None and missing != "wait":
        return _aside(parts, row, opened, checked, Step.QUARANTINED, missing)
    if judgement.verdict == "reject" and judgement.status is not None:
        return _reject(parts, row, opened, checked, Verdict(status=judgement.status, errors=judgement.errors))
    return _accept(parts, row, opened, checked, unchecked=missing == "wait")


def _wait(parts: Parts, row: Row, opened: Opened) -> Step:
    """Revocation could not be asked: the message stays opened, is tried again, and alarms at 72 h (P17)."""
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        row = _enter(db, parts, row, opened, now)
        columns: dict[str, Any] = {"due_at": now + REVOCATION_AGAIN_US}
        if row.get("due_at") is None:
            columns["overdue_at"] = row["queued_at"] + REVOCATION_ALARM_H * HOUR_US
            journal.note(db, row, at=now, kind="waits for revocation")
        outbox.set_columns(db, row["id"], **columns)
    return Step.OPENED


def _aside(parts: Parts, row: Row, opened: Opened, checked: Checked, step: Step, reason: str) -> Step:
    now = parts.store.now_us()
    detail = _rules(checked)
    with parts.store.transaction() as db:
        row = _enter(db, parts, row, opened, now)
        journal.move(db, row, at=now, kind=step.value, step=step, detail=detail)
        journal.flag(db, row, reason, at=now, detail=detail)
    raise_alarm(parts, f"{reason}:{row['id']}", f"a received message was set aside: {reason}")
    return step


def _rules(checked: Checked) -> dict[str, Any]:
    return {"rules": sorted({finding.rule for finding in checked.findings if finding.severity != "info"})}


def _reject(parts: Parts, row: Row, opened: Opened, checked: Checked, verdict: Verdict) -> Step:
    facts = checked.facts
    assert facts is not None
    to = address_for(parts, row, facts)
    if to is None:
        return _aside(parts, row, opened, checked, Step.REFUSED, "unanswerable")
    built = build_answer(parts, facts, row["party"], verdict)
    now = parts.store.now_us()
    listen_only = parts.tenant(row["tenant"]).listen_only
    with parts.store.transaction() as db:
        row = _enter(db, parts, row, opened, now)
        detail = {**_rules(checked), "errors": journal.write_errors(verdict.errors)}
        columns: dict[str, Any] = {"due_at": None, "overdue_at": None}
        journal.move(db, row, at=now, kind="rejected", step=Step.REJECTED, detail=detail, **columns)
        outbox.set_columns(db, row["id"], errors=journal.write_errors(verdict.errors))
        if not listen_only:
            queue_answer(db, parts, row, facts, verdict, built, to=to, at=now)
    return Step.REJECTED


def _accept(parts: Parts, row: Row, opened: Opened, checked: Checked, *, unchecked: bool = False) -> Step:
    facts = checked.facts
    assert facts is not None
    now = parts.store.now_us()
    clock = clock_of(row, facts.gen_date)
    flagged = [finding.rule for finding in checked.findings if finding.severity != Severity.INFO]
    alarms: Alarms = []
    with parts.store.transaction() as db:
        row = _enter(db, parts, row, opened, now)
        orphan = _waits_for_original(db, row, facts)
        # An emergency is not held back for its original (P8).
        step = Step.PARKED if orphan and not facts.emergency and now < clock.release_at else Step.ACCEPTED
        look = clock.release_at if step is Step.PARKED else clock.next_look(now, parts.settings.inbound.auto_sorting)
        columns: dict[str, Any] = {"overdue_at": look, "due_at": None}
        journal.move(db, row, at=now, kind=step.value, step=step, detail=_rules(checked), **columns)
        if facts.emergency and (flagged or orphan or unchecked):
            journal.flag(db, row, "emergency with faults", at=now, detail={"rules": flagged})
            alarms.append((f"emergency:{row['id']}", "an emergency referral with faults was accepted (P8)"))
        elif orphan and step is Step.ACCEPTED:
            journal.flag(db, row, "original missing", at=now)
        if clock.late:
            journal.flag(db, row, "late", at=now)
            alarms.append((f"late:{row['id']}", "a message was older than 96 h when it came (P7)"))
    parts.judged.keep(row["id"], facts)
    for name, text in alarms:
        raise_alarm(parts, name, text)
    return step


def _waits_for_original(db: sa.Connection, row: Row, facts: Facts) -> bool:
    """A change or cancel whose original has not come (V20)."""
    document_id = written_id(facts.document_id)
    if facts.service_type not in ("M", "C") or document_id is None:
        return False
    sender = sender_of(facts)
    return not inbox.knows_document(db, document_id=document_id, sender=sender, tenant=row["tenant"])


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
