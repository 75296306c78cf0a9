"""NAV's own rules (P15): numbers and texts as NAV's reception has them. Every rejection there is X99 with that text.

Rules 2 to 8 stop at the first hit at NAV, 9 to 17 all report; rule 1 comes before them. Rules that need a register
(3–5, 8, 9, 14, 15, 17) are NAV's alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

import pybase64

from adapter.codes import system_number
from adapter.model.document import Facts
from adapter.validation import names
from adapter.validation.rule import ERROR, WARNING, Rule
from adapter.validation.subject import Hit, NotEvaluated, Place, Predicate, Subject, filled, place
from adapter.xmlio import Element

STOPPING = frozenset({"N1", "N2", "N6", "N7"})
PROFESSIONS = frozenset({"LE", "KI", "MT", "TL", "FT", "PS"})
# Action -> themes (list, code) that may come with it.
THEMES: dict[str, frozenset[tuple[str, str]]] = {
    "Henvendelse": frozenset({("8128", "1"), ("8128", "2")}),
    "MoteRespons": frozenset({("8126", "1"), ("8126", "2"), ("8126", "3")}),
    "ForesporselSvar": frozenset({("9069", "5"), ("8129", "1"), ("8129", "2")}),
}
_WITH_TEXT = frozenset({"Henvendelse", "ForesporselSvar"})
_ELEVEN = re.compile(r"[0-9]{11}")
_K1, _K2 = (3, 7, 6, 1, 8, 9, 4, 5, 2), (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
HASHED_ATTACHMENTS = 40


def action(subject: Subject) -> str | None:
    """Which of NAV's three actions the message belongs to: as the envelope says, else by type and theme."""
    named = subject.context.action or (subject.reception.get("ebAction") if subject.reception is not None else None)
    if named in THEMES:
        return named
    if subject.facts.msg_type == "DIALOG_NOTAT":
        return "Henvendelse"
    if subject.facts.msg_type != "DIALOG_SVAR":
        return None
    themes = {_code(_theme(subject, note))[0] for note in subject.notes}
    return "MoteRespons" if "8126" in themes else "ForesporselSvar"


def _theme(subject: Subject, note: Element) -> Element | None:
    return note.find(f"{subject.namespace}TemaKodet")


def _code(element: Element | None) -> tuple[str | None, str | None]:
    return (None, None) if element is None else (system_number(element.get("S")), element.get("V"))


def _patient_number(subject: Subject) -> str | None:
    patient = subject.facts.patient
    idents = patient.idents if patient is not None else ()
    return next((ident.id.strip() for ident in idents if ident.type in ("FNR", "DNR")), None)


def _signer(subject: Subject) -> str | None:
    if subject.context.signer_fnr is not None:
        return subject.context.signer_fnr
    return subject.reception.get("avsenderFnrFraDigSignatur") if subject.reception is not None else None


def number_valid(digits: str) -> bool:
    """NAV's check: both check digits by the old rule, day 1–31 or 41–71."""
    if not _ELEVEN.fullmatch(digits):
        return False
    numbers = [int(sign) for sign in digits]
    first = 11 - sum(w * n for w, n in zip(_K1, numbers, strict=False)) % 11
    second = 11 - sum(w * n for w, n in zip(_K2, numbers, strict=False)) % 11
    day = int(digits[:2])
    in_range = 1 <= day <= 31 or 41 <= day <= 71
    return in_range and first % 11 == numbers[9] and second % 11 == numbers[10] and 10 not in (first, second)


def _patient(subject: Subject, detail: str = "") -> Place:
    element = subject.info.find(f"{names.MSGHEAD}Patient") if subject.info is not None else None
    return place(element, None, detail) if element is not None else Place("/MsgHead/MsgInfo/Patient", None, detail)


def patient_found(subject: Subject) -> Iterator[Hit]:
    if not _ELEVEN.fullmatch(_patient_number(subject) or ""):
        yield _patient(subject)


def content_seen(subject: Subject) -> Iterator[Hit]:
    seen = subject.context.earlier_content
    if seen is None:
        yield NotEvaluated("contents")
        return
    before = seen(content_digest(subject.facts, subject.context.attachment_pieces))
    if before is not None:
        now = subject.now or before
        yield Place(None, None, f"{now:%Y-%m-%dT%H:%M:%S}, {before:%Y-%m-%dT%H:%M:%S}")


def text_missing(subject: Subject) -> Iterator[Hit]:
    if action(subject) in _WITH_TEXT:
        for note in subject.notes:
            if not filled(note.find(f"{subject.namespace}TekstNotatInnhold")):
                yield place(note, "TekstNotatInnhold")


def other_theme(subject: Subject) -> Iterator[Hit]:
    named = action(subject)
    if named is None:
        return
    for note in subject.notes:
        theme = _theme(subject, note)
        asked = _code(note.find(f"{subject.namespace}Foresporsel/{subject.namespace}TypeForesp"))[0]
        if _code(theme) not in THEMES[named] or (named == "ForesporselSvar" and asked == "8125"):
            yield place(note, "TemaKodet") if theme is None else theme


def patient_length(subject: Subject) -> Iterator[Hit]:
    number = _patient_number(subject)
    if number is not None and len(number) != 11:
        yield _patient(subject)


def patient_number(subject: Subject) -> Iterator[Hit]:
    number = _patient_number(subject)
    if number is not None and len(number) == 11 and not number_valid(number):
        yield _patient(subject)


def signer_number(subject: Subject) -> Iterator[Hit]:
    signer = _signer(subject)
    if signer is None:
        yield NotEvaluated("signer")
    elif not number_valid(signer):
        yield Place("/MsgHead/Signature")


def signer_is_patient(subject: Subject) -> Iterator[Hit]:
    signer = _signer(subject)
    if signer is None:
        yield NotEvaluated("signer")
    elif signer == _patient_number(subject):
        yield _patient(subject)


def signer_profession(subject: Subject) -> Iterator[Hit]:
    profession = subject.context.signer_profession
    if profession is None:
        yield NotEvaluated("profession")
    elif profession not in PROFESSIONS:
        yield Place("/MsgHead/Signature", None, ", ".join(sorted(PROFESSIONS)))


def content_digest(facts: Facts, pieces: tuple[bytes, ...] = ()) -> str:
    """SHA-256 over body, patient and the first 40 attachments; the same for a built and for a received document."""
    digest = hashlib.sha256()
    for element in facts.business.iter("*") if facts.business is not None else ():
        digest.update(repr((element.tag, sorted(element.items()), (element.text or "").strip())).encode())
    if facts.patient is not None:
        digest.update(repr([(ident.type, ident.id) for ident in facts.patient.idents]).encode())
    for number, attachment in enumerate(facts.attachments[:HASHED_ATTACHMENTS]):
        if number < len(pieces):
            digest.update(pybase64.b64encode(pieces[number]))
        elif attachment.element is not None:
            digest.update((attachment.element.text or "").encode().translate(None, b" \t\r\n"))
    return digest.hexdigest()


def _to_nav(predicate: Predicate) -> Predicate:
    """The predicate, judged only for dialogue messages whose receiver is NAV."""

    def judged(subject: Subject) -> Iterable[Hit]:
        return predicate(subject) if subject.dialogue is not None and subject.to_nav else ()

    return judged


def _row(id_: str, name: str, nb: str, en: str, predicate: Predicate, *, bare_file_warns: bool = False) -> Rule:
    """``bare_file_warns``: on a file that merely names NAV, digits do not reject (as V8); NAV itself does."""
    return Rule(
        id=id_,
        source=f"NAV dialogmelding v1.5, padm2 ({name})",
        out=ERROR,
        into=ERROR,
        apprec="X99",
        error_name=nb,
        inferred=WARNING if bare_file_warns else None,
        about="to_nav",
        nb=nb,
        en=en,
        predicate=_to_nav(predicate),
    )


RULES = (
    _row(
        "N1",
        "1",
        "Pasienten er ikke funnet i dialogmeldingen eller fnr er ugyldig",
        "NAV needs the patient's national id or D-number of eleven digits",
        patient_found,
    ),
    _row(
        "N2",
        "2",
        "Duplikat! - Dialogmeldingen fra {new} har vi tidligere mottatt den {old}. Skal ikke sendes på nytt.",
        "NAV has had this content before and refuses repeats",
        content_seen,
    ),
    _row(
        "N6",
        "6 MELDINGSTEKST_MANGLER",
        "Dialogmeldingen er ikke gyldig: meldingstekst mangler.",
        "NAV needs a text in this message",
        text_missing,
    ),
    _row(
        "N7",
        "7 INVALID_KODEVERK",
        "Dialogmeldingen er ikke gyldig: meldingstypen stemmer ikke med innholdet. Kontakt din EPJ-leverandør.",
        "NAV does not take this theme with this action",
        other_theme,
    ),
    _row(
        "N10",
        "10 UGYLDIG_INNBYGGERIDENT_LENGDE",
        "Pasienten sitt fødselsnummer eller D-nummer er ikke 11 tegn.",
        "The patient's number must have eleven digits",
        patient_length,
        bare_file_warns=True,
    ),
    _row(
        "N11",
        "11 UGYLDIG_INNBYGGERIDENT",
        "Pasientens fødselsnummer/D-nummer er ikke gyldig",
        "The patient's number must have valid digits",
        patient_number,
        bare_file_warns=True,
    ),
    _row(
        "N12",
        "12 UGYLDIG_FNR_AVSENDER",
        "Avsenders fødselsnummer/D-nummer er ikke gyldig",
        "The signer's number must have valid digits",
        signer_number,
        bare_file_warns=True,
    ),
    _row(
        "N13",
        "13 AVSENDER_FNR_ER_SAMME_SOM_INNBYGGER_FNR",
        "Avsender fnr er det samme som pasient fnr",
        "The signer must not be the patient",
        signer_is_patient,
    ),
    _row(
        "N16",
        "16 BEHANDLER_IKKE_LE_KI_MT_TL_FT_PS_I_HPR",
        "Dialogmelding kan ikke rettes, det må skrives en ny. Grunnet følgende:Behandler finnes i HPR men er ikke "
        "lege, kiropraktor, fysioterapeut, manuellterapeut tannlege eller psykolog",
        "NAV takes dialogue messages from doctors, chiropractors, manual therapists, dentists, physiotherapists and "
        "psychologists",
        signer_profession,
    ),
)
