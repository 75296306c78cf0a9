"""From findings to verdict and receipt."""

from __future__ import annotations

import pytest

from adapter.errors import Finding, Severity
from adapter.model.receipt import ReceiptStatus
from adapter.validation.judgement import MAX_ERRORS, judge, receipt_errors
from adapter.validation.reject_codes import legal_reject_codes
from tests.validation.cases_base import EMERGENCY, NOTE_10, RECEIPT, REFERRAL, Change, cut, every, good, swap
from tests.validation.judging import judged

NO_PATIENT_ID = cut("<DateOfBirth>.*?</Ident>")
BAD_ID = cut("<MsgId>.*?</MsgId>", "<MsgId>1</MsgId>")
OTHER_MIG = swap("v1.2 2006-05-24", "v9.9 2030-01-01")
NO_SENDER = cut(
    "<Sender>.*?</Sender>", "<Sender><Organisation><OrganisationName>X</OrganisationName></Organisation></Sender>"
)


def error(rule: str, apprec: str | None, text: str = "x", path: str | None = None) -> Finding:
    return Finding(rule=rule, severity=Severity.ERROR, apprec=apprec, text=text, path=path)


def test_a_sound_message_is_accepted_with_a_positive_receipt() -> None:
    judgement = judged(good(NOTE_10)).judgement
    assert (judgement.verdict, judgement.status, judgement.errors) == ("accept", ReceiptStatus.OK, ())
    assert judgement.receipt().status is ReceiptStatus.OK


def test_several_faults_give_one_error_each() -> None:
    found = judged(every(BAD_ID, NO_PATIENT_ID, OTHER_MIG)(good(NOTE_10)))
    assert found.judgement.status is ReceiptStatus.REJECTED
    assert sorted(found.codes) == ["E10", "E36", "T02"]


def test_equal_faults_are_told_once() -> None:
    told = receipt_errors(
        [error("V11.MAGIC", "T99", "a"), error("V11.MAGIC", "T99", "a"), error("V11.BASE64", "T99", "b")]
    )
    assert [(one.code, one.text) for one in told] == [("T99", "a"), ("T99", "b")]


def test_all_faults_of_form_are_one_t02_that_lists_the_places() -> None:
    told = receipt_errors(
        [error("XSD.missing", "T02", "a", "/a/b"), error("V3", "E10"), error("XSD.value", "T02", "c", "/a/c")]
    )
    assert [one.code for one in told] == ["T02", "E10"]
    assert told[0].text == "/a/b: a; /a/c: c"


def test_what_a_fault_of_form_already_tells_is_not_told_again() -> None:
    told = receipt_errors(
        [error("XSD.missing", "T02", "a", "/h/Patient/Ident/Id"), error("V7", "E36", "b", "/h/Patient")]
    )
    assert [one.code for one in told] == ["T02"]


def test_a_receipt_has_a_bounded_number_of_errors() -> None:
    assert len(receipt_errors([error("V11.MAGIC", "T99", str(number)) for number in range(100)])) == MAX_ERRORS


def test_errors_carry_list_name_and_the_rule_text() -> None:
    told = judged(BAD_ID(good(NOTE_10))).judgement.errors[0]
    assert (told.code, told.system, told.name) == ("E10", "8221", "Ugyldig meldingsidentifikator")
    assert told.text == "Meldingens id skal være en UUID"


def test_an_unreadable_document_is_unanswerable() -> None:
    found = judged("<MsgHead>")
    assert (found.judgement.verdict, found.judgement.receipt()) == ("unanswerable", None)


@pytest.mark.parametrize("change", [lambda text: text, BAD_ID, NO_PATIENT_ID])
def test_a_message_without_any_sender_identifier_is_unanswerable(change: Change) -> None:
    assert judged(change(NO_SENDER(good(NOTE_10)))).judgement.verdict == "unanswerable"


def test_an_error_that_no_receipt_may_tell_is_unanswerable() -> None:
    facts = judged(good(NOTE_10)).facts
    assert judge(facts, [error("V6.STRANGER", None), error("V3", "E10")]).verdict == "unanswerable"


def test_signature_faults_reject_as_rules_do() -> None:
    facts = judged(good(NOTE_10)).facts
    judgement = judge(facts, [], signature_findings=[error("S01", "S01")])
    assert [one.code for one in judgement.errors] == ["S01"]


def test_a_receipt_is_never_answered() -> None:
    for document in (good(RECEIPT), swap("Status V='1'", "Status V='9'")(good(RECEIPT))):
        assert judged(document).judgement.receipt() is None
        assert judged(document).line["apprec"] is None


@pytest.mark.parametrize(
    "change",
    [
        NO_PATIENT_ID,
        BAD_ID,
        OTHER_MIG,
        cut("<Patient>.*?</Patient>"),
        every(NO_PATIENT_ID, BAD_ID, OTHER_MIG),
        cut("<DocumentId>.*?</DocumentId>"),
        cut('<Type V="HENVISNING_NYTILSTAND"', '<Type x="1" V="HENVISNING_NYTILSTAND"'),
        swap("<Content>", "<Content><a/>"),
    ],
    ids=range(8),
)
def test_p8_a_readable_emergency_is_never_rejected_by_a_rule(change: Change) -> None:
    document = change(good(EMERGENCY))
    if "<a/>" in document:  # two roots: the first is no referral, and the emergency cannot be read
        assert judged(document).judgement.verdict == "reject"
        return
    found = judged(document, strict_schema=True, reject_addressing=True)
    assert (found.judgement.verdict, found.judgement.status) == ("accept", ReceiptStatus.OK)
    assert found.judgement.emergency
    assert {finding.rule for finding in found.judgement.overruled} == {
        finding.rule for finding in found.findings if finding.blocking
    }


def test_p8_an_emergency_with_a_broken_signature_is_accepted_and_flagged() -> None:
    facts = judged(good(EMERGENCY)).facts
    judgement = judge(facts, [], signature_findings=[error("S01", "S01")])
    assert (judgement.verdict, [finding.rule for finding in judgement.overruled]) == ("accept", ["S01"])


def test_p8_an_emergency_whose_sender_cannot_be_answered_is_accepted_without_a_receipt() -> None:
    judgement = judged(NO_SENDER(good(EMERGENCY))).judgement
    assert (judgement.verdict, judgement.status, judgement.emergency) == ("accept", None, True)


def test_p8_an_emergency_for_somebody_else_is_not_accepted() -> None:
    assert judged(good(EMERGENCY), ours=frozenset({1})).judgement.verdict == "unanswerable"
    envelope = judged(good(EMERGENCY), ours=frozenset({1}), envelope_receiver=1)
    assert envelope.codes == ["E21"]


def test_p8_an_emergency_in_a_version_that_we_cannot_read_is_answered_at_once_so_that_the_sender_phones() -> None:
    document = swap("henvisning/2017-11-30", "henvisning/2014-04-30")(good(EMERGENCY))
    assert judged(document).codes == ["T10"]


def test_p8_an_ordinary_referral_with_the_same_fault_is_rejected() -> None:
    assert judged(NO_PATIENT_ID(good(REFERRAL))).codes == ["E36"]


def test_outbound_there_is_a_verdict_and_no_receipt() -> None:
    found = judged(BAD_ID(good(NOTE_10)), "out")
    assert (found.judgement.verdict, found.judgement.receipt(), found.line["apprec"]) == ("reject", None, None)
    assert judged(good(NOTE_10), "out").judgement.verdict == "accept"


def test_p7_a_consumer_may_only_call_the_patient_unknown_for_reports() -> None:
    assert "E35" in legal_reject_codes("EPIKRISE")
    assert "E35" in legal_reject_codes("SVAR_LAB")
    for msg_type in ("HENVISNING_NYTILSTAND", "DIALOG_HELSEFAGLIG", "DIALOG_NOTAT"):
        assert "E35" not in legal_reject_codes(msg_type)
        assert {"E21", "E36"} <= legal_reject_codes(msg_type)


def test_p8_a_consumer_may_not_reject_an_emergency_and_nobody_rejects_a_receipt() -> None:
    assert legal_reject_codes("HENVISNING_NYTILSTAND", emergency=True) == frozenset()
    assert legal_reject_codes("APPREC") == frozenset()


def test_p7_codes_that_are_the_adapters_own_judgement_are_not_the_consumers() -> None:
    assert not {"T01", "T02", "T10", "S01", "S02", "S03", "E10", "E20"} & legal_reject_codes("EPIKRISE")
