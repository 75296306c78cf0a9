"""The endpoint as part of ``adapter run`` and of ``adapter doctor``."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapter.cli.doctor_checks import examine
from adapter.config import load_settings
from adapter.config_mail import EbmsHttpSettings
from tests.cli.conftest import Cli, cli
from tests.journeys.clinic import CLINIC, EbxmlRig, beside
from tests.journeys.rig import letter
from tests.test_worker import wait_until
from tests.transport.loopback import closed_port
from tests.transport.pairs import write_pair
from tests.web.caller import Caller, head, hear
from tests.web.conftest import packed
from tests.web.test_bind import TLS

__all__ = ["cli"]
MSG_ID = "aaaaaaaa-0000-4000-8000-000000000002"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EbxmlRig]:
    with beside(tmp_path_factory.mktemp("service"), EbxmlRig) as made:
        yield made


def write_settings(rig: EbxmlRig, more: dict[str, dict[str, Any]] | None = None, **receive: Any) -> Path:
    """The rig's settings as a file for a process of its own, with an endpoint; ``more`` is by section."""
    from adapter import shapes

    plain = shapes.plain(rig.settings)
    file = rig.folder / "adapter.toml"
    plain["receive"] = receive
    for section, values in (more or {}).items():
        plain[section].update(values)
    file.write_text(toml(plain), "utf-8")
    return file


def toml(plain: dict[str, Any], path: str = "") -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in plain.items() if not nested(value) and value is not None]
    parts = ["\n".join(lines)]
    for key, value in plain.items():
        name = f"{path}{key}"
        if isinstance(value, dict):
            parts.append(f"[{name}]\n{toml(value, f'{name}.')}")
        elif nested(value):
            parts += [f"[[{name}]]\n{toml(one, f'{name}.')}" for one in value]
    return "\n\n".join(parts)


def nested(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


@contextmanager
def running(settings: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-X", "faulthandler", "-m", "adapter", "--config", str(settings), "run"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        while '"started"' not in (line := process.stderr.readline()):
            assert line, "it ended"
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGABRT)
        print(process.communicate(timeout=20)[1][-6000:])


@pytest.mark.slow
def test_the_service_takes_a_message_hands_it_over_and_stops_cleanly_with_half_a_one_open(rig: EbxmlRig) -> None:
    port = closed_port()
    settings = write_settings(rig, port=port)
    call = Caller(port)
    with running(settings) as process:
        assert call.get("/health").status == 200
        said = call.post(*packed(rig.clinic, *rig.clinic.note(letter(rig, sender=CLINIC))))
        assert said.status == 200
        assert wait_until(lambda: rig.steps() == ["accepted"])  # within the minute of the ordinary round
        with call.line() as half:
            half.sendall(head(1_000) + b"x")
            asked = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=15) == 0
            assert time.monotonic() - asked < 7
            assert hear(half).status == 503


@pytest.mark.slow
def test_the_service_ends_in_time_with_a_message_that_hangs_in_the_store(rig: EbxmlRig) -> None:
    port = closed_port()
    more = {"worker": {"stop_calls_within_s": 1.0}, "store": {"busy_wait_s": 60.0}}
    settings, call = write_settings(rig, more, port=port), Caller(port)
    body, headers = packed(rig.clinic, *rig.clinic.note(letter(rig, sender=CLINIC, msg_id=MSG_ID)))
    before = len(rig.steps())
    with running(settings) as process:
        assert call.get("/health").status == 200
        other = sqlite3.connect(rig.folder / "store.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with call.line() as line:
            line.sendall(head(len(body), headers=headers) + body)
            line.settimeout(1.0)
            with pytest.raises(TimeoutError):
                line.recv(1)
            asked = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=15) == 0
            assert time.monotonic() - asked < 7
        other.close()
    assert len(rig.steps()) == before
    assert rig.adapter.receive_envelope(body, headers).status == 200  # its sender, who heard nothing, tries again
    assert len(rig.steps()) == before + 1


def test_a_service_whose_port_is_taken_refuses_to_start(rig: EbxmlRig, cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ran = cli("--config", write_settings(rig, port=other.getsockname()[1]), "run")
    assert ran.code == 2
    assert "RECEIVE.BIND" in ran.err


def test_doctor_says_who_can_reach_the_endpoint_and_that_nobody_listens(rig: EbxmlRig) -> None:
    assert endpoint(write_settings(rig, port=closed_port())) == [("ok", "loopback"), ("warning", "nobody")]
    assert endpoint(write_settings(rig, port=0, behind_proxy=True, host="0.0.0.0")) == [("ok", "proxy")]
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        settings = write_settings(rig, port=somebody.getsockname()[1], host="0.0.0.0", behind_proxy=True)
        assert endpoint(settings) == [("ok", "proxy"), ("ok", "somebody")]


@pytest.mark.parametrize(("days_left", "status"), [(31, "ok"), (13, "warning"), (2, "error"), (-1, "error")])
def test_p27_doctor_counts_the_last_days_of_the_endpoints_certificate(
    rig: EbxmlRig, days_left: int, status: str
) -> None:
    write_pair(rig.folder, days=100)
    settings = write_settings(rig, port=0, **TLS)
    found = endpoint(settings, datetime.now(UTC) + timedelta(days=100 - days_left))
    assert found == [(status, "expired" if days_left < 0 else "valid")]


def test_p27_doctor_counts_the_last_days_of_the_certificate_that_partners_are_shown(rig: EbxmlRig) -> None:
    write_pair(rig.folder, days=100)
    settings = write_settings(rig, port=0)
    http = replace(load_settings(settings), ebms_http=EbmsHttpSettings(**TLS))
    for days_left, status in ((31, "ok"), (13, "warning"), (2, "error")):
        rows = list(examine(http, datetime.now(UTC) + timedelta(days=100 - days_left)))
        assert [row["status"] for row in rows if row["check"] == "ebXML client"] == [status]


def test_doctor_tells_a_key_that_is_not_the_certificates(rig: EbxmlRig) -> None:
    write_pair(rig.folder)
    certificate = (rig.folder / "endpoint.pem").read_bytes()
    write_pair(rig.folder)
    (rig.folder / "endpoint.pem").write_bytes(certificate)
    assert endpoint(write_settings(rig, port=0, **TLS)) == [("error", "TLS.CERTIFICATE")]


def endpoint(settings: Path, now: datetime | None = None) -> list[tuple[str, str]]:
    """Status of each row about the endpoint, and which of these words it says."""
    words = ("loopback", "proxy", "nobody", "somebody", "expired", "valid", "TLS.CERTIFICATE")
    rows = [row for row in examine(load_settings(settings), now) if row["check"] == "receiving endpoint"]
    return [(str(row["status"]), next(word for word in words if word in str(row["text"]))) for row in rows]
