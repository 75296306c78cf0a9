"""CMS EnvelopedData: what an attachment is encrypted as, for one partner's certificate, and opened with our keys.

Sent: DER, AES-256-CBC, the content key by RSA PKCS#1 v1.5, the recipient by issuer and serial. Read: BER and DER,
AES-128/192/256-CBC and, for a partner configured so, 3DES; RSA PKCS#1 v1.5 and OAEP; the recipient by issuer and serial
or by key identifier over all live keys, old ones included (P27). Ciphers run in place: memory is that of the result.

Every failure is the one DecryptionError. A content key that cannot be unwrapped is replaced by a random one of the
right length (RFC 3218 2.3.2), so that whoever tries forged keys learns nothing: the result is then a failure, or, once
in 256 times, noise that is no document. CBC does not protect its content; the envelope's signature does, and is to be
verified first.

Sources: RFC 5652, RFC 3565, RFC 3218; HIS 1037 5.5; the national algorithms are those of the health network.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from io import BytesIO
from typing import Protocol, runtime_checkable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, modes
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.padding import PKCS7

from adapter.errors import DecryptionError, InputError, SettingsError
from adapter.security.certificates import find_extension
from adapter.security.cms_read import (
    TRIPLE_DES,
    Cipher,
    Enveloped,
    Recipient,
    issuer_and_serial,
    name_key,
    read_enveloped,
)
from adapter.security.cms_write import before_ciphertext, read_written, recipient
from adapter.security.keys import MAX_KEY_BITS, MIN_KEY_BITS

MAX_BYTES = 60_000_000
_BLOCK, _KEY = 16, 32
_SMALL_BYTES = 65_536  # so much may lie in memory twice


class Unwrapper(Protocol):
    """The private half of a key, in memory or on a card."""

    def decrypt(self, ciphertext: bytes, padding: padding.AsymmetricPadding) -> bytes:
        """The content key. Raises ValueError for what it cannot open; a card raises CardError when it is away."""
        ...


@runtime_checkable
class DecryptionKey(Protocol):
    """A key that opens what was encrypted for its certificate: in memory, or on a card."""

    @property
    def certificate(self) -> x509.Certificate: ...
    @property
    def private_key(self) -> Unwrapper: ...


# --- encrypt ----------------------------------------------------------------------------------------------------------


def encrypt(content: bytes, certificate: x509.Certificate) -> bytes:
    """DER of the EnvelopedData that holds ``content`` for the owner of ``certificate``.

    Raises InputError for empty content, SettingsError (CMS.CERTIFICATE) for a certificate that is not one for RSA
    encryption. Whether it is valid and the partner's own is judged before (standards digest 4.4).
    """
    if not content:
        raise InputError("there is nothing to encrypt", code="CMS.EMPTY")
    key, issuer, serial = _addressee(certificate)
    content_key, iv = os.urandom(_KEY), os.urandom(_BLOCK)
    size = len(content) // _BLOCK * _BLOCK + _BLOCK
    start = before_ciphertext(recipient(issuer, serial, key.encrypt(content_key, padding.PKCS1v15())), iv, size)
    context = BlockCipher(AES(content_key), modes.CBC(iv)).encryptor()
    out = BytesIO()
    out.write(start)
    out.seek(len(start) + size - 1)
    out.write(b"\0")  # the whole place at once; the cipher writes into it
    whole, rest = memoryview(content)[: size - _BLOCK], bytes(content[size - _BLOCK :])
    missing = _BLOCK - len(rest)
    with out.getbuffer() as view:
        context.update_into(whole, view[len(start) :])
        view[-_BLOCK:] = context.update(rest + bytes([missing]) * missing)
    return out.getvalue()


def refuse_certificate(certificate: x509.Certificate) -> None:
    """Raise SettingsError (CMS.CERTIFICATE) for a certificate that nothing can be encrypted for."""
    _addressee(certificate)


@lru_cache(maxsize=256)
def _addressee(certificate: x509.Certificate) -> tuple[rsa.RSAPublicKey, bytes, bytes]:
    """The key, and issuer and serial as DER. Kept: the partners stay the same, and a used key is a faster one."""
    text, cure = "this certificate is not for encryption with RSA", "take the partner's encryption certificate"
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError(text, code="CMS.CERTIFICATE", cure=cure) from None
    usage = find_extension(certificate, x509.KeyUsage)
    allowed = usage is None or usage.key_encipherment or usage.data_encipherment
    if not allowed or not isinstance(key, rsa.RSAPublicKey) or not MIN_KEY_BITS <= key.key_size <= MAX_KEY_BITS:
        raise SettingsError(text, code="CMS.CERTIFICATE", cure=cure)
    return key, *issuer_and_serial(certificate.tbs_certificate_bytes)


# --- decrypt ----------------------------------------------------------------------------------------------------------


def decrypt(
    enveloped: bytes, keys: Sequence[DecryptionKey], *, allow_3des: bool = False, limit_bytes: int = MAX_BYTES
) -> bytes:
    """The plaintext of an EnvelopedData, BER or DER, with whichever of ``keys`` it was made for.

    ``limit_bytes`` bounds the input. Raises DecryptionError, the same for every cause.
    """
    if len(enveloped) > limit_bytes:
        raise DecryptionError("size: too large")
    for key in keys:
        plain = read_written(enveloped, key.certificate)
        if plain is not None:
            return _open(plain, _unwrap(key, plain.recipients[0], plain.cipher))
    found = read_enveloped(enveloped)
    if found.cipher is TRIPLE_DES and not allow_3des:
        raise DecryptionError("algorithm: 3DES is not agreed")
    key, entry = _ours(found.recipients, keys)
    return _open(found, _unwrap(key, entry, found.cipher))


def is_for(enveloped: bytes, keys: Sequence[DecryptionKey]) -> bool:
    """True when one of ``keys`` is a recipient; nothing is decrypted. Raises DecryptionError for what is no CMS."""
    try:
        _ours(read_enveloped(enveloped).recipients, keys)
    except DecryptionError as error:
        if error.reason != _NOT_OURS:
            raise
        return False
    return True


_NOT_OURS = "recipient: none of our keys"


def _ours(recipients: Sequence[Recipient], keys: Sequence[DecryptionKey]) -> tuple[DecryptionKey, Recipient]:
    for entry in recipients:
        for key in keys:
            if _names(entry, key.certificate):
                return key, entry
    raise DecryptionError(_NOT_OURS)


def _names(entry: Recipient, certificate: x509.Certificate) -> bool:
    """Both issuer and serial, or the key identifier: a serial number alone is not unique."""
    if entry.key_id is not None:
        return entry.key_id in _key_ids(certificate)
    if entry.issuer is None or entry.serial != certificate.serial_number:
        return False
    own, _ = _own_name(certificate)
    return entry.issuer == own or name_key(entry.issuer) == name_key(own)


@lru_cache(maxsize=256)
def _own_name(certificate: x509.Certificate) -> tuple[bytes, bytes]:
    return issuer_and_serial(certificate.tbs_certificate_bytes)


@lru_cache(maxsize=256)
def _key_ids(certificate: x509.Certificate) -> tuple[bytes, ...]:
    """The identifier in the certificate, and the usual one of its key (RFC 5280 4.2.1.2, method 1)."""
    stated = find_extension(certificate, x509.SubjectKeyIdentifier)
    key = certificate.public_key()
    usual = x509.SubjectKeyIdentifier.from_public_key(key).digest if isinstance(key, rsa.RSAPublicKey) else b""
    return (usual,) if stated is None else (stated.digest, usual)


def _unwrap(key: DecryptionKey, entry: Recipient, cipher: Cipher) -> bytes:
    """The content key; a random one when there is none, so that a forger cannot tell."""
    if entry.scheme is None:
        raise DecryptionError("algorithm: key transport")
    stand_in = os.urandom(cipher.key_bytes)
    try:
        found = key.private_key.decrypt(entry.wrapped, entry.scheme)
    except ValueError:
        return stand_in
    return found if len(found) == cipher.key_bytes else stand_in


def _open(found: Enveloped, content_key: bytes) -> bytes:
    block, size = found.cipher.block_bytes, found.size_bytes
    context = BlockCipher(_algorithm(found.cipher, content_key), modes.CBC(found.iv)).decryptor()
    if size <= _SMALL_BYTES and len(found.pieces) == 1:
        plain = context.update(found.pieces[0])
        return plain[: size - _padding(plain[-block:], block)]
    out = BytesIO()
    out.seek(size + block - 1)
    out.write(b"\0")  # update_into asks for room beyond what it writes
    at = 0
    with out.getbuffer() as view:
        for piece in _blocks(found.pieces, block):
            at += context.update_into(piece, view[at:])
        missing = _padding(bytes(view[size - block : size]), block)
    out.truncate(size - missing)
    return out.getvalue()


def _blocks(pieces: Sequence[memoryview], block: int) -> Iterator[memoryview]:
    """The pieces as they are when they can be; what is chopped off the block's measure is carried over."""
    carried = b""
    for piece in pieces:
        if carried:
            need = (block - len(carried)) % block
            carried, piece = carried + bytes(piece[:need]), piece[need:]
            if len(carried) < block:
                continue
            yield memoryview(carried)
        whole = len(piece) - len(piece) % block
        if whole:
            yield piece[:whole]
        carried = bytes(piece[whole:])


def _padding(last: bytes, block: int) -> int:
    """How many octets of the last block are padding; compared in constant time."""
    unpadder = PKCS7(block * 8).unpadder()
    try:
        kept = unpadder.update(last) + unpadder.finalize()
    except ValueError:
        raise DecryptionError("key or content: padding") from None
    return block - len(kept)


def _algorithm(cipher: Cipher, content_key: bytes) -> BlockCipherAlgorithm:
    if cipher is not TRIPLE_DES:
        return AES(content_key)
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES  # for old partners alone

    return TripleDES(content_key)
