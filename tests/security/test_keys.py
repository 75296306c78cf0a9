from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12
from cryptography.x509.oid import NameOID

from adapter.config import Environment, KeySettings, Secret, Settings, SoftwareSettings
from adapter.errors import KeyFileError
from adapter.security.demo_ca import DemoCa, new_key, write_pkcs12
from adapter.security.keys import KeyRing, SigningKey, load_pkcs12


def ring_settings(base: Path, keys: dict[str, KeySettings]) -> Settings:
    software = SoftwareSettings(
        fagsystem="F", fagsystem_version="1", mellomvare="M", mellomvare_version="1", msh="H", msh_version="1"
    )
    return Settings(environment=Environment.TEST, software=software, tenant=(), base=str(base), keys=keys)


def test_a_key_file_gives_the_key_it_was_written_from(company: SigningKey, tmp_path: Path) -> None:
    path = write_pkcs12(company, tmp_path / "key.p12", b"secret")
    assert path.stat().st_mode & 0o777 == 0o600
    key = load_pkcs12(path, b"secret", "company", environment=Environment.TEST)
    assert key.certificate == company.certificate
    assert (key.name, key.owner, key.environment) == ("key", "company", Environment.TEST)
    key.certificate.public_key().verify(key.sign(b"x"), b"x", padding.PKCS1v15(), hashes.SHA256())  # type: ignore[union-attr,call-arg]


def test_the_chain_of_an_issuing_ca_travels_in_the_file(ca: DemoCa, tmp_path: Path) -> None:
    below = ca.create_below()
    key = below.issue_company("Under", "974760673")
    assert load_pkcs12(write_pkcs12(key, tmp_path / "k.p12"), None, "company").chain == (below.certificate,)


def test_rewriting_a_key_file_takes_away_what_others_could_read(company: SigningKey, tmp_path: Path) -> None:
    path = tmp_path / "key.p12"
    path.write_bytes(b"old")
    path.chmod(0o644)
    assert write_pkcs12(company, path).stat().st_mode & 0o777 == 0o600


def test_p21_a_key_file_that_others_can_read_is_refused(company: SigningKey, tmp_path: Path) -> None:
    path = write_pkcs12(company, tmp_path / "key.p12")
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match=r"KEY\.READABLE.*chmod 600"):
        load_pkcs12(path, None, "company")


@pytest.mark.parametrize("passphrase", [None, b"wrong"])
def test_a_wrong_passphrase_is_said_so(passphrase: bytes | None, company: SigningKey, tmp_path: Path) -> None:
    path = write_pkcs12(company, tmp_path / "key.p12", b"secret")
    with pytest.raises(KeyFileError, match=r"KEY\.OPEN"):
        load_pkcs12(path, passphrase, "company")


def test_a_missing_file_a_folder_and_an_unknown_owner_are_refused(company: SigningKey, tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"KEY\.MISSING"):
        load_pkcs12(tmp_path / "none.p12", None, "company")
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    with pytest.raises(KeyFileError, match="cannot be read"):
        load_pkcs12(folder, None, "company")
    with pytest.raises(KeyFileError, match="owner"):
        load_pkcs12(write_pkcs12(company, tmp_path / "k.p12"), None, "somebody")


def private(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_only_an_rsa_key_with_its_own_certificate_will_do(ca: DemoCa, company: SigningKey, tmp_path: Path) -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ec")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(curve.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate = builder.sign(curve, hashes.SHA256())
    data = pkcs12.serialize_key_and_certificates(b"ec", curve, certificate, None, NoEncryption())
    with pytest.raises(KeyFileError, match=r"KEY\.KIND"):
        load_pkcs12(private(tmp_path / "ec.p12", data), None, "company")
    bare = pkcs12.serialize_key_and_certificates(b"bare", company.private_key, None, None, NoEncryption())
    with pytest.raises(KeyFileError, match=r"KEY\.KIND"):
        load_pkcs12(private(tmp_path / "bare.p12", bare), None, "company")
    weak = ca.issue_company("Svak", "974760673", key=new_key(1024))
    with pytest.raises(KeyFileError, match=r"KEY\.SIZE"):
        load_pkcs12(write_pkcs12(weak, tmp_path / "weak.p12"), None, "company")


def test_nothing_private_shows_when_a_key_is_printed(company: SigningKey) -> None:
    assert repr(company) == "SigningKey(name='company', owner='company', environment=None)"


def test_a_key_is_opened_once(company: SigningKey, tmp_path: Path) -> None:
    write_pkcs12(company, tmp_path / "k.p12")
    ring = KeyRing(ring_settings(tmp_path, {"k": KeySettings(pkcs12="k.p12")}))
    assert ring.find("k") is ring.find("k")
    assert ring.find("k").environment is Environment.TEST


def test_p27_a_new_key_is_taken_without_a_restart(ca: DemoCa, company: SigningKey, tmp_path: Path) -> None:
    path = write_pkcs12(company, tmp_path / "k.p12")
    ring = KeyRing(ring_settings(tmp_path, {"k": KeySettings(pkcs12="k.p12")}))
    assert ring.find("k").certificate == company.certificate
    after = ca.issue_company("Ny", "974760673")
    write_pkcs12(after, path)
    os.utime(path, ns=(1, 1))
    assert ring.find("k").certificate == after.certificate


def test_p27_a_bad_new_file_leaves_the_old_key_in_service_and_is_reported(company: SigningKey, tmp_path: Path) -> None:
    path = write_pkcs12(company, tmp_path / "k.p12")
    ring = KeyRing(ring_settings(tmp_path, {"k": KeySettings(pkcs12="k.p12")}))
    ring.find("k")
    path.write_bytes(b"half a file")
    assert ring.find("k").certificate == company.certificate
    assert ring.problems["k"].code == "KEY.OPEN"
    path.unlink()
    assert ring.find("k").certificate == company.certificate
    write_pkcs12(company, path)
    os.utime(path, ns=(1, 1))
    assert ring.find("k").certificate == company.certificate
    assert ring.problems == {}


def test_a_key_that_was_never_there_is_an_error(tmp_path: Path) -> None:
    keys = {
        "k": KeySettings(pkcs12="k.p12"),
        "e": KeySettings(pkcs12="k.p12", passphrase=Secret(env="NO_SUCH_VARIABLE_7")),
    }
    ring = KeyRing(ring_settings(tmp_path, keys))
    with pytest.raises(KeyFileError, match=r"KEY\.MISSING"):
        ring.find("k")
    with pytest.raises(KeyFileError, match="environment variable"):
        ring.find("e")
    with pytest.raises(KeyFileError, match="no key of that name"):
        ring.find("x")
