"""The files in samples/bad: what their names say, and nobody who lives."""

from __future__ import annotations

import re

import pytest

from adapter.identifiers import Synthetic, read_national_id
from tests.validation.cases import CASES, file_bytes
from tests.validation.cases_base import SAMPLES, Case
from tests.validation.judging import judged

FILES = sorted(SAMPLES.glob("bad/*.xml"))
# Files whose fault only shows against who we are or what was stored before.
NEEDS_MORE = {"apprec-for-unknown-message", "receiver-is-somebody-else", "same-id-other-content"}


@pytest.mark.parametrize("case", [case for case in CASES if case.file], ids=lambda case: case.file)
def test_a_bad_sample_is_the_case_of_its_name(case: Case) -> None:
    assert (SAMPLES / "bad" / f"{case.file}.xml").read_bytes() == file_bytes(case)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_bad_sample_has_a_finding_that_a_good_one_has_not(file) -> None:
    if file.stem in NEEDS_MORE:
        pytest.skip("the fault lies outside the file")
    found = [
        finding
        for direction in ("in", "out")
        for finding in judged(file.read_bytes(), direction).findings
        if finding.severity != "info"
    ]
    assert found


@pytest.mark.parametrize(
    "file", FILES + sorted(SAMPLES.glob("good/*.xml")), ids=lambda file: f"{file.parent.name}-{file.stem}"
)
def test_nobody_in_a_sample_lives(file) -> None:
    text = file.read_bytes().decode("utf-8", "replace")
    for digits in re.findall(r">\s*([0-9]{11})\s*<", text):
        number = read_national_id(digits)
        assert not number.valid or number.synthetic is Synthetic.YES


def test_file_names_are_unique() -> None:
    named = [case.file for case in CASES if case.file]
    assert len(named) == len(set(named))


def test_rules_that_a_file_can_show_have_a_file() -> None:
    # The others need a fact from outside: who we are, the store, the agreement, the environment, the signer.
    from_outside = {case.rule for case in CASES if case.only}
    shown = {case.rule for case in CASES if case.file}
    variants = {"V2.OTHER", "V3.RECEIPT", "V6.IDENTITY", "V8.HELP_NUMBER", "V12.NAME", "V14.QUESTION", "N10"}
    assert {case.rule for case in CASES} - shown - from_outside <= variants
