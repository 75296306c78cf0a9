"""The way out, part one: from a typed message to stored bytes with a row per receiver.

1 has this key been used?   2 who sends, who receives?   3 which process?   4 build   5 check   6 sign   7 store
A blocking finding raises and nothing is stored. Part two is ``dispatch.py``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

import adapter.documents as documents
import adapter.shapes as shapes
import adapter.xmlio as xmlio
from adapter.config import TenantSettings
from adapter.errors import ConflictError, InputError, RefusedError
from adapter.flow.check import CheckContext, Checked, check_document
from adapter.flow.identity import columns_of
from adapter.flow.knowledge import content_of, is_specialist, known_outbound
from adapter.flow.parts import HOUR_US, Parts, limit_for, urgency_of
from adapter.flow.processes import agreement_of, named, process_of, refuse_type, wire_names
from adapter.identifiers import read_her_id
from adapter.model.document import Built, Facts
from adapter.model.message import Head, OutgoingMessage, ReceiverChoice
from adapter.model.partner import RegisterEntry, ServiceType
from adapter.model.party import Party
from adapter.model.process import Process, Signing
from adapter.model.wire import EBXML_MAIL, EBXML_ROADS
from adapter.store import outbox
from adapter.validation.subject import RuleContext

if TYPE_CHECKING:
    from adapter.security.keys import Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A message ready to be stored: final bytes and where they go."""

    document: bytes
    facts: Facts
    receivers: tuple[RegisterEntry, ...]
    process: Process
    tenant: TenantSettings
    foreign: bool = False  # built elsewhere: its MsgId is not one that we made
    content_digest: str | None = None  # by which NAV knows content it has seen


def submit(parts: Parts, message: OutgoingMessage, *, key: str | None = None) -> str:
    """Prepare and store a message; gives its id. Repeating with the same ``key`` and input gives the same id (P6).

    Raises RefusedError with findings, ConflictError for a used key, NotFoundError or AmbiguousError for the receiver.
    """
    digest = _digest(shapes.plain(message)) if key is not None else ""
    earlier = _earlier(parts, message.sender, key, digest)
    if earlier is not None:
        return earlier
    prepared = prepare(parts, message)
    return store(parts, prepared, key=key, input_digest=digest)


def prepare(parts: Parts, message: OutgoingMessage) -> Prepared:
    """Steps 2 to 6; stores nothing."""
    # 2. Both levels' names and ids come from the register, not from the input (P24).
    tenant = parts.tenant_of(message.sender)
    receivers = (find_receiver(parts, message.receiver), *(find_receiver(parts, copy) for copy in message.copies))
    for receiver in receivers:
        refuse_type(message.msg_type, None, receiver)
    # 3. Names on the wire and whose signature (P13, P14).
    agreement = agreement_of(receivers[0])
    process = process_of(message.msg_type, message.body.coded_theme, agreement)
    # 4. Build.
    book = parts.book()
    head = Head(
        msg_id=parts.new_id(),
        gen_date=parts.local_now(),
        sender=book.party(message.sender),
        receiver=book.party(receivers[0].her_id),
        copies=tuple(book.party(receiver.her_id) for receiver in receivers[1:]),
        marker_seed=parts.new_id(),
    )
    built = documents.build_document(message, head)
    # 5. Check: the schema, then the rulebook; attachments by their own bytes.
    context = _context(parts, tenant, receivers[0], message, built)
    checked = check_document(built.root, context, at=parts.now())
    refuse_blocking(checked)
    _tell_size(parts, checked)
    for receiver in receivers:
        refuse_type(message.msg_type, checked.facts.version if checked.facts else None, receiver)
    # 6. Sign when the process or the partner asks.
    document = _sign(built, _signer(parts, tenant, process, receivers[0], message))
    assert checked.facts is not None
    return Prepared(
        document=document,
        facts=checked.facts,
        receivers=receivers,
        process=process,
        tenant=tenant,
        content_digest=content_of(checked.facts, built, receivers[0]),
    )


def submit_document(parts: Parts, document: bytes, *, key: str | None = None, tenant: str | None = None) -> str:
    """Take a finished document (signed by the EHR or not) and send it byte for byte (P14).

    Sender, receivers and process are read from it; a broken signature or a blocking finding raises RefusedError.
    """
    digest = hashlib.sha256(document).hexdigest()
    checked = check_document(document, CheckContext(rules=_rules(parts, None, None)), at=parts.now())
    facts = checked.facts
    if facts is None or facts.sender is None or facts.receiver is None:
        refuse_blocking(checked)
        raise RefusedError("sender and receiver cannot be read from the document", checked.findings)
    owner = parts.tenant_of(address_of(facts.sender))
    if tenant is not None and tenant != owner.name:
        raise InputError("the sender belongs to another tenant", code="P23.TENANT", where="sender")
    earlier = _earlier(parts, address_of(facts.sender), key, digest)
    if earlier is not None:
        return earlier
    book = parts.book()
    receivers = tuple(book.find(address_of(party)) for party in (facts.receiver, *facts.copies))
    context = CheckContext(rules=_rules(parts, owner, receivers[0], **known_outbound(parts, owner, receivers[0])))
    judged = check_document(document, context, at=parts.now())
    refuse_blocking(judged)
    _tell_size(parts, judged)
    for receiver in receivers:
        refuse_type(facts.msg_type or "", facts.version, receiver)
    process = process_of(facts.msg_type or "", facts.theme, agreement_of(receivers[0]))
    _refuse_signer(judged, process, receivers[0])
    ready = Prepared(
        document=document,
        facts=facts,
        receivers=receivers,
        process=process,
        tenant=owner,
        foreign=True,
        content_digest=content_of(facts, None, receivers[0]),
    )
    return store(parts, ready, key=key, input_digest=digest)


def _refuse_signer(judged: Checked, process: Process, receiver: RegisterEntry) -> None:
    """A finished document has the signature that its process wants, by the kind of owner that it wants (P14)."""
    agreed = agreement_of(receiver).sign
    person = process.signing is Signing.PERSON
    wanted = person or (process.signing is not Signing.NONE if agreed is None else agreed)
    if wanted and judged.trust is None:
        raise RefusedError("this process wants a signed document", code="P14.SIGNATURE", cure="sign it first")
    if person and judged.trust is not None and not judged.trust.is_person:
        raise RefusedError("a company has signed where a person must", code="P14.OWNER", cure="let a person sign it")


def store(parts: Parts, ready: Prepared, *, key: str | None, input_digest: str) -> str:
    """Message, bytes, one row per receiver and the first events in one transaction (P1); gives the message id."""
    _refuse_unreachable(parts, ready)
    facts, at = ready.facts, parts.store.now_us()
    sender = address_of(facts.sender) if facts.sender else None
    columns = {
        **columns_of(facts, sender),
        "digest": ready.content_digest,
        "submit_key": key,
        "input_digest": input_digest,
    }
    new = outbox.NewMessage(id=parts.new_id(), tenant=ready.tenant.name, document=ready.document, columns=columns)
    with parts.store.transaction() as db:
        # Two calls with one key may race: the first one in the store wins.
        found = outbox.find_submission(db, ready.tenant.name, key) if key else None
        if found is not None:
            return _same(found, input_digest)
        if ready.foreign:
            outbox.refuse_second_msg_id(db, ready.tenant.name, str(columns["msg_id"]))
        rows = _rows(parts, ready, _lane(db, ready.tenant.name, columns), at)
        outbox.add(db, new, rows, at=at)
    parts.log.info("submitted", extra={"message_id": new.id, "msg_type": facts.msg_type, "receivers": len(rows)})
    return new.id


def _refuse_unreachable(parts: Parts, ready: Prepared) -> None:
    """What an ebXML receiver lacks (road, address, certificate, agreement) is told now and not first at dispatch."""
    for receiver in ready.receivers:
        agreement = agreement_of(receiver)
        if agreement.road in EBXML_ROADS:
            from adapter.flow.ebxml_way import refuse_unreachable  # loads cryptography; EDI 2.0 alone need not

            refuse_unreachable(
                parts,
                tenant=ready.tenant.name,
                sender=address_of(ready.facts.sender) if ready.facts.sender else 0,
                receiver=receiver,
                process=named(ready.process, wire_names(ready.process, agreement)),
                size_bytes=len(ready.document),
            )


def _lane(db: sa.Connection, tenant: str, columns: dict[str, Any]) -> str:
    """Messages of one document or of one conversation share a lane: in it they go out in submit order (P5)."""
    document_id, conversation = columns["document_id"], columns["conversation"]
    known = outbox.lane_of(db, tenant, document_id, conversation)
    return str(known or conversation or document_id or columns["msg_id"])


def _rows(parts: Parts, ready: Prepared, lane: str, at: int) -> list[outbox.NewDelivery]:
    """One row for each receiver, with its clock (P9)."""
    facts = ready.facts
    limit = limit_for(parts.settings, facts.msg_type, facts.priority)
    return [
        outbox.NewDelivery(
            id=parts.new_id(),
            party=receiver.her_id,
            road=agreement_of(receiver).road,
            is_copy=index > 0,
            urgency=urgency_of(facts.priority),
            lane=lane,
            overrides=wire_names(ready.process, agreement_of(receiver)) or None,
            overdue_at=at + round(min(limit.transport_h, limit.apprec_h) * HOUR_US),
        )
        for index, receiver in enumerate(ready.receivers)
    ]


def find_receiver(parts: Parts, choice: ReceiverChoice) -> RegisterEntry:
    """The one register entry that a choice names (P24)."""
    book = parts.book()
    if choice.her_id is not None:
        return book.find(choice.her_id)
    if choice.service_code is None:
        raise RefusedError("the receiver needs her_id, or service_code and a place", code="P24.RECEIVER")
    return book.find_service(
        ServiceType(code_list=choice.service_list, code=choice.service_code),
        at=parts.now(),
        organisation=choice.organisation,
        organisation_number=choice.organisation_number,
        municipality=choice.municipality,
    )


def refuse_blocking(checked: Checked) -> None:
    """Raise RefusedError when a finding blocks sending."""
    blocking = [finding for finding in checked.findings if finding.blocking]
    if blocking:
        rules = ", ".join(dict.fromkeys(finding.rule for finding in blocking))
        raise RefusedError(f"the message may not be sent: {rules}", checked.findings, cure="see the findings")


def _tell_size(parts: Parts, checked: Checked) -> None:
    """Attachments that some mail servers refuse are warned of, and go (P25)."""
    if any(finding.rule == "V11.SIZE" for finding in checked.findings):
        parts.log.warning("attachments over the limit that every mail receiver takes", extra={"rule": "V11.SIZE"})


def address_of(party: Party) -> int:
    """The HER-id that messages go to: level 2, or level 1 for a party without services; raises IdentifierError."""
    return read_her_id(party.her_id(2) or party.her_id(1) or "")


def _digest(plain: Any) -> str:
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _earlier(parts: Parts, sender: int, key: str | None, digest: str) -> str | None:
    if key is None:
        return None
    tenant = parts.tenant_of(sender).name
    with parts.store.reading() as db:
        found = outbox.find_submission(db, tenant, key)
    return None if found is None else _same(found, digest)


def _same(found: tuple[str, str], digest: str) -> str:
    if found[1] != digest:
        raise ConflictError("this key was used with other input", code="P6.KEY", cure="use a new key")
    return found[0]


def _rules(parts: Parts, tenant: TenantSettings | None, receiver: RegisterEntry | None, **more: Any) -> RuleContext:
    agreement = agreement_of(receiver)
    more.setdefault("road", agreement.road)
    return RuleContext(
        direction="out",
        ours=frozenset(tenant.her_ids) if tenant else frozenset(),
        now=parts.now(),
        environment=parts.settings.environment.value,
        partner_is_nav=agreement.nav,
        attachments_allowed=agreement.attachments,
        lang=parts.settings.language,
        **more,
    )


def _context(
    parts: Parts, tenant: TenantSettings, receiver: RegisterEntry, message: OutgoingMessage, built: Built
) -> CheckContext:
    claim = message.signer
    more = {
        "signer_fnr": claim.fnr if claim else None,
        "signer_profession": claim.profession if claim else None,
        "attachment_pieces": built.attachments,
        "sender_is_specialist": is_specialist(parts.entry(message.sender)),
        "road": _narrowest(parts, receiver, message),
        **known_outbound(parts, tenant, receiver),
    }
    return CheckContext(rules=_rules(parts, tenant, receiver, **more))


def _narrowest(parts: Parts, receiver: RegisterEntry, message: OutgoingMessage) -> str:
    """The road whose limits hold for the attachments: mail, when any receiver is reached by mail (P25)."""
    copies = [parts.entry(copy.her_id) for copy in message.copies]
    roads = [agreement_of(one).road for one in (receiver, *copies)]
    return EBXML_MAIL if EBXML_MAIL in roads else roads[0]


def _signer(
    parts: Parts, tenant: TenantSettings, process: Process, receiver: RegisterEntry, message: OutgoingMessage
) -> Signer | None:
    agreement, claim = agreement_of(receiver), message.signer
    if process.signing is Signing.PERSON:
        if claim is None:
            text = "a person must sign this process, and the message names no signer"
            raise RefusedError(text, code="P14.SIGNER", cure="set signer.key to a person's key")
        signer = parts.signer(claim.key)
        if signer.owner != "person":
            raise RefusedError("a company key may not sign where a person must", code="P14.OWNER", where=claim.key)
        return signer
    if claim is not None:
        return parts.signer(claim.key)
    if agreement.sign or process.signing is Signing.COMPANY:
        if tenant.sign_with is None:
            raise RefusedError("the partner wants a signature and the tenant has no key", code="P14.KEY")
        return parts.signer(tenant.sign_with)
    return None


def _sign(built: Built, signer: Signer | None) -> bytes:
    if signer is None:
        return xmlio.splice(xmlio.serialise(built.root), built.markers, built.attachments)
    from adapter.security import xmldsig

    return xmldsig.sign(built.root, signer, markers=built.markers, pieces=built.attachments)


__all__: Sequence[str] = (
    "Prepared",
    "find_receiver",
    "prepare",
    "refuse_blocking",
    "store",
    "submit",
    "submit_document",
)
