"""What a signature may ask for: the lists of algorithms and transforms, and SignedInfo read against them.

Everything here is structure. Nothing is computed and nothing is trusted; what is not on a list is refused (S01).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Container, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from lxml import etree

import adapter.xmlio as xmlio
from adapter.errors import SignatureError, UnreadableError
from adapter.security import content

Element = etree._Element

DS = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
ENVELOPED = DS + "enveloped-signature"
INCLUSIVE = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
RSA_SHA256 = _MORE + "rsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"

# Reference URI="" never selects comments, so the two forms of each method mean the same here.
CANONICAL_FORMS = {
    INCLUSIVE: False,
    INCLUSIVE + "#WithComments": False,
    EXCLUSIVE: True,
    EXCLUSIVE + "WithComments": True,
}
RSA_HASHES: dict[str, hashes.HashAlgorithm] = {
    RSA_SHA256: hashes.SHA256(),
    _MORE + "rsa-sha384": hashes.SHA384(),
    _MORE + "rsa-sha512": hashes.SHA512(),
    DS + "rsa-sha1": hashes.SHA1(),  # noqa: S303  (inbound, and only where a partner's agreement says so)
}
DIGESTS = {
    SHA256: "sha256",
    _MORE + "sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
    DS + "sha1": "sha1",
}
SHA1_NAMES = {DS + "rsa-sha1", DS + "sha1"}
_XML = "{http://www.w3.org/XML/1998/namespace}"
_STAND_INS = b"TheDigestStandsHere+", b"TheSignatureValueStandsHere+"  # base64, so that they are written as any is
_DIGEST_FROM, _VALUE_FROM = b"DigestValue>", b"SignatureValue>"
_MAX_KEPT_BYTES = 12_000
_MAX_CERTIFICATES, _MAX_CERTIFICATE_CHARS = 8, 20_000
_MAX_ALIKE = 256
_X509_DATA, _X509_CERTIFICATE = f"{{{DS}}}X509Data", f"{{{DS}}}X509Certificate"


class Form(NamedTuple):
    """A canonicalisation: inclusive, or exclusive with the prefixes that are treated as inclusive."""

    exclusive: bool
    prefixes: tuple[str, ...] = ()


class Asked(NamedTuple):
    """What SignedInfo asks for, once every part of it has been found on the lists."""

    method: str
    digest_method: str
    form: Form


class Plan(NamedTuple):
    """A Signature, read: ``octets`` is SignedInfo as it was signed, ``value`` the signature over it."""

    octets: bytes
    value: bytes
    certificates: tuple[x509.Certificate, ...]
    asked: Asked
    digest: bytes


def broken(text: str) -> SignatureError:
    """S01, with what the profile demands; never with what was found (P21)."""
    return SignatureError(text)


def read_plan(signature: Element, allow_sha1: bool) -> Plan:
    """The plan of a Signature that keeps to the profile; raises SignatureError for any other."""
    inherited = tuple(inherited_by(signature))
    plan = _by_template(written(signature), inherited)
    if plan is not None and (allow_sha1 or not is_sha1(plan.asked)):
        return plan
    octets, asked, digest, value, key_info = _read_parts(signature, inherited)
    if not allow_sha1 and is_sha1(asked):
        raise broken("SHA-1 is not accepted from this sender")
    value_octets, digest_octets = read_base64(value), decode(digest.decode())
    return Plan(octets, value_octets, tuple(read_certificates(key_info)), asked, digest_octets)


def is_sha1(asked: Asked) -> bool:
    """True when any of it rests on SHA-1."""
    return asked.method in SHA1_NAMES or asked.digest_method in SHA1_NAMES


def written(element: Element) -> bytes:
    """The element as a document of its own, with the namespaces in scope."""
    # UTF-8, because lxml writes a letter outside ASCII in a name as a character reference, which nobody can read back.
    out: bytes = etree.tostring(element, encoding="utf-8", with_tail=False)
    return out


def inherited_by(signature: Element) -> Iterator[tuple[str, str]]:
    """The xml: attributes in force at SignedInfo, nearest first."""
    for above in (signature, *signature.iterancestors()):
        for name, value in above.items():
            if str(name).startswith(_XML):
                yield str(name), str(value)


# --- one sender's signatures differ in digest and value alone ---------------------------------------------------------


class _Template(NamedTuple):
    """What is the same in all signatures of one form: SignedInfo, canonical, around its digest, and what was read."""

    first: bytes
    last: bytes
    asked: Asked
    certificates: tuple[x509.Certificate, ...]


def _by_template(raw: bytes, inherited: tuple[tuple[str, str], ...]) -> Plan | None:
    """The plan by what was read of an earlier signature that is the same to the byte around digest and value.

    None where one of the two is not plain base64, and for all that is refused: reading every part of it says why.
    """
    begin = raw.find(_DIGEST_FROM) + len(_DIGEST_FROM)
    end = raw.find(b"<", begin)
    start = raw.find(_VALUE_FROM, end) + len(_VALUE_FROM)
    stop = raw.find(b"<", start)
    if not len(_DIGEST_FROM) <= begin < end < start < stop or len(raw) > _MAX_KEPT_BYTES:
        return None
    digest, value = raw[begin:end], raw[start:stop].replace(b"&#13;", b" ")
    try:
        digest_octets = b64decode(digest, validate=True)
        value_octets = b64decode(b"".join(value.split()), validate=True)
    except ValueError:
        return None
    kept = _read_template(raw[:begin], raw[end:start], raw[stop:], inherited)
    if kept is None:
        return None
    return Plan(kept.first + digest + kept.last, value_octets, kept.certificates, kept.asked, digest_octets)


@lru_cache(maxsize=256)
def _read_template(
    before: bytes, between: bytes, after: bytes, inherited: tuple[tuple[str, str], ...]
) -> _Template | None:
    """A signature around its digest and value, read. Kept: a sender's software writes it the same every time.

    None unless the two stand-ins are read back as digest and value, and are nowhere else: then any base64 would be.
    """
    raw = b"".join([before, _STAND_INS[0], between, _STAND_INS[1], after])
    try:
        octets, asked, digest, value, key_info = _read_parts(xmlio.parse(raw), inherited)
        certificates = tuple(read_certificates(key_info))
    except (SignatureError, UnreadableError):
        return None
    first, _, last = octets.partition(_STAND_INS[0])
    whole = (digest, (value.text or "").encode()) == _STAND_INS and not len(value)
    if not whole or octets.count(_STAND_INS[0]) != 1 or any(raw.count(one) != 1 for one in _STAND_INS):
        return None
    return _Template(first, last, asked, certificates)


# --- every part of it -------------------------------------------------------------------------------------------------


def _read_parts(
    signature: Element, inherited: tuple[tuple[str, str], ...]
) -> tuple[bytes, Asked, bytes, Element, Element]:
    """SignedInfo as it was signed, what it asks for and its digest as written; SignatureValue and KeyInfo."""
    info, value, key_info = parts_of(signature, "SignedInfo", "SignatureValue", "KeyInfo")
    octets, digest, asked = _read_signed_info(written(info), inherited)
    return octets, asked, digest, value, key_info


def _read_signed_info(raw: bytes, inherited: tuple[tuple[str, str], ...]) -> tuple[bytes, bytes, Asked]:
    """SignedInfo as it was signed, its digest as written, and what it asks for.

    ``raw`` is SignedInfo as a document of its own: lxml's C14N of an element within a tree is wrong (a false xmlns="").
    As an apex it inherits namespaces and, in inclusive C14N, xml: attributes.
    """
    apex = as_apex(raw)
    method, signing, reference = parts_of(apex, "CanonicalizationMethod", "SignatureMethod", "Reference")
    transforms, digesting, digest = parts_of(reference, "Transforms", "DigestMethod", "DigestValue")
    if reference.get("URI") != "":
        raise broken("the reference does not cover the whole document")
    info_form = read_form(method)
    asked = Asked(algorithm_of(signing, RSA_HASHES), algorithm_of(digesting, DIGESTS), _read_transforms(transforms))
    if len(digest):
        raise broken("a base64 value must be text alone")
    return apex_octets(apex, info_form, inherited), (digest.text or "").encode(), asked


def as_apex(raw: bytes) -> Element:
    """SignedInfo as the root of a document of its own."""
    try:
        return xmlio.parse(raw)
    except UnreadableError:
        raise broken("SignedInfo has too many attributes or namespaces") from None


def apex_octets(apex: Element, form: Form, inherited: Iterable[tuple[str, str]]) -> bytes:
    """What the signature value is over: SignedInfo, canonical, with what it inherits from its ancestors."""
    if not form.exclusive:
        for name, value in inherited:
            if name not in apex.attrib:
                apex.set(name, value)
    try:
        return content.canonical(apex, form.exclusive, form.prefixes)
    except UnreadableError as error:
        raise broken(error.text) from None


def parts_of(element: Element, *names: str) -> list[Element]:
    """The element's children, which must be exactly these of the ds: namespace, with nothing but space between."""
    children = list(element)
    texts = [element.text, *[child.tail for child in children]]
    if [child.tag for child in children] != _tags(names) or "".join(filter(None, texts)).strip():
        raise broken(f"{etree.QName(element).localname} must hold exactly {', '.join(names)}")
    return children


@lru_cache
def _tags(names: tuple[str, ...]) -> list[str]:
    return [f"{{{DS}}}{name}" for name in names]


def _read_transforms(transforms: Element) -> Form:
    steps = list(transforms)
    if not 1 <= len(steps) <= 2:
        raise broken("one or two transforms are accepted")
    parts_of(transforms, *["Transform"] * len(steps))
    if steps[0].get("Algorithm") != ENVELOPED or len(steps[0]):
        raise broken("the first transform must be enveloped-signature")
    return read_form(steps[1]) if len(steps) == 2 else Form(exclusive=False)


def read_form(element: Element) -> Form:
    """The canonicalisation that an element with Algorithm and parameters names."""
    exclusive = CANONICAL_FORMS.get(element.get("Algorithm", ""))
    if exclusive is None:
        raise broken("a canonicalisation or transform is not accepted")
    if not len(element):
        return Form(exclusive=exclusive)
    prefixes = element[0]
    if not exclusive or len(element) > 1 or prefixes.tag != f"{{{EXCLUSIVE}}}InclusiveNamespaces" or len(prefixes):
        raise broken("a canonicalisation has an unknown parameter")
    return Form(exclusive=True, prefixes=tuple(prefixes.get("PrefixList", "").split()))


def algorithm_of(element: Element, known: Container[str]) -> str:
    """The Algorithm of an element without parameters, which must be a known one."""
    name = element.get("Algorithm", "")
    if name not in known or len(element):
        raise broken("an algorithm is not accepted: RSA with SHA-256, SHA-384 or SHA-512 is")
    return name


def read_base64(element: Element) -> bytes:
    """The octets of an element whose only content is base64; blanks and line ends are looked past."""
    if len(element):
        raise broken("a base64 value must be text alone")
    return decode(element.text or "")


def decode(text: str) -> bytes:
    try:
        return b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise broken("a value is not base64") from None


def read_certificates(key_info: Element) -> list[x509.Certificate]:
    """The X.509 certificates of KeyInfo in order, at least one, with readable keys; nothing else of it counts."""
    found = [element for part in key_info.iterchildren(_X509_DATA) for element in part.iterchildren(_X509_CERTIFICATE)]
    if not 1 <= len(found) <= _MAX_CERTIFICATES:
        raise broken(f"KeyInfo must hold the signer's X.509 certificate (at most {_MAX_CERTIFICATES})")
    texts = [element.text or "" for element in found]
    if any(len(text) > _MAX_CERTIFICATE_CHARS or len(element) for text, element in zip(texts, found, strict=True)):
        raise broken("a certificate in KeyInfo is too large")
    try:
        return [_load_certificate(text) for text in texts]
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise broken("a certificate in KeyInfo cannot be read") from None


_alike: dict[tuple[int, int], tuple[x509.Certificate, x509.Certificate]] = {}


def is_same(one: x509.Certificate, other: x509.Certificate) -> bool:
    """Equality, kept by the places of the two in memory: to compare certificates is slow."""
    places = (id(one), id(other))
    if one is other or places in _alike:  # what is in there is held by it, so nothing else can be in these places
        return True
    if one != other:
        return False
    if len(_alike) >= _MAX_ALIKE:
        _alike.clear()
    _alike[places] = (one, other)
    return True


@lru_cache(maxsize=256)
def _load_certificate(text: str) -> x509.Certificate:
    """A certificate from base64. Kept, because the same partners sign again and a used RSA key is a faster one."""
    certificate = x509.load_der_x509_certificate(b64decode("".join(text.split()), validate=True))
    # Whatever is asked of it later must not fail then: a forged one may be readable in part.
    certificate.public_key()
    certificate.subject.rfc4514_string()
    certificate.issuer.rfc4514_string()
    if certificate.not_valid_before_utc > certificate.not_valid_after_utc:
        raise ValueError("a certificate that is never valid")
    return certificate
