"""V14–V16 for Dialogmelding: what each profile requires and forbids, and who is named (content digest 2.2–2.6)."""

from __future__ import annotations

from collections.abc import Iterator

from adapter.codes import system_number
from adapter.validation import names
from adapter.validation.rule import ERROR, INFO, WARNING, Rule
from adapter.validation.subject import Hit, Predicate, Subject, filled, is_nav, local, place
from adapter.xmlio import Element

FREE_QUESTIONS = frozenset({("9152", "99"), ("9153", "99"), ("9065", "5"), ("8331", "5")})
QUESTION_LISTS = frozenset({"9152", "9153", "9065", "8331", "8125", "8129"})
THEME_LISTS: dict[str, frozenset[str]] = {
    "DIALOG_SVAR": frozenset({"9069", "8126"}),
    "DIALOG_NOTAT": frozenset({"7321", "8127", "8128"}),
    "DIALOG_AVVIK": frozenset({"8117"}),
    "DIALOG_HELSEFAGLIG": frozenset({"7322"}),
    "DIALOG_STATUS_HENVISNING": frozenset({"9148"}),
}
WITH_CONTACT = frozenset(
    {"DIALOG_FORESPORSEL", "DIALOG_SVAR", "DIALOG_NOTAT", "DIALOG_HELSEFAGLIG", "DIALOG_STATUS_HENVISNING"}
)
READER_ROLE, QUIET_ROLES = "24", frozenset({"24", "6", "23"})


def _type(subject: Subject) -> str:
    return subject.facts.msg_type or "" if subject.dialogue is not None else ""


def _with_nav(subject: Subject) -> bool:
    return subject.to_nav or is_nav(subject.facts.sender)


def _code(element: Element | None) -> tuple[str | None, str | None]:
    if element is None:
        return None, None
    return system_number(element.get("S")), element.get("V")


def _all_questions(subject: Subject) -> list[Element]:
    ns = subject.namespace
    return subject.questions + [
        question for note in subject.notes for question in note.iterchildren(f"{ns}Foresporsel")
    ]


def question_text(subject: Subject) -> Iterator[Hit]:
    for question in subject.questions:
        kind = question.find(f"{subject.namespace}TypeForesp")
        if _code(kind) in FREE_QUESTIONS and not filled(question.find(f"{subject.namespace}Sporsmal")):
            yield place(question, "Sporsmal")


def question_list(subject: Subject) -> Iterator[Hit]:
    if _type(subject) != "DIALOG_FORESPORSEL":
        return
    if not subject.questions and subject.dialogue is not None:
        yield place(subject.dialogue, "Foresporsel")
    for question in subject.questions:
        kind = question.find(f"{subject.namespace}TypeForesp")
        if _code(kind)[0] not in QUESTION_LISTS:
            yield place(question, "TypeForesp") if kind is None else kind


def theme_list(subject: Subject) -> Iterator[Hit]:
    allowed = THEME_LISTS.get(_type(subject))
    if allowed is None:
        return
    if not subject.notes and subject.dialogue is not None:
        yield place(subject.dialogue, "Notat")
    for note in subject.notes:
        theme = note.find(f"{subject.namespace}TemaKodet")
        if _code(theme)[0] not in allowed:
            yield place(note, "TemaKodet", ", ".join(sorted(allowed)))


def note_text(subject: Subject) -> Iterator[Hit]:
    for note in subject.notes:
        if not filled(note.find(f"{subject.namespace}TekstNotatInnhold")):
            yield place(note, "TekstNotatInnhold")


def note_title(subject: Subject) -> Iterator[Hit]:
    if _type(subject) == "DIALOG_HELSEFAGLIG":
        for note in subject.notes:
            if not filled(note.find(f"{subject.namespace}Tema")):
                yield place(note, "Tema")


def answered_question(subject: Subject) -> Iterator[Hit]:
    if _type(subject) != "DIALOG_SVAR" or _with_nav(subject):
        return
    for note in subject.notes:
        theme = note.find(f"{subject.namespace}TemaKodet")
        if _code(theme)[0] == "9069" and note.find(f"{subject.namespace}Foresporsel") is None:
            yield place(note, "Foresporsel")


def _roles(subject: Subject) -> Iterator[Element]:
    if subject.dialogue is not None:
        yield from subject.dialogue.iter(f"{subject.namespace}RollerRelatertNotat")


def _contact(role: Element, ns: str) -> Element | None:
    """The person or unit of a RollerRelatertNotat, None when it is absent or has no content."""
    for name in ("HealthcareProfessional", "Person", "TilknyttetEnhet"):
        found = role.find(f"{ns}{name}")
        if found is not None and len(found):
            return found
    return None


def _named(contact: Element) -> bool:
    return any(
        local(part.tag) in ("FamilyName", "OrganisationName") and bool((part.text or "").strip())
        for part in contact.iter("*")
    )


def _phone(contact: Element) -> bool:
    return any((part.get("V") or "").strip() for part in contact.iter(f"{names.FK1}TeleAddress"))


def contact_person(subject: Subject) -> Iterator[Hit]:
    """Somebody responsible with a name, a role and a telephone number (HITS 1174)."""
    if _type(subject) not in WITH_CONTACT or _with_nav(subject) or subject.dialogue is None:
        return
    ns = subject.namespace
    for role in _roles(subject):
        contact = _contact(role, ns)
        if contact is not None and _named(contact) and _phone(contact) and _role_given(role, contact, ns):
            return
    use = next(subject.dialogue.iterchildren("*"), subject.dialogue)
    yield place(use, "RollerRelatertNotat")


def _role_given(role: Element, contact: Element, ns: str) -> bool:
    return any(
        element is not None and bool(element.get("V") or element.get("OT"))
        for element in (
            role.find(f"{ns}RoleToPatient"),
            role.find(f"{ns}RolleNotat"),
            contact.find(f"{ns}RoleToPatient"),
        )
    )


def reader(subject: Subject) -> Iterator[Hit]:
    """A first message on theme 6 names the profession or person who should read it (HIS 1077)."""
    if _type(subject) != "DIALOG_HELSEFAGLIG" or subject.facts.conversation is not None:
        return
    ns = subject.namespace
    for note in subject.notes:
        if _code(note.find(f"{ns}TemaKodet"))[1] != "6":
            continue
        readers = [role for role in note.iterchildren(f"{ns}RollerRelatertNotat") if _is_reader(role, ns)]
        if not readers:
            yield place(note, "RollerRelatertNotat", "RoleToPatient 24")


def _is_reader(role: Element, ns: str) -> bool:
    contact = _contact(role, ns)
    if _code(role.find(f"{ns}RoleToPatient"))[1] != READER_ROLE or contact is None:
        return False
    return _named(contact) or contact.find(f"{ns}TypeHealthcareProfessional") is not None


def forbidden_question(subject: Subject) -> Iterator[Hit]:
    if _type(subject) == "DIALOG_HELSEFAGLIG":
        yield from _all_questions(subject)


def other_note_fields(subject: Subject) -> Iterator[Hit]:
    # HIS 1151 names theme and text only; the official example also names a contact person (HITS 1174).
    if _type(subject) == "DIALOG_AVVIK":
        for note in subject.notes:
            for part in note.iterchildren("*"):
                if local(part.tag) not in ("TemaKodet", "TekstNotatInnhold", "RollerRelatertNotat"):
                    yield part


def several_uses(subject: Subject) -> Iterator[Hit]:
    yield from (subject.questions + subject.notes)[1:]


def role_missing(subject: Subject) -> Iterator[Hit]:
    for role in _roles(subject):
        contact = _contact(role, subject.namespace)
        if not _role_given(role, contact if contact is not None else role, subject.namespace):
            yield place(role, "RoleToPatient")


def role_holder(subject: Subject) -> Iterator[Hit]:
    for role in _roles(subject):
        if _contact(role, subject.namespace) is None:
            yield place(role, "HealthcareProfessional")


def role_phone(subject: Subject) -> Iterator[Hit]:
    if _with_nav(subject):
        return
    for role in _roles(subject):
        contact = _contact(role, subject.namespace)
        quiet = _code(role.find(f"{subject.namespace}RoleToPatient"))[1] in QUIET_ROLES
        if contact is not None and not quiet and not _phone(contact):
            yield place(contact, "TeleCom")


def _row(id_: str, source: str, nb: str, en: str, predicate: Predicate, *, quiet: bool = False) -> Rule:
    """A profile rule: blocks when sending; received it warns, or is only noted."""
    into = INFO if quiet else WARNING
    return Rule(id=id_, source=source, out=ERROR, into=into, nb=nb, en=en, predicate=predicate, about="dialogue")


RULES = (
    _row(
        "V14.QUESTION_TEXT",
        "HISD 80903:2009",
        "Et spørsmål i fritekst skal ha tekst",
        "A free-text question needs a text",
        question_text,
    ),
    _row(
        "V14.QUESTION",
        "HIS 1152; HIS 80603:2006",
        "En forespørsel skal ha et spørsmål fra et av kodeverkene 9152, 9153, 9065 og 8331",
        "A request needs a question of list 9152, 9153, 9065 or 8331",
        question_list,
    ),
    _row(
        "V14.THEME",
        "HIS 80603; HIS 1077; HIS 1151; HIS 1206",
        "Notatets tema skal være fra kodeverket til meldingstypen",
        "The note's theme must be of the list that belongs to the message type",
        theme_list,
    ),
    _row("V14.TEXT", "HIS 80603:2006", "Notatet skal ha tekst", "The note needs a text", note_text),
    _row(
        "V14.TITLE",
        "HIS 1077",
        "Helsefaglig dialog skal ha overskrift",
        "Helsefaglig dialog needs a heading",
        note_title,
    ),
    _row(
        "V14.ANSWERED",
        "HIS 80603:2006; HIS 1152",
        "Svaret skal inneholde spørsmålet",
        "The answer must contain the question",
        answered_question,
    ),
    _row(
        "V14.CONTACT",
        "HITS 1174:2017",
        "Ansvarlig helsepersonell eller enhet skal ha navn, rolle og telefon",
        "A responsible professional or unit needs a name, a role and a telephone number",
        contact_person,
    ),
    _row(
        "V14.READER",
        "HIS 1077",
        "En første henvendelse skal nevne profesjon eller navn på den som bør lese den",
        "A first message must name the profession or the person who should read it",
        reader,
    ),
    _row(
        "V15.QUESTION",
        "HIS 1077",
        "Helsefaglig dialog har ikke Foresporsel",
        "Helsefaglig dialog has no Foresporsel",
        forbidden_question,
    ),
    _row(
        "V15.NOTE",
        "HIS 1151",
        "Tilbakemelding om feil har bare tema, tekst og kontaktperson",
        "A report of a faulty message has a theme, a text and a contact person only",
        other_note_fields,
    ),
    _row(
        "V15.SEVERAL",
        "HIS 80603:2006",
        "En melding har én forespørsel eller ett notat",
        "A message has one request or one note",
        several_uses,
    ),
    _row(
        "V16",
        "HIS 80603:2006; HITS 1174:2017",
        "RollerRelatertNotat skal ha en rolle",
        "RollerRelatertNotat needs a role",
        role_missing,
        quiet=True,
    ),
    _row(
        "V16.PERSON",
        "HIS 80603:2006; HITS 1174:2017",
        "RollerRelatertNotat skal ha en person eller enhet",
        "RollerRelatertNotat needs a person or a unit",
        role_holder,
        quiet=True,
    ),
    _row(
        "V16.PHONE",
        "HITS 1174:2017",
        "Personen eller enheten skal ha telefonnummer",
        "The person or unit needs a telephone number",
        role_phone,
        quiet=True,
    ),
)
