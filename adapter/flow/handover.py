"""Handing over to the EHR (P7): a named consumer takes a message with a lease, then confirms or rejects it.

A positive AppRec goes out when a consumer has confirmed, a negative one at once. A message nobody confirms stays; it is
never accepted by itself unless ``inbound.auto_sorting`` is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

import adapter.documents as documents
import adapter.xmlio as xmlio
from adapter.codes import Coded
from adapter.errors import AdapterError, InputError, NotFoundError, SignatureError, StateError, UnsupportedError
from adapter.flow.alarms import raise_alarm
from adapter.flow.answers import address_for, build_answer, queue_answer
from adapter.flow.identity import her_id_of, sender_of, written_id
from adapter.flow.parts import HOUR_US, Parts
from adapter.flow.trust import covered_root
from adapter.model.delivery import Step
from adapter.model.document import Facts
from adapter.model.receipt import ReceiptStatus, Verdict
from adapter.store import inbox, journal, outbox
from adapter.store.statements import Row
from adapter.validation.reject_codes import legal_reject_codes

Decision = Literal["accept", "reject", "sorting"]
SYSTEM_8221 = "8221"
WORD_REFUSED = "word refused"
OVER_WHEN_CONFIRMED = ("handover overdue", "late", "cannot be handed over", WORD_REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Taken:
    """A message in a consumer's hands. ``token`` confirms it; ``content`` is JSON-ready and holds patient data."""

    token: str
    message_id: str
    delivery_id: str
    msg_id: str | None
    msg_type: str | None
    flags: tuple[str, ...]
    content: dict[str, object]
    document: bytes


def take(parts: Parts, *, tenant: str, consumer: str, lease_s: float, limit: int = 10) -> list[Taken]:
    """Lease accepted messages, most urgent first; an unconfirmed lease runs out and the message is free again.

    A message whose content cannot be given (damaged bytes) is flagged and left out; the others come all the same.
    """
    now = parts.store.now_us()
    until = now + round(lease_s * 1e6)
    token = parts.new_id()
    with parts.store.transaction() as db:
        rows = inbox.lease_accepted(
            db, tenant=tenant, consumer=consumer, token=token, now=now, until=until, limit=limit
        )
        for row in rows:
            journal.note(db, row, at=now, kind="taken", detail={"consumer": consumer})
    found = []
    for row in rows:
        try:
            found.append(_taken(parts, row))
        except AdapterError as error:
            _not_given(parts, row, error)
    return found


def _not_given(parts: Parts, row: Row, error: AdapterError) -> None:
    with parts.store.transaction() as db:
        journal.flag(db, row, "cannot be handed over", at=parts.store.now_us(), detail={"code": error.code})
    raise_alarm(parts, f"handover:{row['id']}", f"an accepted message cannot be handed over: {error.code}")


def _taken(parts: Parts, row: Row) -> Taken:
    with parts.store.reading() as db:
        message = outbox.find_message(db, row["message_id"])
        raw = journal.read_payload(db, row["message_id"])
    assert message is not None
    flags = [name for name, set_ in (("TEST", message["is_test"]), (row["attention"], row["attention"])) if set_]
    try:
        root = covered_root(raw)
    except SignatureError:
        # Only an emergency comes here (P8): a person must see it, and be told that nobody vouches for it.
        root = xmlio_root(raw)
        flags.append("signature broken")
    facts = documents.read_facts(root)
    if row["is_copy"] or _is_copy(facts, row["party"]):
        flags.append("copy")
    return Taken(
        token=row["lease_by"],
        message_id=row["message_id"],
        delivery_id=row["id"],
        msg_id=message["msg_id"],
        msg_type=message["msg_type"],
        flags=tuple(flags),
        content=documents.read_message(root, facts),
        document=raw,
    )


def _is_copy(facts: Facts, party: int) -> bool:
    main = {her_id_of(facts.receiver), her_id_of(facts.receiver, 1)}
    return party not in main and any(party in (her_id_of(copy), her_id_of(copy, 1)) for copy in facts.copies)


def confirm(parts: Parts, token: str, decision: Decision, codes: Sequence[str] = ()) -> str:
    """The consumer's word on a taken message; gives the step it stands at. Repeating the same word changes nothing.

    ``sorting`` = visible to staff, answered OK. Raises InputError for a code that is not legal for the type,
    StateError when the lease went to somebody else, NotFoundError for an unknown token.
    """
    with parts.store.reading() as db:
        row = inbox.find_leased(db, token)
        if row is None:
            raise NotFoundError("no message is held by this token", cure="take it again")
        message = outbox.find_message(db, row["message_id"])
    assert message is not None
    if row["step"] != Step.ACCEPTED.value:
        return _repeated(row, message, decision)
    facts = _facts_of(parts, row)
    verdict = _verdict(message["msg_type"], decision, codes)
    emergency = decision == "reject" and facts.emergency
    if emergency:
        verdict = Verdict(status=ReceiptStatus.OK)  # P8: never rejected, by a rule or by the consumer
    try:
        step = _close(parts, row, facts, verdict, decision, flagged="emergency rejected" if emergency else None)
    except StateError as error:
        if error.code != "STATE.RACE":
            raise
        return confirm(parts, token, decision, codes)  # the same word from another thread came first
    if emergency:
        raise_alarm(
            parts, f"emergency:{row['id']}", "a consumer rejected an emergency referral; it stays accepted (P8)"
        )
    return step.value


def _facts_of(parts: Parts, row: Row) -> Facts:
    """The facts of a message as it was judged; read again where this process has not judged it."""
    facts = parts.judged.take(row["id"])
    if facts is not None:
        return facts
    with parts.store.reading() as db:
        raw = journal.read_payload(db, row["message_id"])
    return documents.read_facts(xmlio_root(raw))


def xmlio_root(raw: bytes) -> xmlio.Element:
    """The stored document's tree, looked through a wrapper."""
    return documents.unwrap(xmlio.parse(raw))


def _repeated(row: Row, message: Row, decision: Decision) -> str:
    rejected = row["step"] == Step.REJECTED.value
    overruled = decision == "reject" and not rejected and message["priority"] == "0"  # P8: said before, and set aside
    if rejected != (decision == "reject") and not overruled:
        raise StateError(f"the message was confirmed otherwise before: {row['step']}")
    return str(row["step"])


def _verdict(msg_type: str | None, decision: Decision, codes: Sequence[str]) -> Verdict:
    if decision != "reject":
        if codes:
            raise InputError("codes go with a rejection only", where="codes")
        return Verdict(status=ReceiptStatus.OK)
    legal = legal_reject_codes(msg_type or "")
    wrong = [code for code in codes if code not in legal]
    if wrong or not codes:
        cure = f"legal for this type: {', '.join(sorted(legal))}"
        raise InputError(
            "a rejection needs codes that are legal for the type", code="P7.CODE", where="codes", cure=cure
        )
    return Verdict(status=ReceiptStatus.REJECTED, errors=tuple(Coded.of(SYSTEM_8221, code) for code in codes))


def _close(
    parts: Parts, row: Row, facts: Facts, verdict: Verdict, decision: Decision, flagged: str | None = None
) -> Step:
    """The consumer's word and the AppRec in one commit. What cannot be answered is handed over all the same."""
    answer = _answer(parts, row, facts, verdict)
    rejected = verdict.status is ReceiptStatus.REJECTED
    step = Step.REJECTED if rejected else Step.HANDED_OVER
    now = parts.store.now_us()
    detail: dict[str, Any] = {"decision": decision, "errors": journal.write_errors(verdict.errors)}
    silent = parts.tenant(row["tenant"]).listen_only  # P12: another system answers for this address
    with parts.store.transaction() as db:
        journal.move(db, row, at=now, kind=step.value, step=step, detail=detail, overdue_at=None, lease_until=None)
        if rejected:
            outbox.set_columns(db, row["id"], errors=journal.write_errors(verdict.errors))
        if row["attention"] in OVER_WHEN_CONFIRMED:
            journal.clear_flag(db, row, at=now, why="confirmed")
        if flagged is not None:
            journal.flag(db, row, flagged, at=now)
        if answer is not None and not silent:
            queue_answer(db, parts, row, facts, verdict, answer[1], to=answer[0], at=now)
        elif not silent:
            journal.flag(db, row, "receipt impossible", at=now)
        if not rejected:
            _unpark(db, row, facts, now)
    if answer is None and not silent:
        raise_alarm(parts, f"receipt impossible:{row['id']}", "a message was confirmed and its sender cannot be told")
    return step


def _answer(parts: Parts, row: Row, facts: Facts, verdict: Verdict) -> tuple[int, tuple[str, bytes]] | None:
    """(address, AppRec); None when the sender has no address or no valid AppRec can be written."""
    to = address_for(parts, row, facts)
    if to is None:
        return None
    try:
        return to, build_answer(parts, facts, row["party"], verdict)
    except UnsupportedError:
        return None


def _unpark(db: sa.Connection, row: Row, facts: Facts, now: int) -> None:
    """A change or cancel that waited for this document follows right after it (P5)."""
    document_id = written_id(facts.document_id)
    if document_id is None:
        return
    for parked in inbox.parked_on(db, document_id=document_id, sender=sender_of(facts), tenant=row["tenant"]):
        overdue = now + 24 * HOUR_US
        journal.move(db, parked, at=now, kind="original came", step=Step.ACCEPTED, overdue_at=overdue)


def auto_sort(parts: Parts, row: Row) -> str:
    """Confirm by ourselves as *sorting* (only with ``inbound.auto_sorting``, shortly before 96 h; AT-A 15)."""
    return _close(parts, row, _facts_of(parts, row), Verdict(status=ReceiptStatus.OK), "sorting").value
