"""What our own store and the register know that a document does not say, as the rules ask for it (N2, V20, V14.GP)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from adapter.config import TenantSettings
from adapter.flow.identity import written_id
from adapter.flow.parts import NORWAY, Parts
from adapter.flow.processes import agreement_of
from adapter.model.document import Built, Facts
from adapter.model.partner import RegisterEntry
from adapter.store import outbox
from adapter.store.database import from_us
from adapter.validation.rules_nav import content_digest

SPECIALIST_SERVICES = 8668  # the code list of the specialist health service's service types


def known_outbound(parts: Parts, tenant: TenantSettings, receiver: RegisterEntry) -> dict[str, Any]:
    """Fields of the rule context for a message of this tenant to this receiver."""

    def earlier_content(digest: str) -> datetime | None:
        with parts.store.reading() as db:
            found = outbox.find_content(db, tenant.name, digest)
        when = from_us(found)
        return when.astimezone(NORWAY) if when is not None else None

    def known_documents(document_id: str) -> bool:
        with parts.store.reading() as db:
            return outbox.knows_document(db, tenant.name, written_id(document_id) or "")

    return {
        "earlier_content": earlier_content,
        "known_documents": known_documents,
        "receiver_is_specialist": is_specialist(receiver),
        "road": agreement_of(receiver).road,
    }


def is_specialist(entry: RegisterEntry | None) -> bool | None:
    """True for a service of the specialist health service; None when the register does not say."""
    if entry is None:
        return None
    return entry.service_type is not None and entry.service_type.code_list == SPECIALIST_SERVICES


def content_of(facts: Facts, built: Built | None, receiver: RegisterEntry) -> str | None:
    """The digest by which NAV knows content it has seen (rule 2); None for other receivers."""
    if not agreement_of(receiver).nav:
        return None
    return content_digest(facts, built.attachments if built is not None else ())
