"""The ebXML half of the simulation: partners, their servers on loopback, and what falls due by the clock."""

from __future__ import annotations

import re
import secrets
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography.x509 import Certificate

from adapter.ebxml.opening import open_message
from adapter.ebxml.pack import Attachment, MailHead, pack_http, pack_mail
from adapter.errors import SettingsError
from adapter.model.process import apprec_version
from adapter.model.wire import EBXML_MAIL, EBXML_ROADS, Clock, IdSource
from adapter.simulator.addressing import edi_address, read_envelope
from adapter.simulator.answers import write_apprec
from adapter.simulator.ebxml_agreement import Party, agreement_id, write_agreement
from adapter.simulator.ebxml_http import Courier, EbxmlEndpoint, post_to
from adapter.simulator.ebxml_ledger import EbxmlEntry, EbxmlLedger
from adapter.simulator.ebxml_letters import write_message
from adapter.simulator.ebxml_mail import SmtpServer, write_bounce
from adapter.simulator.ebxml_partner import EbxmlPartner, Surroundings
from adapter.simulator.ebxml_script import read_ebxml_script
from adapter.simulator.faults import Faults
from adapter.simulator.keys import EnvelopeKeys, KeySet, certificate_entry
from adapter.simulator.mailroom import OUR_PATH, Mailroom
from adapter.simulator.nav import Nav
from adapter.simulator.partners import Partners
from adapter.simulator.pop3_server import Pop3Server
from adapter.simulator.postoffice import WRITTEN_BY_SERVER, Delivery, PostOffice, Stored, local_time
from adapter.simulator.replies import Letters, Replies
from adapter.simulator.serving import Listener
from adapter.simulator.world import TenantSpec, World

TICK_S = 0.25
_ADDRESS = re.compile(r"her([0-9]{1,10})@edi\.simulator\.invalid", re.IGNORECASE)


class EbxmlSide:
    """Partners on ebXML. ``ledger`` is what they got and sent, ``office`` holds the documents and AppRecs."""

    def __init__(
        self,
        *,
        world: World,
        tenants: Sequence[TenantSpec],
        keys: Callable[[], KeySet],
        clock: Clock,
        ids: IdSource,
        faults: Faults,
        parts: Mapping[int, Sequence[str]],
    ) -> None:
        self._world, self._tenants, self._keys = world, tenants, keys
        self._ours = {her_id: spec for spec in tenants for her_id in (*spec.her_ids, spec.level1)}
        self.office = PostOffice(clock, ids)
        self.ledger = EbxmlLedger(clock)
        self.navs: dict[int, Nav] = {}
        self._business = Partners(self.office, self._write_receipt, {}, {}, {}, {})
        self.office.arrived = self._arrived
        self.partners = {
            unit.her_id: self._cast(unit.her_id) for unit in world.units.values() if unit.road in EBXML_ROADS
        }
        self.mailroom = Mailroom(secrets.token_hex(16))
        for spec in tenants:
            self.mailroom.open_box(spec.name)
        self.mailroom.before = self.run_due
        self.courier = Courier(self.office.later)
        self.our_port = _free_port()
        self.deliver_to(f"http://127.0.0.1:{self.our_port}{OUR_PATH}")
        self._endpoint = EbxmlEndpoint(self.partners, faults, ids, self.run_due)
        self._listener = Listener(self._endpoint)
        self.smtp = SmtpServer(self._refusal, self._take_mail)
        self.pop3 = Pop3Server(self.mailroom)
        self._stopping = threading.Event()
        world.endpoint_of, world.sealing_of = self._endpoint_of, self._sealing_of
        for her_id, partner in self.partners.items():
            self.script(her_id, *(parts.get(her_id) or (("judge",) if partner.is_nav else ("apprec ok",))))

    def _cast(self, her_id: int) -> EbxmlPartner:
        unit, letters = self._world.units[her_id], Letters(self.office)
        top = self._world.top(her_id) or unit
        keys = self._keys().envelope_keys(top.name, top.organisation_number or "")
        around = Surroundings(
            office=self.office, ledger=self.ledger, carry=self._carry, certificates_of=self._certificates_of
        )
        partner = EbxmlPartner(unit=unit, keys=keys, around=around)
        if partner.is_nav:
            nav = self.navs[her_id] = Nav(self.office, self._keys, letters)
            self._business.judges[her_id], self._business.answerers[her_id] = nav.judge, nav.answer
        else:
            self._business.answerers[her_id] = Replies(letters).answer
        return partner

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self, *, ticking: bool) -> None:
        """Begin to serve; ``ticking``: what falls due happens by itself, not only when somebody calls."""
        for server in (self._listener, self.smtp, self.pop3):
            server.start()
        if ticking:
            threading.Thread(target=self._tick, name="simulator-ebxml", daemon=True).start()

    def _tick(self) -> None:
        while not self._stopping.wait(TICK_S):
            self.run_due()

    def stop(self) -> None:
        self._stopping.set()
        for server in (self._listener, self.smtp, self.pop3):
            server.stop()

    def run_due(self) -> None:
        """Do what is due by the clock; then bring our endpoint what partners have sent."""
        self.office.run_due()
        self.courier.run()

    # -- where it is ---------------------------------------------------------------------------------------------------

    def urls(self) -> dict[str, Any]:
        """The addresses, as ``adapter simulate`` prints them."""
        return {
            "ebxml_url": f"{self._endpoint.url}/ebxml",
            "smtp": f"127.0.0.1:{self.smtp.port}",
            "pop3": f"127.0.0.1:{self.pop3.port}",
        }

    def deliver_to(self, url: str) -> None:
        """Where partners on HTTP post their own messages: our endpoint."""
        self.courier.post = post_to(url)

    def _endpoint_of(self, her_id: int) -> str | None:
        partner = self.partners.get(her_id)
        if partner is None or partner.unit.road == EBXML_MAIL:
            return None
        return f"{self._endpoint.url}/ebxml/{her_id}"

    # -- keys ----------------------------------------------------------------------------------------------------------

    def tenant_keys(self, spec: TenantSpec) -> EnvelopeKeys:
        """One of our own tenants' keys: it signs with its company key."""
        keys = self._keys()
        return keys.envelope_keys(spec.display_name, spec.organisation_number, keys.companies[spec.name])

    def registered(self, level1: int) -> Mapping[str, Any] | None:
        """The signing certificate that the register has of a partner, now."""
        for partner in self.partners.values():
            top = self._world.top(partner.her_id)
            if top is not None and top.her_id == level1:
                return certificate_entry(partner.registered.certificate)
        return None

    def _sealing_of(self, level1: int) -> Mapping[str, Any] | None:
        spec = next((spec for spec in self._tenants if spec.level1 == level1), None)
        if spec is not None:
            return certificate_entry(self.tenant_keys(spec).sealing.certificate)
        for partner in self.partners.values():
            top = self._world.top(partner.her_id)
            if top is not None and top.her_id == level1:
                return certificate_entry(partner.keys.sealing.certificate)
        return None

    def _certificates_of(self, her_id: int | None) -> tuple[Certificate, Certificate] | None:
        spec = self._ours.get(her_id or 0)
        if spec is None:
            return None
        keys = self.tenant_keys(spec)
        return keys.signing.certificate, keys.sealing.certificate

    def agreements(self) -> dict[str, bytes]:
        """The CPAs that the simulated NAVs offer our addresses, by file name."""
        found = {}
        for partner in (one for one in self.partners.values() if one.is_nav):
            theirs = self._agreed(partner.her_id, partner.unit.name, partner.unit.organisation_number, partner.keys)
            for spec in self._tenants:
                for her_id in spec.her_ids:
                    keys = self.tenant_keys(spec)
                    ours = self._agreed(her_id, spec.display_name, spec.organisation_number, keys, theirs.endpoint)
                    found[f"nav-{partner.her_id}-{her_id}.xml"] = write_agreement(ours, theirs, self.office.clock())
                    partner.agreed[her_id] = agreement_id(her_id, partner.her_id)
        return found

    def _agreed(
        self, her_id: int, name: str, number: str | None, keys: EnvelopeKeys, other_end: str | None = None
    ) -> Party:
        """One side of an agreement. Our end is of the other's kind: a mail address, or our endpoint."""
        mail = f"mailto:{edi_address(her_id)}"
        url = f"http://127.0.0.1:{self.our_port}{OUR_PATH}"
        end = self._endpoint_of(her_id) if other_end is None else url if other_end.startswith("http:") else None
        return Party(
            her_id=her_id,
            name=name,
            organisation_number=number or "",
            signing=keys.signing.certificate,
            sealing=keys.sealing.certificate,
            endpoint=end or mail,
        )

    # -- what the partners do ------------------------------------------------------------------------------------------

    def script(self, her_id: int, *behaviours: str, msg_id: str | None = None) -> None:
        """Set what a partner does. Names: ``EBXML_BEHAVIOURS`` for envelopes, ``BEHAVIOURS`` for documents."""
        partner, script = self._partner(her_id), read_ebxml_script(behaviours)
        if msg_id is None:
            partner.script = script
            self._business.scripts[her_id] = script.business
        else:
            partner.by_message[msg_id.lower()] = script
            self._business.by_message[(her_id, msg_id.lower())] = script.business

    def send(self, document: bytes, *, sender: int, receiver: int) -> str:
        """Let a partner send us a document now, by its road; gives the MessageId."""
        message_id = write_message(self._partner(sender), document, read_envelope(document), receiver, None)
        self.courier.run()
        return message_id

    def ping(self, sender: int, receiver: int) -> str:
        """Let a partner ask whether we are there; gives the Ping's MessageId."""
        message_id = self._partner(sender).ping(receiver)
        self.courier.run()
        return message_id

    def entries(self, partner: int | None = None, way: str | None = None, kind: str | None = None) -> list[EbxmlEntry]:
        """The ledger, after what is due has happened; ``way`` is in or out, ``kind`` payload, Acknowledgment …"""
        self.run_due()
        return self.ledger.entries(partner, way, kind)

    def _partner(self, her_id: int) -> EbxmlPartner:
        if her_id not in self.partners:
            cure = f"one of: {', '.join(map(str, self.partners))}"
            raise SettingsError("that party is not on ebXML", where="script", cure=cure)
        return self.partners[her_id]

    # -- roads ---------------------------------------------------------------------------------------------------------

    def _carry(self, partner: EbxmlPartner, envelope: bytes, attachments: Sequence[Attachment], receiver: int) -> None:
        new = self.office.ids
        names = {"boundary": f"part-{new()}", "content_id": f"envelope-{new()}@simulator"}
        if partner.unit.road != EBXML_MAIL:
            self.courier.add(partner, pack_http(envelope, attachments, **names))
            return
        head = MailHead(
            sender=edi_address(partner.her_id),
            receiver=edi_address(receiver),
            subject="ebXML",
            date=self.office.clock(),
            message_id=f"{new()}@edi.simulator.invalid",
        )
        self._deliver(receiver, pack_mail(envelope, attachments, head, **names).mail())

    def _deliver(self, receiver: int, mail: bytes) -> None:
        """Into the mailbox of the tenant that has the address."""
        self.mailroom.deliver(self._ours[receiver].name, mail)

    def _addressed(self, address: str) -> EbxmlPartner | None:
        found = _ADDRESS.fullmatch(address)
        return self.partners.get(int(found[1])) if found is not None else None

    def _refusal(self, address: str) -> str | None:
        partner = self._addressed(address)
        if partner is None:
            return "550 5.1.1 no such address here"
        refusals = {"mail refused": "550 5.7.1 refused by the simulation", "mail later": "451 4.3.0 not now"}
        return next((reply for name, reply in refusals.items() if name in partner.script.extras), None)

    def _take_mail(self, address: str, mail: bytes) -> None:
        partner = self._addressed(address)
        assert partner is not None
        opened = open_message(mail)
        sender = opened.envelope.sender.her_id
        if "bounce" in partner.script.extras and sender in self._ours:
            report = write_bounce(mail, address, edi_address(sender), self.office.clock())
            self.office.later(0, lambda: self._deliver(sender, report))
            return
        said = partner.take(opened)
        if said.signal and not said.fault and sender in self._ours:  # a Fault is not sent by mail
            self.office.later(0, lambda: self._carry(partner, said.signal, (), sender))

    # -- documents -----------------------------------------------------------------------------------------------------

    def _arrived(self, stored: Stored, delivery: Delivery) -> None:
        """A document came for a partner, or one of a partner's own for us."""
        if delivery.receiver in self.partners:
            self._business.arrived(stored, delivery)
        elif stored.sender in self.partners:
            partner = self.partners[stored.sender]
            write_message(partner, stored.document, stored.envelope, delivery.receiver, stored.overrides)
            delivery.transport, delivery.sent = "Acknowledged", True

    def _write_receipt(
        self, original: Stored, acknowledger: int, status: str, errors: tuple[tuple[str, str], ...]
    ) -> Stored:
        """The AppRec of a partner, on its way to the sender of the original."""
        if original.envelope is None or original.sender is None:
            raise ValueError("an AppRec needs the parties of its original")
        document = write_apprec(
            original.envelope,
            acknowledger,
            status=status,
            errors=errors,
            version=apprec_version(original.envelope.namespace),
            receipt_id=self.office.ids(),
            at=local_time(self.office.clock()),
        )
        return self.office.accept(
            document,
            read_envelope(document),
            sender=acknowledger,
            receivers=(original.sender,),
            source_system=WRITTEN_BY_SERVER,
        )


def _free_port() -> int:
    """A port for our own endpoint: nobody listens there until an adapter runs with the folder's settings."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
