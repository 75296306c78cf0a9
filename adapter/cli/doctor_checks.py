"""What ``adapter doctor`` looks at (P27). Each check gives rows: check, status (ok, warning, error), text, cure.

Nothing is sent, fetched or changed: the message server is asked for one line of its unread list, HelseID for its public
description and a token, the register through the address book.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from adapter.cli.doctor_agreements import agreement_rows
from adapter.cli.doctor_row import Row, row
from adapter.cli.doctor_tls import CLIENT, ENDPOINT, client_rows, endpoint_rows
from adapter.config import Settings, TenantSettings
from adapter.errors import AdapterError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from adapter.assembly import Adapter
    from adapter.flow.parts import MailRoad
    from adapter.model.partner import AddressBook

COUNTDOWN_DAYS = (3, 14, 30)  # error, warning, warning (P27)
CLOCK_WARNS_S, CLOCK_FAILS_S = 5.0, 60.0
MAILBOX_WARNS, MAILBOX_FAILS = 0.8, 0.95  # of its quota
UNVERIFIED_WARNS = 0.75  # of its bound


def examine(settings: Settings, now: datetime | None = None) -> Iterator[Row]:
    """All checks in order; one that fails does not stop the others."""
    at = now or datetime.now(UTC)
    number = len(settings.tenant)
    yield row("settings", "ok", f"environment {settings.environment.value}, {number} tenant{'s' * (number != 1)}")
    yield from _guarded("trust roots", lambda: _roots(settings, at))
    for name in settings.keys:
        yield from _guarded(f"key {name}", lambda name=name: _key(settings, name, at))  # type: ignore[misc]
    for tenant in settings.tenant:
        yield from _guarded(f"HelseID {tenant.name}", lambda tenant=tenant: _clock(tenant, at))  # type: ignore[misc]
    yield from _guarded(CLIENT, lambda: client_rows(settings, _until(at)))
    yield from _guarded(ENDPOINT, lambda: endpoint_rows(settings, _until(at)))
    yield from _guarded("agreements", lambda: agreement_rows(settings, at))
    yield from _guarded("adapter", lambda: _opened(settings, at))


def _guarded(check: str, look: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    try:
        yield from look()
    except AdapterError as error:
        place = f" [{error.where}]" if error.where else ""
        yield row(check, "error", f"{error.code}: {error.text}{place}", error.cure)


def _roots(settings: Settings, at: datetime) -> Iterator[Row]:
    from adapter.security.certificates import load_roots

    if not settings.trust.roots:
        yield row("trust roots", "warning", "there are none, so no signer is trusted", "set trust.roots")
        return
    roots = load_roots([settings.path(name) for name in settings.trust.roots])
    for root in roots:
        yield _countdown("trust root", root, at, "fetch the issuer's new root")


def _key(settings: Settings, name: str, at: datetime) -> Iterator[Row]:
    from adapter.security.certificates import may_sign
    from adapter.security.keys import KeyRing

    key = KeyRing(settings).find(name)
    yield _countdown(f"key {name}", key.certificate, at, "order a new certificate and lay it beside the old one")
    opens = any(name in tenant.decrypt_with and tenant.sign_with != name for tenant in settings.tenant)
    if not opens and not may_sign(key.certificate):
        yield row(
            f"key {name}", "error", "the certificate is not for signatures (nonRepudiation)", "use the signing one"
        )


def _until(at: datetime) -> Callable[[str, Certificate, str], Row]:
    return lambda check, certificate, cure: _countdown(check, certificate, at, cure)


def _countdown(check: str, certificate: Certificate, at: datetime, cure: str) -> Row:
    days = (certificate.not_valid_after_utc - at).days
    if certificate.not_valid_before_utc > at:
        return row(check, "error", "the certificate is not valid yet", "check the clock")
    if days < 0:
        return row(check, "error", "the certificate has expired", cure)
    worst, *others = COUNTDOWN_DAYS
    status = "error" if days <= worst else "warning" if any(days <= limit for limit in others) else "ok"
    return row(check, status, f"valid for {days} more days", None if status == "ok" else cure)


def _clock(tenant: TenantSettings, at: datetime) -> Iterator[Row]:
    """Our clock against HelseID's: tokens are refused when it is wrong."""
    from adapter.transport.call import Limits
    from adapter.transport.http import HttpClient

    check = f"HelseID {tenant.name}"
    if tenant.helseid is None:
        yield row(
            check, "warning", "the tenant has no HelseID client, so it cannot send or fetch", "add [tenant.helseid]"
        )
        return
    client = HttpClient(Limits(connect_timeout_s=5.0, read_timeout_s=10.0, total_timeout_s=15.0))
    try:
        url = f"{tenant.helseid.issuer.rstrip('/')}/.well-known/openid-configuration"
        answer = client.call("GET", url, headers={"Accept": "application/json"})
    finally:
        client.close()
    if answer.status != 200:
        yield row(check, "error", f"HelseID answers with status {answer.status}", "check helseid.issuer")
        return
    try:
        apart_s = abs((parsedate_to_datetime(answer.headers.get("Date", "")) - at).total_seconds())
    except (TypeError, ValueError):
        yield row(check, "ok", "reachable; it does not tell its time")
        return
    status = "error" if apart_s > CLOCK_FAILS_S else "warning" if apart_s > CLOCK_WARNS_S else "ok"
    yield row(check, status, f"reachable; clocks {apart_s:.0f} s apart", None if status == "ok" else "run NTP here")


def _opened(settings: Settings, at: datetime) -> Iterator[Row]:
    """What needs the store, the address book and the roads."""
    from adapter.assembly import open_adapter

    with open_adapter(settings) as adapter:
        yield from _guarded("store", lambda: _store(adapter))
        yield from _guarded("unverified", lambda: _unverified(adapter))
        yield from _guarded("address book", lambda: _book(adapter, at))
        for tenant in settings.tenant:
            yield from _guarded(
                f"message server {tenant.name}",
                lambda tenant=tenant: _road(adapter, tenant),  # type: ignore[misc]
            )
        for mail in adapter.parts.mails:
            name = f" {mail.name}" if mail.name else ""
            yield from _guarded(f"mail out{name}", lambda mail=mail, name=name: _mail_out(mail, name))  # type: ignore[misc]
            yield from _guarded(f"mailbox{name}", lambda mail=mail, name=name: _mailbox(mail, name))  # type: ignore[misc]
        yield from _guarded("attention", lambda: _attention(adapter))


def _store(adapter: Adapter) -> Iterator[Row]:
    adapter.list(limit=1)
    free, low = adapter.parts.store.free_bytes(), adapter.parts.settings.store.low_water_bytes
    if free is None:
        yield row("store", "ok", "reachable")
    elif free < low:
        yield row("store", "error", "below the low-water mark: nothing is fetched or accepted", "free some space")
    else:
        status = "warning" if free < 2 * low else "ok"
        yield row("store", status, f"{free // 1_000_000} MB free", None if status == "ok" else "free some space soon")


def _unverified(adapter: Adapter) -> Iterator[Row]:
    """How much is held of ebXML senders that could not be verified; nothing is said where there is none (P28)."""
    from adapter.store.envelopes import held_unverified

    with adapter.parts.store.reading() as db:
        held = held_unverified(db)
    most = adapter.parts.settings.store.unverified_max_bytes
    if held:
        text = f"{held / 1e6:.1f} of {most / 1e6:.1f} MB are held of senders that could not be verified"
        cure = "look who can reach us, then set store.keep_unverified_days, or raise store.unverified_max_bytes"
        near = held > UNVERIFIED_WARNS * most
        yield row("unverified", "warning" if near else "ok", text, cure if near else None)


def _book(adapter: Adapter, at: datetime) -> Iterator[Row]:
    book = adapter.parts.book()
    agreed = sum(1 for entry in book.entries.values() if entry.agreement is not None and entry.agreement.accepts)
    yield row("address book", "ok", f"{len(book.entries)} parties, {agreed} with agreed message types")
    for tenant in adapter.parts.settings.tenant:
        for her_id in tenant.her_ids:
            yield _owned(book, tenant, her_id, at)
        yield from _registered_key(adapter, book, tenant)
    yield from _agreements(adapter, book)


def _owned(book: AddressBook, tenant: TenantSettings, her_id: int, at: datetime) -> Row:
    """Does the register say that this HER-id is the tenant's (HER-id ownership)?"""
    check, entry = f"HER-id {her_id}", book.entries.get(her_id)
    if entry is None:
        return row(check, "error", "it is not in the address book", "add it, or refresh the book")
    if entry.organisation_number not in (tenant.organisation_number, tenant.child_number):
        text = f"the register says that it belongs to another organisation than tenant {tenant.name}"
        return row(check, "error", text, "correct her_ids or the register")
    if not entry.valid_at(at):
        return row(check, "error", "it is not valid in the register now", "have it activated")
    return row(check, "ok", f"belongs to tenant {tenant.name}")


def _registered_key(adapter: Adapter, book: AddressBook, tenant: TenantSettings) -> Iterator[Row]:
    """Is the certificate that we sign with the one that the register tells partners?"""
    from cryptography.hazmat.primitives.hashes import SHA1, SHA256

    if tenant.sign_with is None:
        return
    certificate = adapter.parts.signer(tenant.sign_with).certificate
    ours = {certificate.fingerprint(algorithm).hex().upper() for algorithm in (SHA1(), SHA256())}  # noqa: S303
    for her_id in tenant.her_ids:
        entry = book.entries.get(her_id)
        registered = entry.signing if entry is not None else None
        if registered is not None and registered.thumbprint.upper() not in ours:
            text = "the register names another signing certificate than ours"
            yield row(f"HER-id {her_id}", "warning", text, "register the certificate at least 108 h before it is used")


def _agreements(adapter: Adapter, book: AddressBook) -> Iterator[Row]:
    """Partners whose agreement asks for a key that nobody has."""
    settings = adapter.parts.settings
    persons = any(key.owner == "person" for key in settings.keys.values())
    unsigned = [tenant.name for tenant in settings.tenant if tenant.sign_with is None]
    for entry in book.entries.values():
        agreement = entry.agreement
        if agreement is None:
            continue
        check = f"partner {entry.her_id}"
        if agreement.nav and agreement.process_names == "nav-emottak" and not persons:
            yield row(
                check, "warning", "NAV wants a person's signature, and there is no person's key", "add [keys.NAME]"
            )
        if agreement.sign and unsigned:
            yield row(check, "warning", f"it wants signatures; no key for {', '.join(unsigned)}", "set sign_with")


def _road(adapter: Adapter, tenant: TenantSettings) -> Iterator[Row]:
    check, road = f"message server {tenant.name}", adapter.parts.roads.get(tenant.name)
    if road is None:
        yield row(check, "warning", "not configured", "add [edi20] and [tenant.helseid]")
        return
    road.unread(tenant.her_ids, 1)
    yield row(check, "ok", "token granted, inbox can be listed")


def _mail_out(mail: MailRoad, name: str) -> Iterator[Row]:
    mail.sender.probe()
    yield row(f"mail out{name}", "ok", "the mail server greets us and takes our login")


def _mailbox(mail: MailRoad, name: str) -> Iterator[Row]:
    """Can it be read, and is there room for what partners send?"""
    check, waiting = f"mailbox{name}", len(mail.mailbox.list(1))
    fill = mail.mailbox.fill()
    text = "can be listed" + (", mails wait" if waiting else "") + (f", {fill:.0%} full" if fill is not None else "")
    if fill is None or fill < MAILBOX_WARNS:
        yield row(check, "ok", text)
    else:
        status = "error" if fill >= MAILBOX_FAILS else "warning"
        yield row(check, status, text, "make room, or set delete_after_h lower: partners' mails are turned away")


def _attention(adapter: Adapter) -> Iterator[Row]:
    rows, open_ = adapter.list(attention=True), adapter.alarms()
    if rows or open_:
        text = f"{len(rows)} messages need a person, {len(open_)} open incidents"
        yield row("attention", "warning", text, "adapter list --attention")
    else:
        yield row("attention", "ok", "nothing needs a person")
