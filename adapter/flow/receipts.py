"""What became of what we sent: status from the server, AppRecs from the inbox, both routed to the same rows.

First answer wins (P4): a rejected message never becomes accepted, overdue or abandoned may. The same verdict seen twice
is one receipt; a second, different one is an event and an alarm, never a change.
"""

from __future__ import annotations

import json
import re
from typing import Any

import sqlalchemy as sa

from adapter.codes import Coded
from adapter.errors import AccessError, AdapterError, RemoteRefusalError, StateError
from adapter.flow.alarms import raise_alarm
from adapter.flow.identity import written_id
from adapter.flow.outcomes import LATE, access_works, pause_for
from adapter.flow.parts import Parts
from adapter.model.delivery import ANSWERED, Answer, Leg, allowed, status_poll_wait_s
from adapter.model.partner import AddressBook
from adapter.model.receipt import ReceiptSeen, ReceiptStatus, Verdict
from adapter.model.wire import RemoteStatus
from adapter.store import journal, outbox, queries
from adapter.store.statements import Row

ANSWER_OF = {
    ReceiptStatus.OK: Answer.ACCEPTED,
    ReceiptStatus.PARTIAL: Answer.PARTIAL,
    ReceiptStatus.REJECTED: Answer.REJECTED,
}
LEG_OF = {"acknowledged": Leg.CONFIRMED, "rejected": Leg.REFUSED, "abandoned": Leg.ABANDONED}
# NAV's answer to content it has seen; after a resend of ours it proves the first sending, not a fault (P4).
POLL_AT_MOST_S = 30 * 86_400.0
_CODE, _LIST = re.compile("[A-Z0-9]{1,10}"), re.compile(r"[0-9.]{1,40}")
REPEAT_TEXT = "Duplikat!"


def poll_status(parts: Parts, *, limit: int = 200) -> int:
    """Ask for the status of sent messages whose time has come; gives how many were asked."""
    now = parts.store.now_us()
    with parts.store.reading() as db:
        due = outbox.due_polls(db, now, limit)
    for message_id in due:
        if parts.stopping.is_set():
            break
        try:
            _poll_one(parts, message_id)
        except StateError:  # another worker has moved a row meanwhile; the next round sees it
            _poll_later(parts, message_id, minimum_s=60.0)
    return len(due)


def _poll_one(parts: Parts, message_id: str) -> None:
    with parts.store.reading() as db:
        message = outbox.find_message(db, message_id)
        assert message is not None
        remote_ids = outbox.remote_ids(db, message_id)
        held = queries.paused(db, message["tenant"], parts.store.now_us())
    road = parts.roads.get(message["tenant"])
    if held is not None or road is None:
        _poll_later(parts, message_id, minimum_s=60.0)
        return
    seen: list[RemoteStatus] = []
    failed: str | None = None
    for remote_id in remote_ids:
        try:
            seen += road.statuses(remote_id)
        except AccessError as error:
            pause_for(parts, message["tenant"], error, "status")
            failed = error.code
        except RemoteRefusalError as error:
            failed = f"{error.code}.{error.status}"
        except AdapterError as error:
            failed = error.code
    if seen:
        access_works(parts, message["tenant"], "status")
    take_statuses(parts, message, seen, failed)


def take_statuses(parts: Parts, message: Row, seen: list[RemoteStatus], failed: str | None = None) -> None:
    """Record what the server says of every receiver, in one transaction, and when to ask next."""
    alarms: list[tuple[str, str]] = []
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        for status in seen:
            for row in outbox.deliveries(db, message["id"]):
                if row["party"] == status.receiver:
                    _take_transport(db, row, status, now)
                    _take_answer(db, message, status, now, alarms)
        if failed is not None:
            for row in outbox.deliveries(db, message["id"]):
                if row["poll_at"] is not None and row["poll_at"] <= now:
                    journal.note(db, row, at=now, kind="status failed", detail={"code": failed})
        _schedule(db, message["id"], now)
    for name, text in alarms:
        raise_alarm(parts, name, text)


def _take_transport(db: sa.Connection, row: Row, status: RemoteStatus, now: int) -> None:
    leg = LEG_OF.get(status.transport.lower())
    if leg is None:
        if status.transport.lower() != "unconfirmed":
            journal.note(db, row, at=now, kind="unknown status", detail={"transport": status.transport[:40]})
        return
    old = Leg(row["leg"])
    if old is leg or not allowed(old, leg):
        return
    columns = {"due_at": None, "confirmed_at": now} if leg is Leg.CONFIRMED else {"due_at": None}
    journal.move(db, row, at=now, kind=leg.value, leg=leg, detail={"via": "status"}, **columns)
    row["leg"] = leg.value
    if leg is not Leg.CONFIRMED:
        journal.flag(db, row, "transport rejected" if leg is Leg.REFUSED else leg.value, at=now, over=LATE)
    elif row["attention"] in ("abandoned", "unknown outcome", LATE, "refused", "transport rejected"):
        journal.clear_flag(db, row, at=now, why="confirmed")


def _take_answer(
    db: sa.Connection, message: Row, status: RemoteStatus, now: int, alarms: list[tuple[str, str]]
) -> None:
    if message["answers"] is not None:
        return  # the status of an AppRec has no answer of its own
    if status.answer is None:
        if status.answer_raw:
            row = _row_of(db, message, status.receiver)
            journal.note(db, row, at=now, kind="unknown answer", detail={"answer": status.answer_raw[:40]})
        return
    verdict = Verdict(status=status.answer, errors=status.errors)
    row = _row_of(db, message, status.receiver)
    apply_receipt(db, row, verdict, at=now, via="status", receipt_id=status.receipt_id, alarms=alarms)


def _row_of(db: sa.Connection, message: Row, receiver: int) -> Row:
    return next(row for row in outbox.deliveries(db, message["id"]) if row["party"] == receiver)


def apply_receipt(
    db: sa.Connection,
    row: Row,
    verdict: Verdict,
    *,
    at: int,
    via: str,
    receipt_id: str | None,
    alarms: list[tuple[str, str]],
) -> str:
    """Move a row by an AppRec; gives the kind of the event. Alarms to raise after the commit are appended."""
    new = ANSWER_OF[verdict.status]
    old = Answer(row["answer"])
    detail: dict[str, object] = {"via": via, "receipt_id": written_id(receipt_id), "errors": _coded(verdict)}
    if new is Answer.REJECTED and _is_repeat(verdict) and _went_out_twice(db, row):
        if row["attention"] is None and old in (Answer.AWAITED, Answer.OVERDUE):
            journal.flag(db, row, "repeat refused", at=at, detail={"via": via})
        return "repeat refused"
    if old in ANSWERED:
        if old is new:
            return "receipt seen again"
        journal.note(db, row, at=at, kind="contradicting receipt", detail=detail)
        journal.flag(db, row, "contradicting receipt", at=at)
        alarms.append((f"contradiction:{row['id']}", "a second, different AppRec came; the first one stands"))
        return "contradicting receipt"
    never_left = row["leg"] in (Leg.QUEUED.value, Leg.CANCELLED.value) and not row["attempts"] and not row["sent_at"]
    if never_left or not allowed(old, new):
        journal.note(db, row, at=at, kind="unasked receipt", detail=detail)
        if never_left:
            journal.flag(db, row, "unasked receipt", at=at)
            alarms.append((f"unasked:{row['id']}", "an AppRec came for a message that was never sent (P4)"))
        return "unasked receipt"
    _move_by_receipt(db, row, new, at, detail)
    if verdict.errors:  # the partner's own words may speak of the patient: they are content (P21)
        words = json.dumps(journal.write_errors(verdict.errors), ensure_ascii=False).encode()
        journal.add_payload(db, row["message_id"], f"receipt-{row['party']}", words)
    return new.value


def _coded(verdict: Verdict) -> list[dict[str, str | None]]:
    """The errors by their codes, with the names that our own lists give them."""
    known = [(error.system or "8221", error.code) for error in verdict.errors]
    return journal.write_errors(
        [Coded.of(system, code) for system, code in known if code and _CODE.fullmatch(code) and _LIST.fullmatch(system)]
    )


def _went_out_twice(db: sa.Connection, row: Row) -> bool:
    """Resent by ourselves, or by an operator: then "repeat" is an answer to the sending and not to the content."""
    return bool(row["resends"]) or len(outbox.remote_ids(db, row["message_id"])) > 1


def _move_by_receipt(db: sa.Connection, row: Row, new: Answer, at: int, detail: dict[str, object]) -> None:
    columns: dict[str, Any] = {"answered_at": at, "errors": detail["errors"], "due_at": None, "overdue_at": None}
    leg = Leg(row["leg"])
    # An AppRec proves that the message arrived, whatever the transport said so far.
    if leg is Leg.QUEUED:  # it was put back and is not sent again
        columns["confirmed_at"] = at
        journal.move(db, row, at=at, kind="proved", leg=Leg.CONFIRMED, detail={"via": detail["via"]}, due_at=None)
        journal.move(db, row, at=at, kind=new.value, answer=new, detail=detail, **columns)
    elif leg is not Leg.CONFIRMED and allowed(leg, Leg.CONFIRMED):
        columns["confirmed_at"] = at
        journal.move(db, row, at=at, kind=new.value, leg=Leg.CONFIRMED, answer=new, detail=detail, **columns)
    else:
        journal.move(db, row, at=at, kind=new.value, answer=new, detail=detail, **columns)
    if new is Answer.REJECTED:
        journal.clear_flag(db, row, at=at, why="rejected")
        journal.flag(db, {**row, "attention": None}, "rejected", at=at)
    else:
        journal.clear_flag(db, row, at=at, why=new.value)


def _is_repeat(verdict: Verdict) -> bool:
    words = (word or "" for error in verdict.errors for word in (error.name, error.text))
    return any(word.startswith(REPEAT_TEXT) for word in words)


def _schedule(db: sa.Connection, message_id: str, now: int) -> None:
    for row in outbox.deliveries(db, message_id):
        if row["poll_at"] is None or row["poll_at"] > now:
            continue
        leg, answer = Leg(row["leg"]), Answer(row["answer"])
        age_s = (now - (row["sent_at"] or row["queued_at"])) / 1e6
        done = leg is Leg.CONFIRMED and (answer in ANSWERED or answer is Answer.NOT_ASKED)
        done = done or age_s > POLL_AT_MOST_S  # it is overdue long since; a late AppRec still comes by the inbox
        following = None if done or leg is Leg.REFUSED else now + round(status_poll_wait_s(age_s) * 1e6)
        outbox.set_columns(db, row["id"], poll_at=following)


def _poll_later(parts: Parts, message_id: str, *, minimum_s: float) -> None:
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        for row in outbox.deliveries(db, message_id):
            if row["poll_at"] is not None and row["poll_at"] <= now:
                outbox.set_columns(db, row["id"], poll_at=now + round(minimum_s * 1e6))


def match_receipt(
    db: sa.Connection, book: AddressBook, tenant: str, seen: ReceiptSeen, *, at: int, alarms: list[tuple[str, str]]
) -> str:
    """Join an AppRec document to the row of its sender (P4, P18); gives what happened.

    "unknown" = nothing of ours has that MsgId (logged only, V22); "stranger" = it does not come from that row's
    receiver or its organisation: an event, nothing moves, and the caller raises the alarm.
    """
    message = outbox.find_sent(db, tenant, seen.original_msg_id)
    if message is None or message["answers"] is not None:
        return "unknown"
    rows = outbox.deliveries(db, message["id"])
    for her_id in seen.acknowledger_her_ids:
        for row in rows:
            if her_id in _levels(book, row["party"]):  # its own address, or its organisation's
                return apply_receipt(
                    db, row, seen.verdict, at=at, via=seen.via, receipt_id=seen.receipt_id, alarms=alarms
                )
    for row in rows:
        journal.note(db, row, at=at, kind="receipt from a stranger", detail={"receipt_id": seen.receipt_id})
    return "stranger"


def _levels(book: AddressBook, party: int) -> tuple[int | None, ...]:
    entry = book.entries.get(party)
    return (party,) if entry is None else (party, entry.parent_her_id)
