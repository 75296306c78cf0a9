"""Which process a message belongs to, and what it is called on the wire (P13, P14)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adapter.codes import Coded
from adapter.errors import RefusedError
from adapter.model.partner import Agreement, RegisterEntry
from adapter.model.process import OLD_CODES, Process, national, nav

NAV_NAMES = "nav-emottak"


def process_of(msg_type: str, theme: Coded | None, agreement: Agreement) -> Process:
    """The process of a message to or from a partner; raises RefusedError for a NAV process without an entry (P13)."""
    if agreement.process_names != NAV_NAMES:
        return national(msg_type)
    found = nav(msg_type, theme.system if theme else None, theme.code if theme else None)
    if found is None:
        text = f"NAV has no process for {msg_type} with this code list; it would be parked unseen"
        raise RefusedError(text, code="P13.PROCESS", cure="use 8126, 9069 (DIALOG_SVAR) or 8128 (DIALOG_NOTAT)")
    return found


def wire_names(process: Process, agreement: Agreement) -> dict[str, Any]:
    """ebXmlOverrides of a message: NAV's names where they are in force, and the partner's own on top.

    National names are left to the server, which derives the same ones (HISD 1209:2018).
    """
    names: dict[str, Any] = {}
    if agreement.process_names == NAV_NAMES:
        names = {
            "service": process.service,
            "action": process.action,
            "senderRole": process.from_role,
            "receiverRole": process.to_role,
        }
    return {**names, **agreement.overrides}


def named(process: Process, names: Mapping[str, Any]) -> Process:
    """The process under the names that a row was queued with (``wire_names``): what stands there wins (P13)."""
    return replace(
        process,
        service=str(names.get("service", process.service)),
        action=str(names.get("action", process.action)),
        from_role=str(names.get("senderRole", process.from_role)),
        to_role=str(names.get("receiverRole", process.to_role)),
    )


def receipt_names(process: Process, agreement: Agreement) -> dict[str, Any]:
    """ebXmlOverrides of the AppRec that answers a message of this process: same service, roles turned round."""
    names: dict[str, Any] = {}
    if agreement.process_names == NAV_NAMES:
        names = {
            "service": process.service,
            "action": process.apprec_action,
            "senderRole": process.to_role,
            "receiverRole": process.from_role,
        }
    return {**names, **agreement.overrides}


def agreement_of(entry: RegisterEntry | None) -> Agreement:
    """The agreement with a partner; an empty one when there is none."""
    return entry.agreement if entry is not None and entry.agreement is not None else Agreement()


def refuse_type(msg_type: str, version: str | None, entry: RegisterEntry) -> None:
    """Raise RefusedError unless the partner's entry names the type, and the version where it names one (P24).

    ``version`` None: not known yet, any agreed version will do.
    """
    accepts = agreement_of(entry).accepts
    for name in dict.fromkeys((msg_type, OLD_CODES.get(msg_type, msg_type))):  # H is agreed as HENVISNING
        if name in accepts or f"{name} {version}" in accepts:
            return
        if version is None and any(agreed.startswith(f"{name} ") for agreed in accepts):
            return
    listed = ", ".join(accepts) if accepts else "nothing yet"
    cure = f"agreed with {entry.her_id}: {listed}"
    raise RefusedError(f"{msg_type} {version or ''} is not agreed with the receiver", code="P24.TYPE", cure=cure)
