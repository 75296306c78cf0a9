"""The made-up parties of the simulated world and its address book, as plain data.

All organisation numbers lie in the range of synthetic test organisations and all persons are synthetic. NAV appears
under the HER-ids that its public code uses in tests, because the process table knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapter.model.wire import EBXML_ROADS
from adapter.simulator.addressing import edi_address

SOLVANG, SOLVANG_GP, SOLVANG_DOCTOR = 8091300, 8091301, 8091302
KLINIKK, KLINIKK_SERVICE, KLINIKK_POLICLINIC = 8091600, 8091601, 8091602
GRANLI, GRANLI_FRISKLIV, GRANLI_NURSING = 8091100, 8091101, 8091102
LYNGMO = 8091200
BEKKELIA, BEKKELIA_GP, BEKKELIA_DOCTOR = 8091400, 8091401, 8091402
NORDVIK, NORDVIK_POLICLINIC = 8091500, 8091501
MYRDAL, MYRDAL_FRISKLIV = 8091700, 8091701  # on ebXML alone, as the next three: by mail
TINDVIK, TINDVIK_FRISKLIV = 8091800, 8091801  # over HTTP
NAV_MAIL, NAV_HTTP = 8091901, 8091902
NAV = 79768
NAV_NEW, NAV_NEW_SERVICE = 90128, 8142519

DIALOGUE = ("DIALOG_NOTAT", "DIALOG_FORESPORSEL", "DIALOG_SVAR", "DIALOG_AVVIK", "DIALOG_HELSEFAGLIG")
REFERRAL = ("HENVISNING_NYTILSTAND", "HENVISNING", "DIALOG_STATUS_HENVISNING")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One register entry. ``service`` = (code list, code, name); ``parent`` = level 1 HER-id of a service or person."""

    her_id: int
    name: str
    organisation_number: str | None = None
    parent: int | None = None
    service: tuple[int, str, str] | None = None
    person: tuple[str, str, str] | None = None  # family name, given name, HPR number
    covers: tuple[int, ...] = ()  # level 1 HER-ids of other municipalities
    business_type: tuple[str, str] = ("103", "Fastlege")
    reachable: bool = True
    agreement: Mapping[str, Any] | None = None

    @property
    def road(self) -> str:
        """The road of its agreement: "edi20" unless it names another."""
        return str((self.agreement or {}).get("road", "edi20"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonSpec:
    """A synthetic professional with a signing key: ``fnr`` is never printed."""

    name: str
    family_name: str
    given_name: str
    fnr: str = field(repr=False)
    hpr: str = ""
    profession: str = "LE"


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSpec:
    """An organisation that the adapter acts for. ``form`` is that of HelseID (single, multi …)."""

    name: str
    display_name: str
    organisation_number: str
    level1: int
    her_ids: tuple[int, ...]
    client_id: str
    form: str
    algorithm: str
    supplier_number: str | None = None
    child_number: str | None = None
    persons: tuple[PersonSpec, ...] = ()


def _agreement(*accepts: str, **more: Any) -> dict[str, Any]:
    return {
        "road": "edi20",
        "accepts": list(accepts),
        "attachments": ["application/pdf", "image/jpeg", "image/png"],
        **more,
    }


_KOMMUNE = ("102", "Kommune")
_HOSPITAL = ("101", "Helseforetak")
_STATE = ("113", "Statlig forvaltning")
_GP = (8663, "KA01", "Fastlegetjeneste")
_NAV_ATTACHMENTS = ["application/pdf", "image/jpeg", "image/png", "image/tiff"]

UNITS: tuple[Unit, ...] = (
    Unit(her_id=SOLVANG, name="Solvang legekontor", organisation_number="310045101", reachable=False),
    Unit(
        her_id=SOLVANG_GP,
        name="Fastlegetjeneste, Solvang",
        parent=SOLVANG,
        service=_GP,
        agreement=_agreement(*REFERRAL, *DIALOGUE),
    ),
    Unit(
        her_id=SOLVANG_DOCTOR,
        name="Sol Vangsnes",
        parent=SOLVANG,
        person=("Vangsnes", "Sol", "9311001"),
        agreement=_agreement(*REFERRAL, *DIALOGUE),
    ),
    Unit(her_id=KLINIKK, name="Fjellgløtt klinikk", organisation_number="311045202", reachable=False),
    Unit(
        her_id=KLINIKK_SERVICE,
        name="Fysioterapi, Fjellgløtt klinikk",
        parent=KLINIKK,
        service=(8666, "A03", "Fysioterapi"),
        agreement=_agreement(*REFERRAL, *DIALOGUE),
    ),
    Unit(
        her_id=KLINIKK_POLICLINIC,
        name="Poliklinikk, Fjellgløtt klinikk",
        parent=KLINIKK,
        service=(8668, "10", "Poliklinikk"),
        agreement=_agreement(*REFERRAL, *DIALOGUE),
    ),
    Unit(
        her_id=GRANLI,
        name="Granli kommune",
        organisation_number="312045303",
        business_type=_KOMMUNE,
        reachable=False,
    ),
    Unit(
        her_id=GRANLI_FRISKLIV,
        name="Frisklivssentral, Granli",
        parent=GRANLI,
        service=(8663, "KX04", "Frisklivssentral"),
        covers=(LYNGMO,),
        agreement=_agreement("HENVISNING_NYTILSTAND", "HENVISNING", *DIALOGUE),
    ),
    Unit(
        her_id=GRANLI_NURSING,
        name="Sykepleietjeneste, Granli",
        parent=GRANLI,
        service=(8663, "KP02", "Sykepleietjeneste"),
        agreement=_agreement(*DIALOGUE),
    ),
    Unit(
        her_id=LYNGMO, name="Lyngmo kommune", organisation_number="313045404", business_type=_KOMMUNE, reachable=False
    ),
    Unit(her_id=BEKKELIA, name="Bekkelia legesenter", organisation_number="314045505", reachable=False),
    Unit(
        her_id=BEKKELIA_GP,
        name="Fastlegetjeneste, Bekkelia",
        parent=BEKKELIA,
        service=_GP,
        agreement=_agreement(*REFERRAL, *DIALOGUE, "EPIKRISE"),
    ),
    Unit(
        her_id=BEKKELIA_DOCTOR,
        name="Bekk Eliassen",
        parent=BEKKELIA,
        person=("Eliassen", "Bekk", "9311002"),
        agreement=_agreement(*REFERRAL, *DIALOGUE, "EPIKRISE"),
    ),
    Unit(
        her_id=NORDVIK,
        name="Nordvik sykehus",
        organisation_number="315045606",
        business_type=_HOSPITAL,
        reachable=False,
    ),
    Unit(
        her_id=NORDVIK_POLICLINIC,
        name="Rehabilitering, poliklinikk, Nordvik sykehus",
        parent=NORDVIK,
        service=(8668, "11", "Poliklinikk"),
        agreement=_agreement(*REFERRAL, *DIALOGUE),
    ),
    Unit(
        her_id=NAV,
        name="NAV (simulert)",
        organisation_number="889640782",
        business_type=_STATE,
        agreement=_agreement(
            "DIALOG_NOTAT",
            "DIALOG_SVAR",
            attachments=_NAV_ATTACHMENTS,
            nav=True,
            process_names="nav-emottak",
            level1_transport=True,
        ),
    ),
    Unit(
        her_id=NAV_NEW,
        name="NAV, ny løsning (simulert)",
        organisation_number="889640782",
        business_type=_STATE,
        reachable=False,
    ),
    Unit(
        her_id=NAV_NEW_SERVICE,
        name="Samhandling Arbeids- og velferdsetaten",
        parent=NAV_NEW,
        service=(8658, "5", "Samhandling Arbeids- og velferdsetaten"),
        agreement=_agreement(
            "DIALOG_NOTAT", "DIALOG_SVAR", attachments=_NAV_ATTACHMENTS, nav=True, process_names="national"
        ),
    ),
)

MUNICIPALITIES: Mapping[str, int] = {"9901": GRANLI, "9902": LYNGMO}
NAV_HER_IDS = frozenset({NAV, NAV_NEW_SERVICE})

TENANTS: tuple[TenantSpec, ...] = (
    TenantSpec(
        name="solvang",
        display_name="Solvang legekontor",
        organisation_number="310045101",
        level1=SOLVANG,
        her_ids=(SOLVANG_GP, SOLVANG_DOCTOR),
        client_id="11111111-5a1b-4c2d-8e3f-501fa0901301",
        form="single",
        algorithm="ES256",
        persons=(
            PersonSpec(
                name="lege",
                family_name="Vangsnes",
                given_name="Sol",
                fnr="11857120150",
                hpr="9311001",
                profession="LE",
            ),
        ),
    ),
    TenantSpec(
        name="fjellglott",
        display_name="Fjellgløtt klinikk",
        organisation_number="311045202",
        level1=KLINIKK,
        her_ids=(KLINIKK_SERVICE, KLINIKK_POLICLINIC),
        client_id="22222222-5a1b-4c2d-8e3f-501fa0901601",
        form="multi-child",
        algorithm="PS256",
        supplier_number="316045707",
        child_number="317045808",
        persons=(
            PersonSpec(
                name="fysio",
                family_name="Gløttestad",
                given_name="Fjell",
                fnr="24888430152",
                hpr="9311003",
                profession="FT",
            ),
        ),
    ),
)


class World:
    """Look-ups over the units: who owns a HER-id, who can be reached, and the register's JSON."""

    def __init__(self, units: tuple[Unit, ...] = UNITS, municipalities: Mapping[str, int] = MUNICIPALITIES) -> None:
        self.units = {unit.her_id: unit for unit in units}
        self.municipalities = dict(municipalities)
        # level 1 HER-id -> its certificate in the register's shape, for signing and for encryption; asked late because
        # keys are made late
        self.certificate_of: Callable[[int], Mapping[str, Any] | None] = lambda her_id: None
        self.sealing_of: Callable[[int], Mapping[str, Any] | None] = lambda her_id: None
        self.endpoint_of: Callable[[int], str | None] = lambda her_id: None  # of parties on ebXML over HTTP

    def top(self, her_id: int) -> Unit | None:
        """The level 1 unit of a HER-id."""
        unit = self.units.get(her_id)
        return self.units.get(unit.parent) if unit is not None and unit.parent is not None else unit

    def owner(self, her_id: int) -> str | None:
        """The organisation number that owns a HER-id."""
        top = self.top(her_id)
        return top.organisation_number if top else None

    def reachable(self, her_id: int) -> bool:
        """True for a party that the message server delivers to: with an EDI address, and not on ebXML alone."""
        unit = self.units.get(her_id)
        return unit is not None and unit.reachable and unit.road not in EBXML_ROADS

    def address_book(self) -> dict[str, Any]:
        """The whole register in the address book's file form, with agreements and certificates."""
        return {
            "schema": "addressbook/1",
            "environment": "test",
            "generatedAt": "2026-01-01T00:00:00Z",
            "source": {"kind": "simulator", "lastSequenceNumber": len(self.units)},
            "municipalities": {"dated": "2026-01-01", **self.municipalities} if self.municipalities else {},
            "parties": [self.party(her_id, own=True) for her_id in self.units],
        }

    def party(self, her_id: int, *, own: bool = False) -> dict[str, Any]:
        """One entry in the REST shape; ``own`` adds what only an address book file has (members with ``_``)."""
        unit = self.units[her_id]
        kind = "Service" if unit.service else "Person" if unit.person else "Organization"
        brief, sealing = self.certificate(her_id), self.sealing(her_id)
        plain: dict[str, Any] = {
            "herId": her_id,
            "name": unit.service[2] if unit.service else unit.name,
            "displayName": unit.name,
            "type": kind,
            "organizationDetails": self._organisation(unit) if kind == "Organization" else None,
            "personDetails": self._person(unit) if unit.person else None,
            "serviceDetails": self._service(unit) if unit.service else None,
            "currentSigningCertificate": _short(brief),
            "currentEncryptionCertificate": _short(sealing),
            "email": "post@simulator.invalid",
            "homepageUrl": None,
            "phoneNumber": "55512340",
            "faxNumber": None,
            "ediAddress": edi_address(her_id) if unit.reachable else None,
            "fhirAddress": None,
            "postalAddress": {"address": "Prøveveien 1", "postalBox": None, "postalCode": "9990", "city": "PRØVEVIK"},
            "amqpTransportStatus": "Disabled",
            "amqpAddress": None,
            "validFrom": "2020-01-01T00:00:00+01:00",
            "validTo": None,
        }
        if own:
            if unit.agreement is not None:
                endpoint = self.endpoint_of(her_id)
                plain["_agreement"] = {**unit.agreement, **({"endpoint": endpoint} if endpoint else {})}
            if unit.person is not None:
                plain["_person"] = {"familyName": unit.person[0], "givenName": unit.person[1]}
            if brief is not None:
                plain["_certificates"] = {"signing": brief, "encryption": sealing}
        return plain

    def certificate(self, her_id: int) -> dict[str, Any] | None:
        """The current signing certificate with its value, or None."""
        top = self.top(her_id)
        found = self.certificate_of(top.her_id) if top else None
        return dict(found) if found is not None else None

    def sealing(self, her_id: int) -> dict[str, Any] | None:
        """The current encryption certificate with its value, or None."""
        top = self.top(her_id)
        found = self.sealing_of(top.her_id) if top else None
        return dict(found) if found is not None else None

    def _organisation(self, unit: Unit) -> dict[str, Any]:
        below = [other for other in self.units.values() if other.parent == unit.her_id]
        code, name = unit.business_type
        return {
            "organizationNumber": unit.organisation_number,
            "businessType": {"codeListId": 9040, "value": code, "name": name, "url": None},
            "persons": [other.her_id for other in below if other.person],
            "services": [other.her_id for other in below if other.service],
        }

    def _above(self, unit: Unit) -> dict[str, Any]:
        parent = self.units[unit.parent or 0]
        return {"name": parent.name, "herId": parent.her_id, "organizationNumber": parent.organisation_number}

    def _person(self, unit: Unit) -> dict[str, Any]:
        hpr = unit.person[2] if unit.person else ""
        return {"hprNumber": hpr, "parentOrganization": self._above(unit)}

    def _service(self, unit: Unit) -> dict[str, Any]:
        number, code, name = unit.service or (0, "", "")
        return {
            "serviceType": {"codeListId": number, "value": code, "name": name, "url": None},
            "interMunicipalityCoverageArea": {"municipalityHerIds": list(unit.covers)} if unit.covers else None,
            "serviceSpecification": None,
            "parentOrganization": self._above(unit),
        }


def _short(certificate: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if certificate is None:
        return None
    return {name: certificate[name] for name in ("thumbprint", "validFrom", "validTo")}
