"""The verdict on every real message that is at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapter.validation.report import differences
from tests.validation.judging import judged

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpus" / "content"
EXPECTED: dict[str, Any] = (
    json.loads((CORPUS / "expected.json").read_text("utf-8")) if (CORPUS / "expected.json").exists() else {}
)
FIELDS = ("readable", "kind", "msg_type", "msg_id", "verdict", "apprec")
needs_corpus = pytest.mark.skipif(not EXPECTED, reason="the real messages are not at hand")


@needs_corpus
@pytest.mark.parametrize("file", EXPECTED or ["none"])
def test_a_real_message_is_judged_as_expected(file: str) -> None:
    expected = {name: value for name, value in EXPECTED[file].items() if name in FIELDS}
    assert differences(judged((CORPUS / file).read_bytes()).line, expected) == []


@needs_corpus
@pytest.mark.parametrize("file", EXPECTED or ["none"])
def test_schema_validity_is_as_expected_for_the_kinds_we_have_schemas_for(file: str) -> None:
    line = judged((CORPUS / file).read_bytes()).line
    if line["schema_valid"] is None:
        assert line["verdict"] != "accept"
    else:
        assert line["schema_valid"] == EXPECTED[file]["schema_valid"]


@needs_corpus
def test_official_examples_may_be_sent() -> None:
    refused = [
        file
        for file in EXPECTED
        if file.startswith("sarepta-eksempel/") and ("dialog" in file.lower() or "v2-0" in file)
        if judged((CORPUS / file).read_bytes(), "out").judgement.verdict != "accept"
    ]
    assert refused == []


@needs_corpus
@pytest.mark.parametrize("file", EXPECTED or ["none"])
def test_p11_strict_schema_answers_every_fault_of_form(file: str) -> None:
    judgement = judged((CORPUS / file).read_bytes(), strict_schema=True)
    invalid = judgement.line["schema_valid"] is False and judgement.line["kind"] != "AppRec"
    if invalid and judgement.judgement.verdict == "reject" and "T10" not in judgement.codes:
        assert "T02" in judgement.codes
    elif invalid:
        assert judgement.judgement.verdict in ("unanswerable", "reject")


@needs_corpus
def test_p21_no_finding_on_a_real_message_quotes_a_long_text_of_it() -> None:
    from adapter.errors import UnreadableError
    from adapter.xmlio import parse

    for file in EXPECTED:
        data = (CORPUS / file).read_bytes()
        try:
            root = parse(data)
        except UnreadableError:
            continue
        named = {str(element.tag).rpartition("}")[2] for element in root.iter("*")}
        texts = {text.strip() for text in root.itertext() if len(text.strip()) > 7} - named
        said = str(judged(data).line["findings"])
        # Words of the standards (a type, a version, a formal date) may be in a rule's text; a person's may not.
        quoted = {text for text in texts if text in said and not text.startswith(("v1.", "1.0 "))}
        assert quoted == set(), file
