"""One message on the ebXML road, both ways, step by step as the journeys take them, without a store and without a wire.

``Outgoing`` and ``Incoming`` hold all that is known beforehand (the built document, keys, certificates, the register's
facts); what they do per message is what is measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from adapter import documents, shapes, xmlio
from adapter.config import Revocation
from adapter.ebxml.compose import acknowledgment, payload_message
from adapter.ebxml.decide import AnswerKind
from adapter.ebxml.mime import unpack
from adapter.ebxml.names import Road
from adapter.ebxml.opening import ENVELOPE_LIMITS, Opened, SignatureOutcome, judge, open_message
from adapter.ebxml.pack import Attachment, MailHead, pack_mail
from adapter.ebxml.plaintext import Plaintext, build_plaintext, read_plaintext
from adapter.ebxml.read import read
from adapter.ebxml.words import Envelope, Software, cpa_id_without_agreement
from adapter.flow.check import CheckContext, Checked, check_document
from adapter.flow.ebxml_seal import seal
from adapter.model.document import Facts
from adapter.model.message import Attachment as Attached
from adapter.model.message import Head, OutgoingMessage
from adapter.model.process import Signing, national
from adapter.model.receipt import ReceiptStatus, Verdict
from adapter.security import cms, xmldsig
from adapter.security.demo_ca import DemoCa, key_usage
from adapter.security.envelope_signature import judge_validity, verify_envelope
from adapter.security.keys import SigningKey
from adapter.security.trust import Expected, TrustPolicy, judge_signer
from adapter.simulator import world as place
from adapter.validation.schema import check_schema
from adapter.validation.subject import RuleContext
from tests.bench.bench_journey import six_kilobytes
from tests.journeys.rig import Rig, ids, load

SENDER, RECEIVER = place.BEKKELIA_GP, place.SOLVANG_GP
DIALOGUE = ("DIALOG_NOTAT", "http://www.kith.no/xmlstds/dialog/2006-10-11", "1.0")
SOFTWARE = Software(msh="Bench-MSH", msh_version="1.0", system="Bench", system_version="1")


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Both sides' keys, of one authority."""

    root: DemoCa
    theirs: SigningKey
    ours: SigningKey
    opening: SigningKey


@dataclass(frozen=True, kw_only=True)
class World:
    """Keys, and a signed referral's document as it was built: its tree with a marker for each attachment."""

    keys: Keys
    root: xmlio.Element
    markers: Sequence[bytes] = ()
    pieces: Sequence[bytes] = ()
    facts: Facts


def make_world(folder: Path, attachment: bytes | None = None) -> World:
    """Of about 6 KB without the attachment. The simulation, which knows the parties, has stopped afterwards."""
    folder.mkdir(exist_ok=True)
    rig = Rig(folder)
    plain = {**load("referral-frisklivssentral"), **six_kilobytes()}
    message = shapes.read(OutgoingMessage, {**plain, "sender": SENDER, "receiver": {"her_id": RECEIVER}})
    if attachment is not None:
        attached = Attached(content=attachment, mime_type="application/pdf", description="Bench")
        message = replace(message, attachments=(attached,))
    book, msg_id = rig.adapter.parts.book(), "aaaaaaaa-0000-4000-8000-000000000001"
    head = Head(
        msg_id=msg_id,
        gen_date=rig.adapter.parts.local_now(),
        sender=book.party(SENDER),
        receiver=book.party(RECEIVER),
        marker_seed=msg_id,
    )
    built = documents.build_document(message, head)
    rig.close()
    facts = documents.read_facts(built.root)
    return World(
        keys=_keys(book.find(SENDER).organisation_number or ""),
        root=built.root,
        markers=built.markers,
        pieces=built.attachments,
        facts=facts,
    )


def _keys(sender: str) -> Keys:
    ca = DemoCa.create()
    ours = ("Solvang legekontor", "310045101")
    opening = ca.issue_company(*ours, usage=key_usage(key_encipherment=True))
    return Keys(root=ca, theirs=ca.issue_company("Sender", sender), ours=ca.issue_company(*ours), opening=opening)


def floor_of(document: bytes, key: SigningKey) -> Callable[[], object]:
    """SHA-256 of the bytes, two RSA-2048 signatures, AES-256 of the bytes; with the libraries that the adapter has."""

    def floor() -> None:
        hashlib.sha256(document).digest()
        key.sign(document[:200])
        key.sign(document[:200])
        cipher = Cipher(AES(bytes(32)), modes.CBC(bytes(16))).encryptor()
        cipher.update(document)

    return floor


def payload_words(message_id: str, content_id: str, facts: Facts | None = None) -> Envelope:
    """A business message about the document with these facts; without them about a dialogue message."""
    kind = (facts.msg_type, facts.namespace, facts.version) if facts is not None else DIALOGUE
    return payload_message(
        sender=SENDER,
        receiver=RECEIVER,
        process=national(kind[0] or ""),
        cpa_id=cpa_id_without_agreement(SENDER, RECEIVER),
        conversation_id=message_id,
        message_id=message_id,
        now=datetime.now(UTC),
        content_id=content_id,
        namespace=kind[1],
        version=kind[2] or "",
        software=SOFTWARE,
    )


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """The sending side."""

    world: World
    new_id: Callable[[], str] = field(default_factory=lambda: ids(1))

    def send(self) -> bytes:
        """Document signature, encryption, envelope, envelope signature, mail: the bytes that go to the mail server."""
        world = self.world
        return self.seal(xmldsig.sign(world.root, world.keys.theirs, markers=world.markers, pieces=world.pieces))

    def seal(self, document: bytes) -> bytes:
        """The same without the document's own signature."""
        content = cms.encrypt(build_plaintext(document, form="mime"), self.world.keys.opening.certificate)
        message_id = self.new_id()
        attachment = Attachment(content_id=f"document-{message_id}@bench", content=content)
        envelope = self._envelope(message_id, attachment)
        return self._mail(envelope, attachment)

    def _envelope(self, message_id: str, attachment: Attachment) -> bytes:
        words = payload_words(message_id, attachment.content_id, self.world.facts)
        return seal(words, self.world.keys.theirs, {attachment.content_id: attachment.content}, Road.SMTP)

    def _mail(self, envelope: bytes, attachment: Attachment) -> bytes:
        head = MailHead(
            sender="a@bench.invalid",
            receiver="b@bench.invalid",
            subject="ebXML",
            date=datetime.now(UTC),
            message_id=f"{self.new_id()}@bench.invalid",
        )
        return pack_mail(envelope, [attachment], head, boundary=f"part-{self.new_id()}", content_id="e@bench").mail()


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """The receiving side with its keys and the sender's registered certificate."""

    keys: Keys
    context: CheckContext
    new_id: Callable[[], str] = field(default_factory=lambda: ids(2))

    @classmethod
    def of(cls, keys: Keys) -> Incoming:
        rules = RuleContext(direction="in", ours=frozenset({RECEIVER}), environment="test", envelope_receiver=RECEIVER)

        policy, roots = TrustPolicy(revocation=Revocation.OFF), (keys.root.certificate,)

        def trust(verified: Any, facts: Any) -> Any:
            number = facts.sender.organisation.ident("ENH")
            expected = Expected(signing=Signing.COMPANY, org_numbers=frozenset({number}))
            now = datetime.now(UTC)
            return judge_signer(verified, gen_date=now, fetched_at=now, roots=roots, policy=policy, expected=expected)

        return cls(keys=keys, context=CheckContext(rules=rules, trust=trust))

    def take(self, mail: bytes) -> tuple[bytes, bytes]:
        """Unpack, verify, decrypt, judge, acknowledge; then verify, check and answer the document: both answers."""
        now = datetime.now(UTC)
        opened, plain, outcome, words = self.unseal(mail)
        judged = judge(opened, outcome, {0: plain}, now=now)
        assert judged.answer.kind is AnswerKind.ACKNOWLEDGMENT, judged.hits
        signal = self._acknowledge(words, opened.references, now)
        del opened, judged
        return signal, self._answer(plain, now)

    def unseal(self, mail: bytes) -> tuple[Opened, Plaintext, SignatureOutcome, Envelope]:
        """Unpack, verify the envelope, decrypt."""
        opened = open_message(mail)
        assert opened.root is not None
        found = verify_envelope(opened.root, opened.parts(), pinned=self.keys.theirs.certificate)
        assert judge_validity(found.certificate, datetime.now(UTC)) is None
        content = opened.attachments[0].content
        assert content is not None
        plain = read_plaintext(cms.decrypt(content, [self.keys.opening]))
        outcome = SignatureOutcome(status="valid", covered=found.covered, algorithms=found.algorithms)
        return opened, plain, outcome, read(found.root)

    def unseal_alone(self, mail: bytes) -> Plaintext:
        """The same without judging the envelope by the rules of the framework: what comes back is the document."""
        package = unpack(mail)
        assert package.envelope is not None
        contents = {part.head.content_id or "": part.content() for part in package.attachments}
        root = xmlio.parse(package.envelope.content(), ENVELOPE_LIMITS)
        found = verify_envelope(root, contents, pinned=self.keys.theirs.certificate)
        (name,) = [uri.removeprefix("cid:") for uri in found.covered if uri]
        return read_plaintext(cms.decrypt(contents[name], [self.keys.opening]))

    def _acknowledge(self, words: Envelope, references: Any, now: datetime) -> bytes:
        names: Any = {"message_id": self.new_id(), "now": now, "software": SOFTWARE}
        return seal(acknowledgment(words, references, **names), self.keys.ours, {})

    def _answer(self, plain: Plaintext, now: datetime) -> bytes:
        checked = check_document(plain.content, self.context, at=now)
        accepted(checked)
        assert checked.facts is not None
        root = documents.build_apprec(
            checked.facts,
            acknowledger=0,
            verdict=Verdict(status=ReceiptStatus.OK),
            receipt_id=self.new_id(),
            gen_date=now,
            version="1.1",
            software=("Bench", "1"),
        )
        assert not check_schema(root)
        return xmlio.serialise(root)


def accepted(checked: Checked) -> None:
    """Fail unless the document was judged sound, signed and fit for its receiver: else something else is measured."""
    found = (checked.judgement.verdict, checked.signature_status)
    assert found == ("accept", "valid"), (found, [(one.rule, one.text) for one in checked.findings])
