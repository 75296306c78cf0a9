"""The way out, part two: claim due rows, send, record what happened. A claim is committed before a byte leaves (P2)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from adapter.errors import AccessError, AdapterError, Again, NotFoundError, RefusedError, StateError
from adapter.flow.alarms import all_clear, open_names, raise_alarm
from adapter.flow.parts import Parts
from adapter.model.delivery import Leg, RetryPolicy, Step, decide_retry
from adapter.model.receipt import ReceiptStatus
from adapter.model.resend import ResendPlan, read_plan
from adapter.model.wire import EBXML_MAIL, EBXML_ROADS, Parcel, ReceiptParcel, Road, Sent
from adapter.store import journal, outbox, queries
from adapter.store.database import from_us, to_us
from adapter.store.statements import Row

CLAIM_S = 120.0  # longer than any call's total time-out
ACCESS_PAUSE_S = 300.0
STOPPED = "worker stopped"
AWAITED = "EBXML.AWAITED"  # the partner's server has it, and its receipt is to come
DAMAGED = ("STORE.GONE", "STORE.CORRUPT")


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
            _record_unknown(parts, db, row, now, reason=STOPPED)


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


def record_proof(parts: Parts, rows: list[Row], answered: Row) -> None:
    """The server shows our AppRec: it arrived, although nobody told us."""
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        for claimed in rows:
            row = outbox.find_delivery(db, claimed["id"])
            assert row is not None
            columns: dict[str, Any] = {"sent_at": now, "confirmed_at": now, "lease_by": None, "lease_until": None}
            journal.move(db, row, at=now, kind="proved", leg=Leg.CONFIRMED, detail={"via": "status"}, **columns)
            journal.clear_flag(db, row, at=now, why="proved")
        close_answered(db, answered, now)


def close_answered(db: sa.Connection, answered: Row | None, now: int) -> None:
    """The inbound row that an AppRec of ours answers has its receipt."""
    if answered is not None and answered["step"] == Step.HANDED_OVER.value:
        journal.move(db, answered, at=now, kind="receipted", step=Step.RECEIPTED)


def record_sent(parts: Parts, rows: list[Row], message: Row, sent: Sent, answered: Row | None) -> None:
    """The server has it: keep its id, start asking for status, close the inbound row that an AppRec answers."""
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        outbox.add_remote_id(db, message["id"], sent.remote_id, at=now)
        for claimed in rows:
            row = outbox.find_delivery(db, claimed["id"])
            assert row is not None
            columns: dict[str, Any] = {
                "sent_at": now,
                "remote_id": sent.remote_id,
                "lease_by": None,
                "lease_until": None,
                "poll_at": now,
            }
            if row["leg"] not in (Leg.SENDING.value, Leg.UNKNOWN.value):
                # Proof overtook our own record: an AppRec was matched while we waited for the answer.
                outbox.set_columns(db, row["id"], **columns)
                journal.note(db, row, at=now, kind="sent", detail={"remote_id": sent.remote_id})
                continue
            detail = {"remote_id": sent.remote_id, "attempts": row["attempts"]}
            # Unknown: our claim was given up while the answer was on its way; now there is nothing to send again.
            journal.move(db, row, at=now, kind="sent", leg=Leg.SENT, detail=detail, due_at=None, **columns)
            journal.clear_flag(db, row, at=now, why="sent")
        close_answered(db, answered, now)


def record_failure(parts: Parts, rows: list[Row], error: AdapterError) -> None:
    """Put each row where the error says: back in the queue, unknown, refused or abandoned."""
    now = parts.store.now_us()
    tenant = rows[0]["tenant"]
    with parts.store.transaction() as db:
        for claimed in rows:
            row = outbox.find_delivery(db, claimed["id"])
            if row is not None and row["leg"] == Leg.SENDING.value:
                _record_one(parts, db, row, error, now)
    if isinstance(error, AccessError):
        pause_for(parts, tenant, error, "sending")


def _record_one(parts: Parts, db: sa.Connection, row: Row, error: AdapterError, now: int) -> None:
    free = {"lease_by": None, "lease_until": None}
    detail = {"code": error.code, "attempts": row["attempts"], **_remote(error)}
    if isinstance(error, AccessError):
        # The tenant is paused; the row itself is fine and did not leave.
        again = now + round(ACCESS_PAUSE_S * 1e6)
        _back(db, row, now, again, kind="held", detail=detail, **free)
        return
    if error.code in DAMAGED:  # the bytes themselves are gone: no attempt will bring them back
        journal.move(db, row, at=now, kind="suspended", leg=Leg.SUSPENDED, detail=detail, due_at=None, **free)
        journal.flag(db, row, "suspended", at=now, detail=detail)
        return
    if error.again is Again.AFTER_PROOF:
        _record_unknown(parts, db, row, now, reason=error.code)
        return
    policy = RetryPolicy(unknown_wait_s=parts.settings.worker.unknown_wait_s, give_up_after_s=_patience_s(row))
    queued_at = from_us(row["queued_at"])
    assert queued_at is not None
    following = decide_retry(
        error, attempts=row["attempts"], queued_at=queued_at, now=parts.now(), policy=policy, jitter=parts.random()
    )
    if following.leg is Leg.QUEUED and following.due_at is not None:
        due_at = to_us(following.due_at)
        if row["road"] in EBXML_ROADS and row["resends"]:
            due_at = min(due_at, max(plan_of(row).until, now))
        _back(db, row, now, due_at, kind="retry later", detail=detail, **free)
        return
    if following.leg is Leg.ABANDONED:  # the table has no way from sending to abandoned: nothing was sent
        row = {**row, "leg": _back(db, row, now, None, kind="retry later", detail=detail, **free).value}
    journal.move(db, row, at=now, kind=following.leg.value, leg=following.leg, detail=detail, due_at=None, **free)
    journal.flag(db, row, following.leg.value, at=now, detail=detail)


def _back(db: sa.Connection, row: Row, now: int, due_at: int | None, *, kind: str, detail: Any, **columns: Any) -> Leg:
    """Back to the queue; back to unknown for a row that was being resent, as its first sending may have arrived."""
    leg = Leg.UNKNOWN if row["resends"] else Leg.QUEUED
    # A resend that never left does not use up the one resend (P2).
    resends = max(row["resends"] - 1, 0)
    journal.move(db, row, at=now, kind=kind, leg=leg, detail=detail, due_at=due_at, resends=resends, **columns)
    return leg


def _record_unknown(parts: Parts, db: sa.Connection, row: Row, now: int, *, reason: str) -> None:
    wait_s = parts.settings.worker.unknown_wait_s
    spent = False
    due: int | None
    if row["road"] in EBXML_ROADS:  # the same envelope is safe to send again: there the plan of resends holds
        # The receipt comes by itself: nothing was lost yet. A worker that stopped may have sent nothing at all.
        by_itself = reason == AWAITED or (row["road"] == EBXML_MAIL and reason != STOPPED)
        due = plan_of(row).due_at(row["resends"], now, soon_s=None if by_itself else wait_s)
    else:
        spent = row["resends"] >= 1
        due = None if spent else now + round(wait_s * 1e6)
    detail = {"code": reason, "resends": row["resends"]}
    columns: dict[str, Any] = {"due_at": due, "lease_by": None, "lease_until": None}
    journal.move(db, row, at=now, kind="unknown", leg=Leg.UNKNOWN, detail=detail, **columns)
    if spent:
        journal.flag(db, row, "unknown outcome", at=now, detail=detail)


def plan_of(row: Row) -> ResendPlan:
    """The plan of resends of an ebXML row; the framework's own for one without."""
    return read_plan(row["overrides"], begun_at=row["queued_at"])


def _patience_s(row: Row) -> float:
    """How long a row that cannot be sent is tried: as long as its plan lasts, where it has one."""
    usual = RetryPolicy().give_up_after_s
    if row["road"] not in EBXML_ROADS or row["remote_id"] is None:
        return usual
    lasts_us: int = plan_of(row).until - row["queued_at"]
    return max(usual, lasts_us / 1e6)


def _remote(error: AdapterError) -> dict[str, object]:
    names = ("status", "remote_code", "request_id")
    found = {name: getattr(error, name, None) for name in names}
    if isinstance(error, RefusedError):
        found["rules"] = [finding.rule for finding in error.findings if finding.blocking]
    return {name: value for name, value in found.items() if value}


def pause_for(parts: Parts, tenant: str, error: AccessError, what: str) -> None:
    """Stop one tenant for an access fault: one alarm, no retry storm (P23). ``what`` met it: sending, inbox, status."""
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        again_at = now + round(ACCESS_PAUSE_S * 1e6)
        queries.pause_tenant(db, tenant, f"{what} {error.code}", at=now, again_at=again_at)
    raise_alarm(parts, f"access:{tenant}", f"tenant {tenant} is stopped: {error.code}")


def access_works(parts: Parts, tenant: str, what: str) -> None:
    """The all-clear, by the kind of call that met the fault: a poll that works says nothing of a refused sending."""
    name = f"access:{tenant}"
    if name not in open_names(parts):
        return
    with parts.store.transaction() as db:
        reason = queries.pause_reason(db, tenant)
        if reason is not None and not reason.startswith(what):
            return
        queries.resume_tenant(db, tenant)
    all_clear(parts, name)
