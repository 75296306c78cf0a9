"""The register's REST API behind a cache."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapter.config import RegisterSettings
from adapter.errors import AccessError, NotFoundError, RemoteRefusalError, SettingsError, TransportError
from adapter.model.partner import AddressBook, Agreement, CertificateEntry, RegisterEntry, ServiceType
from adapter.transport.register import RegisterClient
from tests.transport.loopback import Loopback, Reply
from tests.transport.test_edi20 import Pass

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR = 3600.0
DER = b"bytes of a certificate"
THUMBPRINT = hashlib.sha1(DER).hexdigest().upper()


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def client_to(server: Loopback, clock: Clock | None = None, tokens: Pass | None = None) -> RegisterClient:
    return RegisterClient(RegisterSettings(base_url=server.url), tokens or Pass(), clock=clock or Clock())


def organisation(her_id: int, name: str = "Granli kommune", **more: Any) -> dict[str, Any]:
    return {
        "herId": her_id,
        "type": "Organization",
        "name": name,
        "displayName": name,
        "organizationDetails": {"organizationNumber": "312045303"},
        **more,
    }


def test_a_party_is_asked_once_in_twelve_hours(server: Loopback) -> None:
    clock = Clock()
    client = client_to(server, clock)
    server.script += [Reply(body=organisation(7)), Reply(body=organisation(7, "Nytt navn"))]
    assert client.age_s(7) is None
    found = [client.find(7).name, client.find(7).name]
    clock.pass_s(12 * HOUR - 1)
    found.append(client.find(7).name)
    assert client.age_s(7) == 12 * HOUR - 1
    clock.pass_s(1)
    found.append(client.find(7).name)
    assert found == ["Granli kommune"] * 3 + ["Nytt navn"]
    assert [asked.path for asked in server.asked] == ["/api/v1/communicationparty/7"] * 2
    assert server.asked[0].headers["authorization"] == "DPoP token0"


def test_what_was_not_found_is_asked_again(server: Loopback) -> None:
    client = client_to(server)
    server.script += [Reply(status=404), Reply(body=organisation(7))]
    with pytest.raises(NotFoundError):
        client.find(7)
    assert client.find(7).her_id == 7


@pytest.mark.parametrize(
    "outage", [Reply(status=503), Reply(fault="no_answer"), Reply(body=b"{"), Reply(body={"herId": 7})]
)
def test_during_an_outage_the_last_good_answer_serves_and_tells_its_age(server: Loopback, outage: Reply) -> None:
    clock = Clock()
    client = client_to(server, clock)
    server.script += [Reply(body=organisation(7)), outage]
    client.find(7)
    clock.pass_s(30 * HOUR)
    assert client.find(7).name == "Granli kommune"
    assert client.age_s(7) == 30 * HOUR
    server.script.append(outage)
    with pytest.raises(TransportError):
        client.find(8)


def test_many_parties_are_asked_a_hundred_at_a_time(server: Loopback) -> None:
    client = client_to(server)
    server.script += [
        Reply(body=[organisation(her_id) for her_id in range(1, 100)] + [organisation(9999)]),
        Reply(body={"communicationParties": [organisation(101)]}),
    ]
    found = client.find_many([*range(1, 103), 5])
    assert sorted(found) == [*range(1, 100), 101]
    assert [len(asked.json["herIds"]) for asked in server.asked] == [100, 2]
    server.script.append(Reply(body=[]))
    assert sorted(client.find_many([3, 100])) == [3]
    assert server.asked[2].json == {"herIds": [100]}


def test_many_parties_during_an_outage_come_from_the_cache_or_not_at_all(server: Loopback) -> None:
    clock = Clock()
    client = client_to(server, clock)
    server.script.append(Reply(body=[organisation(1), organisation(2)]))
    client.find_many([1, 2])
    clock.pass_s(13 * HOUR)
    server.script += [Reply(status=500), Reply(status=500)]
    assert sorted(client.find_many([1, 2])) == [1, 2]
    with pytest.raises(TransportError):
        client.find_many([1, 2, 3])


def test_an_organisation_is_found_by_its_number(server: Loopback) -> None:
    client = client_to(server)
    server.script.append(Reply(body=organisation(7)))
    assert client.find_organisation("312045303").her_id == client.find_organisation("312045303").her_id == 7
    assert [asked.path for asked in server.asked] == ["/api/v1/organization/312045303"]
    with pytest.raises(NotFoundError):
        client.find_organisation("../../x")


def test_a_search_goes_through_all_pages(server: Loopback) -> None:
    client = client_to(server)
    server.script += [
        Reply(body={"communicationParties": [organisation(her_id) for her_id in range(1, 101)]}),
        Reply(body={"communicationParties": [organisation(101)]}),
    ]
    found = client.search(name="Granli", hpr_number="9311001", service_type=ServiceType(code_list=8663, code="KX04"))
    assert len(found) == 101
    assert [asked.path for asked in server.asked] == [
        "/api/v1/communicationparty/search?Page=1&Size=100",
        "/api/v1/communicationparty/search?Page=2&Size=100",
    ]
    assert server.asked[0].json == {
        "name": "Granli",
        "personSearchParameters": {"hprNumber": "9311001"},
        "serviceSearchParameters": {"serviceTypeCodeListId": 8663, "serviceTypeCodeValue": "KX04"},
    }
    server.script.append(Reply(body={"count": 0}))
    with pytest.raises(TransportError, match="list"):
        client.search()


def test_a_certificate_comes_with_its_bytes_and_is_cached(server: Loopback) -> None:
    client = client_to(server)
    answer = {
        "thumbprint": THUMBPRINT,
        "validFrom": "2025-01-01T00:00:00+01:00",
        "validTo": "2028-01-01T00:00:00+01:00",
        "certificateValue": b64encode(DER).decode(),
    }
    server.script += [Reply(body=answer), Reply(status=404), Reply(body={**answer, "thumbprint": "AB" * 20})]
    found = client.certificate(7, "signing")
    assert found is not None
    assert (found.der, found.thumbprint) == (DER, THUMBPRINT)
    assert client.certificate(7, "signing") is found
    assert client.certificate(7, "encryption") is None
    with pytest.raises(TransportError, match="thumbprint"):
        client.certificate(8, "encryption")
    assert [asked.path for asked in server.asked] == [
        "/api/v1/certificate/7/signing",
        "/api/v1/certificate/7/encryption",
        "/api/v1/certificate/8/encryption",
    ]
    with pytest.raises(NotFoundError):
        client.certificate(7, "../signing")


def test_an_answer_without_a_certificate_is_broken(server: Loopback) -> None:
    server.script += [Reply(body={}), Reply(body=[])]
    for _ in range(2):
        with pytest.raises(TransportError):
            client_to(server).certificate(7, "signing")


@pytest.mark.parametrize(("status", "kind"), [(403, AccessError), (423, AccessError), (400, RemoteRefusalError)])
def test_p23_a_refusal_is_not_hidden_by_the_cache(
    server: Loopback, status: int, kind: type[RemoteRefusalError]
) -> None:
    clock = Clock()
    client = client_to(server, clock)
    server.script += [Reply(body=organisation(7)), Reply(status=status)]
    client.find(7)
    clock.pass_s(13 * HOUR)
    with pytest.raises(RemoteRefusalError) as caught:
        client.find(7)
    assert type(caught.value) is kind


def test_a_401_is_asked_again_with_a_fresh_token(server: Loopback) -> None:
    tokens = Pass()
    server.script += [Reply(status=401), Reply(body=organisation(7)), Reply(status=401), Reply(status=401)]
    client = client_to(server, tokens=tokens)
    assert client.find(7).her_id == 7
    with pytest.raises(AccessError):
        client.find(8)
    assert len(tokens.renewed) == 2


def test_a_busy_register_says_when_to_come_back(server: Loopback) -> None:
    server.script.append(Reply(status=429, headers={"Retry-After": "30"}))
    with pytest.raises(TransportError) as caught:
        client_to(server).find(7)
    assert caught.value.retry_after_s == 30


def test_our_own_additions_in_the_registers_answer_are_not_believed(server: Loopback) -> None:
    server.script.append(Reply(body=organisation(7, _agreement={"accepts": ["HENVISNING"]}, _evil=1)))
    assert client_to(server).find(7).agreement is None


def entry(her_id: int, **more: Any) -> RegisterEntry:
    from adapter.transport.addressbook import read_entry

    return replace(read_entry(organisation(her_id), "p"), **more)


def test_a_refreshed_book_has_the_registers_facts_and_our_agreements(server: Loopback) -> None:
    clock = Clock()
    agreement = Agreement(accepts=("HENVISNING",))
    ours = CertificateEntry(thumbprint=THUMBPRINT, der=DER)
    book = AddressBook({1: entry(1, agreement=agreement, signing=ours, encryption=ours), 2: entry(2)}, {"9901": 1})
    registered = {"thumbprint": THUMBPRINT}
    changed = {"thumbprint": "AB" * 20}
    answer = organisation(1, "Ny kommune", currentSigningCertificate=registered, currentEncryptionCertificate=changed)
    server.script.append(Reply(body=[answer]))
    found = client_to(server, clock).refresh(book)
    assert (found.entries[1].name, found.entries[1].agreement, found.municipalities) == (
        "Ny kommune",
        agreement,
        {"9901": 1},
    )
    assert found.entries[1].signing == ours
    assert found.entries[1].encryption == CertificateEntry(thumbprint="AB" * 20)
    assert not found.entries[2].valid_at(clock.now)
    assert found.entries[2].valid_at(clock.now - timedelta(seconds=1))


def test_a_refresh_adds_the_organisations_above(server: Loopback) -> None:
    parent = {"herId": 1, "name": "Granli", "organizationNumber": "312045303"}
    service = {
        "herId": 2,
        "type": "Service",
        "name": "Friskliv",
        "serviceDetails": {"serviceType": {"codeListId": 8663, "value": "KX04"}, "parentOrganization": parent},
    }
    server.script += [Reply(body=service), Reply(body=[organisation(1)])]
    client = client_to(server)
    book = AddressBook({2: client.find(2)})
    assert sorted(client.refresh(book).entries) == [1, 2]


def test_a_party_that_ended_before_does_not_end_later(server: Loopback) -> None:
    past = START - timedelta(days=9)
    server.script.append(Reply(body=[]))
    found = client_to(server).refresh(AddressBook({2: entry(2, valid_to=past)}))
    assert found.entries[2].valid_to == past


@pytest.mark.parametrize("url", [None, "http://example.org"])
def test_a_register_without_a_sound_address_is_refused(url: str | None) -> None:
    with pytest.raises(SettingsError):
        RegisterClient(RegisterSettings(base_url=url), Pass())


def test_the_cache_has_a_bound(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapter.transport.register._CACHED_MAX", 2)
    client = client_to(server)
    server.script.append(Reply(body=[organisation(1), organisation(2), organisation(3)]))
    client.find_many([1, 2, 3])
    assert [client.age_s(her_id) for her_id in (1, 2, 3)] == [None, 0, 0]
    client.close()


NEW = b"bytes of the next certificate"
NEW_THUMBPRINT = hashlib.sha1(NEW).hexdigest().upper()


def whole(der: bytes) -> dict[str, str]:
    """A certificate as the register gives it by itself."""
    return {"thumbprint": hashlib.sha1(der).hexdigest().upper(), "certificateValue": b64encode(der).decode()}


def ebxml_entry() -> RegisterEntry:
    known = CertificateEntry(thumbprint=THUMBPRINT, der=DER)
    return entry(1, agreement=Agreement(road="ebxml-mail"), signing=known, encryption=known)


def test_p27_new_certificates_of_an_ebxml_partner_come_with_their_bytes(server: Loopback) -> None:
    named = {"thumbprint": NEW_THUMBPRINT}
    party = organisation(1, currentSigningCertificate=named, currentEncryptionCertificate=named)
    server.script += [Reply(body=[party]), Reply(body=whole(NEW)), Reply(body=whole(NEW))]
    found = client_to(server).refresh(AddressBook({1: ebxml_entry()})).entries[1]
    assert found.signing is not None
    assert found.encryption is not None
    assert (found.signing.der, found.encryption.der) == (NEW, NEW)
    assert [one.path.rpartition("/")[2] for one in server.asked[1:]] == ["signing", "encryption"]


def test_p27_a_certificate_that_the_register_names_and_does_not_give_is_known_by_its_name(server: Loopback) -> None:
    party = organisation(1, currentSigningCertificate={"thumbprint": NEW_THUMBPRINT})
    server.script += [Reply(body=[party]), Reply(status=404)]
    found = client_to(server).refresh(AddressBook({1: ebxml_entry()})).entries[1]
    assert found.signing == CertificateEntry(thumbprint=NEW_THUMBPRINT)
    assert found.encryption is None


def test_p27_one_party_is_asked_for_whatever_the_cache_says(server: Loopback) -> None:
    client, ours = client_to(server), ebxml_entry()
    server.script += [Reply(body=organisation(1)), Reply(body=organisation(1, "Ny kommune")), Reply(status=404)]
    client.find(1)
    renewed = client.renew(ours)
    assert (renewed.name, renewed.agreement) == ("Ny kommune", ours.agreement)
    assert client.find(1).name == "Ny kommune"
    assert client.renew(ours).valid_to == START
