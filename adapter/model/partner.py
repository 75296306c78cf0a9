"""The other side: a register entry, what we agreed with it, and look-ups over an address book (P24)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from adapter.errors import AmbiguousError, NotFoundError
from adapter.model.party import Ident, Party, Professional, Unit


class PartyType(StrEnum):
    ORGANIZATION = "Organization"
    PERSON = "Person"
    SERVICE = "Service"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceType:
    """A service's type: code list number (8663, 8666 …) and code (KX04 is Frisklivssentral)."""

    code_list: int
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateEntry:
    """A registered certificate: DER bytes may be None when only the thumbprint is known.

    ``replaced_at``: since when another one is registered in its place.
    """

    thumbprint: str
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    der: bytes | None = None
    replaced_at: datetime | None = None

    def same_as(self, other: CertificateEntry) -> bool:
        return self.thumbprint.upper() == other.thumbprint.upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What our settings say of a partner; lives under ``_agreement`` in the address book.

    ``accepts``: "MSG_TYPE" or "MSG_TYPE version" (empty: not agreed yet, everything is refused unless ``open``).
    ``process_names``: "nav-emottak" | "national". ``sign``: None follows the process table. For the ebXML road:
    ``endpoint`` is the partner's https address, ``cpa_id`` the agreement's (None: made of the two HER-ids),
    ``cms_plaintext`` "raw" | "mime" (None: raw for NAV, else mime). ``resends`` (with ``resend_interval_h`` hours
    between them) goes before what the agreement file says; ``time_to_live_h`` puts a TimeToLive into every envelope,
    that many hours after its time stamp (None: there is none, as partners usually do).
    """

    road: str = "edi20"
    accepts: tuple[str, ...] = ()
    process_names: str = "national"
    attachments: tuple[str, ...] = ()
    sign: bool | None = None
    level1_transport: bool = False
    allow_sha1: bool = False
    overrides: Mapping[str, object] = field(default_factory=dict)
    nav: bool = False
    endpoint: str | None = None
    cpa_id: str | None = None
    cms_plaintext: str | None = None
    allow_3des: bool = False
    resends: int | None = None
    resend_interval_h: float | None = None
    time_to_live_h: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterEntry:
    """One communication party as the address register has it."""

    her_id: int
    type: PartyType
    name: str
    display_name: str
    organisation_number: str | None = None  # own, or of the parent
    parent_her_id: int | None = None
    parent_name: str | None = None
    service_type: ServiceType | None = None
    municipality_her_ids: tuple[int, ...] = ()  # interMunicipalityCoverageArea
    hpr_number: str | None = None
    family_name: str | None = None
    given_name: str | None = None
    edi_address: str | None = None
    signing: CertificateEntry | None = None
    encryption: CertificateEntry | None = None
    earlier_signing: CertificateEntry | None = None  # the one before: what was signed with it may be under way (P27)
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    agreement: Agreement | None = None

    def valid_at(self, when: datetime) -> bool:
        return (self.valid_from is None or self.valid_from <= when) and (self.valid_to is None or when < self.valid_to)


def follow(entry: RegisterEntry, earlier: RegisterEntry | None, at: datetime) -> RegisterEntry:
    """The entry, knowing the signing certificate that the register had before it was changed (at the latest ``at``)."""
    if entry.earlier_signing is not None or entry.signing is None or earlier is None or earlier.signing is None:
        return entry
    if earlier.signing.same_as(entry.signing):
        return replace(entry, earlier_signing=earlier.earlier_signing) if earlier.earlier_signing else entry
    return replace(entry, earlier_signing=replace(earlier.signing, replaced_at=at))


@dataclass(frozen=True, slots=True)
class AddressBook:
    """Register entries by HER-id, and a dated table from municipality number to level 1 HER-id."""

    entries: Mapping[int, RegisterEntry]
    municipalities: Mapping[str, int] = field(default_factory=dict)
    environment: str = "test"

    def find(self, her_id: int) -> RegisterEntry:
        """The entry; raises NotFoundError."""
        entry = self.entries.get(her_id)
        if entry is None:
            raise NotFoundError(f"HER-id {her_id} is not in the address book", cure="add it, or refresh the book")
        return entry

    def party(self, her_id: int) -> Party:
        """Both levels' names and ids of a service, person or organisation, from the register (P24)."""
        entry = self.find(her_id)
        if entry.type is PartyType.ORGANIZATION:
            return Party(organisation=_unit(entry.her_id, entry.display_name, entry.organisation_number))
        if entry.parent_her_id is None:
            raise NotFoundError(f"HER-id {her_id} has no organisation above it", cure="correct the register entry")
        parent = self.entries.get(entry.parent_her_id)
        name = parent.display_name if parent else entry.parent_name or ""
        number = parent.organisation_number if parent else entry.organisation_number
        above = _unit(entry.parent_her_id, name, number)
        if entry.type is PartyType.SERVICE:
            return Party(organisation=above, service=_unit(entry.her_id, entry.display_name, None))
        idents = [Ident(id=str(entry.her_id), type="HER", system="8116", name="HER-id")]
        if entry.hpr_number:
            idents.append(Ident(id=entry.hpr_number, type="HPR", system="8116", name="HPR-nummer"))
        person = Professional(family_name=entry.family_name, given_name=entry.given_name, idents=tuple(idents))
        return Party(organisation=above, person=person)

    def find_service(
        self,
        service_type: ServiceType,
        *,
        at: datetime,
        organisation: int | None = None,
        organisation_number: str | None = None,
        municipality: str | None = None,
    ) -> RegisterEntry:
        """The one valid service of that type at a level 1 HER-id, organisation number or municipality number (P24).

        Raises NotFoundError for none and AmbiguousError, listing the hits, for several.
        """
        if municipality is not None:
            organisation = self.municipalities.get(municipality)
            if organisation is None:
                shown = municipality if re.fullmatch("[0-9]{4}", municipality) else "of that number"  # P21
                raise NotFoundError(f"municipality {shown} is not in the address book's table")
        hits = [
            entry
            for entry in self.entries.values()
            if entry.type is PartyType.SERVICE
            and entry.service_type == service_type
            and entry.valid_at(at)
            and (
                (organisation is not None and organisation in (entry.parent_her_id, *entry.municipality_her_ids))
                or (organisation_number is not None and entry.organisation_number == organisation_number)
            )
        ]
        return _only(hits)


def _unit(her_id: int, name: str, organisation_number: str | None) -> Unit:
    idents = [Ident(id=str(her_id), type="HER", system="9051", name="HER-id")]
    if organisation_number:
        name_ = "Organisasjonsnummeret i Enhetsregister"
        idents.append(Ident(id=organisation_number, type="ENH", system="9051", name=name_))
    return Unit(name=name, idents=tuple(idents))


def _only(hits: Iterable[RegisterEntry]) -> RegisterEntry:
    found = sorted(hits, key=lambda entry: entry.her_id)
    if not found:
        raise NotFoundError("no valid service of that type there", cure="name the receiver by HER-id")
    if len(found) > 1:
        listed = ", ".join(f"{entry.her_id} {entry.display_name}" for entry in found)
        raise AmbiguousError(f"several services of that type: {listed}", cure="name one by HER-id")
    return found[0]
