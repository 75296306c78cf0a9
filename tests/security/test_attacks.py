"""Signatures that must not be believed. In nearly all of them the RSA value is right, and what it is about is not."""

from __future__ import annotations

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from adapter import xmlio
from adapter.errors import SignatureError
from adapter.security import xmldsig
from adapter.security.demo_ca import DemoCa, new_key
from adapter.security.keys import SigningKey
from tests.security import oracles
from tests.security.handmade import CONTENT, ENVELOPED, INCLUSIVE, Parts, document, parsed, signature, x509_data
from tests.security.oracles import C14N, DS, EXC

XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"


def test_a_signature_by_hand_is_sound_when_nothing_is_wrong_with_it(company: SigningKey) -> None:
    data = document(company)
    assert xmldsig.verify(xmlio.parse(data)).certificate == company.certificate
    assert oracles.judge(data, company.certificate, sound=True)


def transforms(*names: str) -> str:
    return (
        "<ds:Transforms>"
        + "".join(f'<ds:Transform Algorithm="{n}"></ds:Transform>' for n in names)
        + "</ds:Transforms>"
    )


XPATH_STEP = f'<ds:Transform Algorithm="{XPATH}"><ds:XPath>true()</ds:XPath></ds:Transform>'
FAULTS: dict[str, dict[str, object]] = {
    "no transform at all": {"transforms": "<ds:Transforms></ds:Transforms>"},
    "no Transforms element": {"transforms": ""},
    "C14N without enveloped": {"transforms": transforms(C14N)},
    "C14N before enveloped": {"transforms": transforms(C14N, DS + "enveloped-signature")},
    "enveloped twice": {"transforms": transforms(DS + "enveloped-signature", DS + "enveloped-signature")},
    "three transforms": {"transforms": transforms(DS + "enveloped-signature", C14N, C14N)},
    "an XPath transform": {"transforms": f"<ds:Transforms>{ENVELOPED}{XPATH_STEP}</ds:Transforms>"},
    "an XSLT transform": {
        "transforms": transforms(DS + "enveloped-signature", "http://www.w3.org/TR/1999/REC-xslt-19991116")
    },
    "a base64 transform": {"transforms": transforms(DS + "enveloped-signature", DS + "base64")},
    "C14N 1.1": {"transforms": transforms(DS + "enveloped-signature", "http://www.w3.org/2006/12/xml-c14n11")},
    "a transform with a child": {
        "transforms": f'<ds:Transforms><ds:Transform Algorithm="{DS}enveloped-signature"><x></x></ds:Transform>'
        "</ds:Transforms>"
    },
    "a parameter of inclusive C14N": {
        "transforms": f'<ds:Transforms>{ENVELOPED}<ds:Transform Algorithm="{C14N}"><ec:InclusiveNamespaces '
        f'xmlns:ec="{EXC}" PrefixList="a"></ec:InclusiveNamespaces></ds:Transform></ds:Transforms>'
    },
    "text between transforms": {"transforms": f"<ds:Transforms>{ENVELOPED}x{INCLUSIVE}</ds:Transforms>"},
    "a foreign element among the transforms": {"transforms": "<ds:Transforms><x></x></ds:Transforms>"},
    "no URI": {"uri": ""},
    "a reference by id": {"uri": ' URI="#a"'},
    "an XPointer to the root": {"uri": ' URI="#xpointer(/)"'},
    "a reference to a file": {"uri": ' URI="file:///etc/passwd"'},
    "a reference to the network": {"uri": ' URI="http://127.0.0.1:1/"'},
    "two references": {"references": Parts().reference() * 2},
    "no reference": {"references": ""},
    "something after the reference": {"info_extra": "<ds:Object></ds:Object>"},
    "text in SignedInfo": {"info_extra": "text"},
    "an unknown digest": {"digest_method": '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#md5"/>'},
    "HMAC": {"method": f'<ds:SignatureMethod Algorithm="{DS}hmac-sha1"></ds:SignatureMethod>'},
    "DSA": {"method": f'<ds:SignatureMethod Algorithm="{DS}dsa-sha1"></ds:SignatureMethod>'},
    "no algorithm": {"method": "<ds:SignatureMethod></ds:SignatureMethod>"},
    "a truncated HMAC": {
        "method": f'<ds:SignatureMethod Algorithm="{oracles.RSA["sha256"]}"><ds:HMACOutputLength>8'
        "</ds:HMACOutputLength></ds:SignatureMethod>"
    },
    "an unknown C14N of SignedInfo": {
        "info_method": '<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2010/xml-c14n2"></ds:CanonicalizationMethod>'
    },
    "a digest of other content": {"digested": b"<m>other</m>"},
    "a ds:Object": {"extra": "<ds:Object><m></m></ds:Object>"},
    "no KeyInfo": {"key_info": ""},
    "an empty KeyInfo": {"key_info": "<ds:KeyInfo></ds:KeyInfo>"},
    "a key name alone": {"key_info": "<ds:KeyInfo><ds:KeyName>k</ds:KeyName></ds:KeyInfo>"},
    "a certificate that is none": {
        "key_info": "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>AAAA</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
    },
    "a certificate that is not base64": {
        "key_info": "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>@</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
    },
    "an endless certificate": {
        "key_info": f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{'A' * 20_004}</ds:X509Certificate></ds:X509Data>"
        "</ds:KeyInfo>"
    },
    "an empty signature value": {"value": b"\0" * 256},
    "a short signature value": {"value": b"x"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_profile_does_not_know_is_refused(fault: str, company: SigningKey) -> None:
    with pytest.raises(SignatureError) as caught:
        xmldsig.verify(parsed(company, **FAULTS[fault]))
    assert caught.value.code == "S01"
    assert caught.value.apprec == "S01"


@pytest.mark.parametrize("place", ["<b>", "<ds:SignedInfo>"])
def test_a_namespace_that_cannot_be_canonicalised_breaks_the_signature(place: str, company: SigningKey) -> None:
    """libxml2 refuses the canonical form of a relative namespace; that is no error of its own."""
    signed = xmldsig.sign(xmlio.parse(b'<a xmlns="urn:a"><b/></a>'), company)
    relative = signed.replace(place.encode(), f'{place[:-1]} xmlns:z="relative">'.encode())
    assert relative != signed
    with pytest.raises(SignatureError):
        xmldsig.verify(xmlio.parse(relative))


def test_a_bare_key_value_is_nobody(company: SigningKey) -> None:
    numbers = company.private_key.public_key().public_numbers()
    modulus = b64encode(numbers.n.to_bytes(256, "big")).decode()
    value = f"<ds:Modulus>{modulus}</ds:Modulus><ds:Exponent>AQAB</ds:Exponent>"
    bare = f"<ds:KeyInfo><ds:KeyValue><ds:RSAKeyValue>{value}</ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>"
    with pytest.raises(SignatureError, match=r"X\.509"):
        xmldsig.verify(parsed(company, key_info=bare))


def test_a_key_value_beside_the_certificate_is_not_looked_at(company: SigningKey) -> None:
    beside = f"<ds:KeyInfo><ds:KeyName>k</ds:KeyName>{x509_data(company)}</ds:KeyInfo>"
    assert xmldsig.verify(parsed(company, key_info=beside)).certificate == company.certificate


def test_an_hmac_keyed_with_the_public_key_is_refused(company: SigningKey) -> None:
    public = company.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    method = '<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"></ds:SignatureMethod>'
    with pytest.raises(SignatureError, match="algorithm"):
        xmldsig.verify(parsed(company, method=method, value=public[:32]))


def test_the_signer_is_found_among_several_certificates(ca: DemoCa, company: SigningKey) -> None:
    other = ca.issue_company("Annen", "991825827")
    several = f"<ds:KeyInfo>{x509_data(other)}{x509_data(company)}</ds:KeyInfo>"
    verified = xmldsig.verify(parsed(company, key_info=several))
    assert verified.certificate == company.certificate
    assert verified.chain == (other.certificate,)


def test_a_certificate_of_another_key_did_not_sign(ca: DemoCa, company: SigningKey) -> None:
    other = ca.issue_company("Annen", "991825827")
    with pytest.raises(SignatureError):
        xmldsig.verify(parsed(company, key_info=f"<ds:KeyInfo>{x509_data(other)}</ds:KeyInfo>"))


def test_more_than_eight_certificates_are_refused(company: SigningKey) -> None:
    with pytest.raises(SignatureError, match="at most 8"):
        xmldsig.verify(parsed(company, key_info=f"<ds:KeyInfo>{x509_data(company) * 9}</ds:KeyInfo>"))


def test_a_short_rsa_key_is_refused(ca: DemoCa) -> None:
    weak = ca.issue_company("Svak", "974760673", key=new_key(1024))
    with pytest.raises(SignatureError):
        xmldsig.verify(parsed(weak))


def test_another_certificate_than_the_pinned_one_is_refused(ca: DemoCa, company: SigningKey) -> None:
    other = ca.issue_company("Annen", "991825827", key=company.private_key)
    assert xmldsig.verify(parsed(company), pinned=company.certificate)
    with pytest.raises(SignatureError, match="expected"):
        xmldsig.verify(parsed(company), pinned=other.certificate)


# --- wrapping ---------------------------------------------------------------------------------------------------------


def wrapped_documents(key: SigningKey) -> dict[str, bytes]:
    sign = signature(key, Parts()).encode()
    original = CONTENT[: -len("</m>")] + sign + b"</m>"
    evil, end = b"<a>999</a>", b"</ds:Signature>"
    kept = b"<ds:Object>" + CONTENT + b"</ds:Object>"
    return {
        "the signed document within a forged root": b"<m>" + evil + original + b"</m>",
        "the signed document within an extra child": b"<m>" + evil + b"<x>" + original + b"</x></m>",
        "the signature moved into a child": b"<m>" + evil + b"<x>" + sign + b"</x></m>",
        "the original kept in a ds:Object": b"<m>" + evil + sign.replace(end, kept + end) + b"</m>",
        "the original below the signature": b"<m>" + evil + sign.replace(end, CONTENT + end) + b"</m>",
        "two signatures, one of them sound": CONTENT[:-4] + sign + sign + b"</m>",
        "a second signature deep within": CONTENT[:-4] + sign + b"<x>" + sign + b"</x></m>",
        "a signature inside the signature": CONTENT[:-4]
        + sign.replace(b"</ds:KeyInfo>", sign + b"</ds:KeyInfo>")
        + b"</m>",
        "one more element": CONTENT[:-4] + evil + sign + b"</m>",
        "one element less": b"<m><a>1</a>" + sign + b"</m>",
        "one more attribute": b'<m x="1">' + CONTENT[3:-4] + sign + b"</m>",
        "one more namespace": b'<m xmlns:x="urn:x">' + CONTENT[3:-4] + sign + b"</m>",
        "text after the signature": CONTENT[:-4] + sign + b"text</m>",
        "a space after the signature": CONTENT[:-4] + sign + b" </m>",
        "elements swapped": b"<m><b>2</b><a>1</a>" + sign + b"</m>",
        "the root as the signature": sign,
    }


@pytest.mark.parametrize("name", list(wrapped_documents(DemoCa.create().issue_company("X", "974760673"))))
def test_a_wrapped_or_altered_document_is_refused(name: str, company: SigningKey) -> None:
    data = wrapped_documents(company)[name]
    with pytest.raises(SignatureError):
        xmldsig.verify(xmlio.parse(data))


def test_a_failed_verification_leaves_the_document_as_it_was(company: SigningKey) -> None:
    root = xmlio.parse(document(company).replace(b"<a>1", b"<a>7").replace(b"</ds:Signature>", b"</ds:Signature> x"))
    before = etree.tostring(root)
    with pytest.raises(SignatureError):
        xmldsig.verify(root)
    assert etree.tostring(root) == before


def test_the_place_of_the_signature_in_the_root_does_not_matter_but_the_text_after_it_counts(
    company: SigningKey,
) -> None:
    for place in (b"<m>", b"</a>"):
        content = b"<m> <a>1</a> <b>2</b></m>"
        sign = signature(company, Parts(content=content)).encode()
        at = content.index(place) + len(place)
        root = xmldsig.verify(xmlio.parse(content[:at] + sign + content[at:])).root
        assert xmlio.canonical(root) == content


def test_there_is_no_signature_in_an_unsigned_document() -> None:
    with pytest.raises(SignatureError) as caught:
        xmldsig.verify(xmlio.parse(CONTENT))
    assert caught.value.code == "S01.ABSENT"
    assert xmldsig.count_signatures(xmlio.parse(CONTENT)) == 0


def raw(data: bytes) -> etree._Element:
    """Parsed without our guards, as a caller might who keeps comments."""
    return etree.fromstring(data, etree.XMLParser(resolve_entities=False))


@pytest.mark.parametrize("place", [b"<a>1", b"<m>", b"<ds:DigestValue>"])
def test_a_processing_instruction_is_refused(place: bytes, company: SigningKey) -> None:
    with pytest.raises(SignatureError):
        xmldsig.verify(raw(document(company).replace(place, place + b"<?x y?>")))


@pytest.mark.parametrize("data", [b"<?x y?>%s", b"%s<?x y?>"])
def test_a_processing_instruction_beside_the_root_is_refused(data: bytes, company: SigningKey) -> None:
    with pytest.raises(SignatureError, match="instruction"):
        xmldsig.verify(raw(data % document(company)))


def test_a_document_type_is_refused(company: SigningKey) -> None:
    with pytest.raises(SignatureError, match="document type"):
        xmldsig.verify(raw(b"<!DOCTYPE m [<!ENTITY e 'x'>]>" + document(company)))


def test_comments_are_not_signed_and_cannot_cut_a_text_short(company: SigningKey) -> None:
    content = b"<m><a>pay 100</a></m>"
    data = (
        document(company, content=content).replace(b"pay 100", b"pay 1<!-- x -->00").replace(b"<m>", b"<!-- y --><m>")
    )
    root = xmldsig.verify(raw(data)).root
    assert root.findtext("a") == "pay 100"
    assert xmlio.canonical(root) == content


def test_sha1_counts_only_where_it_is_allowed_and_then_with_a_warning(company: SigningKey) -> None:
    data = document(company, hash_name="sha1")
    with pytest.raises(SignatureError, match="SHA-1"):
        xmldsig.verify(xmlio.parse(data))
    warnings = xmldsig.verify(xmlio.parse(data), allow_sha1=True).warnings
    assert [warning.rule for warning in warnings] == ["S01.SHA1"]
    assert not warnings[0].blocking


@pytest.mark.parametrize("name", ["sha384", "sha512"])
def test_longer_hashes_are_accepted(name: str, company: SigningKey) -> None:
    data = document(company, hash_name=name)
    assert xmldsig.verify(xmlio.parse(data)).warnings == ()
    oracles.judge(data, company.certificate, sound=True)


def test_exclusive_canonicalisation_gives_back_only_what_it_signed(company: SigningKey) -> None:
    """A namespace that exclusive C14N leaves out is not signed, so a reader must not see it."""
    info = f'<ds:CanonicalizationMethod Algorithm="{EXC}"></ds:CanonicalizationMethod>'
    data = document(company, transforms=transforms(DS + "enveloped-signature", EXC), info_method=info)
    forged = data.replace(b"<m>", b'<m xmlns:x="urn:forged">', 1)
    root = xmldsig.verify(xmlio.parse(forged)).root
    assert "x" not in root.nsmap
    assert xmlio.canonical(root) == CONTENT


def test_prefixes_that_exclusive_canonicalisation_must_include_are_signed(company: SigningKey) -> None:
    listed = (
        f'<ds:Transforms>{ENVELOPED}<ds:Transform Algorithm="{EXC}"><ec:InclusiveNamespaces xmlns:ec="{EXC}" '
        'PrefixList="x"></ec:InclusiveNamespaces></ds:Transform></ds:Transforms>'
    )
    info = f'<ds:CanonicalizationMethod Algorithm="{EXC}"></ds:CanonicalizationMethod>'
    content = b'<m xmlns:x="urn:x"><a></a></m>'
    data = document(company, content=content, transforms=listed, info_method=info)
    assert xmlio.canonical(xmldsig.verify(xmlio.parse(data)).root) == content
    oracles.judge(data, company.certificate, sound=True)
    with pytest.raises(SignatureError):
        xmldsig.verify(xmlio.parse(data.replace(b'"urn:x"', b'"urn:forged"')))


def test_no_message_content_is_in_the_words_of_an_error(company: SigningKey) -> None:
    secret = b"13116900216"
    for fault in FAULTS.values():
        with pytest.raises(SignatureError) as caught:
            xmldsig.verify(parsed(company, **{"content": b"<m><a>%s</a></m>" % secret, **fault}))
        assert secret.decode() not in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_single_changed_byte_goes_unseen(data: st.DataObject) -> None:
    key = _one_key()
    original = document(key)
    at = data.draw(st.integers(0, len(original) - 1))
    new = data.draw(st.integers(32, 126))
    changed = original[:at] + bytes([new]) + original[at + 1 :]
    try:
        verified = xmldsig.verify(raw(changed))
    except (SignatureError, etree.XMLSyntaxError):
        return
    assert xmlio.canonical(verified.root) == CONTENT
    # The certificate itself may differ: KeyInfo is not signed. Its own signature is what the chain is for.
    assert verified.certificate.public_key() == key.certificate.public_key()


_made: list[SigningKey] = []


def _one_key() -> SigningKey:
    if not _made:
        _made.append(DemoCa.create().issue_company("X", "974760673"))
    return _made[0]


# --- SignedInfo that is written alike and says otherwise --------------------------------------------------------------


def test_documents_of_one_sender_differ_in_their_digests_alone(company: SigningKey) -> None:
    """SignedInfo is kept by its text around the digest, so the digest of one document must not serve another."""
    first, second = (document(company, content=b"<m>%d</m>" % number) for number in (1, 2))
    for data in (first, second, first):
        assert xmldsig.verify(xmlio.parse(data))
    with pytest.raises(SignatureError, match="content"):
        xmldsig.verify(xmlio.parse(first.replace(b"<m>1", b"<m>2")))
    digest = first[first.index(b"<ds:DigestValue>") : first.index(b"</ds:DigestValue>")]
    other = second[second.index(b"<ds:DigestValue>") : second.index(b"</ds:DigestValue>")]
    with pytest.raises(SignatureError, match="value"):
        xmldsig.verify(xmlio.parse(second.replace(other, digest)))


@pytest.mark.parametrize("space", ["\n", " \t", "&#xD;\n"])
def test_a_digest_may_be_broken_into_lines(space: str, company: SigningKey) -> None:
    reference = Parts().reference().replace("<ds:DigestValue>", f"<ds:DigestValue>{space}")
    data = document(company, references=reference)
    assert xmldsig.verify(xmlio.parse(data)).certificate == company.certificate
    oracles.judge(data, company.certificate, sound=True)


def test_a_long_signed_info_is_read_like_a_short_one(company: SigningKey) -> None:
    data = document(company, info_extra=" " * 9_000)
    assert xmldsig.verify(xmlio.parse(data)).certificate == company.certificate


@pytest.mark.parametrize(
    "inside", ["<ds:DigestValue>AAAA<x></x></ds:DigestValue>", "<ds:DigestValue></ds:DigestValue>"]
)
def test_a_digest_is_text_and_not_empty(inside: str, company: SigningKey) -> None:
    reference = Parts().reference()
    begin = reference.index("<ds:DigestValue>")
    with pytest.raises(SignatureError):
        xmldsig.verify(parsed(company, references=reference[:begin] + inside + "</ds:Reference>"))
