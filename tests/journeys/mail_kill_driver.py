"""Lives of one worker process on the ebXML road, each ended by SIGKILL after a given number of commits.

Run by ``test_ebxml_kills.py``, as ``kill_driver`` is by ``test_kills.py``. Each life submits its share of the messages.
Every second one works for a while before the killer is armed, so that the kills fall all over the run; the others have
it from their first commit, so that they fall into the recovery from the kill before.
"""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from adapter import shapes, worker
from adapter.assembly import Adapter, open_adapter
from adapter.config import load_settings
from adapter.flow import dispatch, ebxml_in, ebxml_mail, ebxml_out, handover, inbound, outbound, receipts
from adapter.model.message import OutgoingMessage
from adapter.security import cms, envelope_signature, xmldsig
from adapter.transport import ebms_http, imap, smtp
from adapter.web.receive import Receiver
from tests.journeys.kill_driver import arm, consume, run

LIFE_S = 3600  # how far the clock goes on between two lives: leases run out, and twelve lives are a resend's wait
MOST_S = 30.0  # how long a life waits for its kill when nothing comes
BEHIND_THE_KILLER = (
    *(dispatch, ebxml_in, ebxml_mail, ebxml_out, handover, inbound, outbound, receipts),
    *(cms, envelope_signature, xmldsig, ebms_http, imap, smtp),
)


def live(plan: dict[str, object], life: int, kill_after: int | None) -> bool:
    """One life; True when nothing was left to do. With ``kill_after`` it ends by SIGKILL after so many commits."""
    offset = timedelta(seconds=life * LIFE_S)
    adapter = open_adapter(load_settings(str(plan["settings"])), now=lambda: datetime.now(UTC) + offset)
    message = shapes.read(OutgoingMessage, plan["out"])
    whole, share = int(str(plan["messages"])), int(str(plan["share"]))

    def submit() -> None:
        with adapter.parts.store.reading() as db:
            begin = db.exec_driver_sql("SELECT count(*) FROM message WHERE submit_key IS NOT NULL").scalar() or 0
        for number in range(begin, min((life + 1) * share, whole)):
            adapter.submit(message, key=f"out-{number}")

    receiver = open_endpoint(adapter) if adapter.parts.settings.receive is not None else None
    jobs = [job for name, (_, job) in worker.jobs(adapter.parts).items() if name not in ("overdue", "housekeeping")]
    # The order differs from life to life, so that every kind of step is in reach of the kill.
    turns = [submit, lambda: consume(adapter, Path(str(plan["ehr"]))), *jobs]
    chance = random.Random(life)
    ends, number, idle = time.monotonic() + MOST_S, 0, threading.Event()
    while number < 12 or (kill_after is not None and time.monotonic() < ends):
        if kill_after is not None and number == life % 2:
            arm(adapter, kill_after)
        chance.shuffle(turns)
        if not sum(bool(turn()) for turn in turns) and number > 3:
            if kill_after is None:
                break
            idle.wait(0.01)
        number += 1
    done = finished(adapter, whole)
    if receiver is not None:
        receiver.stop()
    adapter.close()
    return done


def open_endpoint(adapter: Adapter) -> Receiver:
    receiver = Receiver(adapter)
    receiver.start()
    return receiver


def finished(adapter: Adapter, wanted: int) -> bool:
    rows = adapter.list(limit=10_000)
    out = [row for row in rows if row["direction"] == "out"]
    moving = [row for row in rows if row["step"] in ("received", "opened", "accepted", "handed over")]
    notes = [row for row in out if row["answer"] != "not asked"]
    came = sum(row["step"] == "receipted" for row in rows)
    return len(notes) == came == wanted and all(row["leg"] == "confirmed" for row in out) and not moving


if __name__ == "__main__":
    run(live)
