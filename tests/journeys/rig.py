"""One adapter and the simulated other side, with a clock that stands still until it is told to go on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adapter import documents, shapes, simulator, xmlio
from adapter.assembly import Adapter, open_adapter
from adapter.config import Settings, read_settings
from adapter.model.message import Head, OutgoingMessage
from adapter.security import xmldsig
from adapter.security.demo_ca import write_pkcs12, write_roots
from adapter.simulator import Simulation
from adapter.simulator import world as place
from adapter.simulator.simulation import VirtualClock
from adapter.store.database import open_store

SAMPLES = Path(__file__).parents[2] / "samples"


def ids(prefix: int = 0) -> Any:
    """UUIDs in order, so that a failure can be repeated."""
    count = iter(range(1, 1_000_000))
    return lambda: f"{prefix:08x}-0000-4000-8000-{next(count):012x}"


@lru_cache(maxsize=1)
def empty_store() -> bytes:
    """A store with its tables: making them takes as long as all that a test does."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "store.db"
        open_store(f"sqlite:///{file}", environment="test", now=lambda: datetime.now(UTC), new_id=ids()).close()
        return file.read_bytes()


class Rig:
    """``adapter`` is Solvang legekontor's (and with ``tenants`` others'); ``world`` is the simulation."""

    def __init__(
        self,
        folder: Path,
        *,
        tenants: Sequence[str] = ("solvang",),
        settings: Mapping[str, Any] | None = None,
        faults: Mapping[str, Sequence[Sequence[object]]] | None = None,
        deviations: Iterable[str] = (),
        seed: int = 0,
        mode: str = "strict",
        clock: Any = None,
    ) -> None:
        self.folder = folder
        # The keys of the world are valid from now on, so its clock starts here.
        self.clock = clock or VirtualClock(datetime.now(UTC).replace(microsecond=0))
        self.world: Simulation = simulator.start(
            seed=seed,
            mode=mode,
            faults=faults,
            deviations=deviations,
            clock=self.clock,
            token_clock=lambda: self.clock().timestamp(),
        )
        self.alarms: list[tuple[str, bool]] = []
        self._write_keys()
        (folder / "addressbook.json").write_text(json.dumps(self.world.address_book()))
        self.settings = self._settings(tenants, settings or {})
        self.generation = 0
        self.adapter = self.open()

    def _write_keys(self) -> None:
        keys = self.world.keys
        write_roots((keys.root.certificate,), self.folder / "roots.pem")
        write_pkcs12(keys.companies["solvang"], self.folder / "company.p12")
        write_pkcs12(keys.persons["solvang", "lege"], self.folder / "lege.p12")
        for name, tenant in self.world.tenants.items():
            file = self.folder / f"{name}.jwk"
            file.touch(mode=0o600)
            file.write_text(json.dumps(dict(tenant.private_jwk)))

    def _settings(self, tenants: Sequence[str], more: Mapping[str, Any]) -> Settings:
        plain: dict[str, Any] = {
            "environment": "test",
            "software": {
                "fagsystem": "Prøve-EPJ",
                "fagsystem_version": "1.0",
                "mellomvare": "adapter",
                "mellomvare_version": "0.1.0",
                "msh": "Norsk Helsenett Meldingstjener",
                "msh_version": "1.0",
            },
            "tenant": [self._tenant(name) for name in tenants],
            "store": {"url": "sqlite:///store.db", "low_water_bytes": 0},
            "keys": {
                "company": {"pkcs12": "company.p12"},
                "lege": {"pkcs12": "lege.p12", "owner": "person"},
            },
            "trust": {"roots": ["roots.pem"], "revocation": "off"},
            "edi20": {"base_url": self.world.edi_url, "source_system": "Prøve-EPJ, v1.0"},
        }
        for section, values in more.items():
            plain[section] = {**plain.get(section, {}), **values} if isinstance(values, Mapping) else values
        return read_settings(plain, self.folder)

    def _tenant(self, name: str) -> dict[str, Any]:
        tenant = self.world.tenants[name]
        plain: dict[str, Any] = {
            "name": name,
            "organisation_number": tenant.organisation_number,
            "her_ids": list(tenant.her_ids),
            "sign_with": "company",
            "helseid": {
                "issuer": self.world.helseid_issuer,
                "client_id": tenant.client_id,
                "key": f"{name}.jwk",
                "form": tenant.spec.form,
            },
        }
        if tenant.spec.child_number:
            plain["child_number"] = tenant.spec.child_number
        return plain

    def open(self) -> Adapter:
        """A new process on the same store, as after a crash."""
        self.generation += 1
        store = self.folder / "store.db"
        if not store.exists():
            store.write_bytes(empty_store())
        adapter = open_adapter(self.settings, now=self.clock, ids=ids(self.generation), chance=lambda: 0.5)
        object.__setattr__(adapter.parts, "alarm", lambda name, text, clear: self.alarms.append((name, clear)))
        return adapter

    def close(self) -> None:
        self.adapter.close()
        self.world.stop()

    def advance(self, **time: float) -> None:
        self.clock.advance(timedelta(**time).total_seconds())

    def rounds(self, number: int = 3, seconds: float = 61) -> None:
        """Rounds of the worker with time between them."""
        for _ in range(number):
            self.adapter.run_once()
            self.advance(seconds=seconds)

    def send(self, plain: Mapping[str, Any], key: str | None = None) -> str:
        return self.adapter.submit(shapes.read(OutgoingMessage, plain), key=key)

    def state(self, message_id: str) -> list[tuple[str, str]]:
        """(leg, answer) of each receiver."""
        return [(row["leg"], row["answer"]) for row in self.adapter.show(message_id)["deliveries"]]

    def steps(self, state: str | None = None) -> list[str]:
        """The steps of everything received, newest first."""
        return [row["step"] for row in self.adapter.list(state=state) if row["direction"] == "in"]

    def attention(self) -> list[str]:
        return [row["attention"] for row in self.adapter.list(attention=True)]

    def kinds(self, message_id: str) -> list[str]:
        """The kinds of a message's events, in order."""
        return [event["kind"] for event in self.adapter.show(message_id)["events"]]


def load(name: str) -> dict[str, Any]:
    """An input of samples/json."""
    plain: dict[str, Any] = json.loads((SAMPLES / "json" / f"{name}.json").read_text("utf-8"))
    return plain


def referral(receiver: int = place.GRANLI_FRISKLIV, **body: Any) -> dict[str, Any]:
    """A referral from Solvang's GP service, synthetic patient."""
    plain = load("referral-frisklivssentral")
    plain["receiver"] = {"her_id": receiver}
    plain["body"] = {**plain["body"], **body}
    return plain


def inquiry(**more: Any) -> dict[str, Any]:
    """A doctor's inquiry to NAV, to be signed by a person."""
    return {**load("nav-henvendelse"), **more}


def letter(
    rig: Rig,
    name: str = "dialogue-notat",
    *,
    sender: int = place.BEKKELIA_GP,
    receiver: int = place.SOLVANG_GP,
    copies: Sequence[int] = (),
    msg_id: str = "aaaaaaaa-0000-4000-8000-000000000001",
    sign_with: Any = None,
    **changes: Any,
) -> bytes:
    """A message from a partner to us, built by the same builder and, with ``sign_with``, signed."""
    plain = {**load(name), "sender": sender, "receiver": {"her_id": receiver}, **changes}
    plain["copies"] = [{"her_id": copy} for copy in copies]
    book = rig.adapter.parts.book()
    head = Head(
        msg_id=msg_id,
        gen_date=rig.adapter.parts.local_now(),
        sender=book.party(sender),
        receiver=book.party(receiver),
        copies=tuple(book.party(copy) for copy in copies),
        marker_seed=msg_id,
    )
    built = documents.build_document(shapes.read(OutgoingMessage, plain), head)
    if sign_with is not None:
        return xmldsig.sign(built.root, sign_with, markers=built.markers, pieces=built.attachments)
    return xmlio.splice(xmlio.serialise(built.root), built.markers, built.attachments)


def emergency(**body: Any) -> dict[str, Any]:
    """The changes that make a referral an emergency."""
    plain = load("referral-frisklivssentral")["body"]
    plain["request"] = {**plain["request"], "priority": "0"}
    return {"body": {**plain, **body}}
