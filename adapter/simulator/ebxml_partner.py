"""A message handler of the other side on the ebXML road: takes envelopes, answers by script, sends messages of its own.

It reads and writes with the formats of ``adapter.ebxml`` and ``adapter.security``, with keys made for this run; what
happens with the documents is decided where it is for EDI 2.0, by ``partners``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.x509 import Certificate

import adapter.xmlio as xmlio
from adapter.ebxml.build import build, build_fault
from adapter.ebxml.compose import acknowledgment, message_error, pong, question, status_response
from adapter.ebxml.names import Kind
from adapter.ebxml.opening import Opened
from adapter.ebxml.pack import Attachment
from adapter.ebxml.plaintext import read_plaintext
from adapter.ebxml.read import read
from adapter.ebxml.words import EbError, Envelope, Software, cpa_id_without_agreement
from adapter.errors import DecryptionError, EnvelopeSignatureError, UnreadableError
from adapter.security import cms
from adapter.security.envelope_signature import sign_envelope, verify_envelope
from adapter.security.keys import SigningKey
from adapter.simulator.addressing import read_envelope
from adapter.simulator.ebxml_ledger import IN, OUT, EbxmlLedger
from adapter.simulator.ebxml_script import EbxmlScript
from adapter.simulator.keys import EnvelopeKeys
from adapter.simulator.postoffice import PostOffice
from adapter.simulator.world import Unit

SOFTWARE = Software(msh="Simulated MSH", msh_version="1.0", system="Simulated record system", system_version="1.0")
_ASK = (Kind.PAYLOAD, Kind.PING, Kind.STATUS_REQUEST)


@dataclass(frozen=True, slots=True)
class Said:
    """What goes back in the response, or as a mail: a signal, a SOAP Fault, nothing; ``cut``: the connection breaks."""

    signal: bytes = b""
    fault: bool = False
    cut: bool = False


# (envelope, attachments, receiver's HER-id): brings one message to us by the partner's road
Carry = Callable[["EbxmlPartner", bytes, Sequence[Attachment], int], None]


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """What all partners share. ``certificate_of``: signing and encryption certificate of one of our HER-ids."""

    office: PostOffice
    ledger: EbxmlLedger
    carry: Carry
    certificates_of: Callable[[int | None], tuple[Certificate, Certificate] | None]


@dataclass(slots=True)
class _Seen:
    signal: bytes
    times: int = 1


@dataclass(slots=True, kw_only=True)
class EbxmlPartner:
    """One address of the other side. ``received`` holds the words of what came, by MsgId and by conversation.

    ``agreed`` holds the CPAIds that were offered, by our HER-id.
    """

    unit: Unit
    keys: EnvelopeKeys
    around: Surroundings
    script: EbxmlScript = field(default_factory=EbxmlScript)
    by_message: dict[str, EbxmlScript] = field(default_factory=dict)
    received: dict[str, Envelope] = field(default_factory=dict)
    agreed: dict[int, str] = field(default_factory=dict)
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    @property
    def her_id(self) -> int:
        return self.unit.her_id

    @property
    def is_nav(self) -> bool:
        return bool((self.unit.agreement or {}).get("nav"))

    # -- taking ------------------------------------------------------------------------------------------------------

    def take(self, opened: Opened) -> Said:
        """One message that came; what goes back at once. What goes back later is put into the office."""
        words, octets = opened.envelope, opened.octets or b""
        if words.kind is None:
            self._note(IN, words, octets, "unreadable")
            return Said(xmlio.serialise(build_fault("Client", "the message cannot be read as ebXML")), fault=True)
        if words.kind not in _ASK:
            self._note(IN, words, octets, "" if self._verified(opened) else "not verified")
            return Said()
        if words.kind is not Kind.PAYLOAD:
            self._note(IN, words, octets)
            return Said() if self.script.ack == "never" else self._say(self._sign(self._inform(words)))
        with self._one_at_a_time:  # the same envelope may come twice at once
            return self._take_payload(opened, words, octets)

    def _inform(self, words: Envelope) -> Envelope:
        """The answer to a Ping, or to the question what became of a message."""
        now = self.around.office.clock()
        if words.kind is Kind.PING:
            return pong(words, message_id=self._id(), now=now, software=SOFTWARE)
        known = "Received" if words.asked_message_id in self._seen else "NotRecognized"
        return status_response(words, known, message_id=self._id(), now=now, software=SOFTWARE)

    def _take_payload(self, opened: Opened, words: Envelope, octets: bytes) -> Said:
        verified = self._verified(opened)
        document = self._document(opened) if verified is not None else None
        if verified is None or document is None:
            self._note(IN, words, octets, "not verified" if verified is None else "not decrypted", opened)
            return self._say(self._error(words, "SecurityFailure"))
        if "agreement only" in self.script.extras and verified.cpa_id not in self.agreed.values():
            self._note(IN, verified, octets, "not agreed", opened)
            return self._say(self._error(words, "DeliveryFailure"))
        earlier = self._seen.get(verified.message_id or "")
        self._note(IN, verified, octets, "repeated" if earlier else "", opened)
        envelope = read_envelope(document)
        script = self.by_message.get((envelope.msg_id if envelope and envelope.msg_id else "").lower(), self.script)
        if earlier is not None:
            earlier.times += 1
            return self._answer(script, verified, earlier)
        seen = self._seen[verified.message_id or ""] = _Seen(self._signal(script, verified, opened))
        if script.ack != "never" and (script.error is None or script.severity == "Warning"):
            self._accept(verified, document)
        return self._answer(script, verified, seen)

    def _verified(self, opened: Opened) -> Envelope | None:
        """The words that the sender's registered certificate has signed."""
        known = self.around.certificates_of(opened.envelope.sender.her_id)
        if opened.root is None or known is None:
            return None
        signal = opened.envelope.kind not in _ASK
        try:
            found = verify_envelope(opened.root, opened.parts(), pinned=known[0], signal=signal)
        except EnvelopeSignatureError:
            return None
        return read(found.root)

    def _document(self, opened: Opened) -> bytes | None:
        first = next(iter(opened.attachments), None)
        if first is None or first.content is None:
            return None
        try:
            content = cms.decrypt(first.content, [self.keys.sealing]) if first.encrypted else first.content
            return read_plaintext(content).content
        except (DecryptionError, UnreadableError):
            return None

    def _accept(self, words: Envelope, document: bytes) -> None:
        envelope = read_envelope(document)
        for name in (envelope.msg_id, envelope.conversation) if envelope is not None else ():
            if name:
                self.received[name.lower()] = words
        names = {"service": words.service, "action": words.action}
        names |= {"senderRole": words.sender.role, "receiverRole": words.receiver.role}
        self.around.office.accept(
            document, envelope, sender=words.sender.her_id, receivers=(self.her_id,), overrides=names
        )

    # -- answering ---------------------------------------------------------------------------------------------------

    def _answer(self, script: EbxmlScript, words: Envelope, seen: _Seen) -> Said:
        """The stored signal, now or later, as often as the script says."""
        receiver = words.sender.her_id or 0
        if script.ack == "never":
            return Said()
        if seen.times <= script.lost:
            self._note(OUT, read(xmlio.parse(seen.signal)), seen.signal, "lost")
            return Said(cut=True)
        if script.late_error is not None and seen.times == 1:
            after_s, code = script.late_error
            self._later(after_s, lambda: self._error(words, code), receiver)
        if script.ack == "late":
            self._later(script.ack_after_s, lambda: seen.signal, receiver)
            return Said()
        if "ack twice" in script.extras:
            self._later(0, lambda: seen.signal, receiver)
        return self._say(seen.signal)

    def _say(self, signal: bytes) -> Said:
        self._note(OUT, read(xmlio.parse(signal)), signal)
        return Said(signal)

    def _later(self, seconds: float, signal: Callable[[], bytes], receiver: int) -> None:
        """A signal that comes by itself."""

        def carry() -> None:
            made = signal()
            self._note(OUT, read(xmlio.parse(made)), made)
            self.around.carry(self, made, (), receiver)

        self.around.office.later(seconds, carry)

    def _signal(self, script: EbxmlScript, words: Envelope, opened: Opened) -> bytes:
        if script.error is not None:
            return self._error(words, script.error, script.severity, signed=script.error_signed)
        references = opened.references
        if script.flaw == "other references":
            references = tuple(replace(one, digest="AAAA") for one in references)
        now = self.around.office.clock()
        said = acknowledgment(words, references, message_id=self._id(), now=now, software=SOFTWARE)
        return self._sign(said, script.flaw)

    def _error(self, words: Envelope, code: str, severity: str = "Error", *, signed: bool = True) -> bytes:
        report = [EbError(code=code, severity=severity, text="a fault of the simulation")]
        now = self.around.office.clock()
        said = message_error(words, report, message_id=self._id(), now=now, software=SOFTWARE)
        return self._sign(said, None if signed else "unsigned")

    def _sign(self, words: Envelope, flaw: str | None = None) -> bytes:
        root = build(words)
        signer = self.signer(flaw)
        return sign_envelope(root, signer, {}) if signer is not None else xmlio.serialise(root)

    def signer(self, flaw: str | None = None) -> SigningKey | None:
        """The key that signs; None: nothing is signed."""
        if flaw == "unsigned":
            return None
        if flaw == "forged":
            return self.keys.stranger
        old = {"certificate expired", "certificate old"} & self.script.extras
        return self.keys.expired if old else self.keys.signing

    @property
    def registered(self) -> SigningKey:
        """The key whose certificate the register has."""
        return self.keys.expired if "certificate expired" in self.script.extras else self.keys.signing

    # -- asking ------------------------------------------------------------------------------------------------------

    def cpa_id(self, receiver: int) -> str:
        """The CPAId towards one of us: the agreement's, or the one that is made of the two HER-ids."""
        return self.agreed.get(receiver) or cpa_id_without_agreement(self.her_id, receiver)

    def ping(self, receiver: int) -> str:
        """Send a Ping to one of us by the road; gives its MessageId."""
        words = question(
            Kind.PING,
            sender=self.her_id,
            receiver=receiver,
            cpa_id=self.cpa_id(receiver),
            conversation_id=self._id(),
            message_id=self._id(),
            now=self.around.office.clock(),
            software=SOFTWARE,
        )
        envelope = self._sign(words)
        self._note(OUT, words, envelope)
        self.around.carry(self, envelope, (), receiver)
        return words.message_id or ""

    # -- the rest ----------------------------------------------------------------------------------------------------

    def heard(self, opened: Opened) -> None:
        """What came back in the response to a message of the partner's own."""
        if opened.envelope.kind is not None:
            self._note(IN, opened.envelope, opened.octets or b"", "" if self._verified(opened) else "not verified")

    def sent(self, words: Envelope, envelope: bytes, attachments: Sequence[Attachment]) -> None:
        """Write down a message of the partner's own."""
        size = len(envelope) + sum(len(one.content) for one in attachments)
        self.around.ledger.add(self.her_id, OUT, self.unit.road, words, envelope, size)

    def _note(self, way: str, words: Envelope, octets: bytes, note: str = "", opened: Opened | None = None) -> None:
        parts: Mapping[str, Any] = opened.parts() if opened is not None else {}
        size = len(octets) + sum(map(len, parts.values()))
        self.around.ledger.add(self.her_id, way, self.unit.road, words, octets, size, note)

    def _id(self) -> str:
        return self.around.office.ids()
