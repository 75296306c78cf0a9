"""P11: which schema fault is answered T02, and which is a warning."""

from __future__ import annotations

import pytest

from adapter.errors import Finding, Severity
from adapter.model.document import Facts, Family
from adapter.validation.tolerance import grade, plain_path
from tests.validation.cases_base import HEALTH, NOTE_10, REFERRAL, cut, good, swap
from tests.validation.judging import judged


def fault(kind: str, path: str, family: Family = Family.MSGHEAD) -> Finding:
    finding = Finding(rule=kind, severity=Severity.ERROR, apprec="T02", path=path, text="x")
    return grade([finding], Facts(family=family, kind="x", namespace="x"), strict=False)[0]


HITS = [
    ("XSD.missing", "/MsgHead/MsgInfo/Sender"),
    ("XSD.missing", "/MsgHead/MsgInfo/Sender/Organisation"),
    ("XSD.missing", "/MsgHead/MsgInfo/Receiver/Organisation/Ident[2]/Id"),
    ("XSD.missing", "/MsgHead/MsgInfo/Patient/Ident/Id"),
    ("XSD.missing", "/MsgHead/MsgInfo/MsgId"),
    ("XSD.missing", "/MsgHead/Document[1]/RefDoc/Content/Henvisning/ReqServ/Priority"),
    ("XSD.unexpected", "/MsgHead/MsgInfo/Patient/FamilyName[2]"),
    ("XSD.unexpected", "/*"),
    ("XSD.value", "/MsgHead/MsgInfo/GenDate"),
    ("XSD.empty", "/MsgHead/MsgInfo/MIGversion"),
]
PASSES = [
    ("XSD.order", "/MsgHead/MsgInfo/Sender"),
    ("XSD.order", "/MsgHead/MsgInfo/ConversationRef/RefToParent"),
    ("XSD.attribute", "/MsgHead/MsgInfo/MsgId/@x"),
    ("XSD.wildcard", "/MsgHead/Document[2]/RefDoc/Content/*"),
    ("XSD.value", "/MsgHead/MsgInfo/Patient/DateOfBirth"),
    ("XSD.missing", "/MsgHead/MsgInfo/Patient/Address/Type"),
    ("XSD.missing", "/MsgHead/Document/RefDoc/Content/Henvisning/InfItem/Type"),
    ("XSD.unexpected", "/MsgHead/MsgInfo/Sender/Organisation/TeleCom"),
]


@pytest.mark.parametrize(("kind", "path"), HITS)
def test_p11_a_fault_on_what_we_act_on_is_answered(kind: str, path: str) -> None:
    assert (fault(kind, path).severity, fault(kind, path).apprec) == (Severity.ERROR, "T02")


@pytest.mark.parametrize(("kind", "path"), PASSES)
def test_p11_any_other_fault_is_a_warning(kind: str, path: str) -> None:
    assert (fault(kind, path).severity, fault(kind, path).apprec) == (Severity.WARNING, None)


def test_p11_referral_1_x_and_receipts_have_their_own_places() -> None:
    assert fault("XSD.missing", "/Message/ServReq/Requester", Family.HCP).blocking
    assert fault("XSD.missing", "/Message/ServReq/Patient/OffId", Family.HCP).blocking
    assert not fault("XSD.missing", "/Message/ServReq/Diagnosis", Family.HCP).blocking
    assert fault("XSD.missing", "/AppRec/OriginalMsgId/Id", Family.APPREC).blocking
    assert not fault("XSD.missing", "/AppRec/Sender/Role", Family.APPREC).blocking


def test_a_warning_of_the_schema_stays_one() -> None:
    finding = Finding(rule="XSD.order", severity=Severity.INFO, text="x", path="/MsgHead")
    facts = Facts(family=Family.MSGHEAD, kind="x", namespace="x")
    assert grade([finding], facts, strict=False) == [finding]


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("/MsgHead/MsgInfo/Patient/Ident[2]/Id", "/MsgHead/MsgInfo/Patient/Ident/Id"),
        ("/mh:MsgHead/mh:MsgInfo/mh:Type/@V", "/MsgHead/MsgInfo/Type"),
        ("/{urn:x}MsgHead/{urn:x}MsgInfo", "/MsgHead/MsgInfo"),
        ("/EI_fellesformat/MsgHead", "/MsgHead"),
        (None, ""),
    ],
)
def test_paths_are_compared_by_names_alone(written: str | None, plain: str) -> None:
    assert plain_path(written) == plain


ORDER = cut("(<GenDate>.*?</GenDate>)(<MsgId>.*?</MsgId>)", r"\2\1")
NO_SENDER_NAME = cut("<OrganisationName>Solvang legekontor</OrganisationName>")


@pytest.mark.parametrize("base", [NOTE_10, HEALTH, REFERRAL])
def test_p11_elements_in_the_wrong_order_are_accepted_inbound_and_refused_outbound(base: str) -> None:
    assert judged(ORDER(good(base))).judgement.verdict == "accept"
    assert judged(ORDER(good(base)), "out").judgement.verdict == "reject"


@pytest.mark.parametrize("base", [NOTE_10, HEALTH, REFERRAL])
def test_p11_strict_schema_rejects_the_same_fault(base: str) -> None:
    assert judged(ORDER(good(base)), strict_schema=True).codes == ["T02"]


def test_p11_a_missing_part_of_the_sender_is_answered_once() -> None:
    assert judged(NO_SENDER_NAME(good(NOTE_10))).codes == ["T02"]


def test_p11_a_missing_mandatory_child_of_the_body_is_answered() -> None:
    document = cut("<DocumentId>.*?</DocumentId>")(good(REFERRAL))
    assert judged(document).codes == ["T02"]


def test_p11_a_foreign_attribute_is_a_warning() -> None:
    document = swap("<MsgInfo>", "<MsgInfo merke='1'>")(good(NOTE_10))
    found = judged(document)
    assert found.judgement.verdict == "accept"
    assert [finding.severity for finding in found.of("XSD.attribute")] == [Severity.WARNING]
