"""What a signature may ask for: the lists of algorithms and transforms, and SignedInfo read against them.

Everything here is structure. Nothing is computed and nothing is trusted; what is not on a list is refused (S01).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from lxml import etree

from adapter.errors import SignatureError

Element = etree._Element

DS = "http://www.w3.org/2000/09/xmldsig#"
_EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
ENVELOPED = DS + "enveloped-signature"
INCLUSIVE = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
RSA_SHA256 = _MORE + "rsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"

# Reference URI="" never selects comments, so the two forms of each method mean the same here.
CANONICAL_FORMS = {INCLUSIVE: False, INCLUSIVE + "#WithComments": False, _EXC: True, _EXC + "WithComments": True}
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
_MAX_CERTIFICATES, _MAX_CERTIFICATE_CHARS = 8, 20_000
_X509_DATA, _X509_CERTIFICATE = f"{{{DS}}}X509Data", f"{{{DS}}}X509Certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A canonicalisation: inclusive, or exclusive with the prefixes that are treated as inclusive."""

    exclusive: bool
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What SignedInfo asks for, once every part of it has been found on the lists."""

    signed_info: Element
    key_info: Element
    value: bytes
    method: str
    info_form: Form
    digest_method: str
    digest: bytes
    form: Form


def broken(text: str) -> SignatureError:
    """S01, with what the profile demands; never with what was found (P21)."""
    return SignatureError(text)


def read_plan(signature: Element, allow_sha1: bool) -> Plan:
    info, value, key_info = _parts(signature, "SignedInfo", "SignatureValue", "KeyInfo")
    method, signing, reference = _parts(info, "CanonicalizationMethod", "SignatureMethod", "Reference")
    transforms, digesting, digest = _parts(reference, "Transforms", "DigestMethod", "DigestValue")
    if reference.get("URI") != "":
        raise broken("the reference does not cover the whole document")
    info_form = _read_form(method)
    form = _read_transforms(transforms)
    sign_name = _algorithm(signing, RSA_HASHES)
    digest_name = _algorithm(digesting, DIGESTS)
    if not allow_sha1 and {sign_name, digest_name} & SHA1_NAMES:
        raise broken("SHA-1 is not accepted from this sender")
    return Plan(
        signed_info=info,
        key_info=key_info,
        value=_base64(value),
        method=sign_name,
        info_form=info_form,
        digest_method=digest_name,
        digest=_base64(digest),
        form=form,
    )


def _parts(element: Element, *names: str) -> list[Element]:
    """The element's children, which must be exactly these of the ds: namespace, with nothing but space between."""
    children = list(element)
    texts = [element.text, *(child.tail for child in children)]
    if [child.tag for child in children] != [f"{{{DS}}}{name}" for name in names] or any(
        t and t.strip() for t in texts
    ):
        raise broken(f"{etree.QName(element).localname} must hold exactly {', '.join(names)}")
    return children


@lru_cache
def _tags(names: tuple[str, ...]) -> list[str]:
    return [f"{{{DS}}}{name}" for name in names]


def _read_transforms(transforms: Element) -> Form:
    steps = list(transforms)
    if not 1 <= len(steps) <= 2:
        raise broken("one or two transforms are accepted")
    _parts(transforms, *["Transform"] * len(steps))
    if steps[0].get("Algorithm") != ENVELOPED or len(steps[0]):
        raise broken("the first transform must be enveloped-signature")
    return _read_form(steps[1]) if len(steps) == 2 else Form(exclusive=False)


def _read_form(element: Element) -> Form:
    exclusive = CANONICAL_FORMS.get(element.get("Algorithm", ""))
    if exclusive is None:
        raise broken("a canonicalisation or transform is not accepted")
    if not len(element):
        return Form(exclusive=exclusive)
    prefixes = element[0]
    if not exclusive or len(element) > 1 or prefixes.tag != f"{{{_EXC}}}InclusiveNamespaces" or len(prefixes):
        raise broken("a canonicalisation has an unknown parameter")
    return Form(exclusive=True, prefixes=tuple(prefixes.get("PrefixList", "").split()))


def _algorithm(element: Element, known: Container[str]) -> str:
    name = element.get("Algorithm", "")
    if name not in known or len(element):
        raise broken("an algorithm is not accepted: RSA with SHA-256, SHA-384 or SHA-512 is")
    return name


def _base64(element: Element) -> bytes:
    if len(element):
        raise broken("a base64 value must be text alone")
    try:
        return b64decode("".join((element.text or "").split()), validate=True)
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
