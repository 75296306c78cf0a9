"""KITH's acceptance test for Dialogmelding 1.0 (AT-D), by the names of its cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.validation.acceptance import Coverage, Covered, missing_tests, table
from tests.validation.cases_base import ANSWER, DEVIATION, NOTE_10, QUESTION, Change, cut, every, good, swap
from tests.validation.judging import judged

HERE, IN = "validation/test_acceptance_dialogue.py", "journeys/test_in.py"
CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpus" / "content" / "sarepta-test"
_BY_TABLE = (f"{HERE}::test_at_d_faults_have_the_stated_outcome",)
COVERAGE: Coverage = {
    "1": Covered("a question", (f"{HERE}::test_at_d_01_to_03_sound_messages_are_accepted",)),
    "2": Covered(
        "its answer, linked",
        (
            f"{HERE}::test_at_d_01_to_03_sound_messages_are_accepted",
            f"{HERE}::test_at_d_02_an_answer_names_its_question",
        ),
    ),
    "3": Covered("a note", (f"{HERE}::test_at_d_01_to_03_sound_messages_are_accepted",)),
    "4": Covered("a deviation without patient", (f"{HERE}::test_at_d_04_a_deviation_without_patient_is_rejected",)),
    "1-2": Covered("an end tag is missing", (f"{HERE}::test_at_d_1_2_a_missing_end_tag_is_an_error",)),
    "14a": Covered("patient emptied", _BY_TABLE),
    "14b": Covered("local number, birth date and sex", _BY_TABLE),
    "14c": Covered("name, birth date and sex", _BY_TABLE),
    "15": Covered("patient without a record", _BY_TABLE),
    "16a": Covered("sender emptied", _BY_TABLE),
    "16b": Covered("sender without content", _BY_TABLE),
    "16c": Covered("sender missing", _BY_TABLE),
    "17a": Covered("patient's Id empty", _BY_TABLE),
    "17b": Covered("patient's Id missing", _BY_TABLE),
    "log": Covered(
        "every message is in the log, also the unreadable ones",
        (f"{IN}::test_what_cannot_be_read_is_kept_refused_and_the_loop_goes_on",),
    ),
    "duplicate": Covered(
        "the same message again", (f"{IN}::test_p3_the_same_message_again_is_a_duplicate_without_a_second_apprec",)
    ),
}


def test_the_coverage_table_is_complete_and_true(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print("\n" + table("AT-D", COVERAGE))
    assert {"1", "2", "3", "4", "14a", "14b", "14c", "15", "16a", "16b", "16c", "17a", "17b"} <= COVERAGE.keys()
    assert missing_tests(COVERAGE) == []


@pytest.mark.parametrize("base", [QUESTION, ANSWER, NOTE_10])
def test_at_d_01_to_03_sound_messages_are_accepted(base: str) -> None:
    assert judged(good(base)).judgement.verdict == "accept"


def test_at_d_02_an_answer_names_its_question() -> None:
    reference = judged(good(ANSWER)).facts.conversation
    assert reference is not None
    assert reference.parent
    assert reference.conversation
    unlinked = judged(cut("<ConversationRef>.*?</ConversationRef>")(good(ANSWER)))
    assert unlinked.judgement.verdict == "accept"
    assert unlinked.of("V9")


def test_at_d_04_a_deviation_without_patient_is_rejected() -> None:
    assert judged(cut("<Patient>.*?</Patient>")(good(DEVIATION))).codes == ["E36"]


def test_at_d_1_2_a_missing_end_tag_is_an_error() -> None:
    found = judged(good(QUESTION).replace("</Sporsmal>", ""))
    assert [finding.rule for finding in found.findings] == ["T01"]
    assert found.findings[0].line is not None


_PATIENT = r"<Patient>.*?</Patient>"
_LOCAL = (
    "<Patient><FamilyName>Prøve</FamilyName><GivenName>Per</GivenName>{}<Ident><Id>25436000305</Id>"
    '<TypeId V="HNR" S="2.16.578.1.12.4.1.1.8116" DN="H-nummer"/></Ident></Patient>'
)
_BORN = '<DateOfBirth>1960-03-25</DateOfBirth><Sex V="1" DN="Mann"/>'
CASES: list[tuple[str, Change, str, list[str]]] = [
    ("14a", cut(_PATIENT, "<Patient><FamilyName></FamilyName><GivenName></GivenName></Patient>"), "reject", ["E36"]),
    ("14b", cut(_PATIENT, _LOCAL.format(_BORN)), "accept", []),
    ("14c", cut("(<Patient>.*?)<Ident>.*?</Ident>", r"\1"), "accept", []),
    ("15", swap("14836831285", "14836831286"), "accept", []),
    (
        "16a",
        every(
            cut("<Id>8091300</Id>", "<Id></Id>"),
            cut("<Id>310045101</Id>", "<Id></Id>"),
            cut("<Id>8091301</Id>", "<Id></Id>"),
        ),
        "unanswerable",
        [],
    ),
    ("16b", cut("<Sender>.*?</Sender>", "<Sender/>"), "unanswerable", []),
    ("16c", cut("<Sender>.*?</Sender>"), "unanswerable", []),
    ("17a", every(cut("<DateOfBirth>.*?</DateOfBirth>"), swap("<Id>14836831285</Id>", "<Id></Id>")), "reject", ["E36"]),
    ("17b", every(cut("<DateOfBirth>.*?</DateOfBirth>"), swap("<Id>14836831285</Id>", "")), "reject", ["T02"]),
]


@pytest.mark.parametrize(("number", "change", "verdict", "codes"), CASES, ids=[case[0] for case in CASES])
def test_at_d_faults_have_the_stated_outcome(number: str, change: Change, verdict: str, codes: list[str]) -> None:
    found = judged(change(good(QUESTION)))
    assert (found.judgement.verdict, found.codes) == (verdict, codes)


@pytest.mark.parametrize(("number", "change", "verdict", "codes"), CASES, ids=[case[0] for case in CASES])
def test_at_d_the_official_file_has_the_same_outcome(
    number: str, change: Change, verdict: str, codes: list[str]
) -> None:
    file = CORPUS / "Testcase-Dialogmeldingen" / f"Case1-{number}.xml"
    if not file.exists():
        pytest.skip("the official file is not at hand")
    found = judged(file.read_bytes())
    assert (found.judgement.verdict, found.codes) == (verdict, codes)
