"""What an ebXML envelope's signature may ask for: SignedInfo with several references, read against the lists.

Everything here is structure; nothing is computed and nothing is trusted. Partners leave out the XPath transform or put
it in, and the national form has three transforms: what is declared is what will be executed, and what is not on the
list is refused.

Sources: ebMS 2.0 chapter 4.1; HIS 1037 5.5 and 6.2.3; HITS 1172 5.10.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from cryptography import x509
from lxml import etree

from adapter.errors import EnvelopeSignatureError, SignatureError, UnreadableError
from adapter.security.profile import (
    CANONICAL_FORMS,
    DIGESTS,
    DS,
    ENVELOPED,
    RSA_SHA256,
    SHA1_NAMES,
    SHA256,
    Form,
    algorithm_of,
    apex_octets,
    as_apex,
    decode,
    inherited_by,
    parts_of,
    read_base64,
    read_certificates,
    read_form,
    written,
)

Element = etree._Element

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"
NEXT_MSH, NEXT = "urn:oasis:names:tc:ebxml-msg:actor:nextMSH", "http://schemas.xmlsoap.org/soap/actor/next"
ACTOR = f"{{{SOAP}}}actor"
METHODS = frozenset({RSA_SHA256, DS + "rsa-sha1"})
DIGEST_NAMES = frozenset({SHA256, DS + "sha1"})
MAX_REFERENCES = 200

_NEEDED = ((f"{{{DS}}}SignedInfo", "363"), (f"{{{DS}}}SignatureValue", "42"), (f"{{{DS}}}KeyInfo", "32"))
_STEP = r"\s*ancestor-or-self\s*::\s*node\s*\(\s*\)\s*\[\s*@([\w.-]+):actor\s*=\s*(?:\"([^\"]+)\"|'([^']+)')\s*\]\s*"
_EXPRESSION = re.compile(rf"\s*not\s*\({_STEP}\|{_STEP}\)\s*")
_MAX_EXPRESSION = 1_000
_REFERENCE = f"{{{DS}}}Reference"
# Digests, and URIs of parts, that are written without an escape or a line end.
_VARIABLE = re.compile(rb'DigestValue>([A-Za-z0-9+/]{20,90}={0,2})</| URI="(cid:[A-Za-z0-9._@+=-]{1,200})"')
_VALUE, _LEAST_VALUE = b"SignatureValue>", 100  # characters; in lines or not
_X509_DATA, _X509_CERTIFICATE = f"{{{DS}}}X509Data", f"{{{DS}}}X509Certificate"
_MAX_KEPT_BYTES, _MAX_KEPT_VALUES = 8_000, 20


class PartReference(NamedTuple):
    """A reference to an attachment: its URI and the Content-ID in it as written, and the digest with its hash."""

    uri: str
    content_id: str
    algorithm: str
    digest: bytes


class RootReference(NamedTuple):
    """The reference to the envelope: what C14N, whether elements for the next hop are left out, and the digest."""

    form: Form
    without_next: bool
    algorithm: str
    digest: bytes


class SignedInfo(NamedTuple):
    """What SignedInfo says: the octets that were signed, the signature's method, and the references."""

    octets: bytes
    method: str
    root: RootReference
    parts: tuple[PartReference, ...]
    algorithms: tuple[str, ...]


class EnvelopePlan(NamedTuple):
    """A Signature, read: ``octets`` is SignedInfo as it was signed; ``algorithms`` the URIs used, without repeats."""

    octets: bytes
    value: bytes
    certificate: x509.Certificate
    method: str
    root: RootReference
    parts: tuple[PartReference, ...]
    algorithms: tuple[str, ...]


def broken(
    text: str, rule: str = "50", *, uncovered: Iterable[str] = (), algorithms: Iterable[str] = ()
) -> EnvelopeSignatureError:
    """What the profile demands, with the numbered rule that it fails; never what was found (P21)."""
    return EnvelopeSignatureError(text, rule=rule, uncovered=uncovered, algorithms=algorithms)


class failing:  # noqa: N801  (reads as a word: with failing("50"))
    """What the document's engine refuses, refused as the envelope's, with a rule number."""

    __slots__ = ("_rule",)

    def __init__(self, rule: str) -> None:
        self._rule = rule

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SignatureError):
            raise broken(error.text, self._rule) from None


def read_envelope_plan(signature: Element, allow_sha1: bool) -> EnvelopePlan:
    """The plan of a Signature that keeps to the profile; raises EnvelopeSignatureError for any other."""
    inherited = tuple(inherited_by(signature))
    plan = _by_template(written(signature), inherited)
    if plan is not None and (allow_sha1 or SHA1_NAMES.isdisjoint(plan.algorithms)):
        return plan
    within = {child.tag for child in signature}
    for tag, rule in _NEEDED:
        if tag not in within:
            raise broken(f"the signature has no {etree.QName(tag).localname}", rule)
    with failing("50"):
        info, value, key_info = parts_of(signature, "SignedInfo", "SignatureValue", "KeyInfo")
        octets_value = read_base64(value)
    signed = _read_signed_info(written(info), inherited)
    if not allow_sha1 and not SHA1_NAMES.isdisjoint(signed.algorithms):
        raise broken("SHA-1 is not accepted from this sender", "84", algorithms=signed.algorithms)
    return _plan(signed, octets_value, _read_certificate(key_info))


def _plan(signed: SignedInfo, value: bytes, certificate: x509.Certificate) -> EnvelopePlan:
    return EnvelopePlan(signed.octets, value, certificate, signed.method, signed.root, signed.parts, signed.algorithms)


def _read_certificate(key_info: Element) -> x509.Certificate:
    """The one certificate in KeyInfo's one X509Data: the signer's."""
    blocks = list(key_info.iterchildren(_X509_DATA))
    if len(blocks) != 1:
        raise broken("KeyInfo must hold one X509Data", "65" if blocks else "41")
    if len(list(islice(blocks[0].iterchildren(_X509_CERTIFICATE), 2))) > 1:
        raise broken("X509Data must hold the signer's certificate alone", "65")
    with failing("46"):
        (certificate,) = read_certificates(key_info)
    return certificate


def _read_signed_info(raw: bytes, inherited: tuple[tuple[str, str], ...]) -> SignedInfo:
    """SignedInfo as it was signed, and what it says; ``raw`` is it as a document of its own.

    C14N of an element within a tree is wrong in lxml (a false xmlns="").
    """
    with failing("50"):
        apex = as_apex(raw)
        count = sum(1 for _ in apex.iterchildren(_REFERENCE))
        if not 1 <= count <= MAX_REFERENCES:
            raise broken("SignedInfo must hold references, and not too many", "39")
        method, signing, *references = parts_of(
            apex, "CanonicalizationMethod", "SignatureMethod", *["Reference"] * count
        )
        info_form = read_form(method)
    with failing("84"):
        name = algorithm_of(signing, METHODS)
    root, parts, digests = _read_references(references)
    octets = apex_octets(apex, info_form, inherited)
    return SignedInfo(octets, name, root, parts, tuple(dict.fromkeys((name, *digests))))


# --- one sender's signatures differ in digests, Content-IDs and the value alone ---------------------------------------


def _by_template(raw: bytes, inherited: tuple[tuple[str, str], ...]) -> EnvelopePlan | None:
    """The same, from what was read of an earlier one that differs in plain digests, URIs and the value only.

    None: it is not that plain, or refused: reading every part of it says why. Digests and URIs of these forms are not
    changed by C14N, and whatever else is in it, the certificate too, is part of the template, to the byte.
    """
    if len(raw) > _MAX_KEPT_BYTES:
        return None
    value_at = raw.find(_VALUE) + len(_VALUE)
    value_end = raw.find(b"<", value_at)
    if value_at < len(_VALUE) or value_end < value_at + _LEAST_VALUE:
        return None
    around: list[bytes] = []
    found: list[bytes] = []
    start = 0
    spans = [match.span(match.lastindex or 0) for match in _VARIABLE.finditer(raw, 0, value_at)]
    for begin, end in (*spans, (value_at, value_end)):
        around += (raw[start:begin], b"")  # the stand-ins go to the odd places
        found.append(raw[begin:end])
        start = end
    around.append(raw[start:])
    if not 2 <= len(found) <= _MAX_KEPT_VALUES:
        return None
    stand_ins = [_stand_in(number, one[:4] == b"cid:") for number, one in enumerate(found)]
    around[1::2] = stand_ins
    kept = _read_template(b"".join(around), inherited, tuple(stand_ins))
    if kept is None:
        return None
    try:
        value = decode(found[-1].replace(b"&#13;", b" ").decode())
        digests: dict[int | None, bytes] = {place: decode(found[place].decode()) for place in kept.digests}
    except SignatureError:
        return None
    parts = []
    for (uri_at, digest_at), part in zip(kept.parts, kept.signed.parts, strict=True):
        uri = part.uri if uri_at is None else found[uri_at].decode()
        content_id = part.content_id if uri_at is None else uri[4:]
        parts.append(PartReference(uri, content_id, part.algorithm, digests.get(digest_at, part.digest)))
    if len({part.content_id for part in parts}) < len(parts):
        return None
    form, without_next, algorithm, digest = kept.signed.root
    root = RootReference(form, without_next, algorithm, digests.get(kept.root, digest))
    octets = b"".join([octet for pair in zip(kept.pieces, (*found[:-1], b""), strict=True) for octet in pair])
    signed = kept.signed
    return EnvelopePlan(octets, value, kept.certificate, signed.method, root, tuple(parts), signed.algorithms)


@lru_cache(maxsize=64)
def _stand_in(number: int, is_uri: bool) -> bytes:
    """What stands for the value of that number: a URI, or base64 of 32 octets."""
    return b"cid:stand-in-%d@template" % number if is_uri else b64encode(b"stand-in of a digest %011d" % number)


class Template(NamedTuple):
    """What one sender's signatures hold apart from the values: SignedInfo's canonical octets between them, what it says
    with stand-ins, the certificate, and the values' places: the digests', the envelope's digest's, and each part's URI
    and digest. None: it is fixed.
    """

    pieces: tuple[bytes, ...]
    signed: SignedInfo
    certificate: x509.Certificate
    digests: tuple[int, ...]
    root: int | None
    parts: tuple[tuple[int | None, int | None], ...]


@lru_cache(maxsize=256)
def _read_template(
    template: bytes, inherited: tuple[tuple[str, str], ...], stand_ins: tuple[bytes, ...]
) -> Template | None:
    """None unless each stand-in stands for one value alone, and the last one for the signature's."""
    *inside, last = stand_ins
    try:
        info, value, key_info = parts_of(as_apex(template), "SignedInfo", "SignatureValue", "KeyInfo")
        signed, certificate = _read_signed_info(written(info), inherited), _read_certificate(key_info)
    except (EnvelopeSignatureError, SignatureError, UnreadableError):
        return None
    if len(value) or (value.text or "").encode() != last or any(template.count(one) != 1 for one in stand_ins):
        return None
    read = [b64encode(signed.root.digest), *(b64encode(part.digest) for part in signed.parts)]
    read += [part.uri.encode() for part in signed.parts]
    pieces, rest = [], signed.octets
    for one in inside:
        before, there, rest = rest.partition(one)
        if not there or signed.octets.count(one) != 1 or read.count(one) != 1:
            return None
        pieces.append(before)
    places = {one: number for number, one in enumerate(inside)}
    at, count = [places.get(one) for one in read], len(signed.parts)
    digests = tuple(number for number in at[: 1 + count] if number is not None)
    uris_and_digests = tuple(zip(at[1 + count :], at[1 : 1 + count], strict=True))
    return Template((*pieces, rest), signed, certificate, digests, at[0], uris_and_digests)


def _read_references(references: list[Element]) -> tuple[RootReference, tuple[PartReference, ...], list[str]]:
    roots: list[RootReference] = []
    parts: dict[str, PartReference] = {}
    used: list[str] = []
    for reference in references:
        uri = reference.get("URI")
        if uri is None:
            raise broken("a reference names nothing", "85")
        if uri == "":
            roots.append(_read_root(reference, used))
            continue
        part = _read_part(reference, uri, used)
        if part.content_id in parts:
            raise broken("two references name one part")
        parts[part.content_id] = part
    if len(roots) != 1:
        raise broken("exactly one reference must cover the envelope", "40")
    return roots[0], tuple(parts.values()), used


def _read_digest(method: Element, value: Element, used: list[str]) -> tuple[str, bytes]:
    with failing("33"):
        name = algorithm_of(method, DIGEST_NAMES)
    used.append(name)
    with failing("64"):
        return DIGESTS[name], read_base64(value)


def _read_root(reference: Element, used: list[str]) -> RootReference:
    with failing("38"):
        transforms, method, value = parts_of(reference, "Transforms", "DigestMethod", "DigestValue")
        form, without_next = _read_transforms(transforms)
    return RootReference(form, without_next, *_read_digest(method, value, used))


def _read_part(reference: Element, uri: str, used: list[str]) -> PartReference:
    """An attachment is covered as its octets are: a transform would be another content than the one received."""
    content_id = uri[4:].strip().removeprefix("<").removesuffix(">")
    if uri[:4].lower() != "cid:" or not content_id:
        raise broken("a part is referenced by cid:", "34")
    with failing("50"):
        method, value = parts_of(reference, "DigestMethod", "DigestValue")
    return PartReference(uri, content_id, *_read_digest(method, value, used))


def _read_transforms(transforms: Element) -> tuple[Form, bool]:
    """Enveloped-signature, the one XPath, and a C14N last: each at most once, the first one always."""
    steps = list(transforms)
    if not 1 <= len(steps) <= 3:
        raise broken("one to three transforms are accepted", "38")
    parts_of(transforms, *["Transform"] * len(steps))
    form, enveloped, without_next = None, False, False
    for step in steps:
        name = step.get("Algorithm", "")
        if form is not None:
            raise broken("nothing may follow the canonicalisation", "35")
        if name == ENVELOPED and not enveloped and not len(step):
            enveloped = True
        elif name == XPATH and not without_next:
            _check_xpath(step)
            without_next = True
        elif name in CANONICAL_FORMS:
            form = read_form(step)
        else:
            raise broken("a transform is not accepted", "38")
    if not enveloped:
        raise broken("the transforms must leave out the signature itself", "37")
    return form or Form(exclusive=False), without_next


def _check_xpath(step: Element) -> None:
    """The expression of ebMS 2.0, by its parts: both actors, and a prefix that means SOAP here. No other is run."""
    (expression,) = parts_of(step, "XPath")
    text = expression.text or ""
    found = _EXPRESSION.fullmatch(text) if len(text) <= _MAX_EXPRESSION and not len(expression) else None
    if found is None:
        raise broken("the XPath transform is not that of ebMS 2.0", "36")
    first, second = found.group(2) or found.group(3), found.group(5) or found.group(6)
    prefixes = {found.group(1), found.group(4)}
    if {first, second} != {NEXT_MSH, NEXT} or any(expression.nsmap.get(prefix) != SOAP for prefix in prefixes):
        raise broken("the XPath transform is not that of ebMS 2.0", "36")
