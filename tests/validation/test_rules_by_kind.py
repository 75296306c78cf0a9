"""Rules that cannot apply to a document are not asked. Here they are asked all the same, and have nothing to say."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from adapter.documents import read_facts, unwrap
from adapter.errors import UnreadableError, UnsupportedError
from adapter.validation.rulebook import RULES, rules_for
from adapter.validation.subject import About, RuleContext, Subject, Traits
from adapter.xmlio import Element, parse
from tests.documents.corpus import CORPUS, needs_corpus
from tests.validation.cases import CASES, file_bytes
from tests.validation.cases_base import NOW, RECEIPT, SAMPLES, good
from tests.validation.mutations import bodies, other_versions, variants

GOOD = sorted(SAMPLES.glob("good/*.xml"))
REAL = sorted(CORPUS.rglob("*.xml"))
LARGE = 8_000  # bytes; of larger real messages only themselves are looked at, not their variants


def no(_: str) -> bool:
    return False


def earlier(_: str) -> datetime | None:
    return NOW


# Each knows as much as can be known, so that a rule which is asked has something to say whenever it can.
KNOWN: dict[str, Any] = {
    "now": NOW,
    "ours": frozenset({1}),
    "envelope_receiver": 1,
    "accepts": ("NONE",),
    "action": "OTHER",
    "road": "ebxml-mail",
    "attachments_max": 0,
    "signer_profession": "XX",
    "known_documents": no,
    "known_messages": no,
    "seen_message": lambda sender, msg_id: True,
    "earlier_content": earlier,
    "receiver_is_specialist": True,
    "sender_is_specialist": False,
}
CONTEXTS = (
    RuleContext(direction="in"),
    RuleContext(direction="out", environment="production", partner_is_nav=True, signer_fnr="1", **KNOWN),
    RuleContext(direction="in", environment="test", override_national_id=True, **KNOWN),
)


def left_out(subject: Subject) -> Iterator[Any]:
    traits = subject.traits()
    return (rule for rule in RULES if not getattr(traits, rule.about))


def say_nothing(roots: Iterable[Element], contexts: tuple[RuleContext, ...] = CONTEXTS) -> int:
    """How many documents there were; fails where a rule that was left out has something to say."""
    number = 0
    for root in roots:
        number += 1
        message = unwrapped(root)
        if message is None:
            continue
        facts = read_facts(message)
        for context in contexts:
            subject = Subject(message, facts, context)
            said = [rule.id for rule in left_out(subject) if next(iter(rule.predicate(subject)), None) is not None]
            assert said == [], (facts.kind, facts.namespace, facts.msg_type)
    return number


def unwrapped(root: Element) -> Element | None:
    try:
        return unwrap(root.getroottree().getroot())
    except UnsupportedError:
        return None


def readable(documents: Iterable[bytes]) -> Iterator[Element]:
    for document in documents:
        try:
            yield parse(document)
        except UnreadableError:
            continue


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_on_a_good_sample_and_all_its_variants(file: Path) -> None:
    assert say_nothing(variants(parse(file.read_bytes())), CONTEXTS[:2]) > 500


def test_on_a_receipt_and_all_its_variants() -> None:
    assert say_nothing(variants(parse(good(RECEIPT).encode())), CONTEXTS[:2]) > 500


def test_on_every_faulty_document() -> None:
    assert say_nothing(readable(file_bytes(case) for case in CASES)) > 50
    assert say_nothing(readable(file.read_bytes() for file in SAMPLES.glob("bad/*.xml"))) > 50


def test_on_every_faulty_document_in_every_other_namespace() -> None:
    others = itertools.chain.from_iterable(other_versions(file_bytes(case)) for case in CASES)
    assert say_nothing(readable(others)) > 300


def test_on_every_head_with_every_other_body() -> None:
    documents = [parse(file.read_bytes()) for file in GOOD] + [parse(good(RECEIPT).encode())]
    grafted = itertools.chain.from_iterable(bodies(document, documents) for document in documents)
    assert say_nothing(grafted) > 80


@needs_corpus
@pytest.mark.parametrize("file", REAL, ids=lambda file: file.stem)
def test_on_a_real_message_and_its_variants(file: Path) -> None:
    roots = list(readable([file.read_bytes()]))
    if roots and file.stat().st_size <= LARGE:
        say_nothing(variants(roots[0]), CONTEXTS[1:2])
    say_nothing(roots)


def test_every_trait_leaves_rules_out_and_lets_them_in() -> None:
    assert set(get_args(About)) == set(Traits._fields)
    nothing = Traits(*[False] * (len(Traits._fields) - 1))
    for direction in ("in", "out"):
        asked = {rule.id for group in rules_for(direction, nothing) for rule in group}
        assert 0 < len(asked) < len(RULES) / 2
        every = Traits(*[True] * len(Traits._fields))
        rows = [rule for rule in RULES if (rule.out if direction == "out" else rule.into) is not None]
        gates, others = rules_for(direction, every)
        assert list(gates) == [rule for rule in rows if rule.gate]
        assert list(others) == [rule for rule in rows if not rule.gate]
