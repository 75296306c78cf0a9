"""The signature of an ebXML envelope: over the SOAP envelope and over the octets of every attachment.

Sign: the envelope is canonicalised once and the Signature put in before the Header's end tag, so that the signed bytes
are never serialised again.

Verify, in this order: exactly one Signature, child of the Header → SignedInfo against the lists → the certificate, the
agreed one where it is given → RSA over SignedInfo → every part named and every name a part → only then digests. What
comes back are the canonical octets that were digested, and the tree in them: read that, and nothing else. Elements for
the next hop are left out of it where the transforms leave them out; only blocks that say nothing of the message may be.

Sources: ebMS 2.0 chapter 4.1; HIS 1037 5.5 and 6.2.3; HITS 1172 5.10; W3C XML Signature 1.1.
"""

from __future__ import annotations

import copy
import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote

from cryptography import x509
from lxml import etree

import adapter.xmlio as xmlio
from adapter.errors import InputError
from adapter.security import content, xmldsig
from adapter.security.envelope_profile import (
    ACTOR,
    NEXT,
    NEXT_MSH,
    SOAP,
    XPATH,
    EnvelopePlan,
    PartReference,
    RootReference,
    broken,
    failing,
    read_envelope_plan,
)
from adapter.security.keys import Signer
from adapter.security.profile import (
    DS,
    ENVELOPED,
    INCLUSIVE,
    RSA_SHA256,
    SHA1_NAMES,
    SHA256,
    is_same,
)

Element = etree._Element
Octets = bytes | memoryview

_SIGNATURE = f"{{{DS}}}Signature"
_X509_DATA, _X509_CERTIFICATE = f"{{{DS}}}X509Data", f"{{{DS}}}X509Certificate"
_ENVELOPE, _HEADER = f"{{{SOAP}}}Envelope", f"{{{SOAP}}}Header"
_EB = "http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd"
_OURS = (_EB, DS, SOAP)
_SYNC_REPLY = f"{{{_EB}}}SyncReply"
_NEXT_MSH, _NEXT = NEXT_MSH.encode(), NEXT.encode()
_CONTENT_ID = re.compile(r"[!#$'-;=?-~]{1,500}")  # printable ASCII that needs no escape in an attribute or URI
_EXPRESSION = f'not(ancestor-or-self::node()[@%s:actor="{NEXT_MSH}"] | ancestor-or-self::node()[@%s:actor="{NEXT}"])'
_ROOT = (
    f'<ds:CanonicalizationMethod Algorithm="{INCLUSIVE}"></ds:CanonicalizationMethod>'
    f'<ds:SignatureMethod Algorithm="{RSA_SHA256}"></ds:SignatureMethod>'
    f'<ds:Reference URI=""><ds:Transforms><ds:Transform Algorithm="{ENVELOPED}"></ds:Transform>'
    f'<ds:Transform Algorithm="{XPATH}"><ds:XPath%s>{_EXPRESSION}</ds:XPath></ds:Transform>'
    f'<ds:Transform Algorithm="{INCLUSIVE}"></ds:Transform></ds:Transforms>'
)
_DIGEST = f'<ds:DigestMethod Algorithm="{SHA256}"></ds:DigestMethod><ds:DigestValue>%s</ds:DigestValue></ds:Reference>'
_PART = '<ds:Reference URI="cid:%s">'


@dataclass(frozen=True, kw_only=True)
class VerifiedEnvelope:
    """A sound signature. ``root`` is the signed envelope: the tree of the ``octets`` that were digested.

    ``covered`` are the reference URIs that hold: "" for the envelope, then ``cid:…``. ``left_out`` are the local names
    of blocks for the next hop that nobody has signed, ``missing`` the references of a signal to parts that it has not.
    ``algorithms`` are the URIs of signature and digests, without repeats. Trust in ``certificate`` is not judged here.
    """

    octets: bytes = field(repr=False)
    certificate: x509.Certificate = field(repr=False)
    covered: tuple[str, ...]
    algorithms: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    tree: Element | None = field(default=None, repr=False)  # what was canonicalised to the octets, namespaces and all

    @cached_property
    def root(self) -> Element:
        return xmlio.parse(self.octets) if self.tree is None else self.tree

    @property
    def sha1(self) -> bool:
        return not SHA1_NAMES.isdisjoint(self.algorithms)


# --- sign -------------------------------------------------------------------------------------------------------------


class Unsigned(NamedTuple):
    """An envelope that may be signed: its canonical form before and after the Signature's place, and what stands there.

    ``octets`` are what the signature covers of it where that is not the whole (None: the whole).
    """

    before: bytes
    after: bytes
    octets: bytes | None
    reference: str
    place: xmldsig.Within


def sign_envelope(root: Element, signer: Signer, parts: Mapping[str, Octets]) -> bytes:
    """The signed envelope as UTF-8 bytes with an XML declaration, the Signature last in the SOAP Header.

    ``parts`` are the attachments by Content-ID without brackets, as they will be after transfer-decoding (for an
    encrypted one: the DER). The tree is left as it was. Raises InputError for what is no SOAP envelope, is signed
    already or has processing instructions, and for a Content-ID that would need an escape.
    """
    return sign_prepared(prepare(root), signer, parts)


def prepare(root: Element) -> Unsigned:
    """The envelope as it will be signed; the tree is left as it was. Raises InputError as ``sign_envelope``."""
    xmldsig.refuse_for_signing(root)
    header = _header_of(root)
    if header is None:
        raise InputError("only a SOAP envelope with a Header first can be signed", code="SIGN.ENVELOPE")
    skeleton = xmlio.canonical(root)
    xmldsig.refuse_namespaces(root, skeleton)
    end = b"</%s>" % _written_name(header).encode()
    if skeleton.count(end) != 1:
        raise InputError("the envelope has more than one Header", code="SIGN.ENVELOPE")
    leaving = _for_next_hop(root, skeleton)
    if not all(_may_be_left_out(element, header) for element in leaving):
        raise InputError("only SyncReply and foreign blocks may be for the next hop", code="SIGN.NEXT_HOP")
    octets = xmlio.canonical(_copy_without(root, leaving)) if leaving else None
    at = skeleton.index(end)
    return Unsigned(skeleton[:at], skeleton[at:], octets, _root_reference(header), xmldsig.within(header))


def sign_prepared(unsigned: Unsigned, signer: Signer, parts: Mapping[str, Octets]) -> bytes:
    """``sign_envelope`` of an envelope that was prepared."""
    if not all(_CONTENT_ID.fullmatch(name) for name in parts):
        raise InputError("a Content-ID is printable ASCII without blanks, quotes or brackets", code="SIGN.CONTENT_ID")
    covered = unsigned.octets if unsigned.octets is not None else unsigned.before + unsigned.after
    references = [unsigned.reference, _DIGEST % b64encode(hashlib.sha256(covered).digest()).decode()]
    for name, octets in parts.items():
        references += (_PART % name, _DIGEST % b64encode(hashlib.sha256(octets).digest()).decode())
    signature = xmldsig.write_signature(unsigned.place, "".join(references).encode(), signer)
    return b"".join((xmldsig.DECLARATION, unsigned.before, signature, unsigned.after))


def _written_name(element: Element) -> str:
    name = etree.QName(element).localname
    return f"{element.prefix}:{name}" if element.prefix else name


def _root_reference(header: Element) -> str:
    """SignedInfo in canonical form up to the envelope's digest; the XPath's prefix is the envelope's own for SOAP."""
    prefix = next((name for name, uri in header.nsmap.items() if uri == SOAP and name), None)
    declared = "" if prefix else f' xmlns:SOAP="{SOAP}"'
    return _ROOT % (declared, prefix or "SOAP", prefix or "SOAP")


# --- verify -----------------------------------------------------------------------------------------------------------


def verify_envelope(
    root: Element,
    parts: Mapping[str, Octets],
    *,
    allow_sha1: bool = False,
    pinned: x509.Certificate | None = None,
    signal: bool = False,
) -> VerifiedEnvelope:
    """The signed envelope and who signed it; the tree handed in is left as it was.

    ``parts`` are all attachments, transfer-decoded, by Content-ID without brackets: each of them must be signed, and
    each reference must name one. ``pinned``: only this certificate may have signed (the agreement's or the register's).
    ``signal``: references to parts are looked past, because partners copy them there (HITS 1171 10.2).

    Raises EnvelopeSignatureError with the numbered rule of HITS 1172 (45: there is none).
    """
    if root.getparent() is not None:
        raise InputError("only a whole envelope can be verified", code="SIGN.PART")
    with failing("50"):
        xmldsig.refuse_noise(root)
    header = _header_of(root)
    signature = _find_signature(root, header)
    plan = read_envelope_plan(signature, allow_sha1)
    certificate = _check_value(plan, pinned)
    found, missing = _match_parts(plan, parts, signal)
    for reference, octets in found:
        if _hashed(reference.algorithm, octets) != reference.digest:
            raise broken("a part is not what was signed", uncovered=(reference.uri,), algorithms=plan.algorithms)
    octets, left_out, tree = _check_root(root, header, signature, plan.root)
    return VerifiedEnvelope(
        octets=octets,
        certificate=certificate,
        covered=("", *[reference.uri for reference, _ in found]),
        algorithms=plan.algorithms,
        left_out=left_out,
        missing=missing,
        tree=tree,
    )


def _hashed(algorithm: str, octets: Octets) -> bytes:
    return (hashlib.sha256(octets) if algorithm == "sha256" else hashlib.new(algorithm, octets)).digest()


def judge_validity(certificate: x509.Certificate, when: datetime) -> str | None:
    """The numbered rule that a time before (104) or after (105) the certificate's validity fails; None when inside."""
    if when < certificate.not_valid_before_utc:
        return "104"
    return "105" if when > certificate.not_valid_after_utc else None


def _header_of(root: Element) -> Element | None:
    """The Header, when the root is an Envelope that begins with it and has no other."""
    first = next(root.iterchildren(etree.Element), None) if root.tag == _ENVELOPE else None
    if first is None or first.tag != _HEADER or len(list(islice(root.iterchildren(_HEADER), 2))) != 1:
        return None
    return first


def _find_signature(root: Element, header: Element | None) -> Element:
    found = list(islice(root.iter(_SIGNATURE), 2))
    if not found:
        raise broken("the envelope has no signature", "45", uncovered=("",))
    if len(found) > 1:
        raise broken("the envelope has more than one signature", "52")
    if found[0].getparent() is not header:
        raise broken("the signature is not a child of the envelope's one Header", "45")
    return found[0]


def _check_value(plan: EnvelopePlan, pinned: x509.Certificate | None) -> x509.Certificate:
    certificate = plan.certificate
    if pinned is not None and not is_same(certificate, pinned):
        raise broken("another certificate than the agreed one has signed", "44", algorithms=plan.algorithms)
    if not xmldsig.has_signed(certificate, plan.value, plan.octets, plan.method):
        text = "the signature value does not belong to SignedInfo and the certificate"
        raise broken(text, algorithms=plan.algorithms)
    return certificate


def _match_parts(
    plan: EnvelopePlan, parts: Mapping[str, Octets], signal: bool
) -> tuple[list[tuple[PartReference, Octets]], tuple[str, ...]]:
    """Each reference with its part, one to one; and the references of a signal that name none."""
    found: dict[str, tuple[PartReference, Octets]] = {}
    missing: list[str] = []
    for reference in plan.parts:
        name = next((name for name in (reference.content_id, unquote(reference.content_id)) if name in parts), None)
        if name is None or name in found:
            missing.append(reference.uri)
        else:
            found[name] = (reference, parts[name])
    uncovered = tuple(f"cid:{name}" for name in parts if name not in found)
    if uncovered:
        raise broken("a part is not signed", "EB3", uncovered=uncovered, algorithms=plan.algorithms)
    if missing and not signal:
        raise broken("a signed part is not there", uncovered=missing, algorithms=plan.algorithms)
    return list(found.values()), tuple(missing)


def _check_root(
    root: Element, header: Element | None, signature: Element, reference: RootReference
) -> tuple[bytes, tuple[str, ...], Element | None]:
    """The canonical octets that the digest is about, by the declared transforms, and the tree that they are of.

    Exclusive C14N leaves namespaces out, so that the octets alone say what was signed: then there is no tree.
    """
    twin = _copy_unsigned(root)
    octets = content.canonical(twin, reference.form.exclusive, reference.form.prefixes)
    leaving = _for_next_hop(root, octets) if reference.without_next else []
    leaving = [element for element in leaving if element is not signature]
    if not all(_may_be_left_out(element, header) for element in leaving):
        raise broken("a part of the message that matters is not signed", uncovered=("",))
    left_out = tuple(etree.QName(element).localname for element in leaving)
    if leaving:
        twin = _copy_without(root, [*leaving, signature])
        octets = content.canonical(twin, reference.form.exclusive, reference.form.prefixes)
    if _hashed(reference.algorithm, octets) != reference.digest:
        raise broken("the envelope is not what was signed", uncovered=("",))
    return octets, left_out, None if reference.form.exclusive else twin


def _for_next_hop(root: Element, octets: bytes) -> list[Element]:
    """The elements that the XPath of ebMS 2.0 leaves out, with all that is in them.

    ``octets``: a canonical form of the tree, in which their actors would stand letter by letter.
    """
    if _NEXT_MSH not in octets and _NEXT not in octets:
        return []
    return [element for element in root.iter(etree.Element) if element.get(ACTOR) in (NEXT_MSH, NEXT)]


def _may_be_left_out(element: Element, header: Element | None) -> bool:
    """True for a block of the Header by which nobody acts on the message: SyncReply, and what others have invented."""
    known = etree.QName(element).namespace in _OURS
    return element.getparent() is header and (element.tag == _SYNC_REPLY or not known)


def _copy_without(root: Element, elements: Sequence[Element]) -> Element:
    """A copy without these elements, the text after them in its place.

    Never the tree itself: lxml drops namespace declarations that it thinks redundant when it puts an element back, and
    prefixes in attribute values and XPaths lose their meaning.
    """
    twin = copy.copy(root)
    leaving = set(elements)
    places = {number for number, element in enumerate(root.iter()) if element in leaving}
    for element in [element for number, element in enumerate(twin.iter()) if number in places]:
        xmlio.cut(element)
    return twin


def _copy_unsigned(root: Element) -> Element:
    """The same without the one Signature that there is: it need not be looked for by its place."""
    twin = copy.copy(root)
    for signature in list(twin.iter(_SIGNATURE)):
        xmlio.cut(signature)
    return twin
