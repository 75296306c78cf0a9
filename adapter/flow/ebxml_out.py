"""Out over ebXML: one signed envelope per receiver, stored before its first byte leaves, sent again as it is.

1 given up?   2 the stored envelope, or a new one: encrypt, build, sign, store   3 post   4 the answer is proof, or not
Without proof the row is *unknown* and the plan of resends holds: same MessageId, same octets, a fresh MIME wrapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import adapter.documents as documents
import adapter.xmlio as xmlio
from adapter.config import TenantSettings
from adapter.ebxml.build import build
from adapter.ebxml.check_outgoing import refuse_outgoing
from adapter.ebxml.compose import payload_message
from adapter.ebxml.names import Road as Wire
from adapter.ebxml.opening import open_http
from adapter.ebxml.pack import Attachment, Packed, pack_http
from adapter.ebxml.plaintext import build_plaintext
from adapter.ebxml.words import cpa_id_without_agreement
from adapter.errors import AccessError, AdapterError, SettingsError, TransportError, UnknownOutcomeError
from adapter.flow.dispatch import record_failure
from adapter.flow.ebxml_keys import company_signer, encryption_certificate, software_of
from adapter.flow.ebxml_mail import send_mail
from adapter.flow.ebxml_proof import judge_signal, record_signal
from adapter.flow.parts import Parts
from adapter.flow.processes import agreement_of
from adapter.identifiers import is_message_id
from adapter.model.delivery import Leg
from adapter.model.document import Facts
from adapter.model.partner import Agreement, RegisterEntry
from adapter.model.process import Process, national
from adapter.model.wire import EBXML_MAIL, HttpReply
from adapter.security import cms
from adapter.security.envelope_signature import sign_envelope
from adapter.store import journal, outbox
from adapter.store.statements import Row

MOST_RESENDS = 5  # HITS 1171 5.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What goes out, as stored: the signed envelope and the encrypted document."""

    message_id: str
    envelope: bytes
    attachment: Attachment


def send_rows(parts: Parts, rows: list[Row]) -> None:
    """Send each claimed row of a message by itself: an envelope has one receiver."""
    for row in rows:
        if row["resends"] > MOST_RESENDS:
            _abandon(parts, row)
            continue
        try:
            _send(parts, row)
        except AccessError as error:  # the partner's endpoint, not our tenant's access: the row alone waits
            record_failure(parts, [row], TransportError(error.text, code=error.code))
        except AdapterError as error:
            record_failure(parts, [row], error)


def _send(parts: Parts, row: Row) -> None:
    partner = parts.book().find(row["party"])
    if row["road"] == EBXML_MAIL:
        _mail(parts, row, partner)
        return
    if parts.ebxml_http is None:
        raise SettingsError("this road is not set up", code="EBXML.ROAD", where=row["road"])
    url = agreement_of(partner).endpoint
    if url is None:
        text, cure = "the partner's agreement names no endpoint", "set endpoint in its _agreement"
        raise SettingsError(text, code="EBXML.ENDPOINT", where=f"HER-id {row['party']}", cure=cure)
    sealed = _stored(parts, row) or _seal(parts, row, partner)
    packed = _wrap(parts, sealed)
    reply = parts.ebxml_http.post(url, packed.headers, packed.pieces)
    _take_reply(parts, {**row, "remote_id": sealed.message_id}, sealed, reply)


def _mail(parts: Parts, row: Row, partner: RegisterEntry) -> None:
    """By mail the receipt comes later, as a mail of its own; until then the row waits for proof."""
    if parts.mail_out is None:
        raise SettingsError("this road is not set up", code="EBXML.ROAD", where=row["road"])
    sealed = _stored(parts, row) or _seal(parts, row, partner)
    send_mail(parts, partner, sealed.envelope, [sealed.attachment], envelope_id=sealed.message_id)
    raise UnknownOutcomeError("the mail server has it, and no receipt has come", code="EBXML.AWAITED")


def _wrap(parts: Parts, sealed: Sealed) -> Packed:
    """Boundary and the envelope's Content-ID are new each time; nothing signed is."""
    start = f"envelope-{parts.new_id()}@adapter"
    return pack_http(sealed.envelope, [sealed.attachment], boundary=f"part-{parts.new_id()}", content_id=start)


def _take_reply(parts: Parts, row: Row, sealed: Sealed, reply: HttpReply) -> None:
    opened = open_http(reply.headers.items(), reply.body)
    proof = judge_signal(parts, opened, row, sealed.envelope, in_response=True)
    record_signal(parts, row["id"], proof, reply.body)
    if proof.leg is None:
        raise UnknownOutcomeError("the answer proves no receipt", code="EBXML.NO_PROOF")


def _abandon(parts: Parts, row: Row) -> None:
    """The last interval has passed without proof: given up, and a person is told (HITS 1171 5.2)."""
    now = parts.store.now_us()
    columns: dict[str, Any] = {"due_at": None, "lease_by": None, "lease_until": None}
    with parts.store.transaction() as db:
        journal.move(db, row, at=now, kind="unknown", leg=Leg.UNKNOWN, **columns)
        row = {**row, "leg": Leg.UNKNOWN.value}
        detail = {"resends": MOST_RESENDS}
        journal.move(db, row, at=now, kind="abandoned", leg=Leg.ABANDONED, detail=detail, resends=MOST_RESENDS)
        journal.flag(db, row, "abandoned", at=now, detail=detail)


# --- the envelope -----------------------------------------------------------------------------------------------------


def _stored(parts: Parts, row: Row) -> Sealed | None:
    message_id = row["remote_id"]
    if message_id is None:
        return None
    with parts.store.reading() as db:
        envelope = journal.read_payload(db, row["message_id"], f"envelope-{message_id}")
        content = journal.read_payload(db, row["message_id"], f"sealed-{message_id}")
    attachment = Attachment(content_id=_content_id(message_id), content=content)
    return Sealed(message_id=message_id, envelope=envelope, attachment=attachment)


def _content_id(message_id: str) -> str:
    return f"document-{message_id}@adapter"


def _seal(parts: Parts, row: Row, partner: RegisterEntry) -> Sealed:
    """Encrypt, build, sign and store; only then may a byte leave."""
    with parts.store.reading() as db:
        message = outbox.find_message(db, row["message_id"])
        assert message is not None
        document = journal.read_payload(db, message["id"])
        answered = outbox.find_delivery(db, message["answers"]) if message["answers"] is not None else None
    agreement = agreement_of(partner)
    message_id = parts.new_id()
    form = agreement.cms_plaintext or ("raw" if agreement.nav else "mime")
    content = cms.encrypt(build_plaintext(document, form=form), encryption_certificate(partner))
    attachment = Attachment(content_id=_content_id(message_id), content=content)
    facts = documents.read_facts(documents.unwrap(xmlio.parse(document)))
    tenant = parts.tenant(row["tenant"])
    words = _words(agreement, row, message, answered, facts)
    envelope = _signed(parts, tenant, words, message_id, attachment)
    with parts.store.transaction() as db:
        journal.add_payload(db, message["id"], f"envelope-{message_id}", envelope)
        journal.add_payload(db, message["id"], f"sealed-{message_id}", content)
        outbox.set_columns(db, row["id"], remote_id=message_id)
        journal.note(db, row, at=parts.store.now_us(), kind="sealed", detail={"remote_id": message_id})
    return Sealed(message_id=message_id, envelope=envelope, attachment=attachment)


def _signed(
    parts: Parts, tenant: TenantSettings, words: Mapping[str, Any], message_id: str, attachment: Attachment
) -> bytes:
    names: dict[str, Any] = {"message_id": message_id, "now": parts.now(), "software": software_of(parts)}
    root = build(payload_message(**words, **names, content_id=attachment.content_id))
    refuse_outgoing(root, Wire.SMTP)
    return sign_envelope(root, company_signer(parts, tenant), {attachment.content_id: attachment.content})


def _words(agreement: Agreement, row: Row, message: Row, answered: Row | None, facts: Facts) -> dict[str, Any]:
    """What the envelope says of the message. A receipt goes back in the conversation that it came in."""
    sender, receiver = message["sender"], row["party"]
    received = (answered["overrides"] or {}).get("ebxml", {}) if answered is not None else {}
    own = [one for one in (message["conversation"], message["msg_id"]) if one and is_message_id(one)]
    return {
        "sender": sender,
        "receiver": receiver,
        "process": _turned(received, row) if received else _process(message, row),
        "cpa_id": received.get("cpa_id") or agreement.cpa_id or cpa_id_without_agreement(sender, receiver),
        "conversation_id": received.get("conversation_id") or (own[0] if own else row["id"]),
        "ref_to_message_id": answered["remote_id"] if answered is not None and agreement.nav else None,
        "service_type": received.get("service_type") or "string",
        "namespace": facts.namespace,
        "version": facts.version or "",
    }


def _process(message: Row, row: Row) -> Process:
    """National names by formula, and on top of them those that the row was queued with (P13)."""
    base, names = national(message["msg_type"] or ""), row["overrides"] or {}
    return Process(
        name=base.name,
        service=str(names.get("service", base.service)),
        action=str(names.get("action", base.action)),
        from_role=str(names.get("senderRole", base.from_role)),
        to_role=str(names.get("receiverRole", base.to_role)),
    )


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
