"""Out over ebXML: one signed envelope per receiver, stored before its first byte leaves, sent again as it is.

1 given up?   2 the stored envelope, or a new one: encrypt, build, sign, store   3 post   4 the answer is proof, or not
Without proof the row is *unknown* and the plan of resends holds: same MessageId, same octets, a fresh MIME wrapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

import adapter.documents as documents
import adapter.xmlio as xmlio
from adapter.ebxml.compose import payload_message
from adapter.ebxml.names import Kind
from adapter.ebxml.names import Road as Wire
from adapter.ebxml.opening import open_http
from adapter.ebxml.pack import Attachment, Packed, pack_http
from adapter.ebxml.plaintext import build_plaintext
from adapter.errors import AccessError, AdapterError, TransportError, UnknownOutcomeError
from adapter.flow.ebxml_keys import company_signer, software_of
from adapter.flow.ebxml_look import look_first
from adapter.flow.ebxml_plan import (
    NOT_IN_FORCE,
    abandon,
    is_over,
    plan_for,
    suspend,
    take_answer,
    watch_own_key,
)
from adapter.flow.ebxml_post import send_mail
from adapter.flow.ebxml_proof import judge_signal, record_signal
from adapter.flow.ebxml_seal import seal
from adapter.flow.ebxml_way import Way, find_address, find_way
from adapter.flow.outcomes import AWAITED, plan_of, record_failure
from adapter.flow.parts import Parts
from adapter.flow.processes import agreement_of, named
from adapter.identifiers import is_message_id
from adapter.model.document import Facts
from adapter.model.partner import RegisterEntry
from adapter.model.process import Process, national
from adapter.model.wire import EBXML_MAIL, EBXML_ROADS
from adapter.security import cms
from adapter.security.keys import Signer
from adapter.store import envelopes, journal, outbox
from adapter.store.database import from_us
from adapter.store.statements import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What goes out, as stored: the signed envelope and the encrypted document."""

    message_id: str
    envelope: bytes
    attachment: Attachment
    synchronous: bool = False  # agreed so: the answer is the response itself, and no Acknowledgment comes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letter:
    """A row with its message. ``answered``: the inbound row that an AppRec of ours answers; ``asked``: the one that
    another message of ours replies to."""

    row: Row
    message: Row
    answered: Row | None
    asked: Row | None
    partner: RegisterEntry

    @property
    def received(self) -> Mapping[str, str]:
        """The envelope words of the message that is answered; empty for other messages, and for other roads."""
        return _written(self.answered)

    @property
    def running(self) -> Mapping[str, str]:
        """The same of what a reply of ours names as its parent: one conversation goes on (HIS 1037 6.2.1)."""
        return _written(self.answered or self.asked)

    @property
    def process(self) -> Process:
        return _turned(self.received, self.row) if self.received else _process(self.message, self.row)


def _written(row: Row | None) -> Mapping[str, str]:
    return (row["overrides"] or {}).get("ebxml", {}) if row is not None else {}


def send_rows(parts: Parts, rows: list[Row]) -> None:
    """Send each claimed row of a message by itself: an envelope has one receiver."""
    for row in rows:
        try:
            if is_over(row, parts.store.now_us()):
                if row["road"] != EBXML_MAIL or look_first(parts, row):
                    abandon(parts, row)
            else:
                _send(parts, row)
        except AccessError as error:  # the partner's endpoint, not our tenant's access: the row alone waits
            record_failure(parts, [row], TransportError(error.text, code=error.code))
        except AdapterError as error:
            if error.code in NOT_IN_FORCE:
                suspend(parts, row, error)
            else:
                record_failure(parts, [row], error)


def _send(parts: Parts, row: Row) -> None:
    partner = parts.book().find(row["party"])
    with parts.store.reading() as db:
        message = outbox.find_message(db, row["message_id"])
        assert message is not None
        answered = outbox.find_delivery(db, message["answers"]) if message["answers"] is not None else None
        asked = _asked(db, row, message) if answered is None else None
    letter = _Letter(row=row, message=message, answered=answered, asked=asked, partner=partner)
    sealed = _stored(parts, row)
    if sealed is None:
        sealed, address = _seal(parts, letter)
    else:
        address = _address_now(parts, letter)
    if row["road"] == EBXML_MAIL:
        _mail(parts, row, replace(partner, edi_address=address), sealed)
    else:
        _post(parts, {**row, "remote_id": sealed.message_id}, address, sealed)


def _asked(db: sa.Connection, row: Row, message: Row) -> Row | None:
    parent, tenant = message["parent"], row["tenant"]
    return envelopes.find_asked(db, EBXML_ROADS, tenant=tenant, sender=row["party"], msg_id=parent) if parent else None


def _mail(parts: Parts, row: Row, partner: RegisterEntry, sealed: Sealed) -> None:
    """By mail the receipt comes later, as a mail of its own; until then the row waits for proof."""
    if row["resends"] and not look_first(parts, row):
        return
    attached, name = [sealed.attachment], sealed.message_id
    send_mail(parts, partner, sealed.envelope, attached, envelope_id=name, row=row)
    raise UnknownOutcomeError("the mail server has it, and no receipt has come", code=AWAITED)


def _post(parts: Parts, row: Row, url: str, sealed: Sealed) -> None:
    assert parts.ebxml_http is not None  # the way was refused otherwise
    packed = _wrap(parts, sealed)
    reply = parts.ebxml_http.post(url, packed.headers, packed.pieces)
    opened = open_http(reply.headers.items(), reply.body)
    if sealed.synchronous and opened.envelope.kind is not Kind.MESSAGE_ERROR:
        take_answer(parts, row, opened, reply)
        return
    proof = judge_signal(parts, opened, row, sealed.envelope, in_response=True)
    record_signal(parts, row["id"], proof, reply.body)
    if proof.leg is None and not reply.body:
        raise UnknownOutcomeError("the partner has it, and its receipt comes by itself", code=AWAITED)
    if proof.leg is None:
        raise UnknownOutcomeError("the answer proves no receipt", code="EBXML.NO_PROOF")


def _wrap(parts: Parts, sealed: Sealed) -> Packed:
    """Boundary and the envelope's Content-ID are new each time; nothing signed is."""
    start = f"envelope-{parts.new_id()}@adapter"
    return pack_http(sealed.envelope, [sealed.attachment], boundary=f"part-{parts.new_id()}", content_id=start)


# --- the envelope -----------------------------------------------------------------------------------------------------


def _stored(parts: Parts, row: Row) -> Sealed | None:
    """The envelope as it was sealed; None for a new one, and for one that never left and would leave too late."""
    message_id = row["remote_id"]
    if message_id is None or (row["resends"] == 0 and plan_of(row).until <= parts.store.now_us()):
        return None
    with parts.store.reading() as db:
        envelope = journal.read_payload(db, row["message_id"], f"envelope-{message_id}")
        content = journal.read_payload(db, row["message_id"], f"sealed-{message_id}")
    attachment = Attachment(content_id=_content_id(message_id), content=content)
    synchronous = bool(_kept(row).get("synchronous"))
    return Sealed(message_id=message_id, envelope=envelope, attachment=attachment, synchronous=synchronous)


def _kept(row: Row) -> Mapping[str, Any]:
    """What was settled when the row's envelope was sealed; empty for one of an older version."""
    found = (row["overrides"] or {}).get("sealed")
    return found if isinstance(found, Mapping) else {}


def _content_id(message_id: str) -> str:
    return f"document-{message_id}@adapter"


def _address_now(parts: Parts, letter: _Letter) -> str:
    return find_address(
        parts,
        tenant=letter.row["tenant"],
        sender=letter.message["sender"],
        partner=letter.partner,
        road=letter.row["road"],
        process=letter.process,
        cpa_id=str(_kept(letter.row).get("cpa_id") or ""),
    )


def _seal(parts: Parts, letter: _Letter) -> tuple[Sealed, str]:
    """Find the way, encrypt, build, sign and store with the plan of resends; only then may a byte leave."""
    row, message = letter.row, letter.message
    with parts.store.reading() as db:
        document = journal.read_payload(db, message["id"])
    way = find_way(
        parts,
        tenant=row["tenant"],
        sender=message["sender"],
        partner=letter.partner,
        road=row["road"],
        process=letter.process,
        written=letter.received or None,
    )
    message_id, own = parts.new_id(), agreement_of(letter.partner)
    form = own.cms_plaintext or ("raw" if own.nav else "mime")
    content = cms.encrypt(build_plaintext(document, form=form, compressed=way.compressed), way.encryption)
    attachment = Attachment(content_id=_content_id(message_id), content=content)
    facts = documents.read_facts(documents.unwrap(xmlio.parse(document)))
    plan, lives_until = plan_for(parts, way.terms, own)
    words = {**_words(letter, way, facts), "time_to_live": from_us(lives_until)}
    signer = company_signer(parts, parts.tenant(row["tenant"]))
    watch_own_key(parts, way, signer)
    envelope = _signed(parts, signer, words, message_id, attachment, way.acknowledge)
    kept = {"sealed": {"cpa_id": way.cpa_id, "synchronous": not way.acknowledge}, "resend": plan.as_json()}
    overrides = {**(row["overrides"] or {}), **kept}
    with parts.store.transaction() as db:
        journal.add_payload(db, message["id"], f"envelope-{message_id}", envelope)
        journal.add_payload(db, message["id"], f"sealed-{message_id}", content)
        outbox.set_columns(db, row["id"], remote_id=message_id, overrides=overrides)
        detail = {"remote_id": message_id, "cpa_id": way.cpa_id, "agreed": way.held is not None, **plan.as_json()}
        journal.note(db, row, at=parts.store.now_us(), kind="sealed", detail=detail)
    row["overrides"] = overrides
    sealed = Sealed(message_id=message_id, envelope=envelope, attachment=attachment, synchronous=not way.acknowledge)
    return sealed, way.address


def _signed(
    parts: Parts,
    signer: Signer,
    words: Mapping[str, Any],
    message_id: str,
    attachment: Attachment,
    acknowledge: bool,
) -> bytes:
    names: dict[str, Any] = {"message_id": message_id, "now": parts.now(), "software": software_of(parts)}
    said = payload_message(**words, **names, content_id=attachment.content_id, acknowledge=acknowledge)
    covered = {attachment.content_id: attachment.content}
    return seal(said, signer, covered, Wire.SMTP if acknowledge else Wire.HTTP)


def _words(letter: _Letter, way: Way, facts: Facts) -> dict[str, Any]:
    """What the envelope says of the message. What answers another goes in the conversation that it came in; NAV goes
    by RefToMessageId too, which others do not get (HIS 1037 4.2, errata 2)."""
    row, message, running = letter.row, letter.message, letter.running
    to = letter.answered or letter.asked
    own = [one for one in (message["conversation"], message["msg_id"]) if one and is_message_id(one)]
    about = running.get("message_id", to["remote_id"]) if to is not None else None
    return {
        "sender": way.sender,
        "receiver": row["party"],
        "process": way.process,
        "cpa_id": way.cpa_id,
        "conversation_id": running.get("conversation_id") or (own[0] if own else row["id"]),
        "ref_to_message_id": about if agreement_of(letter.partner).nav else None,
        "service_type": way.service_type,
        "namespace": facts.namespace,
        "version": facts.version or "",
    }


def _process(message: Row, row: Row) -> Process:
    """National names by formula, and on top of them those that the row was queued with (P13)."""
    return named(national(message["msg_type"] or ""), row["overrides"] or {})


def _turned(received: Mapping[str, str], row: Row) -> Process:
    """The receipt of a received message: its service, the roles turned round (HISD 1209:2018)."""
    names = row["overrides"] or {}
    return Process(
        name="APPREC",
        service=received["service"],
        action=str(names.get("action", "APPREC")),
        from_role=received["to_role"],
        to_role=received["from_role"],
    )
