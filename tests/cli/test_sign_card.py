"""adapter sign --pkcs11: the key is on a card; and adapter doctor, which looks at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter.security.demo_ca import DemoCa, write_roots
from tests.cli.conftest import SAMPLES, Cli
from tests.security.tokens import PIN, WRONG, SoftToken, needs_softhsm, soft_token

pytestmark = needs_softhsm
GOOD = SAMPLES / "good" / "inbound-note.xml"


@pytest.fixture
def token(tmp_path: Path) -> Iterator[SoftToken]:
    with soft_token(tmp_path / "card") as made:
        authority = DemoCa.create()
        made.put(authority.issue_person("Sol", "Vangsnes", "9578-4050-1"))
        write_roots((authority.certificate,), tmp_path / "roots.pem")
        yield made


def test_a_card_signs_a_message(cli: Cli, token: SoftToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARD_PIN", PIN)
    target = tmp_path / "signed.xml"
    card = (
        "--pkcs11",
        token.module,
        "--token",
        "card",
        "--key-label",
        "sign",
        "--key-id",
        "01",
        "--pin-env",
        "CARD_PIN",
    )
    assert cli("sign", GOOD, *card, "-o", target) == (0, "", "")
    ran = cli("verify", "--json", "--trust", tmp_path / "roots.pem", "--second-opinion", target)
    assert ran.rows[0]["signature"] == "valid"


def test_a_refused_pin_is_a_settings_fault(
    cli: Cli, token: SoftToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARD_PIN", WRONG)
    card = ("--pkcs11", token.module, "--token", "card", "--pin-env", "CARD_PIN")
    for _ in range(2):
        ran = cli("sign", GOOD, *card, "-o", tmp_path / "signed.xml")
        assert ran.code == 2
        assert "KEY.PIN" in ran.err
        assert WRONG not in ran.err
    assert not (tmp_path / "signed.xml").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Give --keys or --pkcs11"),
        (("--pkcs11", "x.so", "--keys", GOOD), "Give --keys or --pkcs11"),
        (("--pkcs11", "x.so"), "--pkcs11 needs --token"),
        (("--pkcs11", "x.so", "--token", "card", "--key-id", "zz"), "Key_id is hexadecimal"),
    ],
)
def test_a_key_is_in_one_place(cli: Cli, words: tuple[object, ...], said: str) -> None:
    ran = cli("sign", GOOD, *words)
    assert ran.code == 2
    assert said in ran.err


def test_doctor_counts_a_cards_certificate_down_and_tells_when_the_card_is_out(
    token: SoftToken, tmp_path: Path
) -> None:
    from adapter.cli.doctor_checks import examine
    from adapter.config import read_settings
    from tests.test_config import SOFTWARE

    card = {"module": token.module, "token": "card", "pin": {"file": str(token.pin_file)}}
    plain = {
        "environment": "test",
        "software": SOFTWARE,
        "tenant": [{"name": "a", "organisation_number": "974793539", "her_ids": [1]}],
        "keys": {"lege": {"pkcs11": card, "owner": "person"}},
        "store": {"low_water_bytes": 0},
    }
    settings = read_settings(plain, tmp_path)
    told = [one for one in examine(settings) if one["check"] == "key lege"]
    assert [one["status"] for one in told] == ["ok"]
    token.take_out()
    from adapter.security.pkcs11_token import end_sessions

    end_sessions()
    [told] = [one for one in examine(settings) if one["check"] == "key lege"]
    assert told["status"] == "error"
    assert (told["text"] or "").startswith("KEY.CARD")
