"""The way to a partner over ebXML: under which agreement, by what names, to which address, with whose certificate.

What the settings say of the partner wins, then the agreement (CPA), then the register with the standards' defaults
(HIS 1037 5.6: an agreement is no precondition). An agreement whose period is over or not begun sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from cryptography import x509

from adapter.config_mail import MAIL_DOMAINS
from adapter.ebxml.agreement import Route
from adapter.ebxml.words import cpa_id_without_agreement
from adapter.errors import CardError, NotFoundError, RefusedError, SettingsError
from adapter.flow.agreements import Held, ids_of
from adapter.flow.ebxml_keys import company_signer, load_certificate, registered_certificate
from adapter.flow.parts import Parts
from adapter.flow.processes import agreement_of
from adapter.model.nav_process import nav_row
from adapter.model.partner import Agreement, RegisterEntry
from adapter.model.process import Process
from adapter.model.resend import BY_SERVICE, ResendTerms, choose
from adapter.model.wire import EBXML_MAIL
from adapter.security import cms
from adapter.security.certificates import valid_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one message goes. ``sender`` is the HER-id of ours that the envelope names: the service's, or its
    organisation's where settings or agreement say so. ``address`` is the https endpoint or the mail address, and
    ``held`` the agreement, if any. ``acknowledge`` False: the agreed synchronous form, whose answer is the response
    itself. ``our_certificate`` is the DER of the signing certificate that the agreement names for us.
    """

    sender: int
    cpa_id: str
    process: Process
    service_type: str
    address: str
    encryption: x509.Certificate
    terms: ResendTerms
    acknowledge: bool = True
    compressed: bool = False
    our_certificate: bytes | None = None
    held: Held | None = None


def find_way(
    parts: Parts,
    *,
    tenant: str,
    sender: int,
    partner: RegisterEntry,
    road: str,
    process: Process,
    written: Mapping[str, Any] | None = None,
) -> Way:
    """The way of a business message of ours. ``written`` are the words of the message that an AppRec of ours answers.

    Raises RefusedError (CPA.ENDED, CPA.NOT_BEGUN, CPA.STATUS, CPA.PROCESS) and SettingsError (EBXML.ROAD,
    EBXML.ENDPOINT, EBXML.ADDRESS, EBXML.CERTIFICATE).
    """
    _refuse_road(parts, road, tenant)
    own = agreement_of(partner)
    asked = _ask(parts, sender, partner, road, process, answer=written is not None)
    found = _under(parts, tenant, asked, own, written)
    held, route = found if found is not None else (None, None)
    cpa_id = (written or {}).get("cpa_id") or own.cpa_id or (held.agreement.id if held is not None else None)
    sender = _named_sender(asked, route)
    return Way(
        sender=sender,
        cpa_id=str(cpa_id) if cpa_id else cpa_id_without_agreement(sender, partner.her_id),
        process=_agreed_names(process, route, own) if written is None else process,
        service_type=str((written or {}).get("service_type") or own.overrides.get("serviceType") or _type(route)),
        address=_address(parts, partner, own, route, road),
        encryption=_encryption(parts, partner, route),
        terms=choose(_own_terms(own), _agreed_terms(route), BY_SERVICE.get(process.service)),
        acknowledge=not _is_synchronous(route, road),
        compressed=_is_compressed(route, process, own),
        our_certificate=route.signing_certificate if route is not None else None,
        held=held,
    )


def refuse_unreachable(
    parts: Parts, *, tenant: str, sender: int, receiver: RegisterEntry, process: Process, size_bytes: int
) -> None:
    """What dispatch would find too late, told at submit: raises as ``find_way``, and RefusedError P25.SIZE."""
    road = agreement_of(receiver).road
    way = find_way(parts, tenant=tenant, sender=sender, partner=receiver, road=road, process=process)
    cms.refuse_certificate(way.encryption)
    with suppress(CardError):  # a card that is out now may be in when the message goes; it waits (P26)
        company_signer(parts, parts.tenant(tenant))
    mail = parts.mail_of(tenant)
    if road == EBXML_MAIL and mail is not None:
        # Encrypted, and in base64 with its line ends; the envelope beside it.
        whole = size_bytes * 4 // 3 * 78 // 76 + 20_000
        limit = mail.settings.smtp.mail_limit_bytes
        if whole > limit:
            text = "the message would make a larger mail than the mail server takes"
            cure = f"keep it under {limit * 7 // 10} bytes, or send fewer attachments"
            raise RefusedError(text, code="P25.SIZE", where=f"HER-id {receiver.her_id}", cure=cure)


def find_address(
    parts: Parts, *, tenant: str, sender: int, partner: RegisterEntry, road: str, process: Process, cpa_id: str
) -> str:
    """Where a stored envelope goes now: its partner may have moved since it was sealed. Neither the agreement's period
    nor a certificate matters any more. Raises SettingsError as ``find_way``."""
    _refuse_road(parts, road, tenant)
    held = _known(parts, cpa_id, tenant) if parts.agreements is not None else None
    asked = _ask(parts, sender, partner, road, process)
    route = (_route(held, asked) or _signal_way(held, asked)) if held is not None else None
    return _address(parts, partner, agreement_of(partner), route, road)


def _refuse_road(parts: Parts, road: str, tenant: str) -> None:
    if road == EBXML_MAIL and parts.mail_of(tenant) is None:
        cure = "add [mail], or mail of the tenant's own"
        raise SettingsError("this road is not set up", code="EBXML.ROAD", where=road, cure=cure)
    if road != EBXML_MAIL and parts.ebxml_http is None:
        raise SettingsError("this road is not set up", code="EBXML.ROAD", where=road, cure="hand in an HTTP client")


# --- the agreement ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    senders: tuple[int, ...]  # of ours, the one that is wanted first
    partner: int
    process: Process
    by_mail: bool


def _ask(
    parts: Parts, sender: int, partner: RegisterEntry, road: str, process: Process, *, answer: bool = False
) -> _Asked:
    """Agreements may be with the organisation above the service that sends; NAV wants that in some processes. An
    ``answer`` goes from the address that was written to."""
    entry = parts.entry(sender)
    above = entry.parent_her_id if entry is not None else None
    senders: tuple[int, ...] = (sender,) if above is None else (sender, above)
    if above is not None and not answer and agreement_of(partner).overrides.get("useSenderLevel1HerId") is True:
        senders = (above,)
    return _Asked(senders=senders, partner=partner.her_id, process=process, by_mail=road == EBXML_MAIL)


def _named_sender(asked: _Asked, route: Route | None) -> int:
    named = {one.value for one in route.sender.ids if one.type == "HER"} if route is not None else set()
    return next((one for one in asked.senders if str(one) in named), asked.senders[0])


def _under(
    parts: Parts, tenant: str, asked: _Asked, own: Agreement, written: Mapping[str, Any] | None
) -> tuple[Held, Route] | None:
    """The agreement that the message goes under, and its route; None for a partner without one."""
    port, now = parts.agreements, parts.now()
    if port is None:
        return None
    named = (written or {}).get("cpa_id") or own.cpa_id
    if named:
        held = _known(parts, str(named), tenant)
        if held is None:
            return None  # a name that was agreed on paper, or one made of two HER-ids
        if written is not None:  # a receipt goes back under the agreement that its message came under, ended or not
            route = _route(held, asked) or _signal_way(held, asked)
            return (held, route) if route is not None else None
        if not held.sends_at(now):
            raise _not_in_force(held, now, asked.partner)
        return held, _agreed(held, asked)
    found = (port.between(sender, asked.partner, tenant=tenant) for sender in asked.senders)
    held_ones = next((ones for ones in found if ones), ())
    routes = [(held, route) for held in held_ones if (route := _route(held, asked)) is not None]
    if not routes:
        _refuse_unnamed(held_ones, asked, own)
        return None
    for held, route in routes:
        if held.sends_at(now):
            return held, route
    raise _not_in_force(routes[0][0], now, asked.partner)


def _known(parts: Parts, cpa_id: str, tenant: str) -> Held | None:
    assert parts.agreements is not None
    try:
        return parts.agreements.by_id(cpa_id, tenant=tenant)
    except NotFoundError:
        return None


def _refuse_unnamed(held_ones: Sequence[Held], asked: _Asked, own: Agreement) -> None:
    """Agreements that do not name this process: NAV parks or refuses what is not agreed, others take it as before."""
    if held_ones and own.nav:
        cure = "have the process added to the agreement, or correct the names in the partner's overrides"
        where = f"HER-id {asked.partner}"
        raise RefusedError("the agreement does not name this process", code="CPA.PROCESS", where=where, cure=cure)


def _agreed(held: Held, asked: _Asked) -> Route:
    route = _route(held, asked)
    if route is None:
        cure = "correct cpa_id or overrides in the partner's _agreement"
        where = f"HER-id {asked.partner}"
        raise RefusedError("the agreement does not name this process", code="CPA.PROCESS", where=where, cure=cure)
    return route


def _route(held: Held, asked: _Asked) -> Route | None:
    """By role, service and action; agreements write the Service of answers without ``S-``, and roles of their own."""
    process = asked.process
    bare = process.service.removeprefix("S-")
    for service in dict.fromkeys((process.service, bare)):
        for roles in ({"from_role": process.from_role, "to_role": process.to_role}, {}):
            try:
                return held.agreement.route(
                    ids_of(*asked.senders),
                    ids_of(asked.partner),
                    service=service,
                    action=process.action,
                    by_mail=asked.by_mail,
                    **roles,
                )
            except NotFoundError:
                continue
    return None


def _signal_way(held: Held, asked: _Asked) -> Route | None:
    """For a receipt whose action no role names: the default channels, and any certificate to encrypt with."""
    try:
        route = held.agreement.signal_route(ids_of(*asked.senders), ids_of(asked.partner), asked.process.action)
    except NotFoundError:
        return None
    ids = [role.encryption_certificate for role in route.receiver.roles]
    der = next((one for name in ids if (one := route.receiver.certificates.get(name or "")) is not None), None)
    return replace(route, encryption_certificate=der)


def _not_in_force(held: Held, now: datetime, partner: int) -> RefusedError:
    """Why nothing may be sent under an agreement, and what helps."""
    start, where = held.agreement.start, f"HER-id {partner}"
    if start is not None and now < start:
        cure = "wait, or take the agreement's file away until then"
        return RefusedError("the agreement has not begun", code="CPA.NOT_BEGUN", where=where, cure=cure)
    if not held.agreement.valid_at(now):
        cure = "get the renewed agreement from the partner and put its file into agreements.directory"
        return RefusedError("the agreement has ended", code="CPA.ENDED", where=where, cure=cure)
    cure = "send under the newest agreement: take cpa_id out of the partner's _agreement"
    return RefusedError("the agreement is not the one in force", code="CPA.STATUS", where=where, cure=cure)


# --- its facts --------------------------------------------------------------------------------------------------------


def _agreed_names(process: Process, route: Route | None, own: Agreement) -> Process:
    """Roles and Service as the agreement writes them, unless the partner's settings say otherwise."""
    if route is None:
        return process
    service = process.service
    if all(role.service != service for role in route.sender.roles):
        service = service.removeprefix("S-")
    return replace(
        process,
        service=process.service if "service" in own.overrides else service,
        from_role=process.from_role if "senderRole" in own.overrides else route.from_role or process.from_role,
        to_role=process.to_role if "receiverRole" in own.overrides else route.to_role or process.to_role,
    )


def _type(route: Route | None) -> str:
    """eb:Service/@type as the agreement has it; ``string`` otherwise (standards digest 1.1)."""
    roles = route.sender.roles if route is not None else ()
    return next((role.service_type for role in roles if role.service_type), "string")


def _address(parts: Parts, partner: RegisterEntry, own: Agreement, route: Route | None, road: str) -> str:
    channel = route.receiver_channel if route is not None else None
    where = f"HER-id {partner.her_id}"
    if road == EBXML_MAIL:
        agreed = channel.endpoint() if channel is not None and channel.by_mail else None
        address = (agreed.mail_address if agreed is not None else None) or partner.edi_address
        if address is None:
            cure = "fetch the address book anew, or have the partner register its EDI address"
            raise SettingsError("nobody knows the partner's EDI address", code="EBXML.ADDRESS", where=where, cure=cure)
        belongs = MAIL_DOMAINS.get(address.rpartition("@")[2].lower(), parts.settings.environment)
        if belongs != parts.settings.environment:
            cure = "get the agreement, or the address book, of this environment"
            text = "the partner's EDI address belongs to another environment"
            raise SettingsError(text, code="SETTINGS.MIX", where=where, cure=cure)
        return address
    agreed = channel.endpoint() if channel is not None and channel.by_http else None
    url = own.endpoint or (agreed.uri if agreed is not None else None)
    if url is None:
        cure = "set endpoint in its _agreement"
        raise SettingsError("nothing names the partner's endpoint", code="EBXML.ENDPOINT", where=where, cure=cure)
    return url


def _encryption(parts: Parts, partner: RegisterEntry, route: Route | None) -> x509.Certificate:
    """The agreement's certificate, and the register's when there is none or it has run out."""
    now, her_id = parts.now(), partner.her_id
    agreed = None
    if route is not None and route.encryption_certificate is not None:
        agreed = load_certificate(route.encryption_certificate, her_id)
        if valid_at(agreed, now):
            return agreed
    found = agreed if agreed is not None and partner.encryption is None else registered_certificate(partner)
    if not valid_at(found, now):
        cure = "fetch the partner's new certificate: refresh the address book, or get the renewed agreement"
        text = "the partner's encryption certificate is not valid now"
        raise SettingsError(text, code="EBXML.CERTIFICATE", where=f"HER-id {her_id}", cure=cure)
    return found


def _own_terms(own: Agreement) -> ResendTerms | None:
    if own.resends is None or own.resend_interval_h is None:
        return None
    return ResendTerms(source="settings", retries=own.resends, interval_s=round(own.resend_interval_h * 3600))


def _agreed_terms(route: Route | None) -> ResendTerms | None:
    """What the sender's channel says, else the receiver's: real agreements say the same on both sides."""
    for channel in (route.sender_channel, route.receiver_channel) if route is not None else ():
        if channel.retries is not None and channel.retry_interval_s is not None:
            return ResendTerms(
                source="agreement",
                retries=channel.retries,
                interval_s=channel.retry_interval_s,
                persist_s=channel.persist_s,
            )
    return None


def _is_compressed(route: Route | None, process: Process, own: Agreement) -> bool:
    """As the agreement packs it; to NAV without one, as NAV's process table does."""
    if route is not None and route.package is not None:
        return route.package.compressed
    row = nav_row(process.from_role, process.service, process.action) if own.nav else None
    return row is not None and row.compressed


def _is_synchronous(route: Route | None, road: str) -> bool:
    """The agreed channel is HTTP, asks for no Acknowledgment and answers in the response (ebXML practice 9)."""
    channel = route.receiver_channel if route is not None else None
    return road != EBXML_MAIL and channel is not None and channel.by_http and channel.acknowledge == "never"
