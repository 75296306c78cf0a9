"""Register entries from JSON: the REST register's own shape, with our additions behind an underscore.

The register adds fields without notice, so unknown ones are passed over; our own additions are checked strictly,
because a misspelt agreement would silently refuse or allow messages. Errors name the place in the file, never a value
(P21).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import adapter.shapes as shapes
from adapter.config import Environment
from adapter.errors import InputError, SettingsError
from adapter.identifiers import read_her_id, read_hpr_number
from adapter.model.partner import AddressBook, Agreement, CertificateEntry, PartyType, RegisterEntry, ServiceType
from adapter.model.wire import EBXML_ROADS

_OWN_FIELDS = frozenset({"_agreement", "_certificates", "_person", "_processes", "_fetchedAt"})
_CODE = "ADDRESS_BOOK"


def read_address_book(source: Mapping[str, Any] | Path | str) -> AddressBook:
    """An address book from parsed JSON or a file; raises SettingsError with the place.

    Top level: ``environment`` (mandatory, P22), ``parties``, and ``municipalities``: municipality number to level 1
    HER-id, with ``dated`` (or the book's ``generatedAt``) telling when the table was made (P24).
    """
    if isinstance(source, Mapping):
        return _read_book(source, "addressbook")
    path = Path(source)
    try:
        plain = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise _fault("there is no address book", str(path), "set register.file") from None
    except json.JSONDecodeError as error:
        raise _fault(f"not JSON: line {error.lineno}, column {error.colno}", path.name) from None
    except (OSError, UnicodeDecodeError, RecursionError):
        raise _fault("the address book cannot be read", path.name) from None
    if not isinstance(plain, dict):
        raise _fault("a JSON object is expected", path.name)
    return _read_book(plain, path.name)


def _read_book(plain: Mapping[str, Any], where: str) -> AddressBook:
    environment = plain.get("environment")
    if environment not in {member.value for member in Environment}:
        raise _fault("'test' or 'production' is expected", f"{where}.environment", "say which environment it is of")
    parties = plain.get("parties")
    if not isinstance(parties, list):
        raise _fault("a list is expected", f"{where}.parties")
    entries: dict[int, RegisterEntry] = {}
    for i, party in enumerate(parties):
        place = f"{where}.parties[{i}]"
        entry = read_entry(party, place)
        if entry.her_id in entries:
            raise _fault("this HER-id is there twice", f"{place}.herId")
        entries[entry.her_id] = entry
    made = str(plain.get("generatedAt"))[:10]
    municipalities = _read_municipalities(plain.get("municipalities", {}), made, f"{where}.municipalities")
    return AddressBook(entries, municipalities, str(environment))


def _read_municipalities(plain: object, made: str, where: str) -> dict[str, int]:
    if not isinstance(plain, Mapping):
        raise _fault("an object is expected", where)
    if plain and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(plain.get("dated", made))):
        cure = "municipalities are merged and split: write the day of the table as YYYY-MM-DD"
        raise _fault("the table has no date", f"{where}.dated", cure)
    table = {}
    for number, her_id in plain.items():
        if number == "dated":
            continue
        if not re.fullmatch(r"[0-9]{4}", str(number)):
            raise _fault("a municipality number has four digits", where)
        table[str(number)] = _her_id(her_id, f"{where}.{number}")
    return table


def read_entry(plain: object, where: str) -> RegisterEntry:
    """One communication party; raises SettingsError with the place."""
    if not isinstance(plain, Mapping):
        raise _fault("an object is expected", where)
    for key in plain:
        if str(key).startswith("_") and key not in _OWN_FIELDS:
            cure = f"known are {', '.join(sorted(_OWN_FIELDS))}"
            raise _fault("an unknown addition", f"{where}.{key if str(key).isidentifier() else '?'}", cure)
    kind = _party_type(plain.get("type"), where)
    name = _text(plain, "name", where)
    display_name = _text(plain, "displayName", where) or name
    if not display_name:
        raise _fault("a name is expected", f"{where}.displayName")
    own = _details(plain, "_certificates", where)
    return RegisterEntry(
        her_id=_her_id(plain.get("herId"), f"{where}.herId"),
        type=kind,
        name=name or display_name,
        display_name=display_name,
        edi_address=_text(plain, "ediAddress", where),
        signing=_certificate(plain, "currentSigningCertificate", own, "signing", where),
        encryption=_certificate(plain, "currentEncryptionCertificate", own, "encryption", where),
        earlier_signing=_earlier(own, where),
        valid_from=_time(plain, "validFrom", where),
        valid_to=_time(plain, "validTo", where),
        agreement=_agreement(plain.get("_agreement"), f"{where}._agreement"),
        **_of_kind(plain, kind, display_name, where),
    )


def _of_kind(plain: Mapping[str, Any], kind: PartyType, display_name: str, where: str) -> dict[str, Any]:
    """The fields that an organisation, a service or a person has of its own."""
    if kind is PartyType.ORGANIZATION:
        place = f"{where}.organizationDetails"
        return {"organisation_number": _org_number(_details(plain, "organizationDetails", where), place)}
    member = "serviceDetails" if kind is PartyType.SERVICE else "personDetails"
    details = _details(plain, member, where)
    place = f"{where}.{member}"
    parent = _details(details, "parentOrganization", place)
    found: dict[str, Any] = {
        "parent_her_id": _her_id(parent.get("herId"), f"{place}.parentOrganization.herId"),
        "parent_name": _text(parent, "name", f"{place}.parentOrganization"),
        "organisation_number": _org_number(parent, f"{place}.parentOrganization"),
    }
    if kind is PartyType.SERVICE:
        found["service_type"] = _service_type(details, f"{place}.serviceType")
        area = _details(details, "interMunicipalityCoverageArea", place)
        listed = area.get("municipalityHerIds") or []
        if not isinstance(listed, list):
            raise _fault("a list is expected", f"{place}.interMunicipalityCoverageArea.municipalityHerIds")
        found["municipality_her_ids"] = tuple(
            _her_id(item, f"{place}.interMunicipalityCoverageArea") for item in listed
        )
        return found
    return found | _person(plain, details, display_name, where)


def _person(plain: Mapping[str, Any], details: Mapping[str, Any], display_name: str, where: str) -> dict[str, Any]:
    """HPR number and the name in two parts; the register gives one text, so ``_person`` may say where to cut it."""
    hpr = details.get("hprNumber")
    own = _details(plain, "_person", where)
    given, _, family = display_name.rpartition(" ")
    try:
        number = read_hpr_number(str(hpr), f"{where}.personDetails.hprNumber") if hpr else None
    except InputError as error:
        raise _fault(error.text, error.where) from None
    return {
        "hpr_number": number,
        "family_name": _text(own, "familyName", f"{where}._person") or family,
        "given_name": _text(own, "givenName", f"{where}._person") or given or None,
    }


def _service_type(details: Mapping[str, Any], where: str) -> ServiceType:
    found = details.get("serviceType")
    code_list = found.get("codeListId") if isinstance(found, Mapping) else None
    value = found.get("value") if isinstance(found, Mapping) else None
    if not isinstance(code_list, int) or not isinstance(value, str) or not value:
        raise _fault("codeListId (number) and value (text) are expected", where)
    return ServiceType(code_list=code_list, code=value)


def _certificate(
    plain: Mapping[str, Any], member: str, own: Mapping[str, Any], use: str, where: str
) -> CertificateEntry | None:
    """The registered certificate, with its bytes when the book carries them and they are the registered ones."""
    registered = _details(plain, member, where)
    kept = _details(own, use, f"{where}._certificates")
    place = f"{where}._certificates.{use}"
    thumbprint = _text(registered, "thumbprint", f"{where}.{member}") or _text(kept, "thumbprint", place)
    der = read_certificate_value(kept.get("certificateValue"), thumbprint, place)
    if thumbprint is None and der is None:
        return None
    source, source_place = (registered, f"{where}.{member}") if registered else (kept, place)
    return CertificateEntry(
        thumbprint=(thumbprint or hashlib.sha1(der or b"", usedforsecurity=False).hexdigest()).upper(),
        valid_from=_time(source, "validFrom", source_place),
        valid_to=_time(source, "validTo", source_place),
        der=der,
    )


def _earlier(own: Mapping[str, Any], where: str) -> CertificateEntry | None:
    """``_certificates.earlier``: the signing certificate before this one, and when this one took its place."""
    found = _certificate({}, "-", own, "earlier", where)
    if found is None:
        return None
    place = f"{where}._certificates.earlier"
    replaced_at = _time(own["earlier"], "replacedAt", place)
    if replaced_at is None:
        raise _fault("a certificate of earlier days was replaced at a time", f"{place}.replacedAt", "say when")
    return replace(found, replaced_at=replaced_at)


def read_certificate_value(value: object, thumbprint: str | None, where: str) -> bytes | None:
    """DER bytes from base64, held against the thumbprint (SHA-1, or SHA-256 when it is that long)."""
    if value is None:
        return None
    from base64 import b64decode

    try:
        der = b64decode(str(value), validate=True)
    except ValueError:
        raise _fault("base64 of a DER certificate is expected", f"{where}.certificateValue") from None
    if thumbprint is not None:
        name = "sha256" if len(thumbprint) == 64 else "sha1"
        if hashlib.new(name, der, usedforsecurity=False).hexdigest().upper() != thumbprint.upper():
            raise _fault("the certificate is not the one with this thumbprint", where, "fetch the certificate anew")
    return der


def _agreement(plain: object, where: str) -> Agreement | None:
    if plain is None:
        return None
    try:
        agreement = shapes.read(Agreement, plain, where)
    except InputError as error:
        raise _fault(error.text, error.where, error.cure) from None
    if agreement.road not in ("edi20", *EBXML_ROADS):
        raise _fault("the road is 'edi20', 'ebxml-http' or 'ebxml-mail'", f"{where}.road")
    if agreement.cms_plaintext not in (None, "raw", "mime"):
        raise _fault("the plaintext is 'raw' or 'mime'", f"{where}.cms_plaintext")
    for name in ("resends", "resend_interval_h", "time_to_live_h"):
        if (getattr(agreement, name) or 1) <= 0:
            raise _fault("a number above zero is expected", f"{where}.{name}")
    if (agreement.resends is None) != (agreement.resend_interval_h is None):
        raise _fault("a count of resends and the hours between them belong together", f"{where}.resends")
    if agreement.process_names not in ("national", "nav-emottak"):
        raise _fault("the names are 'national' or 'nav-emottak'", f"{where}.process_names")
    return agreement


def _party_type(value: object, where: str) -> PartyType:
    try:
        return PartyType(str(value))
    except ValueError:
        allowed = ", ".join(member.value for member in PartyType)
        raise _fault("an unknown type of party", f"{where}.type", f"use one of: {allowed}") from None


def _details(plain: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    found = plain.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise _fault("an object is expected", f"{where}.{name}")
    return found


def _her_id(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _fault("a HER-id is a whole number", where)
    try:
        return read_her_id(value, where)
    except InputError as error:
        raise _fault(error.text, where) from None


def _org_number(plain: Mapping[str, Any], where: str) -> str | None:
    number = plain.get("organizationNumber")
    if number is None:
        return None
    if not re.fullmatch(r"[0-9]{9}", str(number)):
        raise _fault("an organisation number has nine digits", f"{where}.organizationNumber")
    return str(number)


def _text(plain: Mapping[str, Any], name: str, where: str) -> str | None:
    value = plain.get(name)
    if value is not None and not isinstance(value, str):
        raise _fault("text is expected", f"{where}.{name}")
    return value or None


def _time(plain: Mapping[str, Any], name: str, where: str) -> datetime | None:
    """A time with or without offset; without one it is taken as UTC (it bounds validity in years, not hours)."""
    text = _text(plain, name, where)
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise _fault("a time is expected", f"{where}.{name}", "write it as YYYY-MM-DDThh:mm:ss+01:00") from None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


def _fault(text: str, where: str | None, cure: str | None = None) -> SettingsError:
    return SettingsError(text, code=_CODE, where=where, cure=cure)
