"""Envelope signatures that must not be believed. In nearly all of them the RSA value is right, its subject is not."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter import xmlio
from adapter.errors import EnvelopeSignatureError, UnreadableError
from adapter.security.demo_ca import DemoCa, new_key
from adapter.security.envelope_profile import MAX_REFERENCES, NEXT, XPATH
from adapter.security.envelope_signature import sign_envelope, verify_envelope
from adapter.security.keys import SigningKey
from tests.security.envelopes import (
    EXPRESSION,
    GOOD,
    MANIFEST,
    MESSAGE_HEADER,
    NAMESPACES,
    PART,
    SYNC_REPLY,
    Envelope,
    unsigned,
    xpath,
)
from tests.security.handmade import ENVELOPED, INCLUSIVE, certificate_text, x509_data
from tests.security.oracles import C14N, DS, EXC, MORE, RSA


def refused(text: str | bytes, parts: dict[str, bytes] | None = None, **more: object) -> EnvelopeSignatureError:
    octets = text.encode() if isinstance(text, str) else text
    with pytest.raises(EnvelopeSignatureError) as caught:
        verify_envelope(xmlio.parse(octets), PART if parts is None else parts, **more)  # type: ignore[arg-type]
    assert caught.value.apprec is None
    return caught.value


def step(name: str, inside: str = "") -> str:
    return f'<ds:Transform Algorithm="{name}">{inside}</ds:Transform>'


def steps(*some: str) -> str:
    return f"<ds:Transforms>{''.join(some)}</ds:Transforms>"


def x509_key_info(text: str) -> str:
    return f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{text}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"


OTHER_XPATH = EXPRESSION.replace(NEXT, "urn:anybody")
FAULTS: dict[str, tuple[str, dict[str, object]]] = {
    "no transforms element": ("38", {"transforms": ""}),
    "no transform": ("38", {"transforms": steps()}),
    "four transforms": ("38", {"transforms": steps(ENVELOPED, xpath(), INCLUSIVE, INCLUSIVE)}),
    "no enveloped-signature": ("37", {"transforms": steps(xpath(), INCLUSIVE)}),
    "enveloped-signature twice": ("38", {"transforms": steps(ENVELOPED, ENVELOPED, INCLUSIVE)}),
    "XPath twice": ("38", {"transforms": steps(ENVELOPED, xpath(), xpath())}),
    "C14N before the rest": ("35", {"transforms": steps(INCLUSIVE, ENVELOPED)}),
    "C14N twice": ("35", {"transforms": steps(ENVELOPED, INCLUSIVE, INCLUSIVE)}),
    "C14N 1.1": ("38", {"transforms": steps(ENVELOPED, step("http://www.w3.org/2006/12/xml-c14n11"))}),
    "XSLT": ("38", {"transforms": steps(ENVELOPED, step("http://www.w3.org/TR/1999/REC-xslt-19991116"))}),
    "XPath Filter 2": ("38", {"transforms": steps(ENVELOPED, step("http://www.w3.org/2002/06/xmldsig-filter2"))}),
    "base64": ("38", {"transforms": steps(ENVELOPED, step(DS + "base64"))}),
    "another XPath": ("36", {"transforms": steps(ENVELOPED, xpath("self::text()"), INCLUSIVE)}),
    "an XPath that selects nothing": ("36", {"transforms": steps(ENVELOPED, xpath("false()"), INCLUSIVE)}),
    "another actor in the XPath": ("36", {"transforms": steps(ENVELOPED, xpath(OTHER_XPATH), INCLUSIVE)}),
    "one actor twice": (
        "36",
        {"transforms": steps(ENVELOPED, xpath(EXPRESSION.replace("urn:oasis:names:tc:ebxml-msg:actor:nextMSH", NEXT)))},
    ),
    "an XPath with more": ("36", {"transforms": steps(ENVELOPED, xpath(f"{EXPRESSION} and true()"), INCLUSIVE)}),
    "or for the union": ("36", {"transforms": steps(ENVELOPED, xpath(EXPRESSION.replace("|", "or")), INCLUSIVE)}),
    "an endless XPath": ("36", {"transforms": steps(ENVELOPED, xpath(EXPRESSION + " " * 1000), INCLUSIVE)}),
    "a prefix that is not SOAP": (
        "36",
        {"transforms": steps(ENVELOPED, xpath(EXPRESSION.replace("@SOAP:", "@eb:")), INCLUSIVE)},
    ),
    "a prefix declared anew": (
        "36",
        {"transforms": steps(ENVELOPED, xpath(EXPRESSION, ' xmlns:SOAP="urn:other"'), INCLUSIVE)},
    ),
    "an undeclared prefix": (
        "36",
        {"transforms": steps(ENVELOPED, xpath(EXPRESSION.replace("@SOAP:", "@none:")), INCLUSIVE)},
    ),
    "elements in the XPath": ("36", {"transforms": steps(ENVELOPED, xpath(EXPRESSION + "<x></x>"), INCLUSIVE)}),
    "two XPaths in one transform": (
        "38",
        {"transforms": steps(ENVELOPED, step(XPATH, "<ds:XPath></ds:XPath><ds:XPath></ds:XPath>"), INCLUSIVE)},
    ),
    "a parameter of inclusive C14N": (
        "38",
        {
            "transforms": steps(
                ENVELOPED, step(C14N, f'<e:InclusiveNamespaces xmlns:e="{EXC}"></e:InclusiveNamespaces>')
            )
        },
    ),
    "text between transforms": ("38", {"transforms": f"<ds:Transforms>{ENVELOPED}x{INCLUSIVE}</ds:Transforms>"}),
    "no URI": ("85", {"root_uri": ""}),
    "a reference by id": ("34", {"root_uri": ' URI="#a"'}),
    "a file": ("34", {"root_uri": ' URI="file:///etc/passwd"'}),
    "the network": ("34", {"root_uri": ' URI="http://127.0.0.1:1/"'}),
    "no reference to the envelope": ("40", {"root_reference": ""}),
    "no reference at all": ("39", {"root_reference": "", "part_references": ""}),
    "an empty cid": ("34", {"part_references": GOOD.part_reference("", b"")}),
    "a part twice": ("50", {"part_references": GOOD.part_reference("part@test", PART["part@test"]) * 2}),
    "too many references": (
        "39",
        {"part_references": GOOD.part_reference("a", b"") * (MAX_REFERENCES + 1)},
    ),
    "a transformed part": (
        "50",
        {
            "part_references": GOOD.part_reference("part@test", PART["part@test"]).replace(
                "<ds:DigestMethod", f"{steps(INCLUSIVE)}<ds:DigestMethod"
            )
        },
    ),
    "MD5": ("33", {"digest_method": f'<ds:DigestMethod Algorithm="{MORE}md5"></ds:DigestMethod>'}),
    "SHA-384, which partners do not agree on": ("84", {"hash_name": "sha384"}),
    "no digest algorithm": ("33", {"digest_method": "<ds:DigestMethod></ds:DigestMethod>"}),
    "HMAC": ("84", {"method": f'<ds:SignatureMethod Algorithm="{DS}hmac-sha1"></ds:SignatureMethod>'}),
    "DSA": ("84", {"method": f'<ds:SignatureMethod Algorithm="{DS}dsa-sha1"></ds:SignatureMethod>'}),
    "RSA-PSS": (
        "84",
        {
            "method": '<ds:SignatureMethod Algorithm="http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1">'
            "</ds:SignatureMethod>"
        },
    ),
    "a length of HMAC": (
        "84",
        {
            "method": f'<ds:SignatureMethod Algorithm="{RSA["sha256"]}"><ds:HMACOutputLength>8</ds:HMACOutputLength>'
            "</ds:SignatureMethod>"
        },
    ),
    "an unknown C14N of SignedInfo": (
        "50",
        {"info_method": '<ds:CanonicalizationMethod Algorithm="urn:x"></ds:CanonicalizationMethod>'},
    ),
    "a ds:Object": ("50", {"extra": "<ds:Object><x></x></ds:Object>"}),
    "no KeyInfo": ("32", {"key_info": ""}),
    "an empty KeyInfo": ("41", {"key_info": "<ds:KeyInfo></ds:KeyInfo>"}),
    "a key name alone": ("41", {"key_info": "<ds:KeyInfo><ds:KeyName>k</ds:KeyName></ds:KeyInfo>"}),
    "X509Data without a certificate": ("46", {"key_info": "<ds:KeyInfo><ds:X509Data></ds:X509Data></ds:KeyInfo>"}),
    "a certificate that is none": (
        "46",
        {"key_info": x509_key_info("AAAA")},
    ),
    "a digest of another envelope": ("50", {"digested": "<other></other>"}),
    "a digest of other octets": ("50", {"parts": {"part@test": b"other"}}),
    "zeros for a value": ("50", {"value": b"\0" * 256}),
    "a short value": ("50", {"value": b"x"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_profile_does_not_know_is_refused_with_its_rule(fault: str, company: SigningKey) -> None:
    rule, changes = FAULTS[fault]
    assert refused(GOOD.signed(company, **changes)).rule == rule


def test_the_good_one_of_these_is_good(company: SigningKey) -> None:
    assert verify_envelope(GOOD.parsed(company), PART).covered == ("", "cid:part@test")


@pytest.mark.parametrize(("name", "rule"), [("SignedInfo", "363"), ("SignatureValue", "42"), ("KeyInfo", "32")])
def test_a_signature_without_one_of_its_parts_is_refused(company: SigningKey, name: str, rule: str) -> None:
    text = GOOD.signed(company)
    begin, end = text.index(f"<ds:{name}>"), text.index(f"</ds:{name}>") + len(f"</ds:{name}>")
    assert refused(text[:begin] + text[end:]).rule == rule


def test_no_signature_is_told_apart() -> None:
    error = refused(Envelope().content())
    assert (error.rule, error.uncovered) == ("45", ("",))


def test_two_certificates_leave_open_who_signed(company: SigningKey, person: SigningKey) -> None:
    both = x509_data(company).replace("</ds:X509Data>", "") + x509_data(person).replace("<ds:X509Data>", "")
    for data in (both, x509_data(company) + x509_data(person)):
        assert refused(GOOD.signed(company, key_info=f"<ds:KeyInfo>{data}</ds:KeyInfo>")).rule == "65"


def test_a_key_value_beside_the_certificate_is_not_looked_at(company: SigningKey) -> None:
    value = "<ds:KeyValue><ds:RSAKeyValue></ds:RSAKeyValue></ds:KeyValue>"
    root = GOOD.parsed(company, key_info=f"<ds:KeyInfo>{value}{x509_data(company)}</ds:KeyInfo>")
    assert verify_envelope(root, PART).certificate == company.certificate


def test_a_swapped_certificate_is_refused(company: SigningKey, ca: DemoCa) -> None:
    other = ca.issue_company("En annen", "974760673", key=new_key())
    text = GOOD.signed(company).replace(certificate_text(company), certificate_text(other))
    assert refused(text).rule == "50"
    assert refused(text, pinned=company.certificate).rule == "44"


def test_a_weak_key_is_nobodys(ca: DemoCa) -> None:
    weak = ca.issue_company("Svak", "974760673", key=new_key(1024))
    assert refused(GOOD.signed(weak)).rule == "50"


# --- parts ------------------------------------------------------------------------------------------------------------


def test_a_part_that_nobody_signed_is_refused(company: SigningKey) -> None:
    error = refused(GOOD.signed(company), {**PART, "extra@test": b"x"})
    assert (error.rule, error.uncovered) == ("EB3", ("cid:extra@test",))
    assert refused(GOOD.signed(company, part_references="")).uncovered == ("cid:part@test",)


def test_a_part_under_another_name_is_refused(company: SigningKey) -> None:
    error = refused(GOOD.signed(company), {"Part@test": PART["part@test"]})
    assert (error.rule, error.uncovered) == ("EB3", ("cid:Part@test",))


def test_swapped_parts_are_refused(company: SigningKey) -> None:
    parts = {"a": b"first", "b": b"second"}
    text = GOOD.signed(company, parts=parts)
    assert verify_envelope(xmlio.parse(text.encode()), parts).covered == ("", "cid:a", "cid:b")
    assert refused(text, {"a": b"second", "b": b"first"}).uncovered == ("cid:a",)


@pytest.mark.parametrize("octets", [b"", b"0\x82ciphertext\n\0", b"0\x82ciphertext\r\n\0\n", b"0\x82ciphertext\r\n"])
def test_every_octet_of_a_part_counts(company: SigningKey, octets: bytes) -> None:
    assert refused(GOOD.signed(company), {"part@test": octets}).rule == "50"


def test_two_names_for_one_part_are_refused(company: SigningKey) -> None:
    twice = GOOD.part_reference("part@test", PART["part@test"]) + GOOD.part_reference("part%40test", PART["part@test"])
    assert refused(GOOD.signed(company, part_references=twice)).uncovered == ("cid:part%40test",)


def test_sha1_for_one_part_alone_is_sha1(company: SigningKey) -> None:
    weak = replace(GOOD, hash_name="sha1").part_reference("part@test", PART["part@test"])
    text = GOOD.signed(company, part_references=weak)
    assert refused(text).rule == "84"
    assert verify_envelope(xmlio.parse(text.encode()), PART, allow_sha1=True).sha1


# --- wrapping ---------------------------------------------------------------------------------------------------------


def wrapped(company: SigningKey, text: str) -> str:
    """A sound envelope's Signature, and another message around it."""
    sound = GOOD.signed(company)
    signature = sound[sound.index("<ds:Signature ") : sound.index("</ds:Signature>") + len("</ds:Signature>")]
    evil = MESSAGE_HEADER.replace("S-X", "S-EVIL")
    bare = sound.replace(signature, "")
    return text.format(NAMESPACES=NAMESPACES, signature=signature, evil=evil, sound=sound, bare=bare, body=MANIFEST)


WRAPPINGS = {
    "the sound one in the Body": "<SOAP:Envelope{NAMESPACES}><SOAP:Header>{evil}</SOAP:Header>"
    "<SOAP:Body>{sound}</SOAP:Body></SOAP:Envelope>",
    "the signature kept, the sound one in the Body": "<SOAP:Envelope{NAMESPACES}><SOAP:Header>{evil}{signature}"
    "</SOAP:Header><SOAP:Body>{bare}</SOAP:Body></SOAP:Envelope>",
    "the sound one in the Header": "<SOAP:Envelope{NAMESPACES}><SOAP:Header>{sound}{evil}</SOAP:Header>"
    "<SOAP:Body>{body}</SOAP:Body></SOAP:Envelope>",
    "a second Header before": "<SOAP:Envelope{NAMESPACES}><SOAP:Header>{evil}</SOAP:Header>"
    "<SOAP:Header>{evil}{signature}</SOAP:Header><SOAP:Body>{body}</SOAP:Body></SOAP:Envelope>",
    "a second Header after": "<SOAP:Envelope{NAMESPACES}><SOAP:Header>{evil}{signature}</SOAP:Header>"
    "<SOAP:Header>{evil}</SOAP:Header><SOAP:Body>{body}</SOAP:Body></SOAP:Envelope>",
    "the Body first": "<SOAP:Envelope{NAMESPACES}><SOAP:Body>{body}</SOAP:Body><SOAP:Header>{evil}{signature}"
    "</SOAP:Header></SOAP:Envelope>",
    "the signature in the Body": "<SOAP:Envelope{NAMESPACES}><SOAP:Header>{evil}</SOAP:Header>"
    "<SOAP:Body>{body}{signature}</SOAP:Body></SOAP:Envelope>",
    "the signature deeper in the Header": "<SOAP:Envelope{NAMESPACES}><SOAP:Header><x>{signature}</x>{evil}"
    "</SOAP:Header><SOAP:Body>{body}</SOAP:Body></SOAP:Envelope>",
    "two signatures": "<SOAP:Envelope{NAMESPACES}><SOAP:Header>{evil}{signature}{signature}</SOAP:Header>"
    "<SOAP:Body>{body}</SOAP:Body></SOAP:Envelope>",
    "another message around": "<SOAP:Envelope{NAMESPACES}><SOAP:Header>{evil}{signature}</SOAP:Header>"
    "<SOAP:Body>{body}</SOAP:Body></SOAP:Envelope>",
    "another root": "<Envelope{NAMESPACES}><SOAP:Header>{evil}{signature}</SOAP:Header></Envelope>",
    "the sound one as an ds:Object": "<SOAP:Envelope{NAMESPACES}><SOAP:Header>{evil}{signature}</SOAP:Header>"
    '<SOAP:Body><ds:Object xmlns:ds="' + DS + '">{sound}</ds:Object></SOAP:Body></SOAP:Envelope>',
}


@pytest.mark.parametrize("kind", WRAPPINGS)
def test_a_sound_signature_about_another_message_is_refused(kind: str, company: SigningKey) -> None:
    assert refused(wrapped(company, WRAPPINGS[kind])).rule in ("45", "50", "52")


def test_a_signature_by_its_own_word_cannot_hide_content(company: SigningKey) -> None:
    """Whatever is put into the Signature is left out of the digest: so nothing may be put into it."""
    text = GOOD.signed(company)
    for place in ("</ds:SignatureValue>", "</ds:KeyInfo>", "<ds:SignedInfo>"):
        assert refused(text.replace(place, f"{place}{MESSAGE_HEADER}")).rule == "50"
    hidden = text.replace("<ds:X509Data>", f"{MESSAGE_HEADER}<ds:X509Data>")  # KeyInfo may hold other words …
    found = verify_envelope(xmlio.parse(hidden.encode()), PART)
    assert found.octets.count(b"MessageHeader") == 2  # … which are not part of what is given back


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("S-X", "S-Y"),
        ('mustUnderstand="1"', 'mustUnderstand="0"'),
        ("</SOAP:Body>", " </SOAP:Body>"),
        ("<SOAP:Body>", "<SOAP:Body a=''>"),
        ("</SOAP:Header>", "<eb:MessageHeader/></SOAP:Header>"),
        (NAMESPACES, NAMESPACES + ' xmlns:a="urn:a"'),
        ("cid:part@test</", "cid:other</"),
    ],
)
def test_any_change_of_the_envelope_is_seen(company: SigningKey, old: str, new: str) -> None:
    text = GOOD.signed(company)
    changed = text.replace(old, new, 1)
    if changed == text:
        changed = text.replace('href="cid:part@test"', 'href="cid:other"')
    assert refused(changed).rule == "50"


def test_a_comment_does_not_split_what_is_read(company: SigningKey) -> None:
    text = GOOD.signed(company).replace("S-X", "S-<!-- S-EVIL -->X")
    found = verify_envelope(xmlio.parse(text.encode()), PART)
    assert b"<eb:Service>S-X</eb:Service>" in found.octets


def test_a_doctype_or_an_instruction_is_never_parsed(company: SigningKey) -> None:
    for before in ('<!DOCTYPE a [<!ENTITY x "y">]>', "<?x y?>"):
        with pytest.raises(UnreadableError):
            xmlio.parse((before + GOOD.signed(company)).encode())


# --- anything at all --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(company: SigningKey) -> bytes:
    return sign_envelope(unsigned(MESSAGE_HEADER + SYNC_REPLY), company, PART)


@settings(max_examples=250, deadline=500, derandomize=True)
@given(at=st.integers(0, 10_000), octet=st.integers(0, 255), kind=st.sampled_from(["set", "cut", "put"]))
def test_no_changed_octet_gives_other_content(sound: bytes, at: int, octet: int, kind: str) -> None:
    honest = verify_envelope(xmlio.parse(sound), PART).octets
    spoiled = bytearray(sound)
    at %= len(spoiled)
    if kind == "set":
        spoiled[at] = octet
    elif kind == "cut":
        del spoiled[at : at + 1 + octet % 8]
    else:
        spoiled[at:at] = bytes([octet])
    try:
        found = verify_envelope(xmlio.parse(bytes(spoiled)), PART)
    except (EnvelopeSignatureError, UnreadableError):
        return
    assert found.octets == honest


@pytest.mark.cost
def test_many_references_are_refused_at_once(company: SigningKey) -> None:
    text = GOOD.signed(company, part_references=GOOD.part_reference("a", b"") * 3_000)
    root = xmlio.parse(text.encode())
    begin = time.process_time()
    with pytest.raises(EnvelopeSignatureError):
        verify_envelope(root, PART)
    assert time.process_time() - begin < 0.3


@pytest.mark.cost
def test_many_blocks_for_the_next_hop_cost_little(company: SigningKey) -> None:
    block = f'<x:a xmlns:x="urn:x" SOAP:actor="{NEXT}"></x:a>'
    root = GOOD.parsed(company, unsigned=block * 10_000)
    begin = time.process_time()
    assert len(verify_envelope(root, PART).left_out) == 10_000
    assert time.process_time() - begin < 1.0
    nested = f'<x:a xmlns:x="urn:x" SOAP:actor="{NEXT}">' + f'<x:b SOAP:actor="{NEXT}"></x:b>' * 10_000 + "</x:a>"
    begin = time.process_time()
    assert refused(GOOD.signed(company, unsigned=nested)).uncovered == ("",)
    assert time.process_time() - begin < 1.0
