"""The register's agreement service over REST, on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adapter.errors import AccessError, AdapterError, NotFoundError, RemoteRefusalError, SettingsError, TransportError
from adapter.transport.cpa_register import CpaRegister
from tests.transport.loopback import Loopback, Reply
from tests.transport.test_edi20 import Pass

UUID = "4d9a222f-5076-4221-8668-438277d2cf8a"


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def register(server: Loopback, tokens: Pass | None = None) -> CpaRegister:
    return CpaRegister(f"{server.url}/v2/", tokens or Pass())


def test_an_agreement_is_asked_for_by_its_id_and_by_two_her_ids(server: Loopback) -> None:
    server.script += [Reply(body=b"<one/>"), Reply(body=b"<two/>")]
    asked = register(server)
    assert asked.agreement(UUID) == b"<one/>"
    assert asked.agreement_between(8091301, 79768) == b"<two/>"
    first, second = server.asked
    assert (first.method, first.path) == ("GET", f"/v2/Agreements/{UUID}")
    assert second.path == "/v2/Agreements/HerIds/8091301/79768"
    assert first.headers["accept"] == "application/xml"
    assert first.headers["dpop"].startswith("GET ")


def test_an_id_can_lead_nowhere_else(server: Loopback) -> None:
    server.script += [Reply(body=b"<one/>")]
    register(server).agreement("../Profiles/1?x=y")
    assert server.asked[0].path == "/v2/Agreements/..%2FProfiles%2F1%3Fx%3Dy"


def test_a_token_that_has_run_out_is_renewed_once(server: Loopback) -> None:
    tokens = Pass()
    server.script += [Reply(status=401), Reply(body=b"<one/>")]
    assert register(server, tokens).agreement(UUID) == b"<one/>"
    assert len(tokens.renewed) == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(status=404), NotFoundError),
        (Reply(status=403), AccessError),
        (Reply(status=500), TransportError),
        (Reply(status=429), TransportError),
        (Reply(status=302, headers={"Location": "https://elsewhere.invalid/"}), TransportError),
        (Reply(status=400), RemoteRefusalError),
        (Reply(body=b"x" * 100, fault="cut_body"), TransportError),
        (Reply(fault="no_answer"), TransportError),
    ],
)
def test_p20_what_is_no_agreement_is_an_error_of_its_own_kind_and_no_redirect_is_followed(
    server: Loopback, reply: Reply, kind: type[AdapterError]
) -> None:
    server.script += [reply]
    with pytest.raises(kind):
        register(server).agreement(UUID)
    assert len(server.asked) == 1


@pytest.mark.parametrize("url", ["http://cppa.example.invalid/v2/", "https://u@x.invalid/", "nonsense"])
def test_only_https_or_loopback_is_called(url: str) -> None:
    with pytest.raises(SettingsError):
        CpaRegister(url, Pass())
