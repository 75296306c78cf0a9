"""What we sign, everybody accepts; what others sign in the usual forms, we accept."""

from __future__ import annotations

import base64
import itertools
import os

import pytest
from lxml import etree

from adapter import xmlio
from adapter.errors import InputError, SignatureError, UnreadableError
from adapter.security import content, xmldsig
from adapter.security.keys import SigningKey
from tests.security import oracles
from tests.security.oracles import C14N, EXC, Form

DS = oracles.DS.encode()
DOCUMENTS: dict[str, bytes] = {
    "a default namespace": b'<m xmlns="urn:m"><a>x</a></m>',
    "prefixes": b'<p:m xmlns:p="urn:m" xmlns:q="urn:q" xmlns:a="urn:a"><q:a p:x="1" y="2">x</q:a></p:m>',
    "no namespace": b'<m><a xmlns="urn:a"><b xmlns=""/></a></m>',
    "an emptied default namespace": b'<m xmlns="urn:m"><a xmlns=""><b/></a></m>',
    "xml: attributes": b'<m xmlns="urn:m" xml:lang="nb" xml:space="preserve" xml:id="i1" xml:base="http://x/&amp;y&#9;">'
    b'<a xml:lang="en">x</a></m>',
    "comments": b'<?xml version="1.0"?>\n<!-- a --><m xmlns="urn:m"><!-- b --><a>pay 1<!-- c -->00</a></m><!-- d -->',
    "carriage returns": b'<m xmlns="urn:m" a="x&#13;&#10;&#9;&quot;y"><a>x&#13;\r\ny</a></m>',
    "ISO-8859-1": '<?xml version="1.0" encoding="ISO-8859-1"?><m xmlns="urn:m"><a>blå</a></m>'.encode("latin-1"),
    "letters from afar": '<m xmlns="urn:m"><a>\U0001f600 ŧest &lt;&gt;&amp;</a></m>'.encode(),
    "CDATA": b'<m xmlns="urn:m"><a><![CDATA[<x>&]]></a></m>',
    "the ds: prefix declared above": b'<m xmlns="urn:m" xmlns:ds="%s"><a/></m>' % DS,
    "the ds: prefix for something else": b'<m xmlns="urn:m" xmlns:ds="urn:other"><ds:a/></m>',
    "space around": b'\n<m xmlns="urn:m">\n  <a/>\n</m>\n',
}
FORMS = [
    Form(prefix=prefix, info=info, content=content, digest=digest)
    for prefix, info, content, digest in [
        *itertools.product(["ds", ""], [C14N, EXC], ["", C14N, EXC], ["sha256"]),
        ("", C14N, C14N, "sha384"),
        ("ds", C14N, "", "sha512"),
    ]
]

# (signer, document, what the form has) where the signer itself makes a signature that nobody accepts, and why.
KNOWN_BAD = {
    ("signxml", "xml: attributes", C14N): "signs SignedInfo without the xml: attributes that inclusive C14N inherits",
    ("signxml", "the ds: prefix declared above", ""): "leaves the Signature out when it is to have no prefix",
}

# All forms for the documents in which namespaces matter most, the two usual ones for the rest.
FULLY = {"an emptied default namespace", "xml: attributes", "the ds: prefix declared above"}
USUAL = [Form(prefix="ds", content=C14N), Form(prefix="")]


def is_known_bad(signer: str, name: str, form: Form) -> bool:
    return (signer, name, form.info) in KNOWN_BAD or (signer, name, form.prefix) in KNOWN_BAD


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_witness_accepts_what_we_sign(name: str, company: SigningKey) -> None:
    signed = xmldsig.sign(xmlio.parse(DOCUMENTS[name]), company)
    verified = xmldsig.verify(xmlio.parse(signed))
    assert verified.certificate == company.certificate
    assert verified.covered == "/m"
    assert verified.warnings == ()
    assert xmlio.canonical(verified.root) == xmlio.canonical(xmlio.parse(DOCUMENTS[name]))
    assert oracles.judge(signed, company.certificate, sound=True, case=name)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_leaves_is_a_declaration_and_the_canonical_form(name: str, company: SigningKey) -> None:
    declaration, rest = xmldsig.sign(xmlio.parse(DOCUMENTS[name]), company).split(b"\n", 1)
    assert declaration == b'<?xml version="1.0" encoding="UTF-8"?>'
    assert rest == xmlio.canonical(xmlio.parse(rest))


@pytest.mark.parametrize("signer", oracles.SIGNERS)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_signatures_by_others_are_accepted_in_every_form(name: str, signer: str, company: SigningKey) -> None:
    if reason := oracles.missing(signer):
        pytest.skip(reason)
    for form in FORMS if name in FULLY else USUAL:
        if signer == "signxml" and form.content:
            continue  # it always states the C14N of SignedInfo for the content, too
        signed = oracles.SIGNERS[signer](DOCUMENTS[name], company, form)
        bad = is_known_bad(signer, name, form)
        if bad:
            with pytest.raises(SignatureError):
                xmldsig.verify(xmlio.parse(signed))
        else:
            assert xmldsig.verify(xmlio.parse(signed)).certificate == company.certificate, form
        for witness in ("signxml", "python-xmlsec", "santuario"):
            if oracles.missing(witness) is None:
                assert oracles.WITNESSES[witness](signed, company.certificate) is not bad, (witness, form)


@pytest.mark.parametrize("signer", ["python-xmlsec", "santuario"])
def test_the_xmlsec1_program_agrees_on_signatures_by_others(signer: str, company: SigningKey) -> None:
    for needed in (signer, "xmlsec1"):
        if reason := oracles.missing(needed):
            pytest.skip(reason)
    for name in ("an emptied default namespace", "xml: attributes"):
        signed = oracles.SIGNERS[signer](DOCUMENTS[name], company, Form(prefix=""))
        assert oracles.by_xmlsec1(signed, company.certificate)
        assert xmldsig.verify(xmlio.parse(signed)).certificate == company.certificate


@pytest.mark.parametrize("name", ["a default namespace", "carriage returns"])
def test_every_witness_sees_an_alteration(name: str, company: SigningKey) -> None:
    signed = xmldsig.sign(xmlio.parse(DOCUMENTS[name]), company).replace(b"<a>x", b"<a>y")
    with pytest.raises(SignatureError):
        xmldsig.verify(xmlio.parse(signed))
    assert oracles.judge(signed, company.certificate, sound=False)


def test_plain_signxml_rejects_the_form_without_prefix_and_ours_does_not(company: SigningKey) -> None:
    """Why there is an engine of our own: signxml alone refuses a sound signature in .NET's usual form."""
    from signxml.exceptions import InvalidSignature

    signed = oracles.sign_with_signxml(DOCUMENTS["a default namespace"], company, Form(prefix="", info=EXC))
    assert oracles.verify_with_signxml(signed, company.certificate) is None
    if reason := oracles.missing("python-xmlsec"):
        pytest.skip(reason)
    signed = oracles.sign_with_xmlsec(DOCUMENTS["a default namespace"], company, Form(prefix=""))
    with pytest.raises(InvalidSignature):
        oracles.verify_with_signxml(signed, company.certificate)
    assert xmldsig.verify(xmlio.parse(signed))


# --- attachments ------------------------------------------------------------------------------------------------------

BOX = b'<m xmlns="urn:m" xmlns:b="http://www.kith.no/xmlstds/base64container"><d><b:Base64Container>%s</b:Base64Container></d></m>'


def test_attachments_take_the_places_of_their_markers(company: SigningKey) -> None:
    pieces = [os.urandom(100_000), b"", os.urandom(7)]
    root = xmlio.parse(b"<m><a>MARK0</a><a>MARK1</a><a>MARK2</a></m>")
    signed = xmldsig.sign(root, company, markers=[b"MARK0", b"MARK1", b"MARK2"], pieces=pieces)
    verified = xmldsig.verify(xmlio.parse(signed)).root
    assert [base64.b64decode(found.text or "") for found in verified] == pieces
    assert root.findtext("a") == "MARK0"
    oracles.judge(signed, company.certificate, sound=True)


@pytest.mark.parametrize(
    ("document", "markers"),
    [(b"<m>A</m>", [b"B"]), (b"<m>AA</m>", [b"A"]), (b"<m>AB</m>", [b"B", b"A"]), (b"<m>A</m>", [b"A", b"A"])],
)
def test_a_marker_must_be_there_once_and_in_order(document: bytes, markers: list[bytes], company: SigningKey) -> None:
    with pytest.raises(InputError, match=r"SIGN\.MARKER"):
        xmldsig.sign(xmlio.parse(document), company, markers=markers, pieces=[b"x"] * len(markers))


def test_there_is_a_piece_for_each_marker(company: SigningKey) -> None:
    with pytest.raises(InputError, match=r"SIGN\.MARKER"):
        xmldsig.sign(xmlio.parse(b"<m>A</m>"), company, markers=[b"A"])


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(os.urandom(90_000)),
        base64.encodebytes(os.urandom(90_000)),
        base64.encodebytes(os.urandom(90_000)).replace(b"\n", b"\r\n"),
        base64.b64encode(os.urandom(90_000)) + b"\n",
        b" " + base64.b64encode(os.urandom(90_000)),
        b"A" * 80_000 + b"&#13;" + b"A" * 80_000,
        b"A" * 80_000 + b"<!-- x -->" + b"A" * 80_000,
        b"<![CDATA[" + b"A" * 80_000 + b"]]>",
        "å".encode() * 80_000,
        b"A" * 80_001,
    ],
)
def test_a_finished_document_is_signed_as_its_tree_would_be(text: bytes, company: SigningKey) -> None:
    """RSA PKCS#1 v1.5 has no randomness, so both ways must give the same bytes."""
    data = BOX % text
    signed = xmldsig.sign_document(data, company)
    assert signed == xmldsig.sign(xmlio.parse(data), company)
    assert xmldsig.verify(xmlio.parse(signed)).certificate == company.certificate
    oracles.judge(signed, company.certificate, sound=True)


def test_twenty_megabytes_are_signed_and_verified_and_others_agree(company: SigningKey) -> None:
    signed = xmldsig.sign_document(BOX % base64.b64encode(os.urandom(15_000_000)), company)
    assert xmldsig.verify(xmlio.parse(signed)).covered == "/m"
    assert oracles.by_signxml(signed, company.certificate)
    if oracles.missing("python-xmlsec") is None:
        assert oracles.by_xmlsec(signed, company.certificate)
    at = len(signed) // 2
    altered = signed[:at] + (b"A" if signed[at : at + 1] != b"A" else b"B") + signed[at + 1 :]
    with pytest.raises(SignatureError):
        xmldsig.verify(xmlio.parse(altered))


def test_markers_of_ours_in_a_foreign_document_do_no_harm(company: SigningKey) -> None:
    long = base64.b64encode(os.urandom(90_000))
    for trap in (b"<x>//set/aside/000000//</x>", b"<!-- <Base64Container>" + long + b"</Base64Container> -->"):
        data = (BOX % long).replace(b"<d>", trap + b"<d>")
        signed = xmldsig.sign_document(data, company)
        assert signed == xmldsig.sign(xmlio.parse(data), company)
        oracles.judge(signed, company.certificate, sound=True)


# --- what is not signed -----------------------------------------------------------------------------------------------


def test_a_signed_document_is_not_signed_again(company: SigningKey) -> None:
    signed = xmldsig.sign(xmlio.parse(b"<m/>"), company)
    with pytest.raises(InputError, match=r"SIGN\.TWICE"):
        xmldsig.sign(xmlio.parse(signed), company)


def test_only_whole_documents_are_signed(company: SigningKey) -> None:
    with pytest.raises(InputError, match=r"SIGN\.PART"):
        xmldsig.sign(xmlio.parse(b"<m><a/></m>")[0], company)


def test_a_processing_instruction_is_not_signed(company: SigningKey) -> None:
    with pytest.raises(InputError, match=r"SIGN\.PI"):
        xmldsig.sign(etree.fromstring(b"<m><?x y?></m>"), company)


@pytest.mark.parametrize("name", ["urn:a&amp;b", "urn:a'b"])
def test_a_namespace_name_that_c14n_would_break_is_not_signed(name: str, company: SigningKey) -> None:
    root = etree.fromstring(f'<m><a xmlns:x="urn:plain" xmlns:y="{name}"/> xmlns:z="</m>')
    with pytest.raises(InputError, match=r"SIGN\.NAMESPACE"):
        xmldsig.sign(root, company)


@pytest.mark.parametrize("data", [b"no xml", b"<!DOCTYPE m><m/>", b"<m><?x?></m>"])
def test_what_cannot_be_parsed_cannot_be_signed(data: bytes, company: SigningKey) -> None:
    with pytest.raises(UnreadableError):
        xmldsig.sign_document(data, company)


def test_a_document_over_the_limit_is_not_signed(company: SigningKey) -> None:
    with pytest.raises(UnreadableError, match="SIZE"):
        xmldsig.sign_document(b"<m>" + b"a" * 1000 + b"</m>", company, limits=xmlio.Limits(size_bytes=100))


@pytest.mark.parametrize("name", ["æ:a", "a"])
def test_a_prefix_may_have_letters_from_afar(name: str, company: SigningKey) -> None:
    """signxml refuses it, as lxml writes such a prefix as a character reference; everybody else does not."""
    signed = xmldsig.sign_document(f'<m xmlns:æ="urn:m"><{name}>x</{name}></m>'.encode(), company)
    assert xmldsig.verify(xmlio.parse(signed)).certificate == company.certificate
    for witness in ("python-xmlsec", "xmlsec1", "santuario"):
        assert oracles.missing(witness) or oracles.WITNESSES[witness](signed, company.certificate), witness


# --- wrapped by the carrier -------------------------------------------------------------------------------------------


def test_a_signed_document_within_a_wrapper_is_verified_as_what_it_was(company: SigningKey) -> None:
    original = DOCUMENTS["a default namespace"]
    inside = xmldsig.sign(xmlio.parse(original), company).split(b"\n", 1)[1]
    wrapper = xmlio.parse(b'<w xmlns="urn:w" xmlns:x="urn:x" xml:lang="nb">' + inside + b"tail</w>")
    verified = xmldsig.verify(wrapper[0])
    assert xmlio.canonical(verified.root) == xmlio.canonical(xmlio.parse(original))
    assert verified.root is not wrapper[0]


# --- where the caller knows the digest of the content ---------------------------------------------------------------


def _content_sha256(signed: bytes) -> bytes:
    root = xmlio.parse(signed)
    with xmlio.without(root, f"{{{oracles.DS}}}Signature"):
        return content.digest(root, "sha256")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_known_digest_of_the_content_gives_the_same_verdict(name: str, company: SigningKey) -> None:
    signed = xmldsig.sign(xmlio.parse(DOCUMENTS[name]), company)
    altered = signed.replace(b"<ds:Signature", b"x<ds:Signature", 1)
    verified = xmldsig.verify(xmlio.parse(signed), content_sha256=_content_sha256(signed))
    assert xmlio.canonical(verified.root) == xmlio.canonical(xmlio.parse(DOCUMENTS[name]))
    for document, digest in ((altered, _content_sha256(altered)), (signed, bytes(32)), (signed, b"")):
        with pytest.raises(SignatureError, match="not what was signed"):
            xmldsig.verify(xmlio.parse(document), content_sha256=digest)


OTHER_DIGESTS = [Form(info=EXC, content=EXC), Form(content=C14N, digest="sha384"), Form(digest="sha512")]


@pytest.mark.parametrize("form", OTHER_DIGESTS)
def test_a_digest_of_another_kind_is_not_taken_for_the_signed_one(form: Form, company: SigningKey) -> None:
    signed = oracles.sign_with_signxml(DOCUMENTS["a default namespace"], company, form)
    assert xmldsig.verify(xmlio.parse(signed), content_sha256=bytes(32)).covered == "/m"


def test_a_digest_of_the_wrapped_tree_is_not_taken_for_that_of_the_document(company: SigningKey) -> None:
    inside = xmldsig.sign(xmlio.parse(DOCUMENTS["a default namespace"]), company).split(b"\n", 1)[1]
    wrapper = xmlio.parse(b'<w xmlns="urn:w" xmlns:x="urn:x">' + inside + b"</w>")
    assert xmldsig.verify(wrapper[0], content_sha256=bytes(32)).covered == "/m"
