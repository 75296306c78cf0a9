"""Wires settings to parts, and the ``Adapter`` that library, command line and web hold."""

from __future__ import annotations

import logging
import random
import subprocess
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from adapter.config import Revocation, Settings, TenantSettings
from adapter.errors import InputError, SettingsError
from adapter.flow import handover, inbound, operators, outbound
from adapter.flow.fetch import below_low_water, remember
from adapter.flow.handover import Decision, Taken
from adapter.flow.parts import Parts
from adapter.model.wire import Clock, HttpReply, IdSource, InboxItem, Road
from adapter.store import inbox as inbox_store
from adapter.store import queries
from adapter.store.database import Store, open_store, to_us

if TYPE_CHECKING:
    from adapter.flow.consumers import Consumer
    from adapter.flow.ebxml_in import EnvelopeAnswer
    from adapter.model.message import OutgoingMessage
    from adapter.model.partner import AddressBook
    from adapter.transport.book import LiveBook


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
        for other in (self.parts.ebxml_http, self.parts.mail_out, self.parts.mailbox):
            if other is not None:
                other.close()
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
    store = _open_store(settings, now, ids)
    keys = _KeyRing(settings)
    live = _book(settings, now, ids)
    if book is None:
        _refuse_mix(settings, live, store)
    parts = Parts(
        settings=settings,
        store=store,
        now=now,
        new_id=ids,
        random=chance or random.SystemRandom().random,
        book=book or live,
        roads=roads if roads is not None else _roads(settings, now, ids),
        **_ebxml(settings),
        signer=keys.find,
        roots=_roots(settings),
        revocation=_revocation(settings),
        alarm=_alarm(settings),
        worker=f"worker-{ids()[:8]}",
        handover=handover,
        problems=lambda: {**keys.problems(), **({"address book": live.problem.code} if live.problem else {})},
    )
    return Adapter(parts)


def _open_store(settings: Settings, now: Clock, ids: IdSource) -> Store:
    url = settings.store.url
    prefix = "sqlite:///"
    if url.startswith(prefix) and not url.startswith("sqlite:////"):
        url = prefix + str(settings.path(url.removeprefix(prefix)).absolute())
    busy = settings.store.busy_wait_s
    return open_store(url, environment=settings.environment.value, now=now, new_id=ids, busy_wait_s=busy)


def _refuse_mix(settings: Settings, live: LiveBook, store: Store) -> None:
    """The address book is of our environment, as everything else (P22); one that is not there is missed later."""
    if not settings.path(settings.register.file).exists():
        return
    try:
        live.check()
    except SettingsError as error:
        if error.code == "SETTINGS.MIX":
            store.close()
            raise


class _LaterPost:
    """The client of the ebXML road over HTTP, made when the first message goes out."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Any = None

    def post(self, url: str, headers: Iterable[tuple[str, str]], pieces: Iterable[bytes]) -> HttpReply:
        if self._client is None:
            from adapter.transport.ebms_http import open_client

            self._client = open_client(self._settings)
        return cast("HttpReply", self._client.post(url, headers, pieces))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def _ebxml(settings: Settings) -> dict[str, Any]:
    http = {"ebxml_http": _LaterPost(settings)}
    if settings.mail is None:
        return http
    from adapter.transport.mailbox import open_mailbox
    from adapter.transport.smtp import open_sender

    return {**http, "mail_out": open_sender(settings), "mailbox": open_mailbox(settings)}


class _KeyRing:
    """Signing keys by name; loading cryptography waits for the first one that is needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ring: Any = None

    def problems(self) -> dict[str, str]:
        """Key name -> code of a new file that cannot be opened (P27)."""
        if self._ring is None:
            return {}
        return {f"key {name}": error.code for name, error in self._ring.problems.items()}

    def find(self, name: str) -> Any:
        if self._ring is None:
            from adapter.security.keys import KeyRing

            self._ring = KeyRing(self._settings)
        return self._ring.find(name)


def _tokens(settings: Settings, tenant: TenantSettings, now: Clock, ids: IdSource, scope: str) -> Any:
    from adapter.transport.helseid import ScopedTokens, open_tokens

    assert tenant.helseid is not None
    tokens = open_tokens(
        tenant.helseid,
        organisation_number=tenant.organisation_number,
        child_number=tenant.child_number,
        path=settings.path,
        clock=now,
        new_id=ids,
    )
    return ScopedTokens(tokens, scope)


def _book(settings: Settings, now: Clock, ids: IdSource) -> LiveBook:
    from adapter.transport.book import LiveBook

    register, refresh = settings.register, None
    tenant = next((tenant for tenant in settings.tenant if tenant.helseid is not None), None)
    if register.base_url is not None and tenant is not None:
        from adapter.transport.register import RegisterClient

        refresh = RegisterClient(register, _tokens(settings, tenant, now, ids, register.scope), clock=now).refresh
    return LiveBook(
        settings.path(register.file),
        environment=settings.environment.value,
        clock=now,
        cache_s=register.cache_h * 3600,
        refresh=refresh,
    )


def _roads(settings: Settings, now: Clock, ids: IdSource) -> dict[str, Road]:
    found: dict[str, Road] = {}
    for tenant in settings.tenant:
        if tenant.helseid is None or settings.edi20 is None:
            continue
        from adapter.transport.edi20 import Edi20Road

        access = _tokens(settings, tenant, now, ids, tenant.helseid.scope)
        found[tenant.name] = Edi20Road(settings.edi20, access, software=settings.software, clock=now)
    return found


def _roots(settings: Settings) -> Callable[[], Any]:
    held: list[Any] = []

    def roots() -> Any:
        if not held and settings.trust.roots:
            from adapter.security.certificates import load_roots

            held.append(load_roots([settings.path(root) for root in settings.trust.roots]))
        return held[0] if held else ()

    return roots


def _revocation(settings: Settings) -> Any:
    if settings.trust.revocation is Revocation.OFF or not settings.trust.revocation_hosts:
        return None
    from adapter.security.revocation import RevocationClient

    return RevocationClient(settings.trust.revocation_hosts)


def _alarm(settings: Settings) -> Callable[[str, str, bool], None]:
    command = settings.alert.command

    def alarm(name: str, text: str, clear: bool) -> None:
        if not command:
            return
        try:
            arguments = [*command, "clear" if clear else "alarm", name, text]
            # The operator's own command; its words must not mix with our results on stdout.
            done = subprocess.run(
                arguments, timeout=20, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
            if done.returncode != 0:
                logging.getLogger("adapter.alarm").error("alert command failed", extra={"exit_code": done.returncode})
        except (OSError, subprocess.TimeoutExpired) as error:
            # A broken alarm bell must not stop the message that rang it.
            logging.getLogger("adapter.alarm").error("alert command failed", extra={"code": type(error).__name__})

    return alarm
