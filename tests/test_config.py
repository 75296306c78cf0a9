"""Settings: typed, strict, without secrets in them (P21, P22, P29)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from adapter.config import Environment, Secret, Settings, load_settings, read_secret, read_settings, refuse_readable
from adapter.errors import SettingsError

SOFTWARE = {
    "fagsystem": "EHR",
    "fagsystem_version": "1",
    "mellomvare": "adapter",
    "mellomvare_version": "1",
    "msh": "EDI",
    "msh_version": "2",
}
EXAMPLE = Path(__file__).parents[1] / "config" / "adapter.toml"


def _plain(**more: Any) -> dict[str, Any]:
    tenant = {"name": "a", "organisation_number": "974793539", "her_ids": [1, 2]}
    return {"environment": "test", "software": SOFTWARE, "tenant": [tenant], **more}


def _refused(plain: Mapping[str, object]) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        read_settings(plain, Path("/etc/adapter"))
    return caught.value


def test_small_settings_are_enough_and_the_rest_has_defaults() -> None:
    settings = read_settings(_plain(), Path("/etc/adapter"))
    assert isinstance(settings, Settings)
    assert settings.environment is Environment.TEST
    assert settings.tenant[0].her_ids == (1, 2)
    assert settings.path("keys/a.p12") == Path("/etc/adapter/keys/a.p12")
    assert settings.path("/var/a.p12") == Path("/var/a.p12")
    assert settings.store.keep_bytes_days is None  # P28: nothing is deleted by itself
    assert settings.store.keep_unverified_days is None
    assert settings.store.unverified_max_bytes == 1_000_000_000


@pytest.mark.parametrize(
    ("name", "value"), [("keep_bytes_days", 0), ("keep_unverified_days", 0), ("unverified_max_bytes", -1)]
)
def test_p28_a_retention_that_would_delete_everything_at_once_is_refused(name: str, value: int) -> None:
    assert _refused(_plain(store={name: value})).where == f"store.{name}"
    assert read_settings(_plain(store={name: value + 1}), Path("/etc/adapter"))


def test_the_commented_example_loads() -> None:
    if not EXAMPLE.exists():
        pytest.skip("config/adapter.toml is not there")
    assert load_settings(EXAMPLE).environment is Environment.TEST


@pytest.mark.parametrize("missing", ["environment", "software", "tenant"])
def test_p22_p29_what_is_mandatory_is_asked_for(missing: str) -> None:
    plain = _plain()
    del plain[missing]
    error = _refused(plain)
    assert (error.code, error.where) == ("SETTINGS.KEY", f"settings.{missing}")


@pytest.mark.parametrize(
    ("more", "where", "cure"),
    [
        ({"wroker": {}}, "settings.wroker", "did you mean 'worker'?"),
        ({"worker": {"pol_every_s": 1}}, "settings.worker.pol_every_s", "did you mean 'poll_every_s'?"),
        ({"xyz": 1}, "settings.xyz", "known here: "),
        ({"worker": {"batch": "many"}}, "settings.worker.batch", ""),
        ({"worker": {"batch": True}}, "settings.worker.batch", ""),
        ({"worker": {"poll_every_s": float("nan")}}, "settings.worker.poll_every_s", ""),
        ({"environment": "prod"}, "settings.environment", "use one of: test, production"),
        ({"keys": {"k": {"pkcs12": 5}}}, "settings.keys.k.pkcs12", ""),
        ({"trust": {"revocation": "sometimes"}}, "settings.trust.revocation", "use one of: required"),
    ],
)
def test_an_unknown_key_or_a_wrong_type_names_its_path_and_the_cure(
    more: dict[str, Any], where: str, cure: str
) -> None:
    error = _refused(_plain(**more))
    assert (error.code, error.where) == ("SETTINGS.KEY", where)
    assert (error.cure or "").startswith(cure)


def _tenant(name: str, *her_ids: int, **more: object) -> dict[str, object]:
    return {"name": name, "organisation_number": "974793539", "her_ids": list(her_ids), **more}


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"tenant": [_tenant("a", 1), _tenant("b", 1)]}, "tenant b"),
        ({"tenant": [_tenant("a", 1), _tenant("a", 2)]}, "tenant a"),
        ({"tenant": [_tenant("a", 1, sign_with="nobody")]}, "tenant a"),
        ({"receipts": {"via": "mail"}}, "receipts.via"),
        ({"inbound": {"schema": "loose"}}, "inbound.schema"),
        ({"inbound": {"handover": "foldr"}}, "inbound.handover"),
        ({"inbound": {"handover": "folder"}}, "inbound.folder"),
        ({"language": "se"}, "language"),
        ({"keys": {"k": {"pkcs12": "x", "owner": "robot"}}}, "keys.k.owner"),
        ({"worker": {"poll_every_s": 0}}, "worker.poll_every_s"),
        ({"worker": {"batch": -1}}, "worker.batch"),
        ({"edi20": {"base_url": "x", "source_system": "y", "total_timeout_s": 0}}, "edi20.total_timeout_s"),
        (
            {"tenant": [_tenant("a", 1, helseid={"issuer": "i", "client_id": "c", "key": "k", "form": "twin"})]},
            "tenant a helseid.form",
        ),
    ],
)
def test_settings_that_contradict_themselves_are_refused(more: dict[str, Any], where: str) -> None:
    assert _refused(_plain(**more)).where == where


@pytest.mark.parametrize(
    "more", [{"keys": {"k": {"pkcs12": "x", "environment": "production"}}}, {"trust": {"environment": "production"}}]
)
def test_p22_keys_and_roots_of_another_environment_are_refused(more: dict[str, Any]) -> None:
    assert _refused(_plain(**more)).code == "SETTINGS.MIX"
    read_settings(_plain(**more, environment="production"), Path())


def test_a_settings_file_is_read_with_paths_from_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "adapter.toml"
    lines = [f'{key} = "{value}"' for key, value in SOFTWARE.items()]
    tenant = '[[tenant]]\nname = "a"\norganisation_number = "974793539"\nher_ids = [1]'
    file.write_text("\n".join(['environment = "test"', "[software]", *lines, tenant]))
    assert load_settings(file).path("x") == tmp_path / "x"
    assert tomllib.loads(file.read_text())["tenant"][0]["her_ids"] == [1]


@pytest.mark.parametrize("content", [b"environment =", b"\xff\xfe", b"a = 1\na = 2"])
def test_a_malformed_file_is_a_settings_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "adapter.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(file)


def test_a_missing_file_or_a_folder_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no settings file") as caught:
        load_settings(tmp_path / "none.toml")
    assert caught.value.cure
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path)


def test_a_secret_comes_from_the_environment_or_a_private_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings(_plain(), tmp_path)
    monkeypatch.setenv("A_SECRET", "hemmelig")
    assert read_secret(Secret(env="A_SECRET"), settings) == b"hemmelig"
    assert read_secret(Secret(), settings) is None
    (tmp_path / "pass").write_text("hemmelig\n")
    (tmp_path / "pass").chmod(0o600)
    assert read_secret(Secret(file="pass"), settings) == b"hemmelig"
    with pytest.raises(SettingsError):
        read_secret(Secret(env="A_SECRET", file="pass"), settings)
    monkeypatch.delenv("A_SECRET")
    with pytest.raises(SettingsError) as caught:
        read_secret(Secret(env="A_SECRET"), settings)
    assert caught.value.where == "A_SECRET"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_p21_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key.p12"
    file.write_bytes(b"x")
    file.chmod(mode)
    with pytest.raises(SettingsError) as caught:
        refuse_readable(file)
    assert (caught.value.code, caught.value.cure) == ("KEY.READABLE", "chmod 600 it")
    file.chmod(0o600)
    refuse_readable(file)
    with pytest.raises(SettingsError) as caught:
        refuse_readable(tmp_path / "none.p12")
    assert caught.value.code == "KEY.MISSING"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ({"pkcs12": "k.p12", "pkcs11": {"module": "m", "token": "t"}}, "keep one of pkcs12 and pkcs11"),
        ({}, "keep one of pkcs12 and pkcs11"),
        ({"pkcs11": {"module": "m", "token": "t"}, "passphrase": {"env": "X"}}, "pkcs11.pin"),
        ({"pkcs11": {"module": "m", "token": "t", "key_id": "zz"}}, "as the card's program shows it"),
    ],
)
def test_a_key_has_one_place(key: dict[str, Any], words: str) -> None:
    error = _refused(_plain(keys={"k": key}))
    assert (error.code, error.where) == ("SETTINGS.KEY_PLACE", "keys.k")
    assert words in str(error.cure)


def test_a_key_on_a_card_is_read_from_the_settings() -> None:
    card = {"module": "/usr/lib/opensc-pkcs11.so", "token": "card", "key_id": "01", "pin": {"env": "CARD_PIN"}}
    settings = read_settings(_plain(keys={"lege": {"pkcs11": card, "owner": "person"}}), Path("/etc/adapter"))
    key = settings.keys["lege"]
    assert key.pkcs12 is None
    assert key.pkcs11 is not None
    assert (key.pkcs11.token, key.pkcs11.key_id, key.pkcs11.pin) == ("card", "01", Secret(env="CARD_PIN"))
