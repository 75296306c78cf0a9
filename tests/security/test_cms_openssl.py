"""Our attachments and OpenSSL's: each opens the other's, in every form that partners send."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7

from adapter.errors import DecryptionError
from adapter.security import cms, cms_read
from adapter.security.demo_ca import DemoCa, new_key
from adapter.security.keys import SigningKey
from tests.security.test_cms import ENCRYPTS

CONTENT = os.urandom(6_000)
openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="the program openssl is not installed")


@dataclass(frozen=True)
class Holder:
    """A key with its files, as OpenSSL's command line wants them."""

    key: SigningKey
    certificate: Path
    private: Path


def with_key_identifier(ca: DemoCa, key: SigningKey) -> SigningKey:
    """The same key with a certificate that names it; the demo authority's certificates do not."""
    public = key.private_key.public_key()
    builder = x509.CertificateBuilder(
        ca.certificate.subject,
        key.certificate.subject,
        public,
        x509.random_serial_number(),
        key.certificate.not_valid_before_utc,
        key.certificate.not_valid_after_utc,
    )
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    builder = builder.add_extension(ENCRYPTS, critical=True)
    return replace(key, certificate=builder.sign(ca.private_key, hashes.SHA256()))


@pytest.fixture(scope="module")
def holders(ca: DemoCa, leaf_key: rsa.RSAPrivateKey, tmp_path_factory: pytest.TempPathFactory) -> list[Holder]:
    folder = tmp_path_factory.mktemp("cms")
    found = []
    for number, private in enumerate((leaf_key, new_key(), new_key(3072))):
        key = with_key_identifier(ca, ca.issue_company(f"Mottaker {number}", "974760673", key=private, usage=ENCRYPTS))
        certificate, file = folder / f"{number}.pem", folder / f"{number}.key"
        certificate.write_bytes(key.certificate.public_bytes(Encoding.PEM))
        file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        found.append(Holder(key, certificate, file))
    return found


def run(*words: str | Path, content: bytes) -> bytes:
    done = subprocess.run(["openssl", "cms", *map(str, words)], input=content, capture_output=True, check=True)
    return done.stdout


def encrypted(*words: str | Path, content: bytes = CONTENT) -> bytes:
    return run("-encrypt", "-binary", "-outform", "DER", *words, content=content)


@openssl
@pytest.mark.parametrize("size", [1, 16, 6_000, 1_000_000])
def test_openssl_opens_ours(holders: list[Holder], size: int) -> None:
    content = os.urandom(size)
    made = cms.encrypt(content, holders[0].key.certificate)
    opened = run(
        "-decrypt", "-binary", "-inform", "DER", "-recip", holders[0].certificate, "-inkey", holders[0].private,
        content=made,
    )  # fmt: skip
    assert opened == content


@openssl
def test_openssl_opens_ours_for_a_key_of_3072_bits(holders: list[Holder]) -> None:
    made = cms.encrypt(CONTENT, holders[2].key.certificate)
    words = ("-decrypt", "-binary", "-inform", "DER", "-recip", holders[2].certificate, "-inkey", holders[2].private)
    assert run(*words, content=made) == CONTENT


def test_cryptography_reads_our_der() -> None:
    key = new_key()
    holder = DemoCa.create().issue_company("X", "974760673", key=key, usage=ENCRYPTS)
    made = cms.encrypt(b"content", holder.certificate)
    assert pkcs7.pkcs7_decrypt_der(made, holder.certificate, key, []) == b"content"


def test_ours_reads_what_cryptography_writes(holders: list[Holder]) -> None:
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(CONTENT).add_recipient(holders[0].key.certificate)
    made = builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])
    assert cms.decrypt(made, [holders[0].key]) == CONTENT


FORMS = {
    "AES-128": ["-aes128"],
    "AES-192": ["-aes192"],
    "AES-256": ["-aes256"],
    "BER from a stream": ["-aes256", "-stream"],
    "key identifier": ["-aes256", "-keyid"],
    "key identifier from a stream": ["-aes128", "-keyid", "-stream"],
}


@openssl
@pytest.mark.parametrize("form", FORMS)
def test_ours_opens_what_openssl_makes(form: str, holders: list[Holder]) -> None:
    made = encrypted(*FORMS[form], holders[0].certificate)
    assert cms.decrypt(made, [holders[1].key, holders[0].key]) == CONTENT


@openssl
def test_a_key_identifier_is_computed_where_the_certificate_has_none(ca: DemoCa, holders: list[Holder]) -> None:
    made = encrypted("-aes256", "-keyid", holders[0].certificate)
    plain = ca.issue_company("Uten", "974760673", key=holders[0].key.private_key, usage=ENCRYPTS)
    assert cms.decrypt(made, [plain]) == CONTENT
    with pytest.raises(DecryptionError):
        cms.decrypt(made, [holders[1].key])


OAEP = {
    "SHA-1": [],
    "SHA-256": ["-keyopt", "rsa_oaep_md:sha256"],
    "SHA-256, mask SHA-1": ["-keyopt", "rsa_oaep_md:sha256", "-keyopt", "rsa_mgf1_md:sha1"],
    "SHA-512": ["-keyopt", "rsa_oaep_md:sha512"],
}


@openssl
@pytest.mark.parametrize("form", OAEP)
def test_ours_opens_oaep(form: str, holders: list[Holder]) -> None:
    words = ["-aes256", "-recip", holders[0].certificate, "-keyopt", "rsa_padding_mode:oaep", *OAEP[form]]
    made = encrypted(*words)
    assert isinstance(cms_read.read_enveloped(made).recipients[0].scheme, padding.OAEP)
    assert cms.decrypt(made, [holders[0].key]) == CONTENT


@openssl
def test_an_oaep_label_or_hash_that_we_do_not_know_is_refused(holders: list[Holder]) -> None:
    for option in ("rsa_oaep_label:01", "rsa_oaep_md:sha224"):
        words = ["-aes256", "-recip", holders[0].certificate, "-keyopt", "rsa_padding_mode:oaep", "-keyopt", option]
        with pytest.raises(DecryptionError) as caught:
            cms.decrypt(encrypted(*words), [holders[0].key])
        assert caught.value.reason == "algorithm: key transport"


@openssl
def test_any_of_two_recipients_opens_it(holders: list[Holder]) -> None:
    made = encrypted("-aes256", holders[0].certificate, holders[1].certificate)
    for holder in holders[:2]:
        assert cms.decrypt(made, [holder.key]) == CONTENT
    with pytest.raises(DecryptionError):
        cms.decrypt(made, [holders[2].key])


@openssl
def test_another_recipients_unknown_way_does_not_hinder_ours(holders: list[Holder]) -> None:
    strange = ["-recip", holders[1].certificate, "-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha224"]
    words = ["-aes256", "-recip", holders[0].certificate, *strange, "-pwri_password", "word"]
    assert cms.decrypt(encrypted(*words), [holders[0].key]) == CONTENT


@openssl
def test_triple_des_is_opened_only_where_it_is_agreed(holders: list[Holder]) -> None:
    made = encrypted("-des3", holders[0].certificate)
    assert cms.decrypt(made, [holders[0].key], allow_3des=True) == CONTENT
    with pytest.raises(DecryptionError) as caught:
        cms.decrypt(made, [holders[0].key])
    assert caught.value.reason == "algorithm: 3DES is not agreed"


@openssl
@pytest.mark.parametrize("cipher", ["-aes-256-gcm", "-camellia256", "-aes-256-cfb"])
def test_other_ciphers_are_refused(cipher: str, holders: list[Holder]) -> None:
    made = encrypted(cipher, holders[0].certificate)
    with pytest.raises(DecryptionError):
        cms.decrypt(made, [holders[0].key], allow_3des=True)


@openssl
def test_a_signed_message_is_not_an_encrypted_one(holders: list[Holder]) -> None:
    words = ("-sign", "-binary", "-outform", "DER", "-signer", holders[0].certificate, "-inkey", holders[0].private)
    with pytest.raises(DecryptionError) as caught:
        cms.decrypt(run(*words, content=CONTENT), [holders[0].key])
    assert caught.value.reason == "structure: not enveloped-data"


@openssl
def test_a_long_stream_is_read_in_pieces(holders: list[Holder]) -> None:
    content = os.urandom(3_000_001)
    made = encrypted("-aes256", "-stream", holders[0].certificate, content=content)
    assert len(cms_read.read_enveloped(made).pieces) > 1
    assert cms.decrypt(made, [holders[0].key]) == content
