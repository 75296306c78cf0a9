"""One measurement in a process of its own; prints one JSON value. Called by ``bench_journey.py``."""

from __future__ import annotations

import hashlib
import json
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapter import shapes
from adapter.model.message import Attachment, OutgoingMessage
from adapter.simulator import world as place
from adapter.transport.memory import MemoryServer
from tests.journeys.rig import Rig, letter, load, referral

ATTACHMENT = 15_000_000


def memory_now() -> int:
    """Resident bytes; from here on the high-water mark counts anew (getrusage's would keep that of our parent)."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status_bytes("VmRSS")


def memory_peak() -> int:
    return _status_bytes("VmHWM")


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


class Away:
    """The rig's world in a forked process, so that only the adapter is measured here."""

    def __init__(self, folder: Path, prepare: Callable[[Rig], None]) -> None:
        folder.mkdir(parents=True)
        inside, outside = os.pipe()
        back, begin = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            rig = Rig(folder, settings={"worker": {"batch": 1000}})
            rig.clock.advance(0)
            prepare(rig)
            os.write(outside, json.dumps(shapes.plain(rig.settings)).encode() + b"\n")
            os.close(outside)
            while os.read(back, 1) == b"+":  # one byte: the clock goes on a minute
                rig.advance(seconds=61)
            rig.close()
            os._exit(0)
        self._begin = begin
        os.close(outside)
        with os.fdopen(inside) as file:
            self.settings = json.loads(file.readline())
        self.ahead = 0

    def advance(self) -> None:
        os.write(self._begin, b"+")
        self.ahead += 61

    def stop(self) -> None:
        os.write(self._begin, b".")
        os.waitpid(self.pid, 0)


def opened(away: Away, folder: Path) -> Any:
    from datetime import UTC, datetime, timedelta

    from adapter.assembly import open_adapter
    from adapter.config import read_settings

    plain = {key: value for key, value in away.settings.items() if key != "base"}
    start = datetime.now(UTC)
    return open_adapter(read_settings(plain, folder), now=lambda: start + timedelta(seconds=away.ahead))


def large(folder: Path, direction: str) -> None:
    content = b"%PDF-1.4\n" + random.Random(1).randbytes(ATTACHMENT)
    held: dict[str, int] = {}

    def prepare(rig: Rig) -> None:
        if direction == "in":
            xml = letter(rig, sign_with=rig.world.keys.companies["fjellglott"])
            rig.world.inject(xml, place.SOLVANG_GP)

    away = Away(folder, prepare)
    adapter = opened(away, folder)
    small = {**referral(), "signer": {"key": "company"}}
    adapter.submit(shapes.read(OutgoingMessage, small))
    adapter.run_once()
    finish_in(adapter)
    message = shapes.read(OutgoingMessage, {**small, "attachments": []})
    attachment = Attachment(content=content, mime_type="application/pdf", description="Bench")
    object.__setattr__(message, "attachments", (attachment,))
    if direction == "in":
        inject_large(away, adapter, message)
    del held
    before, begin, read = memory_now(), time.process_time(), 0.0
    if direction == "out":
        sent = adapter.submit(message)
        adapter.run_once()
        assert adapter.show(sent)["deliveries"][0]["leg"] in ("sent", "confirmed")
    else:
        adapter.run_once()
        read = finish_in(adapter)
    used, peak = time.process_time() - begin - read, memory_peak() - before
    away.stop()
    size = round(ATTACHMENT * 4 / 3)
    key = adapter.parts.signer("company")
    document = random.Random(2).randbytes(size)
    floors = []
    for _ in range(5):
        begin = time.process_time()
        hashlib.sha256(document).digest()
        key.sign(document[:200])
        floors.append(time.process_time() - begin)
    print(json.dumps({"bytes": size, "peak": peak, "cpu": used, "read": read, "floor": statistics.median(floors)}))


def inject_large(away: Away, adapter: Any, message: OutgoingMessage) -> None:
    """The large message into our inbox over the simulator's admin route; built in a child, so it costs us nothing."""
    import base64
    import urllib.request

    pid = os.fork()
    if pid == 0:
        from adapter.flow import outbound

        book = adapter.parts.book()
        object.__setattr__(message, "receiver", type(message.receiver)(her_id=place.SOLVANG_GP))
        prepared = outbound.prepare(adapter.parts, message)
        body = json.dumps(
            {"document": base64.b64encode(prepared.document).decode(), "receiver": place.SOLVANG_GP}
        ).encode()
        url = f"{away.settings['edi20']['base_url']}/_simulator/inject"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=60).read()
        del book
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0


def finish_in(adapter: Any) -> float:
    """Take, confirm, and send the AppRecs; gives the CPU seconds of taking, which reads the content for the EHR."""
    begin = time.process_time()
    taken = adapter.take("bench", limit=1000)
    read = time.process_time() - begin
    for one in taken:
        adapter.confirm(one.token, "accept")
    del taken
    adapter.run_once()
    return read


def throughput(folder: Path, direction: str) -> None:
    number = 200

    def prepare(rig: Rig) -> None:
        if direction == "in":
            for n in range(number):
                rig.world.inject(letter(rig, msg_id=f"aaaaaaaa-0000-4000-8000-{n:012x}"), place.SOLVANG_GP)

    away = Away(folder, prepare)
    adapter = opened(away, folder)
    message = shapes.read(OutgoingMessage, {**load("dialogue-notat"), "receiver": {"her_id": place.BEKKELIA_GP}})
    begin = time.perf_counter()
    if direction == "out":
        for _ in range(number):
            adapter.submit(message)
    for _ in range(30):
        adapter.run_once()
        finish_in(adapter)
        away.advance()
        if _finished(adapter, direction, number):
            break
    else:
        raise SystemExit("the messages did not all get through")
    taken = time.perf_counter() - begin
    away.stop()
    print(json.dumps({"rate": number / taken}))


def _finished(adapter: Any, direction: str, number: int) -> bool:
    wanted = "accepted" if direction == "out" else "receipted"
    rows = [row for row in adapter.list(limit=10_000) if wanted in (row["answer"], row["step"])]
    return len(rows) >= number


def fill(folder: Path, number: int) -> None:
    """A store with so many finished messages, half of them received, with events and bytes."""
    folder.mkdir(parents=True)
    rig = Rig(folder)
    rig.send({**load("dialogue-notat"), "receiver": {"her_id": place.BEKKELIA_GP}})
    store = rig.adapter.parts.store
    with store.transaction() as db:
        raw = db.connection.driver_connection
        copy_rows(raw, number)
    (folder / "settings.json").write_text(json.dumps(shapes.plain(rig.settings)))
    rig.close()
    print("{}")


def copy_rows(raw: Any, number: int) -> None:
    """Multiply the one message there is."""
    columns = {
        table: [row[1] for row in raw.execute(f"PRAGMA table_info({table})")]
        for table in ("message", "delivery", "event", "payload")
    }
    first = {table: raw.execute(f"SELECT * FROM {table}").fetchone() for table in columns}
    for table, names in columns.items():
        made = []
        for n in range(number):
            row = dict(zip(names, first[table], strict=True))
            inbound = n % 2 == 1
            key = f"{n:08x}-1111-4000-8000-000000000000"
            if table == "message":
                row |= {"seq": n + 10, "id": key, "msg_id": key, "document_id": key, "digest": key}
                row |= {"direction": "in" if inbound else "out", "sender": place.BEKKELIA_GP}
            elif table == "delivery":
                row |= {"id": key, "message_id": key, "seq": n + 10, "lane": key, "remote_id": key, "due_at": None}
                row |= {"direction": "in" if inbound else "out", "put_away": 1, "overdue_at": None}
                row |= {"leg": None, "answer": None, "step": "receipted"} if inbound else {}
                row |= {} if inbound else {"leg": "confirmed", "answer": "accepted"}
            elif table == "event":
                row |= {"id": n + 10, "message_id": key, "delivery_id": key}
            else:
                row |= {"message_id": key}
            made.append(tuple(row[name] for name in names))
        marks = ",".join("?" * len(names))
        raw.executemany(f"INSERT INTO {table} ({','.join(names)}) VALUES ({marks})", made)


def cost(folder: Path) -> None:
    """CPU seconds per message, one way out and one way in, on a server in memory."""
    from adapter.assembly import open_adapter
    from adapter.config import read_settings

    plain = {key: value for key, value in json.loads((folder / "settings.json").read_text()).items() if key != "base"}
    server = MemoryServer()
    roads = {"solvang": server.road(place.SOLVANG_GP, place.SOLVANG_DOCTOR)}
    adapter = open_adapter(read_settings(plain, folder), roads=roads)
    message = shapes.read(OutgoingMessage, {**load("dialogue-notat"), "receiver": {"her_id": place.BEKKELIA_GP}})
    note = adapter.export(adapter.submit(message), reason="bench")
    adapter.run_once()
    number = 40
    begin = time.process_time()
    for _ in range(number):
        adapter.submit(message)
    adapter.run_once()
    for n in range(number):
        unique = f"{os.getpid():08x}-0000-4000-8000-{n:012x}"
        adapter.receive(_renamed(note, unique), receiver=place.SOLVANG_GP)
    finish_in(adapter)
    print((time.process_time() - begin) / number)


def _renamed(note: bytes, msg_id: str) -> bytes:
    import re

    turned = re.sub(
        rb"<MsgId>[^<]*</MsgId>|<(\w+:)MsgId>[^<]*</\w+:MsgId>", b"<MsgId>%s</MsgId>" % msg_id.encode(), note
    )
    ours, theirs = str(place.SOLVANG_GP).encode(), str(place.BEKKELIA_GP).encode()
    return turned.replace(ours, b"@").replace(theirs, ours).replace(b"@", theirs)


def main() -> None:
    threading.current_thread().name = "bench"
    what, folder, *more = sys.argv[1:]
    if what == "large":
        large(Path(folder), more[0])
    elif what == "throughput":
        throughput(Path(folder), more[0])
    elif what == "fill":
        fill(Path(folder), int(more[0]))
    else:
        cost(Path(folder))


if __name__ == "__main__":
    main()
