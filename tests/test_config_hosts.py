"""P22: settings whose hosts belong to another environment than they say refuse to load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapter.config import read_settings
from adapter.errors import SettingsError

SOFTWARE = {
    "fagsystem": "Journal",
    "fagsystem_version": "4.2",
    "mellomvare": "Adapter",
    "mellomvare_version": "0.1",
    "msh": "NHN",
    "msh_version": "2",
}


def plain(environment: str, **addresses: str) -> dict[str, Any]:
    tenant: dict[str, Any] = {"name": "a", "organisation_number": "310045101", "her_ids": [8091301]}
    if "issuer" in addresses:
        tenant["helseid"] = {"issuer": addresses["issuer"], "client_id": "c", "key": "k"}
    found: dict[str, Any] = {"environment": environment, "software": SOFTWARE, "tenant": [tenant]}
    if "edi20" in addresses:
        found["edi20"] = {"base_url": addresses["edi20"], "source_system": "x"}
    if "register" in addresses:
        found["register"] = {"base_url": addresses["register"]}
    return found


@pytest.mark.parametrize(
    ("environment", "place", "url"),
    [
        ("test", "edi20", "https://api.hn-tjener.prod.melding.nhn.no"),
        ("test", "issuer", "https://helseid-sts.nhn.no"),
        ("test", "register", "https://cpapi.grunndata.nhn.no."),
        ("production", "edi20", "https://api.hn-tjener.test.melding.nhn.no"),
        ("production", "issuer", "https://helseid-sts.test.nhn.no"),
        ("production", "register", "https://cpapi-test.NHN.no/x"),
    ],
)
def test_p22_a_national_host_of_the_other_environment_refuses_to_start(environment: str, place: str, url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(plain(environment, **{place: url}), Path())
    assert caught.value.code == "SETTINGS.MIX"
    assert place in str(caught.value.where)


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ("production", "https://api.hn-tjener.prod.melding.nhn.no"),
        ("production", "https://latest.nhn.no"),
        ("test", "https://helseid-sts.test.nhn.no"),
        ("production", "http://127.0.0.1:8080"),
        ("test", "https://gateway.example.org"),
    ],
)
def test_p22_hosts_of_the_right_environment_and_foreign_hosts_pass(environment: str, url: str) -> None:
    settings = read_settings(plain(environment, edi20=url, issuer=url, register=url), Path())
    assert settings.edi20 is not None


def test_a_thing_that_is_no_address_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="not an address"):
        read_settings(plain("test", edi20="https://[::1"), Path())
