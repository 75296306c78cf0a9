from __future__ import annotations

import base64
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import requests

from adapter.config import load_settings
from adapter.errors import SettingsError
from adapter.security.keys import load_pkcs12
from adapter.simulator import Simulation, VirtualClock, serve_forever, start, write_folder
from adapter.simulator.world import GRANLI, GRANLI_FRISKLIV, SOLVANG, SOLVANG_GP
from adapter.transport.register import read_address_book
from tests.simulator.caller import Caller, message

US, FRISKLIV = (SOLVANG, SOLVANG_GP), (GRANLI, GRANLI_FRISKLIV)


def _admin(simulation: Simulation, method: str, path: str, **more: Any) -> requests.Response:
    session = requests.Session()
    session.trust_env = False
    return session.request(method, f"{simulation.edi_url}/_simulator/{path}", timeout=5, **more)


def test_another_process_injects_scripts_and_reads_the_ledger() -> None:
    with start(clock=VirtualClock()) as simulation:
        document = base64.b64encode(b"not a message").decode()
        plain = {"document": document, "receiver": SOLVANG_GP, "sender": 4711, "msgId": "m-1", "isAppRec": True}
        id_ = _admin(simulation, "POST", "inject", json=plain).json()["id"]
        assert _admin(simulation, "GET", "unread", params={"receiver": SOLVANG_GP}).json() == {"unread": 1}
        caller = Caller(simulation)
        (item,) = caller.unread(SOLVANG_GP)
        assert (item["id"], item["senderHerId"], item["businessDocumentId"], item["isAppRec"]) == (
            id_,
            4711,
            "m-1",
            True,
        )
        script = {"receiver": GRANLI_FRISKLIV, "behaviours": ["ack late 60", "apprec rejected E21"]}
        assert _admin(simulation, "POST", "script", json=script).json() == {"set": True}
        msg_id = "00000000-0000-4000-8000-00000000000a"
        caller.send(message(US, FRISKLIV, msg_id=msg_id))
        assert _admin(simulation, "GET", "statuses", params={"msgId": msg_id}).json()[0]["transport"] == "Unconfirmed"
        assert _admin(simulation, "POST", "clock", json={"advanceS": 60}).json()["now"].startswith("2026-03-02T09:01")
        (receipt,) = _admin(simulation, "GET", "receipts", params={"msgId": msg_id}).json()
        assert (receipt["status"], receipt["errors"][0][0]) == ("Rejected", "E21")
        ledger = _admin(simulation, "GET", "ledger", params={"since": 1}).json()
        assert [entry["isAppRec"] for entry in ledger] == [False, True]
        assert ledger[0]["msgId"] == msg_id
        assert _admin(simulation, "GET", "urls").json() == simulation.urls()
        assert "cut_before" in _admin(simulation, "GET", "names").json()["faults"]


def test_faults_are_set_and_ended_from_outside(simulation: Simulation, caller: Caller) -> None:
    assert _admin(simulation, "POST", "faults", json={"GET /Messages": [["500", 1.0]]}).status_code == 200
    assert caller.call("GET", "/Messages", params={"ReceiverHerIds": SOLVANG_GP}).status_code == 500
    assert _admin(simulation, "POST", "faults", json={}).status_code == 200
    assert caller.unread(SOLVANG_GP) == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("script", {"receiver": 1, "behaviours": ["dance"]}),
        ("script", {}),
        ("inject", {"document": "%", "receiver": 1}),
        ("inject", []),
        ("clock", {"advanceS": 1}),
        ("faults", {"GET /Messages": [["earthquake"]]}),
    ],
)
def test_a_wrong_request_from_outside_is_400(simulation: Simulation, path: str, body: Any) -> None:
    answer = _admin(simulation, "POST", path, json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_the_machines_clock_cannot_be_advanced(simulation: Simulation) -> None:
    with pytest.raises(SettingsError):
        simulation.advance(1)


def test_a_folder_is_ready_to_use_and_its_keys_are_ours_alone(simulation: Simulation, tmp_path: Path) -> None:
    for _ in range(2):  # a second run replaces the first
        settings = load_settings(write_folder(simulation, tmp_path))
    assert [tenant.name for tenant in settings.tenant] == ["solvang", "fjellglott"]
    assert settings.edi20 is not None
    assert settings.edi20.base_url == simulation.edi_url
    book = read_address_book(settings.path(settings.register.file))
    assert GRANLI_FRISKLIV in book.entries
    for name, key in settings.keys.items():
        assert load_pkcs12(settings.path(key.pkcs12), None, key.owner).owner == key.owner, name
    secret = [tmp_path / "adapter.toml", *(tmp_path / "keys").iterdir()]
    assert len(secret) == 7
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secret)
    serials = {f"{key.certificate.serial_number:x}" for key in simulation.keys.persons.values()}
    assert {entry.rpartition("|")[2] for entry in settings.trust.persons} == serials


def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    stop, lines = threading.Event(), []

    def say(line: str) -> None:
        lines.append(json.loads(line))
        stop.set()

    serve_forever(directory=tmp_path, say=say, stop=stop)
    assert lines[0]["settings"] == str(tmp_path / "adapter.toml")
    with pytest.raises(requests.ConnectionError):
        requests.get(lines[0]["edi_url"], timeout=2)


def test_a_process_of_its_own_prints_its_addresses_and_ends_on_a_signal() -> None:
    code = "from adapter.simulator import serve_forever; serve_forever(say=lambda line: print(line, flush=True))"
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root, env={**os.environ})
    try:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert line["environment"] == "test"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()


def _raw(simulation: Simulation, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", int(simulation.edi_url.rpartition(":")[2])), timeout=5) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
    return received


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/3\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nshort",
        b"POST / HTTP/1.1\r\nContent-Length: 40000000\r\n\r\nshort",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100 + b"\r\n",
    ],
)
def test_bytes_that_are_no_request_end_the_connection_and_nothing_else(simulation: Simulation, text: bytes) -> None:
    assert not _raw(simulation, text).startswith(b"HTTP/1.1 2")
    assert _admin(simulation, "GET", "urls").status_code == 200


def test_a_client_may_wait_for_100_continue_and_ask_to_close(simulation: Simulation) -> None:
    body = b'{"receiver": 1, "behaviours": []}'
    head = (
        b"POST /_simulator/script HTTP/1.1\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    )
    received = _raw(simulation, head % len(body) + body)
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    assert b"Connection: close" in received


def test_it_answers_many_clients_at_once_and_stops_in_time() -> None:
    with start(mode="plain") as simulation:
        done: list[int] = []

        def work() -> None:
            caller = Caller(simulation)
            for _ in range(10):
                answer = caller.call(
                    "GET", "/Messages", params={"ReceiverHerIds": SOLVANG_GP}, headers={"Authorization": None}
                )
                done.append(answer.status_code)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert done == [200] * 80
        simulation.stop()
        simulation.stop()


def test_trees_of_old_messages_are_not_kept(simulation: Simulation, caller: Caller) -> None:
    from adapter.simulator.addressing import _tree

    for _ in range(8):
        caller.send(message(US, FRISKLIV))
    assert len(simulation.ledger) == 16
    assert _tree.cache_info().currsize <= 4


def test_a_defect_of_the_simulator_is_seen_and_ends_one_connection_only(
    simulation: Simulation, capsys: pytest.CaptureFixture[str]
) -> None:
    def defective(request: Any, values: dict[str, str]) -> Any:
        raise RuntimeError("defect")

    simulation.edi.add("GET", "/_simulator/defect", defective)
    with pytest.raises(requests.ConnectionError):
        _admin(simulation, "GET", "defect")
    assert _admin(simulation, "GET", "urls").status_code == 200
    assert simulation.faults.seen[("edi", "defect RuntimeError")] == 1
    assert "RuntimeError" in capsys.readouterr().err


def test_more_connections_than_the_bound_are_closed_at_once(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapter.simulator.serving.Listener.most_connections", 0)
    with pytest.raises(requests.ConnectionError):
        _admin(simulation, "GET", "urls")
