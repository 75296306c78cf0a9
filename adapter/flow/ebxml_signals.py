"""Signals that come: receipts and errors move a row, questions get their answer, answers end a question of ours.

None of them is a business message, none is acknowledged (HIS 1037 9.1), and each leaves an event. Ping and
StatusRequest are by agreement (HIS 1037 3.2): they are answered, signed, when a registered partner has signed them;
others may be left without an answer (ebMS 2.0 chapters 7 and 8), and are.
"""

from __future__ import annotations

from typing import Any

import adapter.xmlio as xmlio
from adapter.ebxml.compose import pong, status_response
from adapter.ebxml.decide import AnswerKind
from adapter.ebxml.names import Kind
from adapter.ebxml.opening import Opened
from adapter.ebxml.read import read
from adapter.ebxml.words import ERROR_CODES, MESSAGE_STATUSES, Envelope
from adapter.errors import StoreError
from adapter.flow.ebxml_arrived import Arrived, EnvelopeAnswer, respond, sign, tell
from adapter.flow.ebxml_keys import software_of, verify
from adapter.flow.ebxml_proof import judge_signal, record_signal, unchecked
from adapter.flow.parts import Parts
from adapter.model.delivery import Step
from adapter.model.wire import EBXML_ROADS
from adapter.store import envelopes, journal, signals
from adapter.store.statements import Row

RECEIPTS = (Kind.ACKNOWLEDGMENT, Kind.MESSAGE_ERROR)
QUESTIONS = (Kind.PING, Kind.STATUS_REQUEST)
REPLIES = (Kind.PONG, Kind.STATUS_RESPONSE)
_ASKED_BY = {Kind.PONG: Kind.PING, Kind.STATUS_RESPONSE: Kind.STATUS_REQUEST}


def take_signal(parts: Parts, arrived: Arrived, raw: bytes) -> EnvelopeAnswer:
    """What a signal does, and the answer to a question; every other signal is answered by nothing."""
    kind = arrived.opened.envelope.kind
    if kind in QUESTIONS:
        return _answer(parts, arrived)
    if kind in REPLIES or not _take_receipt(parts, arrived, raw):
        _take_reply(parts, arrived, raw)
    return EnvelopeAnswer(status=204, message_id=arrived.message_id)


def is_vouched_for(parts: Parts, opened: Opened) -> bool:
    """True for an envelope that is signed by the partner whose it says it is; a signal by the one whom it answers.

    Raises TransportError when revocation must be asked and could not be (P17).
    """
    outcome, words = verify(parts, opened, parts.entry(_signing_party(parts, opened.envelope)))
    if outcome.status == "unchecked":
        raise unchecked()
    return words is not None


def _signing_party(parts: Parts, words: Envelope) -> int | None:
    if words.kind in (*RECEIPTS, *REPLIES):  # they may name their sender by its organisation number alone
        named = _named(words) or ""
        with parts.store.reading() as db:
            row = envelopes.find_sent(db, EBXML_ROADS, named)
            question = signals.find_question(db, named, QUESTIONS) if row is None else None
        if row is not None:
            return int(row["party"])
        if question is not None:
            return _asked(parts, question).receiver.her_id
    return words.sender.her_id


# --- receipts and errors about what we sent ---------------------------------------------------------------------------


def _take_receipt(parts: Parts, arrived: Arrived, raw: bytes) -> bool:
    """Move the row that the signal names, when it is proof (P19); False when it names no message of ours."""
    words = arrived.opened.envelope
    named = _named(words)
    with parts.store.reading() as db:
        row = envelopes.find_sent(db, EBXML_ROADS, named) if named else None
    if row is None:
        return False
    proof = judge_signal(parts, arrived.opened, row, _sent_envelope(parts, row), in_response=False)
    record_signal(parts, row["id"], proof, raw)
    detail = {"of": row["message_id"], "kind": str(words.kind), "proof": proof.leg is not None}
    tell(parts, arrived, "signal taken", detail, verified=proof.signed)
    return True


def _named(words: Envelope) -> str | None:
    """The MessageId that a signal is about."""
    return words.receipt.ref_to_message_id if words.receipt is not None else words.ref_to_message_id


def _sent_envelope(parts: Parts, row: Row) -> bytes | None:
    """None when retention has taken it: a signal may come long after a message is final."""
    try:
        with parts.store.reading() as db:
            return journal.read_payload(db, row["message_id"], f"envelope-{row['remote_id']}")
    except StoreError as error:
        if error.code != "STORE.GONE":
            raise
        return None


# --- answers to what we asked -----------------------------------------------------------------------------------------


def _take_reply(parts: Parts, arrived: Arrived, raw: bytes) -> None:
    words = arrived.opened.envelope
    with parts.store.reading() as db:
        question = signals.find_question(db, words.ref_to_message_id or "", QUESTIONS)
    if question is None:
        parts.log.warning("signal without a message", extra={"message_id": arrived.message_id})
        tell(parts, arrived, "signal without a message", {"kind": str(words.kind)})
        return
    proof = end_question(parts, question, arrived.opened, raw, in_response=False)
    tell(
        parts, arrived, "signal taken", {"of": question["id"], "kind": str(words.kind), "proof": proof}, verified=proof
    )


def end_question(parts: Parts, question: Row, opened: Opened, raw: bytes, *, in_response: bool) -> bool:
    """Record what was said to our question; False when it says nothing: unsigned, another's, or about another.

    The answer in the HTTP response to our own request counts unsigned too: it moves no message (P19).
    """
    found, signed = verify(parts, opened, parts.entry(_asked(parts, question).receiver.her_id))
    if found.status == "unchecked" and not in_response:
        raise unchecked()
    words = signed if signed is not None else opened.envelope if in_response else None
    outcome = _outcome(words, question) if words is not None else None
    with parts.store.transaction() as db:
        at = parts.store.now_us()
        if outcome is None:
            detail = {"kind": str(opened.envelope.kind), "signed": signed is not None}
            ids = {"tenant": question["tenant"], "message_id": question["id"]}
            journal.add_event(db, at=at, kind="unproved signal", detail=detail, **ids)
            return False
        kind, detail = outcome
        signals.add_outcome(db, question, kind, raw, at=at, detail={**detail, "signed": signed is not None})
    return True


def _asked(parts: Parts, question: Row) -> Envelope:
    with parts.store.reading() as db:
        return read(xmlio.parse(journal.read_payload(db, question["id"], "envelope")))


def _outcome(words: Envelope, question: Row) -> tuple[str, dict[str, object]] | None:
    if words.fault is not None:  # it has no reference: only the response to our own request gets here
        return signals.REFUSED, {"errors": ["SoapFault"]}
    if words.ref_to_message_id != question["id"]:
        return None
    if words.kind is Kind.MESSAGE_ERROR and words.report is not None:
        codes = [one.code if one.code in ERROR_CODES else "?" for one in words.report.errors]
        return signals.REFUSED, {"errors": codes}
    if words.kind is None or _ASKED_BY.get(words.kind) != question["kind"]:
        return None
    if words.kind is Kind.PONG:
        return signals.ANSWERED, {}
    status = words.message_status if words.message_status in MESSAGE_STATUSES else "?"
    return signals.ANSWERED, {"status": status}


# --- questions to us --------------------------------------------------------------------------------------------------


def _answer(parts: Parts, arrived: Arrived) -> EnvelopeAnswer:
    """Pong or StatusResponse, stored before it leaves; nothing for one that is not a registered partner's own."""
    asked = arrived.opened.envelope
    outcome, words = verify(parts, arrived.opened, parts.entry(asked.sender.her_id))
    if outcome.status == "unchecked":
        raise unchecked()
    reason = f"signature {outcome.status}" if words is None else _flaw(words)
    if words is None or arrived.party is None or reason is not None:
        detail = {"kind": str(asked.kind), "reason": reason or "not for us"}
        tell(parts, arrived, "question not answered", detail, verified=words is not None)
        return EnvelopeAnswer(status=204, message_id=arrived.message_id)
    with parts.store.reading() as db:
        said = envelopes.find_signal(db, arrived.message_id)
    status = _status(parts, words, arrived.party) if words.kind is Kind.STATUS_REQUEST else None
    kind = AnswerKind.PONG if status is None else AnswerKind.STATUS_RESPONSE
    return respond(parts, kind, said or _say(parts, arrived, words, status), arrived.message_id)


def _flaw(words: Envelope) -> str | None:
    """Why a verified question cannot be answered."""
    if not words.message_id:
        return "no MessageId"
    if words.kind is Kind.STATUS_REQUEST and not words.asked_message_id:
        return "names no message"
    return None


def _say(parts: Parts, arrived: Arrived, words: Envelope, status: str | None) -> bytes:
    names: dict[str, Any] = {"message_id": parts.new_id(), "now": parts.now(), "software": software_of(parts)}
    reply = pong(words, **names) if status is None else status_response(words, status, **names)
    signal = sign(parts, arrived, reply)
    with parts.store.transaction() as db:
        envelopes.set_verified(db, arrived.seq)
        journal.add_payload(db, arrived.message_id, "signal", signal)
        journal.add_event(
            db,
            at=parts.store.now_us(),
            tenant=arrived.tenant.name,
            kind="question answered",
            message_id=arrived.message_id,
            detail={"kind": str(words.kind), "status": status} if status else {"kind": str(words.kind)},
        )
    return signal


def _status(parts: Parts, words: Envelope, party: int) -> str:
    """One of ebMS 2.0's words (7.1.2) by our rows. *Forwarded* is never ours: no message goes on to another handler.

    Only the sender of a message may ask about it; everybody else is told that, and nothing of how it went.
    """
    asked, sender = words.asked_message_id, words.sender.her_id
    assert asked is not None  # what names no message is not answered
    assert sender is not None  # who has no HER-id has no certificate that it could be verified by
    with parts.store.reading() as db:
        row = envelopes.find_received(db, EBXML_ROADS, asked, party)
        refused = signals.find_refused(db, sender=sender, party=party, remote_id=asked)
    if row is None:
        return "Received" if refused is not None else "NotRecognized"
    if sent_by(row) != sender:
        return "UnAuthorized"
    return "Received" if row["step"] in (Step.RECEIVED.value, Step.OPENED.value) else "Processed"


def sent_by(row: Row) -> int | None:
    """Who sent the envelope of a received row; the message's own column becomes the document's sender."""
    named = ((row["overrides"] or {}).get("ebxml") or {}).get("sender")
    return int(named) if named is not None else row["sender"]
