"""What the partner's signals say of what we sent: only proof moves a row (P19).

An Acknowledgment counts when the receiver's registered certificate has signed it, it names our MessageId and its
References are ours; one without References is a receipt without proof, taken and logged. A MessageError counts signed
likewise, or unsigned in the response to our own request. A report of warnings alone is a receipt (HITS 1171 8.4).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

import adapter.xmlio as xmlio
from adapter.ebxml.names import Kind
from adapter.ebxml.opening import Opened
from adapter.ebxml.read import signed_references
from adapter.ebxml.words import ERROR_CODES, Envelope, SignedReference
from adapter.errors import TransportError
from adapter.flow.alarms import all_clear, raise_alarm
from adapter.flow.ebxml_keys import verify
from adapter.flow.outcomes import LATE, close_answered
from adapter.flow.parts import Parts
from adapter.model.delivery import Leg, allowed
from adapter.store import journal, outbox
from adapter.store.statements import Row

ANOTHER_PARTY = "another party"
_HARMLESS = ("no signal", "another message", "our envelope is not kept any more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """``leg`` is where the row goes; None: the signal proves nothing, for the reason in ``detail``.

    ``signed``: the receiver's own signature is on it, whatever it says.
    """

    leg: Leg | None
    detail: dict[str, object] = field(default_factory=dict)
    signed: bool = False


def judge_signal(parts: Parts, opened: Opened, row: Row, envelope: bytes | None, *, in_response: bool) -> Proof:
    """What this answer says of the row whose stored ``envelope`` went out (None: its bytes are not kept any more).

    Raises nothing for what partners write; TransportError when revocation must be asked and could not be (P17).
    """
    kind = opened.envelope.kind
    if kind not in (Kind.ACKNOWLEDGMENT, Kind.MESSAGE_ERROR):
        return Proof(leg=None, detail={"reason": "no signal"})
    outcome, words = verify(parts, opened, parts.entry(row["party"]))
    if outcome.status == "unchecked" and not in_response:
        raise unchecked()
    if words is None:
        unsigned = outcome.status == "absent" and kind is Kind.MESSAGE_ERROR and in_response
        if not unsigned:
            reason = f"signature {outcome.status}" if _is_its(opened.envelope, row) else ANOTHER_PARTY
            return Proof(leg=None, detail={"reason": reason, "rule": outcome.rule or "45"})
        return _said(opened.envelope, row, envelope)
    return replace(_said(words, row, envelope), signed=True)


def _said(words: Envelope, row: Row, envelope: bytes | None) -> Proof:
    if not _is_its(words, row):
        return Proof(leg=None, detail={"reason": ANOTHER_PARTY})
    if words.kind is Kind.MESSAGE_ERROR:
        return _error(words, row["remote_id"])
    if envelope is None:
        return Proof(leg=None, detail={"reason": "our envelope is not kept any more"})
    return _receipt(words, row["remote_id"], signed_references(xmlio.parse(envelope)))


def unchecked() -> TransportError:
    """Nothing may be believed and nothing refused: the partner sends again, or the mail is read again."""
    return TransportError("revocation of the signer's certificate could not be asked", code="P17.REVOCATION")


def _is_its(words: Envelope, row: Row) -> bool:
    """A signal goes the way back (HIS 1037 7.2.1); a party that is named by its organisation number alone passes."""
    return words.sender.her_id in (None, row["party"])


def _receipt(words: Envelope, message_id: str, ours: tuple[SignedReference, ...]) -> Proof:
    receipt = words.receipt
    if receipt is None or receipt.ref_to_message_id != message_id:
        return Proof(leg=None, detail={"reason": "another message"})
    if not receipt.references:
        return Proof(leg=Leg.CONFIRMED, detail={"via": "Acknowledgment", "proof": False})
    proved = all(any(one.proves(other) for other in receipt.references) for one in ours)
    if not proved or len(receipt.references) != len(ours):
        return Proof(leg=None, detail={"reason": "other references"})
    return Proof(leg=Leg.CONFIRMED, detail={"via": "Acknowledgment", "proof": True})


def _error(words: Envelope, message_id: str) -> Proof:
    report = words.report
    if report is None or words.ref_to_message_id != message_id:
        return Proof(leg=None, detail={"reason": "another message"})
    codes = [one.code if one.code in ERROR_CODES else "?" for one in report.errors]
    leg = Leg.CONFIRMED if report.severity == "Warning" else Leg.REFUSED
    return Proof(leg=leg, detail={"via": "MessageError", "errors": codes})


def record_signal(parts: Parts, row_id: str, proof: Proof, raw: bytes) -> None:
    """Keep the signal and move the row where the proof says, in one transaction; what proves nothing is an event.

    The first word stands (HITS 1171 8.2): a later one that says otherwise is kept, told, and changes nothing.
    """
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        row = outbox.find_delivery(db, row_id)
        assert row is not None
        told = _record(parts, db, row, proof, raw, now)
    if told is not None:
        raise_alarm(parts, f"signal:{row_id}", told)
    elif proof.leg is Leg.CONFIRMED:
        all_clear(parts, f"signal:{row_id}")


def _record(parts: Parts, db: sa.Connection, row: Row, proof: Proof, raw: bytes, now: int) -> str | None:
    """The text of the alarm that is due, None for none."""
    if proof.leg is None:
        suspect = proof.detail.get("reason") not in _HARMLESS
        if suspect and row["attention"] is None:
            journal.flag(db, row, "unproved signal", at=now)  # the alarm holds until it is settled, or the proof comes
        journal.note(db, row, at=now, kind="unproved signal", detail=proof.detail)
        return "a signal about our message is not its receiver's own proof (P19)" if suspect else None
    if allowed(Leg(row["leg"]), proof.leg):
        journal.add_payload(db, row["message_id"], f"signal-{parts.new_id()}", raw)
        _move(db, row, proof, now)
        return None
    if row["leg"] == proof.leg.value:
        journal.note(db, row, at=now, kind="signal seen again", detail=proof.detail)
        return None
    journal.add_payload(db, row["message_id"], f"signal-{parts.new_id()}", raw)
    journal.flag(db, row, "signal says otherwise", at=now)  # the alarm holds until it is settled
    journal.note(db, row, at=now, kind="signal says otherwise", detail=proof.detail)
    return "a receiver has refused what it acknowledged, or what we had given up"


def _move(db: sa.Connection, row: Row, proof: Proof, now: int) -> None:
    columns: dict[str, Any] = {"due_at": None, "lease_by": None, "lease_until": None}
    if proof.leg is Leg.CONFIRMED:
        columns |= {"confirmed_at": now, "sent_at": row["sent_at"] or now}
        journal.move(db, row, at=now, kind="confirmed", leg=Leg.CONFIRMED, detail=proof.detail, **columns)
        journal.clear_flag(db, row, at=now, why="confirmed")
        close_answered(db, _answered(db, row), now)
        return
    # What was refused is never sent again as it was: a requeue makes a new envelope with a new MessageId.
    detail = {**proof.detail, "message_id": row["remote_id"]}
    journal.move(db, row, at=now, kind="refused", leg=Leg.REFUSED, detail=detail, remote_id=None, **columns)
    journal.flag(db, row, "transport rejected", at=now, detail=detail, over=LATE)


def _answered(db: sa.Connection, row: Row) -> Row | None:
    message = outbox.find_message(db, row["message_id"])
    assert message is not None
    return outbox.find_delivery(db, message["answers"]) if message["answers"] is not None else None
