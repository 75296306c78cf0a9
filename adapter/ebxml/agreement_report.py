"""What people see of an agreement: its facts as JSON, what is wrong with it, and what changed between two."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime

from adapter.ebxml.agreement import Agreement, PartyFacts
from adapter.ebxml.moments import write_moment
from adapter.errors import Finding, Severity


def check_agreement(agreement: Agreement, now: datetime) -> list[Finding]:
    """What an operator should know of an agreement file: period, channels, certificates, addresses."""
    found: list[Finding] = []

    def tell(rule: str, severity: Severity, text: str, path: str | None = None) -> None:
        found.append(Finding(rule=rule, severity=severity, text=text, path=path, source="IS-2175"))

    if not agreement.profile and len(agreement.parties) != 2:
        tell("CPA1", Severity.ERROR, "an agreement has two parties")
    if not agreement.profile and (agreement.start is None or agreement.end is None):
        tell("CPA2", Severity.WARNING, "Start or End is missing or no time")
    if not agreement.valid_at(now):
        tell("CPA3", Severity.ERROR, "the agreement is not in force")
    for number, party in enumerate(agreement.parties, 1):
        place = f"PartyInfo[{number}]"
        if party.her_id is None:
            tell("CPA4", Severity.WARNING, "the party has no HER-id", place)
        for channel in party.channels.values():
            if not channel.endpoints:
                tell("CPA5", Severity.ERROR, "a channel has no endpoint", f"{place}/DeliveryChannel")
            if channel.acknowledge != "never" and (channel.retries is None or channel.retry_interval_s is None):
                tell("CPA6", Severity.WARNING, "receipts are asked for, but no resends agreed", f"{place}/DocExchange")
            if party.certificates.get(channel.signing_certificate or "") is None:
                tell("CPA7", Severity.ERROR, "a channel has no readable signing certificate", f"{place}/DocExchange")
        if any(party.certificates.get(role.encryption_certificate or "") is None for role in party.roles):
            tell("CPA8", Severity.ERROR, "a role has no readable encryption certificate", f"{place}/CollaborationRole")
        if party.signal_channel("") is None:
            tell("CPA9", Severity.ERROR, "the party has no channel for signals", place)
    return found


def agreement_json(agreement: Agreement) -> dict[str, object]:
    """The facts for ``adapter cpa show``; certificates by their SHA-256."""
    return {
        "id": agreement.id,
        "profile": agreement.profile,
        "status": agreement.status,
        "start": write_moment(agreement.start) if agreement.start else None,
        "end": write_moment(agreement.end) if agreement.end else None,
        "parties": [_party_json(party) for party in agreement.parties],
        "packages": {
            name: {
                "encrypted": one.encrypted,
                "compressed": one.compressed,
                "documents": [list(d) for d in one.documents],
            }
            for name, one in agreement.packages.items()
        },
    }


def _party_json(party: PartyFacts) -> dict[str, object]:
    return {
        "name": party.name,
        "ids": [{"type": one.type, "value": one.value} for one in party.ids],
        "roles": [
            {
                "process": one.process,
                "version": one.process_version,
                "role": one.role,
                "service": one.service,
                "sends": [action.name for action in one.sends],
                "receives": [action.name for action in one.receives],
            }
            for one in party.roles
        ],
        "channels": {
            name: {
                "protocol": one.protocol,
                "endpoints": [{"uri": end.uri, "use": end.use} for end in one.endpoints],
                "acknowledge": one.acknowledge,
                "sign_receipt": one.sign_receipt,
                "eliminate_duplicates": one.eliminate_duplicates,
                "sync_reply": one.sync_reply,
                "retries": one.retries,
                "retry_interval_s": one.retry_interval_s,
                "persist_s": one.persist_s,
                "signature_algorithm": one.signature_algorithm,
            }
            for name, one in party.channels.items()
        },
        "certificates": {name: hashlib.sha256(der).hexdigest() for name, der in party.certificates.items()},
    }


def compare(before: Agreement, after: Agreement) -> list[tuple[str, object, object]]:
    """What differs, as (path, before, after) in the order of the facts; None where one side lacks it."""
    old, new = dict(_leaves(agreement_json(before), "")), dict(_leaves(agreement_json(after), ""))
    paths = dict.fromkeys((*old, *new))
    return [(path, old.get(path), new.get(path)) for path in paths if old.get(path) != new.get(path)]


def _leaves(plain: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(plain, Mapping):
        for key, value in plain.items():
            yield from _leaves(value, f"{path}/{key}")
    elif isinstance(plain, list):
        for number, value in enumerate(plain, 1):
            yield from _leaves(value, f"{path}[{number}]")
    else:
        yield path, plain
