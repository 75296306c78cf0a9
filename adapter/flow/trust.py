"""Whom we believe on the way in: the rule context of a received message, and what a missing signature means."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import adapter.documents as documents
import adapter.xmlio as xmlio
from adapter.errors import RefusedError
from adapter.flow.check import CheckContext, Checked
from adapter.flow.parts import HOUR_US, Parts
from adapter.flow.processes import agreement_of, process_of
from adapter.identifiers import read_her_id
from adapter.model.document import Facts
from adapter.model.partner import RegisterEntry
from adapter.model.process import Process, Signing
from adapter.store.database import from_us
from adapter.store.statements import Row
from adapter.validation.moments import read_moment
from adapter.validation.subject import RuleContext

if TYPE_CHECKING:
    from adapter.security.trust import TrustVerdict
    from adapter.security.xmldsig import Verified

SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}Signature"


def inbound_context(parts: Parts, row: Row, facts: Facts) -> CheckContext:
    """How a message in this row's inbox is judged."""
    settings = parts.settings
    tenant = parts.tenant(row["tenant"])
    partner = sender_entry(parts, facts)
    book = parts.book()
    above = {entry.parent_her_id for her_id in tenant.her_ids if (entry := book.entries.get(her_id)) is not None}
    rules = RuleContext(
        direction="in",
        ours=frozenset(tenant.her_ids),
        our_organisations=frozenset(her_id for her_id in above if her_id is not None),
        environment=settings.environment.value,
        strict_schema=settings.inbound.schema == "strict",
        reject_addressing=settings.receipts.reject_addressing,
        envelope_receiver=row["party"],
        accepts=settings.inbound.accepts or None,
        lang=settings.language,
    )
    directory = settings.path(settings.schemas.directory) if settings.schemas.directory else None
    return CheckContext(
        rules=rules,
        schema_directory=directory,
        allow_sha1=agreement_of(partner).allow_sha1,
        trust=_judge(parts, row, partner),
    )


def sender_entry(parts: Parts, facts: Facts) -> RegisterEntry | None:
    """The sender's register entry, at level 2 or else level 1."""
    for level in (2, 1):
        text = facts.sender.her_id(level) if facts.sender else None
        if text and text.isdigit():
            entry = parts.entry(read_her_id(text))
            if entry is not None:
                return entry
    return None


def process_in(partner: RegisterEntry | None, facts: Facts) -> Process | None:
    """The process of a received message; None when NAV's table has no such pair."""
    try:
        return process_of(facts.msg_type or "", facts.theme, agreement_of(partner))
    except RefusedError:
        return None


def _judge(parts: Parts, row: Row, partner: RegisterEntry | None) -> Callable[[Verified, Facts], TrustVerdict] | None:
    def judge(verified: Verified, facts: Facts) -> TrustVerdict:
        from adapter.security.trust import Expected, PersonMap, TrustPolicy, judge_signer

        trust = parts.settings.trust
        fetched_at = from_us(row["queued_at"])
        assert fetched_at is not None
        process = process_in(partner, facts)
        return judge_signer(
            verified,
            gen_date=read_moment(facts.gen_date),
            fetched_at=fetched_at,
            roots=parts.roots(),
            revocation=parts.revocation,
            policy=TrustPolicy(revocation=trust.revocation, persons=PersonMap(trust.persons)),
            expected=Expected(
                signing=process.signing if process is not None else Signing.NONE,
                org_numbers=_may_speak(partner, facts),
            ),
        )

    return judge if parts.roots() else None


def _may_speak(partner: RegisterEntry | None, facts: Facts) -> frozenset[str]:
    """Organisation numbers that may sign for the sender: the message's ENH and the register's owner (P16)."""
    own = facts.sender.organisation.ident("ENH") if facts.sender else None
    registered = partner.organisation_number if partner else None
    return frozenset(number.replace(" ", "") for number in (own, registered) if number)


def signature_missing(parts: Parts, row: Row, checked: Checked) -> str | None:
    """Why its signature holds the message up: "signature missing", "wait" (revocation), or None (P17)."""
    facts = checked.facts
    assert facts is not None
    partner = sender_entry(parts, facts)
    process = process_in(partner, facts)
    wanted = agreement_of(partner).sign or (process is not None and process.signing is not Signing.NONE)
    if wanted and facts.signatures == 0:
        return "signature missing"
    if checked.trust is not None and checked.trust.spoof_suspected:
        return "spoof suspected"
    if checked.trust is not None and checked.trust.must_wait:
        waited = parts.store.now_us() - row["queued_at"]
        limit = parts.settings.trust.revocation_wait_h * HOUR_US
        return "wait" if waited < limit else "revocation unchecked"
    return None


def covered_root(raw: bytes) -> xmlio.Element:
    """The tree that may be read: what a signature covers where there is one, else the document."""
    root = documents.unwrap(xmlio.parse(raw))
    if next(root.iter(SIGNATURE), None) is None:
        return root
    from adapter.security import xmldsig

    return xmldsig.verify(root, allow_sha1=True).root  # judged when it was received; here only the cover matters
