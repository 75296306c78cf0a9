"""V7, V8: is the patient sufficiently identified, and do the numbers hold (HIS 80415:2012 3.3.4, HIS 1001:2010)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

from adapter.errors import IdentifierError
from adapter.identifiers import NationalId, NationalIdKind, read_national_id
from adapter.model.document import Family
from adapter.model.party import Person
from adapter.validation import names
from adapter.validation.rule import ERROR, INFO, WARNING, Rule
from adapter.validation.subject import Hit, Subject, filled, first, local, place
from adapter.xmlio import Element

_NUMBER = re.compile(r"[0-9]{11}")
_SUFFICIENT = ("FNR", "DNR", "FHN")
_JUDGED = frozenset({"FNR", "DNR", "FHN"})
_KINDS = _JUDGED | {"HNR"}
PersonNumber = tuple[str, str, Element]  # type, digits, the element that has the digits


def patient_element(subject: Subject) -> Element | None:
    """The Patient element of a MsgHead or a Henvisning 1.x."""
    if subject.info is not None:
        return first(subject.info, f"{names.MSGHEAD}Patient")
    report = _report(subject)
    return report.find(f"{subject.namespace}Patient")


def _report(subject: Subject) -> Element:
    """The ServReq of a document without MsgHead, else the root."""
    report = subject.root.find(f"{subject.namespace}ServReq")
    return report if report is not None else subject.root


def sufficient(person: Person | None, born_written: bool) -> bool:
    """Name with FNR, DNR or FHN, or name with birth date and sex."""
    if person is None or not any((name or "").strip() for name in (person.family_name, person.given_name)):
        return False
    for ident in person.idents:
        if ident.type in _SUFFICIENT and _NUMBER.fullmatch(re.sub(r"\s", "", ident.id)):
            return True
    return bool(born_written and person.sex)


def _insufficient(subject: Subject) -> Iterator[Hit]:
    facts = subject.facts
    if facts.family not in (Family.MSGHEAD, Family.HCP):
        return
    element = patient_element(subject)
    if element is None:
        yield place(subject.info if subject.info is not None else _report(subject), "Patient")
        return
    # A birth date counts as written even when its form is odd (one-digit days occur in real traffic).
    born = next((child for child in element if local(child.tag) == "DateOfBirth"), None)
    written = born is not None and (filled(born) or bool((born.get("V") or "").strip()))
    if not sufficient(facts.patient, written):
        yield element


def insufficient(subject: Subject) -> Iterator[Hit]:
    if not subject.facts.emergency:
        yield from _insufficient(subject)


def insufficient_emergency(subject: Subject) -> Iterator[Hit]:
    if subject.facts.emergency:
        yield from _insufficient(subject)


def person_numbers(subject: Subject, kinds: frozenset[str]) -> Iterator[PersonNumber]:
    """Every person number in the document: its type, its digits, its element."""
    found = subject.kept.get("numbers")
    if found is None:
        found = subject.kept["numbers"] = list(_numbers(subject))
    for number in cast(list[PersonNumber], found):
        if number[0] in kinds:
            yield number


def _numbers(subject: Subject) -> Iterator[PersonNumber]:
    for element, tag, attributes in subject.coded:
        if not tag.endswith(("TypeId", "TypeOffId", "}Type")):
            continue
        kind = dict(attributes).get("V")
        number = _number_beside(element) if kind in _KINDS else None
        if kind and number is not None and (number.text or "").strip():
            yield kind, (number.text or "").strip(), number


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


def wrong_numbers(subject: Subject) -> Iterator[Hit]:
    for kind, digits, element in person_numbers(subject, _JUDGED):
        number = read_number(subject, digits)
        if number is None:
            yield element
            continue
        # NAV's synthetic numbers look like H-numbers; their type stays FNR or DNR.
        same = number.kind == kind or (number.kind is NationalIdKind.HNR and kind == "FNR")
        if not number.valid or not same:
            yield element


def wrong_help_numbers(subject: Subject) -> Iterator[Hit]:
    for _, digits, element in person_numbers(subject, frozenset({"HNR"})):
        number = read_number(subject, digits)
        if number is None or not number.valid:
            yield element


def not_overridden(subject: Subject) -> Iterator[Hit]:
    if not subject.context.override_national_id:
        yield from wrong_numbers(subject)


def overridden(subject: Subject) -> Iterator[Hit]:
    if subject.context.override_national_id:
        yield from wrong_numbers(subject)


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
