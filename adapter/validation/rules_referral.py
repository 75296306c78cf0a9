"""V14, V15, V18–V20 for referrals: the profile "ny tilstand", change and cancel (content digest 5.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from adapter.codes import display_name
from adapter.validation import names
from adapter.validation.moments import is_before
from adapter.validation.rule import ERROR, INFO, WARNING, Rule
from adapter.validation.subject import About, Hit, NotEvaluated, Predicate, Subject, filled, first, local, place, value
from adapter.xmlio import Element

_R, _PO, _FK1 = names.REFERRAL_2_0, names.PO, names.FK1
_REASON, _HEADING, _RESULT = f"{_R}ReasonAsText", f"{_R}Heading", f"{_R}TextResultValue"
_RESPONSIBLE, _RELATION, _REPORTER = f"{_PO}AnsvarForRapport", f"{_PO}TypeRelasjon", f"{_PO}AnsvarligRapport"
_CONTACT, _PERSON, _ROLE = f"{_PO}KontaktpersonHelsepersonell", f"{_PO}Kontaktperson", f"{_FK1}RoleToPatient"
_FAMILY, _GIVEN, _ADDRESS = f"{_FK1}FamilyName", f"{_FK1}GivenName", f"{_FK1}TeleAddress"
_CONTENT, _CONTENT_TYPE = f"{_PO}TypeInnholdIMelding", f"{_PO}TypeInnhold"
GENERAL_PRACTITIONER = "6"


def problem(subject: Subject) -> Iterable[Hit]:
    if subject.referral is None:
        return ()
    for reason in subject.sections.get(_REASON, ()):
        if value(reason, _HEADING) == "PROB" and filled(first(reason, _RESULT)):
            return ()
    return (place(subject.referral, "ReasonAsText", "Heading PROB"),)


def _referrers(subject: Subject) -> list[Element]:
    kept = subject.kept.get("referrers")
    if kept is None:
        kept = subject.kept["referrers"] = list(_read_referrers(subject))
    return cast("list[Element]", kept)


def _read_referrers(subject: Subject) -> Iterator[Element]:
    for responsible in subject.sections.get(_RESPONSIBLE, ()):
        person = first(responsible, _REPORTER)
        if person is not None and value(responsible, _RELATION) == "HHE":
            yield person


def referrer(subject: Subject) -> Iterable[Hit]:
    if subject.referral is None:
        return ()
    for person in _referrers(subject):
        if filled(first(person, _FAMILY)) and filled(first(person, _GIVEN)):
            return ()
    return (place(subject.referral, "AnsvarForRapport", "TypeRelasjon HHE"),)


def referrer_phone(subject: Subject) -> Iterable[Hit]:
    if subject.referral is None:
        return ()
    for part in (*_referrers(subject), *subject.sections.get(f"{_PO}TilknyttetEnhet", ())):
        for address in part.iter(_ADDRESS):
            if (address.get("V") or "").strip():
                return ()
    return (place(subject.referral, "AnsvarForRapport", "TeleCom"),)


def practitioner(subject: Subject) -> Iterable[Hit]:
    """The patient's GP, when a specialist receives it and it is no emergency (HITS 1174)."""
    if subject.referral is None or subject.facts.emergency or subject.facts.msg_type != names.NEW_REFERRAL:
        return ()
    for contact in subject.sections.get(_CONTACT, ()):
        if value(first(contact, _PERSON), _ROLE) == GENERAL_PRACTITIONER:
            return ()
    if subject.context.receiver_is_specialist is None:
        return (NotEvaluated("receiving specialist"),)
    if not subject.context.receiver_is_specialist:
        return ()
    return (place(subject.referral, "KontaktpersonHelsepersonell", "RoleToPatient 6"),)


def content_type(subject: Subject) -> Iterable[Hit]:
    if subject.referral is None:
        return ()
    inner = (first(content, _CONTENT_TYPE) for content in subject.sections.get(_CONTENT, ()))
    found = next((kind for kind in inner if kind is not None), None)
    if found is None:
        return (place(subject.referral, "TypeInnholdIMelding"),)
    return (found,) if display_name(8455, found.get("V") or "") is None else ()


def copy_receivers(subject: Subject) -> Iterable[Hit]:
    other = f"{names.MSGHEAD}OtherReceiver"
    if other not in subject.head or subject.info is None:
        return ()
    new = subject.facts.msg_type in (names.NEW_REFERRAL, names.FORWARDED_REFERRAL)
    return subject.info.iterchildren(other) if new else ()


def assessment(subject: Subject) -> Iterable[Hit]:
    new = subject.referral is not None and subject.facts.msg_type == names.NEW_REFERRAL
    return subject.sections.get(f"{_R}VurderingAvHenvisning", ()) if new else ()


def pathway(subject: Subject) -> Iterable[Hit]:
    found = subject.sections.get(f"{_R}Pakkeforlop", ()) if subject.referral is not None else ()
    if found and subject.context.sender_is_specialist is None:
        return (NotEvaluated("sending specialist"),)
    return () if subject.context.sender_is_specialist else found


def service_type(subject: Subject) -> Iterable[Hit]:
    if not _is_referral(subject) or subject.facts.service_type in ("N", *names.CHANGED):
        return ()
    return (place(subject.referral if subject.referral is not None else subject.root, "ServType", "N, M, C"),)


def _is_referral(subject: Subject) -> bool:
    return subject.namespace in names.REFERRALS


def periods(subject: Subject) -> Iterator[Hit]:
    if not _is_referral(subject) or subject.body is None:
        return
    ns = subject.namespace
    for part in subject.body.iter(f"{ns}PatientPrecaution", f"{ns}InfItem"):
        start, end = part.find(f"{ns}StartDateTime"), part.find(f"{ns}EndDateTime")
        if start is not None and end is not None and is_before(_moment(end), _moment(start)):
            yield end


def _moment(element: Element) -> str | None:
    return element.get("V") or element.text


def comments(subject: Subject) -> Iterable[Hit]:
    found = subject.sections.get(f"{_R}Comment") if subject.referral is not None else None
    return _without_content(found) if found else ()


def _without_content(found: list[Element]) -> Iterator[Hit]:
    for comment in found:
        if not filled(first(comment, _RESULT)) and first(comment, f"{_R}CodedComment") is None:
            yield place(comment, "TextResultValue")


def original(subject: Subject) -> Iterator[Hit]:
    facts, known = subject.facts, subject.context.known_documents
    if not _is_referral(subject) or facts.service_type not in names.CHANGED:
        return
    if known is None:
        yield NotEvaluated("documents")
    elif not facts.document_id or not known(facts.document_id):
        missing = next((part for part in subject.root.iter("*") if local(part.tag) == "DocumentId"), None)
        yield missing if missing is not None else place(subject.root)


def original_reference(subject: Subject) -> Iterator[Hit]:
    changed = subject.referral is not None and subject.facts.service_type in names.CHANGED
    if changed and subject.facts.conversation is None:
        yield place(subject.info if subject.info is not None else subject.root, "ConversationRef")


def _row(
    id_: str,
    source: str,
    nb: str,
    en: str,
    predicate: Predicate,
    *,
    quiet: bool = False,
    about: About = "referral",
) -> Rule:
    """A profile rule: blocks when sending; received it warns, or is only noted."""
    into = INFO if quiet else WARNING
    return Rule(id=id_, source=source, out=ERROR, into=into, nb=nb, en=en, predicate=predicate, about=about)


RULES = (
    _row(
        "V14.PROB",
        "HIS 1207:2018",
        "Henvisningen skal ha aktuell problemstilling med tekst",
        "The referral needs the current problem with a text",
        problem,
    ),
    _row(
        "V14.REFERRER",
        "HIS 1207:2018",
        "Henvisende helsepersonell skal ha for- og etternavn",
        "The referring professional needs a given name and a family name",
        referrer,
    ),
    _row(
        "V14.PHONE",
        "HITS 1174:2017",
        "Henvisende helsepersonell eller enhet skal ha telefonnummer",
        "The referring professional or unit needs a telephone number",
        referrer_phone,
    ),
    _row(
        "V14.GP",
        "HITS 1174:2017",
        "Pasientens fastlege skal være nevnt i henvisning til spesialisthelsetjenesten",
        "The patient's GP must be named in a referral to the specialist service",
        practitioner,
    ),
    _row(
        "V14.CONTENT",
        "HIS 80517:2017; code list 8455",
        "TypeInnhold skal være en kode fra kodeverk 8455",
        "TypeInnhold must be a code of list 8455",
        content_type,
    ),
    _row(
        "V15.COPY",
        "HIS 1207:2018; HIS 1208:2018",
        "Henvisningen kan ikke ha kopimottakere",
        "The referral cannot have copy receivers",
        copy_receivers,
        about="msghead",
    ),
    _row(
        "V15.ASSESSMENT",
        "HIS 1207:2018",
        "VurderingAvHenvisning brukes ikke i henvisning ny tilstand",
        "VurderingAvHenvisning is not used in a new referral",
        assessment,
    ),
    _row(
        "V15.PATHWAY",
        "HIS 1207:2018",
        "Pakkeforlop brukes bare når henviser er i spesialisthelsetjenesten",
        "Pakkeforlop is only used by referrers in the specialist service",
        pathway,
    ),
    _row(
        "V15.SERVTYPE",
        "HISD 1154:2018",
        "ServType skal være ny, endring eller kansellering",
        "ServType must be new, change or cancellation",
        service_type,
        about="any_referral",
    ),
    _row(
        "V18",
        "HIS 80517:2017",
        "Sluttidspunktet ligger før starten",
        "The end lies before the start",
        periods,
        quiet=True,
        about="any_referral",
    ),
    _row(
        "V19",
        "HIS 80517:2017",
        "Comment skal ha tekst eller kodet kommentar",
        "Comment needs a text or a coded comment",
        comments,
        quiet=True,
    ),
    _row(
        "V20",
        "HISD 1154:2018",
        "Endring og kansellering skal vise til en kjent henvisning",
        "A change or cancellation must refer to a known referral",
        original,
        about="change",
    ),
    _row(
        "V20.REFERENCE",
        "HISD 1154:2018",
        "Endring og kansellering skal ha ConversationRef",
        "A change or cancellation needs a ConversationRef",
        original_reference,
        about="change",
        quiet=True,
    ),
)
