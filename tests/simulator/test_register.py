from __future__ import annotations

from typing import Any

import pytest

from adapter.model.partner import ServiceType
from adapter.simulator import Simulation
from adapter.simulator.world import (
    BEKKELIA_DOCTOR,
    GRANLI,
    GRANLI_FRISKLIV,
    LYNGMO,
    NAV,
    SOLVANG,
    SOLVANG_DOCTOR,
    SOLVANG_GP,
)
from adapter.transport.register import read_address_book
from tests.simulator.caller import Caller

SCOPE = "nhn:cp-api/access-v2-dpop"


@pytest.fixture
def asker(simulation: Simulation) -> Caller:
    return Caller(simulation, scope=SCOPE)


def _ask(asker: Caller, method: str, path: str, **more: Any) -> Any:
    return asker.call(method, "/api/v1" + path, base=asker.simulation.register_url, **more)


def test_a_party_comes_in_the_registers_shape(asker: Caller) -> None:
    plain = _ask(asker, "GET", f"/communicationparty/{GRANLI_FRISKLIV}").json()
    assert (plain["type"], plain["displayName"]) == ("Service", "Frisklivssentral, Granli")
    details = plain["serviceDetails"]
    assert (details["serviceType"]["codeListId"], details["serviceType"]["value"]) == (8663, "KX04")
    assert details["parentOrganization"]["herId"] == GRANLI
    assert details["interMunicipalityCoverageArea"] == {"municipalityHerIds": [LYNGMO]}
    assert not any(key.startswith("_") for key in plain)
    person = _ask(asker, "GET", f"/communicationparty/{BEKKELIA_DOCTOR}").json()
    assert (person["type"], person["personDetails"]["hprNumber"]) == ("Person", "9311002")
    organisation = _ask(asker, "GET", f"/communicationparty/{SOLVANG}").json()
    assert organisation["organizationDetails"]["services"] == [SOLVANG_GP]
    assert organisation["organizationDetails"]["persons"] == [SOLVANG_DOCTOR]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/communicationparty/1", 404),
        ("/communicationparty/x", 400),
        ("/communicationparty/99999999999", 400),
        ("/organization/999999999", 404),
        (f"/certificate/{GRANLI}/signing", 404),
        (f"/certificate/{SOLVANG}/encryption", 404),
        ("/event", 400),
        ("/elsewhere", 404),
    ],
)
def test_what_is_unknown_or_malformed_is_a_problem(asker: Caller, path: str, status: int) -> None:
    answer = _ask(asker, "GET", path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_parties_are_fetched_in_bulk(asker: Caller) -> None:
    plain = _ask(asker, "POST", "/communicationparty", body={"herIds": [NAV, 1, SOLVANG]}).json()
    assert [party["herId"] for party in plain["communicationParties"]] == [NAV, SOLVANG]


@pytest.mark.parametrize("body", [{}, {"herIds": []}, {"herIds": list(range(1, 102))}, {"herIds": ["1"]}, [], b"{"])
def test_a_malformed_bulk_request_is_refused(asker: Caller, body: Any) -> None:
    assert _ask(asker, "POST", "/communicationparty", body=body).status_code == 400


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"serviceSearchParameters": {"serviceTypeCodeListId": 8663, "serviceTypeCodeValue": "KX04"}},
            {GRANLI_FRISKLIV},
        ),
        ({"personSearchParameters": {"hprNumber": "9311002"}}, {BEKKELIA_DOCTOR}),
        ({"name": "lyngmo"}, {LYNGMO}),
        (
            {"organizationSearchParameters": {"businessTypeCodeListId": 9040, "businessTypeCodeValue": "102"}},
            {GRANLI, LYNGMO},
        ),
        ({"name": "nobody"}, set()),
    ],
)
def test_a_search_finds_by_name_number_and_type(asker: Caller, body: Any, expected: set[int]) -> None:
    plain = _ask(asker, "POST", "/communicationparty/search?Page=1&Size=100", body=body).json()
    assert {party["herId"] for party in plain["communicationParties"]} == expected


def test_a_search_is_paged(asker: Caller) -> None:
    pages = [
        _ask(asker, "POST", f"/communicationparty/search?Page={page}&Size=7", body={}).json()["communicationParties"]
        for page in (1, 2, 3, 4)
    ]
    assert [len(page) for page in pages] == [7, 7, 4, 0]
    assert _ask(asker, "POST", "/communicationparty/search?Page=0&Size=7", body={}).status_code == 400


def test_the_export_and_the_events_lead_a_cache(asker: Caller) -> None:
    export = _ask(asker, "GET", "/communicationparty/export").json()
    assert export["count"] == len(export["communicationParties"]) == export["lastSequenceNumber"]
    assert _ask(asker, "GET", "/event/latest").json() == export["lastSequenceNumber"]
    events = _ask(asker, "GET", "/event?fromSequenceNumber=17&maxEvents=1").json()
    assert (events["count"], events["results"][0]["sequenceNumber"]) == (1, 17)


def test_certificates_of_the_tenants_are_registered(simulation: Simulation, asker: Caller) -> None:
    (pair,) = _ask(asker, "GET", f"/certificate/{SOLVANG_GP}").json()
    signing = _ask(asker, "GET", f"/certificate/{SOLVANG_GP}/signing").json()
    assert pair["signingCertificate"]["thumbprint"] == signing["thumbprint"]
    assert pair["encryptionCertificate"] is None
    assert _ask(asker, "GET", f"/certificate/{NAV}").json() == []


def test_a_token_for_the_message_server_does_not_open_the_register(simulation: Simulation) -> None:
    answer = _ask(Caller(simulation), "GET", f"/communicationparty/{NAV}")
    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer.headers


def test_the_organisation_is_found_by_number(asker: Caller) -> None:
    assert _ask(asker, "GET", "/organization/310045101").json()["herId"] == SOLVANG


def test_p24_the_address_book_file_is_read_and_finds_the_frisklivssentral(simulation: Simulation) -> None:
    book = read_address_book(simulation.address_book())
    service = ServiceType(code_list=8663, code="KX04")
    for municipality in ("9901", "9902"):
        assert book.find_service(service, at=simulation.clock(), municipality=municipality).her_id == GRANLI_FRISKLIV
    assert book.environment == "test"
    agreement = book.find(NAV).agreement
    assert agreement is not None
    assert (agreement.nav, agreement.process_names, agreement.level1_transport) == (True, "nav-emottak", True)
    signing = book.find(SOLVANG).signing
    assert signing is not None
    assert signing.der is not None
    person = book.find(SOLVANG_DOCTOR)
    assert (person.family_name, person.given_name) == ("Vangsnes", "Sol")
