"""Systematic changes to a document: each element and attribute away, blank, odd, of another namespace, of another kind.

The tree is changed in place and put back, so that thousands of variants of a document cost little.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

from lxml import etree

from adapter.validation.names import SUPPORTED_TYPES, TYPES_BY_NAMESPACE
from adapter.xmlio import Element

_CODES = ("HER", "FNR", "HNR", "M", "0", "24", "ZZ", "")
_TEXTS = (None, " ", "x9", "889640782", "79768")
_ROOTS = ("MsgHead", "Message", "AppRec", "Henvisning", "Dialogmelding")


def variants(root: Element) -> Iterator[Element]:
    """The root of each variant in turn; what was yielded before is not valid any more."""
    yield root
    for element in list(root.iter("*")):
        yield from _without(root, element)
        yield from _with_other_names(root, element)
        yield from _with_other_texts(root, element)
        yield from _with_other_values(root, element)


def other_versions(document: bytes) -> Iterator[bytes]:
    """The document with all that is in one business namespace in each of the others."""
    spaces = [namespace.encode() for namespace in TYPES_BY_NAMESPACE]
    for own in spaces:
        yield from (document.replace(own, other) for other in spaces if own in document and other != own)


def bodies(root: Element, others: list[Element]) -> Iterator[Element]:
    """The document with each of the other documents in its body's place."""
    content = next(root.iter("{*}Content"), None)
    if content is None or not len(content):
        return
    own = content[0]
    for other in others:
        inner = next(other.iter("{*}Content"), None)
        body = copy.deepcopy(inner[0] if inner is not None and len(inner) else other)
        content.replace(own, body)
        yield root
        content.replace(body, own)


def _without(root: Element, element: Element) -> Iterator[Element]:
    above = element.getparent()
    if above is None:
        return
    at = above.index(element)
    twin = copy.deepcopy(element)
    above.insert(0, twin)  # twice, the first time where it does not belong
    yield root
    above.remove(twin)
    above.remove(element)
    yield root
    above.insert(at, element)


def _with_other_names(root: Element, element: Element) -> Iterator[Element]:
    tag, (namespace, _, name) = element.tag, element.tag[1:].partition("}")
    others = [f"{{urn:other}}{name}", f"{{{namespace}}}Other"]
    if len(element):  # only what has something below it can be taken for a document of another kind
        others += [f"{{{one}}}{name}" for one in TYPES_BY_NAMESPACE]
        others += [f"{{{one}}}{kind}" for one in (namespace, *TYPES_BY_NAMESPACE) for kind in _kinds(name)]
    for other in others:
        element.tag = other
        yield root
    element.tag = tag


def _kinds(name: str) -> tuple[str, ...]:
    return tuple(kind for kind in _ROOTS if kind != name) if name in _ROOTS else ()


def _with_other_texts(root: Element, element: Element) -> Iterator[Element]:
    text = element.text
    for other in _TEXTS:
        element.text = other
        yield root
    element.text = text


def _with_other_values(root: Element, element: Element) -> Iterator[Element]:
    before: dict[str, str] = {str(name): str(value) for name, value in element.attrib.items()}
    own = etree.QName(element).localname
    codes = (*_CODES, *sorted(SUPPORTED_TYPES)) if own == "Type" else _CODES
    for name in before:
        del element.attrib[name]
        yield root
        element.attrib.update(before)
        for code in codes if etree.QName(name).localname == "V" else (" ", "ZZ", "2.16.578.1.12.4.1.1.9999"):
            element.set(name, code)
            yield root
        element.set(name, before[name])
    element.set("OT", "free text")
    yield root
    element.attrib.clear()
    element.attrib.update(before)
