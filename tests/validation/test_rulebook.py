"""Every rule has a sample that triggers it and one that does not, in both directions."""

from __future__ import annotations

import pytest

from adapter.errors import Severity
from adapter.validation.rulebook import HITS_PER_RULE, RULES, rules_by_id
from tests.validation.cases import CASES
from tests.validation.cases_base import HEALTH, NAV_INQUIRY, NOTE_10, RECEIPT, REFERRAL, SAMPLES, Case, cut, good, swap
from tests.validation.judging import judged

NOT_SHOWN = {
    "V17": "the parser refuses a DOCTYPE before a tree exists; test_a_tree_with_a_doctype_is_found shows the rule",
}
ALL = pytest.mark.parametrize("case", CASES, ids=[f"{number}-{case.id}" for number, case in enumerate(CASES)])


@ALL
@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_fault_is_found_with_the_severity_of_its_direction(case: Case, direction: str) -> None:
    found = judged(case.document(), direction, **case.only).of(case.rule)
    expected = case.out if direction == "out" else case.into
    assert {finding.severity.value for finding in found} == ({expected} if expected else set())
    if expected == "error" and direction == "in":
        assert {finding.apprec for finding in found} == {case.apprec}


@ALL
@pytest.mark.parametrize("direction", ["out", "in"])
def test_the_good_sample_does_not_have_the_fault(case: Case, direction: str) -> None:
    unchanged = good(case.base)
    if case.document() == unchanged:  # the fault lies in the context: without it, nothing but "not evaluated"
        found = [finding for finding in judged(unchanged, direction).of(case.rule) if finding.severity != "info"]
    else:
        found = judged(unchanged, direction, **case.only).of(case.rule)
    assert found == []


def test_every_rule_has_a_case() -> None:
    shown = {case.rule for case in CASES}
    assert {rule.id for rule in RULES} == shown | NOT_SHOWN.keys()


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_a_rule_is_complete(rule) -> None:
    assert rule.nb
    assert rule.en
    assert rule.nb != rule.en
    assert rule.source
    assert rule.out or rule.into
    if rule.apprec and not rule.error_name:
        assert rule.apprec in ("T01", "T02", "T10", "T99", "E10", "E21", "E36")


def test_rule_ids_are_unique() -> None:
    assert len(rules_by_id()) == len(RULES)


def test_all_national_rules_are_there() -> None:
    families = {rule.id.split(".")[0] for rule in RULES}
    assert {f"V{number}" for number in range(1, 25)} <= families
    assert {"N1", "N2", "N6", "N7", "N10", "N11", "N12", "N13", "N16"} <= families


@pytest.mark.parametrize("file", sorted(SAMPLES.glob("good/*.xml")), ids=lambda file: file.stem)
def test_every_good_sample_is_accepted(file) -> None:
    assert judged(file.read_bytes()).judgement.verdict == "accept"


def test_texts_come_in_both_languages() -> None:
    document = swap("v1.2 2006-05-24", "v1.1 2006-05-24")(good(NOTE_10))
    nb, en = (judged(document, lang=lang).of("V2")[0].text for lang in ("nb", "en"))
    assert nb.startswith("MIGversion skal")
    assert en.startswith("MIGversion must")


def test_a_rule_that_lacks_a_fact_says_so_in_both_languages() -> None:
    found = judged(good(NAV_INQUIRY), "out", lang="en").of("N16")
    assert [finding.severity for finding in found] == [Severity.INFO]
    assert "not evaluated: it is not known here which profession" in found[0].text
    assert "ikke vurdert" in judged(good(NAV_INQUIRY), "out").of("N16")[0].text


def test_a_finding_names_the_place_with_positions() -> None:
    document = swap("<Id>310045101</Id>", "<Id></Id>")(good(NOTE_10))
    assert [finding.path for finding in judged(document).of("V12.EMPTY")] == [
        "/MsgHead/MsgInfo/Sender/Organisation/Ident[2]/Id"
    ]
    assert judged(document).of("V12.EMPTY")[0].line == 2


def test_p21_findings_never_quote_what_the_document_says() -> None:
    canary = "Kanarifugl"
    document = good(REFERRAL)
    for old in ("Fjellbekk", "Tindra", "Vangsnes", 'V="99"', 'V="N"', "14836831285", "tel:55512301", "Prøvevik"):
        document = document.replace(old, old.split('"')[0] + '"' + canary + '"' if '"' in old else canary)
    for direction in ("in", "out"):
        assert canary not in str(judged(document, direction).line["findings"])


def test_hits_of_one_rule_are_bounded() -> None:
    document = swap("<Consent>", "<Comment/>" * 500 + "<Consent>")(good(REFERRAL))
    assert len(judged(document).of("V12.EMPTY")) == HITS_PER_RULE


def test_an_unsupported_document_is_not_judged_by_rules_that_do_not_know_it() -> None:
    document = cut("<Patient>.*?</Patient>")(swap('V="DIALOG_NOTAT"', 'V="LOG_DOD"')(good(NOTE_10)))
    assert {finding.rule for finding in judged(document).findings} == {"V1"}


def test_an_unsupported_document_for_somebody_else_is_not_answered() -> None:
    document = swap('V="DIALOG_NOTAT"', 'V="LOG_DOD"')(good(NOTE_10))
    assert judged(document, ours=frozenset({1})).judgement.verdict == "unanswerable"


def test_a_tree_with_a_doctype_is_found() -> None:
    from lxml import etree

    from adapter.documents import read_facts
    from adapter.validation.rulebook import check_rules
    from adapter.validation.subject import RuleContext

    root = etree.fromstring(f"<!DOCTYPE MsgHead>{good(NOTE_10).split(chr(10), 1)[1]}".encode())
    findings = check_rules(root, read_facts(root), [], RuleContext())
    assert "V17" in {finding.rule for finding in findings}


@pytest.mark.parametrize("written", ["<MsgHead/>", "<Message/>", "<AppRec/>", "<a><b/></a>"])
def test_odd_roots_are_judged_without_an_exception(written: str) -> None:
    assert judged(written).judgement.verdict == "unanswerable"


@pytest.mark.parametrize("base", [REFERRAL, HEALTH, NAV_INQUIRY, RECEIPT])
@pytest.mark.parametrize("direction", ["out", "in"])
def test_no_part_may_be_missing_with_an_exception(base: str, direction: str) -> None:
    from lxml import etree

    from adapter.documents import read_facts
    from adapter.validation.judgement import judge
    from adapter.validation.rulebook import check_rules
    from adapter.validation.subject import RuleContext

    total = sum(1 for _ in etree.fromstring(good(base).encode()).iter("*"))
    for number in range(1, total):
        root = etree.fromstring(good(base).encode())
        victim = list(root.iter("*"))[number]
        victim.getparent().remove(victim)
        facts = read_facts(root)
        findings = check_rules(root, facts, [], RuleContext(direction=direction, signer_fnr="1", ours=frozenset({1})))
        assert judge(facts, findings, direction=direction).verdict in ("accept", "reject", "unanswerable")


def test_every_fact_that_a_rule_may_lack_has_words_in_both_languages() -> None:
    import inspect
    import re

    from adapter.validation import rulebook

    source = "".join(inspect.getsource(inspect.getmodule(rule.predicate)) for rule in RULES)
    lacking = set(re.findall(r'NotEvaluated\("([^"]+)"\)', source))
    assert lacking == set(rulebook._LACKING)
