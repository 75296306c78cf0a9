"""Which elements have coded values, and what is wrong with one of them (HISD 1165:2016, HIS 80117).

A value is judged by its tag and attributes alone. Most come again and again, so what is known of them is remembered;
never what may say something of a person, and nothing long.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from adapter.codes import display_name, known_system, system_number
from adapter.validation import names

Attributes = list[tuple[str, str]]

_OID = re.compile(r"[0-9]+(?:\.[0-9]+)+")
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_TYPE_ID = f"{names.MSGHEAD}TypeId"
_WITH_NUMBER = ("TypeId", "TypeOffId", "}Type")
PERSON_NUMBERS = frozenset({"FNR", "DNR", "FHN", "HNR"})
HER_LISTS = frozenset({"9051", "8116"})

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


_LONGEST = 200  # characters of a name or value that is remembered


def field_of(tag: str) -> Field | None:
    """The field of a tag, None for markup and signatures, which have no coded values."""
    return _remembered_field(tag) if len(tag) <= _LONGEST else _field(tag)


def _field(tag: str) -> Field | None:
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


_remembered_field = lru_cache(maxsize=1024)(_field)


class Judged(NamedTuple):
    """What there is to say of one value.

    ``unknown``: the lists that it is not in. ``number``: it gives the type of a person number that stands beside it.
    ``other_list``: a HER-id's type from a list that has none.
    """

    blank: bool = False
    incomplete: bool = False
    nameless: bool = False
    unknown: tuple[str, ...] = ()
    number: str | None = None
    other_list: bool = False


SOUND = Judged()
_MOST = 4096
_known: dict[tuple[object, ...], Judged] = {}  # by tag and attributes


def judge_value(tag: str, attributes: Attributes) -> Judged:
    """The judgement on the attributes of an element; ``SOUND`` itself where there is nothing to say."""
    key = (tag, *attributes)
    known = _known.get(key)
    if known is not None:
        return known
    field, given = field_of(tag), dict(attributes)
    judged = _judge(tag, field, given)
    if field is not None and (field.cv or field.lists) and _is_common(tag, given):
        if len(_known) >= _MOST:
            _known.clear()
        _known[key] = judged
    return judged


def _is_common(tag: str, given: dict[str, str]) -> bool:
    """True for a code with its list and name, which may be kept: OT is free text, and a long value is no code."""
    return "OT" not in given and len(tag) + sum(map(len, given)) + sum(map(len, given.values())) <= 2 * _LONGEST


def _judge(tag: str, field: Field | None, given: dict[str, str]) -> Judged:
    code, system = given.get("V"), given.get("S")
    number = code if code in PERSON_NUMBERS and tag.endswith(_WITH_NUMBER) else None
    other_list = code == "HER" and tag == _TYPE_ID and system_number(system) not in HER_LISTS
    if field is None:
        return Judged(number=number) if number else SOUND
    texts = given.values()
    blank = (not all(texts) or any(map(str.isspace, texts))) and _blank(given)
    incomplete = field.cv and not given.get("OT") and not (code and system and _OID.fullmatch(system) is not None)
    nameless = unknown = False
    lists: tuple[str, ...] = ()
    if code is not None:
        nameless = field.cv and "DN" not in given
        fixed = system_number(system)
        lists = field.lists if fixed is None else (fixed,) if known_system(fixed) else ()
        unknown = bool(lists) and not _is_listed(lists, code.strip())
    if not (blank or incomplete or nameless or unknown or number or other_list):
        return SOUND
    return Judged(blank, incomplete and not blank, nameless, lists if unknown else (), number, other_list)


def _blank(given: dict[str, str]) -> bool:
    return any(not text.strip() and not name.startswith(_XSI) for name, text in given.items())


def _is_listed(lists: tuple[str, ...], code: str) -> bool:
    return any(display_name(one, code) for one in lists)
