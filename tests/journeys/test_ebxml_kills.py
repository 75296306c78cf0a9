"""Fifty times SIGKILL in a run of a thousand messages by mail, both ways: nothing lost, nothing handed over twice."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapter.simulator import world as place
from tests.journeys.http_partner import Wire
from tests.journeys.mail_kill_driver import LIFE_S
from tests.journeys.mail_partner import Partner
from tests.journeys.pair import HttpPair, Pair
from tests.journeys.rig import letter, load
from tests.journeys.test_kills import run_lives, to_toml
from tests.transport.mail_servers import Dovecot, Sink, free_ports

EACH_WAY, KILLS = 500, 50
BY_HTTP, KILLS_BY_HTTP = 100, 10
SHARE = 10  # messages each way that are new in each life
SEED = 20261122


class Run:
    """Solvang's adapter lives in a process of its own; the partner, and what is between them, is here."""

    def __init__(self, pair: Pair, write: Callable[[bytes], None], *, each_way: int, kills: int) -> None:
        self.pair, self.write, self.life = pair, write, 0
        self.side, self.folder = pair.solvang, pair.folder
        self.ids = [f"dddddddd-0000-4000-8000-{number:012x}" for number in range(each_way)]
        chance = random.Random(SEED)
        self.partner = Partner(pair.granli.keys, self.side.keys, self.clock, chance, self.deliver)
        (self.side.folder / "adapter.toml").write_text(to_toml(self.side.settings()))
        self.side.adapter.close()
        plan = {
            "settings": str(self.side.folder / "adapter.toml"),
            "messages": each_way,
            "share": SHARE,
            "out": {**load("dialogue-notat"), "receiver": {"her_id": place.GRANLI_FRISKLIV}},
            "ehr": str(self.folder / "ehr.txt"),
            "kills": [chance.randint(1, 40) for _ in range(kills)],
        }
        (self.folder / "plan.json").write_text(json.dumps(plan))
        self.documents = [self.note(msg_id) for msg_id in self.ids]

    def clock(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.life * LIFE_S)

    def note(self, msg_id: str) -> bytes:
        rig: Any = self.pair.granli
        return letter(rig, sender=place.GRANLI_FRISKLIV, msg_id=msg_id)

    def deliver(self, mail: bytes) -> None:
        self.pair.dovecot.deliver(self.side.user, mail)

    def begin(self, life: int) -> None:
        """The partner writes its share before each life."""
        self.life = life
        share, self.documents = self.documents[:SHARE], self.documents[SHARE:]
        for document in share:
            self.write(document)

    def lives(self) -> int:
        """The whole run; gives how many lives ended by a kill."""
        killed = run_lives(self.folder, self.begin, "mail_kill_driver")
        self.side.open()
        return killed


@pytest.mark.slow
@pytest.mark.kill
def test_fifty_kills_by_mail_lose_nothing_and_hand_nothing_over_twice(
    tmp_path: Path, dovecot: Dovecot, sink: Sink
) -> None:
    run = Run(Pair(tmp_path, dovecot, sink), lambda note: run.partner.write(note), each_way=EACH_WAY, kills=KILLS)
    sink.on_mail = run.partner.take
    assert run.lives() == KILLS
    check_out(run)
    check_in(run)
    check_that_it_was_hard(run)
    run.pair.close()


@pytest.mark.slow
@pytest.mark.kill
def test_ten_kills_by_http_lose_nothing_and_hand_nothing_over_twice(tmp_path: Path) -> None:
    [port] = free_ports(1)
    wire = Wire(port)
    run = Run(HttpPair(tmp_path, wire.url, port), wire.write, each_way=BY_HTTP, kills=KILLS_BY_HTTP)
    wire.start(run.partner)
    try:
        assert run.lives() == KILLS_BY_HTTP
    finally:
        wire.stop()
    check_out(run)
    check_in(run)
    check_that_it_was_hard(run)
    run.pair.close()


def check_out(run: Run) -> None:
    """Every message arrived as one envelope, whose octets never changed, and is acknowledged."""
    rows = run.side.adapter.list(limit=10_000)
    notes = [row for row in rows if row["direction"] == "out" and row["msg_type"] == "DIALOG_NOTAT"]
    assert Counter(row["leg"] for row in notes) == {"confirmed": len(run.ids)}
    assert Counter(run.partner.notes()) == {row["msg_id"]: 1 for row in notes}
    assert run.partner.faults == []


def check_in(run: Run) -> None:
    """Every message was handed over once, has one Acknowledgment and one AppRec, which is acknowledged."""
    adapter = run.side.adapter
    handed = Counter(event["delivery_id"] for event in events(run) if event["kind"] == "handed over")
    assert (len(handed), set(handed.values())) == (len(run.ids), {1})
    assert Counter((run.folder / "ehr.txt").read_text().split()) == dict.fromkeys(run.ids, 1)
    assert set(run.partner.receipts) == set(run.partner.own)
    assert {len(found) for found in run.partner.receipts.values()} == {1}
    with adapter.parts.store.reading() as db:
        stored = db.exec_driver_sql("SELECT content FROM payload WHERE role = 'signal'").scalars().all()
    assert sorted(found for [found] in run.partner.receipts.values()) == sorted(bytes(one) for one in stored)
    assert Counter(run.partner.answers()) == dict.fromkeys(run.ids, 1)
    rows = adapter.list(limit=10_000)
    assert Counter(row["step"] for row in rows if row["direction"] == "in") == {"receipted": len(run.ids)}
    assert Counter(row["leg"] for row in rows if row["answer"] == "not asked") == {"confirmed": len(run.ids)}
    assert [row["attention"] for row in adapter.list(attention=True)] == []


def check_that_it_was_hard(run: Run) -> None:
    """The kills did hit: both sides had to repeat themselves, for more than what the network lost or doubled."""
    kinds = Counter(event["kind"] for event in events(run))
    assert kinds["resending"] > 0
    assert kinds["envelope repeated"] > 0
    assert run.partner.repeated() > 0


def events(run: Run) -> list[dict[str, Any]]:
    return list(run.side.adapter.events(limit=1_000_000))
