"""V12, V13: coded values, empties, and whether a code is in its list (HISD 1165:2016, HIS 80117)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from adapter.codes import display_name, known_system, system_number
from adapter.validation import names
from adapter.validation.rule import ERROR, INFO, WARNING, Rule
from adapter.validation.subject import CodedElement, Hit, Subject, place

_OID = re.compile(r"[0-9]+(?:\.[0-9]+)+")
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"

# Elements of type CV (code list in @S); every other coded element is a CS whose list its field fixes.
_CV_ANYWHERE = frozenset(
    {
        "TypeOrganisation",
        "RoleToPatient",
        "TemaKodet",
        "TypeForesp",
        "Formål",
        "SakstypeKodet",
        "TypeJournalinfo",
        "KodetOpplysning",
        "RolleNotat",
        "TypeRelasjon",
        "Opplysning",
        "TypeMottaker",
        "TypeInnhold",
        "TypeDato",
        "VentetidSluttkode",
        "UtfallAvVurdering",
        "Pakkeforlopskode",
        "ConsentStatus",
        "TextCode",
        "CodedComment",
        "Concept",
        "DrugId",
        "MedSpeciality",
        "ContentType",
        "ContentCategory",
        "Consent",
        "Spec",
        "ServId",
        "Error",
    }
)
_CV_WITH_IDENT = frozenset((names.MSGHEAD, names.FK1))
# InfItem/Type, ClinInv/Id and the headings are CV in Henvisning 2.0 only.
_CV_IN_REFERRAL_2 = frozenset({"Heading", "Type", "Id"})

# Fields of type CS and the lists that fix their codes; by namespace where the same name has several lists.
_LISTS_ANYWHERE: dict[str, tuple[int, ...]] = {
    "ProcessingStatus": (8113,),
    "RequestedPriority": (8115,),
    "Ack": (7304,),
    "ComMethod": (8235,),
    "RoleReceiver": (8112,),
    "Sex": (3101,),
    "TypeHealthcareProfessional": (9060,),
    "TypeTelecom": (9061,),
    "DocumentConnection": (4702,),
    "Compression": (1204,),
    "ServType": (7309,),
    "PaymentCat": (4101,),
    "BasisForHealthServices": (8246,),
    "Slektskap": (9033,),
    "Omsorgsfunksjon": (9050,),
    "Hastegrad": (9067,),
    "DevResultInd": (8244,),
    "ArithmeticComp": (8239,),
}
_LISTS_BY_FIELD: dict[tuple[str, str], tuple[int, ...]] = {
    (names.REFERRAL_2_0, "Priority"): (8306,),
    (names.REFERRAL_1_0, "Priority"): (8304,),
    (names.REFERRAL_1_1, "Priority"): (8304,),
    (names.MSGHEAD, "MsgType"): (8114,),
    (names.APPREC_1_0, "Status"): (8258,),
    (names.APPREC_1_1, "Status"): (8258,),
}


class Field(NamedTuple):
    """What an element's name says of its coded value: is it a CV, and which lists the field fixes if not."""

    cv: bool
    lists: tuple[str, ...]


@lru_cache(maxsize=1024)
def field_of(tag: str) -> Field | None:
    """The field of a tag, None for markup and signatures, which have no coded values."""
    if tag.startswith((names.XHTML, names.XMLDSIG)) or not tag.startswith("{"):
        return None
    namespace, _, name = tag.rpartition("}")
    namespace += "}"
    cv = (
        name in _CV_ANYWHERE
        or (name == "TypeId" and namespace in _CV_WITH_IDENT)
        or (name in _CV_IN_REFERRAL_2 and namespace == names.REFERRAL_2_0)
    )
    lists = () if cv else _LISTS_BY_FIELD.get((namespace, name)) or _LISTS_ANYWHERE.get(name, ())
    return Field(cv, tuple(str(number) for number in lists if known_system(number)))


class Faults(NamedTuple):
    """What is wrong with the coded values of a document, found in one pass."""

    incomplete: list[Hit]
    nameless: list[Hit]
    unknown: list[Hit]


def _faults(subject: Subject) -> Faults:
    kept = subject.kept.get("codes")
    if isinstance(kept, Faults):
        return kept
    faults = Faults([], [], [])
    for found in subject.coded:
        field = field_of(found[1])
        if field is not None:
            _judge_value(found, field, faults)
    subject.kept["codes"] = faults
    return faults


class Judged(NamedTuple):
    """What is wrong with one coded value; ``unknown``: the lists that it is not in."""

    blank: bool = False
    incomplete: bool = False
    nameless: bool = False
    unknown: tuple[str, ...] = ()


_SOUND = Judged()


def _judge(field: Field, given: dict[str, str]) -> Judged:
    code, system = given.get("V"), given.get("S")
    texts = given.values()
    blank = (not all(texts) or any(map(str.isspace, texts))) and _blank(given)
    incomplete = field.cv and not given.get("OT") and not (code and system and _is_oid(system))
    nameless = unknown = False
    lists: tuple[str, ...] = ()
    if code is not None:
        nameless = field.cv and "DN" not in given
        number = system_number(system)
        lists = field.lists if number is None else (number,) if known_system(number) else ()
        unknown = bool(lists) and not _is_listed(lists, code.strip())
    if not (blank or incomplete or nameless or unknown):
        return _SOUND
    return Judged(blank, incomplete and not blank, nameless, lists if unknown else ())


@lru_cache(maxsize=4096)
def _judge_listed(field: Field, attributes: tuple[tuple[str, str], ...]) -> Judged:
    """The same for a value with a code list, which says nothing of a person: most of them come again and again."""
    return _judge(field, dict(attributes))


def _judge_value(found: CodedElement, field: Field, faults: Faults) -> None:
    element, _, attributes = found
    given = dict(attributes)
    listed = "S" in given and "OT" not in given  # OT is free text
    judged = _judge_listed(field, tuple(attributes)) if listed else _judge(field, given)
    if judged is _SOUND:
        return
    if judged.blank:
        faults.incomplete.append(element)
    if judged.incomplete:
        faults.incomplete.append(place(element, None, "V + S + DN | OT"))
    if judged.nameless:
        faults.nameless.append(element)
    if judged.unknown:
        faults.unknown.append(place(element, None, ", ".join(judged.unknown)))


def _blank(given: dict[str, str]) -> bool:
    return any(not text.strip() and not name.startswith(_XSI) for name, text in given.items())


@lru_cache(maxsize=4096)
def _is_listed(lists: tuple[str, ...], code: str) -> bool:
    return any(display_name(one, code) for one in lists)


@lru_cache(maxsize=1024)
def _is_oid(text: str) -> bool:
    return _OID.fullmatch(text) is not None


def incomplete_values(subject: Subject) -> Iterator[Hit]:
    yield from _faults(subject).incomplete


def nameless_values(subject: Subject) -> Iterator[Hit]:
    yield from _faults(subject).nameless


def unknown_codes(subject: Subject) -> Iterator[Hit]:
    yield from _faults(subject).unknown


def empties(subject: Subject) -> Iterator[Hit]:
    for element in subject.empty:
        if field_of(element.tag) is not None:
            yield element


_CODES = "HIS 80117; HISD 1165:2016"

RULES = (
    Rule(
        id="V12",
        source=_CODES,
        out=ERROR,
        into=INFO,
        nb="En kodet verdi skal ha kode og kodeverk, eller fritekst, og ingen tomme attributter",
        en="A coded value needs code and code list, or free text, and no empty attributes",
        predicate=incomplete_values,
    ),
    Rule(
        id="V12.EMPTY",
        source="HISD 1165:2016",
        out=ERROR,
        into=INFO,
        nb="Tomme elementer er ikke tillatt",
        en="Empty elements are not allowed",
        predicate=empties,
    ),
    Rule(
        id="V12.NAME",
        source=_CODES,
        out=WARNING,
        into=INFO,
        nb="En kodet verdi bør ha visningsnavn",
        en="A coded value should have a display name",
        predicate=nameless_values,
    ),
    Rule(
        id="V13",
        source="volven.no; HIS 80415:2012 3.3.4",
        out=ERROR,
        into=WARNING,
        nb="Koden finnes ikke i kodeverket",
        en="The code is not in its list",
        predicate=unknown_codes,
    ),
)
