"""The content of a received document, as JSON-ready values for the hand-over to the EHR.

Values stay as they were written: dates as text, unknown codes with their names. Coded values are objects with ``code``,
``system`` (the list's number), ``name`` and ``text``. Formatted text comes cleaned beside its plain form (rule V23).
"""

from __future__ import annotations

import adapter.shapes as shapes
from adapter.codes import Coded
from adapter.documents import names
from adapter.documents.reading import child, coded, local_name, namespace_of, value
from adapter.model.document import AttachmentFacts, Facts, Family
from adapter.model.process import nav
from adapter.xmlio import Element

_NAV_LISTS = ("8125", "8126", "8127", "8128", "8129")


def read_message(root: Element, facts: Facts) -> dict[str, object]:
    """Everything a person or program needs of the document with these facts.

    Always the same keys; what the document does not have is None or an empty list. ``attachments`` lists them by index,
    in their order; their bytes are fetched with ``attachment_bytes(facts.attachments[index])``.
    """
    return {
        "kind": facts.kind,
        "version": facts.version,
        "msg_type": facts.msg_type,
        "msg_type_name": facts.msg_type_name,
        "msg_id": facts.msg_id,
        "gen_date": facts.gen_date,
        "processing_status": facts.processing_status,
        "document_id": facts.document_id,
        "service_type": facts.service_type,
        "priority": facts.priority,
        "emergency": facts.emergency,
        "conversation": shapes.plain(facts.conversation),
        "sender": shapes.plain(facts.sender),
        "receiver": shapes.plain(facts.receiver),
        "copies": shapes.plain(facts.copies),
        "patient": shapes.plain(facts.patient),
        "body": _read_body(root, facts),
        "attachments": [
            {
                "index": index,
                "mime_type": attachment.mime_type,
                "description": attachment.description,
                "written_at": _written_at(attachment),
                "base64_chars": attachment.base64_chars,
            }
            for index, attachment in enumerate(facts.attachments)
        ],
    }


def _written_at(attachment: AttachmentFacts) -> str | None:
    content = attachment.element.getparent() if attachment.element is not None else None
    document = content.getparent() if content is not None else None
    return value(document, namespace_of(document), "IssueDate") if document is not None else None


def _read_body(root: Element, facts: Facts) -> dict[str, object]:
    business = facts.business if facts.business is not None else root
    if facts.family is Family.APPREC:
        return {"kind": "receipt", **shapes.plain(facts.original)}
    if facts.kind == "Henvisning" and facts.namespace == names.REFERRAL_2_0:
        from adapter.documents.tables_referral import REFERRAL

        return {"kind": "referral", **REFERRAL.read(business)}
    if facts.kind == "Dialogmelding" and facts.namespace in (names.DIALOGUE_1_0, names.DIALOGUE_1_1):
        return _read_dialogue(business, facts)
    if facts.family is Family.HCP and facts.namespace in (names.REFERRAL_1_0, names.REFERRAL_1_1):
        return _read_old_referral(business, facts.namespace)
    return {"kind": "unknown"}


def _read_dialogue(business: Element, facts: Facts) -> dict[str, object]:
    from adapter.documents.tables_dialogue import DIALOGUES

    theme = read_theme(facts)
    process = None
    if theme is not None and theme.system in _NAV_LISTS:
        process = nav(facts.msg_type or "", theme.system, theme.code)
    return {
        "kind": "dialogue",
        "nav_process": process.name if process else None,
        "questions": [],
        "notes": [],
        **DIALOGUES[facts.namespace].read(business),
    }


def _read_old_referral(business: Element, namespace: str) -> dict[str, object]:
    from adapter.documents.tables_old import OLD_REFERRALS

    request = child(business, namespace, "ServReq")
    found = OLD_REFERRALS[namespace].read(request) if request is not None else {}
    patient = found.pop("patient", {})
    if "content_type" in found:
        found["content"] = {"type": found.pop("content_type")}
    return {"kind": "referral", **found, **(patient if isinstance(patient, dict) else {})}


def read_theme(facts: Facts) -> Coded | None:
    """The first note's theme or question's type with its list; None for other documents. It names NAV's process."""
    if facts.kind != "Dialogmelding" or facts.business is None:
        return None
    for part in facts.business:
        name = local_name(part)
        if name in ("Notat", "Foresporsel"):
            return coded(child(part, facts.namespace, "TemaKodet" if name == "Notat" else "TypeForesp"))
    return None
