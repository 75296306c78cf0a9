from __future__ import annotations

import uuid
from typing import Any

import pytest

from adapter.simulator import Simulation, start
from adapter.simulator.world import (
    GRANLI,
    GRANLI_FRISKLIV,
    KLINIKK,
    KLINIKK_POLICLINIC,
    KLINIKK_SERVICE,
    SOLVANG,
    SOLVANG_GP,
)
from tests.simulator.caller import Caller, message

US = (SOLVANG, SOLVANG_GP)
FRISKLIV = (GRANLI, GRANLI_FRISKLIV)
CLINIC = (KLINIKK, KLINIKK_SERVICE)


def _acknowledge(caller: Caller, id_: str, body: Any, acknowledger: int = SOLVANG_GP) -> Any:
    return caller.call("POST", f"/Messages/{id_}/apprec/{acknowledger}", body=body)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("Ok", "1"),
        ("ok", "1"),
        ("1", "1"),
        (1, "1"),
        ("Rejected", "2"),
        ("2", "2"),
        (2, "2"),
        ("OkErrorInMessagePart", "3"),
    ],
)
def test_an_apprec_status_may_be_a_name_a_number_or_a_numeric_string(
    simulation: Simulation, caller: Caller, status: object, code: str
) -> None:
    msg_id = str(uuid.uuid4())
    id_ = simulation.inject(message(CLINIC, US, msg_id=msg_id), SOLVANG_GP)
    errors = [] if code == "1" else [{"errorCode": "E10", "details": "forklart"}]
    answer = _acknowledge(caller, id_, {"appRecStatus": status, "appRecErrorList": errors})
    assert answer.status_code == 201
    assert answer.headers["Location"].endswith(answer.json())
    (receipt,) = simulation.receipts(msg_id)
    assert (receipt.acknowledger, receipt.via) == (SOLVANG_GP, "api")
    clinic = Caller(simulation, "fjellglott")
    (item,) = clinic.unread(KLINIKK_SERVICE)
    assert item["isAppRec"] is True
    assert f'<Status V="{code}"'.encode() in clinic.fetch(item["id"])
    if code == "2":
        (line,) = clinic.call("GET", f"/Messages/{id_}/apprec").json()
        assert line["appRecStatus"] == "Rejected"
        assert line["appRecErrorList"][0]["errorCode"] == "E10"
        assert line["appRecErrorList"][0]["details"] == "forklart"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, 1000),
        ({"appRecStatus": "Fine"}, 1000),
        ({"appRecStatus": True}, 1000),
        ({"appRecStatus": "Rejected"}, 1000),
        ({"appRecStatus": "Rejected", "appRecErrorList": []}, 1000),
        ({"appRecStatus": "Rejected", "appRecErrorList": "E10"}, 1000),
        ({"appRecStatus": "Rejected", "appRecErrorList": [{"errorCode": "E10"}]}, 1000),
        ({"appRecStatus": "Rejected", "appRecErrorList": ["E10"]}, 1000),
        ({"appRecStatus": "Ok", "extra": 1}, 1000),
    ],
)
def test_a_malformed_apprec_is_refused(simulation: Simulation, caller: Caller, body: Any, code: int) -> None:
    id_ = simulation.inject(message(CLINIC, US), SOLVANG_GP)
    answer = _acknowledge(caller, id_, body)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, code)
    assert simulation.receipts() == []


def test_an_apprec_is_only_for_messages_to_us_that_are_no_apprecs_and_can_be_read(
    simulation: Simulation, caller: Caller
) -> None:
    ok = {"appRecStatus": "Ok"}
    caller.send(message(US, FRISKLIV))
    (receipt,) = caller.unread(SOLVANG_GP)
    assert _acknowledge(caller, receipt["id"], ok).json()["errorCode"] == 1100
    id_ = simulation.inject(message(CLINIC, US), SOLVANG_GP)
    assert _acknowledge(caller, id_, ok, SOLVANG_GP + 1).json()["errorCode"] == 1102
    assert _acknowledge(caller, id_, ok, KLINIKK_SERVICE).status_code == 403
    garbage = simulation.inject(b"\x00", SOLVANG_GP, sender=KLINIKK_SERVICE)
    assert _acknowledge(caller, garbage, ok).json()["errorCode"] == 1200


def test_an_apprec_document_reaches_the_status_of_its_original(simulation: Simulation, caller: Caller) -> None:
    clinic = Caller(simulation, "fjellglott")
    msg_id = str(uuid.uuid4())
    first = caller.send(message(US, CLINIC, msg_id=msg_id)).json()
    simulation.script(KLINIKK_POLICLINIC, "ack now")
    from adapter.simulator.addressing import read_envelope
    from adapter.simulator.answers import write_apprec

    envelope = read_envelope(simulation.document(first))
    assert envelope is not None
    document = write_apprec(
        envelope,
        KLINIKK_SERVICE,
        status="2",
        errors=[("E21", "ukjent")],
        version="1.0",
        receipt_id=str(uuid.uuid4()),
        at=simulation.clock().replace(tzinfo=None),
    )
    assert clinic.send(document).status_code == 201
    (line,) = caller.call("GET", f"/Messages/{first}/status").json()
    assert line["appRecStatus"] == "Rejected"
    (receipt,) = simulation.receipts(msg_id.upper())
    assert (receipt.via, receipt.status, receipt.errors) == ("document", "Rejected", (("E21", "ukjent"),))


def test_a_repeated_msg_id_gets_a_new_id_unless_repeats_are_refused() -> None:
    document = message(US, CLINIC)
    with start() as simulation:
        caller = Caller(simulation)
        assert caller.send(document).json() != caller.send(document).json()
    with start(deviations=["repeat_refused"]) as simulation:
        caller = Caller(simulation)
        assert caller.send(document).status_code == 201
        again = caller.send(document)
        assert (again.status_code, again.json()["errorCode"]) == (400, 1000)


def test_a_second_apprec_is_delivered_but_the_first_stays_in_the_status() -> None:
    bad = {"appRecStatus": "Rejected", "appRecErrorList": [{"errorCode": "X99", "details": ""}]}
    with start() as simulation:
        caller = Caller(simulation)
        id_ = simulation.inject(message(CLINIC, US), SOLVANG_GP)
        assert _acknowledge(caller, id_, {"appRecStatus": "Ok"}).status_code == 201
        assert _acknowledge(caller, id_, bad).status_code == 201
        assert caller.call("GET", f"/Messages/{id_}/status").json()[0]["appRecStatus"] == "Ok"
        assert simulation.unread(KLINIKK_SERVICE) == 2
    with start(deviations=["second_apprec_refused", "partial_apprec_refused"]) as simulation:
        caller = Caller(simulation)
        id_ = simulation.inject(message(CLINIC, US), SOLVANG_GP)
        partial = {**bad, "appRecStatus": 3}
        assert _acknowledge(caller, id_, partial).status_code == 400
        assert _acknowledge(caller, id_, {"appRecStatus": "Ok"}).status_code == 201
        assert _acknowledge(caller, id_, bad).json()["errorCode"] == 1001
        assert simulation.unread(KLINIKK_SERVICE) == 1
