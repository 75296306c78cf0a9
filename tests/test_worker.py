"""The service: its jobs, its stop, and two of it on one store."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapter import worker
from adapter.errors import StoreError, TransportError
from adapter.flow import dispatch, inbound, receipts
from adapter.simulator import Simulation, start, write_folder
from adapter.simulator import world as place
from tests.journeys.conftest import make_rig, rig
from tests.journeys.rig import Rig, inquiry, letter, load, referral

__all__ = ["make_rig", "rig"]
MakeRig = Callable[..., Rig]
US = place.SOLVANG_GP
ROOT = Path(__file__).parents[1]
POST = "POST /Messages"


def wait_until(true: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Look again and again, without sleeping longer than an event may."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        pause.wait(0.02)
    return true()


# -- jobs ----------------------------------------------------------------------------------------------------------


def test_every_tenant_has_a_poll_of_its_own(make_rig: MakeRig) -> None:
    found = worker.jobs(make_rig(tenants=("solvang", "fjellglott")).adapter.parts)
    assert sorted(found) == [
        "dispatch", "housekeeping", "overdue", "poll:fjellglott", "poll:solvang", "resume", "status",
    ]  # fmt: skip


def test_a_round_names_what_each_job_did(rig: Rig) -> None:
    rig.send(referral())
    rig.world.inject(letter(rig), US)
    first = rig.adapter.run_once()
    assert (first["poll:solvang"], first["dispatch"]) == (1, 1)
    assert first["resume"] == 0


@pytest.mark.parametrize("error", [StoreError("locked"), TransportError("down"), ZeroDivisionError()])
def test_a_job_that_fails_is_one_alarm_and_one_all_clear_and_the_loop_goes_on(rig: Rig, error: Exception) -> None:
    def broken() -> None:
        raise error

    parts = rig.adapter.parts
    for _ in range(3):
        assert worker.run_job(parts, "overdue", broken) is None
    assert rig.alarms == [("job:overdue", False)]
    assert worker.run_job(parts, "overdue", lambda: 7) == 7
    assert rig.alarms == [("job:overdue", False), ("job:overdue", True)]


def test_a_job_that_fails_when_the_store_is_gone_too_does_not_end_the_service(rig: Rig) -> None:
    parts = rig.adapter.parts
    parts.store.close()
    (rig.folder / "store.db").unlink()
    (rig.folder / "store.db").mkdir()
    assert worker.run_job(parts, "resume", lambda: inbound.resume(parts)) is None


def test_a_round_goes_on_after_a_poisoned_message(rig: Rig) -> None:
    rig.world.inject(b"<a>" * 500, US)
    rig.world.inject(letter(rig), US)
    rig.adapter.run_once()
    assert sorted(rig.steps()) == ["accepted", "refused"]


# -- the scheduler -------------------------------------------------------------------------------------------------


class Slow:
    """A job that takes as long as it is told, and counts how many of it run at once."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.running = self.most = self.runs = 0
        self._lock = threading.Lock()

    def __call__(self, *_: object, **__: object) -> int:
        with self._lock:
            self.running += 1
            self.runs += 1
            self.most = max(self.most, self.running)
        self.go_on.wait(10)
        with self._lock:
            self.running -= 1
        return 0


@pytest.fixture
def quick(make_rig: MakeRig) -> Rig:
    every = ("poll_every_s", "dispatch_every_s", "status_every_s", "overdue_every_s", "housekeeping_every_s")
    return make_rig(settings={"worker": {**dict.fromkeys(every, 0.05), "stop_calls_within_s": 2.0}})


def test_one_instance_of_a_job_runs_at_a_time_and_missed_runs_are_made_up_once(
    quick: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, others = Slow(), Counter[str]()
    monkeypatch.setattr(dispatch, "dispatch", slow)
    monkeypatch.setattr(receipts, "poll_status", lambda parts: others.update(["status"]))
    service = worker.Service(quick.adapter.parts)
    service.start()
    assert wait_until(lambda: others["status"] >= 10)  # a hanging job holds up no other
    assert (slow.runs, slow.most) == (1, 1)
    slow.go_on.set()
    assert service.stop()
    assert slow.most == 1
    assert slow.runs <= 4  # twenty runs were missed meanwhile


def test_wake_runs_a_job_at_once(make_rig: MakeRig) -> None:
    rig = make_rig(settings={"worker": {"dispatch_every_s": 3600.0}})
    service = worker.Service(rig.adapter.parts)
    service.start()
    sent = rig.send(referral())
    service.wake()
    assert wait_until(lambda: rig.state(sent)[0][0] in ("sent", "confirmed"))
    service.wake("no such job")
    assert service.stop()
    assert service.stop()


def test_the_service_carries_messages_both_ways(quick: Rig) -> None:
    service = worker.Service(quick.adapter.parts)
    sent = quick.send(referral())
    quick.world.inject(letter(quick), US)
    service.start()
    assert wait_until(lambda: quick.state(sent)[0] == ("confirmed", "accepted"))
    assert wait_until(lambda: "accepted" in quick.steps())
    assert service.stop()


def test_a_stop_begins_no_new_call(make_rig: MakeRig) -> None:
    rig = make_rig(faults={POST: [("latency", 1.0, 0.5)]}, settings={"worker": {"dispatch_every_s": 0.05}})
    for number in range(6):
        plain = inquiry()
        plain["body"]["text"] += str(number)
        rig.send(plain)
    service = worker.Service(rig.adapter.parts)
    service.start()
    assert wait_until(lambda: rig.world.faults.seen["POST /messages", "latency"] >= 1)
    assert service.stop()
    assert len(rig.adapter.list(state="queued")) >= 3
    assert rig.adapter.list(state="sending") == []
    assert rig.adapter.list(state="unknown") == []


def test_a_call_that_outlasts_the_stop_is_broken_off_and_its_row_is_unknown(make_rig: MakeRig) -> None:
    rig = make_rig(
        faults={POST: [("latency", 1.0, 30.0)]},
        settings={"worker": {"dispatch_every_s": 0.05, "stop_calls_within_s": 0.5}},
    )
    sent = rig.send(referral())
    service = worker.Service(rig.adapter.parts)
    service.start()
    assert wait_until(lambda: rig.state(sent)[0][0] == "sending" and bool(rig.world.faults.seen))
    asked = time.monotonic()
    service.stop()
    assert time.monotonic() - asked < 3
    assert rig.state(sent) == [("unknown", "awaited")]


# -- the process ---------------------------------------------------------------------------------------------------


@pytest.fixture
def office(tmp_path: Path) -> Iterator[tuple[Simulation, Path]]:
    """The other side in this process, and the settings for a service in another one."""
    with start() as simulation:
        settings = write_folder(simulation, tmp_path / "sim")
        settings.write_text(settings.read_text().replace("low_water_bytes = 50000000", "low_water_bytes = 0"))
        yield simulation, settings


def adapter(settings: Path, *args: str) -> str:
    command = [sys.executable, "-m", "adapter", "--config", str(settings), "--level", "error", *args]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def service(settings: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-X", "faulthandler", "-m", "adapter", "--config", str(settings), "run"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert '"started"' in process.stderr.readline()
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGABRT)  # says where its threads are
        print(process.communicate(timeout=20)[1][-6000:])


def legs(settings: Path) -> dict[str, str]:
    """Leg of each outbound row, read beside the running service."""
    with sqlite3.connect(f"file:{settings.parent / 'adapter.db'}?mode=ro", uri=True, timeout=20) as db:
        return dict(db.execute("SELECT message_id, leg FROM delivery WHERE direction = 'out'").fetchall())


def sample(name: str) -> str:
    return str(ROOT / "samples" / "json" / f"{name}.json")


@pytest.mark.slow
def test_sigterm_ends_the_service_within_ten_seconds_with_a_call_in_flight(office: tuple[Simulation, Path]) -> None:
    simulation, settings = office
    message_id = adapter(settings, "send", sample("referral-frisklivssentral"))
    simulation.set_faults({POST: [("latency", 1, 40.0)]})
    with service(settings) as process:
        assert wait_until(lambda: simulation.faults.seen["POST /messages", "latency"] > 0)
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) == 0
        assert time.monotonic() - asked < 10
    assert legs(settings)[message_id] == "unknown"
    simulation.set_faults({})
    with service(settings):
        assert wait_until(lambda: legs(settings)[message_id] == "confirmed", 25)


@pytest.mark.slow
@pytest.mark.kill
def test_a_killed_service_leaves_a_row_that_the_next_one_finds_unknown_and_settles(
    office: tuple[Simulation, Path],
) -> None:
    simulation, settings = office
    message_id = adapter(settings, "send", sample("referral-frisklivssentral"))
    simulation.set_faults({POST: [("latency", 1, 40.0)]})
    with service(settings) as process:
        assert wait_until(lambda: simulation.faults.seen["POST /messages", "latency"] > 0)
        process.kill()
    assert legs(settings)[message_id] == "sending"
    simulation.set_faults({})
    with sqlite3.connect(settings.parent / "adapter.db") as db:  # two minutes and more go by
        db.execute("UPDATE delivery SET lease_until = 0 WHERE leg = 'sending'")
    with service(settings):
        assert wait_until(lambda: legs(settings)[message_id] == "confirmed", 25)
    events = adapter(settings, "show", message_id, "--json")
    assert '"worker stopped"' in events


@pytest.mark.slow
def test_two_services_on_one_store_send_each_message_once_and_take_in_each_once(
    office: tuple[Simulation, Path],
) -> None:
    simulation, settings = office
    sent = [adapter(settings, "send", sample("referral-frisklivssentral")) for _ in range(2)]
    for number in range(5):
        xml = (ROOT / "samples" / "good" / "inbound-note.xml").read_bytes()
        simulation.inject(xml, US, gen_date=f"2026-01-0{number + 1}T10:00:00")
    with service(settings) as first, service(settings) as second:
        assert wait_until(lambda: {legs(settings)[one] for one in sent} == {"confirmed"}, 25)
        assert wait_until(lambda: simulation.unread(US) == 0, 25)
        for process in (first, second):
            process.send_signal(signal.SIGTERM)
        assert [process.wait(timeout=15) for process in (first, second)] == [0, 0]
    assert Counter(entry.msg_id for entry in simulation.ledger if not entry.injected and not entry.is_apprec) == {
        entry.msg_id: 1 for entry in simulation.ledger if not entry.injected and not entry.is_apprec
    }
    with sqlite3.connect(settings.parent / "adapter.db") as db:
        steps = Counter(step for (step,) in db.execute("SELECT step FROM delivery WHERE road = 'edi20' AND step != ''"))
    assert steps["accepted"] + steps["rejected"] == 1  # five times the same message: one, and four duplicates
    assert steps["duplicate"] == 4


def test_p26_the_alert_command_rings_once_and_once_more_when_it_is_over(make_rig: MakeRig, tmp_path: Path) -> None:
    bell = tmp_path / "bell.txt"
    script = tmp_path / "ring.py"
    script.write_text("import sys\nopen(sys.argv[1], 'a').write(' '.join(sys.argv[2:]) + '\\n')\nprint('noise')\n")
    rig = make_rig(
        faults={"GET /Messages": [("500", [1, 2, 3])]},
        settings={"alert": {"command": [sys.executable, str(script), str(bell)]}},
    )
    from adapter.wiring import _alarm

    object.__setattr__(rig.adapter.parts, "alarm", _alarm(rig.settings))
    rig.rounds(6)
    lines = bell.read_text().splitlines()
    assert [line.split()[:2] for line in lines] == [["alarm", "inbox:solvang"], ["clear", "inbox:solvang"]]


def test_p26_a_broken_bell_does_not_stop_the_message_that_rang_it(make_rig: MakeRig) -> None:
    from adapter.wiring import _alarm

    for command in (["/nowhere/bell"], [sys.executable, "-c", "raise SystemExit(3)"]):
        rig = make_rig(settings={"alert": {"command": command}})
        object.__setattr__(rig.adapter.parts, "alarm", _alarm(rig.settings))
        rig.world.inject(b"not XML", US)
        rig.world.inject(letter(rig), US)
        rig.rounds(1)
        assert sorted(rig.steps()) == ["accepted", "refused"]


def test_the_clock_of_the_scheduler_is_not_the_one_that_was_handed_in(quick: Rig) -> None:
    quick.advance(days=-2000)
    service_ = worker.Service(quick.adapter.parts)
    service_.start()
    sent = quick.send(load("referral-frisklivssentral"))
    assert wait_until(lambda: quick.state(sent)[0][0] in ("sent", "confirmed"))
    assert service_.stop()
    assert datetime.now(UTC) > quick.clock()
