"""The whole other side on loopback: message server, HelseID and address register, with scripted partners."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import TracebackType
from typing import Any

from joserfc.jwk import ECKey, KeyParameters, RSAKey

from adapter.errors import SettingsError
from adapter.model.wire import Clock
from adapter.simulator import world as place
from adapter.simulator.admin import add_admin
from adapter.simulator.deviations import read_deviations
from adapter.simulator.faults import Faults
from adapter.simulator.gate import MODES, Gate
from adapter.simulator.helseid import Client, HelseId
from adapter.simulator.keys import KeySet, certificate_entry, make_keys
from adapter.simulator.message_server import Directory, MessageServer
from adapter.simulator.nav import Nav
from adapter.simulator.partners import Partners, read_script
from adapter.simulator.postoffice import LedgerEntry, PostOffice, ReceiptEntry
from adapter.simulator.proofs import ProofJudge
from adapter.simulator.register import Register
from adapter.simulator.replies import Letters, Replies
from adapter.simulator.serving import Listener
from adapter.simulator.world import TenantSpec, World

EDI_SCOPE, REGISTER_SCOPE = "nhn:msh/api", "nhn:cp-api/access-v2-dpop"


LIVELY_PARTS: Mapping[int, tuple[str, ...]] = {
    place.GRANLI_FRISKLIV: ("apprec ok", "reply"),
    place.BEKKELIA_GP: ("apprec ok", "reply"),
    place.BEKKELIA_DOCTOR: ("apprec ok", "reply"),
}  # partners that also write back, for ``adapter simulate`` and the demo


class VirtualClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> datetime:
        """Go on by ``seconds``; returns the new time."""
        with self._lock:
            self._now += timedelta(seconds=seconds)
            return self._now


def wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant with its HelseID key. ``private_jwk`` was made at run time and is worth nothing elsewhere."""

    spec: TenantSpec
    private_jwk: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def organisation_number(self) -> str:
        return self.spec.organisation_number

    @property
    def her_ids(self) -> tuple[int, ...]:
        return self.spec.her_ids

    @property
    def client_id(self) -> str:
        return self.spec.client_id


@lru_cache(maxsize=8)
def _client_key(name: str, algorithm: str) -> RSAKey | ECKey:
    """A tenant's key, one per process: making RSA keys is slow and no test needs two."""
    parameters: KeyParameters = {"alg": algorithm, "use": "sig", "kid": secrets.token_hex(16)}
    if algorithm.startswith("ES"):
        return ECKey.generate_key("P-256", parameters, private=True)
    return RSAKey.generate_key(2048, parameters, private=True)


def make_tenant(spec: TenantSpec) -> Tenant:
    """The tenant with its key."""
    return Tenant(spec, _client_key(spec.name, spec.algorithm).as_dict(private=True))


def _client(tenant: Tenant) -> Client:
    spec = tenant.spec
    key = _client_key(spec.name, spec.algorithm)
    multi = spec.form.startswith("multi")
    children = (spec.child_number,) if spec.child_number else ()
    return Client(
        client_id=spec.client_id,
        name=spec.display_name,
        organisation_number=spec.supplier_number or spec.organisation_number,
        keys=(key.as_dict(private=False),),
        multi_tenant=multi,
        children=() if multi else children,
        customers={spec.organisation_number: children} if multi else {},
    )


class Simulation:
    """A running simulation; ``with`` stops it. Everything public may be called from any thread."""

    environment = "test"

    def __init__(
        self,
        *,
        world: World,
        tenants: Sequence[TenantSpec],
        clock: Clock,
        token_clock: Callable[[], float],
        faults: Faults,
        mode: str,
        deviations: frozenset[str],
        limit_bytes: int,
        ids: Callable[[], str],
        port: int,
        parts: Mapping[int, Sequence[str]] | None,
    ) -> None:
        self.navs: dict[int, Nav] = {}
        self._keys: KeySet | None = None
        self.clock = clock
        self.world = world
        self.faults = faults
        self.tenants = {spec.name: make_tenant(spec) for spec in tenants}
        self.office = PostOffice(clock, ids)
        self.helseid = HelseId(faults, {t.client_id: _client(t) for t in self.tenants.values()}, token_clock)
        directory = Directory(world.owner, world.reachable)
        self.edi = MessageServer(self.office, directory, faults, deviations=deviations, limit_bytes=limit_bytes)
        self.edi.now = token_clock
        self.partners = Partners(self.office, self.edi.write_receipt, {}, {}, {}, {})
        self.office.arrived = self.partners.arrived
        self.register = Register(world, faults)
        self.register.now = token_clock
        self._listeners = [Listener(self.helseid), Listener(self.edi, port), Listener(self.register)]
        self.edi.gate = Gate(mode, self.helseid.token_judge(EDI_SCOPE), ProofJudge(token_clock))
        self.register.gate = Gate(mode, self.helseid.token_judge(REGISTER_SCOPE), ProofJudge(token_clock))
        world.certificate_of = self._certificate_of
        self._cast(parts or {})
        add_admin(self.edi, self)

    def _cast(self, parts: Mapping[int, Sequence[str]]) -> None:
        """Give every reachable party that is none of our tenants its usual part."""
        letters = Letters(self.office)
        replies = Replies(letters)
        ours = {her_id for tenant in self.tenants.values() for her_id in tenant.her_ids}
        for unit in self.world.units.values():
            if not unit.reachable or unit.her_id in ours:
                continue
            if unit.agreement and unit.agreement.get("nav"):
                nav = Nav(self.office, lambda: self.keys, letters, unit.agreement.get("process_names") != "nav-emottak")
                self.navs[unit.her_id] = nav
                self.partners.judges[unit.her_id] = nav.judge
                self.partners.answerers[unit.her_id] = nav.answer
                self.script(unit.her_id, *parts.get(unit.her_id, ("judge",)))
            else:
                self.partners.answerers[unit.her_id] = replies.answer
                self.script(unit.her_id, *parts.get(unit.her_id, ("apprec ok",)))

    @property
    def keys(self) -> KeySet:
        """The tenants' signing keys and their CA, made when first asked for."""
        if self._keys is None:
            made = make_keys(tuple(tenant.spec for tenant in self.tenants.values()))
            self._keys = replace(made, signers=dict(made.signers))  # persons added here stay here
        return self._keys

    def _certificate_of(self, level1: int) -> Mapping[str, Any] | None:
        for tenant in self.tenants.values():
            if tenant.spec.level1 == level1:
                return certificate_entry(self.keys.companies[tenant.name].certificate)
        return None

    # -- life ---------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Simulation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def run(self) -> None:
        """Begin to serve."""
        for listener in self._listeners:
            listener.start()

    def stop(self) -> None:
        """Stop all servers; may be called twice."""
        listeners, self._listeners = self._listeners, []
        stopping = [threading.Thread(target=listener.stop, daemon=True) for listener in listeners]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join(5)

    # -- where it is --------------------------------------------------------------------------------------------------

    @property
    def edi_url(self) -> str:
        return self.edi.url

    @property
    def helseid_issuer(self) -> str:
        return self.helseid.url

    @property
    def register_url(self) -> str:
        return self.register.url

    def urls(self) -> dict[str, Any]:
        """All addresses, as ``adapter simulate`` prints them."""
        return {
            "edi_url": self.edi_url,
            "helseid_issuer": self.helseid_issuer,
            "register_url": self.register_url,
            "admin_url": f"{self.edi_url}/_simulator",
            "environment": self.environment,
        }

    def address_book(self) -> dict[str, Any]:
        """The address book file as plain JSON."""
        return self.world.address_book()

    # -- what the partners do -----------------------------------------------------------------------------------------

    def script(self, receiver: int, *behaviours: str, msg_id: str | None = None) -> None:
        """Set what a receiver does from now on, or with one message only. Names: ``partners.BEHAVIOURS``."""
        script = read_script(behaviours)
        if msg_id is None:
            self.partners.scripts[receiver] = script
        else:
            self.partners.by_message[(receiver, msg_id.lower())] = script

    def set_faults(self, plan: Mapping[str, Sequence[Sequence[object]]]) -> None:
        """Replace the plan of faults; ``{}`` ends them."""
        self.faults.set_plan(plan)

    def advance(self, seconds: float) -> str:
        """Let the virtual clock go on; raises SettingsError when the simulation runs by the machine's clock."""
        if not isinstance(self.clock, VirtualClock):
            raise SettingsError("the simulation runs by the machine's clock", cure="start it with a VirtualClock")
        return self.clock.advance(seconds).isoformat()

    # -- what the tests see -------------------------------------------------------------------------------------------

    def inject(
        self,
        xml: bytes,
        receiver: int,
        *,
        sender: int | None = None,
        **known: str | bool | None,
    ) -> str:
        """Put raw bytes into an inbox and return the server's id. ``known``: msg_id, gen_date, is_apprec."""
        return self.office.inject(xml, receiver, sender=sender, **known).id

    @property
    def ledger(self) -> list[LedgerEntry]:
        """Everything that was accepted, in order."""
        self.office.run_due()
        return list(self.office.ledger)

    def receipts(self, msg_id: str | None = None) -> list[ReceiptEntry]:
        """The AppRecs that passed, all or for one MsgId."""
        self.office.run_due()
        return [entry for entry in self.office.receipts if msg_id is None or _same(entry.original_msg_id, msg_id)]

    def ledger_json(self, since: int = 0) -> list[dict[str, Any]]:
        """The ledger from an index on, as the admin API gives it."""
        return [entry.as_json() for entry in self.ledger[since:]]

    def receipts_json(self, msg_id: str | None = None) -> list[dict[str, Any]]:
        """The AppRecs as the admin API gives them."""
        return [entry.as_json() for entry in self.receipts(msg_id)]

    def statuses(self, msg_id: str) -> list[dict[str, Any]]:
        """Transport state and AppRec status by receiver, over all POSTs of that MsgId."""
        self.office.run_due()
        return [
            {
                "remoteId": stored.id,
                "receiver": row.receiver,
                "transport": row.transport,
                "apprec": row.apprec,
                "read": row.read,
            }
            for stored in self.office.find(msg_id)
            for row in stored.deliveries.values()
        ]

    def unread(self, receiver: int) -> int:
        """How many messages wait in an inbox."""
        self.office.run_due()
        return len(self.office.unread([receiver]))

    def document(self, remote_id: str) -> bytes:
        """The bytes of a message by the server's id."""
        return self.office.messages[remote_id].document


def _same(left: str | None, right: str) -> bool:
    return left is not None and left.lower() == right.lower()


def start(
    *,
    seed: int = 0,
    mode: str = "strict",
    faults: Faults | Mapping[str, Sequence[Sequence[object]]] | None = None,
    deviations: Iterable[str] = (),
    clock: Clock = wall_clock,
    token_clock: Callable[[], float] = time.time,
    limit_bytes: int = 35_000_000,
    world: World | None = None,
    tenants: Sequence[TenantSpec] = place.TENANTS,
    ids: Callable[[], str] | None = None,
    port: int = 0,
    parts: Mapping[int, Sequence[str]] | None = None,
) -> Simulation:
    """Start a simulation on free loopback ports (``port``: that of the message server, 0 takes a free one).

    ``mode``: strict (full DPoP), any (some Authorization header), plain (none). ``clock`` drives late behaviours and
    dates; ``token_clock`` (seconds since 1970) drives tokens and proofs. ``faults`` is a plan for ``seed``, or a
    Faults. ``parts``: behaviours by HER-id in place of the usual ones ("apprec ok", NAV: "judge").
    """
    if mode not in MODES:
        raise SettingsError("there is no such mode", where="mode", cure=f"one of: {', '.join(MODES)}")
    simulation = Simulation(
        world=world or World(),
        tenants=tenants,
        clock=clock,
        token_clock=token_clock,
        faults=faults if isinstance(faults, Faults) else Faults(seed=seed, plan=faults),
        mode=mode,
        deviations=read_deviations(deviations),
        limit_bytes=limit_bytes,
        ids=ids or (lambda: str(uuid.uuid4())),
        port=port,
        parts=parts,
    )
    simulation.run()
    return simulation
