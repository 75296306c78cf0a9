"""P22: test and production do not mix. Outbound a mix is refused; inbound it is marked TEST and never rejected."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from adapter.identifiers import NationalId, NationalIdKind, Synthetic
from adapter.validation.rule import ERROR, INFO, WARNING, Rule
from adapter.validation.rules_patient import person_numbers, read_number
from adapter.validation.subject import Hit, NotEvaluated, Subject, place
from adapter.xmlio import Element

_JUDGED = frozenset({"FNR", "DNR"})
# The official test persons (KITH/NHN Testaktører 3.7) have numbers of the ordinary form; only digests are kept here.
_TEST_PEOPLE = frozenset(
    {
        "0eabccf0d66d5548",
        "379612e109630c9c",
        "39497cdccef47b0a",
        "3e44dfe107bd7d05",
        "3f0f87d48f5dfd3d",
        "5bc62082bed2cdc1",
        "893fcad149ed0552",
        "8cffdcf42443d125",
        "8e04901262eba765",
        "aafc0cb9199587c8",
        "bcca7fbf9e7a2ce6",
        "c4223303cc4b417e",
        "cee70560e304583e",
        "d1f2e1f81b6a5bf7",
        "efac3df0531b23c0",
    }
)


def is_test_person(digits: str) -> bool:
    """True for the number of an official test person."""
    return hashlib.sha256(digits.encode()).hexdigest()[:16] in _TEST_PEOPLE


def _numbers(subject: Subject) -> Iterator[tuple[NationalId, Element]]:
    for _, digits, element in person_numbers(subject, _JUDGED):
        number = read_number(subject, digits)
        if number is not None and number.valid and number.kind is not NationalIdKind.FHN:
            yield number, element


def synthetic(subject: Subject) -> Iterable[Hit]:
    return _of_population(subject, Synthetic.YES) if subject.context.environment == "production" else ()


def perhaps_synthetic(subject: Subject) -> Iterable[Hit]:
    return _of_population(subject, Synthetic.MAYBE) if subject.context.environment == "production" else ()


def _of_population(subject: Subject, population: Synthetic) -> list[Hit]:
    return [element for number, element in _numbers(subject) if number.synthetic is population]


def real(subject: Subject) -> Iterable[Hit]:
    if subject.context.environment != "test":
        return ()
    return [
        element
        for number, element in _numbers(subject)
        if number.synthetic is Synthetic.NO and not is_test_person(number.digits)
    ]


def test_status(subject: Subject) -> Iterable[Hit]:
    if subject.context.environment == "production" and subject.facts.processing_status in ("T", "D"):
        return (place(subject.info if subject.info is not None else subject.root, "ProcessingStatus"),)
    return ()


def unknown(subject: Subject) -> Iterable[Hit]:
    return (NotEvaluated("environment"),) if subject.context.environment is None else ()


RULES = (
    Rule(
        id="E-SYNTHETIC",
        source="P22; Skatteetaten, Norsk helsenett",
        out=ERROR,
        into=INFO,
        nb="TEST: personnummeret er syntetisk og hører ikke hjemme i produksjon",
        en="TEST: the person number is synthetic and does not belong in production",
        predicate=synthetic,
    ),
    Rule(
        id="E-MAYBE",
        source="P22; NAV",
        out=WARNING,
        into=None,
        nb="Personnummeret kan være syntetisk eller et lokalt hjelpenummer",
        en="The person number may be synthetic, or a local help number",
        predicate=perhaps_synthetic,
    ),
    Rule(
        id="E-STATUS",
        source="P22; code list 8113",
        out=ERROR,
        into=INFO,
        nb="TEST: meldingen er merket som opplæring eller feilsøking",
        en="TEST: the message is marked as training or debugging",
        predicate=test_status,
    ),
    Rule(
        id="E-REAL",
        source="P22",
        out=ERROR,
        into=None,
        offline=True,
        nb="Personnummeret er verken syntetisk eller en offisiell testpersons; det kan ikke sendes fra testmiljø",
        en="The person number is neither synthetic nor an official test person's; it cannot leave a test environment",
        predicate=real,
    ),
    Rule(
        id="E-ENVIRONMENT",
        source="P22",
        out=INFO,
        into=None,
        nb="Om personnumrene hører til miljøet",
        en="Whether the person numbers belong to the environment",
        predicate=unknown,
    ),
)
