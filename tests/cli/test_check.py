"""adapter check: the JSON that others rely on, exit codes, expectations."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from adapter.security.demo_ca import DemoCa
from adapter.security.xmldsig import sign_document
from tests.cli.conftest import SAMPLES, Cli
from tests.cli.make_bad_samples import MAKERS

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "content"
GOOD = SAMPLES / "good" / "inbound-referral.xml"
AT = ("--at", "2026-11-21T10:00:00")
KEYS = [
    "file", "readable", "kind", "version", "msg_type", "msg_id", "schema_valid", "signature", "verdict", "apprec",
    "findings",
]  # fmt: skip
FINDING = {"rule", "severity", "apprec", "path", "line", "text", "source"}
# What issue and design call the supported business documents.
SUPPORTED = {"Henvisning", "Dialogmelding", "AppRec"}


def test_the_json_line_has_exactly_the_agreed_fields_in_order(cli: Cli) -> None:
    row = cli("check", "--json", *AT, GOOD).rows[0]
    assert list(row) == KEYS
    assert row["apprec"] == {"version": "1.1", "status": "1", "errors": []}
    assert (row["kind"], row["version"], row["schema_valid"]) == ("Henvisning", "2.0", True)
    assert (row["signature"], row["verdict"], row["readable"]) == ("absent", "accept", True)
    assert all(set(finding) == FINDING for finding in row["findings"])


def test_a_rejection_names_code_system_and_text(cli: Cli) -> None:
    ran = cli("check", "--json", *AT, SAMPLES / "bad" / "patient-missing.xml")
    assert ran.code == 1
    receipt = ran.rows[0]["apprec"]
    assert (receipt["version"], receipt["status"]) == ("1.0", "2")
    assert receipt["errors"][0].keys() == {"code", "system", "text"}
    assert (receipt["errors"][0]["code"], receipt["errors"][0]["system"]) == ("E36", "8221")


def test_what_cannot_be_read_is_unanswerable_with_null_facts_and_t01(cli: Cli) -> None:
    row = cli("check", "--json", SAMPLES / "bad" / "cut-off.xml").rows[0]
    assert row["readable"] is False
    assert row["verdict"] == "unanswerable"
    assert {row[name] for name in ("kind", "version", "msg_type", "msg_id", "schema_valid", "signature")} == {None}
    assert row["apprec"] is None
    assert row["findings"][0]["rule"] == "T01"


def test_every_sample_comes_out_as_written_in_expected_jsonl(cli: Cli) -> None:
    lines = (SAMPLES / "expected.jsonl").read_text("utf-8").splitlines()
    listed = {SAMPLES / json.loads(line)["file"] for line in lines}
    assert listed == set(SAMPLES.glob("*/*.xml")), "run python -m tests.cli.make_bad_samples"
    ran = cli("check", *AT, "--expect", SAMPLES / "expected.jsonl", *sorted(listed))
    assert (ran.code, ran.err) == (0, "")


def test_every_good_sample_is_accepted_and_a_bad_one_shows_what_is_wrong_with_it(cli: Cli) -> None:
    for row in cli("check", "--json", *AT, *sorted((SAMPLES / "good").glob("*.xml"))).rows:
        assert row["verdict"] == "accept", row["file"]
    silent = {
        Path(row["file"]).stem
        for row in cli("check", "--json", *AT, *(SAMPLES / "bad" / f"{name}.xml" for name in MAKERS)).rows
        if all(finding["severity"] == "info" for finding in row["findings"])
    }
    # Good by themselves; what is wrong shows only beside other facts (P3, P11, V22).
    assert silent == {"receiver-is-somebody-else", "apprec-for-unknown-message", "same-id-other-content"}


@pytest.mark.skipif(not (CORPUS / "expected.json").exists(), reason="the corpus of real messages is not here")
def test_every_real_message_of_a_supported_type_comes_out_as_expected(cli: Cli, tmp_path: Path) -> None:
    expected = json.loads((CORPUS / "expected.json").read_text("utf-8"))
    for row in expected.values():
        supported = row["kind"] in SUPPORTED or "/henvisning/" in row.get("namespace", "")
        if not supported:
            row.pop("schema_valid")
    wanted = tmp_path / "expected.json"
    wanted.write_text(json.dumps(expected))
    ran = cli("check", "--json", "--expect", wanted, *(CORPUS / name for name in expected))
    assert ran.err == ""
    assert ran.code == 0
    assert len(ran.rows) == len(expected)


def test_out_is_strict_and_gives_no_receipt(cli: Cli) -> None:
    sample = SAMPLES / "bad" / "referral-without-current-problem.xml"
    tolerant = cli("check", "--json", *AT, sample)
    strict = cli("check", "--json", "--direction", "out", *AT, sample)
    assert (tolerant.code, tolerant.rows[0]["verdict"]) == (0, "accept")
    assert (strict.code, strict.rows[0]["verdict"], strict.rows[0]["apprec"]) == (1, "reject", None)


def test_who_we_are_decides_whether_a_message_is_for_us(cli: Cli) -> None:
    sample = SAMPLES / "bad" / "receiver-is-somebody-else.xml"
    assert cli("check", *AT, sample).code == 0
    assert cli("check", *AT, "--as", "8091301", sample).code == 1
    assert cli("check", *AT, "--as", "8091301", "--as", "8091999,8091302", sample).code == 0


def test_the_findings_speak_norwegian_or_english(cli: Cli) -> None:
    sample = SAMPLES / "bad" / "patient-missing.xml"
    nb = [f["text"] for f in cli("check", "--json", *AT, sample).rows[0]["findings"] if f["rule"] == "V7"]
    en = [
        f["text"] for f in cli("check", "--json", *AT, "--lang", "en", sample).rows[0]["findings"] if f["rule"] == "V7"
    ]
    assert "Pasienten" in nb[0]
    assert "patient" in en[0].lower()


def test_people_see_a_line_a_file_and_the_findings_that_matter(cli: Cli) -> None:
    ran = cli("check", *AT, SAMPLES / "bad" / "patient-missing.xml", SAMPLES / "bad" / "cut-off.xml", GOOD)
    assert ran.code == 1
    lines = ran.out.splitlines()
    assert lines[0].startswith("reject  ")
    assert lines[0].endswith("→ AppRec 1.0 status 2 (E36)")
    assert "error   V7" in ran.out
    assert "unreadable" in ran.out
    assert "V6.IDENTITY" not in ran.out
    assert "V6.IDENTITY" in cli("check", "-v", *AT, GOOD).out


def test_a_file_can_come_from_stdin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(GOOD.read_bytes())))
    assert cli("check", "--json", *AT, "-").rows[0]["verdict"] == "accept"


def test_expect_tells_every_difference_on_stderr(cli: Cli, tmp_path: Path) -> None:
    wanted = tmp_path / "wanted.json"
    wanted.write_text(json.dumps({GOOD.name: {"verdict": "reject", "apprec": ["E36"], "kind": "Henvisning"}}))
    ran = cli("check", *AT, "--expect", wanted, GOOD)
    assert ran.code == 1
    assert 'verdict is "accept", expected "reject"' in ran.err
    assert "apprec" in ran.err
    assert "kind" not in ran.err


def test_what_check_has_printed_can_be_expected(cli: Cli, tmp_path: Path) -> None:
    files = [GOOD, SAMPLES / "bad" / "patient-missing.xml"]
    seen = tmp_path / "seen.jsonl"
    for chosen in (files, files[:1]):
        seen.write_text(cli("check", "--json", *AT, *chosen).out)
        assert cli("check", *AT, "--expect", seen, *chosen).code == 0


def test_a_file_without_expectation_is_not_as_expected(cli: Cli, tmp_path: Path) -> None:
    wanted = tmp_path / "wanted.json"
    wanted.write_text("{}")
    ran = cli("check", *AT, "--expect", wanted, GOOD)
    assert (ran.code, "no expectation" in ran.err) == (1, True)


@pytest.mark.parametrize("text", ["[]", "nonsense", '{"a": 1}', '["x"]\n["y"]'])
def test_expectations_that_cannot_be_read_are_wrong_use(cli: Cli, tmp_path: Path, text: str) -> None:
    wanted = tmp_path / "wanted.json"
    wanted.write_text(text)
    assert cli("check", *AT, "--expect", wanted, GOOD).code == 2


def test_a_sound_signature_without_roots_is_untrusted_with_a_warning(cli: Cli, tmp_path: Path) -> None:
    key = DemoCa.create().issue_company("Solvang legekontor", "310045101")
    signed = tmp_path / "signed.xml"
    signed.write_bytes(sign_document(GOOD.read_bytes(), key))
    row = cli("check", "--json", *AT, signed).rows[0]
    assert (row["signature"], row["verdict"], row["schema_valid"]) == ("untrusted", "accept", True)
    assert any(f["rule"].startswith("P17") and f["severity"] == "warning" for f in row["findings"])


def test_an_altered_signed_message_is_rejected_with_s01(cli: Cli, tmp_path: Path) -> None:
    key = DemoCa.create().issue_company("Solvang legekontor", "310045101")
    altered = tmp_path / "altered.xml"
    altered.write_bytes(sign_document(GOOD.read_bytes(), key).replace(b"tre m", b"fem m"))
    ran = cli("check", "--json", *AT, altered)
    assert (ran.code, ran.rows[0]["signature"]) == (1, "invalid")
    assert [error["code"] for error in ran.rows[0]["apprec"]["errors"]] == ["S01"]


def test_p21_no_finding_quotes_the_content(cli: Cli) -> None:
    out = cli("check", "--json", "-v", *AT, *sorted(SAMPLES.glob("*/*.xml"))).out
    for line in out.splitlines():
        words = json.dumps(json.loads(line)["findings"], ensure_ascii=False)
        for canary in ("Prøvestad", "Testheim", "Eksempelvik", "14836221711", "02918434596", "27867141893", "Vangsnes"):
            assert canary not in words
