"""The line of ``adapter check --json``."""

from __future__ import annotations

import json

import pytest

from adapter.validation.report import differences, report_line
from tests.validation.cases_base import HEALTH, NOTE_10, RECEIPT, REFERRAL, cut, good, swap
from tests.validation.judging import judged

FIELDS = [
    "file",
    "readable",
    "kind",
    "version",
    "msg_type",
    "msg_id",
    "schema_valid",
    "signature",
    "verdict",
    "apprec",
    "findings",
]


def test_the_line_has_the_agreed_fields_in_order() -> None:
    assert list(judged(good(NOTE_10)).line) == FIELDS
    assert json.loads(json.dumps(judged(good(NOTE_10)).line))["kind"] == "Dialogmelding"


@pytest.mark.parametrize(
    ("base", "version", "apprec"), [(NOTE_10, "1.0", "1.0"), (HEALTH, "1.1", "1.1"), (REFERRAL, "2.0", "1.1")]
)
def test_versions_of_the_business_document_and_of_its_receipt(base: str, version: str, apprec: str) -> None:
    line = judged(good(base)).line
    assert line["version"] == version
    assert line["apprec"] == {"version": apprec, "status": "1", "errors": []}


def test_errors_are_told_with_code_list_and_text() -> None:
    line = judged(cut("<MsgId>.*?</MsgId>", "<MsgId>1</MsgId>")(good(NOTE_10))).line
    assert line["apprec"]["status"] == "2"
    assert line["apprec"]["errors"] == [{"code": "E10", "system": "8221", "text": "Ugyldig meldingsidentifikator"}]
    finding = next(found for found in line["findings"] if found["rule"] == "V3")
    assert list(finding) == ["rule", "severity", "apprec", "path", "line", "text", "source"]


@pytest.mark.parametrize("document", ["", "x", "<a>", "<!DOCTYPE a><a/>", '<?xml version="1.0" encoding="UTF-7"?><a/>'])
def test_an_unreadable_file_has_no_facts_and_the_finding_t01(document: str) -> None:
    line = judged(document).line
    assert [line[name] for name in FIELDS[1:8]] == [False, None, None, None, None, None, None]
    assert line["verdict"] == "unanswerable"
    assert [finding["rule"] for finding in line["findings"]] == ["T01"]


def test_a_wrapper_is_looked_through_and_one_with_two_messages_refused() -> None:
    inner = good(NOTE_10).split("\n", 1)[1]
    one = f'<EI_fellesformat xmlns="http://www.nav.no/xml/eiff/2/">{inner}</EI_fellesformat>'
    two = f'<EI_fellesformat xmlns="http://www.nav.no/xml/eiff/2/">{inner}{inner}</EI_fellesformat>'
    assert judged(one).line["verdict"] == "accept"
    refused = judged(two).line
    assert (refused["readable"], refused["verdict"]) == (True, "unanswerable")
    assert [finding["rule"] for finding in refused["findings"]] == ["T10"]


def test_schema_validity_is_of_the_schema_alone_and_null_without_one() -> None:
    order = cut("(<GenDate>.*?</GenDate>)(<MsgId>.*?</MsgId>)", r"\2\1")(good(NOTE_10))
    assert judged(order).line["schema_valid"] is False
    assert judged(order).line["verdict"] == "accept"
    assert judged(cut("<MsgId>.*?</MsgId>", "<MsgId>1</MsgId>")(good(NOTE_10))).line["schema_valid"] is True
    unknown = swap("dialog/2006-10-11", "dialog/1999-01-01")(good(NOTE_10))
    assert judged(unknown).line["schema_valid"] is None


def test_a_receipt_has_no_receipt() -> None:
    assert judged(good(RECEIPT)).line["apprec"] is None


def test_the_signature_status_is_passed_on() -> None:
    found = judged(good(NOTE_10))
    line = report_line("f.xml", found.facts, [], found.findings, found.judgement, "untrusted")
    assert (line["file"], line["signature"]) == ("f.xml", "untrusted")


def test_lines_are_compared_with_expectations_by_error_codes() -> None:
    line = judged(cut("<MsgId>.*?</MsgId>", "<MsgId>1</MsgId>")(good(NOTE_10))).line
    assert differences(line, {"verdict": "reject", "apprec": ["E10"], "why": "not compared"}) == []
    assert differences(line, {"verdict": "accept", "apprec": None}) == ["verdict", "apprec"]
    assert differences(line, {"apprec": line["apprec"]}) == []
    assert differences(judged(good(NOTE_10)).line, {"apprec": None, "readable": True}) == []
