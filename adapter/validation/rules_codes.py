"""V12, V13: coded values, empties, and whether a code is in its list (HISD 1165:2016, HIS 80117)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapter.validation.coded_values import field_of
from adapter.validation.rule import ERROR, INFO, WARNING, Rule
from adapter.validation.subject import Hit, Subject, place


def incomplete_values(subject: Subject) -> Iterable[Hit]:
    return _incomplete(subject) if subject.faulty else ()


def _incomplete(subject: Subject) -> Iterator[Hit]:
    for element, judged in subject.faulty:
        if judged.blank:
            yield element
        if judged.incomplete:
            yield place(element, None, "V + S + DN | OT")


def nameless_values(subject: Subject) -> Iterable[Hit]:
    return [element for element, judged in subject.faulty if judged.nameless] if subject.faulty else ()


def unknown_codes(subject: Subject) -> Iterable[Hit]:
    return _unknown(subject) if subject.faulty else ()


def _unknown(subject: Subject) -> Iterator[Hit]:
    for element, judged in subject.faulty:
        if judged.unknown:
            yield place(element, None, ", ".join(judged.unknown))


def empties(subject: Subject) -> Iterator[Hit]:
    return (element for element in subject.empty if field_of(element.tag) is not None)


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
        about="empty_elements",
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
