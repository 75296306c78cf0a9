"""Enveloped XML signatures over a whole document: the one national profile, and nothing beside it.

Sign: the document is canonicalised once without its attachments, which are put in as base64 afterwards (C14N changes
none of their characters), so the cost hardly depends on them. What is sent is the canonical form itself; bytes that
were signed are never serialised again.

Verify, in this order, so that only the holder of a certificate reaches the costly part: exactly one Signature, child of
the root → one Reference to the whole document, transforms and algorithms from a list → the certificate → RSA over
SignedInfo → only then C14N and digest of the content. What comes back is the signed content without the Signature;
nobody should read anything else of the document.

Sources: W3C XML Signature 1.1, Canonical XML 1.0; the profile is HIS 80601 (MsgHead) as its users sign it.
"""

from __future__ import annotations

import copy
import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import pybase64
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

import adapter.xmlio as xmlio
from adapter.errors import Finding, InputError, Severity, SignatureError, UnreadableError
from adapter.security import content
from adapter.security.keys import MAX_KEY_BITS, MIN_KEY_BITS, Signer
from adapter.security.profile import (
    DIGESTS,
    DS,
    ENVELOPED,
    INCLUSIVE,
    RSA_HASHES,
    RSA_SHA256,
    SHA256,
    Plan,
    broken,
    inherited_by,
    is_same,
    is_sha1,
    read_plan,
)

Element = etree._Element

_XML = "{http://www.w3.org/XML/1998/namespace}"
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_ATTRIBUTE_ESCAPES = (
    ("&", "&amp;"),
    ("<", "&lt;"),
    ('"', "&quot;"),
    ("\t", "&#x9;"),
    ("\n", "&#xA;"),
    ("\r", "&#xD;"),
)
_SIGNED_INFO = (
    f'<ds:CanonicalizationMethod Algorithm="{INCLUSIVE}"></ds:CanonicalizationMethod>'
    f'<ds:SignatureMethod Algorithm="{RSA_SHA256}"></ds:SignatureMethod>'
    f'<ds:Reference URI=""><ds:Transforms><ds:Transform Algorithm="{ENVELOPED}"></ds:Transform>'
    f'<ds:Transform Algorithm="{INCLUSIVE}"></ds:Transform></ds:Transforms>'
    f'<ds:DigestMethod Algorithm="{SHA256}"></ds:DigestMethod><ds:DigestValue>%s</ds:DigestValue></ds:Reference>'
).encode()
_SIGNATURE = (
    b"<ds:Signature%s><ds:SignedInfo>%s</ds:SignedInfo><ds:SignatureValue>%s</ds:SignatureValue>"
    b"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>"
)
_SIGNATURE_TAG = f"{{{DS}}}Signature"
_NOISE = (etree.PI, etree.Entity, etree.Comment)
_PADDING = padding.PKCS1v15()
_RESERVED = frozenset("&<>\"'\t\r\n")
_SUSPECT = re.compile(rb" xmlns[^=\s>]*=(?:'|\"[^\"]*[&<>'\t\r\n])")
_MARKER = "SIGN.MARKER"
_SOURCE = "W3C XML Signature 1.1; HIS 80601:2006"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A sound signature. ``root`` is the signed element without the Signature: read this and nothing else.

    ``certificate`` made it, ``chain`` are the other certificates it came with (unproven), ``covered`` the signed
    element's path, ``warnings`` what is sound but old (SHA-1).
    """

    root: Element
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()
    covered: str
    warnings: tuple[Finding, ...] = ()


# --- sign -------------------------------------------------------------------------------------------------------------


def sign(root: Element, signer: Signer, *, markers: Sequence[bytes] = (), pieces: Sequence[bytes] = ()) -> bytes:
    """The signed document as UTF-8 bytes with an XML declaration, the Signature last in the root.

    ``markers[i]`` (base64 characters, once in the tree, in order) gives way to the base64 of ``pieces[i]``. The tree is
    left as it was. Raises InputError for a document that is signed already, that has processing instructions, or in
    which a marker does not occur exactly once.
    """
    if len(markers) != len(pieces):
        raise InputError("there must be one marker for each attachment", code=_MARKER)
    return _sign(root, signer, markers, [pybase64.b64encode(piece) for piece in pieces])


def sign_document(document: bytes, signer: Signer, *, limits: xmlio.Limits = xmlio.DEFAULT_LIMITS) -> bytes:
    """Sign a finished document, bytes to bytes. Raises UnreadableError for bytes that are not one, else as ``sign``.

    Long attachments are set aside before parsing and put back after, so megabytes of base64 are only copied and hashed.
    """
    if len(document) <= limits.size_bytes:  # else the parser below says so
        small, texts = content.set_aside(document)
        markers = content.markers_for(texts)
        root = xmlio.parse(small, limits) if texts else None
        if root is not None and content.markers_alone(root, markers):
            try:
                return _sign(root, signer, markers, texts)
            except InputError as error:
                if error.code != _MARKER:  # else the document has our markers in it by itself
                    raise
    return _sign(xmlio.parse(document, limits), signer, (), ())


def _sign(root: Element, signer: Signer, markers: Sequence[bytes], texts: Sequence[content.Text]) -> bytes:
    refuse_for_signing(root)
    skeleton = xmlio.canonical(root)
    refuse_namespaces(root, skeleton)
    try:
        parts = content.cut(skeleton, markers)
    except ValueError:
        raise InputError("an attachment marker must occur exactly once", code=_MARKER) from None
    body = [part for pair in zip(parts, texts, strict=False) for part in pair]
    digest = hashlib.sha256()
    for part in (*body, parts[-1]):
        digest.update(part)
    end = parts[-1].rindex(b"</")  # C14N always writes the root's end tag
    signature = write_signature(within(root), _SIGNED_INFO % b64encode(digest.digest()), signer)
    return b"".join([DECLARATION, *body, parts[-1][:end], signature, parts[-1][end:]])


def refuse_for_signing(root: Element) -> None:
    if root.getparent() is not None:
        raise InputError("only a whole document can be signed", code="SIGN.PART", cure="sign the root element")
    if _stands_alone(root) and next(root.iter(_SIGNATURE_TAG, etree.PI), None) is None:
        return
    if next(root.iter(_SIGNATURE_TAG), None) is not None:
        raise InputError("the document is signed already", code="SIGN.TWICE", cure="send it as it is")
    if _instruction_in(root):
        raise InputError("a processing instruction cannot be signed", code="SIGN.PI", cure="remove it")


def refuse_namespaces(root: Element, skeleton: bytes) -> None:
    """libxml2's C14N writes namespace names as they are, so one with a reserved character would break the form."""
    at = skeleton.find(b" xmlns")
    while at >= 0 and not _SUSPECT.match(skeleton, at):
        at = skeleton.find(b" xmlns", at + 1)
    if at < 0:
        return
    for _, (_, uri) in etree.iterwalk(root, events=("start-ns",)):
        if not _RESERVED.isdisjoint(uri):
            raise InputError("a namespace name has characters that break its canonical form", code="SIGN.NAMESPACE")


class Within(NamedTuple):
    """What a Signature inherits at its place: SignedInfo's start tag as an apex, and what it must declare itself."""

    apex_tag: bytes
    declared: bytes


def within(parent: Element) -> Within:
    """For a Signature that becomes a child of ``parent``.

    SignedInfo's own canonical form, as an apex, also carries every namespace and xml: attribute in force at its place.
    """
    declared = b"" if parent.nsmap.get("ds") == DS else b' xmlns:ds="%s"' % DS.encode()
    return Within(_apex_tag(parent), declared)


def write_signature(place: Within, inside: bytes, signer: Signer) -> bytes:
    """The Signature as C14N writes it at its place; ``inside`` is the content of SignedInfo in that form."""
    value = signer.sign(place.apex_tag + inside + b"</ds:SignedInfo>")
    return _SIGNATURE % (place.declared, inside, b64encode(value), _written(signer.certificate))


_WRITTEN: dict[int, tuple[x509.Certificate, bytes]] = {}
_MAX_WRITTEN = 64


def _written(certificate: x509.Certificate) -> bytes:
    """The certificate as KeyInfo has it. Kept by its place in memory, because a certificate is slow to hash."""
    found = _WRITTEN.get(id(certificate))
    if found is None or found[0] is not certificate:
        if len(_WRITTEN) >= _MAX_WRITTEN:  # our own ones are few
            _WRITTEN.clear()
        found = _WRITTEN[id(certificate)] = certificate, b64encode(certificate.public_bytes(Encoding.DER))
    return found[1]


def _apex_tag(parent: Element) -> bytes:
    return _written_tag(tuple(parent.nsmap.items()), tuple(inherited_by(parent)))


@lru_cache(maxsize=64)
def _written_tag(nsmap: tuple[tuple[str | None, str], ...], attributes: tuple[tuple[str, str], ...]) -> bytes:
    """SignedInfo's start tag where these namespaces and xml: attributes are in force. Kept: our messages have few."""
    scope = {prefix or "": uri for prefix, uri in nsmap if uri and prefix != "xml"} | {"ds": DS}
    tag = "<ds:SignedInfo"
    for prefix in sorted(scope):
        tag += f' xmlns{":" + prefix if prefix else ""}="{escape(scope[prefix])}"'
    inherited: dict[str, str] = {}
    for name, text in attributes:
        inherited.setdefault(name[len(_XML) :], text)
    for name in sorted(inherited):
        tag += f' xml:{name}="{escape(inherited[name])}"'
    return (tag + ">").encode()


def escape(value: str) -> str:
    """An attribute value as C14N writes it."""
    for raw, written in _ATTRIBUTE_ESCAPES:
        value = value.replace(raw, written)
    return value


# --- verify -----------------------------------------------------------------------------------------------------------


def count_signatures(root: Element) -> int:
    """How many ds:Signature elements the document has, wherever they are."""
    return sum(1 for _ in root.iter(_SIGNATURE_TAG))


def verify(
    root: Element,
    *,
    allow_sha1: bool = False,
    pinned: x509.Certificate | None = None,
    content_sha256: bytes | None = None,
) -> Verified:
    """The signed part of a document and who signed it. Trust in the certificate is not judged here.

    On success the tree is what was signed: the Signature and all comments are gone from it (with exclusive C14N
    ``Verified.root`` is a new tree). On failure it is as before, comments apart. An element within another tree (NAV's
    wrapper) is verified as the document that it was. ``pinned``: only this certificate may have signed.

    ``content_sha256``: the SHA-256 of this very tree's inclusive canonical form without its Signature, where the caller
    has just computed it with ``content.digest``; of a large document that is most of the work.

    Raises SignatureError: code S01.ABSENT when there is no Signature, S01 for everything else.
    """
    if root.getparent() is not None:
        root = copy.deepcopy(root)
        root.tail = None
        content_sha256 = None  # it was that of another tree
    signature = _find_signature(root)
    plan = read_plan(signature, allow_sha1)
    certificate, chain = _check_value(plan, pinned)
    try:
        signed = _check_digest(root, signature, plan, content_sha256)
    except UnreadableError as error:  # it cannot be canonicalised
        raise broken(error.text) from None
    return Verified(
        root=signed,
        certificate=certificate,
        chain=chain,
        covered="/" + str(signed.tag).rpartition("}")[2],
        warnings=(_sha1_warning(),) if is_sha1(plan.asked) else (),
    )


def refuse_noise(root: Element) -> None:
    """Comments are never signed, so they go; what else is not plain elements and text is refused."""
    if root.getroottree().docinfo.internalDTD is not None:
        raise broken("a document type declaration is not accepted in a signed document")
    if _stands_alone(root) and next(root.iter(*_NOISE), None) is None:
        return
    if _instruction_in(root):
        raise broken("a processing instruction is not accepted in a signed document")
    if next(root.iter(etree.Entity), None) is not None:
        raise broken("an entity is not accepted in a signed document")
    etree.strip_tags(root, etree.Comment)


def _stands_alone(root: Element) -> bool:
    """True when nothing is around the root: no document type, comment or instruction."""
    return root.getnext() is None and root.getprevious() is None and root.getroottree().docinfo.internalDTD is None


def _instruction_in(root: Element) -> bool:
    if next(root.iter(etree.PI), None) is not None:
        return True
    around = [*root.itersiblings(), *root.itersiblings(preceding=True)]
    return any(isinstance(node, etree._ProcessingInstruction) for node in around)


def _find_signature(root: Element) -> Element:
    """The one Signature, child of the root, of a tree that ``refuse_noise`` has nothing against."""
    found = list(root.iter(_SIGNATURE_TAG, *_NOISE))
    if len(found) != 1 or found[0].tag != _SIGNATURE_TAG or not _stands_alone(root):
        refuse_noise(root)
        found = list(root.iter(_SIGNATURE_TAG))
    if not found:
        raise SignatureError("the document has no signature", code="S01.ABSENT")
    if len(found) > 1:
        raise broken("the document has more than one signature")
    if found[0].getparent() is not root:
        raise broken("the signature is not a child of the document's root")
    return found[0]


def _check_value(plan: Plan, pinned: x509.Certificate | None) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
    """The certificate whose key made the signature value, and the others beside it."""
    for certificate in plan.certificates:
        if not has_signed(certificate, plan.value, plan.octets, plan.asked.method):
            continue
        if pinned is not None and not is_same(certificate, pinned):
            raise broken("another certificate than the expected one has signed")
        return certificate, tuple(other for other in plan.certificates if other is not certificate)
    raise broken("the signature value does not belong to SignedInfo and the certificate")


def has_signed(certificate: x509.Certificate, value: bytes, octets: bytes, method: str) -> bool:
    """True when ``value`` is the signature over ``octets`` by the certificate's RSA key of a fair size."""
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or not MIN_KEY_BITS <= key.key_size <= MAX_KEY_BITS:
        return False
    try:
        key.verify(value, octets, _PADDING, RSA_HASHES[method])
    except InvalidSignature:
        return False
    return True


def _check_digest(root: Element, signature: Element, plan: Plan, content_sha256: bytes | None) -> Element:
    index, before, tail = root.index(signature), signature.getprevious(), signature.tail
    kept = root.text if before is None else before.tail
    if tail:  # lxml drops an element's tail with it, and the tail is signed
        _set_text(root, before, (kept or "") + tail)
    root.remove(signature)
    algorithm = DIGESTS[plan.asked.digest_method]
    if plan.asked.form.exclusive:
        octets = content.canonical(root, True, plan.asked.form.prefixes)
        if hashlib.new(algorithm, octets).digest() == plan.digest:
            # Namespaces that exclusive C14N leaves out were not signed: only the canonical form was.
            return xmlio.parse(octets)
    else:
        known = content_sha256 if algorithm == "sha256" else None
        if (known if known is not None else content.digest(root, algorithm)) == plan.digest:
            return root
    _set_text(root, before, kept)
    root.insert(index, signature)
    raise broken("the content is not what was signed")


def _set_text(root: Element, before: Element | None, text: str | None) -> None:
    if before is None:
        root.text = text
    else:
        before.tail = text


def _sha1_warning() -> Finding:
    return Finding(rule="S01.SHA1", severity=Severity.WARNING, text="signed with SHA-1", source=_SOURCE)
