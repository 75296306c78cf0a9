"""The daemon: APScheduler jobs over the outbox table, and a clean stop (DESIGN 5, Worker).

Jobs are rebuilt from the settings at each start; what is due is a row in the store, never a job. One instance of a job
at a time, coalesced, jittered, each channel in a thread pool of its own, so that a hanging inbox does not hold the
dispatcher.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from adapter.config import TenantSettings
from adapter.errors import AdapterError
from adapter.flow import consumers, dispatch, fetch, inbound, receipts, watch
from adapter.flow.alarms import all_clear, raise_alarm
from adapter.flow.parts import MailRoad, Parts

STOP_WITHIN_S = 9.5
BROKEN_OFF_WITHIN_S = 1.0  # a call whose connection was closed under it


def poll_tenant(parts: Parts, tenant: TenantSettings) -> int:
    """Fetch what is unread for a tenant and carry each message as far as it goes."""
    return fetch.poll(parts, tenant, partial(inbound.receive, parts))


def poll_mailbox(parts: Parts, road: MailRoad) -> int:
    """Take in what came by mail."""
    from adapter.flow import ebxml_mail  # loads cryptography; EDI 2.0 alone need not

    return ebxml_mail.poll_mailbox(parts, road)


def jobs(parts: Parts) -> dict[str, tuple[float, Callable[[], object]]]:
    """Name -> (interval in seconds, what to do)."""
    every = parts.settings.worker
    found: dict[str, tuple[float, Callable[[], object]]] = {
        "dispatch": (every.dispatch_every_s, lambda: dispatch.dispatch(parts)),
        "status": (every.status_every_s, lambda: receipts.poll_status(parts)),
        "resume": (every.poll_every_s, lambda: inbound.resume(parts)),
        "overdue": (every.overdue_every_s, lambda: watch.find_overdue(parts)),
        "housekeeping": (every.housekeeping_every_s, lambda: keep_house(parts)),
    }
    for road in parts.mails:  # each for itself: one that hangs does not hold the others
        name = f"mailbox:{road.name}" if road.name else "mailbox"
        found[name] = (every.poll_every_s, partial(poll_mailbox, parts, road))
    if parts.handover is not None or parts.settings.inbound.handover == consumers.FOLDER:
        found["handover"] = (every.dispatch_every_s, lambda: consumers.hand_over(parts))
    for tenant in parts.settings.tenant:
        found[f"poll:{tenant.name}"] = (every.poll_every_s, partial(poll_tenant, parts, tenant))
    return found


def keep_house(parts: Parts) -> int:
    """All-clears, problems with new keys and books, and the disk."""
    watch.close_incidents(parts)
    watch.ring_missing(parts)
    watch.tell_problems(parts)
    return watch.keep_house(parts)


def run_job(parts: Parts, name: str, job: Callable[[], object]) -> object:
    """One run of a job. Whatever goes wrong is an alarm; the loop goes on."""
    try:
        result = job()
    except AdapterError as error:
        parts.log.error("job failed", extra={"job": name, "code": error.code})
        _tell(parts, name, error.code)
        return None
    except Exception as error:  # noqa: BLE001  # a defect of ours must not stop the other jobs
        parts.log.error("job failed", extra={"job": name, "code": type(error).__name__})
        _tell(parts, name, type(error).__name__)
        return None
    _tell(parts, name, None)
    return result


def _tell(parts: Parts, name: str, code: str | None) -> None:
    try:
        if code is None:
            all_clear(parts, f"job:{name}")
        else:
            raise_alarm(parts, f"job:{name}", f"the job {name} failed: {code}")
    except AdapterError as error:  # the store itself is gone: the log is all we have
        parts.log.error("alarm not kept", extra={"job": name, "code": error.code})


def run_once(parts: Parts) -> dict[str, object]:
    """One round of everything, in the order that lets a message travel furthest; gives the count of each job."""
    found = jobs(parts)
    first = [name for name in found if name.startswith("poll:")]
    boxes = [name for name in found if name.partition(":")[0] == "mailbox"]
    order = [*boxes, "resume", *first, "handover", "dispatch", "status", "overdue", "housekeeping"]
    return {name: run_job(parts, name, found[name][1]) for name in order if name in found}


class Service:
    """The running daemon; ``start`` returns at once, ``stop`` within ten seconds."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._stopped = threading.Event()
        self._scheduler: Any = None

    def start(self) -> None:
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler
        from apscheduler.triggers.interval import IntervalTrigger

        self._parts.stopping.clear()
        found = jobs(self._parts)
        pools = {_pool(name): ThreadPoolExecutor(1) for name in found}
        self._scheduler = BackgroundScheduler(timezone="UTC", executors={"default": ThreadPoolExecutor(1), **pools})
        for name, (interval_s, job) in found.items():
            self._scheduler.add_job(
                run_job,
                IntervalTrigger(seconds=interval_s, jitter=min(5.0, interval_s / 5), timezone="UTC"),
                args=(self._parts, name, job),
                id=name,
                executor=_pool(name),
                coalesce=True,
                max_instances=1,
                misfire_grace_time=None,
                next_run_time=_soon(self._parts),
            )
        self._scheduler.start()
        self._parts.log.info("started", extra={"jobs": len(found)})

    def wake(self, name: str = "dispatch") -> None:
        """Run a job now, e.g. after a submit; the interval is only the safety net."""
        from apscheduler.jobstores.base import JobLookupError

        scheduler = self._scheduler
        if scheduler is not None and scheduler.get_job(name) is not None:
            with suppress(JobLookupError):  # it stops at this moment
                scheduler.modify_job(name, next_run_time=_soon(self._parts))

    def stop(self) -> bool:
        """Begin no new work; calls in flight get their time, then they are broken off and their rows are *unknown*.

        True when all work ended. It takes at most ``stop_calls_within_s`` and a second.
        """
        if self._scheduler is None:
            return True
        self._parts.stopping.set()
        self._scheduler.pause()
        ender = threading.Thread(target=self._scheduler.shutdown, kwargs={"wait": True}, daemon=True)
        ender.start()
        ender.join(self._parts.settings.worker.stop_calls_within_s)
        if ender.is_alive():
            for road in self._parts.roads.values():
                road.close()
            for mail in self._parts.mails:
                mail.sender.close()
                mail.mailbox.close()
            ender.join(BROKEN_OFF_WITHIN_S)
            self._give_up()
        ended = not ender.is_alive()
        self._scheduler = None
        if ended:
            self._parts.stopping.clear()
        self._parts.log.info("stopped", extra={"clean": ended})
        return ended

    def _give_up(self) -> None:
        try:
            dispatch.give_up_claims(self._parts)
        except AdapterError as error:  # then the claims run out, and the next start finds the rows
            self._parts.log.error("claims not given up", extra={"code": error.code})

    def wait(self) -> None:
        """Until a signal asks to stop."""
        while not self._stopped.wait(1.0):  # not for ever: a signal may land in another thread and be noticed late
            continue

    def ask_to_stop(self, *_: object) -> None:
        self._stopped.set()


def _pool(name: str) -> str:
    return name.replace(":", "-")


def _soon(parts: Parts) -> Any:
    del parts
    from datetime import UTC, datetime

    return datetime.now(UTC)  # the scheduler's own clock; what is due is judged by the handed-in one


class Companion(Protocol):
    """What runs beside the jobs in rooms above this one: the receiving endpoint."""

    def start(self, wake: Callable[[str], None]) -> None:
        """Begin; ``wake`` runs a job now. Raises SettingsError when it cannot."""

    def stop(self) -> bool:
        """End within ``stop_calls_within_s`` and a second; True when all its work ended."""


def run(parts: Parts, beside: Companion | None = None) -> None:
    """Run until SIGTERM or SIGINT, then stop within ten seconds. Call from the main thread."""
    service = Service(parts)
    if beside is not None:
        beside.start(service.wake)
    signal.signal(signal.SIGTERM, service.ask_to_stop)
    signal.signal(signal.SIGINT, service.ask_to_stop)
    service.start()
    service.wait()
    last = threading.Timer(STOP_WITHIN_S, os._exit, (0,))  # whatever hangs on the way out: what matters is committed
    last.daemon = True
    last.start()
    if not _stop(service, beside):
        # A thread hangs outside of any call. Rows it was sending are unknown by now and wait for proof (P2).
        parts.log.warning("stopped with calls in flight")
        parts.store.close()
        os._exit(0)


def _stop(service: Service, beside: Companion | None) -> bool:
    """Both at once, as they have the same seconds."""
    if beside is None:
        return service.stop()
    ended: list[bool] = []
    ender = threading.Thread(target=lambda: ended.append(beside.stop()), daemon=True)
    ender.start()
    clean = service.stop()
    ender.join(STOP_WITHIN_S)
    return clean and ended == [True]
