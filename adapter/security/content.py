"""Canonical forms and digests of documents whose bulk is base64.

Nearly all bytes of a large message are base64 within Base64Container elements, and C14N changes none of them. So they
are set aside while the rest is canonicalised, and hashed where they belong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pybase64
from lxml import etree

import adapter.xmlio as xmlio

Element = etree._Element
Text = bytes | memoryview

LARGE = xmlio.LARGE
_STEP = 1 << 17  # small enough for the processor's cache
_CONTAINER = etree.QName(xmlio.BASE64_CONTAINER).localname.encode()


def canonical(root: Element, exclusive: bool, prefixes: Sequence[str] = ()) -> bytes:
    """C14N 1.0 of a root without comments: inclusive, or exclusive with the listed prefixes treated as inclusive."""
    if not exclusive:
        return xmlio.canonical(root)
    return xmlio.canonical_form(root, exclusive=True, prefixes=prefixes)


def cut(xml: bytes, markers: Sequence[bytes]) -> list[bytes]:
    """What lies around the markers: one part more than there are markers.

    Raises ValueError unless every marker occurs exactly once, in order.
    """
    parts: list[bytes] = []
    start = 0
    for marker in markers:
        if xml.count(marker) != 1:
            raise ValueError("a marker must occur exactly once")
        at = xml.index(marker, start)
        parts.append(xml[start:at])
        start = at + len(marker)
    return [*parts, xml[start:]]


def markers_for(texts: Sequence[object]) -> list[bytes]:
    """A marker for each text: base64 characters, of a form no real attachment begins with."""
    return [_marker(number).encode() for number in range(len(texts))]


def _marker(number: int) -> str:
    return f"//set/aside/{number:06}//"


def set_aside(document: bytes) -> tuple[bytes, list[Text]]:
    """The document with markers for its long attachment texts, and these texts as C14N would write them.

    Only texts that are base64 (and line breaks) to the last character are taken. Nothing is parsed here: the caller
    makes sure with ``markers_alone`` that each marker became the whole text of a Base64Container.
    """
    if len(document) < LARGE:
        return document, []
    view = memoryview(document)
    parts: list[bytes] = []
    texts: list[Text] = []
    start = at = 0
    while (at := document.find(_CONTAINER, at)) >= 0:
        begin = document.find(b">", at) + 1
        end = document.find(b"<", begin)
        if not begin or end < 0:
            break
        at = begin
        if end - begin < LARGE:
            continue
        text = _as_canonical(view[begin:end])
        if text is not None:
            parts += [document[start:begin], _marker(len(texts)).encode()]
            texts.append(text)
            start = end
        at = end
    return b"".join([*parts, document[start:]]), texts


def _as_canonical(text: memoryview) -> Text | None:
    ends = text[:400].tobytes() + text[-400:].tobytes()
    broken = text.tobytes() if b"\n" in ends or b"\r" in ends else None
    if broken is not None:  # line breaks are read as LF, whatever they are written as
        broken = broken.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    plain = text if broken is None else broken.replace(b"\n", b"")
    try:
        pybase64.b64decode(plain, validate=True)
    except ValueError:
        return None
    return text if broken is None else broken


def markers_alone(root: Element, markers: Sequence[bytes]) -> bool:
    """True when the markers are, in order, the whole texts of Base64Containers (not parts of comments or the like)."""
    wanted = [marker.decode() for marker in markers]
    known = set(wanted)
    return [box.text for box in root.iter(xmlio.BASE64_CONTAINER) if box.text in known and not len(box)] == wanted


def digest(root: Element, algorithm: str) -> bytes:
    """The digest of the root's inclusive canonical form; the tree is the same afterwards."""
    boxes = xmlio.long_texts(root)
    if not boxes:
        return hashlib.new(algorithm, xmlio.canonical(root)).digest()
    with xmlio.texts_out(root, _instead, boxes) as taken:
        texts = [text for _, text in taken]
        octets = xmlio.canonical(root)
    try:
        parts = cut(octets, markers_for(texts))
    except ValueError:  # somebody has written our markers into the document
        return hashlib.new(algorithm, xmlio.canonical(root)).digest()
    hasher = hashlib.new(algorithm)
    for part, text in zip(parts, texts, strict=False):
        hasher.update(part)
        for at in range(0, len(text), _STEP):
            hasher.update(text[at : at + _STEP].encode("ascii"))
    hasher.update(parts[-1])
    return hasher.digest()


def _instead(number: int, text: str) -> str | None:
    """The marker for a text that C14N writes as it is; None for any other."""
    plain = text.isascii() and not any(character in text for character in "&<>\r")
    return _marker(number) if plain else None
