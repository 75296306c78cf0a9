"""Reading address books: the register's shape, our additions, and errors that tell the place."""

from __future__ import annotations

import copy
import hashlib
import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapter.errors import AmbiguousError, NotFoundError, SettingsError
from adapter.model.partner import AddressBook, PartyType, ServiceType
from adapter.transport.addressbook import read_address_book, read_entry

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "config" / "addressbook.json"
REFERENCE = ROOT.parent / "shared" / "reference" / "nhn" / "ar-rest"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
KX04 = ServiceType(code_list=8663, code="KX04")


@pytest.fixture
def plain() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(SHIPPED.read_text("utf-8"))
    return loaded


def test_the_shipped_book_has_a_frisklivssentral_nav_a_gp_office_and_a_clinic() -> None:
    book = read_address_book(SHIPPED)
    assert book.environment == "test"
    friskliv = book.find_service(KX04, at=NOW, municipality="9901")
    assert friskliv.agreement is not None
    assert "HENVISNING_NYTILSTAND" in friskliv.agreement.accepts
    assert book.find_service(KX04, at=NOW, organisation_number="312045303") is friskliv
    nav = book.find(79768)
    assert nav.agreement is not None
    assert (nav.agreement.nav, nav.agreement.process_names, nav.agreement.level1_transport) == (
        True,
        "nav-emottak",
        True,
    )
    assert book.find(8091301).parent_her_id == 8091300
    assert book.find(8091602).service_type == ServiceType(code_list=8668, code="10")


def test_p24_a_neighbour_is_served_through_the_coverage_area_and_names_come_from_the_register() -> None:
    book = read_address_book(str(SHIPPED))
    found = book.find_service(KX04, at=NOW, municipality="9902")
    party = book.party(found.her_id)
    assert (party.organisation.name, party.service and party.service.name) == (
        "Granli kommune",
        "Frisklivssentral, Granli",
    )


def test_p24_none_or_several_services_are_errors(plain: dict[str, Any]) -> None:
    second = copy.deepcopy(next(party for party in plain["parties"] if party["herId"] == 8091101))
    second["herId"] = 8091199
    plain["parties"].append(second)
    book = read_address_book(plain)
    with pytest.raises(AmbiguousError, match=r"8091101.*8091199"):
        book.find_service(KX04, at=NOW, organisation=8091100)
    with pytest.raises(NotFoundError):
        book.find_service(KX04, at=NOW, municipality="0301")
    with pytest.raises(NotFoundError):
        book.find_service(KX04, at=datetime(2019, 1, 1, tzinfo=UTC), organisation=8091100)


def test_a_persons_name_is_cut_at_the_last_word_or_where_the_book_says(plain: dict[str, Any]) -> None:
    doctor = read_address_book(plain).find(8091302)
    assert (doctor.given_name, doctor.family_name, doctor.hpr_number) == ("Sol", "Vangsnes", "9311001")
    party = next(party for party in plain["parties"] if party["herId"] == 8091302)
    party["_person"] = {"familyName": "Berg Vangsnes", "givenName": "Sol"}
    assert read_address_book(plain).find(8091302).family_name == "Berg Vangsnes"
    party.pop("_person")
    party["displayName"] = "Vangsnes"
    doctor = read_address_book(plain).find(8091302)
    assert (doctor.given_name, doctor.family_name) == (None, "Vangsnes")


def test_p22_a_book_says_which_environment_it_is_of(plain: dict[str, Any]) -> None:
    for wrong in (None, "qa", ""):
        with pytest.raises(SettingsError) as caught:
            read_address_book({**plain, "environment": wrong})
        assert caught.value.where == "addressbook.environment"


def test_p24_a_municipality_table_without_a_day_is_refused(plain: dict[str, Any]) -> None:
    plain["municipalities"].pop("dated")
    assert read_address_book(plain).municipalities["9901"] == 8091100  # the book's own day counts
    plain.pop("generatedAt")
    with pytest.raises(SettingsError, match="dated"):
        read_address_book(plain)
    plain.pop("municipalities")
    assert read_address_book(plain).municipalities == {}


CERTIFICATE = b"not really DER, but bytes with a thumbprint"


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_a_certificate_is_kept_when_it_is_the_registered_one(plain: dict[str, Any], name: str) -> None:
    thumbprint = hashlib.new(name, CERTIFICATE).hexdigest()
    party = plain["parties"][0]
    party["currentSigningCertificate"] = {"thumbprint": thumbprint.upper(), "validFrom": "2025-01-01", "validTo": None}
    party["_certificates"] = {"signing": {"certificateValue": b64encode(CERTIFICATE).decode()}, "encryption": None}
    entry = read_address_book(plain).find(party["herId"])
    assert entry.signing is not None
    assert (entry.signing.der, entry.signing.thumbprint) == (CERTIFICATE, thumbprint.upper())
    assert entry.signing.valid_from == datetime(2025, 1, 1, tzinfo=UTC)
    assert entry.encryption is None


def test_a_certificate_without_a_registered_thumbprint_gets_its_own(plain: dict[str, Any]) -> None:
    party = plain["parties"][0]
    party["_certificates"] = {"encryption": {"certificateValue": b64encode(CERTIFICATE).decode()}}
    entry = read_address_book(plain).find(party["herId"]).encryption
    assert entry is not None
    assert entry.thumbprint == hashlib.sha1(CERTIFICATE).hexdigest().upper()


def service(**changes: Any) -> dict[str, Any]:
    parent = {"herId": 8091100, "name": "Granli", "organizationNumber": "312045303"}
    details = {"serviceType": {"codeListId": 8663, "value": "KX04"}, "parentOrganization": parent}
    return {"herId": 8091101, "type": "Service", "displayName": "Friskliv", "serviceDetails": details, **changes}


def details(**changes: Any) -> dict[str, Any]:
    return service(serviceDetails={**service()["serviceDetails"], **changes})


@pytest.mark.parametrize(
    ("party", "place"),
    [
        ("text", "p"),
        (service(type="Robot"), "p.type"),
        (service(herId="8091101"), "p.herId"),
        (service(herId=0), "p.herId"),
        (service(herId=True), "p.herId"),
        (service(displayName=None), "p.displayName"),
        (service(displayName=5), "p.displayName"),
        (service(validTo="soon"), "p.validTo"),
        (service(serviceDetails=[]), "p.serviceDetails"),
        (service(serviceDetails=None), "p.serviceDetails.parentOrganization.herId"),
        (details(serviceType={"codeListId": "8663", "value": "KX04"}), "p.serviceDetails.serviceType"),
        (details(interMunicipalityCoverageArea={"municipalityHerIds": 5}), "municipalityHerIds"),
        (details(parentOrganization={"herId": 1, "organizationNumber": "12"}), "organizationNumber"),
        (service(_agreements={}), "p._agreements"),
        (service(_agreement={"acepts": []}), "p._agreement.acepts"),
        (service(_agreement={"road": "fax"}), "p._agreement.road"),
        (service(_agreement={"process_names": "x"}), "p._agreement.process_names"),
        (service(_certificates={"signing": {"certificateValue": "?"}}), "certificateValue"),
        (
            service(_certificates={"signing": {"certificateValue": "PD94", "thumbprint": "AA"}}),
            "p._certificates.signing",
        ),
        (
            {
                "herId": 1,
                "type": "Person",
                "name": "A B",
                "personDetails": {**details()["serviceDetails"], "hprNumber": "x"},
            },
            "p.personDetails.hprNumber",
        ),
    ],
)
def test_p21_a_fault_in_an_entry_names_the_place(party: Any, place: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_entry(party, "p")
    assert caught.value.where is not None
    assert caught.value.where.endswith(place)
    assert caught.value.code == "ADDRESS_BOOK"


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"parties": {}}, "addressbook.parties"),
        ({"municipalities": []}, "addressbook.municipalities"),
        ({"municipalities": {"dated": "2026-01-01", "Oslo": 1}}, "addressbook.municipalities"),
        ({"municipalities": {"dated": "2026-01-01", "0301": "x"}}, "addressbook.municipalities.0301"),
    ],
)
def test_a_fault_at_the_top_names_the_place(plain: dict[str, Any], change: dict[str, Any], place: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_address_book({**plain, **change})
    assert caught.value.where == place


def test_a_her_id_that_is_there_twice_is_refused(plain: dict[str, Any]) -> None:
    plain["parties"].append(plain["parties"][0])
    with pytest.raises(SettingsError, match="twice"):
        read_address_book(plain)


@pytest.mark.parametrize("content", [None, b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_address_book_is_a_settings_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "book.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        read_address_book(path)
    assert "book.json" in str(caught.value.where)


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference folder is not there")
@pytest.mark.parametrize("kind", ["organization", "service", "person"])
def test_the_registers_own_answers_are_read_as_they_are(kind: str) -> None:
    answer = json.loads((REFERENCE / f"communicationparty-{kind}.json").read_text())
    entry = read_entry({**answer, "somethingNew": {"a": 1}}, "p")
    assert entry.type is PartyType(answer["type"])
    assert entry.organisation_number == "999999998"
    assert entry.valid_from is not None
    assert entry.valid_from.utcoffset() == timedelta(hours=1)
    assert entry.signing is not None
    assert entry.signing.der is None


def test_a_book_of_nobody_is_a_book() -> None:
    assert read_address_book({"environment": "production", "parties": []}) == AddressBook({}, {}, "production")


def test_p27_a_certificate_of_earlier_days_has_the_time_when_it_was_replaced() -> None:
    earlier = {"thumbprint": "AB" * 20, "replacedAt": "2026-11-20T12:00:00+01:00"}
    plain = {"herId": 1, "type": "Organization", "name": "Enhet", "_certificates": {"earlier": earlier}}
    found = read_entry(plain, "p").earlier_signing
    assert found is not None
    assert found.replaced_at == datetime(2026, 11, 20, 11, tzinfo=UTC)
    with pytest.raises(SettingsError, match=r"p\._certificates\.earlier\.replacedAt"):
        read_entry({**plain, "_certificates": {"earlier": {"thumbprint": "AB" * 20}}}, "p")
