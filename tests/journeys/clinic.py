"""A partner on the ebXML road, on loopback HTTP with its own keys, and a rig whose clinic is reached that way."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from adapter import documents, xmlio
from adapter.ebxml.build import build, build_fault
from adapter.ebxml.compose import acknowledgment, message_error, payload_message, pong, question, status_response
from adapter.ebxml.names import Kind, eb, xlink
from adapter.ebxml.opening import Opened, open_http, open_message
from adapter.ebxml.pack import Attachment, MailHead, pack_http, pack_mail
from adapter.ebxml.plaintext import build_plaintext, read_plaintext
from adapter.ebxml.read import read, signed_references
from adapter.ebxml.words import MESSAGE_STATUSES, EbError, Envelope, Software
from adapter.model.process import Process, national
from adapter.model.receipt import ReceiptStatus, Verdict
from adapter.security import cms
from adapter.security.demo_ca import DemoCa, key_usage, write_pkcs12
from adapter.security.envelope_signature import sign_envelope, verify_envelope
from adapter.security.keys import SigningKey
from adapter.simulator import world as place
from tests.journeys.rig import Rig, ids

SOFTWARE = Software(msh="Prøve-MSH", msh_version="2.0", system="Klinikk", system_version="3")
CLINIC = place.GRANLI_FRISKLIV


@dataclass(frozen=True, kw_only=True)
class Got:
    """One envelope that came to the clinic."""

    opened: Opened
    octets: bytes
    words: Envelope
    boundary: str
    document: bytes


@dataclass
class Clinic:
    """``script`` is what it does with the next envelopes; when that is over it acknowledges."""

    rig: Rig
    signing: SigningKey
    opening: SigningKey
    stranger: SigningKey
    ours: SigningKey
    script: list[str] = field(default_factory=list)
    got: list[Got] = field(default_factory=list)
    asked: list[Envelope] = field(default_factory=list)  # Ping and StatusRequest
    stored: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of the store, when the first byte came
    new_id: Any = field(default_factory=lambda: ids(77))

    # -- as a server -------------------------------------------------------------------------------------------------

    def take(self, headers: Sequence[tuple[str, str]], body: bytes) -> tuple[int, bytes] | None:
        """Status and signal; None: the connection is cut without an answer."""
        return self.read(open_http(headers, body))

    def take_mail(self, mail: bytes) -> bytes | None:
        """The mail that goes back, if one does."""
        said = self.read(open_message(mail))
        return self.mail(said[1]) if said is not None and said[1] else None

    def mail(self, envelope: bytes, *attached: Attachment, sender: int = CLINIC) -> bytes:
        """A mail of the clinic's to us."""
        head = MailHead(
            sender=edi_address(sender),
            receiver=edi_address(place.SOLVANG_GP),
            subject="ebXML",
            date=self.rig.clock(),
            message_id=f"{self.new_id()}@clinic",
        )
        start = f"{self.new_id()}@clinic"
        return pack_mail(envelope, attached, head, boundary=f"b-{self.new_id()}", content_id=start).mail()

    def read(self, opened: Opened) -> tuple[int, bytes] | None:
        """Open, keep, and answer by the script."""
        assert opened.root is not None
        assert opened.octets is not None
        found = verify_envelope(opened.root, opened.parts(), pinned=self.ours.certificate)
        if opened.envelope.kind in (Kind.PING, Kind.STATUS_REQUEST):
            return self._reply(self.script.pop(0) if self.script else "answer", read(found.root))
        content = opened.attachments[0].content
        assert content is not None
        document = read_plaintext(cms.decrypt(content, [self.opening])).content
        words = read(found.root)
        assert opened.package is not None
        boundary = opened.package.head.parameters["boundary"]
        with self.rig.adapter.parts.store.reading() as db:
            rows = db.exec_driver_sql("SELECT role FROM payload").scalars().all()
        self.stored[words.message_id or ""] = tuple(rows)
        self.got.append(Got(opened=opened, octets=opened.octets, words=words, boundary=boundary, document=document))
        return self._answer(self.script.pop(0) if self.script else "acknowledge", words, opened)

    def _reply(self, what: str, words: Envelope) -> tuple[int, bytes] | None:
        """The answer to a question, or one that is wrong in one way; ``what`` may be the status that is told."""
        self.asked.append(words)
        if what in ("cut", "silent"):
            return None if what == "cut" else (202, b"")
        if what == "fault":
            return 500, xmlio.serialise(build_fault("Client", "synthetic"))
        if what in ("error", "unsigned error"):
            said = self._report(words, EbError(code="NotSupported", text="synthetic"))
            return 200, self.sign(said, self.signing if what == "error" else None)
        if what == "another question":
            words = replace(words, message_id=self.new_id())
        names: dict[str, Any] = {"message_id": self.new_id(), "now": self.rig.clock(), "software": SOFTWARE}
        if words.kind is Kind.PING:
            reply = pong(words, **names)
        else:
            reply = status_response(words, what if what in MESSAGE_STATUSES else "Received", **names)
        return 200, self.sign(reply, {"forged": self.stranger, "unsigned": None}.get(what, self.signing))

    def _answer(self, what: str, words: Envelope, opened: Opened) -> tuple[int, bytes] | None:
        if what == "cut":
            return None
        if what == "silent":
            return 202, b""
        if what in ("error", "warning", "unsigned error"):
            severity = "Warning" if what == "warning" else "Error"
            report = EbError(code="SecurityFailure", severity=severity, text="synthetic")
            return 200, self.sign(self._report(words, report), None if what == "unsigned error" else self.signing)
        return 200, self.receipt(words, opened, what)

    def receipt(self, words: Envelope, opened: Opened, what: str = "acknowledge") -> bytes:
        """An Acknowledgment, or one that is wrong in one way."""
        assert opened.root is not None
        references = signed_references(opened.root)
        if what == "other references":
            references = (replace(references[0], digest="AAAA"), *references[1:])
        if what == "no references":
            references = ()
        if what == "other message":
            words = replace(words, message_id=self.new_id())
        said = acknowledgment(words, references, message_id=self.new_id(), now=self.rig.clock(), software=SOFTWARE)
        signer = {"forged": self.stranger, "unsigned": None}.get(what, self.signing)
        return self.sign(said, signer)

    def _report(self, words: Envelope, error: EbError) -> Envelope:
        return message_error(words, [error], message_id=self.new_id(), now=self.rig.clock(), software=SOFTWARE)

    def sign(self, words: Envelope, signer: SigningKey | None) -> bytes:
        root = build(words)
        return sign_envelope(root, signer, {}) if signer is not None else xmlio.serialise(root)

    # -- as a sender -------------------------------------------------------------------------------------------------

    def envelope(self, document: bytes, process: Process, **changes: Any) -> tuple[bytes, Attachment]:
        """A signed envelope to Solvang with the encrypted document."""
        certificate = changes.pop("certificate", self.rig.opening.certificate)  # type: ignore[attr-defined]
        signer = changes.pop("signer", self.signing)
        content = cms.encrypt(build_plaintext(document, form="mime"), certificate)
        attached = Attachment(content_id=f"{self.new_id()}@clinic", content=content)
        words: dict[str, Any] = {
            "sender": CLINIC,
            "receiver": place.SOLVANG_GP,
            "process": process,
            "cpa_id": f"{CLINIC}_{place.SOLVANG_GP}",
            "conversation_id": self.new_id(),
            "message_id": self.new_id(),
            "now": self.rig.clock(),
            "content_id": attached.content_id,
            "namespace": "http://www.kith.no/xmlstds/dialog/2006-10-11",
            "version": "1.0",
            "software": SOFTWARE,
            **changes,
        }
        href = words.pop("href", None)
        words["cpa_id"] = "{}_{}".format(*sorted((words["sender"], words["receiver"])))
        root = build(payload_message(**words))
        if href is not None:
            next(root.iter(eb("Reference"))).set(xlink("href"), href)
        return sign_envelope(root, signer, {attached.content_id: content}), attached

    def post(self, envelope: bytes, *attached: Attachment) -> Any:
        """Hand it to the adapter as a receiving server would, wrapped anew."""
        packed = pack_http(envelope, attached, boundary=f"b-{self.new_id()}", content_id=f"{self.new_id()}@clinic")
        return self.rig.adapter.receive_envelope(packed.body(), packed.headers)

    def answer(self, got: Got, status: ReceiptStatus = ReceiptStatus.OK) -> Any:
        """The AppRec of a message that came, in the same conversation and with the roles turned round."""
        facts = documents.read_facts(documents.unwrap(xmlio.parse(got.document)))
        root = documents.build_apprec(
            facts,
            acknowledger=0,
            verdict=Verdict(status=status),
            receipt_id=self.new_id(),
            gen_date=self.rig.adapter.parts.local_now(),
            version="1.1",
            software=("Klinikk", "3"),
        )
        names = Process(
            name="APPREC",
            service=got.words.service or "",
            action="APPREC",
            from_role=got.words.receiver.role or "",
            to_role=got.words.sender.role or "",
        )
        changes = {
            "conversation_id": got.words.conversation_id,
            "namespace": "http://www.kith.no/xmlstds/apprec/2012-02-15",
            "version": "1.1",
        }
        return self.post(*self.envelope(xmlio.serialise(root), names, **changes))

    def question(self, kind: Kind = Kind.PING, about: str | None = None, **changes: Any) -> Envelope:
        """A Ping or StatusRequest to Solvang, as words."""
        words: dict[str, Any] = {
            "sender": CLINIC,
            "receiver": place.SOLVANG_GP,
            "cpa_id": f"{CLINIC}_{place.SOLVANG_GP}",
            "conversation_id": self.new_id(),
            "message_id": self.new_id(),
            "now": self.rig.clock(),
            "software": SOFTWARE,
            "asked_message_id": about,
        }
        return question(kind, **{**words, **changes})

    def note(self, document: bytes, **changes: Any) -> tuple[bytes, Attachment]:
        """A dialogue note to Solvang."""
        return self.envelope(document, national("DIALOG_NOTAT"), **changes)


class Issuer:
    """Gives every rig the same keys in the same order: making one takes a tenth of a second."""

    def __init__(self, root: DemoCa) -> None:
        self.root = root
        self._made: list[SigningKey] = []

    def start(self) -> Issuer:
        self._at = 0
        return self

    def issue_company(self, name: str, number: str, **usage: Any) -> SigningKey:
        if self._at == len(self._made):
            self._made.append(self.root.issue_company(name, number, **usage))
        self._at += 1
        return self._made[self._at - 1]


_ISSUERS: dict[Certificate, Issuer] = {}


def issuer_under(root: DemoCa) -> Issuer:
    """The same for the same root; its first key is next."""
    return _ISSUERS.setdefault(root.certificate, Issuer(root)).start()


@lru_cache(maxsize=1)
def other_root() -> DemoCa:
    """A root that no settings name."""
    return DemoCa.create("Mail Root CA")


class EbxmlRig(Rig):
    """Solvang beside one clinic that has no EDI 2.0: its agreement names the ebXML road and a loopback endpoint."""

    port = 0
    road = "ebxml-http"
    signs = "company"

    def _write_keys(self) -> None:
        super()._write_keys()
        self.changed_certificates: dict[str, Any] = {}
        root = self.issuer()
        usage = key_usage()
        sealed = type(usage)(**{**{name: getattr(usage, name) for name in _BITS}, **_OFF, "key_encipherment": True})
        self.ours = self.world.keys.companies["solvang"]
        self.opening = root.issue_company("Solvang legekontor", "310045101", usage=sealed)
        write_pkcs12(self.opening, self.folder / "opening.p12")
        old = root.issue_company("Solvang legekontor", "310045101", usage=sealed)
        write_pkcs12(old, self.folder / "old.p12")
        self.clinic = Clinic(
            rig=self,
            signing=root.issue_company("Granli kommune", "312045303"),
            opening=root.issue_company("Granli kommune", "312045303", usage=sealed),
            stranger=root.issue_company("Granli kommune", "312045303"),
            ours=self.ours,
        )

    def issuer(self) -> Any:
        """What makes the clinic's keys, and ours for opening."""
        return issuer_under(self.world.keys.root)

    @property
    def partner(self) -> Clinic:
        """Whoever is behind the endpoint."""
        return self.clinic

    def _settings(self, tenants: Sequence[str], more: Any) -> Any:
        keys = {"opening": {"pkcs12": "opening.p12"}, "old": {"pkcs12": "old.p12"}}
        return super()._settings(tenants, {**more, "keys": {**keys, **more.get("keys", {})}})

    def _tenant(self, name: str) -> dict[str, Any]:
        return {**super()._tenant(name), "decrypt_with": ["opening", "old"], "sign_with": self.signs}

    def open(self) -> Any:
        """The address book first: the road, and the registered certificates of the clinic."""
        file = self.folder / "addressbook.json"
        book = json.loads(file.read_text())
        for party in book["parties"]:
            if party["herId"] == CLINIC:
                certificates = {"signing": self.clinic.signing, "encryption": self.clinic.opening}
                party["currentSigningCertificate"] = None
                party["_certificates"] = {use: registered(key) for use, key in certificates.items()}
                endpoint = f"http://127.0.0.1:{self.port}/ebxml"
                party["_agreement"] = {**party["_agreement"], "road": self.road, "endpoint": endpoint}
        file.write_text(json.dumps(book))
        return super().open()


class PinnedRig(EbxmlRig):
    """The certificates of the ebXML road are pinned by the address book, not trusted by a root."""

    def issuer(self) -> Any:
        return issuer_under(other_root())


_BITS = ("digital_signature", "content_commitment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
_OFF = {"encipher_only": False, "decipher_only": False}


def edi_address(her_id: int) -> str:
    """As the simulated register writes it."""
    return f"her{her_id}@edi.simulator.invalid"


def registered(key: SigningKey) -> dict[str, str]:
    der = key.certificate.public_bytes(Encoding.DER)
    thumbprint = hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()
    return {"thumbprint": thumbprint, "certificateValue": base64.b64encode(der).decode()}


@contextmanager
def served() -> Iterator[tuple[int, list[Clinic]]]:
    """A server on a free loopback port; the clinic behind it is put into the list."""
    clinics: list[Clinic] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            said = clinics[0].take(list(self.headers.items()), body)
            if said is None:
                self.close_connection = True
                return
            self.send_response(said[0])
            if said[1]:
                self.send_header("Content-Type", "text/xml; charset=UTF-8")
                self.send_header("SOAPAction", '"ebXML"')
            self.send_header("Content-Length", str(len(said[1])))
            self.end_headers()
            self.wfile.write(said[1])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], clinics
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


AnyRig = TypeVar("AnyRig", bound=EbxmlRig)


@contextmanager
def beside(
    folder: Path, kind: type[AnyRig], *, settings: Mapping[str, Any] | None = None, **attributes: Any
) -> Iterator[AnyRig]:
    """A rig whose partner is served on loopback; ``attributes`` are those of its class."""
    with served() as (port, partners):
        made = type("RigHere", (kind,), {"port": port, **attributes})(folder, settings=settings)
        partners.append(made.partner)
        try:
            yield made
        finally:
            made.close()
