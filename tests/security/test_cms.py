"""Attachments encrypted for a partner, and opened with our keys; every failure looks the same from outside."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.serialization import Encoding

from adapter.errors import DecryptionError, InputError, SettingsError
from adapter.security import cms, cms_read, cms_write
from adapter.security.demo_ca import DemoCa, key_usage, new_key
from adapter.security.keys import SigningKey

SAID = "DECRYPT: the attachment cannot be decrypted"
ENCRYPTS = key_usage(key_encipherment=True)


@pytest.fixture(scope="module")
def ours(ca: DemoCa, leaf_key: rsa.RSAPrivateKey) -> SigningKey:
    return ca.issue_company("Prøvekommunen", "974760673", key=leaf_key, usage=ENCRYPTS)


@pytest.fixture(scope="module")
def other(ca: DemoCa) -> SigningKey:
    return ca.issue_company("Prøvekommunen", "974760673", key=new_key(), usage=ENCRYPTS)


def refused(enveloped: bytes, *keys: SigningKey, **more: object) -> str:
    """The inward reason of the one outward failure."""
    with pytest.raises(DecryptionError) as caught:
        cms.decrypt(enveloped, keys, **more)  # type: ignore[arg-type]
    assert str(caught.value) == SAID
    assert caught.value.apprec is None
    return caught.value.reason


@pytest.mark.parametrize("size", [1, 15, 16, 17, 31, 32, 33, 127, 128, 255, 256, 6_000, 65_535, 65_536, 1_000_003])
def test_what_is_encrypted_for_us_comes_back(ours: SigningKey, size: int) -> None:
    content = os.urandom(size)
    assert cms.decrypt(cms.encrypt(content, ours.certificate), [ours]) == content


def test_no_two_ciphertexts_are_alike(ours: SigningKey) -> None:
    assert cms.encrypt(b"x" * 64, ours.certificate)[-80:] != cms.encrypt(b"x" * 64, ours.certificate)[-80:]


def test_what_is_sent_is_aes_256_by_pkcs1_for_issuer_and_serial(ours: SigningKey) -> None:
    found = cms_read.read_enveloped(cms.encrypt(b"content", ours.certificate))
    (entry,) = found.recipients
    assert found.cipher.name == "aes256-cbc"
    assert isinstance(entry.scheme, padding.PKCS1v15)
    assert entry.serial == ours.certificate.serial_number
    assert entry.issuer == ours.certificate.issuer.public_bytes()


def test_nothing_is_not_encrypted(ours: SigningKey) -> None:
    with pytest.raises(InputError):
        cms.encrypt(b"", ours.certificate)


def test_a_signing_certificate_is_refused_for_encryption(company: SigningKey) -> None:
    with pytest.raises(SettingsError) as caught:
        cms.encrypt(b"x", company.certificate)
    assert caught.value.code == "CMS.CERTIFICATE"


def test_a_certificate_for_data_encipherment_will_do(ca: DemoCa, leaf_key: rsa.RSAPrivateKey) -> None:
    key = ca.issue_company("Eldre", "974760673", key=leaf_key, usage=key_usage(data_encipherment=True))
    assert cms.decrypt(cms.encrypt(b"x", key.certificate), [key]) == b"x"


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), new_key(1024)], ids=["EC", "1024 bits"])
def test_a_key_that_is_not_rsa_of_a_fair_size_is_refused(key: rsa.RSAPrivateKey) -> None:
    name = x509.Name([])
    begin = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin + timedelta(days=1))
    with pytest.raises(SettingsError):
        cms.encrypt(b"x", builder.sign(new_key(), cms_read._HASHES[cms_read.oid("2.16.840.1.101.3.4.2.1")]))


def test_p27_an_old_key_still_opens_what_was_made_for_it(ours: SigningKey, other: SigningKey) -> None:
    assert cms.decrypt(cms.encrypt(b"old", other.certificate), [ours, other]) == b"old"
    assert cms.decrypt(cms.encrypt(b"new", ours.certificate), [ours, other]) == b"new"


def test_p27_a_renewed_certificate_of_one_key_is_told_by_its_serial(ca: DemoCa, ours: SigningKey) -> None:
    renewed = ca.issue_company("Prøvekommunen", "974760673", key=ours.private_key, usage=ENCRYPTS)
    made = cms.encrypt(b"x", ours.certificate)
    assert cms.is_for(made, [ours])
    assert not cms.is_for(made, [renewed])
    assert refused(made, renewed) == "recipient: none of our keys"


def test_another_issuer_with_the_same_serial_is_another_certificate(ours: SigningKey) -> None:
    elsewhere = DemoCa.create("Another Root CA")
    twin = (
        x509.CertificateBuilder()
        .subject_name(ours.certificate.subject)
        .issuer_name(elsewhere.certificate.subject)
        .public_key(ours.private_key.public_key())
        .serial_number(ours.certificate.serial_number)
        .not_valid_before(ours.certificate.not_valid_before_utc)
        .not_valid_after(ours.certificate.not_valid_after_utc)
        .sign(elsewhere.private_key, cms_read._HASHES[cms_read.oid("2.16.840.1.101.3.4.2.1")])
    )
    assert refused(cms.encrypt(b"x", twin), ours).startswith("recipient")


def test_a_key_of_an_unknown_kind_is_refused(ours: SigningKey) -> None:
    der = ours.certificate.public_bytes(Encoding.DER)
    strange = x509.load_der_x509_certificate(der.replace(cms_read.RSA_PKCS1, cms_read.RSA_PKCS1[:-1] + b"\x7f"))
    with pytest.raises(SettingsError):
        cms.encrypt(b"x", strange)


def test_no_key_at_all_opens_nothing(ours: SigningKey) -> None:
    assert refused(cms.encrypt(b"x", ours.certificate)).startswith("recipient")


def test_is_for_says_so_of_what_is_no_cms(ours: SigningKey) -> None:
    with pytest.raises(DecryptionError):
        cms.is_for(b"<clear/>", [ours])


def test_a_message_beyond_the_bound_is_not_read(ours: SigningKey) -> None:
    made = cms.encrypt(b"x" * 1000, ours.certificate)
    assert refused(made, ours, limit_bytes=len(made) - 1) == "size: too large"


# --- made by hand, so that one thing at a time is wrong ---------------------------------------------------------------


def handmade(key: SigningKey, content_key: bytes, padded: bytes, *, wrapped: bytes | None = None) -> bytes:
    """An EnvelopedData with this content key and these padded octets, whatever they are."""
    iv = bytes(16)
    context = Cipher(AES(content_key if len(content_key) == 32 else bytes(32)), modes.CBC(iv)).encryptor()
    ciphertext = context.update(padded) + context.finalize()
    if wrapped is None:
        wrapped = key.private_key.public_key().encrypt(content_key, padding.PKCS1v15())
    names = cms_read.issuer_and_serial(key.certificate.tbs_certificate_bytes)
    return cms_write.before_ciphertext(cms_write.recipient(*names, wrapped), iv, len(ciphertext)) + ciphertext


@pytest.mark.parametrize(
    "last",
    [bytes(16), b"x" * 15 + b"\x11", b"x" * 15 + b"\x10", b"x" * 14 + b"\x03\x02", b"\x11" * 16],
    ids=["zero", "seventeen", "sixteen of one", "unequal", "all too long"],
)
def test_a_padding_that_is_none_is_the_one_failure(ours: SigningKey, last: bytes) -> None:
    assert refused(handmade(ours, bytes(32), b"y" * 16 + last), ours) == "key or content: padding"


def test_a_whole_block_of_padding_leaves_nothing_of_itself(ours: SigningKey) -> None:
    assert cms.decrypt(handmade(ours, bytes(32), b"y" * 16 + b"\x10" * 16), [ours]) == b"y" * 16


def opened_or_refused(enveloped: bytes, key: SigningKey) -> bytes | str:
    try:
        return cms.decrypt(enveloped, [key])
    except DecryptionError as error:
        return error.reason


@pytest.mark.parametrize("content_key", [b"", b"k", bytes(16), bytes(24), bytes(33), bytes(100)])
def test_a_content_key_of_another_length_says_no_more_than_a_wrong_one(ours: SigningKey, content_key: bytes) -> None:
    outcome = opened_or_refused(handmade(ours, content_key, b"secret".ljust(31, b"x") + b"\x01"), ours)
    assert outcome == "key or content: padding" or b"secret" not in bytes(outcome)


@pytest.mark.parametrize("wrapped", [b"", b"\0" * 256, b"\xff" * 256, b"\x01" * 255, b"\x01" * 257])
def test_a_wrapped_key_that_is_none_says_no_more_than_a_wrong_one(ours: SigningKey, wrapped: bytes) -> None:
    outcome = opened_or_refused(handmade(ours, bytes(32), b"secret".ljust(31, b"x") + b"\x01", wrapped=wrapped), ours)
    assert outcome == "key or content: padding" or b"secret" not in bytes(outcome)


def test_the_text_of_the_failure_never_tells_the_reason(ours: SigningKey, other: SigningKey) -> None:
    made = cms.encrypt(b"x" * 100, ours.certificate)
    assert len({refused(made, other), refused(made[:-1], ours), refused(b"", ours)}) > 1


# --- real octets ------------------------------------------------------------------------------------------------------


def test_a_real_attachment_is_read_and_is_not_ours(ours: SigningKey, corpus_p7m: bytes) -> None:
    found = cms_read.read_enveloped(corpus_p7m)
    assert found.cipher.name == "aes256-cbc"
    assert isinstance(found.recipients[0].scheme, padding.PKCS1v15)
    assert refused(corpus_p7m, ours).startswith("recipient")
