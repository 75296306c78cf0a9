"""The whole other side on loopback: message server, HelseID and address register, with scripted partners."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from adapter.errors import SettingsError
from adapter.model.wire import Clock
from adapter.simulator import world as place
from adapter.simulator.admin import add_admin
from adapter.simulator.deviations import read_deviations
from adapter.simulator.faults import Faults
from adapter.simulator.gate import MODES, Gate
from adapter.simulator.helseid import HelseId
from adapter.simulator.keys import KeySet, certificate_entry, make_keys
from adapter.simulator.message_server import Directory, MessageServer
from adapter.simulator.nav import Nav
from adapter.simulator.partners import Partners, read_script
from adapter.simulator.postoffice import LedgerEntry, PostOffice, ReceiptEntry
from adapter.simulator.proofs import ProofJudge
from adapter.simulator.register import Register
from adapter.simulator.replies import Letters, Replies
from adapter.simulator.serving import Listener
from adapter.simulator.tenants import client_of, make_tenant
from adapter.simulator.world import TenantSpec, World

if TYPE_CHECKING:
    from adapter.simulator.ebxml_side import EbxmlSide

EDI_SCOPE, REGISTER_SCOPE = "nhn:msh/api", "nhn:cp-api/access-v2-dpop"


LIVELY_PARTS: Mapping[int, tuple[str, ...]] = {
    place.GRANLI_FRISKLIV: ("apprec ok", "reply"),
    place.BEKKELIA_GP: ("apprec ok", "reply"),
    place.BEKKELIA_DOCTOR: ("apprec ok", "reply"),
    place.MYRDAL_FRISKLIV: ("apprec ok", "reply"),
    place.TINDVIK_FRISKLIV: ("apprec ok", "reply"),
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
        ebxml: bool,
        keys_at: datetime | None,
    ) -> None:
        self.navs: dict[int, Nav] = {}
        self._keys: KeySet | None = None
        self._keys_at = keys_at
        self._ebxml: EbxmlSide | None = None
        self.clock = clock
        self.world = world
        self.faults = faults
        self.tenants = {spec.name: make_tenant(spec) for spec in tenants}
        self.office = PostOffice(clock, ids)
        self.helseid = HelseId(faults, {t.client_id: client_of(t) for t in self.tenants.values()}, token_clock)
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
        self._ebxml = self._cast_ebxml(ids, parts or {}) if ebxml else None
        add_admin(self.edi, self)

    def _cast(self, parts: Mapping[int, Sequence[str]]) -> None:
        """Give every reachable party that is none of our tenants its usual part."""
        letters = Letters(self.office)
        replies = Replies(letters)
        ours = {her_id for tenant in self.tenants.values() for her_id in tenant.her_ids}
        for unit in self.world.units.values():
            if not self.world.reachable(unit.her_id) or unit.her_id in ours:
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

    def _cast_ebxml(self, ids: Callable[[], str], parts: Mapping[int, Sequence[str]]) -> EbxmlSide:
        from adapter.simulator.ebxml_side import EbxmlSide

        specs = tuple(tenant.spec for tenant in self.tenants.values())
        return EbxmlSide(
            world=self.world,
            tenants=specs,
            keys=lambda: self.keys,
            clock=self.clock,
            ids=ids,
            faults=self.faults,
            parts=parts,
        )

    @property
    def ebxml(self) -> EbxmlSide:
        """The partners on ebXML; raises SettingsError when the simulation was started without them."""
        if self._ebxml is None:
            raise SettingsError("the simulation has no partners on ebXML", cure="start it with ebxml=True")
        return self._ebxml

    @property
    def has_ebxml(self) -> bool:
        return self._ebxml is not None

    @property
    def keys(self) -> KeySet:
        """The tenants' signing keys and their CA, made when first asked for."""
        if self._keys is None:
            made = make_keys(tuple(tenant.spec for tenant in self.tenants.values()), self._keys_at)
            self._keys = replace(made, signers=dict(made.signers))  # persons added here stay here
        return self._keys

    def _certificate_of(self, level1: int) -> Mapping[str, Any] | None:
        for tenant in self.tenants.values():
            if tenant.spec.level1 == level1:
                return certificate_entry(self.keys.companies[tenant.name].certificate)
        return self._ebxml.registered(level1) if self._ebxml is not None else None

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
        if self._ebxml is not None:
            self._ebxml.start(ticking=not isinstance(self.clock, VirtualClock))

    def stop(self) -> None:
        """Stop all servers; may be called twice."""
        listeners, self._listeners = self._listeners, []
        stops = [listener.stop for listener in listeners]
        stops += [self._ebxml.stop] if self._ebxml is not None and listeners else []
        stopping = [threading.Thread(target=stop, daemon=True) for stop in stops]
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
            **(self._ebxml.urls() if self._ebxml is not None else {}),
        }

    def address_book(self) -> dict[str, Any]:
        """The address book file as plain JSON."""
        return self.world.address_book()

    # -- what the partners do -----------------------------------------------------------------------------------------

    def script(self, receiver: int, *behaviours: str, msg_id: str | None = None) -> None:
        """Set what a receiver does from now on, or with one message only.

        Names: ``partners.BEHAVIOURS``; for partners on ebXML also ``ebxml_script.EBXML_BEHAVIOURS``.
        """
        if self._ebxml is not None and receiver in self._ebxml.partners:
            self._ebxml.script(receiver, *behaviours, msg_id=msg_id)
            return
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

    def ebxml_json(self, since: int = 0) -> list[dict[str, Any]]:
        """The envelopes of the partners on ebXML from an index on, as the admin API gives them."""
        return [entry.as_json() for entry in self.ebxml.entries()[since:]]

    def write(self, document: bytes, sender: int, receiver: int) -> str:
        """Let a partner on ebXML send us a document by its road; gives the MessageId."""
        return self.ebxml.send(document, sender=sender, receiver=receiver)

    def ping(self, sender: int, receiver: int) -> str:
        """Let a partner on ebXML ask whether we are there; gives the Ping's MessageId."""
        return self.ebxml.ping(sender, receiver)

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
    ebxml: bool = False,
    keys_at: datetime | None = None,
) -> Simulation:
    """Start a simulation on free loopback ports (``port``: that of the message server, 0 takes a free one).

    ``mode``: strict (full DPoP), any (some Authorization header), plain (none). ``clock`` drives late behaviours and
    dates; ``token_clock`` (seconds since 1970) drives tokens and proofs. ``faults`` is a plan for ``seed``, or a
    Faults. ``parts``: behaviours by HER-id in place of the usual ones ("apprec ok", NAV: "judge"). ``ebxml``: with the
    partners that are reached by mail and over HTTP, and their servers. ``keys_at``: when certificates are valid (None:
    about now, by the machine's clock).
    """
    if mode not in MODES:
        raise SettingsError("there is no such mode", where="mode", cure=f"one of: {', '.join(MODES)}")
    simulation = Simulation(
        world=world or (_whole_world() if ebxml else World()),
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
        ebxml=ebxml,
        keys_at=keys_at,
    )
    simulation.run()
    return simulation


def _whole_world() -> World:
    from adapter.simulator.world_ebxml import EBXML_MUNICIPALITIES, EBXML_UNITS

    return World((*place.UNITS, *EBXML_UNITS), {**place.MUNICIPALITIES, **EBXML_MUNICIPALITIES})
