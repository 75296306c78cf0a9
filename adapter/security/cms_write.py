"""DER written by hand: the few forms that an EnvelopedData for one RSA recipient needs (X.690, RFC 5652)."""

from __future__ import annotations

from adapter.security.cms_read import (
    AES_256_CBC,
    DATA,
    ENVELOPED_DATA,
    INTEGER,
    NULL,
    OCTETS,
    OID,
    RSA_PKCS1,
    SEQUENCE,
    SET,
)

_VERSION_0 = bytes([INTEGER, 1, 0])


def head(tag: int, length: int) -> bytes:
    """Tag and length octets, in the shortest form."""
    if length < 0x80:
        return bytes([tag, length])
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets


def element(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return head(tag, len(content)) + content


_RSA = element(SEQUENCE, element(OID, RSA_PKCS1), element(NULL))


def recipient(issuer: bytes, serial: bytes, wrapped: bytes) -> bytes:
    """A KeyTransRecipientInfo with issuer and serial (both DER) and a key wrapped by RSA PKCS#1 v1.5."""
    return element(SEQUENCE, _VERSION_0, element(SEQUENCE, issuer, serial), _RSA, element(OCTETS, wrapped))


def before_ciphertext(recipient_info: bytes, iv: bytes, ciphertext_bytes: int) -> bytes:
    """Everything of the ContentInfo that stands before the ciphertext; nothing stands after it."""
    algorithm = element(SEQUENCE, element(OID, AES_256_CBC), element(OCTETS, iv))
    last = head(0x80, ciphertext_bytes)
    content = element(OID, DATA) + algorithm + last
    content = head(SEQUENCE, len(content) + ciphertext_bytes) + content
    body = _VERSION_0 + element(SET, recipient_info) + content
    body = head(SEQUENCE, len(body) + ciphertext_bytes) + body
    outer = element(OID, ENVELOPED_DATA) + head(0xA0, len(body) + ciphertext_bytes) + body
    return head(SEQUENCE, len(outer) + ciphertext_bytes) + outer
