"""When the fault is ours nothing untrue is said (503, 500), and the message that comes again is taken."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.test_worker import wait_until
from tests.web.caller import Said, head, hear, took
from tests.web.conftest import OpenSite, Site

QUICK = {"store": {"url": "sqlite:///store.db", "low_water_bytes": 0, "busy_wait_s": 0.2}}
PATIENT = {"store": {"url": "sqlite:///store.db", "low_water_bytes": 0, "busy_wait_s": 20.0}}
FULL = {"store": {"url": "sqlite:///store.db", "low_water_bytes": 1 << 60}}


@contextmanager
def locked(site: Site) -> Iterator[None]:
    """Another program holds the store."""
    other = sqlite3.connect(site.rig.folder / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


def not_taken(said: Said, status: int) -> None:
    assert said.status == status
    assert said.headers["content-type"] == "text/plain; charset=utf-8"
    assert b"<" not in said.body
    assert ("retry-after" in said.headers) == (status == 503)


def test_a_locked_store_says_later_and_the_message_that_comes_again_is_taken(open_site: OpenSite) -> None:
    site = open_site(QUICK)
    body, headers = site.note()
    with locked(site):
        not_taken(site.call.post(body, headers), 503)
    assert site.rig.steps() == []
    assert site.call.post(body, headers).status == 200
    assert site.rig.steps() == ["received"]


def test_p28_a_full_disk_says_later_and_nothing_is_kept(open_site: OpenSite) -> None:
    site = open_site(FULL)
    not_taken(site.call.post(*site.note()), 503)
    assert site.rig.steps() == []
    assert ("disk", False) in site.rig.alarms


def test_a_missing_key_says_later_until_it_is_there(site: Site) -> None:
    body, headers = site.note()
    key = site.rig.folder / "company.p12"
    key.rename(key.with_suffix(".away"))
    not_taken(site.call.post(body, headers), 503)
    assert site.rig.alarms == [("job:receive", False)]
    key.with_suffix(".away").rename(key)
    assert site.call.post(body, headers).status == 200
    assert site.rig.alarms == [("job:receive", False), ("job:receive", True)]


def test_a_defect_is_one_alarm_and_the_next_message_is_taken(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    body, headers = site.note()
    with monkeypatch.context() as patch:
        patch.setattr(site.rig.adapter, "receive_envelope", broken)
        for _ in range(3):
            not_taken(site.call.post(body, headers), 500)
    assert site.rig.alarms == [("job:receive", False)]
    assert site.call.post(body, headers).status == 200
    assert site.rig.alarms == [("job:receive", False), ("job:receive", True)]


def test_a_message_is_taken_although_nobody_waits_for_the_answer(open_site: OpenSite) -> None:
    site = open_site(PATIENT)
    body, headers = site.note()
    with locked(site), site.call.line() as line:
        line.sendall(head(len(body), headers=headers) + body)
        assert wait_until(lambda: site.receiver.taking == 1)
    assert wait_until(lambda: site.rig.steps() == ["received"])
    again = site.call.post(body, headers)
    assert (again.status, site.rig.steps()) == (200, ["received"])


# -- health --------------------------------------------------------------------------------------------------------


def test_the_health_page_says_that_messages_are_taken(site: Site) -> None:
    said = site.call.get("/health")
    assert (said.status, said.body) == (200, b"ok\n")
    assert site.call.ask("HEAD", "/health").status == 200


def test_p28_the_health_page_says_when_there_is_no_room(open_site: OpenSite) -> None:
    said = open_site(FULL).call.get("/health")
    assert (said.status, said.body) == (503, b"not ready\n")


def test_the_health_page_says_when_the_store_is_gone(site: Site) -> None:
    site.rig.adapter.close()
    for file in site.rig.folder.glob("store.db*"):
        file.unlink()
    (site.rig.folder / "store.db").mkdir()
    assert site.call.get("/health").status == 503


# -- stop ----------------------------------------------------------------------------------------------------------


def test_a_message_under_way_is_answered_before_the_endpoint_is_gone(open_site: OpenSite) -> None:
    site = open_site(PATIENT)
    body, headers = site.note()
    said: list[Said] = []
    with locked(site):
        caller = threading.Thread(target=lambda: said.append(site.call.post(body, headers)))
        caller.start()
        assert wait_until(lambda: site.receiver.taking == 1)
        ended: list[bool] = []
        ender = threading.Thread(target=lambda: ended.append(site.receiver.stop()))
        ender.start()
        assert wait_until(lambda: refused(site.call.connection().connect))
        assert ended == []
    ender.join(10)
    caller.join(10)
    assert ended == [True]
    assert said[0].status == 200
    assert site.rig.steps() == ["received"]


def refused(connect: Callable[[], None]) -> bool:
    try:
        connect()
    except OSError:
        return True
    return False


def test_half_a_message_does_not_hold_up_the_stop(open_site: OpenSite) -> None:
    site = open_site(idle_timeout_s=30.0, total_timeout_s=60.0)
    with site.call.line() as half, site.call.line() as silent:
        half.sendall(head(1_000) + b"x")
        assert wait_until(lambda: site.receiver.under_way == 1)
        began = time.monotonic()
        assert site.receiver.stop()
        assert took(began) < 4
        not_taken(hear(half), 503)
        assert hear(silent).status == 0
    assert site.rig.steps() == []


def test_a_call_that_hangs_is_left_behind_and_said_so(open_site: OpenSite) -> None:
    site = open_site({**PATIENT, "worker": {"stop_calls_within_s": 0.3}})
    with locked(site):
        caller = threading.Thread(target=site.call.post, args=site.note(), daemon=True)
        caller.start()
        assert wait_until(lambda: site.receiver.taking == 1)
        assert not site.receiver.stop()
    assert wait_until(lambda: site.rig.steps() == ["received"])  # its thread was not lost
    assert site.receiver.stop()


def test_a_stopped_endpoint_can_be_started_again_and_stopping_twice_is_no_fault(site: Site) -> None:
    assert site.receiver.stop()
    assert site.receiver.stop()
    site.receiver.start()
    site.call.port = site.receiver.port
    assert site.call.get("/health").status == 200
