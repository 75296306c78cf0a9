"""V7, V8: is the patient sufficiently identified, and do the numbers hold (HIS 80415:2012 3.3.4, HIS 1001:2010)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import cast

from adapter.errors import IdentifierError
from adapter.identifiers import NationalId, NationalIdKind, read_national_id
from adapter.model.document import Family
from adapter.model.party import Person
from adapter.validation import names
from adapter.validation.rule import ERROR, INFO, WARNING, Rule
from adapter.validation.subject import Hit, Subject, filled, first, local, place
from adapter.xmlio import Element

_NUMBER, _BLANKS = re.compile(r"[0-9]{11}"), re.compile(r"\s")
_SUFFICIENT = ("FNR", "DNR", "FHN")
_JUDGED = frozenset({"FNR", "DNR", "FHN"})
_HELP = frozenset({"HNR"})
PersonNumber = tuple[str, str, Element]  # type, digits, the element that has the digits


def patient_element(subject: Subject) -> Element | None:
    """The Patient element of a MsgHead or a Henvisning 1.x."""
    if subject.info is not None:
        return subject.head.get(f"{names.MSGHEAD}Patient")
    report = _report(subject)
    return report.find(f"{subject.namespace}Patient")


def _report(subject: Subject) -> Element:
    """The ServReq of a document without MsgHead, else the root."""
    report = subject.root.find(f"{subject.namespace}ServReq")
    return report if report is not None else subject.root


def sufficient(person: Person | None, element: Element) -> bool:
    """Name with FNR, DNR or FHN, or name with birth date and sex."""
    if person is None or not ((person.family_name or "").strip() or (person.given_name or "").strip()):
        return False
    for ident in person.idents:
        if ident.type in _SUFFICIENT and _NUMBER.fullmatch(_BLANKS.sub("", ident.id)):
            return True
    return bool(person.sex) and _born(element)


def _born(element: Element) -> bool:
    """A birth date counts as written even when its form is odd (one-digit days occur in real traffic)."""
    born = next((child for child in element if local(child.tag) == "DateOfBirth"), None)
    return born is not None and (filled(born) or bool((born.get("V") or "").strip()))


def _insufficient(subject: Subject) -> Iterable[Hit]:
    facts = subject.facts
    if facts.family not in (Family.MSGHEAD, Family.HCP):
        return ()
    element = patient_element(subject)
    if element is None:
        return (place(subject.info if subject.info is not None else _report(subject), "Patient"),)
    return () if sufficient(facts.patient, element) else (element,)


def insufficient(subject: Subject) -> Iterable[Hit]:
    return () if subject.facts.emergency else _insufficient(subject)


def insufficient_emergency(subject: Subject) -> Iterable[Hit]:
    return _insufficient(subject) if subject.facts.emergency else ()


def person_numbers(subject: Subject, kinds: frozenset[str]) -> list[PersonNumber]:
    """Every person number in the document: its type, its digits, its element."""
    found = subject.kept.get("numbers")
    if found is None:
        found = subject.kept["numbers"] = list(_numbers(subject))
    return [number for number in cast(list[PersonNumber], found) if number[0] in kinds]


def _numbers(subject: Subject) -> Iterator[PersonNumber]:
    for element, kind in subject.numbered:
        number = _number_beside(element)
        digits = (number.text or "").strip() if number is not None else ""
        if number is not None and digits:
            yield kind, digits, number


def _number_beside(kind: Element) -> Element | None:
    namespace, _, name = str(kind.tag).rpartition("}")
    wanted = f"{namespace}}}{'OffId' if name == 'TypeOffId' else 'Id'}"
    above = kind.getparent()
    return first(above, wanted) if above is not None else None


def read_number(subject: Subject, digits: str) -> NationalId | None:
    """The number as read, once in a document however often it stands there; None when it has not eleven digits."""
    read = cast("dict[str, NationalId | None]", subject.kept.setdefault("read numbers", {}))
    if digits not in read:
        try:
            read[digits] = read_national_id(digits)
        except IdentifierError:
            read[digits] = None
    return read[digits]


def wrong_numbers(subject: Subject) -> list[Hit]:
    return [
        element
        for kind, digits, element in person_numbers(subject, _JUDGED)
        if not _right(read_number(subject, digits), kind)
    ]


def _right(number: NationalId | None, kind: str) -> bool:
    if number is None or not number.valid:
        return False
    # NAV's synthetic numbers look like H-numbers; their type stays FNR or DNR.
    return number.kind == kind or (number.kind is NationalIdKind.HNR and kind == "FNR")


def wrong_help_numbers(subject: Subject) -> list[Hit]:
    found: list[Hit] = []
    for _, digits, element in person_numbers(subject, _HELP):
        number = read_number(subject, digits)
        if number is None or not number.valid:
            found.append(element)
    return found


def not_overridden(subject: Subject) -> Iterable[Hit]:
    return () if subject.context.override_national_id else wrong_numbers(subject)


def overridden(subject: Subject) -> Iterable[Hit]:
    return wrong_numbers(subject) if subject.context.override_national_id else ()


_SUFFICIENCY = "HIS 80415:2012 3.3.4"
_NUMBERS = "HIS 1001:2010; Skatteetaten 2032"

RULES = (
    Rule(
        id="V7",
        source=_SUFFICIENCY,
        out=ERROR,
        into=ERROR,
        apprec="E36",
        nb="Pasienten skal ha navn og fødselsnummer, D-nummer eller felles hjelpenummer, "
        "ellers navn, fødselsdato og kjønn",
        en="The patient needs a name and a national id, D-number or common help number, else name, birth date and sex",
        predicate=insufficient,
    ),
    Rule(
        id="V7.EMERGENCY",
        source=f"{_SUFFICIENCY}; øyeblikkelig hjelp",
        out=WARNING,
        into=WARNING,
        about="emergency",
        nb="Pasienten er ikke tilstrekkelig identifisert; øyeblikkelig hjelp går likevel fram",
        en="The patient is not sufficiently identified; an emergency goes through all the same",
        predicate=insufficient_emergency,
    ),
    Rule(
        id="V8",
        source=_NUMBERS,
        out=ERROR,
        into=WARNING,
        nb="Personnummeret har ikke gyldige sifre eller feil type",
        en="The person number's digits are not valid, or its type is wrong",
        predicate=not_overridden,
    ),
    Rule(
        id="V8.OVERRIDDEN",
        source=_NUMBERS,
        out=WARNING,
        into=WARNING,
        nb="Personnummeret har ikke gyldige sifre eller feil type (overstyrt)",
        en="The person number's digits are not valid, or its type is wrong (overridden)",
        predicate=overridden,
    ),
    Rule(
        id="V8.HELP_NUMBER",
        source=_NUMBERS,
        out=WARNING,
        into=INFO,
        nb="Hjelpenummeret har ikke gyldige sifre; lokale hjelpenumre følger ikke alltid regelen",
        en="The help number's digits are not valid; local help numbers do not always keep the rule",
        predicate=wrong_help_numbers,
    ),
)
