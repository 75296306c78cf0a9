from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from adapter.errors import SettingsError
from adapter.simulator import DEVIATIONS, FAULTS, Faults, start
from adapter.simulator.world import GRANLI, GRANLI_FRISKLIV, SOLVANG, SOLVANG_GP
from tests.simulator.caller import Caller, message

US, FRISKLIV = (SOLVANG, SOLVANG_GP), (GRANLI, GRANLI_FRISKLIV)
SEND = "POST /Messages"


def _fates(seed: int) -> list[str]:
    faults = Faults(seed=seed, plan={SEND: [["500", 0.3], ["cut_after_commit", 0.2]]})
    return ["+".join(fault.name for fault in faults.draw(SEND)) for _ in range(200)]


def test_a_seed_repeats_its_faults_and_another_seed_has_others() -> None:
    assert _fates(7) == _fates(7)
    assert _fates(7) != _fates(8)
    assert 30 <= sum("500" in fate for fate in _fates(7)) <= 90


def test_faults_of_a_route_do_not_depend_on_other_routes() -> None:
    alone, among = (Faults(seed=3, plan={"*": [["500", 0.5]]}) for _ in range(2))
    first = [bool(alone.draw(SEND)) for _ in range(50)]
    second = []
    for _ in range(50):
        among.draw("GET /Messages")
        second.append(bool(among.draw(SEND)))
    assert first == second


def test_a_plan_names_the_call_by_number() -> None:
    faults = Faults(plan={"post /messages": [["503", 2], ["429", [3, 5], 7]]})
    drawn = [[(fault.name, fault.seconds) for fault in faults.draw(SEND)] for _ in range(5)]
    assert drawn == [[], [("503", 0.0)], [("429", 7.0)], [], [("429", 7.0)]]
    assert faults.seen[(SEND.lower().replace("post", "POST"), "429")] == 2


@pytest.mark.parametrize("line", [["earthquake", 1], ["500", "often"], [], ["500", True]])
def test_a_plan_with_an_unknown_fault_is_refused(line: list[Any]) -> None:
    with pytest.raises(SettingsError):
        Faults(plan={SEND: [line]})


def test_an_unknown_deviation_is_refused_and_all_have_a_text() -> None:
    with pytest.raises(SettingsError):
        start(deviations=["politeness"])
    with pytest.raises(SettingsError):
        start(mode="lax")
    assert all(text for table in (DEVIATIONS, FAULTS) for text in table.values())


def test_423_belongs_to_version_3_and_is_never_raised() -> None:
    assert Faults(plan={SEND: [["423", 1.0]]}).draw(SEND) == []


@pytest.mark.parametrize("status", ["401", "403", "429", "500", "503"])
def test_a_refusing_fault_stores_nothing(status: str) -> None:
    with start(faults={SEND: [[status, 1, 3]]}) as simulation:
        caller = Caller(simulation)
        answer = caller.send(message(US, FRISKLIV))
        assert answer.status_code == int(status)
        assert answer.json()["requestId"]
        assert answer.headers.get("Retry-After") == ("3" if status == "429" else None)
        assert simulation.ledger == []
        assert caller.send(message(US, FRISKLIV)).status_code == 201


@pytest.mark.parametrize(("fault", "stored"), [("cut_before", 0), ("cut_after_commit", 1)])
def test_a_cut_connection_leaves_the_message_stored_or_not(fault: str, stored: int) -> None:
    with start(faults={SEND: [[fault, 1]]}) as simulation:
        simulation.script(GRANLI_FRISKLIV, "ack never")
        caller = Caller(simulation)
        with pytest.raises(requests.ConnectionError):
            caller.send(message(US, FRISKLIV))
        assert len(simulation.ledger) == stored
        assert caller.send(message(US, FRISKLIV)).status_code == 201


def test_truncated_json_is_carried_out_and_cannot_be_read() -> None:
    with start(faults={SEND: [["truncated_json", 1]]}) as simulation:
        answer = Caller(simulation).send(message(US, FRISKLIV))
        assert answer.status_code == 201
        with pytest.raises(requests.JSONDecodeError):
            answer.json()
        assert len([entry for entry in simulation.ledger if not entry.is_apprec]) == 1


def test_latency_delays_the_answer() -> None:
    with start(faults={"GET /Messages": [["latency", 1, 0.15]]}) as simulation:
        caller = Caller(simulation)
        caller.token()
        begun = time.monotonic()
        caller.unread(SOLVANG_GP)
        assert time.monotonic() - begun >= 0.15


def test_a_redirect_points_elsewhere_on_this_host() -> None:
    with start(faults={SEND: [["redirect", 1]]}) as simulation:
        answer = Caller(simulation).send(message(US, FRISKLIV))
        assert answer.status_code == 307
        assert answer.headers["Location"].startswith(f"{simulation.edi_url}/_elsewhere/")
        assert simulation.ledger == []


@pytest.mark.parametrize("how", ["fault", "deviation"])
def test_shapes_of_answers_can_be_distorted(how: str) -> None:
    shapes = ["pascal_case_errors", "unknown_fields", "unknown_enum", "offset_dates"]
    more: Any = (
        {"deviations": [*shapes, "sent_member"]}
        if how == "deviation"
        else {"faults": {"*": [[s, 1.0] for s in shapes]}}
    )
    with start(**more) as simulation:
        caller = Caller(simulation)
        id_ = caller.send(message(US, FRISKLIV)).json()
        (line,) = caller.call("GET", f"/Messages/{id_}/status").json()
        assert line["transportDeliveryState"] not in ("Unconfirmed", "Acknowledged", "Rejected")
        assert "memberOfTheFuture" in line
        assert ("sent" in line) is (how == "deviation")
        plain = caller.call("GET", f"/Messages/{id_}").json()
        assert plain["businessDocumentGenDate"] == "2026-03-02T10:00:00.1234567+01:00"
        error = caller.call("GET", "/Messages").json()
        assert error["ErrorCode"] == 1000
        assert error["ValidationErrors"]


@pytest.mark.parametrize(
    ("deviation", "check"),
    [
        ("undeducible_403", lambda caller: caller.send(message(US, (None, None))).status_code == 403),
        ("unchecked_subset", lambda c: c.send(message(US, FRISKLIV), receiverHerIdsSubset=[4711]).status_code == 201),
    ],
)
def test_a_deviation_changes_what_its_text_says(deviation: str, check: Any) -> None:
    with start(deviations=[deviation]) as simulation:
        assert check(Caller(simulation))
    with start() as simulation:
        assert not check(Caller(simulation))


def test_receipts_may_be_hidden_from_the_inbox_and_always_be_of_version_1_0() -> None:
    with start(deviations=["apprec_hidden"]) as simulation:
        caller = Caller(simulation)
        id_ = caller.send(message(US, FRISKLIV)).json()
        assert caller.call("GET", f"/Messages/{id_}/status").json()[0]["appRecStatus"] == "Ok"
        assert caller.unread(SOLVANG_GP) == []
    with start(deviations=["apprec_10_always", "read_once"]) as simulation:
        caller = Caller(simulation)
        caller.send(message(US, FRISKLIV))
        (item,) = caller.unread(SOLVANG_GP)
        assert b"apprec/2004-11-21" in caller.fetch(item["id"])
        codes = [caller.call("PUT", f"/Messages/{item['id']}/read/{SOLVANG_GP}").status_code for _ in range(2)]
        assert codes == [204, 404]


def test_members_of_lists_and_errors_differ_as_the_table_says() -> None:
    with start(deviations=["source_system_member", "null_members", "apprec_details_only"]) as simulation:
        simulation.script(GRANLI_FRISKLIV, "apprec rejected E21")
        caller = Caller(simulation)
        id_ = caller.send(message(US, FRISKLIV)).json()
        (error,) = caller.call("GET", f"/Messages/{id_}/apprec").json()[0]["appRecErrorList"]
        assert error == {"errorCode": "E21", "details": "Mottaker finnes ikke"}
        (bare,) = caller.call("GET", "/Messages", params={"ReceiverHerIds": SOLVANG_GP}).json()
        assert bare["senderHerId"] is None
        assert bare.keys() >= {"contentType", "isAppRec"}
        assert caller.unread(SOLVANG_GP)[0]["sourceSystem"]
