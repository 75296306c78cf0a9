"""Messages a second on the mail road, in a process of its own; prints one JSON value. Called by ``bench_ebxml_mail``.

The partner, its SMTP server (aiosmtpd) and our mailbox (Dovecot) are other processes on loopback, over TLS; the store
is on disk, with every commit synced. Only the adapter's process is ours to count: its CPU seconds are printed beside.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapter import shapes
from adapter.assembly import open_adapter
from adapter.config import read_settings
from adapter.ebxml.opening import open_message
from adapter.flow import dispatch, ebxml_mail, inbound
from adapter.model.message import OutgoingMessage
from tests.journeys.clinic import CLINIC
from tests.journeys.mailing import MailRig
from tests.journeys.rig import load
from tests.transport.mail_servers import Dovecot, Sink, Taken

NUMBER = 150
LONGEST_S = 120.0


class Partner:
    """The clinic with its mail servers, in a forked process: it acknowledges by mail, and counts what it got."""

    def __init__(self, folder: Path, direction: str) -> None:
        folder.mkdir(parents=True)
        ready, told = os.pipe()
        heard, asked = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(ready)
            os.close(asked)  # so that it ends with us
            _serve(folder, direction, told, heard)
            os._exit(0)
        os.close(told)
        os.close(heard)
        self._answers, self._asked = os.fdopen(ready), asked
        self.settings = json.loads(self._answers.readline())

    def taken(self) -> int:
        """How many of our mails the partner has."""
        os.write(self._asked, b"?")
        return int(self._answers.readline())

    def stop(self) -> None:
        os.close(self._asked)
        os.waitpid(self.pid, 0)


def _serve(folder: Path, direction: str, told: int, heard: int) -> None:
    with Dovecot() as dovecot, Sink(dovecot.certificate) as sink:
        rig = type("Rig", (MailRig,), {"dovecot": dovecot, "sink": sink})(folder)
        for note in [rig.note() for _ in range(NUMBER if direction == "in" else 0)]:
            rig.deliver(note)
        sink.on_mail = _acknowledging(rig)
        os.write(told, json.dumps(shapes.plain(rig.settings)).encode() + b"\n")
        while os.read(heard, 1) == b"?":
            os.write(told, b"%d\n" % len(sink.taken))
        rig.close()


def _acknowledging(rig: MailRig) -> Callable[[Taken], None]:
    def acknowledge(mail: Taken) -> None:
        opened = open_message(mail.content)
        if opened.attachments:  # signals have none, and are not answered
            rig.deliver(rig.clinic.mail(rig.clinic.receipt(opened.envelope, opened)))

    return acknowledge


def rate(folder: Path, direction: str) -> dict[str, float]:
    partner = Partner(folder, direction)
    plain = {key: value for key, value in partner.settings.items() if key != "base"}
    adapter = open_adapter(read_settings(plain, folder), now=lambda: datetime.now(UTC))
    message = shapes.read(OutgoingMessage, {**load("dialogue-notat"), "receiver": {"her_id": CLINIC}})
    begin, used = time.perf_counter(), time.process_time()
    if direction == "out":
        for _ in range(NUMBER):
            adapter.submit(message)
        in_turns(adapter, lambda: count(adapter, "leg = 'confirmed'") >= NUMBER)
    else:
        in_turns(adapter, lambda: partner.taken() >= NUMBER and count(adapter, "step = 'accepted'") >= NUMBER)
    elapsed, used = time.perf_counter() - begin, time.process_time() - used
    adapter.close()
    partner.stop()
    return {"rate": NUMBER / elapsed, "cpu": used / NUMBER}


def in_turns(adapter: Any, done: Callable[[], bool]) -> None:
    """The worker's jobs, two at a time as in the worker: the mailbox; and what is due out, and what is to be judged."""
    ends = time.monotonic() + LONGEST_S
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            if not dispatch.dispatch(adapter.parts) + inbound.resume(adapter.parts):
                stop.wait(0.02)

    other = threading.Thread(target=work)
    other.start()
    try:
        while not done():
            if time.monotonic() > ends:
                raise SystemExit("the messages did not all get through")
            ebxml_mail.poll_mailbox(adapter.parts)
    finally:  # else it would keep the process for ever
        stop.set()
        other.join()


def count(adapter: Any, which: str) -> int:
    with adapter.parts.store.reading() as db:
        return int(db.exec_driver_sql(f"SELECT count(*) FROM delivery WHERE {which}").scalar() or 0)


if __name__ == "__main__":
    print(json.dumps(rate(Path(sys.argv[1]), sys.argv[2])))
