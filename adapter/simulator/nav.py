"""NAV's reception of dialogue messages, as its public code behaves: names, signature, rules, repeats, questions.

Anything but the three process names from doctors is parked without a word. A rejection is an AppRec with one or more
errors X99; a broken signature is S01, one that no known person made is S02. The rules are this module's own and not
those of ``adapter.validation``: the simulator must be able to contradict the adapter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import adapter.xmlio as xmlio
from adapter.codes import Coded
from adapter.errors import IdentifierError, InputError, SignatureError, UnreadableError
from adapter.identifiers import read_national_id
from adapter.security import xmldsig
from adapter.simulator.addressing import Envelope, child, children, local, text
from adapter.simulator.answers import DIALOG_10, Letter
from adapter.simulator.keys import KeySet
from adapter.simulator.partners import Script
from adapter.simulator.postoffice import Delivery, PostOffice, Stored
from adapter.simulator.replies import Letters
from adapter.simulator.world import PersonSpec

Errors = list[tuple[str, str]]
# (service, action) -> code list and codes of the theme; the answer to a question may name its question's list too
PROCESSES: dict[tuple[str, str], dict[str, frozenset[str]]] = {
    ("DialogmoteInnkalling", "MoteRespons"): {"8126": frozenset("123")},
    ("ForesporselFraSaksbehandler", "ForesporselSvar"): {"9069": frozenset("5"), "8129": frozenset("12")},
    ("HenvendelseFraLege", "Henvendelse"): {"8128": frozenset("12")},
}
NEEDS_TEXT = frozenset({"ForesporselSvar", "Henvendelse"})
PROFESSIONS = frozenset({"LE", "KI", "MT", "TL", "FT", "PS"})
QUESTION = ("ForesporselFraSaksbehandler", "Foresporsel", "Saksbehandler", "Sykmelder")
_ATTACHMENTS_COMPARED = 40

TEXTS = {
    "patient": "Pasienten mangler, eller fødselsnummeret er ugyldig",
    "duplicate": "Duplikat! Meldingen med samme innhold er mottatt før og skal ikke sendes på nytt.",
    "text": "Meldingen er ikke gyldig: teksten mangler.",
    "codes": "Meldingen er ikke gyldig: meldingstypen passer ikke til innholdet.",
    "length": "Pasientens fødselsnummer eller D-nummer har ikke 11 tegn.",
    "check": "Pasientens fødselsnummer eller D-nummer er ikke gyldig.",
    "signer": "Avsenderens fødselsnummer eller D-nummer er ikke gyldig.",
    "same": "Avsenderens fødselsnummer er det samme som pasientens.",
    "profession": "Behandleren er ikke lege, kiropraktor, fysioterapeut, manuellterapeut, tannlege eller psykolog.",
}


@dataclass(slots=True)
class Nav:
    """Judges and asks. ``parked`` are the messages that got no word, for the tests to see."""

    office: PostOffice
    keys: Callable[[], KeySet]
    letters: Letters
    national_names: bool = False
    parked: list[str] = field(default_factory=list)
    _seen: dict[str, str] = field(default_factory=dict)

    def judge(self, stored: Stored, delivery: Delivery) -> Errors | None:
        """Errors of the AppRec (empty: accepted), or None for a message that is parked without a word."""
        envelope = stored.envelope
        process = self._process(stored)
        if envelope is None or process not in PROCESSES:
            self.parked.append(stored.id)
            return None
        signer, errors = self._signer(stored.document)
        if signer is None:
            return errors
        return self._rules(envelope, process, signer)

    def _process(self, stored: Stored) -> tuple[str, str]:
        names = {str(key).lower(): value for key, value in (stored.overrides or {}).items()}
        if self.national_names and stored.envelope is not None and "service" not in names:
            theme = child(_body(stored.envelope.root), "Notat", "TemaKodet")
            system = (theme.get("S") or "").rpartition(".")[2] if theme is not None else ""
            return next((pair for pair, lists in PROCESSES.items() if system in lists), ("", ""))
        return str(names.get("service")), str(names.get("action"))

    def _signer(self, document: bytes) -> tuple[PersonSpec | None, Errors]:
        try:
            verified = xmldsig.verify(xmlio.parse(document))
        except (SignatureError, UnreadableError, InputError):
            return None, [_coded("S01")]
        person = self.keys().signer_of(verified.certificate)
        return person, [] if person else [_coded("S02")]

    def _rules(self, envelope: Envelope, process: tuple[str, str], signer: PersonSpec) -> Errors:
        """The rules in NAV's order: the first ones stop at the first hit, the others all speak."""
        number = _patient_number(envelope.root)
        if number is None or len(number) != 11:
            return [("X99", TEXTS["patient"])]
        digest = content_digest(envelope.root)
        if digest in self._seen:
            return [("X99", TEXTS["duplicate"])]
        self._seen[digest] = envelope.msg_id or ""
        note = child(_body(envelope.root), "Notat")
        if process[1] in NEEDS_TEXT and not _words(note):
            return [("X99", TEXTS["text"])]
        if not _codes_fit(note, process):
            return [("X99", TEXTS["codes"])]
        return [("X99", TEXTS[name]) for name, hit in _person_rules(number, signer) if hit]

    # -- questions ----------------------------------------------------------------------------------------------------

    def answer(self, stored: Stored, delivery: Delivery, script: Script) -> None:
        """Ask about the patient when the script says so, and remind when nobody answers."""
        if not {"ask", "reply"} & script.extras:
            return
        conversation = self.office.ids()
        document_id = self.office.ids()
        asked = self._ask(
            stored, delivery, "1", (conversation, conversation), document_id, twice="duplicate" in script.extras
        )
        if "remind" in script.extras:
            references = (asked.msg_id or conversation, conversation)
            self.office.later(
                script.remind_after_s,
                lambda: self._remind(stored, delivery, references, document_id),
            )

    def _remind(self, stored: Stored, delivery: Delivery, references: tuple[str, str], document_id: str) -> None:
        answered = any(
            other.envelope.conversation == references[1]
            for other in self.office.messages.values()
            if other.sender == stored.sender and other.envelope is not None and not other.is_apprec
        )
        if not answered:
            self._ask(stored, delivery, "2", references, document_id)

    def _ask(
        self,
        stored: Stored,
        delivery: Delivery,
        code: str,
        references: tuple[str, str],
        document_id: str,
        *,
        twice: bool = False,
    ) -> Stored:
        words = "Vi trenger opplysninger om pasientens arbeidsevne." if code == "1" else "Vi minner om forespørselen."
        letter = Letter(
            msg_type="DIALOG_FORESPORSEL",
            namespace=DIALOG_10,
            theme=Coded.of(8129, code),
            words=words,
            body="question",
            document_id=document_id,
        )
        service, action, from_role, to_role = QUESTION
        names = {"service": service, "action": action, "senderRole": from_role, "receiverRole": to_role}
        return self.letters.write(stored, delivery, letter, references, names=names, twice=twice)


def _coded(code: str) -> tuple[str, str]:
    return code, Coded.of(8221, code).name or code


def _body(root: xmlio.Element | None) -> xmlio.Element | None:
    return child(root, "Document", "RefDoc", "Content", "Dialogmelding")


def _patient_number(root: xmlio.Element | None) -> str | None:
    for ident in children(root, "MsgInfo", "Patient", "Ident"):
        if text(ident, "TypeId") in ("FNR", "DNR"):
            return text(ident, "Id")
    return None


def _words(note: xmlio.Element | None) -> bool:
    content = child(note, "TekstNotatInnhold")
    return content is not None and bool("".join(str(piece) for piece in content.itertext()).strip())


def _codes_fit(note: xmlio.Element | None, process: tuple[str, str]) -> bool:
    theme = child(note, "TemaKodet")
    if theme is None:
        return False
    system = (theme.get("S") or "").rpartition(".")[2]
    asked = child(note, "Foresporsel", "TypeForesp")
    if process[1] == "ForesporselSvar" and asked is not None and (asked.get("S") or "").endswith(".8125"):
        return False
    return (theme.get("V") or "") in PROCESSES[process].get(system, frozenset())


def _person_rules(number: str, signer: PersonSpec) -> list[tuple[str, bool]]:
    return [
        ("check", not _valid(number)),
        ("signer", not _valid(signer.fnr)),
        ("same", number == signer.fnr),
        ("profession", signer.profession not in PROFESSIONS),
    ]


def _valid(number: str) -> bool:
    try:
        return read_national_id(number).valid
    except IdentifierError:
        return False


def content_digest(root: xmlio.Element | None) -> str:
    """SHA-256 over dialogue message, patient and the first forty attachments: what NAV compares repeats by."""
    digest = hashlib.sha256()
    parts = [_body(root), child(root, "MsgInfo", "Patient")]
    for part in parts:
        if part is not None:
            digest.update(xmlio.canonical(xmlio.reroot(part)))
    containers = [node for node in children(root, "Document", "RefDoc", "Content") if len(node)]
    attached = [node[0] for node in containers if local(node[0]) == "Base64Container"]
    for container in attached[:_ATTACHMENTS_COMPARED]:
        digest.update("".join((container.text or "").split()).encode())
    return digest.hexdigest()
