from __future__ import annotations

import pytest

from adapter import xmlio
from adapter.errors import InputError, SignatureError
from adapter.security import xmldsig
from adapter.security.keys import SigningKey

PLAIN = b'<m xmlns="urn:m" xmlns:b="urn:b"><a>bl\xc3\xa5 &amp; gul</a> <b:c q="1"/>\n</m>'


def test_what_is_signed_can_be_verified_and_comes_back_unchanged(company: SigningKey) -> None:
    signed = xmldsig.sign(xmlio.parse(PLAIN), company)
    verified = xmldsig.verify(xmlio.parse(signed))
    assert verified.certificate == company.certificate
    assert verified.covered == "/m"
    assert verified.warnings == ()
    assert xmlio.canonical(verified.root) == xmlio.canonical(xmlio.parse(PLAIN))


def test_signed_bytes_are_a_declaration_and_the_canonical_form(company: SigningKey) -> None:
    declaration, rest = xmldsig.sign(xmlio.parse(PLAIN), company).split(b"\n", 1)
    assert declaration == b'<?xml version="1.0" encoding="UTF-8"?>'
    assert rest == xmlio.canonical(xmlio.parse(rest))


def test_one_changed_character_breaks_the_signature(company: SigningKey) -> None:
    signed = xmldsig.sign(xmlio.parse(PLAIN), company)
    with pytest.raises(SignatureError):
        xmldsig.verify(xmlio.parse(signed.replace(b"gul<", b"rod<")))


def test_a_signed_document_is_not_signed_again(company: SigningKey) -> None:
    signed = xmldsig.sign(xmlio.parse(PLAIN), company)
    with pytest.raises(InputError, match=r"SIGN\.TWICE"):
        xmldsig.sign(xmlio.parse(signed), company)
