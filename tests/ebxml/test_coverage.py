# ruff: noqa: E501
"""HITS 1172 as a table: each numbered rule and u1–u14, where it is judged, with one message that fails it and one that
does not. ``pytest -s tests/ebxml/test_coverage.py`` prints it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from adapter.ebxml.check_names import check_named_type
from adapter.ebxml.check_register import check_register
from adapter.ebxml.check_signature import check_signature
from adapter.ebxml.cpa import check_against
from adapter.ebxml.names import Kind
from adapter.ebxml.opening import SignatureOutcome, open_message
from adapter.ebxml.plaintext import read_plaintext
from adapter.ebxml.rulebook import RULES, Act, Needs
from adapter.ebxml.words import Participant, PartyId
from adapter.model.partner import PartyType
from tests.ebxml.making import NOW, VALID, change, opened_xml, payload, rules_of
from tests.ebxml.test_cpa import CPA, message
from tests.ebxml.test_rules import ACK, DEFECTS, ENTRY, ERROR, OTHER, WIRE

# The numbers as printed, chapter by chapter; 54 and 259 are printed twice.
NUMBERS = {
    "5.5.1.1": "18 19 80 81 250 20 251 83",
    "5.5.2": "21 82 22 51 252 66 253 67 255 256 257 258 259 260",
    "5.6": "78 68 86 16 17",
    "5.7": "43 2 3 100 101",
    "5.8": "4 8 70 7 69 76 102 77 11 12 10 9 58 59 25 55 60 61 14 13 31 56 47 71 48 72",
    "5.9": "29 54a 30 54b 110 111 112 113 114 261 262 79 44",
    "5.10": "45 52 363 42 32 39 40 34 33 37 36 35 38 41 64 85 103 65 46 104 105 84 50",
    "5.12": "106 107 108 109 115 116 117",
    "5.13": "120 121 122 123",
    "5.14": "74 75 94 5 6 27 23 265 266 267 268 269 270 271 272 273 274 279",
    "5.15": "263 264 259b",
}
UNNUMBERED = [f"u{number}" for number in range(1, 15)]
OFFICIAL = [number for chapter in NUMBERS.values() for number in chapter.split()]

# Judged elsewhere than on the octets alone; the key says by what.
NOT_APPLICABLE: dict[str, str] = {}  # none: every rule can hit a message that comes to us
LIVE_REGISTER = {
    "110": "only the register knows which agreements are in force: flow.ebxml_agreed, tests/journeys/test_ebxml_agreements"
}

YEAR, STRANGER = timedelta(days=365), Participant((PartyId("1"),))
ORGANISATION = replace(ENTRY, type=PartyType.ORGANIZATION)


def plain(head: bytes) -> list[str]:
    return rules_of(open_message(WIRE), VALID, decrypted={0: read_plaintext(head + b"\r\n\r\n<a/>")})


def register(sender: object, receiver: object, signer: bytes = b"certificate") -> list[str]:
    opened = open_message(WIRE)
    found = check_register(opened.envelope, opened.package, sender, receiver, signer=signer)  # type: ignore[arg-type]
    return [hit.rule for hit in found]


def agreement(**words: object) -> list[str]:
    return [hit.rule for hit in check_against(CPA, message(**words), NOW)[0]]


def signature(rule: str) -> list[str]:
    return rules_of(open_message(WIRE), SignatureOutcome(status="invalid", rule=rule))


def clock(rule: str) -> list[str]:
    return rules_of(open_message(WIRE), replace(VALID, warnings=(rule,)))


ELSEWHERE: dict[str, Callable[[], list[str]]] = {
    "29": lambda: register(None, OTHER),
    "54a": lambda: register(ENTRY, None),
    "30": lambda: register(ORGANISATION, OTHER),
    "54b": lambda: register(ENTRY, replace(OTHER, type=PartyType.ORGANIZATION)),
    "111": lambda: agreement(sender=STRANGER),
    "112": lambda: agreement(receiver=STRANGER),
    "113": lambda: agreement(timestamp=NOW - YEAR),
    "114": lambda: agreement(timestamp=NOW + YEAR),
    "261": lambda: register(replace(ENTRY, edi_address="new@edi.nhn.no"), OTHER),
    "262": lambda: register(ENTRY, replace(OTHER, edi_address="new@edi.nhn.no")),
    "79": lambda: register(replace(ENTRY, signing=None), OTHER),
    "44": lambda: register(ENTRY, OTHER, b"another"),
    "46": lambda: signature("46"),
    "50": lambda: signature("50"),
    "104": lambda: clock("104"),
    "105": lambda: clock("105"),
    "270": lambda: [hit.rule for hit in check_named_type(payload(), "http://www.kith.no/xmlstds/dialog/2013-01-23")],
    "263": lambda: rules_of(open_message(WIRE), VALID, decrypted={0: None}),
    "u13": lambda: plain(b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit"),
    "264": lambda: plain(b"Content-Type: application/xml"),
    "u14": lambda: plain(b"Content-Type: text/html\r\nContent-Transfer-Encoding: 8bit"),
    "259b": lambda: plain(b"Content-Type: application/xml\r\nContent-Transfer-Encoding: base65"),
}


def good() -> set[str]:
    """What a sound message, a sound receipt and a sound report fail, with keys, register and agreement in order."""
    signal = replace(VALID, covered=("",))
    document = read_plaintext(b"Content-Type: application/xml\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<a/>")
    found = rules_of(open_message(WIRE), VALID, decrypted={0: document}, now=NOW)
    found += rules_of(opened_xml(change(ACK, "x", "x")), signal) + rules_of(opened_xml(change(ERROR, "x", "x")), signal)
    found += register(ENTRY, OTHER) + agreement()
    found += [hit.rule for hit in check_named_type(payload(), "http://www.kith.no/xmlstds/dialog/2006-10-11")]
    root = open_message(WIRE).root
    assert root is not None
    return {*found, *[hit.rule for hit in check_signature(root, Kind.PAYLOAD, allow_sha1=False)]}


def status(rule: str) -> str:
    if rule in NOT_APPLICABLE:
        return f"not applicable: {NOT_APPLICABLE[rule]}"
    if rule in LIVE_REGISTER:
        return f"needs a live register: {LIVE_REGISTER[rule]}"
    needs = RULES[rule].needs
    on = {
        Needs.NOTHING: "the octets",
        Needs.KEYS: "the outcome of keys",
        Needs.AGREEMENT: "the agreement",
        Needs.REGISTER: "the register's entries in the address book",
    }
    return f"implemented on {on[needs]}"


def fails(rule: str) -> list[str]:
    """The rules that the one sample of this rule fails."""
    return ELSEWHERE[rule]() if rule in ELSEWHERE else [hit.rule for hit in DEFECTS[rule]().hits]


IMPLEMENTED = [rule for rule in [*OFFICIAL, *UNNUMBERED] if status(rule).startswith("implemented")]


def test_all_126_numbers_and_the_14_without_one_are_in_the_book_and_no_others() -> None:
    assert len(OFFICIAL) == len(set(OFFICIAL)) == 126
    assert len({rule.rstrip("ab") for rule in OFFICIAL}) == 124  # 54 and 259 twice
    assert [*sorted(OFFICIAL), *sorted(UNNUMBERED)] == [
        *sorted(rule for rule in RULES if rule[0].isdigit()),
        *sorted(rule for rule in RULES if rule[0] == "u"),
    ]
    assert all(RULES[rule].chapter.startswith(chapter) for chapter, rules in NUMBERS.items() for rule in rules.split())


def test_the_numbers_are_those_of_the_digest() -> None:
    digest = Path(__file__).parents[3] / "shared" / "reference" / "ebxml-standards.md"
    if not digest.is_file():
        pytest.skip("the digest of the standards is not beside the project")
    table = digest.read_text("utf-8").partition("### 2.2 The rules")[2].partition("### 2.3")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ") and "| Id |" not in line]
    assert sorted(rows) == sorted([*OFFICIAL, *UNNUMBERED])


def test_every_rule_is_implemented_or_says_why_not() -> None:
    lines = [
        f"{row.id:>4}  {row.chapter:9} {row.document:5} {row.act.value}:{row.code.value if row.code else '-':20} {status(row.id)}"
        for row in (RULES[rule] for rule in [*OFFICIAL, *UNNUMBERED])
    ]
    print("\n".join(["", "rule  chapter   says  we do                    where", *lines]))
    assert len(lines) == 140
    assert len(IMPLEMENTED) == 140 - len(LIVE_REGISTER) - len(NOT_APPLICABLE) == 139


@pytest.mark.parametrize("rule", IMPLEMENTED)
def test_an_implemented_rule_is_failed_by_its_sample(rule: str) -> None:
    assert rule in fails(rule)


def test_no_rule_is_failed_by_sound_messages() -> None:
    assert good() == set()


def test_the_answer_column_alone_decides_what_is_stopped() -> None:
    """A failed rule by itself stops nothing (HITS 1172 1.1): what we refuse, the document answers too or is silent on."""
    refusing = {rule for rule in OFFICIAL if RULES[rule].act in (Act.ERROR, Act.FAULT)}
    assert all(RULES[rule].document != "L" for rule in refusing)
