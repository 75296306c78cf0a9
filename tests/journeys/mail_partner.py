"""A partner by mail, light enough for thousands of messages: it takes what the SMTP server got and fills our mailbox.

It remembers every envelope by its MessageId, acknowledges each time with the stored Acknowledgment, and by a seeded
chance loses its first answer or writes a mail twice, so that both sides have to send again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from adapter import documents, xmlio
from adapter.ebxml.build import build
from adapter.ebxml.compose import acknowledgment, payload_message
from adapter.ebxml.opening import Opened, open_message
from adapter.ebxml.pack import Attachment, MailHead, pack_mail
from adapter.ebxml.plaintext import build_plaintext, read_plaintext
from adapter.ebxml.read import signed_references
from adapter.ebxml.words import Envelope, Software
from adapter.model.process import national
from adapter.security import cms
from adapter.security.envelope_signature import sign_envelope, verify_envelope
from adapter.simulator import world as place
from tests.journeys.clinic import edi_address
from tests.journeys.pair import ACK, APPREC, Keys
from tests.journeys.rig import ids
from tests.transport.mail_servers import Taken

SOFTWARE = Software(msh="Prøve-MSH", msh_version="2.0", system="Klinikk", system_version="3")


@dataclass
class Arrivals:
    """One of our envelopes: its octets and how often they came. ``document`` is its decrypted content."""

    action: str | None
    octets: bytes
    document: bytes
    answer: bytes
    times: int = 1


@dataclass
class Partner:
    """``payloads`` by MessageId, ``receipts`` the distinct Acknowledgments that came for each MessageId of its own."""

    keys: Keys
    ours: Keys
    clock: Any
    chance: random.Random
    put: Callable[[bytes], None]  # a mail into our mailbox
    payloads: dict[str, Arrivals] = field(default_factory=dict)
    receipts: dict[str, list[bytes]] = field(default_factory=dict)
    own: dict[str, Envelope] = field(default_factory=dict)  # by MessageId
    faults: list[str] = field(default_factory=list)
    new_id: Any = field(default_factory=lambda: ids(77))
    loses: float = 0.1
    doubles: float = 0.1

    def take(self, mail: Taken) -> None:
        """What the SMTP server does with a mail before it says that it has it."""
        opened = open_message(mail.content)
        if opened.envelope.action == ACK:
            self.keep_receipt(opened)
            return
        answer = self.answer(opened)
        if answer is not None:
            self._deliver(answer)

    def answer(self, opened: Opened) -> bytes | None:
        """The stored Acknowledgment of a payload message; None when it is lost."""
        key = opened.envelope.message_id or ""
        known = self.payloads.get(key)
        if known is None:
            known = self.payloads[key] = self._open(opened)
            return None if self.chance.random() < self.loses else known.answer
        known.times += 1
        if known.octets != opened.octets:
            self.faults.append("another envelope under the same MessageId")
        return known.answer

    def _open(self, opened: Opened) -> Arrivals:
        """Verify, decrypt, and write the one Acknowledgment of it."""
        assert opened.root is not None
        assert opened.octets is not None
        verify_envelope(opened.root, opened.parts(), pinned=self.ours.signing.certificate)
        content = opened.attachments[0].content
        assert content is not None
        document = read_plaintext(cms.decrypt(content, [self.keys.opening])).content
        references = signed_references(opened.root)
        names: dict[str, Any] = {"message_id": self.new_id(), "now": self._now(), "software": SOFTWARE}
        said = sign_envelope(build(acknowledgment(opened.envelope, references, **names)), self.keys.signing, {})
        return Arrivals(action=opened.envelope.action, octets=opened.octets, document=document, answer=said)

    def keep_receipt(self, opened: Opened) -> None:
        assert opened.root is not None
        assert opened.octets is not None
        receipt = opened.envelope.receipt
        about = receipt.ref_to_message_id if receipt is not None else None
        held = self.receipts.setdefault(about or "", [])
        if opened.octets in held:
            return
        held.append(opened.octets)
        verify_envelope(opened.root, {}, pinned=self.ours.signing.certificate, signal=True)
        if about not in self.own:
            self.faults.append("an Acknowledgment of what was never sent")

    def write(self, document: bytes) -> None:
        """One note to us; by chance it comes twice."""
        envelope, attached = self.seal(document)
        for _ in range(2 if self.chance.random() < self.doubles else 1):
            self._deliver(envelope, attached)

    def seal(self, document: bytes) -> tuple[bytes, Attachment]:
        content = cms.encrypt(build_plaintext(document, form="mime"), self.ours.opening.certificate)
        attached = Attachment(content_id=f"{self.new_id()}@partner", content=content)
        sender, receiver = place.GRANLI_FRISKLIV, place.SOLVANG_GP
        words = payload_message(
            sender=sender,
            receiver=receiver,
            process=national("DIALOG_NOTAT"),
            cpa_id=f"{sender}_{receiver}",
            conversation_id=self.new_id(),
            message_id=self.new_id(),
            now=self._now(),
            content_id=attached.content_id,
            namespace="http://www.kith.no/xmlstds/dialog/2006-10-11",
            version="1.0",
            software=SOFTWARE,
        )
        envelope = sign_envelope(build(words), self.keys.signing, {attached.content_id: content})
        self.own[words.message_id or ""] = words
        return envelope, attached

    def _deliver(self, envelope: bytes, *attached: Attachment) -> None:
        head = MailHead(
            sender=edi_address(place.GRANLI_FRISKLIV),
            receiver=edi_address(place.SOLVANG_GP),
            subject="ebXML",
            date=self._now(),
            message_id=f"{self.new_id()}@partner",
        )
        start = f"{self.new_id()}@partner"
        packed = pack_mail(envelope, attached, head, boundary=f"b-{self.new_id()}", content_id=start)
        self.put(packed.mail())

    def _now(self) -> datetime:
        now: datetime = self.clock()
        return now

    # -- what came, for the test ---------------------------------------------------------------------------------------

    def notes(self) -> list[str | None]:
        """The MsgIds of the business messages that came, one for each MessageId."""
        return [documents.read_facts(_tree(one)).msg_id for one in self.payloads.values() if one.action != APPREC]

    def answers(self) -> list[str | None]:
        """The MsgIds that our AppRecs answer, one for each MessageId."""
        return [documents.read_apprec(_tree(one)).msg_id for one in self.payloads.values() if one.action == APPREC]

    def repeated(self) -> int:
        """How many of our envelopes came more than once."""
        return sum(one.times > 1 for one in self.payloads.values())


def _tree(one: Arrivals) -> Any:
    return documents.unwrap(xmlio.parse(one.document))
