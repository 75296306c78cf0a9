"""adapter open: ebXML messages as mail, capture or envelope."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapter.cli.app import run
from adapter.ebxml.build import build
from adapter.ebxml.pack import Attachment
from adapter.ebxml.plaintext import build_plaintext
from adapter.security import cms
from adapter.security.demo_ca import DemoCa, write_pkcs12
from adapter.security.envelope_signature import sign_envelope
from adapter.security.keys import SigningKey
from tests.ebxml.corpus import expected, needs_corpus
from tests.ebxml.making import mailed, payload
from tests.ebxml.test_with_keys import DOCUMENT, encryption_certificate

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "ebxml"


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    code = run(["open", "--json", *arguments])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture(scope="module")
def company() -> SigningKey:
    return DemoCa.create().issue_company("Prøvekommunen", "974760673")


@pytest.fixture
def message(company: SigningKey, tmp_path: Path) -> Path:
    """A message of our own, encrypted for a company key and signed by it."""
    sealed = cms.encrypt(build_plaintext(DOCUMENT, form="raw"), encryption_certificate(company))
    attached = Attachment(content_id="att-1@example.no", content=sealed)
    file = tmp_path / "message.eml"
    file.write_bytes(mailed(sign_envelope(build(payload()), company, {attached.content_id: sealed}), attached))
    return file


@needs_corpus
@pytest.mark.parametrize("name", expected())
def test_real_messages_open_as_expected(capsys: pytest.CaptureFixture[str], name: str) -> None:
    wanted = expected()[name]
    _, (line,) = lines(capsys, str(CORPUS / name))
    for key in ("kind", "service", "action"):
        assert line[key] == wanted.get(key, line[key])
    assert line["signature"]["status"] == wanted.get("signature", line["signature"]["status"])
    assert line["answer"]["error_code"] == wanted.get("error_code", line["answer"]["error_code"])
    assert len(line["attachments"]) == wanted.get("attachments", len(line["attachments"]))


def test_a_sound_message_is_acknowledged_and_says_that_decryption_was_not_tried(
    message: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, (line,) = lines(capsys, str(message))
    assert (code, line["answer"]["kind"], line["signature"]["status"]) == (0, "Acknowledgment", "valid")
    assert [finding["rule"] for finding in line["findings"]] == ["EB19"]


def test_a_key_that_cannot_open_the_message_gives_a_security_failure(
    message: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = DemoCa.create().issue_company("En annen", "974760673")
    code, (line,) = lines(capsys, str(message), "--keys", str(write_pkcs12(stranger, tmp_path / "other.p12")))
    assert (code, line["answer"]["error_code"]) == (1, "SecurityFailure")


def test_an_altered_message_is_answered_with_a_security_failure(
    message: Path, company: SigningKey, capsys: pytest.CaptureFixture[str]
) -> None:
    signed = sign_envelope(build(payload()), company, {})
    place = signed.index(b"ConversationId>") + len(b"ConversationId>")
    message.write_bytes(mailed(signed[:place] + b"x" + signed[place + 1 :]))
    code, (line,) = lines(capsys, str(message))
    assert (code, line["signature"]["status"], line["answer"]["error_code"]) == (1, "invalid", "SecurityFailure")


def test_a_person_is_told_the_parties_the_signature_and_the_answer(
    message: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["open", str(message)]) == 0
    told = capsys.readouterr().out
    assert "signature valid, covers 2, leaves out 0" in told
    assert "answer: Acknowledgment" in told


def test_a_file_that_is_no_ebxml_gives_a_finding_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "letter.eml"
    file.write_bytes(b"Subject: hei\r\n\r\nIkke ebXML\r\n")
    code, (line,) = lines(capsys, str(file))
    assert (code, line["kind"], line["signature"]["status"]) == (1, None, "absent")
    assert line["findings"]
