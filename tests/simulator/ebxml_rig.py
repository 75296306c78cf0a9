"""An adapter on the folder that the simulator writes, beside the simulated partners on ebXML, with a clock to wind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from adapter import shapes
from adapter.assembly import open_adapter
from adapter.config import load_settings
from adapter.model.message import OutgoingMessage
from adapter.simulator import VirtualClock, start, write_folder
from adapter.simulator import world as place
from tests.journeys.rig import empty_store

SAMPLES = Path(__file__).parents[2] / "samples"
BOTH = [place.MYRDAL_FRISKLIV, place.TINDVIK_FRISKLIV]
HOUR_S = 3600.0


class EbxmlRig:
    """``world`` is the simulation, ``side`` its ebXML half, ``adapter`` runs with the written folder."""

    def __init__(
        self,
        folder: Path,
        *,
        parts: Mapping[int, tuple[str, ...]] | None = None,
        tenants: tuple[str, ...] = ("solvang",),
    ) -> None:
        self.clock = VirtualClock(datetime.now(UTC).replace(microsecond=0))
        self.world = start(clock=self.clock, token_clock=lambda: self.clock().timestamp(), parts=parts, ebxml=True)
        self.side = self.world.ebxml
        written = load_settings(write_folder(self.world, folder))
        # The other road is not asked here: without HelseID there is no message server, and the book is the file's.
        used = tuple(replace(tenant, helseid=None) for tenant in written.tenant if tenant.name in tenants)
        self.settings = replace(written, tenant=used)
        (folder / "adapter.db").write_bytes(empty_store())
        self.adapter = open_adapter(self.settings, now=self.clock, chance=lambda: 0.5)
        self.side.courier.post = self._receive

    def _receive(self, body: bytes, headers: tuple[tuple[str, str], ...]) -> tuple[Mapping[str, str], bytes]:
        """As our endpoint would, without the network."""
        answer = self.adapter.receive_envelope(body, headers)
        return dict(answer.headers), answer.body

    def close(self) -> None:
        self.adapter.close()
        self.world.stop()

    def rounds(self, number: int = 3, seconds: float = 61) -> None:
        """Rounds of the worker, with time and the other side's doings between them."""
        for _ in range(number):
            self.adapter.run_once()
            self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds).total_seconds())
        self.side.run_due()

    def send(self, name: str = "referral-frisklivssentral", **changes: Any) -> str:
        """Submit an input of samples/json; gives the message's id."""
        plain = {**json.loads((SAMPLES / "json" / f"{name}.json").read_text("utf-8")), **changes}
        return self.adapter.submit(shapes.read(OutgoingMessage, plain))

    def refer(self, her_id: int, *behaviours: str) -> str:
        """A referral to a frisklivssentral that behaves so."""
        if behaviours:
            self.world.script(her_id, *behaviours)
        return self.send(receiver={"her_id": her_id})

    def inquire(self, her_id: int, **changes: Any) -> str:
        """A doctor's signed inquiry to NAV."""
        doctor = self.world.tenants["solvang"].spec.persons[0]
        signer = {"key": f"solvang-{doctor.name}", "fnr": doctor.fnr, "profession": doctor.profession}
        return self.send("nav-henvendelse", receiver={"her_id": her_id}, signer=signer, **changes)

    def state(self, message_id: str) -> tuple[str, str]:
        """(leg, answer) of the one receiver."""
        (row,) = self.adapter.show(message_id)["deliveries"]
        return row["leg"], row["answer"]

    def attention(self) -> list[str]:
        return [row["attention"] for row in self.adapter.list(attention=True)]

    def received(self) -> list[tuple[str | None, str]]:
        """(type, step) of everything that came to us, oldest first."""
        rows = [row for row in self.adapter.list() if row["direction"] == "in"]
        return [(row["msg_type"], row["step"]) for row in reversed(rows)]

    def seen(self, her_id: int, way: str = "in") -> list[str | None]:
        """The kinds of the envelopes that a partner got or sent, in order; those that were lost are left out."""
        return [entry.kind for entry in self.side.entries(her_id, way) if entry.note != "lost"]

    def kinds(self, message_id: str) -> list[str]:
        """The kinds of a message's events, in order."""
        return [event["kind"] for event in self.adapter.show(message_id)["events"]]
