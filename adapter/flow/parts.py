"""What the journeys hold in their hands: wired once by assembly, passed to every step."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from adapter.config import OverdueLimit, Settings, TenantSettings
from adapter.errors import NotFoundError
from adapter.model.document import Facts
from adapter.model.partner import AddressBook, RegisterEntry
from adapter.model.wire import Clock, EbxmlPost, IdSource, Road
from adapter.store.database import Store

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from adapter.config_mail import MailSettings
    from adapter.flow.agreements import AgreementPort
    from adapter.security.keys import Signer
    from adapter.security.revocation import RevocationPort
    from adapter.transport.mailbox import Mailbox
    from adapter.transport.smtp import MailSender

NORWAY = ZoneInfo("Europe/Oslo")
HOUR_US = 3_600_000_000
AlarmSink = Callable[[str, str, bool], None]  # name, text, all clear


def _silent(name: str, text: str, clear: bool) -> None:
    del name, text, clear


def _nobody(her_id: int) -> None:
    del her_id


@dataclass(slots=True)
class IncidentMemory:
    """Which incidents were open when the store was last asked, and when that was (UTC microseconds)."""

    names: set[str] = field(default_factory=set)
    read_at: int = -(1 << 62)


class FactsMemory:
    """The facts of messages judged lately, by delivery: what confirming needs, without the document. Thread-safe."""

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._found: OrderedDict[str, Facts] = OrderedDict()

    def keep(self, delivery_id: str, facts: Facts) -> None:
        """Without what would keep the document's tree in memory."""
        with self._lock:
            self._found[delivery_id] = replace(facts, business=None, attachments=())
            self._found.move_to_end(delivery_id)
            while len(self._found) > self._most:
                self._found.popitem(last=False)

    def take(self, delivery_id: str) -> Facts | None:
        """What was kept, once; None when it has to be read again."""
        with self._lock:
            return self._found.pop(delivery_id, None)


@dataclass(slots=True)
class MailMemory:
    """What this process knows of a mailbox. Times in UTC microseconds."""

    looked_at: int = -(1 << 62)  # when the last look that saw everything began
    stumbled: dict[str, int] = field(default_factory=dict)  # mails that broke a round: until when they are left
    strangers: set[str] = field(default_factory=set)  # mails that bear our mark and are none of ours
    house_at: int = -(1 << 62)  # not before this are old mails deleted again: it has just failed
    quota_at: int = -(1 << 62)  # when the mailbox is asked next how full it is


@dataclass(frozen=True, slots=True, kw_only=True)
class MailRoad:
    """One mail account: our EDI address, the way out and the mailbox, and the tenants whose it is (P23)."""

    name: str  # "" for the common one, else the first tenant's
    tenants: frozenset[str]
    settings: MailSettings
    sender: MailSender
    mailbox: Mailbox
    memory: MailMemory = field(default_factory=MailMemory)

    @property
    def domain(self) -> str:
        return self.settings.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything a journey needs. ``book``, ``signer`` and ``roots`` are asked each time: keys and entries roll."""

    settings: Settings
    store: Store
    now: Clock
    new_id: IdSource
    random: Callable[[], float]  # 0..1
    book: Callable[[], AddressBook]
    roads: Mapping[str, Road]  # EDI 2.0, by tenant
    signer: Callable[[str], Signer]
    renew: Callable[[int], bool | None] = _nobody  # one party of the book, asked for now; see ``LiveBook.renew``
    roots: Callable[[], tuple[Certificate, ...]] = tuple
    ebxml_http: EbxmlPost | None = None  # the ebXML road: one client for all tenants
    mails: tuple[MailRoad, ...] = ()  # one for each distinct setting
    revocation: RevocationPort | None = None
    agreements: AgreementPort | None = None  # CPAs; None: no partner has one
    alarm: AlarmSink = _silent
    worker: str = "worker"
    incidents: IncidentMemory = field(default_factory=IncidentMemory)
    judged: FactsMemory = field(default_factory=FactsMemory)
    stopping: threading.Event = field(default_factory=threading.Event)  # set: finish the call under way, begin no other
    left_alone: set[tuple[str, int]] = field(default_factory=set)  # (server id, receiver) of another system's (P12)
    handover: Callable[[Any], Any] | None = None  # a consumer in this process (P7)
    problems: Callable[[], Mapping[str, str]] = dict  # name -> code of what was renewed and cannot be used (P27)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("adapter.flow"))

    @property
    def mail_out(self) -> MailSender | None:
        """The way out of the first mail there is."""
        return self.mails[0].sender if self.mails else None

    @property
    def mailbox(self) -> Mailbox | None:
        """The first mailbox there is."""
        return self.mails[0].mailbox if self.mails else None

    def local_now(self) -> datetime:
        """Norwegian local time without zone, whole seconds: the form of GenDate (content: 8.3)."""
        return self.now().astimezone(NORWAY).replace(tzinfo=None, microsecond=0)

    def tenant(self, name: str) -> TenantSettings:
        for tenant in self.settings.tenant:
            if tenant.name == name:
                return tenant
        raise NotFoundError("no such tenant", where=name)

    def tenant_of(self, her_id: int) -> TenantSettings:
        """The tenant that owns the HER-id; raises NotFoundError (P23)."""
        for tenant in self.settings.tenant:
            if her_id in tenant.her_ids:
                return tenant
        raise NotFoundError(f"HER-id {her_id} belongs to none of our tenants", cure="add it to her_ids of a [[tenant]]")

    def mail_of(self, tenant: str) -> MailRoad | None:
        """The tenant's mail: its own or the common one; None when it has none (P23)."""
        return next((road for road in self.mails if tenant in road.tenants), None)

    def entry(self, her_id: int | None) -> RegisterEntry | None:
        """The register entry, None when it is not in the book."""
        return None if her_id is None else self.book().entries.get(her_id)


def limit_for(settings: Settings, msg_type: str | None, priority: str | None) -> OverdueLimit:
    """The overdue limits of a message by type and priority (P9)."""
    table = settings.overdue
    if priority == "0":
        return table.emergency
    if msg_type is not None and msg_type in table.types:
        return table.types[msg_type]
    return table.urgent if priority in ("3", "PK") else table.normal


def urgency_of(priority: str | None) -> int:
    """0 emergency, 3 urgent, 9 normal: the order of every list (P9)."""
    return {"0": 0, "3": 3, "PK": 3}.get(priority or "", 9)
