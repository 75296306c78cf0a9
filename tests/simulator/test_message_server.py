from __future__ import annotations

import base64
import time
import uuid
from typing import Any

import pytest

from adapter.simulator import Simulation, start
from adapter.simulator.world import (
    BEKKELIA,
    BEKKELIA_GP,
    GRANLI,
    GRANLI_FRISKLIV,
    KLINIKK,
    KLINIKK_POLICLINIC,
    KLINIKK_SERVICE,
    NAV,
    SOLVANG,
    SOLVANG_GP,
)
from tests.simulator.caller import Caller, message

US = (SOLVANG, SOLVANG_GP)
FRISKLIV = (GRANLI, GRANLI_FRISKLIV)
CLINIC = (KLINIKK, KLINIKK_SERVICE)


def test_a_message_is_sent_acknowledged_answered_and_read(simulation: Simulation, caller: Caller) -> None:
    answer = caller.send(message(US, FRISKLIV))
    assert answer.status_code == 201
    id_ = answer.json()
    assert str(uuid.UUID(id_)) == id_
    assert answer.headers["Location"] == f"{simulation.edi_url}/Messages/{id_}"
    status = caller.call("GET", f"/Messages/{id_}/status").json()
    assert status == [
        {"receiverHerId": GRANLI_FRISKLIV, "transportDeliveryState": "Acknowledged", "appRecStatus": "Ok"}
    ]
    (item,) = caller.unread(SOLVANG_GP)
    assert item["isAppRec"] is True
    assert b'<Status V="1"' in caller.fetch(item["id"])
    for _ in range(2):
        assert caller.call("PUT", f"/Messages/{item['id']}/read/{SOLVANG_GP}").status_code == 204
    assert caller.unread(SOLVANG_GP) == []


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("api-version", None, "api-version"),
        ("api-version", "3", "api-version"),
        ("nhn-source-system", None, "nhn-source-system"),
    ],
)
def test_a_missing_or_unknown_header_is_a_model_error(
    caller: Caller, header: str, value: str | None, expected: str
) -> None:
    answer = caller.call("GET", "/Messages", params={"ReceiverHerIds": SOLVANG_GP}, headers={header: value})
    assert answer.status_code == 400
    plain = answer.json()
    assert plain["errorCode"] == 1000
    assert plain["error"] == "Model validation error occurred"
    assert expected in plain["validationErrors"][0]
    assert plain["requestId"]


def test_paths_and_query_names_are_read_in_any_case(caller: Caller) -> None:
    caller.send(message(US, FRISKLIV))
    answer = caller.call("GET", "/mesSAGES", params={"receiverherids": SOLVANG_GP, "includemetadata": "True"})
    assert [item["senderHerId"] for item in answer.json()] == [GRANLI_FRISKLIV]


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        ({}, "ReceiverHerIds"),
        ({"ReceiverHerIds": "x"}, "ReceiverHerIds"),
        ({"ReceiverHerIds": "0"}, "ReceiverHerIds"),
        ({"ReceiverHerIds": ["8091301", "8091301"]}, "unique"),
        ({"ReceiverHerIds": "8091301", "MessagesToFetch": "101"}, "MessagesToFetch"),
        ({"ReceiverHerIds": "8091301", "MessagesToFetch": "many"}, "MessagesToFetch"),
        ({"ReceiverHerIds": "8091301", "OrderBy": "3"}, "OrderBy"),
        ({"ReceiverHerIds": "8091301", "IncludeMetadata": "maybe"}, "IncludeMetadata"),
        ({"ReceiverHerIds": "8091301", "BusinessDocumentId": "x" * 101}, "BusinessDocumentId"),
        ({"ReceiverHerIds": "8091301", "SenderHerId": "-1"}, "SenderHerId"),
    ],
)
def test_a_list_with_bad_parameters_is_refused(caller: Caller, params: dict[str, Any], fault: str) -> None:
    answer = caller.call("GET", "/Messages", params=params)
    assert answer.status_code == 400
    assert fault in answer.json()["validationErrors"][0]


def test_the_list_is_filtered_ordered_and_bounded(simulation: Simulation, caller: Caller) -> None:
    dates = ["2026-03-02T10:00:00", "2026-03-01T10:00:00.1234567", "2026-03-03T10:00:00+01:00", "never"]
    ids = [
        simulation.inject(
            message(FRISKLIV, US, gen_date=date, msg_id=f"00000000-0000-4000-8000-00000000000{i}"), SOLVANG_GP
        )
        for i, date in enumerate(dates)
    ]
    simulation.inject(b"no message", SOLVANG_GP, sender=4711)
    listed = [item["id"] for item in caller.unread(SOLVANG_GP, SenderHerId=GRANLI_FRISKLIV)]
    assert listed == [ids[3], ids[1], ids[0], ids[2]]
    backwards = caller.unread(SOLVANG_GP, OrderBy="descending", MessagesToFetch=1)
    assert [item["id"] for item in backwards] == [ids[2]]
    found = caller.unread(SOLVANG_GP, BusinessDocumentId="00000000-0000-4000-8000-000000000001")
    assert [item["id"] for item in found] == [ids[1]]
    bare = caller.call("GET", "/Messages", params={"ReceiverHerIds": SOLVANG_GP}).json()
    assert all(item.keys() == {"id", "receiverHerId"} for item in bare)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"businessDocument": "%%%"}, "base64"),
        ({"businessDocument": None}, "BusinessDocument"),
        ({"contentType": "text/xml"}, "ContentType"),
        ({"contentType": ""}, "ContentType"),
        ({"contentTransferEncoding": "8bit"}, "ContentTransferEncoding"),
        ({"receiverHerIdsSubset": []}, "ReceiverHerIdsSubset"),
        ({"receiverHerIdsSubset": ["8091101"]}, "ReceiverHerIdsSubset"),
        ({"receiverHerIdsSubset": [KLINIKK_SERVICE]}, "no receiver"),
        ({"ebXmlOverrides": {"color": "red"}}, "EbXmlOverrides"),
        ({"ebXmlOverrides": {"useSenderLevel1HerId": "yes"}}, "EbXmlOverrides"),
        ({"ebXmlOverrides": 1}, "EbXmlOverrides"),
        ({"somethingNew": 1}, "does not know"),
    ],
)
def test_a_bad_request_to_send_is_refused_and_nothing_is_stored(
    simulation: Simulation, caller: Caller, change: dict[str, Any], fault: str
) -> None:
    answer = caller.send(message(US, FRISKLIV), **change)
    assert answer.status_code == 400
    assert fault in answer.json()["validationErrors"][0]
    assert simulation.ledger == []


@pytest.mark.parametrize(
    "declaration",
    ["", '<?xml version="1.0"?>', '<?xml version="1.0" encoding="ISO-8859-1"?>', '\n<?xml version="1.0"?>'],
)
def test_a_document_must_declare_utf8_in_its_first_line(caller: Caller, declaration: str) -> None:
    answer = caller.send(message(US, FRISKLIV, declaration=declaration))
    assert answer.status_code == 400
    assert "UTF-8" in answer.json()["validationErrors"][0]


def test_bytes_that_are_not_utf8_are_refused(caller: Caller) -> None:
    document = message(US, FRISKLIV).replace(b"Avsender 2", b"Avsender \xe5")
    assert caller.send(document).status_code == 400


@pytest.mark.parametrize(
    ("sender", "receiver"),
    [
        ((SOLVANG, None), FRISKLIV),
        (US, (GRANLI, None)),
        (US, (None, None)),
        (US, (GRANLI, 4711)),
    ],
)
def test_addresses_that_cannot_be_deduced_or_reached_are_an_error_of_class_1200(
    caller: Caller, sender: tuple[int | None, int | None], receiver: tuple[int | None, int | None]
) -> None:
    answer = caller.send(message(sender, receiver))
    assert (answer.status_code, answer.json()["errorCode"]) == (400, 1200)


@pytest.mark.parametrize(
    "document", [b'<?xml version="1.0" encoding="UTF-8"?>\n<Other/>', b'<?xml version="1.0" encoding="UTF-8"?>\n<a>']
)
def test_a_document_of_an_unknown_form_has_no_addresses(caller: Caller, document: bytes) -> None:
    assert caller.send(document).json()["errorCode"] == 1200


def test_nav_is_reached_at_level_1_and_the_override_sends_from_level_1(simulation: Simulation, caller: Caller) -> None:
    answer = caller.send(message(US, (NAV, None)), ebXmlOverrides={"useSenderLevel1HerId": True, "service": "S"})
    assert answer.status_code == 201
    (entry,) = simulation.ledger
    assert (entry.sender, entry.receivers) == (SOLVANG, (NAV,))
    assert entry.overrides == {"useSenderLevel1HerId": True, "service": "S"}


def test_copy_receivers_get_a_delivery_each_and_the_subset_narrows_them(simulation: Simulation, caller: Caller) -> None:
    document = message(US, FRISKLIV, copies=((BEKKELIA, BEKKELIA_GP), CLINIC))
    whole = caller.send(document).json()
    lines = caller.call("GET", f"/Messages/{whole}/status").json()
    assert [line["receiverHerId"] for line in lines] == [GRANLI_FRISKLIV, BEKKELIA_GP, KLINIKK_SERVICE]
    narrowed = caller.send(document, receiverHerIdsSubset=[BEKKELIA_GP]).json()
    lines = caller.call("GET", f"/Messages/{narrowed}/status").json()
    assert [line["receiverHerId"] for line in lines] == [BEKKELIA_GP]


def test_the_sender_must_be_ours_and_the_reader_a_party(simulation: Simulation, caller: Caller) -> None:
    answer = caller.send(message(CLINIC, FRISKLIV))
    assert answer.status_code == 403
    assert answer.json() | {"requestId": ""} == {
        "error": f"Not authorized for HerId(s): {KLINIKK_SERVICE}",
        "errorCode": 0,
        "validationErrors": None,
        "stackTrace": None,
        "requestId": "",
    }
    id_ = caller.send(message(US, FRISKLIV)).json()
    other = Caller(simulation, "fjellglott")
    for path in ("", "/status", "/apprec", "/business-document"):
        assert other.call("GET", f"/Messages/{id_}{path}").status_code == 403
    assert other.call("PUT", f"/Messages/{id_}/read/{KLINIKK_SERVICE}").status_code == 403
    mixed = caller.call("GET", "/Messages", params={"ReceiverHerIds": [SOLVANG_GP, KLINIKK_SERVICE]})
    assert mixed.status_code == 403
    assert str(KLINIKK_SERVICE) in mixed.json()["error"]
    assert str(SOLVANG_GP) not in mixed.json()["error"]


def test_two_tenants_reach_each_other_and_each_reads_its_own(simulation: Simulation, caller: Caller) -> None:
    clinic = Caller(simulation, "fjellglott")
    id_ = caller.send(message(US, CLINIC, copies=((KLINIKK, KLINIKK_POLICLINIC),))).json()
    (item,) = clinic.unread(KLINIKK_SERVICE)
    assert item["id"] == id_
    assert clinic.call("GET", f"/Messages/{id_}").json()["receiverHerId"] == KLINIKK_SERVICE
    assert clinic.call("PUT", f"/Messages/{id_}/read/{KLINIKK_SERVICE}").status_code == 204
    assert clinic.unread(KLINIKK_SERVICE) == []
    assert len(clinic.unread(KLINIKK_POLICLINIC)) == 1
    foreign = clinic.call("PUT", f"/Messages/{id_}/read/{SOLVANG_GP}")
    assert foreign.status_code == 403


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/Messages/not-an-id", 400),
        ("/Messages/350eeb44-5b1e-4e2d-8986-311369fb8816", 404),
        ("/Nothing", 404),
        ("/Messages/a/b/c/d", 404),
    ],
)
def test_unknown_ids_and_addresses(caller: Caller, path: str, status: int) -> None:
    assert caller.call("GET", path).status_code == status


def test_a_known_address_with_another_method_is_405(caller: Caller) -> None:
    assert caller.call("DELETE", "/Messages").status_code == 405


def test_reading_for_an_own_address_that_was_no_receiver_is_404(simulation: Simulation, caller: Caller) -> None:
    id_ = simulation.inject(message(FRISKLIV, US), SOLVANG_GP)
    answer = caller.call("PUT", f"/Messages/{id_}/read/{SOLVANG_GP + 1}")
    assert answer.status_code == 404


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/xml"])
def test_a_body_of_another_type_is_415(caller: Caller, content_type: str) -> None:
    answer = caller.call("POST", "/Messages", body=b"{}", headers={"Content-Type": content_type})
    assert answer.status_code == 415


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_a_body_that_is_no_json_object_is_400(caller: Caller, body: bytes) -> None:
    assert caller.call("POST", "/Messages", body=body).status_code == 400


def test_names_of_the_body_are_read_in_any_case(caller: Caller) -> None:
    body = {
        "BusinessDocument": base64.b64encode(message(US, FRISKLIV)).decode(),
        "ContentType": "application/xml",
        "ContentTransferEncoding": "base64",
    }
    answer = caller.call("POST", "/messages", body=body, headers={"Content-Type": "application/merge-patch+json"})
    assert answer.status_code == 201


@pytest.mark.parametrize("deviations", [(), ("limit_counts_document",)])
def test_what_is_larger_than_the_limit_is_413(deviations: tuple[str, ...]) -> None:
    with start(limit_bytes=3000, deviations=deviations) as simulation:
        caller = Caller(simulation)
        assert caller.send(message(US, FRISKLIV)).status_code == 201
        large = message(US, FRISKLIV, content=f"<x>{'y' * 3000}</x>")
        answer = caller.send(large)
        assert (answer.status_code, answer.json()["errorCode"]) == (413, 1000)
        assert caller.send(message(US, FRISKLIV)).status_code == 201, "the connection is still of use"
        assert len([entry for entry in simulation.ledger if not entry.is_apprec]) == 2


@pytest.mark.cost
def test_a_request_costs_less_than_a_three_hundredth_of_a_second_of_cpu(caller: Caller) -> None:
    id_ = caller.send(message(US, FRISKLIV)).json()
    begun = time.process_time()
    for _ in range(150):
        caller.call("GET", f"/Messages/{id_}/status")
    assert (time.process_time() - begun) / 150 < 1 / 300, "client and server together"
