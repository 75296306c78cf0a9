"""Agreement files as an operator looks at them: the facts with their certificates, what is wrong, what differs.

Offline: files, the settings, the address book's file and our keys; nothing is asked of the network or of the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from adapter.config import Settings, TenantSettings
from adapter.ebxml.agreement import Agreement, Channel, PartyFacts
from adapter.ebxml.agreement_report import agreement_json, check_agreement, compare
from adapter.ebxml.agreement_traps import find_traps
from adapter.ebxml.cpa import read_agreement
from adapter.ebxml.moments import write_moment
from adapter.errors import Finding, NotFoundError, Severity
from adapter.flow.processes import agreement_of
from adapter.model.partner import AddressBook, CertificateEntry, RegisterEntry
from adapter.model.wire import EBXML_HTTP, EBXML_MAIL
from adapter.security import certificates
from adapter.security.keys import KeyRing
from adapter.transport.addressbook import read_address_book

SOON = timedelta(days=30)  # a partner's renewed agreement takes its time


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that two sides say differently; None where a side says nothing. ``place`` is a path in the facts."""

    what: str
    place: str
    before: object
    after: object

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def describe(agreement: Agreement) -> dict[str, object]:
    """The facts as JSON, each certificate with its digest and its days."""
    plain = agreement_json(agreement)
    parties = plain["parties"]
    assert isinstance(parties, list)
    for shown, party in zip(parties, agreement.parties, strict=True):
        shown["certificates"] = {name: _described(der) for name, der in party.certificates.items()}
    return plain


def check_file(data: bytes, now: datetime) -> list[Finding]:
    """Everything that an operator should know of an agreement file. Raises UnreadableError and UnsupportedError."""
    agreement = read_agreement(data)
    return [*check_agreement(agreement, now), *_certificate_findings(agreement, now), *find_traps(data)]


def diff_files(before: bytes, after: bytes) -> list[Difference]:
    """What the second file says otherwise than the first. Raises as ``check_file``."""
    found = compare(read_agreement(before), read_agreement(after))
    return [Difference(what=_kind(path), place=path, before=old, after=new) for path, old, new in found]


def diff_settings(data: bytes, settings: Settings, now: datetime) -> list[Difference]:
    """What an agreement says otherwise (``after``) than our settings, keys and address book (``before``) do.

    Raises NotFoundError (CPA.STRANGER) for an agreement that is none of ours, and SettingsError for a broken book.
    """
    agreement = read_agreement(data)
    ours, tenant = _our_side(agreement, settings)
    book = read_address_book(settings.path(settings.register.file))
    found = list(_our_keys(ours, tenant, settings))
    other = agreement.other(ours)
    if other is not None:
        found += _their_side(other, book)
    earlier = _in_folder(agreement, settings)
    if earlier is not None:
        found += diff_files(earlier, data)
    if not agreement.valid_at(now):
        end = write_moment(agreement.end) if agreement.end is not None else None
        found.append(Difference(what="period", place="/end", before="in force now", after=end))
    return found


# --- certificates -----------------------------------------------------------------------------------------------------


def _load(der: bytes) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        return None


def _described(der: bytes) -> dict[str, object]:
    certificate = _load(der)
    if certificate is None:
        return {"sha256": None, "readable": False}
    usage = certificates.find_extension(certificate, x509.KeyUsage)
    uses = ("sign" if usage is not None and usage.content_commitment else None, "encrypt" if _seals(usage) else None)
    return {
        "sha256": certificate.fingerprint(SHA256()).hex(),
        "readable": True,
        "not_before": write_moment(certificate.not_valid_before_utc),
        "not_after": write_moment(certificate.not_valid_after_utc),
        "uses": [use for use in uses if use],
    }


def _seals(usage: x509.KeyUsage | None) -> bool:
    return usage is not None and (usage.key_encipherment or usage.data_encipherment)


def _certificate_findings(agreement: Agreement, now: datetime) -> Iterator[Finding]:
    for number, party in enumerate(agreement.parties, 1):
        signing = {channel.signing_certificate for channel in party.channels.values()}
        sealing = {role.encryption_certificate for role in party.roles}
        for count, (name, der) in enumerate(party.certificates.items(), 1):
            place = f"PartyInfo[{number}]/Certificate[{count}]"
            certificate = _load(der)
            if certificate is None:
                yield _finding("CPA20", Severity.ERROR, "the certificate cannot be read", place)
                continue
            yield from _days(certificate, now, place)
            usage = certificates.find_extension(certificate, x509.KeyUsage)
            if name in signing and not certificates.may_sign(certificate):
                text = "the signing certificate is not for signatures (nonRepudiation)"
                yield _finding("CPA23", Severity.WARNING, text, place)
            if name in sealing and usage is not None and not _seals(usage):
                text = "the encryption certificate is not for encryption (keyEncipherment)"
                yield _finding("CPA24", Severity.ERROR, text, place)


def _days(certificate: x509.Certificate, now: datetime, place: str) -> Iterator[Finding]:
    if not certificates.valid_at(certificate, now):
        yield _finding("CPA21", Severity.ERROR, "the certificate is not valid now", place)
    elif certificate.not_valid_after_utc < now + SOON:
        days = (certificate.not_valid_after_utc - now).days
        yield _finding("CPA22", Severity.WARNING, f"the certificate is valid for {days} more days", place)


def _finding(rule: str, severity: Severity, text: str, path: str) -> Finding:
    return Finding(rule=rule, severity=severity, text=text, path=path, source="IS-2175; house practice P27")


# --- differences ------------------------------------------------------------------------------------------------------

_KINDS = {
    "/certificates/": "key rolls",
    "/endpoints": "endpoint",
    "/retries": "resends",
    "/retry_interval_s": "resends",
    "/persist_s": "resends",
    "/sends": "processes",
    "/receives": "processes",
    "/roles": "processes",
    "/start": "period",
    "/end": "period",
}


def _kind(path: str) -> str:
    return next((kind for part, kind in _KINDS.items() if part in path), "other")


def _our_side(agreement: Agreement, settings: Settings) -> tuple[PartyFacts, TenantSettings]:
    for party in agreement.parties:
        mine = {
            int(one.value) for one in party.ids if one.type == "HER" and one.value.isascii() and one.value.isdigit()
        }
        tenant = next((tenant for tenant in settings.tenant if mine & set(tenant.her_ids)), None)
        if tenant is not None:
            return party, tenant
    cure = "is it ours? her_ids of a [[tenant]] name the addresses that we own"
    raise NotFoundError("no party of the agreement is one of ours", code="CPA.STRANGER", cure=cure)


def _our_keys(ours: PartyFacts, tenant: TenantSettings, settings: Settings) -> Iterator[Difference]:
    """Is the key that we sign with the one that the agreement tells the partner, and can we open what it seals?"""
    ring = KeyRing(settings)
    if tenant.sign_with is not None:
        signing = _digest(ring.find(tenant.sign_with).certificate)
        agreed = _agreed_signing(ours)
        if agreed and signing not in agreed:
            yield Difference(what="our signing key", place="sign_with", before=signing, after=sorted(agreed))
    held = {_digest(ring.find(name).certificate) for name in tenant.decrypt_with}
    sealing = {role.encryption_certificate or "" for role in ours.roles}
    for name in sorted(sealing & set(ours.certificates)):
        certificate = _load(ours.certificates[name])
        if certificate is not None and _digest(certificate) not in held:
            after = _digest(certificate)
            yield Difference(what="our encryption key", place="decrypt_with", before=sorted(held), after=after)


def _agreed_signing(party: PartyFacts) -> set[str]:
    names = {channel.signing_certificate or "" for channel in party.channels.values()}
    loaded = [_load(party.certificates[name]) for name in names & set(party.certificates)]
    return {_digest(one) for one in loaded if one is not None}


def _digest(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(SHA256()).hex()


def _their_side(party: PartyFacts, book: AddressBook) -> Iterator[Difference]:
    entry = book.entries.get(party.her_id or 0)
    if entry is None:
        yield Difference(what="partner", place="addressbook", before=None, after=party.her_id)
        return
    place = f"addressbook {entry.her_id}"
    yield from _addresses(party, entry, place)
    registered: Mapping[str, CertificateEntry | None] = {"signing": entry.signing, "encryption": entry.encryption}
    sealing = {role.encryption_certificate or "" for role in party.roles}
    signing = {channel.signing_certificate or "" for channel in party.channels.values()}
    for use, names in (("signing", signing), ("encryption", sealing)):
        known = registered[use]
        for name in sorted(names & set(party.certificates)):
            certificate = _load(party.certificates[name])
            if known is None or certificate is None or not _same(certificate, known):
                before = known.thumbprint if known is not None else None
                after = certificate.fingerprint(SHA1()).hex().upper() if certificate is not None else None  # noqa: S303
                yield Difference(what=f"partner's {use} certificate", place=place, before=before, after=after)


def _same(certificate: x509.Certificate, known: CertificateEntry) -> bool:
    if known.der is not None:
        return certificate.public_bytes(Encoding.DER) == known.der
    algorithm = SHA256() if len(known.thumbprint) == 64 else SHA1()  # noqa: S303
    return certificate.fingerprint(algorithm).hex().upper() == known.thumbprint.upper()


def _addresses(party: PartyFacts, entry: RegisterEntry, place: str) -> Iterator[Difference]:
    """Only of the road that the partner's entry names: the other one is not used."""
    own = agreement_of(entry)
    channels = list(party.channels.values())
    if own.road == EBXML_MAIL:
        agreed = {one.mail_address for channel in channels if channel.by_mail for one in channel.endpoints}
        addresses = {address.lower() for address in agreed if address is not None}
        if addresses and (entry.edi_address or "").lower() not in addresses:
            yield Difference(what="endpoint", place=place, before=entry.edi_address, after=sorted(addresses))
    if own.road == EBXML_HTTP and own.endpoint is not None:
        urls = {one.uri for channel in channels if channel.by_http for one in channel.endpoints}
        if urls and own.endpoint not in urls:
            yield Difference(what="endpoint", place=place, before=own.endpoint, after=sorted(urls))
    if not any(_is_of(channel, own.road) for channel in channels):
        protocols = sorted({channel.protocol or "?" for channel in channels})
        yield Difference(what="road", place=place, before=own.road, after=protocols)


def _is_of(channel: Channel, road: str) -> bool:
    return channel.by_mail if road == EBXML_MAIL else channel.by_http if road == EBXML_HTTP else True


def _in_folder(agreement: Agreement, settings: Settings) -> bytes | None:
    """The file in force with the same id, where the settings name a folder."""
    directory = settings.agreements.directory
    if directory is None:
        return None
    from datetime import UTC

    from adapter.flow.agreements import Agreements

    folder = settings.path(directory)
    held = Agreements(folder, clock=lambda: datetime.now(UTC)).by_id(agreement.id)
    return (folder / held.name).read_bytes() if held is not None else None
