"""adapter sign and adapter verify."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapter.cli.app import run
from adapter.security.demo_ca import DemoCa, write_pkcs12, write_roots
from adapter.security.xmldsig import sign_document
from tests.cli.conftest import SAMPLES, Cli

GOOD = SAMPLES / "good" / "inbound-note.xml"
PASSPHRASE = "a long one"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with company.p12, roots.pem and a foreign other.pem."""
    folder = tmp_path_factory.mktemp("keys")
    authority = DemoCa.create()
    write_pkcs12(
        authority.issue_company("Solvang legekontor", "310045101"), folder / "company.p12", PASSPHRASE.encode()
    )
    write_pkcs12(authority.issue_person("Sol", "Vangsnes", "9578-4050-1"), folder / "person.p12")
    write_roots((authority.certificate,), folder / "roots.pem")
    write_roots((DemoCa.create("Another root").certificate,), folder / "other.pem")
    return folder


@pytest.fixture
def signed(cli: Cli, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("P12_PASS", PASSPHRASE)
    target = tmp_path / "signed.xml"
    ran = cli("sign", GOOD, "--keys", keys / "company.p12", "--passphrase-env", "P12_PASS", "-o", target)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    return target


def test_a_signed_message_verifies_with_its_root(cli: Cli, keys: Path, signed: Path) -> None:
    ran = cli("verify", "--json", "--trust", keys / "roots.pem", signed)
    row = ran.rows[0]
    assert ran.code == 0
    assert list(row) == ["file", "signature", "signer", "covered", "findings"]
    assert row["signature"] == "valid"
    assert set(row["signer"]) == {"subject", "org_number", "not_after"}
    assert row["signer"]["org_number"] == "310045101"
    assert row["covered"] == "/MsgHead"


@pytest.mark.parametrize("roots", [None, "other.pem"])
def test_without_the_right_root_a_sound_signature_is_untrusted(
    cli: Cli, keys: Path, signed: Path, roots: str | None
) -> None:
    ran = cli("verify", "--json", *(("--trust", keys / roots) if roots else ()), signed)
    assert (ran.code, ran.rows[0]["signature"]) == (1, "untrusted")


def test_an_altered_message_is_invalid(cli: Cli, keys: Path, signed: Path) -> None:
    signed.write_bytes(signed.read_bytes().replace(b"kopi av journal", b"hele journalen!"))
    ran = cli("verify", "--json", "--trust", keys / "roots.pem", signed)
    row = ran.rows[0]
    assert (ran.code, row["signature"], row["signer"], row["covered"]) == (1, "invalid", None, None)
    assert row["findings"][0]["rule"] == "S01"


def test_no_signature_is_absent_and_an_unreadable_file_is_invalid(cli: Cli) -> None:
    ran = cli("verify", "--json", GOOD, SAMPLES / "bad" / "cut-off.xml")
    assert ran.code == 1
    assert [row["signature"] for row in ran.rows] == ["absent", "invalid"]
    assert ran.rows[1]["findings"][0]["rule"] == "T01"


def test_a_certificate_is_judged_at_the_time_given(cli: Cli, keys: Path, signed: Path) -> None:
    late = cli("verify", "--json", "--trust", keys / "roots.pem", "--at", "2034-01-01T00:00:00Z", signed)
    assert late.rows[0]["signature"] == "untrusted"
    assert "P17.EXPIRED" in {finding["rule"] for finding in late.rows[0]["findings"]}


def test_the_second_opinion_agrees_and_says_so(cli: Cli, keys: Path, signed: Path) -> None:
    rows = cli("verify", "--json", "--second-opinion", "--trust", keys / "roots.pem", signed, GOOD).rows
    said = [[f["severity"] for f in row["findings"] if f["rule"] == "SIGNXML"] for row in rows]
    assert said == [["info"], []]


def test_people_see_the_signer(cli: Cli, keys: Path, signed: Path) -> None:
    out = cli("verify", "--trust", keys / "roots.pem", signed, GOOD).out
    assert "valid" in out
    assert "Solvang legekontor" in out
    assert "absent" in out


def test_p21_a_persons_name_is_not_in_the_answer(cli: Cli, keys: Path, tmp_path: Path) -> None:
    target = tmp_path / "by-person.xml"
    assert cli("sign", GOOD, "--keys", keys / "person.p12", "-o", target).code == 0
    ran = cli("verify", "--json", "--trust", keys / "roots.pem", target)
    assert "Vangsnes" not in ran.out


def test_roots_that_are_no_certificates_are_a_settings_fault(cli: Cli, signed: Path) -> None:
    ran = cli("verify", "--trust", GOOD, signed)
    assert ran.code == 2
    assert "PEM" in ran.err


def test_sign_writes_to_stdout_without_a_name(keys: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(["sign", str(GOOD), "--keys", str(keys / "person.p12")]) == 0
    assert capfdbinary.readouterr().out.startswith(b"<?xml")


def test_a_message_that_is_signed_already_is_refused(cli: Cli, keys: Path, signed: Path, tmp_path: Path) -> None:
    ran = cli("sign", signed, "--keys", keys / "person.p12", "-o", tmp_path / "twice.xml")
    assert ran.code == 2
    assert not (tmp_path / "twice.xml").exists()


def test_a_missing_passphrase_variable_is_named(cli: Cli, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    ran = cli("sign", GOOD, "--keys", keys / "company.p12", "--passphrase-env", "NOT_SET")
    assert (ran.code, "NOT_SET" in ran.err) == (2, True)


def test_a_wrong_passphrase_never_shows_it(cli: Cli, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P12_PASS", "wrong horse")
    ran = cli("sign", GOOD, "--keys", keys / "company.p12", "--passphrase-env", "P12_PASS")
    assert ran.code == 2
    assert "wrong horse" not in ran.err


def test_a_key_file_that_others_can_read_is_refused(cli: Cli, keys: Path, tmp_path: Path) -> None:
    loose = tmp_path / "loose.p12"
    loose.write_bytes((keys / "person.p12").read_bytes())
    loose.chmod(0o644)
    ran = cli("sign", GOOD, "--keys", loose)
    assert ran.code == 2
    assert "chmod 600" in ran.err


def test_bytes_that_are_no_message_are_not_signed(cli: Cli, keys: Path) -> None:
    ran = cli("sign", SAMPLES / "bad" / "not-xml.xml", "--keys", keys / "person.p12")
    assert ran.code == 1
    assert "T01" in ran.err


def test_a_wrapped_signed_message_is_looked_through(cli: Cli, keys: Path, tmp_path: Path) -> None:
    authority_key = keys / "person.p12"
    from adapter.security.keys import load_pkcs12

    document = sign_document(GOOD.read_bytes(), load_pkcs12(authority_key, None, "person"))
    wrapped = tmp_path / "wrapped.xml"
    inner = document.split(b"\n", 1)[1]
    wrapped.write_bytes(b'<EI_fellesformat xmlns="http://www.nav.no/xml/eiff/2/">' + inner + b"</EI_fellesformat>")
    ran = cli("verify", "--json", "--second-opinion", wrapped)
    assert ran.rows[0]["signature"] in ("untrusted", "invalid")
    assert json.loads(cli("check", "--json", wrapped).out)["readable"] is True
