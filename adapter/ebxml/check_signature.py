"""HITS 1172 5.10: the form of the envelope's signature. Whether it holds is for the keys, and is handed in.

``allow_sha1`` is the partner's setting; where it is off, SHA-1 is no listed method (rules 33 and 84).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from urllib.parse import unquote

from adapter.ebxml.mime import content_id_of
from adapter.ebxml.names import C14N, CANONICAL, DIGESTS, ENVELOPED, SIGNATURES, XPATH, ErrorCode, Kind, ds
from adapter.ebxml.read import first, named, signature_of, signed_references
from adapter.ebxml.rulebook import Act, Hit
from adapter.ebxml.words import Envelope, SignedReference
from adapter.xmlio import Element

_BLOCK = "/Envelope/Header/Signature"
_INFO = f"{_BLOCK}/SignedInfo"
_MOST = 50
_SIGNATURE, _SIGNED_INFO, _KEY_INFO = ds("Signature"), ds("SignedInfo"), ds("KeyInfo")
_METHOD, _X509_DATA, _CERTIFICATE = ds("SignatureMethod"), ds("X509Data"), ds("X509Certificate")
_PARTS = ((_SIGNED_INFO, "363"), (ds("SignatureValue"), "42"), (_KEY_INFO, "32"))


def check_signature(
    root: Element,
    kind: Kind | None,
    references: Sequence[SignedReference] | None = None,
    *,
    allow_sha1: bool = True,
) -> Iterator[Hit]:
    """The failed rules of form; ``references`` are the signature's own, where the caller has read them.

    A MessageError is judged too; who may send one unsigned is the journey's rule (P19).
    """
    signature = signature_of(root)
    if signature is None:
        yield Hit("45", "/Envelope/Header")
        return
    if len(list(islice(root.iter(_SIGNATURE), 2))) > 1:
        yield Hit("52", "/Envelope/Header")
    within = named(signature)
    for tag, rule in _PARTS:
        if tag not in within:
            yield Hit(rule, _BLOCK)
    info = within.get(_SIGNED_INFO)
    yield from _methods(info, allow_sha1)
    found = signed_references(root) if references is None else references
    yield from _references(found, kind, allow_sha1, info is not None)
    yield from _key_info(within.get(_KEY_INFO))


def check_coverage(root: Element, envelope: Envelope, references: Sequence[SignedReference]) -> Iterator[Hit]:
    """Every part that the Manifest names must be named by the signature too (EB3), whether it came or not."""
    if signature_of(root) is None:
        return
    signed = {unquote(content_id_of(one.uri) or "") for one in references}
    for number, line in enumerate(envelope.manifest or (), 1):
        name = content_id_of(line.href)
        if name is not None and unquote(name) not in signed:
            yield Hit("EB3", f"/Envelope/Body/Manifest/Reference[{number}]")


def _is_sha1(algorithm: str) -> bool:
    return algorithm.endswith("sha1")


def _methods(info: Element | None, allow_sha1: bool) -> Iterator[Hit]:
    method = first(info, _METHOD) if info is not None else None
    algorithm = (method.get("Algorithm") if method is not None else None) or ""
    if algorithm not in SIGNATURES or (_is_sha1(algorithm) and not allow_sha1):
        yield Hit("84", f"{_INFO}/SignatureMethod")
    elif _is_sha1(algorithm):
        yield Hit("EB16", f"{_INFO}/SignatureMethod")


def _references(
    references: Sequence[SignedReference], kind: Kind | None, allow_sha1: bool, has_info: bool
) -> Iterator[Hit]:
    if not references:
        if has_info:
            yield Hit("39", _INFO)
        return
    if not any(one.uri == "" for one in references):
        yield Hit("40", _INFO)
    for number, reference in enumerate(references[:_MOST], 1):
        if _plain(reference, kind):
            continue
        place = f"{_INFO}/Reference[{number}]"
        if reference.uri is None:
            yield Hit("85", place)
        elif reference.uri == "":
            yield from _root_transforms(reference, place)
        elif not reference.uri.lower().startswith("cid:"):
            yield Hit("34", place)
        elif kind not in (Kind.PAYLOAD, None):
            yield Hit("EB25", place)
        method = reference.digest_method or ""
        if method not in DIGESTS or (_is_sha1(method) and not allow_sha1):
            yield Hit("33", f"{place}/DigestMethod")
        elif _is_sha1(method):
            yield Hit("EB16", f"{place}/DigestMethod")
        if reference.digest is None:
            yield Hit("64", f"{place}/DigestValue")


_USUAL = (ENVELOPED, XPATH, C14N)
_SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"


def _plain(reference: SignedReference, kind: Kind | None) -> bool:
    """True for a reference in the national form, in which nothing can be found below."""
    if reference.digest_method != _SHA256 or reference.digest is None or reference.uri is None:
        return False
    if reference.uri == "":
        return tuple([transform.algorithm for transform in reference.transforms]) == _USUAL
    return reference.uri.startswith("cid:") and kind is Kind.PAYLOAD


def _root_transforms(reference: SignedReference, place: str) -> Iterator[Hit]:
    names = [transform.algorithm for transform in reference.transforms]
    place = f"{place}/Transforms"
    if names[:1] != [ENVELOPED]:
        yield Hit("37", place, act=Act.TOLERATE if ENVELOPED in names else None)
    if names[1:2] != [XPATH]:
        yield Hit("36", place)
    if names[-1:] != [C14N]:
        ends_well = bool(names) and names[-1] in CANONICAL
        yield Hit("35", place) if ends_well else Hit("35", place, None, Act.ERROR, ErrorCode.SECURITY_FAILURE)
    if names != list(_USUAL):
        yield Hit("38", place)


def _key_info(key_info: Element | None) -> Iterator[Hit]:
    if key_info is None:
        return
    place = f"{_BLOCK}/KeyInfo"
    data = list(islice(key_info.iterchildren(_X509_DATA), _MOST))
    if not data:
        yield Hit("41", place)
        return
    certificates = [one for block in data for one in islice(block.iterchildren(_CERTIFICATE), _MOST)]
    if not certificates:
        yield Hit("103", f"{place}/X509Data")
    elif len(certificates) > 1:
        yield Hit("65", f"{place}/X509Data")
    elif not (certificates[0].text or "").strip():
        yield Hit("46", f"{place}/X509Data/X509Certificate")
