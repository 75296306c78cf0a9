"""Wires settings to parts: store, keys, address book, roads, mail, alarms."""

from __future__ import annotations

import logging
import random
import subprocess
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from adapter.config import Revocation, Settings, TenantSettings
from adapter.errors import SettingsError
from adapter.flow.cards import find_signer
from adapter.flow.parts import MailRoad, Parts
from adapter.model.wire import Clock, HttpReply, IdSource, Road
from adapter.store.database import Store, open_store

if TYPE_CHECKING:
    from adapter.config_mail import MailSettings
    from adapter.flow.agreements import AgreementPort
    from adapter.flow.consumers import Consumer
    from adapter.model.partner import AddressBook
    from adapter.transport.book import LiveBook


def wire(
    settings: Settings,
    *,
    now: Clock,
    ids: IdSource,
    chance: Callable[[], float] | None = None,
    roads: Mapping[str, Road] | None = None,
    book: Callable[[], AddressBook] | None = None,
    handover: Consumer | None = None,
) -> Parts:
    """The parts of an adapter, as ``assembly.open_adapter`` says. Raises SettingsError."""
    store = _open_store(settings, now, ids)
    keys = _KeyRing(settings)
    live = _book(settings, now, ids)
    agreements = _agreements(settings, now, ids)
    if book is None:
        _refuse_mix(settings, live, store)
    parts = Parts(
        settings=settings,
        store=store,
        now=now,
        new_id=ids,
        random=chance or random.SystemRandom().random,
        book=book or live,
        renew=live.renew,
        roads=roads if roads is not None else _roads(settings, now, ids),
        **_ebxml(settings),
        signer=lambda name: find_signer(parts, keys.find, name),
        roots=_roots(settings),
        revocation=_revocation(settings),
        agreements=agreements,
        alarm=_alarm(settings),
        worker=f"worker-{ids()[:8]}",
        handover=handover,
        problems=lambda: {
            **keys.problems(),
            **({"address book": live.problem.code} if live.problem else {}),
            **(agreements.problems() if agreements is not None else {}),
        },
    )
    return parts


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
    return {"ebxml_http": _LaterPost(settings), "mails": _mails(settings)}


def _mails(settings: Settings) -> tuple[MailRoad, ...]:
    """One for each distinct setting that a tenant uses: the common mail, or a tenant's own (P23)."""
    users: dict[int, tuple[MailSettings, list[TenantSettings]]] = {}
    for tenant in settings.tenant:
        mail = tenant.mail or settings.mail
        if mail is not None:
            same = next((key for key, (known, _) in users.items() if known == mail), len(users))
            users.setdefault(same, (mail, []))[1].append(tenant)
    if not users:
        return ()
    from adapter.transport.mailbox import open_mailbox
    from adapter.transport.smtp import open_sender

    return tuple(
        MailRoad(
            name="" if mail == settings.mail else tenants[0].name,
            tenants=frozenset(tenant.name for tenant in tenants),
            settings=mail,
            sender=open_sender(settings, mail),
            mailbox=open_mailbox(settings, mail),
        )
        for mail, tenants in users.values()
    )


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

    register, client = settings.register, None
    tenant = next((tenant for tenant in settings.tenant if tenant.helseid is not None), None)
    if register.base_url is not None and tenant is not None:
        from adapter.transport.register import RegisterClient

        client = RegisterClient(register, _tokens(settings, tenant, now, ids, register.scope), clock=now)
    return LiveBook(
        settings.path(register.file),
        environment=settings.environment.value,
        clock=now,
        cache_s=register.cache_h * 3600,
        refresh=client.refresh if client is not None else None,
        ask=client.renew if client is not None else None,
    )


def _agreements(settings: Settings, now: Clock, ids: IdSource) -> AgreementPort | None:
    """CPAs of a folder and of the register's service; None without either."""
    own = settings.agreements
    if own.directory is None and own.register_url is None:
        return None
    from adapter.flow.agreements import Agreements
    from adapter.flow.register_agreements import RegisterAgreements, folder_of
    from adapter.transport.cpa_register import CpaRegister

    directory = settings.path(own.directory) if own.directory is not None else None
    registers = {}
    for tenant in settings.tenant if own.register_url is not None else ():
        if tenant.helseid is not None:
            service = CpaRegister(own.register_url or "", _tokens(settings, tenant, now, ids, own.register_scope))
            folder = folder_of(directory, tenant.name)
            registers[tenant.name] = RegisterAgreements(service, clock=now, cache_h=own.refresh_h, folder=folder)
    return Agreements(directory, clock=now, refresh_h=own.refresh_h, registers=registers)


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
