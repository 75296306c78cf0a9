"""The one parser and the serialisers. No other module parses XML; a test holds that.

``xml_guards`` bounds what is read: before the parser (size, encoding, start tags) and after it (DOCTYPE, processing
instructions, depth, elements, namespaces in scope).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pybase64
from lxml import etree

from adapter.errors import UnreadableError
from adapter.xml_guards import BASE64_CONTAINER as BASE64_CONTAINER
from adapter.xml_guards import DEFAULT_LIMITS as DEFAULT_LIMITS
from adapter.xml_guards import Limits as Limits
from adapter.xml_guards import guard_bytes, guard_tree

Element = etree._Element

_local = threading.local()
_ENCODING_FAULTS = frozenset(
    {
        etree.ErrorTypes.ERR_INVALID_ENCODING,
        etree.ErrorTypes.ERR_UNKNOWN_ENCODING,
        etree.ErrorTypes.ERR_UNSUPPORTED_ENCODING,
    }
)


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
    guard_bytes(data, limits)
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
    guard_tree(root, limits, data)
    return root


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


def long_texts(root: Element) -> list[tuple[Element, str]]:
    """The Base64Containers with a long text, no attribute and nothing else in them, and their texts, in order."""
    boxes = [(box, box.text or "") for box in root.iter(BASE64_CONTAINER) if not len(box)]
    return [(box, text) for box, text in boxes if len(text) >= LARGE and not box.attrib]


@contextmanager
def texts_out(
    root: Element, instead: Callable[[int, str], str | None], boxes: Sequence[tuple[Element, str]] | None = None
) -> Iterator[list[tuple[Element, str]]]:
    """While it lasts, short texts stand for the long ones of Base64Containers; yields elements and texts in order.

    ``instead(number, text)`` gives the short text, None to leave a long one where it is. Containers about which
    anything is unusual are left too. Afterwards the tree is as it was, with the same elements. ``boxes``: what
    ``long_texts`` has just found in it.
    """
    texts: list[tuple[Element, str]] = []
    moved: list[tuple[Element, Element]] = []
    try:
        for box, text in long_texts(root) if boxes is None else boxes:
            short = instead(len(moved), text)
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
