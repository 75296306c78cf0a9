"""What is kept of one sender's Signature never changes how the next one is judged."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from adapter import xmlio
from adapter.errors import SignatureError
from adapter.security import profile, xmldsig
from adapter.security.demo_ca import DemoCa
from adapter.security.keys import SigningKey
from tests.security import oracles
from tests.security.handmade import CONTENT, Parts, certificate_text, document, x509_data
from tests.security.oracles import C14N, DS, EXC, Form
from tests.security.test_attacks import FAULTS

Judgement = tuple[object, ...]
ROOT = b'<m xmlns="urn:m" xmlns:x="urn:x" xml:lang="nb"><a>1</a></m>'
KEY_INFO = "<ds:KeyInfo><ds:KeyName>k</ds:KeyName>%s</ds:KeyInfo>"


@contextmanager
def without_templates() -> Iterator[None]:
    whole = profile._MAX_KEPT_BYTES
    profile._MAX_KEPT_BYTES = 0
    try:
        yield
    finally:
        profile._MAX_KEPT_BYTES = whole


def signature_of(data: bytes) -> etree._Element | None:
    """The first Signature of a document that is read without our guards; None for what is no XML."""
    try:
        root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, remove_comments=True, remove_pis=True))
    except etree.XMLSyntaxError:
        return None
    return next(root.iter(f"{{{DS}}}Signature"), None)


def judged(signature: etree._Element, allow_sha1: bool) -> Judgement:
    try:
        return tuple(profile.read_plan(signature, allow_sha1))
    except SignatureError as error:
        return error.code, error.text


def differs(data: bytes, allow_sha1: bool) -> bool:
    """True when a Signature is judged otherwise with templates (new, then kept) than by reading every part of it."""
    signature = signature_of(data)
    if signature is None:
        return False
    by_template = [judged(signature, allow_sha1) for _ in range(2)]
    with without_templates():
        return by_template != [judged(signature, allow_sha1)] * 2


def has_template(data: bytes) -> bool:
    signature = signature_of(data)
    assert signature is not None
    inherited = tuple(profile.inherited_by(signature))
    return profile._by_template(profile.written(signature), inherited) is not None


def in_lines(data: bytes, end: bytes) -> bytes:
    """The signature value, broken into lines as many signers do."""
    begin = data.index(b"SignatureValue>") + len(b"SignatureValue>")
    stop = data.index(b"<", begin)
    lines = [data[at : min(at + 64, stop)] for at in range(begin, stop, 64)]
    return data[:begin] + end + end.join(lines) + end + data[stop:]


def usual_signatures(key: SigningKey) -> dict[str, bytes]:
    """The forms that partners sign in, each by somebody's engine."""
    ours = xmldsig.sign_document(ROOT, key)
    found = {
        "ours": ours,
        "in lines": in_lines(ours, b"\n"),
        "in lines of Windows": in_lines(ours, b"\r\n"),
        "in lines of old Java": in_lines(ours, b"&#13;\n"),
        "signxml": oracles.sign_with_signxml(CONTENT, key, Form(info=EXC)),
        "SHA-512": document(key, hash_name="sha512"),
        "SHA-1": document(key, hash_name="sha1"),
        "with the chain": document(key, key_info=KEY_INFO % (x509_data(key) + x509_data(other_key()))),
    }
    if oracles.missing("python-xmlsec") is None:
        for prefix in ("ds", ""):
            found[f"xmlsec, '{prefix}'"] = oracles.sign_with_xmlsec(ROOT, key, Form(prefix=prefix))
            form = Form(prefix=prefix, info=EXC, content=EXC)
            found[f"xmlsec, exclusive, '{prefix}'"] = oracles.sign_with_xmlsec(ROOT, key, form)
    return found


_other: list[SigningKey] = []


def other_key() -> SigningKey:
    if not _other:
        _other.append(DemoCa.create().issue_company("Annen", "991825827"))
    return _other[0]


def test_the_usual_forms_are_read_by_a_template_and_read_the_same(company: SigningKey) -> None:
    for name, data in usual_signatures(company).items():
        assert has_template(data), name
        assert not differs(data, True), name
        assert xmldsig.verify(xmlio.parse(data), allow_sha1=True).certificate == company.certificate, name


def test_sha1_is_refused_by_a_kept_template_too(company: SigningKey) -> None:
    data = document(company, hash_name="sha1")
    assert xmldsig.verify(xmlio.parse(data), allow_sha1=True)
    assert not differs(data, False)
    with pytest.raises(SignatureError, match="SHA-1"):
        xmldsig.verify(xmlio.parse(data))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_signature_has_no_template(fault: str, company: SigningKey) -> None:
    data = document(company, **FAULTS[fault])
    assert not differs(data, False)
    signature = signature_of(data)
    assert signature is not None
    assert has_template(data) is isinstance(judged(signature, False)[0], bytes)


BYTES = [
    b"",
    b" ",
    b"\n",
    b"x",
    b"A",
    b"=",
    b"<",
    b">",
    b"&",
    b'"',
    b"/",
    b"&#13;",
    b"&#65;",
    "å".encode(),
    b"\xc2\xa0",
]
FRAGMENTS = [
    b"<x/>",
    b"<!-- c -->",
    b"<?p?>",
    b"<![CDATA[AAAA]]>",
    b"text",
    b' Id="DigestValue>AAAA"',
    b' Id="SignatureValue>AAAA"',
    b' xmlns:y="urn:y"',
    b' xml:lang="en"',
    b' Algorithm="%s"' % EXC.encode(),
    b'<ds:Object xmlns:ds="%s">x</ds:Object>' % DS.encode(),
    b'<ds:DigestValue xmlns:ds="%s">AAAA</ds:DigestValue>' % DS.encode(),
    b'<ds:SignatureValue xmlns:ds="%s">AAAA</ds:SignatureValue>' % DS.encode(),
    b"<DigestValue>AAAA</DigestValue>",
    *profile._STAND_INS,
    b"<ds:KeyInfo/>",
    b"URI",
    EXC.encode(),
    C14N.encode(),
]


def mutated(data: bytes, draw: random.Random) -> bytes:
    """The document with one to three changes within its Signature: bytes, fragments, parts moved or doubled."""
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        if b"Signature>" not in data:
            break
        begin, end = data.index(b"Signature"), data.rindex(b"Signature>")
        tags = [at for at in range(begin, end) if data[at : at + 1] in (b"<", b">")] or [begin]
        at = draw.choice([draw.randint(begin, end), draw.choice(tags), draw.choice(tags) + 1])
        kind = draw.randrange(4)
        if kind == 0:
            data = data[:at] + draw.choice(BYTES) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + draw.choice(BYTES + FRAGMENTS) + data[at:]
        elif kind == 2:
            data = data[:at] + data[max(draw.choice(tags), at) :]
        else:
            first, last = sorted([draw.choice(tags), draw.choice(tags)])
            data = data[:at] + data[first:last] + data[at:]
    return data


def mutants(data: bytes, draw: random.Random, count: int) -> Iterator[bytes]:
    """So many changed documents that are XML and still have a Signature."""
    while count:
        changed = mutated(data, draw)
        if signature_of(changed) is not None:
            count -= 1
            yield changed


@pytest.mark.slow
def test_a_mutated_signature_is_judged_the_same_with_and_without_templates(company: SigningKey) -> None:
    draw = random.Random(20261122)
    templates: list[bool] = []
    for data in usual_signatures(company).values():
        for changed in mutants(data, draw, 60):
            assert not differs(changed, draw.random() < 0.5), changed
            templates.append(has_template(changed))
    assert templates.count(True) > 100
    assert templates.count(False) > 300


@pytest.mark.parametrize("place", [' Id="%s" URI=""', ' URI="" Type="a&#10;%s"'])
@pytest.mark.parametrize("number", [0, 1])
def test_a_sender_who_writes_our_stand_ins_is_read_as_written(place: str, number: int, company: SigningKey) -> None:
    stand_in = profile._STAND_INS[number].decode()
    data = document(company, uri=place % stand_in)
    assert not has_template(data)
    assert not differs(data, False)
    named = document(company, key_info=KEY_INFO % f"<ds:KeyName>{stand_in}</ds:KeyName>{x509_data(company)}")
    assert not has_template(named)
    assert xmldsig.verify(xmlio.parse(named)).certificate == company.certificate


def test_a_value_that_is_a_stand_in_is_taken_for_itself(company: SigningKey) -> None:
    digest = profile._STAND_INS[0].decode() + "AAA="
    method = f'<ds:DigestMethod Algorithm="{oracles.HASH["sha256"]}"></ds:DigestMethod>'
    inside = f"{Parts().transforms}{method}<ds:DigestValue>{digest}</ds:DigestValue>"
    data = document(company, references=f'<ds:Reference URI="">{inside}</ds:Reference>')
    assert not differs(data, False)
    with pytest.raises(SignatureError, match="not what was signed"):
        xmldsig.verify(xmlio.parse(data))


def test_the_xml_attributes_around_a_signature_are_part_of_its_template(company: SigningKey) -> None:
    signed = xmldsig.sign_document(ROOT, company)
    for lang in (b"nb", b"nn", b"nb"):
        data = signed.replace(b'xml:lang="nb"', b'xml:lang="%s"' % lang)
        assert not differs(data, False)
        if lang == b"nb":
            assert xmldsig.verify(xmlio.parse(data))
        else:
            with pytest.raises(SignatureError, match="value"):
                xmldsig.verify(xmlio.parse(data))


def test_another_certificate_in_the_same_form_is_another_template(company: SigningKey) -> None:
    signed = document(company)
    assert xmldsig.verify(xmlio.parse(signed))
    swapped = signed.replace(certificate_text(company).encode(), certificate_text(other_key()).encode())
    assert not differs(swapped, False)
    with pytest.raises(SignatureError, match="value"):
        xmldsig.verify(xmlio.parse(swapped))


def test_certificates_are_the_same_by_what_they_are_and_not_by_where(company: SigningKey) -> None:
    """Each is read anew and dropped, so that places in memory are taken again by the other one."""
    pair = [company.certificate, other_key().certificate]
    written = [certificate.public_bytes(Encoding.DER) for certificate in pair]
    for number in range(3 * profile._MAX_ALIKE):
        mine = number % 2
        fresh = x509.load_der_x509_certificate(written[mine])
        assert profile.is_same(fresh, pair[mine])
        assert not profile.is_same(fresh, pair[1 - mine])
        del fresh
    assert len(profile._alike) <= profile._MAX_ALIKE
