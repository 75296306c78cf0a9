"""Road, tokens and register end to end against the simulated other side in strict mode."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapter.codes import Coded
from adapter.config import Edi20Settings, HelseIdSettings, RegisterSettings, SoftwareSettings
from adapter.errors import (
    AccessError,
    NotFoundError,
    RemoteRefusalError,
    TransportError,
    UnknownOutcomeError,
)
from adapter.model.partner import ServiceType
from adapter.model.receipt import ReceiptStatus
from adapter.model.wire import Parcel, ReceiptParcel
from adapter.simulator import Simulation, start
from adapter.simulator.world import BEKKELIA_GP, GRANLI, GRANLI_FRISKLIV, KLINIKK, KLINIKK_SERVICE, SOLVANG, SOLVANG_GP
from adapter.transport.edi20 import Edi20Road
from adapter.transport.helseid import HelseIdTokens, open_tokens
from adapter.transport.register import RegisterClient, read_address_book
from tests.simulator.caller import message

SOFTWARE = SoftwareSettings(
    fagsystem="Journal",
    fagsystem_version="4.2",
    mellomvare="Adapter",
    mellomvare_version="0.1",
    msh="M",
    msh_version="1",
)
NOW = datetime(2026, 11, 21, tzinfo=UTC)
US, THEM = (SOLVANG, SOLVANG_GP), (GRANLI, GRANLI_FRISKLIV)


@pytest.fixture
def there() -> Iterator[Simulation]:
    with start(mode="strict") as simulation:
        yield simulation


def tokens_of(
    there: Simulation, tmp_path: Path, tenant: str = "solvang", clock: Callable[[], datetime] | None = None
) -> HelseIdTokens:
    found = there.tenants[tenant]
    file = tmp_path / f"{tenant}.jwk"
    file.write_text(json.dumps(dict(found.private_jwk)))
    file.chmod(0o600)
    settings = HelseIdSettings(
        issuer=there.helseid_issuer, client_id=found.client_id, key=file.name, form=found.spec.form
    )
    return open_tokens(
        settings,
        organisation_number=found.organisation_number,
        child_number=found.spec.child_number,
        path=lambda name: tmp_path / name,
        clock=clock,
        new_id=lambda: str(uuid.uuid4()),
    )


def road_of(there: Simulation, tmp_path: Path, tenant: str = "solvang", **more: Any) -> Edi20Road:
    settings = Edi20Settings(base_url=there.edi_url, source_system="Adapter, v0.1", total_timeout_s=5.0)
    return Edi20Road(settings, tokens_of(there, tmp_path, tenant, **more), software=SOFTWARE)


def parcel_to(*receivers: tuple[int, int], sender: tuple[int, int] = US, **more: Any) -> Parcel:
    msg_id = str(uuid.uuid4())
    document = message(sender, receivers[0], copies=receivers[1:], msg_id=msg_id)
    return Parcel(
        document=document,
        sender=sender[1],
        receivers=tuple(receiver[1] for receiver in receivers),
        msg_id=msg_id,
        msg_type="DIALOG_HELSEFAGLIG",
        **more,
    )


def sent_times(there: Simulation, parcel: Parcel) -> int:
    return len([entry for entry in there.ledger if entry.msg_id == parcel.msg_id])


def test_a_message_is_sent_acknowledged_and_answered(there: Simulation, tmp_path: Path) -> None:
    road = road_of(there, tmp_path)
    parcel = parcel_to(THEM)
    sent = road.send(parcel)
    (line,) = road.statuses(sent.remote_id)
    assert (line.receiver, line.transport, line.answer) == (GRANLI_FRISKLIV, "Acknowledged", ReceiptStatus.OK)
    assert there.office.messages[sent.remote_id].document == parcel.document


def test_a_rejection_comes_with_its_reason(there: Simulation, tmp_path: Path) -> None:
    there.script(GRANLI_FRISKLIV, "apprec rejected E21 ukjent mottaker")
    road = road_of(there, tmp_path)
    sent = road.send(parcel_to(THEM))
    (line,) = road.statuses(sent.remote_id)
    assert line.answer is ReceiptStatus.REJECTED
    assert [(error.code, error.system) for error in line.errors] == [("E21", "8221")]


def test_p23_both_forms_of_tenancy_get_tokens_and_reach_only_their_own(there: Simulation, tmp_path: Path) -> None:
    solvang, klinikk = road_of(there, tmp_path), road_of(there, tmp_path, "fjellglott")
    sent = solvang.send(parcel_to((KLINIKK, KLINIKK_SERVICE)))
    (item,) = klinikk.unread([KLINIKK_SERVICE])
    assert (item.remote_id, item.sender, item.is_apprec) == (sent.remote_id, SOLVANG_GP, False)
    with pytest.raises(AccessError, match=str(KLINIKK_SERVICE)):
        solvang.unread([KLINIKK_SERVICE])
    with pytest.raises(AccessError):
        klinikk.send(parcel_to(THEM))


def test_p10_a_received_message_is_fetched_acknowledged_and_put_away(there: Simulation, tmp_path: Path) -> None:
    solvang, klinikk = road_of(there, tmp_path), road_of(there, tmp_path, "fjellglott")
    parcel = parcel_to((KLINIKK, KLINIKK_SERVICE))
    sent = solvang.send(parcel)
    assert klinikk.fetch(sent.remote_id, KLINIKK_SERVICE) == parcel.document
    receipt = ReceiptParcel(
        remote_id=sent.remote_id,
        acknowledger=KLINIKK_SERVICE,
        status=ReceiptStatus.REJECTED,
        errors=(Coded.of(8221, "E10"),),
        overrides={"action": "Kvittering"},
    )
    assert klinikk.send_receipt(receipt).remote_id != sent.remote_id
    klinikk.put_away(sent.remote_id, KLINIKK_SERVICE)
    klinikk.put_away(sent.remote_id, KLINIKK_SERVICE)
    assert klinikk.unread([KLINIKK_SERVICE]) == []
    (line,) = solvang.statuses(sent.remote_id)
    assert (line.answer, [error.code for error in line.errors]) == (ReceiptStatus.REJECTED, ["E10"])
    assert [item.is_apprec for item in solvang.unread([SOLVANG_GP])] == [True]


def test_p1_only_the_named_receivers_of_a_document_get_it(there: Simulation, tmp_path: Path) -> None:
    road = road_of(there, tmp_path)
    copy = (there.world.units[BEKKELIA_GP].parent or 0, BEKKELIA_GP)
    both = parcel_to(THEM, copy)
    one = Parcel(
        document=both.document, sender=SOLVANG_GP, receivers=(BEKKELIA_GP,), msg_id=both.msg_id, msg_type=both.msg_type
    )
    assert [line.receiver for line in road.statuses(road.send(one).remote_id)] == [BEKKELIA_GP]
    lines = road.statuses(road.send(both).remote_id)
    assert {line.receiver for line in lines} == {GRANLI_FRISKLIV, BEKKELIA_GP}


@pytest.mark.parametrize(
    ("fault", "kind", "stored"),
    [
        ("cut_before", UnknownOutcomeError, 0),
        ("cut_after_commit", UnknownOutcomeError, 1),
        ("truncated_json", UnknownOutcomeError, 1),
        ("500", UnknownOutcomeError, 0),
        ("503", UnknownOutcomeError, 0),
        ("429", TransportError, 0),
        ("redirect", TransportError, 0),
        ("403", AccessError, 0),
    ],
)
def test_p2_a_post_that_goes_wrong_is_named_for_what_is_known_of_it(
    there: Simulation, tmp_path: Path, fault: str, kind: type[Exception], stored: int
) -> None:
    road = road_of(there, tmp_path)
    parcel = parcel_to(THEM)
    there.set_faults({"POST /Messages": [[fault, 1]]})
    with pytest.raises(kind) as caught:
        road.send(parcel)
    assert type(caught.value) is kind
    assert sent_times(there, parcel) == stored
    road.send(parcel)
    assert sent_times(there, parcel) == stored + 1


def test_one_401_is_healed_and_two_are_an_access_error(there: Simulation, tmp_path: Path) -> None:
    road = road_of(there, tmp_path)
    there.set_faults({"POST /Messages": [["401", 1]]})
    road.send(parcel_to(THEM))
    there.set_faults({"POST /Messages": [["401", [1, 2]]]})
    refused = parcel_to(THEM)
    with pytest.raises(AccessError):
        road.send(refused)
    assert sent_times(there, refused) == 0


def test_every_named_deviation_of_real_servers_is_tolerated(tmp_path: Path) -> None:
    names = ["sent_member", "pascal_case_errors", "unknown_fields", "unknown_enum", "offset_dates", "empty_401"]
    with start(mode="strict", deviations=names) as there:
        solvang, klinikk = road_of(there, tmp_path), road_of(there, tmp_path, "fjellglott")
        sent = solvang.send(parcel_to((KLINIKK, KLINIKK_SERVICE)))
        (item,) = klinikk.unread([KLINIKK_SERVICE])
        assert item.gen_date is not None
        assert klinikk.fetch(item.remote_id, KLINIKK_SERVICE)
        (line,) = solvang.statuses(sent.remote_id)
        assert line.sent is True
        assert line.transport not in ("Acknowledged", "Unconfirmed", "Rejected")
        with pytest.raises(RemoteRefusalError) as caught:
            solvang.statuses(str(uuid.uuid4()))
        assert caught.value.status == 404
        assert caught.value.request_id is not None


def test_tokens_run_out_and_are_renewed_without_a_refusal(tmp_path: Path) -> None:
    class Later:
        ahead = timedelta()

        def __call__(self) -> datetime:
            return datetime.now(UTC) + self.ahead

    clock = Later()
    with start(mode="strict", token_clock=lambda: time.time() + clock.ahead.total_seconds()) as there:
        road = road_of(there, tmp_path, clock=clock)
        road.send(parcel_to(THEM))
        clock.ahead = timedelta(seconds=70)
        road.send(parcel_to(THEM))
        assert there.helseid.issued == 2


def test_a_clock_that_is_off_by_minutes_heals_itself(there: Simulation, tmp_path: Path) -> None:
    road = road_of(there, tmp_path, clock=lambda: datetime.now(UTC) - timedelta(minutes=7))
    parcel = parcel_to(THEM)
    road.send(parcel)
    assert sent_times(there, parcel) == 1


def test_p23_a_key_that_helseid_does_not_know_is_an_access_error(there: Simulation, tmp_path: Path) -> None:
    from adapter.transport import jose

    tokens = tokens_of(there, tmp_path)
    stranger = jose.new_proof_key().key.as_dict(private=True)
    (tmp_path / "solvang.jwk").write_text(json.dumps({**stranger, "alg": "ES256", "kid": "stranger"}))
    with pytest.raises(AccessError):
        tokens.token()


def test_p24_the_register_gives_the_frisklivssentral_with_both_levels(there: Simulation, tmp_path: Path) -> None:
    settings = RegisterSettings(base_url=there.register_url)
    client = RegisterClient(settings, tokens_of(there, tmp_path).for_scope(settings.scope))
    (friskliv,) = client.search(service_type=ServiceType(code_list=8663, code="KX04"))
    assert (friskliv.her_id, friskliv.parent_her_id) == (GRANLI_FRISKLIV, GRANLI)
    assert client.find_organisation("312045303").her_id == GRANLI
    own = client.find(SOLVANG)
    certificate = client.certificate(SOLVANG, "signing")
    assert certificate is not None
    assert own.signing is not None
    assert certificate.der is not None
    assert certificate.thumbprint == own.signing.thumbprint
    assert client.certificate(GRANLI, "encryption") is None
    with pytest.raises(NotFoundError):
        client.find(1)


def test_the_simulated_book_refreshes_from_the_simulated_register(there: Simulation, tmp_path: Path) -> None:
    settings = RegisterSettings(base_url=there.register_url)
    client = RegisterClient(settings, tokens_of(there, tmp_path).for_scope(settings.scope))
    book = read_address_book(there.address_book())
    assert client.refresh(book) == book
    assert (
        book.find_service(ServiceType(code_list=8663, code="KX04"), at=NOW, municipality="9902").parent_her_id == GRANLI
    )


def test_a_request_over_the_servers_own_limit_is_a_refusal(tmp_path: Path) -> None:
    with start(mode="strict", limit_bytes=4000) as there:
        road, parcel = road_of(there, tmp_path), parcel_to(THEM)
        with pytest.raises(RemoteRefusalError) as caught:
            road.send(replace(parcel, document=parcel.document + b" " * 4000))
        assert caught.value.status == 413
