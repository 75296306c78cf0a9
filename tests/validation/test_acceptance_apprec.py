"""KITH's acceptance test for application receipts (AT-A): 9 unit and 42 system cases."""

from __future__ import annotations

import pytest

from adapter.documents import build_apprec
from adapter.model.receipt import ReceiptStatus, Verdict
from adapter.validation.judgement import judge
from adapter.validation.reject_codes import legal_reject_codes
from tests.validation.acceptance import Coverage, Covered, missing_tests, table
from tests.validation.cases_base import HEALTH, NOTE_10, NOW, QUESTION, REFERRAL, Change, cut, every, good, swap
from tests.validation.judging import Judged, judged

HERE, IN, OUT = "validation/test_acceptance_apprec.py", "journeys/test_in.py", "journeys/test_out.py"
BUILT = "documents/test_apprec.py"
OURS = {"ours": frozenset({8091101}), "our_organisations": frozenset({8091100}), "envelope_receiver": 8091101}

UNIT: Coverage = {str(number): None for number in range(1, 10)}
_KNOWN: dict[int, Covered] = {
    5: Covered(
        "a service is mirrored as Inst/Dept",
        (
            f"{HERE}::test_at_a_05_and_06_addresses_are_mirrored",
            f"{BUILT}::test_the_acknowledging_service_becomes_the_sender_with_all_its_ids",
        ),
    ),
    6: Covered(
        "a person is mirrored as Inst/HCPerson, a signer beside a service is not",
        (
            f"{HERE}::test_at_a_05_and_06_addresses_are_mirrored",
            f"{BUILT}::test_a_professional_who_only_signs_beside_a_service_is_not_mirrored",
        ),
    ),
    12: Covered(
        "a duplicate is not answered again",
        (
            f"{HERE}::test_at_a_12_and_41_a_duplicate_is_noted_and_not_judged_otherwise",
            f"{IN}::test_p3_the_same_message_again_is_a_duplicate_without_a_second_apprec",
        ),
    ),
    13: Covered(
        "a second receipt is ignored", (f"{OUT}::test_p4_a_second_different_apprec_changes_nothing_and_alarms",)
    ),
    15: Covered(
        "a message that waits for sorting is answered OK within 96 hours",
        (f"{IN}::test_p7_auto_sorting_answers_ok_before_96_hours", f"{IN}::test_p7_sorting_is_answered_ok"),
    ),
    16: Covered(
        "a schema fault with a readable sender is rejected",
        (f"{HERE}::test_at_a_16_a_document_that_is_not_valid_is_rejected",),
    ),
    21: Covered("not for us: no receipt", (f"{HERE}::test_at_a_21_a_message_for_others_is_not_answered",)),
    22: Covered(
        "envelope and message disagree: E21",
        (f"{HERE}::test_at_a_22_an_envelope_for_us_around_a_message_for_others_is_rejected",),
    ),
    23: Covered(
        "an unknown patient rejects only reports",
        (f"{HERE}::test_at_a_23_an_unknown_patient_is_no_reason_to_reject_a_dialogue_or_a_referral",),
    ),
    41: Covered(
        "a duplicate in a new envelope is ignored",
        (
            f"{HERE}::test_at_a_12_and_41_a_duplicate_is_noted_and_not_judged_otherwise",
            f"{IN}::test_p3_the_same_message_again_is_a_duplicate_without_a_second_apprec",
        ),
    ),
}
_KNOWN |= {
    number: Covered(
        "one receipt from each own recipient, primary and copy",
        (
            f"{HERE}::test_at_a_07_to_11_every_own_recipient_answers_in_its_role",
            f"{IN}::test_p3_a_second_recipient_of_ours_gets_its_own_apprec",
        ),
    )
    for number in range(7, 12)
}
_KNOWN |= {
    number: Covered(
        "an unknown service, or a level without HER-id",
        (f"{HERE}::test_at_a_17_to_20_unknown_services_and_missing_levels",),
    )
    for number in range(17, 21)
}
SYSTEM: Coverage = {str(number): _KNOWN.get(number) for number in range(1, 43)}


def test_the_coverage_table_is_complete_and_true(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print("\n" + table("AT-A unit cases", UNIT) + "\n" + table("AT-A system cases", SYSTEM))
    assert list(UNIT) == [str(number) for number in range(1, 10)]
    assert list(SYSTEM) == [str(number) for number in range(1, 43)]
    assert missing_tests(SYSTEM) == []


def receipt(found: Judged, acknowledger: int = 0, version: str = "1.1") -> str:
    from adapter.xmlio import serialise

    verdict = found.judgement.receipt()
    assert verdict is not None
    root = build_apprec(
        found.facts,
        acknowledger=acknowledger,
        verdict=verdict,
        receipt_id="x",
        gen_date=NOW.replace(tzinfo=None),
        version=version,
    )
    return serialise(root).decode()


def test_at_a_05_and_06_addresses_are_mirrored() -> None:
    written = receipt(judged(good(REFERRAL)))
    sender, receiver = written.split("<Receiver>")
    assert "<Name>Granli kommune</Name><Id>8091100</Id>" in sender
    assert "<Dept>" in sender
    assert "<Id>8091101</Id>" in sender
    assert "<Name>Solvang legekontor</Name>" in receiver
    assert "<AdditionalId><Id>310045101</Id>" in receiver
    by_person = receipt(judged(good("nav-henvendelse")), version="1.0").split("<Receiver>")[1]
    assert "<HCPerson>" in by_person
    assert "<Id>8091302</Id>" in by_person


COPY = (
    '<OtherReceiver><RoleReceiver V="COP" DN="Kopimottaker"/><Organisation><OrganisationName>Granli kommune'
    '</OrganisationName><Ident><Id>8091100</Id><TypeId V="HER" S="2.16.578.1.12.4.1.1.9051" DN="HER-id"/></Ident>'
    "<Organisation><OrganisationName>Sykepleietjeneste, Granli</OrganisationName><Ident><Id>8091102</Id>"
    '<TypeId V="HER" S="2.16.578.1.12.4.1.1.9051" DN="HER-id"/></Ident></Organisation></Organisation></OtherReceiver>'
)


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [({8091101}, "accept"), ({8091102}, "accept"), ({8091101, 8091102}, "accept"), ({1}, "unanswerable")],
)
def test_at_a_07_to_11_every_own_recipient_answers_in_its_role(ours: set[int], verdict: str) -> None:
    document = every(swap("8091102", "8091101"), swap("<Patient>", f"{COPY}<Patient>"))(good(NOTE_10))
    found = judged(document, ours=frozenset(ours))
    assert found.judgement.verdict == verdict
    if verdict == "accept":
        assert 'V="PRIM"' in receipt(found)
        assert 'V="COP"' in receipt(found, acknowledger=1)


def test_at_a_12_and_41_a_duplicate_is_noted_and_not_judged_otherwise() -> None:
    found = judged(good(NOTE_10), ours=frozenset({8091101, 8091102}), seen_message=lambda sender, msg_id: True)
    assert [finding.severity.value for finding in found.of("V21")] == ["info"]
    assert found.judgement.verdict == "accept"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (cut("<Ident><Id>14836831285</Id>", "<Ident>"), "T02"),
        (swap("v1.2 2006-05-24", "v1.1 2006-05-24"), "T02"),
        (swap("dialog/2006-10-11", "dialog/1999-01-01"), "T10"),
    ],
    ids=["invalid", "another-head", "unknown-version"],
)
def test_at_a_16_a_document_that_is_not_valid_is_rejected(change: Change, code: str) -> None:
    assert judged(change(good(QUESTION))).codes == [code]


def test_at_a_16_a_document_that_is_not_well_formed_cannot_be_answered() -> None:
    assert judged(good(QUESTION).replace("</Sporsmal>", "")).judgement.verdict == "unanswerable"


NO_SERVICE = cut("(<Receiver>.*?</Ident>)<Organisation>.*?</Organisation>(?=</Organisation></Receiver>)", r"\1")


@pytest.mark.parametrize(
    "change",
    [
        swap("<Id>8091101</Id>", "<Id>8091199</Id>"),
        NO_SERVICE,
        swap('<Id>8091100</Id><TypeId V="HER"', '<Id>8091100</Id><TypeId V="LOK"'),
        cut("(<Receiver>.*?)<Id>8091100</Id>", r"\1<Id>ukjent</Id>"),
    ],
    ids=["17", "18", "19", "20"],
)
def test_at_a_17_to_20_unknown_services_and_missing_levels(change: Change) -> None:
    document = change(good(REFERRAL))
    rejected = judged(document, reject_addressing=True, **OURS)
    assert set(rejected.codes) == {"E21"}
    # What the receiver makes of it is configurable, and by default a warning (P11).
    assert judged(document, **OURS).judgement.verdict == "accept"


def test_at_a_21_a_message_for_others_is_not_answered() -> None:
    context = {**OURS, "ours": frozenset({7}), "our_organisations": frozenset({70}), "envelope_receiver": 8}
    assert judged(good(REFERRAL), **context).judgement.receipt() is None


def test_at_a_22_an_envelope_for_us_around_a_message_for_others_is_rejected() -> None:
    context = {"ours": frozenset({7}), "our_organisations": frozenset({70}), "envelope_receiver": 7}
    assert judged(good(REFERRAL), **context).codes == ["E21"]


def test_at_a_23_an_unknown_patient_is_no_reason_to_reject_a_dialogue_or_a_referral() -> None:
    for base in (REFERRAL, NOTE_10, HEALTH):
        facts = judged(good(base)).facts
        assert judge(facts, []).status is ReceiptStatus.OK
        assert "E35" not in legal_reject_codes(facts.msg_type)
    assert "E35" in legal_reject_codes("EPIKRISE")


def test_a_rejection_carries_every_error_into_the_receipt() -> None:
    change = every(cut("<MsgId>.*?</MsgId>", "<MsgId>1</MsgId>"), cut("<DateOfBirth>.*?</Ident>"))
    found = judged(change(good(NOTE_10)))
    written = receipt(found, version="1.0")
    assert written.count("<Error ") == 2
    assert 'V="E10"' in written
    assert 'V="E36"' in written
    assert found.judgement.receipt() == Verdict(status=ReceiptStatus.REJECTED, errors=found.judgement.errors)
