"""Formatted text in notes: a whitelist, applied before it is shown and before it is sent (HISD 1155:2008, rule V23)."""

from __future__ import annotations

from lxml import etree

from adapter.documents import names
from adapter.documents.reading import local_name, namespace_of
from adapter.documents.tables import prefixes
from adapter.errors import InputError, UnreadableError
from adapter.xmlio import Element, parse


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_ALLOWED = _words(
    "abbr acronym address blockquote br cite code dfn div em h1 h2 h3 h4 h5 h6 kbd p pre q samp span strong var "
    "dl dt dd ol ul li b big hr i small sub sup tt caption table td th tr"
)
_DROPPED_WITH_TEXT = _words("script style object embed applet iframe template head title")
_KEPT_ATTRIBUTES = ("colspan", "rowspan")
_BREAKS = _words("address blockquote br div h1 h2 h3 h4 h5 h6 hr li p pre tr caption dt dd")


def has_markup(element: Element) -> bool:
    """True when the element holds other elements, that is, formatted text."""
    return any(isinstance(part.tag, str) for part in element)


def clean_xhtml(element: Element) -> str:
    """The content as one XHTML ``div`` with allowed elements only; no attribute but colspan and rowspan survives.

    Elements that are not allowed lose their tags and keep their text; scripts, styles and embedded objects go entirely.
    """
    div = etree.Element(f"{{{names.XHTML}}}div", nsmap=prefixes(names.XHTML))
    clean_into(div, element)
    only = div[0] if len(div) == 1 and not (div.text or "").strip() and not (div[0].tail or "").strip() else None
    if only is not None and local_name(only) == "div":
        only.tail = None
        div = only
    return etree.tostring(div, encoding="unicode")


def clean_into(target: Element, source: Element) -> None:
    """Append the cleaned content of ``source`` to ``target``."""
    _append_text(target, source.text)
    for part in source:
        if not isinstance(part.tag, str):
            _append_text(target, part.tail)
            continue
        name = local_name(part)
        foreign = namespace_of(part) not in (names.XHTML, "")
        if not foreign and name in _ALLOWED:
            kept = etree.SubElement(target, f"{{{names.XHTML}}}{name}")
            for attribute in _KEPT_ATTRIBUTES:
                value = part.get(attribute, "")
                if value.isascii() and value.isdigit() and len(value) < 4:
                    kept.set(attribute, value)
            clean_into(kept, part)
        elif name.lower() not in _DROPPED_WITH_TEXT:
            clean_into(target, part)
        _append_text(target, part.tail)


def _append_text(target: Element, text: str | None) -> None:
    if not text:
        return
    if len(target):
        target[-1].tail = (target[-1].tail or "") + text
    else:
        target.text = (target.text or "") + text


def plain_text(element: Element) -> str:
    """The text alone, with a line break after each block; for places that show no formatting."""
    if not has_markup(element):
        return element.text or ""
    pieces: list[str] = []
    _collect(element, pieces)
    lines = [" ".join(line.split()) for line in "".join(pieces).split("\n")]
    return "\n".join(line for line in lines if line)


def _collect(element: Element, pieces: list[str]) -> None:
    pieces.append((element.text or "").replace("\n", " "))
    for part in element:
        if isinstance(part.tag, str) and local_name(part).lower() not in _DROPPED_WITH_TEXT:
            name = local_name(part)
            if name in _BREAKS:
                pieces.append("\n")
            elif name in ("td", "th"):
                pieces.append(" ")
            _collect(part, pieces)
            if name in _BREAKS:
                pieces.append("\n")
        pieces.append((part.tail or "").replace("\n", " "))


def write_xhtml(element: Element, fragment: str) -> None:
    """Put a caller's XHTML fragment into an element, cleaned, in one ``div``. Raises InputError when it is no XML."""
    try:
        source = parse(f'<div xmlns="{names.XHTML}">{fragment}</div>'.encode())
    except UnreadableError as error:
        raise InputError("the formatted text is not well-formed XHTML", cure=error.cure or error.text) from None
    only = source[0] if len(source) == 1 and not (source.text or "").strip() else None
    if only is not None and isinstance(only.tag, str) and local_name(only) == "div" and not (only.tail or "").strip():
        source = only
    div = etree.SubElement(element, f"{{{names.XHTML}}}div", nsmap=prefixes(names.XHTML))
    clean_into(div, source)
