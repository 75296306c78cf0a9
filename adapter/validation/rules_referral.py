"""V14, V15, V18–V20 for referrals: the profile "ny tilstand", change and cancel (content digest 5.2)."""

from __future__ import annotations

from collections.abc import Iterator

from adapter.codes import display_name
from adapter.validation import names
from adapter.validation.moments import is_before
from adapter.validation.rule import ERROR, INFO, WARNING, Rule
from adapter.validation.subject import Hit, NotEvaluated, Predicate, Subject, filled, first, local, place, value
from adapter.xmlio import Element

_R, _PO, _FK1 = names.REFERRAL_2_0, names.PO, names.FK1
_REFERRALS = (names.REFERRAL_1_0, names.REFERRAL_1_1, names.REFERRAL_2_0)
GENERAL_PRACTITIONER = "6"
_CHANGED = ("M", "C")


def problem(subject: Subject) -> Iterator[Hit]:
    if subject.referral is None:
        return
    for reason in subject.referral.iterchildren(f"{_R}ReasonAsText"):
        if value(reason, f"{_R}Heading") == "PROB" and filled(first(reason, f"{_R}TextResultValue")):
            return
    yield place(subject.referral, "ReasonAsText", "Heading PROB")


def _referrers(referral: Element) -> Iterator[Element]:
    for responsible in referral.iterchildren(f"{_PO}AnsvarForRapport"):
        person = first(responsible, f"{_PO}AnsvarligRapport")
        if value(responsible, f"{_PO}TypeRelasjon") == "HHE" and person is not None:
            yield person


def referrer(subject: Subject) -> Iterator[Hit]:
    if subject.referral is None:
        return
    for person in _referrers(subject.referral):
        if filled(first(person, f"{_FK1}FamilyName")) and filled(first(person, f"{_FK1}GivenName")):
            return
    yield place(subject.referral, "AnsvarForRapport", "TypeRelasjon HHE")


def referrer_phone(subject: Subject) -> Iterator[Hit]:
    if subject.referral is None:
        return
    units = subject.referral.iterchildren(f"{_PO}TilknyttetEnhet")
    if not any(_phone(part) for part in (*_referrers(subject.referral), *units)):
        yield place(subject.referral, "AnsvarForRapport", "TeleCom")


def _phone(part: Element) -> bool:
    return any((address.get("V") or "").strip() for address in part.iter(f"{_FK1}TeleAddress"))


def practitioner(subject: Subject) -> Iterator[Hit]:
    """The patient's GP, when a specialist receives it and it is no emergency (HITS 1174)."""
    if subject.referral is None or subject.facts.emergency or subject.facts.msg_type != names.NEW_REFERRAL:
        return
    if _names_practitioner(subject.referral):
        return
    if subject.context.receiver_is_specialist is None:
        yield NotEvaluated("receiving specialist")
    elif subject.context.receiver_is_specialist:
        yield place(subject.referral, "KontaktpersonHelsepersonell", "RoleToPatient 6")


def _names_practitioner(referral: Element) -> bool:
    return any(
        value(first(contact, f"{_PO}Kontaktperson"), f"{_FK1}RoleToPatient") == GENERAL_PRACTITIONER
        for contact in referral.iterchildren(f"{_PO}KontaktpersonHelsepersonell")
    )


def content_type(subject: Subject) -> Iterator[Hit]:
    if subject.referral is None:
        return
    found = subject.referral.find(f"{_PO}TypeInnholdIMelding/{_PO}TypeInnhold")
    if found is None:
        yield place(subject.referral, "TypeInnholdIMelding")
    elif display_name(8455, found.get("V") or "") is None:
        yield found


def copy_receivers(subject: Subject) -> Iterator[Hit]:
    if subject.info is not None and subject.facts.msg_type in (names.NEW_REFERRAL, names.FORWARDED_REFERRAL):
        yield from subject.info.iterchildren(f"{names.MSGHEAD}OtherReceiver")


def assessment(subject: Subject) -> Iterator[Hit]:
    if subject.referral is not None and subject.facts.msg_type == names.NEW_REFERRAL:
        yield from subject.referral.iterchildren(f"{_R}VurderingAvHenvisning")


def pathway(subject: Subject) -> Iterator[Hit]:
    if subject.referral is None:
        return
    for found in subject.referral.iterchildren(f"{_R}Pakkeforlop"):
        if subject.context.sender_is_specialist is None:
            yield NotEvaluated("sending specialist")
            return
        if not subject.context.sender_is_specialist:
            yield found


def service_type(subject: Subject) -> Iterator[Hit]:
    if _is_referral(subject) and subject.facts.service_type not in ("N", *_CHANGED):
        yield place(subject.referral if subject.referral is not None else subject.root, "ServType", "N, M, C")


def _is_referral(subject: Subject) -> bool:
    return subject.namespace in _REFERRALS


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


def comments(subject: Subject) -> Iterator[Hit]:
    if subject.referral is None:
        return
    for comment in subject.referral.iterchildren(f"{_R}Comment"):
        if not filled(first(comment, f"{_R}TextResultValue")) and first(comment, f"{_R}CodedComment") is None:
            yield place(comment, "TextResultValue")


def original(subject: Subject) -> Iterator[Hit]:
    facts, known = subject.facts, subject.context.known_documents
    if not _is_referral(subject) or facts.service_type not in _CHANGED:
        return
    if known is None:
        yield NotEvaluated("documents")
    elif not facts.document_id or not known(facts.document_id):
        missing = next((part for part in subject.root.iter("*") if local(part.tag) == "DocumentId"), None)
        yield missing if missing is not None else place(subject.root)


def original_reference(subject: Subject) -> Iterator[Hit]:
    if subject.referral is not None and subject.facts.service_type in _CHANGED and subject.facts.conversation is None:
        yield place(subject.info if subject.info is not None else subject.root, "ConversationRef")


def _row(id_: str, source: str, nb: str, en: str, predicate: Predicate, *, quiet: bool = False) -> Rule:
    """A profile rule: blocks when sending; received it warns, or is only noted."""
    return Rule(id=id_, source=source, out=ERROR, into=INFO if quiet else WARNING, nb=nb, en=en, predicate=predicate)


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
    ),
    _row(
        "V18",
        "HIS 80517:2017",
        "Sluttidspunktet ligger før starten",
        "The end lies before the start",
        periods,
        quiet=True,
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
    ),
    _row(
        "V20.REFERENCE",
        "HISD 1154:2018",
        "Endring og kansellering skal ha ConversationRef",
        "A change or cancellation needs a ConversationRef",
        original_reference,
        quiet=True,
    ),
)
