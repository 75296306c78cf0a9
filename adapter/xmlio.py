"""The one parser and the serialisers. No other module parses XML; a test holds that.

Guards before the parser (size, encoding, start tags) and after it (DOCTYPE, processing instructions, depth, elements,
attributes, namespaces in scope), so that a hostile megabyte costs less than 100 ms (engineering: hardening).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import pybase64
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
_local = threading.local()
_DECLARED = re.compile(rb"\sencoding\s*=\s*[\"']([^\"']*)[\"']")
_DECLARES = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml[ \t\r\n]")
_DECLARATION_BYTES = 1000  # a longer XML declaration hides something
_ENCODING_FAULTS = frozenset(
    {
        etree.ErrorTypes.ERR_INVALID_ENCODING,
        etree.ErrorTypes.ERR_UNKNOWN_ENCODING,
        etree.ErrorTypes.ERR_UNSUPPORTED_ENCODING,
    }
)
_ENCODINGS = {b"utf-8", b"utf8", b"iso-8859-1", b"iso8859-1", b"latin1", b"us-ascii", b"windows-1252"}
# A start tag with very many attributes: reading them back is quadratic in lxml.
_MANY_ATTRIBUTES = re.compile(rb"<[^<>!?/\s][^<>\s]*(?:\s+[^\s=<>\"'/]+\s*=\s*(?:\"[^\"<]*\"|'[^'<]*')){65}")
_MOST_ATTRIBUTES = 64
_LONG_TAG_BYTES = 325  # 65 attributes take at least as many
_WINDOW = 65_536


def _parser() -> etree.XMLParser:
    parser = getattr(_local, "parser", None)
    if parser is None:
        parser = _local.parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            dtd_validation=False,
            attribute_defaults=False,
            recover=False,
            remove_comments=True,
            remove_pis=False,
            collect_ids=False,
            huge_tree=True,
        )
    return parser


def parser() -> etree.XMLParser:
    """This thread's hardened parser, for libraries that parse by themselves; it has no guards before or after."""
    return _parser()


def parse(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Element:
    """The root element of a document that keeps the limits; comments are dropped, text around them is joined.

    Raises UnreadableError (T01) with line and cure, never with content.
    """
    _guard_bytes(data, limits)
    try:
        root = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as error:
        if getattr(error, "code", None) in _ENCODING_FAULTS:
            text = "the bytes are not in the encoding that is declared (UTF-8 when none is)"
            raise UnreadableError(text, line=error.lineno, code="T01.ENCODING", cure="send UTF-8") from None
        text = "the document is not well-formed XML"
        raise UnreadableError(text, line=error.lineno, cure="send well-formed XML") from None
    except (ValueError, LookupError):
        raise UnreadableError("the document cannot be decoded", cure="declare the encoding that is used") from None
    _guard_tree(root, limits, data)
    if len(data) > _WINDOW or data.count(b"xmlns") > limits.namespaces_in_scope:
        _guard_namespaces(root, limits)
    return root


def _guard_bytes(data: bytes, limits: Limits) -> None:
    blanks = b" \t\r\n\xef\xbb\xbf"
    if not data[:64].strip(blanks) and not data.strip(blanks):  # stripping all would copy it
        raise UnreadableError("the document is empty")
    if len(data) > limits.size_bytes:
        raise UnreadableError(f"the document is larger than {limits.size_bytes} bytes", code="T01.SIZE")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in data:
        raise UnreadableError("the document is not in UTF-8 or ISO-8859-1", code="T01.ENCODING", cure="send UTF-8")
    if not _declares_known_encoding(data[: _DECLARATION_BYTES + 5].removeprefix(b"\xef\xbb\xbf")):
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


def _declares_known_encoding(start: bytes) -> bool:
    if not start.startswith(b"<?xml"):
        return True
    declaration, ended, _ = start.partition(b"?>")
    declared = _DECLARED.search(declaration)
    return bool(ended) and (declared is None or declared.group(1).lower() in _ENCODINGS)


def _is_sparse(data: bytes) -> bool:
    """True when most of a large document is text without a tag in it: base64."""
    windows = range(0, len(data), _WINDOW)
    return len(windows) > 4 and 2 * sum(data.find(b"<", at, at + _WINDOW) < 0 for at in windows) > len(windows)


def _survey(data: bytes, most: int) -> tuple[bool, int, list[int]]:
    """Whether a DOCTYPE or entity is declared, how many tags there are (0: surely few), where the long ones begin."""
    declares = b"!" in data and (b"<!DOCTYPE" in data or b"<!ENTITY" in data)
    long_tags = _find_long_tags(data) if data.count(b"=") > _MOST_ATTRIBUTES else []
    return declares, data.count(b"<") if len(data) > most else 0, long_tags


def _find_long_tags(data: bytes) -> list[int]:
    """Where the tags begin after which no other begins for a while: every stretch that long holds an empty window."""
    found = []
    window, at = _LONG_TAG_BYTES // 2, 0
    while at < len(data):
        if data.find(b"<", at, at + window) >= 0:
            at += window
            continue
        before, at = data.rfind(b"<", 0, at), data.find(b"<", at)
        if before >= 0:
            found.append(before)
        if at < 0:
            break
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


@lru_cache(maxsize=8)
def _deeper_than(depth: int) -> etree.XPath:
    return etree.XPath("boolean(" + "/*" * (depth + 1) + ")")


_USUAL_DEPTH = 20
_COUNT = etree.XPath("count(//*)")


def _guard_tree(root: Element, limits: Limits, data: bytes) -> None:
    docinfo, size_bytes = root.getroottree().docinfo, len(data)
    if docinfo.internalDTD is not None or docinfo.externalDTD is not None:
        raise UnreadableError("a document type declaration is not accepted", code="T01.DOCTYPE")
    # Each is "<?" in the bytes (all encodings taken have ASCII in them); in large ones the tree is searched faster.
    declared = _DECLARES.match(data) is not None
    may_have = not limits.instructions and (size_bytes > _WINDOW or data.count(b"<?") > declared)
    instruction = _first_instruction(root) if may_have else None
    if instruction is not None:
        line: Any = instruction.sourceline
        raise UnreadableError("a processing instruction is not accepted", line=line, code="T01.PI")
    if _deeper_than(min(_USUAL_DEPTH, limits.depth))(root) and _deeper_than(limits.depth)(root):
        raise UnreadableError(f"the document is nested deeper than {limits.depth}", code="T01.DEPTH")
    if size_bytes > 4 * limits.elements and _COUNT(root) > limits.elements:  # <a/> is the shortest
        raise UnreadableError(f"the document has more than {limits.elements} elements", code="T01.ELEMENTS")
    if size_bytes > limits.text_chars:  # else no text can be longer
        _guard_texts(root, limits)


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


def serialise(root: Element) -> bytes:
    """UTF-8 with an XML declaration in the first line (the API demands it)."""
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + etree.tostring(root, encoding="utf-8", with_tail=False)


def canonical(root: Element) -> bytes:
    """Inclusive C14N 1.0 of a ROOT element without comments. lxml's subtree C14N is wrong, so a subtree is refused."""
    if root.getparent() is not None:
        raise ValueError("canonicalise roots only; re-root the element first")
    return canonical_form(root)


def canonical_form(root: Element, *, exclusive: bool = False, prefixes: Sequence[str] = ()) -> bytes:
    """C14N 1.0 without comments; ``prefixes`` are those that the exclusive form treats as inclusive.

    Raises UnreadableError for a namespace that is no absolute URI: Canonical XML is not defined for it (W3C 4.4).
    """
    named = list(prefixes) or None
    try:
        out: bytes = etree.tostring(
            root, method="c14n", exclusive=exclusive, inclusive_ns_prefixes=named, with_comments=False, with_tail=False
        )
    except etree.C14NError:
        raise UnreadableError("a namespace is no absolute URI", code="T01.NAMESPACE") from None
    return out


def reroot(element: Element) -> Element:
    """The element as root of a tree of its own, with the namespaces that are in scope."""
    # UTF-8, because lxml writes a letter outside ASCII in a name as a character reference, which nobody can read back.
    return etree.fromstring(etree.tostring(element, encoding="utf-8", with_tail=False), _parser())


class _OnlyThese(etree.Resolver):
    """Gives schema documents from memory by namespace and refuses all else: neither disk nor network is read."""

    def __init__(self, documents: Mapping[str, bytes]) -> None:
        self._documents = documents

    def resolve(self, system_url: str, public_id: str | None, context: Any) -> Any:  # type: ignore[override]
        if system_url not in self._documents:
            raise ValueError("a schema points outside its own set")
        return self.resolve_string(self._documents[system_url], context, base_url=system_url)


def compile_schema(documents: Mapping[str, bytes]) -> etree.XMLSchema:
    """One validator from schema documents by namespace; imports between them name the namespace alone.

    Raises lxml.etree.XMLSchemaParseError when they do not fit together.
    """
    xs = "http://www.w3.org/2001/XMLSchema"
    reader = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    reader.resolvers.add(_OnlyThese(documents))
    driver = etree.Element(f"{{{xs}}}schema", nsmap={"xs": xs})
    for namespace in documents:
        etree.SubElement(driver, f"{{{xs}}}import", namespace=namespace, schemaLocation=namespace)
    return etree.XMLSchema(etree.fromstring(etree.tostring(driver), reader))


def follows_schema(root: Element, schema: etree.XMLSchema) -> bool:
    """The verdict alone, given while the document is read again: in linear time, however many faults there are.

    ``schema.validate`` names the place of each fault by counting siblings, which a hostile document makes quadratic.
    """
    try:
        etree.fromstring(serialise(root), etree.XMLParser(schema=schema, resolve_entities=False, huge_tree=True))
    except etree.XMLSyntaxError:
        return False
    return True


def splice(xml: bytes, markers: Sequence[bytes], pieces: Sequence[bytes]) -> bytes:
    """Put the base64 of each piece in its marker's place. Base64 is unchanged by C14N, so this works on both forms.

    Raises ValueError unless every marker occurs exactly once, in order.
    """
    out: list[bytes] = []
    rest_from = 0
    for marker, piece in zip(markers, pieces, strict=True):
        if xml.count(marker) != 1:
            raise ValueError("an attachment marker must occur exactly once")
        at = xml.index(marker, rest_from)
        out += [xml[rest_from:at], pybase64.b64encode(piece)]
        rest_from = at + len(marker)
    out.append(xml[rest_from:])
    return b"".join(out)


@contextmanager
def without(root: Element, tag: str) -> Iterator[None]:
    """The tree without the root's children of that tag, for as long as the block lasts; then it is as it was."""
    taken = []
    for child in root.findall(tag):
        place, before = root.index(child), child.getprevious()
        taken.append((child, place, child.tail, before, root.text if before is None else before.tail))
        cut(child)
    try:
        yield
    finally:
        for child, place, tail, before, text in reversed(taken):
            root.insert(place, child)
            child.tail = tail
            if before is None:
                root.text = text
            else:
                before.tail = text


LARGE = 65_536  # characters; below this taking a text out costs more than it saves
_LAST_LINE = 65_535  # lxml can set no later one


@contextmanager
def texts_out(root: Element, instead: Callable[[int, str], str | None]) -> Iterator[list[tuple[Element, str]]]:
    """While it lasts, short texts stand for the long ones of Base64Containers; yields elements and texts in order.

    ``instead(number, text)`` gives the short text, None to leave a long one where it is. Containers about which
    anything is unusual are left too. Afterwards the tree is as it was, with the same elements.
    """
    texts: list[tuple[Element, str]] = []
    moved: list[tuple[Element, Element]] = []
    try:
        for box in list(root.iter(BASE64_CONTAINER)):
            text = "" if len(box) or box.attrib else box.text or ""
            short = instead(len(moved), text) if len(text) >= LARGE else None
            twin = _twin(box) if short is not None else None
            if twin is None:
                continue
            twin.text = short
            texts.append((box, text))
            _swap(box, twin)
            moved.append((box, twin))
        yield texts
    finally:
        for box, twin in moved:
            _swap(twin, box)


def _twin(box: Element) -> Element | None:
    """An empty element that C14N and schemas take for ``box``; None where its namespaces are unusual."""
    above = box.getparent()
    if above is None or (None in above.nsmap and None not in box.nsmap):
        return None
    nsmap: Any = {prefix: uri for prefix, uri in box.nsmap.items() if prefix != "xml"}
    if len(set(nsmap.values())) < len(nsmap):
        return None  # lxml would merge two prefixes of one namespace when the element moves
    twin = etree.Element(box.tag, nsmap=nsmap)
    line: Any = box.sourceline  # lxml-stubs do not know these two
    twin.tail, twin.sourceline = box.tail, cast(Any, min(line or 0, _LAST_LINE))
    return twin


def _swap(old: Element, new: Element) -> None:
    above = old.getparent()
    if above is not None:
        above.replace(old, new)


def cut(element: Element) -> None:
    """Take an element out of its tree and leave the text after it where it was."""
    parent = element.getparent()
    if parent is None:
        raise ValueError("a root cannot be cut out")
    tail, before = element.tail, element.getprevious()
    parent.remove(element)
    if tail and before is not None:
        before.tail = (before.tail or "") + tail
    elif tail:
        parent.text = (parent.text or "") + tail
