"""The partners' own messages over ebXML: a document is sealed, put into a signed envelope, and carried to us.

Names follow HISD 1209:2018, or NAV's process table for NAV; an AppRec goes back in the conversation of its original,
with the roles turned round.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any

from cryptography.x509 import Certificate

from adapter.ebxml.build import build
from adapter.ebxml.compose import payload_message
from adapter.ebxml.pack import Attachment
from adapter.ebxml.plaintext import build_plaintext
from adapter.ebxml.words import Envelope as Words
from adapter.model.process import Process, national, nav
from adapter.security import cms
from adapter.security.envelope_signature import sign_envelope
from adapter.simulator.addressing import Envelope, child
from adapter.simulator.ebxml_partner import SOFTWARE, EbxmlPartner

_VERSIONS = {"1.1": ("dialog/2013-01-23", "apprec/2012-02-15", "henvisning/2012-02-15", "epikrise/2012-02-15")}


def write_message(
    partner: EbxmlPartner, document: bytes, envelope: Envelope | None, receiver: int, names: Mapping[str, Any] | None
) -> str:
    """Send a document from a partner to one of us; gives the MessageId. ``names``: Service, Action and roles."""
    known = partner.around.certificates_of(receiver)
    if known is None:
        raise ValueError(f"HER-id {receiver} has no certificates on the ebXML road")
    ids = partner.around.office.ids
    earlier = _earlier(partner, envelope)
    content_id = f"document-{ids()}@simulator"
    words = payload_message(
        sender=partner.her_id,
        receiver=receiver,
        process=_process(partner, envelope, earlier, names or {}),
        cpa_id=(earlier.cpa_id if earlier is not None else None) or partner.cpa_id(receiver),
        conversation_id=_conversation(earlier, envelope) or ids(),
        message_id=ids(),
        now=partner.around.office.clock(),
        content_id=content_id,
        namespace=envelope.namespace if envelope is not None and envelope.namespace else "urn:unknown",
        version=_version(envelope),
        software=SOFTWARE,
        ref_to_message_id=earlier.message_id if earlier is not None and partner.is_nav else None,
    )
    attachment = Attachment(content_id=content_id, content=_seal(partner, document, known[1]))
    _carry(partner, words, attachment, receiver)
    return words.message_id or ""


def _carry(partner: EbxmlPartner, words: Words, attachment: Attachment, receiver: int) -> None:
    extras = partner.script.extras
    signer = partner.signer("forged" if "letters forged" in extras else None)
    assert signer is not None
    sealed = sign_envelope(build(words), signer, {attachment.content_id: attachment.content})
    attachments = [attachment]
    if "unsigned parts" in extras:
        attachments.append(Attachment(content_id=f"extra-{attachment.content_id}", content=attachment.content))
    for _ in range(2 if "duplicate" in extras else 1):
        partner.sent(words, sealed, attachments)
        partner.around.carry(partner, sealed, attachments, receiver)


def _seal(partner: EbxmlPartner, document: bytes, certificate: Certificate) -> bytes:
    form = partner.script.form or ("raw" if partner.is_nav else "mime")
    plain = gzip.compress(document, mtime=0) if form == "gzip" else build_plaintext(document, form=form)
    return cms.encrypt(plain, certificate)


def _earlier(partner: EbxmlPartner, envelope: Envelope | None) -> Words | None:
    """The words of the message that this one answers, or whose conversation it goes on with."""
    if envelope is None:
        return None
    named = envelope.original_id if envelope.is_apprec else envelope.conversation
    return partner.received.get((named or "").lower())


def _conversation(earlier: Words | None, envelope: Envelope | None) -> str | None:
    if earlier is not None:
        return earlier.conversation_id
    return (envelope.conversation or envelope.msg_id) if envelope is not None else None


def _version(envelope: Envelope | None) -> str:
    endings = _VERSIONS["1.1"]
    return "1.1" if envelope is not None and envelope.namespace.endswith(endings) else "1.0"


def _process(
    partner: EbxmlPartner, envelope: Envelope | None, earlier: Words | None, names: Mapping[str, Any]
) -> Process:
    if envelope is not None and envelope.is_apprec and earlier is not None:
        return _receipt(partner, earlier)
    kind = envelope.msg_type if envelope is not None else None
    base = (_nav_process(envelope) if partner.is_nav else None) or national(kind or "UNKNOWN")
    return Process(
        name=base.name,
        service=str(names.get("service") or base.service),
        action=str(names.get("action") or base.action),
        from_role=str(names.get("senderRole") or base.from_role),
        to_role=str(names.get("receiverRole") or base.to_role),
    )


def _nav_process(envelope: Envelope | None) -> Process | None:
    """NAV's names for a dialogue message, by the code list of its question or theme."""
    body = child(envelope.root, "Document", "RefDoc", "Content", "Dialogmelding") if envelope is not None else None
    for place in (("Foresporsel", "TypeForesp"), ("Notat", "TemaKodet")):
        coded = child(body, *place)
        if coded is not None and envelope is not None:
            return nav(envelope.msg_type or "", (coded.get("S") or "").rpartition(".")[2], coded.get("V"))
    return None


def _receipt(partner: EbxmlPartner, earlier: Words) -> Process:
    """The AppRec of a message that came: its service, the roles turned round."""
    return Process(
        name="APPREC",
        service=earlier.service or "",
        action="Bekreftelse" if partner.is_nav else "APPREC",
        from_role=earlier.receiver.role or "",
        to_role=earlier.sender.role or "",
    )
