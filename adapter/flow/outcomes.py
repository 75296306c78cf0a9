"""What became of a row that was being sent: proof, failure, an unknown outcome, a tenant without access (P2, P23)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from adapter.errors import AccessError, AdapterError, Again, RefusedError
from adapter.flow.alarms import all_clear, open_names, raise_alarm
from adapter.flow.parts import Parts
from adapter.model.delivery import Leg, RetryPolicy, Step, decide_retry
from adapter.model.resend import ResendPlan, read_plan
from adapter.model.wire import EBXML_MAIL, EBXML_ROADS, Sent
from adapter.store import journal, outbox, queries
from adapter.store.database import from_us, to_us
from adapter.store.statements import Row

ACCESS_PAUSE_S = 300.0
LATE = "transport overdue"  # a reason for attention while the row is still on its way, and no longer
STOPPED = "worker stopped"
AWAITED = "EBXML.AWAITED"  # the partner's server has it, and its receipt is to come
DAMAGED = ("STORE.GONE", "STORE.CORRUPT")


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
        journal.flag(db, row, "suspended", at=now, detail=detail, over=LATE)
        return
    if error.again is Again.AFTER_PROOF:
        record_unknown(parts, db, row, now, reason=error.code)
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
    journal.flag(db, row, following.leg.value, at=now, detail=detail, over=LATE)


def _back(db: sa.Connection, row: Row, now: int, due_at: int | None, *, kind: str, detail: Any, **columns: Any) -> Leg:
    """Back to the queue; back to unknown for a row that was being resent, as its first sending may have arrived."""
    leg = Leg.UNKNOWN if row["resends"] else Leg.QUEUED
    # A resend that never left does not use up the one resend (P2).
    resends = max(row["resends"] - 1, 0)
    journal.move(db, row, at=now, kind=kind, leg=leg, detail=detail, due_at=due_at, resends=resends, **columns)
    return leg


def record_unknown(parts: Parts, db: sa.Connection, row: Row, now: int, *, reason: str) -> None:
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
