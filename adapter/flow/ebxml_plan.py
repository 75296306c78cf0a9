"""What becomes of an ebXML row beside being sent: its plan of resends, giving up, waiting for a person.

The plan stands in the row from the moment its envelope is sealed; the last look at it is its expiry (HITS 1171 8.1).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from adapter.ebxml.names import Kind
from adapter.ebxml.opening import Opened
from adapter.errors import AdapterError, UnknownOutcomeError
from adapter.flow.alarms import all_clear, raise_alarm
from adapter.flow.ebxml_way import Way
from adapter.flow.outcomes import LATE, plan_of
from adapter.flow.parts import Parts
from adapter.model.delivery import Leg
from adapter.model.partner import Agreement
from adapter.model.resend import ResendPlan, ResendTerms, make_plan
from adapter.model.wire import HttpReply
from adapter.security.keys import Signer
from adapter.store import journal, outbox
from adapter.store.database import to_us
from adapter.store.statements import Row

NOT_IN_FORCE = ("CPA.ENDED", "CPA.NOT_BEGUN", "CPA.STATUS")


def plan_for(parts: Parts, terms: ResendTerms, own: Agreement) -> tuple[ResendPlan, int | None]:
    """The plan of an envelope that is sealed now, and its TimeToLive (UTC microseconds) where the settings ask for one.

    It is in whole seconds, as the envelope says it.
    """
    lives_until = None
    if own.time_to_live_h is not None:
        lives_until = to_us(parts.now().replace(microsecond=0) + timedelta(hours=own.time_to_live_h))
    return make_plan(terms, now=parts.store.now_us(), lives_until=lives_until), lives_until


def is_over(row: Row, now: int) -> bool:
    """True for a claimed row that has been sent before and may not be sent again."""
    return bool(row["resends"]) and plan_of(row).is_over(row["resends"], now)


def abandon(parts: Parts, row: Row) -> None:
    """The last interval has passed without proof: given up, and a person is told (HIS 1037 5.2)."""
    now, plan = parts.store.now_us(), plan_of(row)
    sent_again = min(row["resends"] - 1, plan.retries)
    columns: dict[str, Any] = {"due_at": None, "lease_by": None, "lease_until": None}
    with parts.store.transaction() as db:
        journal.move(db, row, at=now, kind="unknown", leg=Leg.UNKNOWN, **columns)
        row = {**row, "leg": Leg.UNKNOWN.value}
        detail = {"resends": sent_again, "source": plan.source, "until": plan.until}
        journal.move(db, row, at=now, kind="abandoned", leg=Leg.ABANDONED, detail=detail, resends=sent_again)
        journal.flag(db, row, "abandoned", at=now, detail=detail, over=LATE)
    raise_alarm(parts, f"abandoned:{row['id']}", "an ebXML message got no receipt in time and was given up")


def suspend(parts: Parts, row: Row, error: AdapterError) -> None:
    """The agreement is not in force: the row waits for a new one and an operator's requeue (HISD 1177 6.2)."""
    now = parts.store.now_us()
    detail = {"code": error.code, "where": error.where, "cure": error.cure}
    columns: dict[str, Any] = {"due_at": None, "lease_by": None, "lease_until": None}
    with parts.store.transaction() as db:
        journal.move(db, row, at=now, kind="suspended", leg=Leg.SUSPENDED, detail=detail, **columns)
        journal.flag(db, row, "suspended", at=now, detail=detail, over=LATE)
    raise_alarm(parts, f"suspended:{row['id']}", f"a message waits: {error.code}")


def take_answer(parts: Parts, row: Row, opened: Opened, reply: HttpReply) -> None:
    """The response to a synchronous message: the partner has it, and proves nothing. A business message in it goes the
    ordinary way in."""
    if opened.envelope.kind is None and reply.body:
        raise UnknownOutcomeError("the response is no ebXML message", code="EBXML.NO_PROOF")
    if opened.envelope.kind is Kind.PAYLOAD:
        from adapter.flow.ebxml_in import receive_envelope

        try:  # before the row is done: what dies here is asked for again by the same envelope
            receive_envelope(parts, reply.body, reply.headers.items())
        except AdapterError as error:  # ours: the partner has our message, and its answer has not been kept
            raise UnknownOutcomeError("the answer in the response could not be taken in", code=error.code) from None
    now = parts.store.now_us()
    columns: dict[str, Any] = {"due_at": None, "lease_by": None, "lease_until": None, "sent_at": now}
    with parts.store.transaction() as db:
        found = outbox.find_delivery(db, row["id"])
        assert found is not None
        detail = {"remote_id": row["remote_id"], "via": "response", "proof": False}
        if found["leg"] in (Leg.SENDING.value, Leg.UNKNOWN.value):
            journal.move(db, found, at=now, kind="sent", leg=Leg.SENT, detail=detail, **columns)
        else:  # the answer was matched meanwhile, and proves more than this
            journal.note(db, found, at=now, kind="sent", detail=detail)


def watch_own_key(parts: Parts, way: Way, signer: Signer) -> None:
    """Tell a person when the agreement names another signing certificate than ours: the partner will refuse us."""
    name = f"agreed key {way.cpa_id}"
    if way.our_certificate is not None and way.our_certificate != signer.certificate.public_bytes(Encoding.DER):
        raise_alarm(parts, name, "an agreement names another signing certificate than the key we sign with")
    else:
        all_clear(parts, name)
