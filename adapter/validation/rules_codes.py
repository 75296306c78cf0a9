"""V12, V13: coded values, empties, and whether a code is in its list (HISD 1165:2016, HIS 80117)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from adapter import codes
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
_CV_IN_REFERRAL_2 = frozenset({"Heading"})

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


@lru_cache(maxsize=1024)
def _lists(tag: str) -> tuple[bool, tuple[int, ...]]:
    """Whether the element is a CV, and the lists that its field fixes otherwise."""
    namespace, _, name = tag.rpartition("}")
    namespace += "}"
    if name in _CV_ANYWHERE and not (namespace in (names.REFERRAL_1_0, names.REFERRAL_1_1) and name == "Opplysning"):
        return True, ()
    if (name == "TypeId" and namespace in _CV_WITH_IDENT) or (
        namespace == names.REFERRAL_2_0 and name in _CV_IN_REFERRAL_2
    ):
        return True, ()
    return False, _LISTS_BY_FIELD.get((namespace, name)) or _LISTS_ANYWHERE.get(name, ())


@lru_cache(maxsize=1024)
def _judged(tag: str) -> bool:
    return not tag.startswith((names.XHTML, names.XMLDSIG)) and tag.startswith("{")


def _is_cv(found: CodedElement) -> bool:
    if _lists(found.tag)[0]:
        return True
    # InfItem/Type is a CV in Henvisning 2.0, Address/Type a CS.
    if found.tag == f"{names.REFERRAL_2_0}Type":
        return True
    # ClinInv/Id is a coded value; every other Id is text.
    return found.tag == f"{names.REFERRAL_2_0}Id"


def incomplete_values(subject: Subject) -> Iterator[Hit]:
    for found in subject.coded:
        if not _judged(found.tag):
            continue
        given = dict(found.attributes)
        if any(not text.strip() and not name.startswith(_XSI) for name, text in given.items()):
            yield place(found.element)
        elif _is_cv(found) and not given.get("OT") and not (given.get("V") and _OID.fullmatch(given.get("S", ""))):
            yield place(found.element, None, "V + S + DN | OT")


def empties(subject: Subject) -> Iterator[Hit]:
    for element in subject.empty:
        if _judged(str(element.tag)):
            yield element


def nameless_values(subject: Subject) -> Iterator[Hit]:
    for found in subject.coded:
        if _judged(found.tag) and _is_cv(found) and found.element.get("V") and not found.element.get("DN"):
            yield found.element


def unknown_codes(subject: Subject) -> Iterator[Hit]:
    for found in subject.coded:
        if not _judged(found.tag):
            continue
        code = found.element.get("V")
        if not code:
            continue
        system = codes.system_number(found.element.get("S"))
        fixed = (system,) if system else _lists(found.tag)[1]
        known = [number for number in fixed if codes.known_system(number)]
        if known and all(codes.display_name(number, code.strip()) is None for number in known):
            yield place(found.element, None, ", ".join(str(number) for number in known))


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
