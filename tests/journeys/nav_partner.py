"""NAV on the ebXML road: its process names, its raw CMS plaintext, AppRec 1.0, and a rig whose NAV is reached that way.

It is stricter than a clinic: what its process table does not have is parked unseen, and what the table wants signed by
a person must be.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import Any

from adapter import documents, xmlio
from adapter.codes import Coded
from adapter.ebxml.build import build
from adapter.ebxml.compose import payload_message
from adapter.ebxml.opening import Opened, open_message
from adapter.ebxml.pack import Attachment
from adapter.ebxml.plaintext import build_plaintext
from adapter.ebxml.words import Envelope
from adapter.model.process import NAV_ORG_NUMBER, Process, nav, nav_pairs
from adapter.model.receipt import ReceiptStatus, Verdict
from adapter.security import cms, xmldsig
from adapter.security.demo_ca import key_usage
from adapter.security.envelope_signature import sign_envelope
from adapter.security.xmldsig import Verified
from adapter.simulator import world as place
from tests.journeys.clinic import SOFTWARE, Clinic, EbxmlRig, Got, Issuer, other_root, registered
from tests.journeys.rig import letter, load

NAV = place.NAV
DOCTOR = 8091302  # Solvang's address for its doctor
CPA_ID = "nav:test:30711"
DIALOG_10 = "http://www.kith.no/xmlstds/dialog/2006-10-11"
APPREC_10 = "http://www.kith.no/xmlstds/apprec/2004-11-21"
REPEAT = "Duplikat! - Dialogmeldingen har vi tidligere mottatt. Skal ikke sendes på nytt."


@dataclass
class NavPartner(Clinic):
    """``plain`` are the CMS plaintexts as they were; ``parked`` what NAV's table has no process for."""

    plain: list[bytes] = field(default_factory=list)
    persons: list[Verified] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)
    parked: list[tuple[str | None, str | None]] = field(default_factory=list)

    def take_mail(self, mail: bytes) -> bytes | None:
        said = self.read(open_message(mail))
        return self.mail(said[1], sender=NAV) if said is not None and said[1] else None

    def read(self, opened: Opened) -> tuple[int, bytes] | None:
        answer = super().read(opened)
        got, content = self.got[-1], opened.attachments[0].content
        assert content is not None
        self.plain.append(cms.decrypt(content, [self.opening]))
        pair = (got.words.service, got.words.action)
        if pair in nav_pairs():
            self.persons.append(xmldsig.verify(documents.unwrap(xmlio.parse(got.document))))
        elif pair[1] not in ("Kvittering", "Svar"):
            self.parked.append(pair)
        return answer

    def envelope(self, document: bytes, process: Process, **changes: Any) -> tuple[bytes, Attachment]:
        """As NAV writes them: the XML itself is what is encrypted, and RefToMessageId names what is answered."""
        certificate = changes.pop("certificate", self.rig.opening.certificate)  # type: ignore[attr-defined]
        signer = changes.pop("signer", self.signing)
        content = cms.encrypt(build_plaintext(document, form="raw"), certificate)
        attached = Attachment(content_id=f"{self.new_id()}@nav", content=content)
        words: dict[str, Any] = {
            "sender": NAV,
            "receiver": DOCTOR,
            "process": process,
            "cpa_id": CPA_ID,
            "conversation_id": self.new_id(),
            "message_id": self.new_id(),
            "now": self.rig.clock(),
            "content_id": attached.content_id,
            "namespace": DIALOG_10,
            "version": "1.0",
            "software": SOFTWARE,
            **changes,
        }
        return sign_envelope(build(payload_message(**words)), signer, {attached.content_id: content}), attached

    def apprec(self, got: Got, status: ReceiptStatus = ReceiptStatus.OK, text: str | None = None) -> Any:
        """NAV's AppRec 1.0 to a message that came: same conversation, Action Bekreftelse; its id is no UUID."""
        facts = documents.read_facts(documents.unwrap(xmlio.parse(got.document)))
        errors = (Coded(code="X99", system="8221", name=text),) if text is not None else ()
        root = documents.build_apprec(
            facts,
            acknowledger=0,
            verdict=Verdict(status=status, errors=errors),
            receipt_id=f"2611212253nav{next(self.numbers)}.1",
            gen_date=self.rig.adapter.parts.local_now(),
            version="1.0",
            software=("Elektronisk mottak", "1"),
        )
        return self.envelope(
            xmlio.serialise(root),
            self.receipt_names(got),
            namespace=APPREC_10,
            version="1.0",
            **self.answering(got.words),
        )

    @staticmethod
    def receipt_names(got: Got) -> Process:
        """NAV's names of the AppRec to a message that came."""
        return Process(
            name="APPREC",
            service=got.words.service or "",
            action="Bekreftelse",
            from_role="Saksbehandler",
            to_role="Sykmelder",
        )

    @staticmethod
    def answering(words: Envelope) -> dict[str, Any]:
        """What an answer repeats of the message that it answers."""
        return {
            "conversation_id": words.conversation_id,
            "cpa_id": words.cpa_id,
            "ref_to_message_id": words.message_id,
        }

    def question(self, **changes: Any) -> tuple[bytes, Attachment]:
        """Forespørsel om pasient (8129): signed by NAV's own company certificate, as its process table says."""
        document = changes.pop("document", None) or question(self.rig, sign_with=self.signing)
        process = nav("DIALOG_FORESPORSEL", "8129")
        assert process is not None
        return self.envelope(document, process, **changes)

    def letter(self, kind: str, system: str, code: str) -> tuple[bytes, Attachment]:
        """A letter of NAV's to the doctor, by the code of its theme or question."""
        process = nav(kind, system, code)
        assert process is not None
        return self.envelope(written(self.rig, kind, system, code, sign_with=self.signing), process)


def written(rig: Any, kind: str, system: str, code: str, **changes: Any) -> bytes:
    """The document of such a letter."""
    if kind == "DIALOG_FORESPORSEL":
        body = {**load("inbound-nav-question")["body"], "type": {"code": code, "system": system}}
        return question(rig, body=body, **changes)
    body = {**load("inbound-note")["body"], "theme": {"code": code, "system": system}}
    return letter(rig, "inbound-note", sender=NAV, receiver=DOCTOR, body=body, **changes)


def question(rig: Any, **changes: Any) -> bytes:
    """NAV's question about a patient to Solvang's doctor."""
    return letter(rig, "inbound-nav-question", sender=NAV, receiver=DOCTOR, **changes)


@lru_cache(maxsize=1)
def issuer() -> Issuer:
    return Issuer(other_root())


class NavRig(EbxmlRig):
    """Solvang and a NAV on ebXML. ``agreed`` changes NAV's entry in the address book."""

    nav: NavPartner
    agreed: dict[str, Any] = {}

    def _write_keys(self) -> None:
        self.issuing = issuer().start()  # the same keys for every rig: making them takes a while
        super()._write_keys()
        root = self.issuing
        sealed = key_usage(key_encipherment=True)
        self.nav = NavPartner(
            rig=self,
            signing=root.issue_company("Arbeids- og velferdsetaten", NAV_ORG_NUMBER),
            opening=root.issue_company("Arbeids- og velferdsetaten", NAV_ORG_NUMBER, usage=sealed),
            stranger=self.clinic.signing,
            ours=self.ours,
        )
        self.person = self.world.keys.persons["solvang", "lege"]

    def issuer(self) -> Any:
        return self.issuing

    @property
    def partner(self) -> NavPartner:
        return self.nav

    def open(self) -> Any:
        file = self.folder / "addressbook.json"
        book = json.loads(file.read_text())
        for party in book["parties"]:
            if party["herId"] == NAV:
                party["currentSigningCertificate"] = None
                party["_certificates"] = {
                    "signing": registered(self.nav.signing),
                    "encryption": registered(self.nav.opening),
                }
                endpoint = f"http://127.0.0.1:{self.port}/ebxml"
                way = {"road": self.road, "endpoint": endpoint, "cpa_id": CPA_ID, **self.agreed}
                party["_agreement"] = {**party["_agreement"], **way}
        file.write_text(json.dumps(book))
        return super().open()
