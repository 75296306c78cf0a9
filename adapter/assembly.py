"""The ``Adapter`` that library, command line and web hold."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from adapter.config import Settings, TenantSettings
from adapter.errors import InputError
from adapter.flow import handover, inbound, operators, outbound
from adapter.flow.fetch import below_low_water, remember
from adapter.flow.handover import Decision, Taken
from adapter.flow.parts import Parts
from adapter.model.wire import Clock, IdSource, InboxItem, Road
from adapter.store import inbox as inbox_store
from adapter.store import queries
from adapter.store.database import to_us
from adapter.wiring import wire

if TYPE_CHECKING:
    from adapter.flow.consumers import Consumer
    from adapter.flow.ebxml_ask import Pause, PingOutcome
    from adapter.flow.ebxml_in import EnvelopeAnswer
    from adapter.model.message import OutgoingMessage
    from adapter.model.partner import AddressBook


def new_id() -> str:
    return str(uuid.uuid4())


def utc_now() -> datetime:
    return datetime.now(UTC)


class Adapter:
    """Everything a caller can do. Thread-safe; ``close`` it, or use it as a context manager."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def __enter__(self) -> Adapter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for road in self.parts.roads.values():
            road.close()
        if self.parts.ebxml_http is not None:
            self.parts.ebxml_http.close()
        for mail in self.parts.mails:
            mail.sender.close()
            mail.mailbox.close()
        self.parts.store.close()

    # -- out ---------------------------------------------------------------------------------------------------------

    def submit(self, message: OutgoingMessage, *, key: str | None = None, tenant: str | None = None) -> str:
        """Build, check, sign and store a message for sending; gives its id. See ``flow.outbound.submit``."""
        self._own(message.sender, tenant)
        self._refuse_when_full()
        return outbound.submit(self.parts, message, key=key)

    def send_document(self, document: bytes, *, key: str | None = None, tenant: str | None = None) -> str:
        """Check and store a finished document, to be sent byte for byte; gives its id."""
        self._refuse_when_full()
        return outbound.submit_document(self.parts, document, key=key, tenant=tenant)

    # -- in ----------------------------------------------------------------------------------------------------------

    def take(
        self, consumer: str, *, lease_s: float | None = None, tenant: str | None = None, limit: int = 10
    ) -> list[Taken]:
        """Lease received messages to a named consumer (P7)."""
        if not consumer.strip():
            raise InputError("a consumer has a name", where="consumer")
        seconds = lease_s if lease_s is not None else self.parts.settings.inbound.lease_s
        name = self._tenant(tenant).name
        return handover.take(self.parts, tenant=name, consumer=consumer, lease_s=seconds, limit=limit)

    def confirm(self, token: str, decision: Decision = "accept", codes: Sequence[str] = ()) -> str:
        """The consumer's word on a taken message; the AppRec follows from it (P7)."""
        return handover.confirm(self.parts, token, decision, codes)

    def receive(
        self,
        raw: bytes,
        *,
        receiver: int,
        road: str = "replay",
        remote_id: str | None = None,
        sender: int | None = None,
    ) -> dict[str, Any]:
        """Take in bytes that came another way than by polling (replay, folder); gives id and step.

        Without ``remote_id`` no server can be told: nothing is marked read, and the AppRec is kept and never sent.
        """
        self._refuse_when_full()
        tenant = self.parts.tenant_of(receiver)
        item = InboxItem(remote_id=remote_id or "", receiver=receiver, sender=sender)
        row = remember(self.parts, tenant, raw, road=road, item=item)
        step = inbound.receive(self.parts, row, raw)
        return {"id": row["message_id"], "delivery_id": row["id"], "step": step}

    def receive_envelope(self, body: bytes, headers: Iterable[tuple[str, str]]) -> EnvelopeAnswer:
        """Take in an ebXML message that came over HTTP; gives the response. See ``flow.ebxml_in``."""
        from adapter.flow import ebxml_in

        self._refuse_when_full()
        return ebxml_in.receive_envelope(self.parts, body, headers)

    def inbox(self, tenant: str | None = None, limit: int = 200) -> list[dict[str, Any]]:
        """What waits for a consumer, most urgent first, without content."""
        from adapter.model.delivery import Step

        name = self._tenant(tenant).name if tenant else None
        with self.parts.store.reading() as db:
            rows = inbox_store.in_step(db, (Step.ACCEPTED, Step.PARKED), limit, name)
            found = queries.rows_of(db, [row["id"] for row in rows])
        return [queries.shown(row) for row in found]

    # -- looking -----------------------------------------------------------------------------------------------------

    def show(self, any_id: str) -> dict[str, Any]:
        return operators.show(self.parts, any_id)

    def list(
        self,
        *,
        attention: bool = False,
        party: int | None = None,
        state: str | None = None,
        since: datetime | None = None,
        text: str | None = None,
        tenant: str | None = None,
        limit: int = 200,
    ) -> list[dict[str, Any]]:
        """Rows of both directions; see ``store.queries.list_rows``."""
        start = to_us(since) if since is not None else None
        with self.parts.store.reading() as db:
            rows = queries.list_rows(
                db, attention=attention, party=party, state=state, since=start, text=text, tenant=tenant, limit=limit
            )
        return [queries.shown(row) for row in rows]

    def events(self, after: int = 0, limit: int = 1000, tenant: str | None = None) -> Sequence[dict[str, Any]]:
        """Every change at least once, in order; ``after`` is the number of the last event that was read (P6)."""
        with self.parts.store.reading() as db:
            return [queries.shown(row) for row in queries.events_after(db, after, limit, tenant)]

    def export(self, any_id: str, reason: str, role: str = "document") -> bytes:
        return operators.export(self.parts, any_id, reason=reason, role=role)

    def alarms(self) -> Sequence[dict[str, Any]]:
        """Open incidents, oldest first."""
        with self.parts.store.reading() as db:
            return [{**row, "opened_at": _iso(row["opened_at"])} for row in queries.incidents(db)]

    # -- acting ------------------------------------------------------------------------------------------------------

    def cancel(self, any_id: str, reason: str = "") -> Sequence[str]:
        return operators.cancel(self.parts, any_id, reason=reason)

    def requeue(self, any_id: str, reason: str) -> Sequence[str]:
        return operators.requeue(self.parts, any_id, reason=reason)

    def settle(self, any_id: str, by: str, note: str) -> Sequence[str]:
        return operators.settle(self.parts, any_id, by=by, note=note)

    def ping(
        self, her_id: int, *, sender: int | None = None, wait_s: float = 60.0, pause: Pause | None = None
    ) -> PingOutcome:
        """Ask whether a partner's ebXML message handler is there. See ``flow.ebxml_ask``."""
        from adapter.flow import ebxml_ask

        self._refuse_when_full()
        owned = [her_id for tenant in self.parts.settings.tenant for her_id in tenant.her_ids[:1]]
        if sender is None and len(owned) != 1:
            cure = f"give --from (sender), e.g. {owned[0]}" if owned else "give a tenant her_ids"
            raise InputError("which of our addresses asks?", where="sender", cure=cure)
        asks = sender if sender is not None else owned[0]
        waiting = pause or self.parts.stopping.wait
        return ebxml_ask.ping(self.parts, her_id, sender=asks, wait_s=wait_s, pause=waiting)

    def ask_status(
        self, any_id: str, *, partner: int | None = None, wait_s: float = 60.0, pause: Pause | None = None
    ) -> PingOutcome:
        """Ask a receiver over ebXML what became of a message of ours. See ``flow.ebxml_ask``."""
        from adapter.flow import ebxml_ask

        self._refuse_when_full()
        waiting = pause or self.parts.stopping.wait
        return ebxml_ask.ask_status(self.parts, any_id, partner=partner, wait_s=wait_s, pause=waiting)

    def run_once(self) -> dict[str, Any]:
        """One round: fetch, answer, send, follow up."""
        import adapter.worker as worker

        return worker.run_once(self.parts)

    def _tenant(self, name: str | None) -> TenantSettings:
        if name is not None:
            return self.parts.tenant(name)
        if len(self.parts.settings.tenant) != 1:
            raise InputError("there are several tenants: name one", where="tenant")
        return self.parts.settings.tenant[0]

    def _own(self, sender: int, tenant: str | None) -> None:
        owner = self.parts.tenant_of(sender)
        if tenant is not None and owner.name != tenant:
            raise InputError("the sender belongs to another tenant", code="P23.TENANT", where="sender")

    def _refuse_when_full(self) -> None:
        from adapter.errors import StoreError

        if below_low_water(self.parts):
            raise StoreError("the disk is below its low-water mark", code="P28.DISK", cure="free some space")


def _iso(value: int) -> str:
    return datetime.fromtimestamp(value / 1e6, UTC).isoformat(timespec="seconds")


def open_adapter(
    settings: Settings,
    *,
    now: Clock = utc_now,
    ids: IdSource = new_id,
    chance: Callable[[], float] | None = None,
    roads: Mapping[str, Road] | None = None,
    book: Callable[[], AddressBook] | None = None,
    handover: Consumer | None = None,
) -> Adapter:
    """Wire an adapter. ``now``, ``ids``, ``chance``, ``roads`` and ``book`` are handed in by tests and demos.

    ``handover`` is a consumer in this process (P7): the worker calls it with each ``Taken``, and it gives "accept",
    "sorting", ("reject", codes), or None for later; it may be given the same message again after a crash.

    Raises SettingsError for settings, keys, books or stores that cannot work together (P22).
    """
    return Adapter(wire(settings, now=now, ids=ids, chance=chance, roads=roads, book=book, handover=handover))
