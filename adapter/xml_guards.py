"""Bounds on a document, held before it is parsed (its bytes) and after (its tree); ``xmlio.parse`` asks both.

A hostile megabyte is refused in less than 100 ms (engineering: hardening), and an honest message pays little: what can
only be in few documents is looked for by one cheap sign of it first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from lxml import etree

from adapter.errors import UnreadableError

Element = etree._Element


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on a document. Sizes in bytes; the defaults hold a 35 MB API body and every real message seen."""

    size_bytes: int = 40_000_000
    depth: int = 100
    elements: int = 200_000
    attributes_per_tag: int = 64
    namespaces_in_scope: int = 40
    text_chars: int = 10_000_000  # outside a Base64Container
    instructions: bool = False  # processing instructions; only where nothing signed is read


DEFAULT_LIMITS = Limits()
BASE64_CONTAINER = "{http://www.kith.no/xmlstds/base64container}Base64Container"
_MARK = b"\xef\xbb\xbf"
_BLANKS = b" \t\r\n" + _MARK
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_DECLARED = re.compile(rb"\sencoding\s*=\s*[\"']([^\"']*)[\"']")
_DECLARES = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml[ \t\r\n]")
_DECLARATIONS = (b"<?xml", _MARK + b"<?xml")
_DECLARATION_BYTES = 1000  # a longer XML declaration hides something
_ENCODINGS = {b"utf-8", b"utf8", b"iso-8859-1", b"iso8859-1", b"latin1", b"us-ascii", b"windows-1252"}
# A start tag with very many attributes: reading them back is quadratic in lxml.
_MANY_ATTRIBUTES = re.compile(rb"<[^<>!?/\s][^<>\s]*+(?:\s++[^\s=<>\"'/]++\s*+=\s*+(?:\"[^\"<]*+\"|'[^'<]*+')){65}")
_LONG_TAG_BYTES = 325  # 65 attributes take at least as many
_WINDOW = 65_536
_USUAL_DEPTH = 20
_COUNT = etree.XPath("count(//*)")


# --- the bytes --------------------------------------------------------------------------------------------------------


def guard_bytes(data: bytes, limits: Limits) -> None:
    """Raise UnreadableError (T01…) for bytes that are not worth parsing."""
    if not data[:64].strip(_BLANKS) and not data.strip(_BLANKS):  # stripping all would copy it
        raise UnreadableError("the document is empty")
    if len(data) > limits.size_bytes:
        raise UnreadableError(f"the document is larger than {limits.size_bytes} bytes", code="T01.SIZE")
    if data.startswith(_UTF16) or b"\x00" in data:
        raise UnreadableError("the document is not in UTF-8 or ISO-8859-1", code="T01.ENCODING", cure="send UTF-8")
    if data.startswith(_DECLARATIONS) and not _declares_known_encoding(data):
        text = "the declared encoding is not UTF-8 or ISO-8859-1"
        raise UnreadableError(text, code="T01.ENCODING", cure="send UTF-8")
    most = 2 * limits.elements + 64
    declares, tags, long_tags = _survey_sparse(data, most) if _is_sparse(data) else _survey(data, most)
    if declares:
        text = "a document type declaration is not accepted"
        raise UnreadableError(text, code="T01.DOCTYPE", cure="remove the DOCTYPE")
    if tags > most:
        raise UnreadableError(f"the document has more than {limits.elements} elements", code="T01.ELEMENTS")
    if any(_MANY_ATTRIBUTES.match(data, at) for at in long_tags):
        text = f"a start tag has more than {limits.attributes_per_tag} attributes"
        raise UnreadableError(text, code="T01.ATTRIBUTES")


def _declares_known_encoding(data: bytes) -> bool:
    end = data.find(b"?>", 0, _DECLARATION_BYTES + 5)
    return end >= 0 and _is_known(data[:end])


@lru_cache(maxsize=64)
def _is_known(declaration: bytes) -> bool:
    """Kept, because there are few of them."""
    declared = _DECLARED.search(declaration)
    return declared is None or declared.group(1).lower() in _ENCODINGS


def _is_sparse(data: bytes) -> bool:
    """True when most of a large document is text without a tag in it: base64."""
    if len(data) <= 4 * _WINDOW:
        return False
    windows = range(0, len(data), _WINDOW)
    return 2 * sum(data.find(b"<", at, at + _WINDOW) < 0 for at in windows) > len(windows)


def _survey(data: bytes, most: int) -> tuple[bool, int, list[int]]:
    """Whether a DOCTYPE or entity is declared, how many tags there are (0: surely few), where the long ones begin."""
    declares = b"!" in data and (b"<!DOCTYPE" in data or b"<!ENTITY" in data)
    return declares, data.count(b"<") if len(data) > most else 0, _find_long_tags(data)


def _find_long_tags(data: bytes) -> list[int]:
    """Where the tags begin after which no other begins for a while; between them in leaps as long as that."""
    found = []
    at = data.find(b"<")
    while at >= 0:
        last = data.rfind(b"<", at + 1, at + 1 + _LONG_TAG_BYTES)
        if last < 0:
            found.append(at)
            last = data.find(b"<", at + 1 + _LONG_TAG_BYTES)
        at = last
    return found


def _survey_sparse(data: bytes, most: int) -> tuple[bool, int, list[int]]:
    """The same from tag to tag, which for a few tags in much text is several times faster; ends after ``most`` tags."""
    tags, long_tags = 0, []
    at = data.find(b"<")
    while at >= 0 and tags <= most:
        tags += 1
        if data.startswith((b"<!DOCTYPE", b"<!ENTITY"), at):
            return True, tags, []
        after = data.find(b"<", at + 1)
        if after < 0 or after - at > _LONG_TAG_BYTES:
            long_tags.append(at)
        at = after
    return False, tags, long_tags


# --- the tree ---------------------------------------------------------------------------------------------------------


def guard_tree(root: Element, limits: Limits, data: bytes) -> None:
    """Raise UnreadableError (T01…) for a tree that breaks a limit; ``data`` are the bytes that it was parsed from."""
    docinfo, size_bytes = root.getroottree().docinfo, len(data)
    if docinfo.internalDTD is not None or docinfo.externalDTD is not None:
        raise UnreadableError("a document type declaration is not accepted", code="T01.DOCTYPE")
    instruction = None if limits.instructions or _has_none(data) else _first_instruction(root)
    if instruction is not None:
        line: Any = instruction.sourceline
        raise UnreadableError("a processing instruction is not accepted", line=line, code="T01.PI")
    if _deeper_than(min(_USUAL_DEPTH, limits.depth))(root) and _deeper_than(limits.depth)(root):
        raise UnreadableError(f"the document is nested deeper than {limits.depth}", code="T01.DEPTH")
    if size_bytes > 4 * limits.elements and _COUNT(root) > limits.elements:  # <a/> is the shortest
        raise UnreadableError(f"the document has more than {limits.elements} elements", code="T01.ELEMENTS")
    if size_bytes > limits.text_chars:  # else no text can be longer
        _guard_texts(root, limits)
    if size_bytes > _WINDOW or data.count(b"xmlns") > limits.namespaces_in_scope:
        _guard_namespaces(root, limits)


@lru_cache(maxsize=8)
def _deeper_than(depth: int) -> etree.XPath:
    return etree.XPath("boolean(" + "/*" * (depth + 1) + ")")


def _has_none(data: bytes) -> bool:
    """True when there is surely no processing instruction: "<?" begins the XML declaration and nothing else.

    All encodings taken have ASCII in them. A large document is not searched: its tree is, which is faster.
    """
    if len(data) > _WINDOW:
        return False
    declares = _DECLARES.match(data)
    start = declares.end() if declares else 0
    mark = data.find(b"?", start)
    if declares:  # that one ends the declaration
        mark = data.find(b"?", mark + 1)
    return mark < 0 or data.find(b"<?", start) < 0


def _first_instruction(root: Element) -> etree._ProcessingInstruction | None:
    # Not by XPath: libxml2 sorts the nodes that it finds, which takes minutes for a megabyte of them.
    around = (root.itersiblings(etree.PI, preceding=True), root.iter(etree.PI), root.itersiblings(etree.PI))
    return next((cast(etree._ProcessingInstruction, node) for nodes in around for node in nodes), None)


def _guard_texts(root: Element, limits: Limits) -> None:
    for node in root.iter(etree.Element):
        inside = None if node.tag == BASE64_CONTAINER else node.text
        texts = (inside, node.tail, *node.attrib.values())  # few attributes: the start tags were checked
        if any(text is not None and len(text) > limits.text_chars for text in texts):
            line: Any = node.sourceline
            raise UnreadableError("a text outside a Base64Container is too long", line=line, code="T01.TEXT")


def _guard_namespaces(root: Element, limits: Limits) -> None:
    # Inclusive C14N is quadratic in the namespaces in scope, so they are bounded before anything is canonicalised.
    scope = 0
    for event, _ in etree.iterwalk(root, events=("start-ns", "end-ns")):
        scope += 1 if event == "start-ns" else -1
        if scope > limits.namespaces_in_scope:
            raise UnreadableError("too many namespaces are in scope at one element", code="T01.NAMESPACES")
