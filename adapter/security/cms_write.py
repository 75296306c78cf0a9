"""DER written by hand: the few forms that an EnvelopedData for one RSA recipient needs (X.690, RFC 5652).

Most partners' libraries write the same form, so that what they send is recognised by it.
"""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from adapter.security.cms_read import (
    AES_256_CBC,
    CIPHERS,
    DATA,
    ENVELOPED_DATA,
    INTEGER,
    NULL,
    OCTETS,
    OID,
    RSA_PKCS1,
    SEQUENCE,
    SET,
    Enveloped,
    Recipient,
    issuer_and_serial,
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


_LENGTH = rb"([\x00-\x7f]|\x81.|\x82.{2}|\x83.{3}|\x84.{4})"
_PKCS1 = padding.PKCS1v15()


def read_written(enveloped: bytes, certificate: x509.Certificate) -> Enveloped | None:
    """What ``cms_read.read_enveloped`` reads, at a third of the price, of an EnvelopedData in the form above.

    None: it is in another form or broken, or another than the owner of ``certificate`` is its recipient.
    """
    form = _form_for(certificate)
    found = form.match(enveloped) if form is not None else None
    if found is None:
        return None
    end, inner = len(enveloped), found.end(6)
    for number, last in ((1, end), (2, end), (3, end), (4, inner), (5, inner), (7, end), (9, end)):
        if found.end(number) + _read_length(found[number]) != last:
            return None
    ciphertext = memoryview(enveloped)[found.end() :]
    if not len(ciphertext) or len(ciphertext) % 16:
        return None
    entry = Recipient(serial=certificate.serial_number, scheme=_PKCS1, wrapped=found[6])
    return Enveloped(recipients=(entry,), cipher=CIPHERS[AES_256_CBC], iv=found[8], pieces=(ciphertext,))


def _read_length(octets: bytes) -> int:
    return octets[0] if len(octets) == 1 else int.from_bytes(octets[1:], "big")


_FORMS: dict[int, tuple[x509.Certificate, re.Pattern[bytes] | None]] = {}
_MOST_FORMS = 64


def _form_for(certificate: x509.Certificate) -> re.Pattern[bytes] | None:
    """Kept by the certificate's place in memory, because it is slow to hash; our keys are few, and live long."""
    kept = _FORMS.get(id(certificate))
    if kept is None or kept[0] is not certificate:
        if len(_FORMS) >= _MOST_FORMS:
            _FORMS.clear()
        kept = _FORMS[id(certificate)] = certificate, _form(certificate)
    return kept[1]


def _form(certificate: x509.Certificate) -> re.Pattern[bytes] | None:
    """All that stands before the ciphertext; None for a key that is not RSA."""
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        return None
    wrapped, known = (key.key_size + 7) // 8, re.escape
    named = element(SEQUENCE, *issuer_and_serial(certificate.tbs_certificate_bytes))
    steps = (
        b"\x30" + _LENGTH + known(element(OID, ENVELOPED_DATA)) + b"\xa0" + _LENGTH,
        b"\x30" + _LENGTH + known(_VERSION_0) + b"\x31" + _LENGTH,
        b"\x30" + _LENGTH + known(_VERSION_0 + named),
        known(_RSA + head(OCTETS, wrapped)) + b"(.{%d})" % wrapped,
        b"\x30" + _LENGTH + known(element(OID, DATA)),
        known(head(SEQUENCE, len(AES_256_CBC) + 20) + element(OID, AES_256_CBC) + head(OCTETS, 16)) + b"(.{16})",
        b"\x80" + _LENGTH,
    )
    return re.compile(b"".join(steps), re.DOTALL)
