"""Small tolerant readers over the parsed tree. They never raise: what is missing or odd is None.

A name is looked up in one given namespace; the order of siblings does not matter, the first one of a name counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from adapter.codes import Coded, system_number
from adapter.xmlio import Element

_DATE = re.compile(r"\s*([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})")


def namespace_of(element: Element) -> str:
    """The element's namespace, "" when it has none."""
    tag = element.tag
    return tag[1:].split("}", 1)[0] if tag.startswith("{") else ""


def local_name(element: Element) -> str:
    """The element's name without its namespace."""
    return element.tag.rsplit("}", 1)[-1]


def child(element: Element | None, namespace: str, *path: str) -> Element | None:
    """The first child of that name, and so on down the path."""
    for name in path:
        if element is None:
            return None
        element = _first(element, f"{{{namespace}}}{name}")
    return element


def _first(element: Element, tag: str) -> Element | None:
    # By hand: to set up lxml's own search costs more than a few children.
    for part in element:
        if part.tag == tag:
            return part
    return None


def children(element: Element | None, namespace: str, name: str) -> Iterator[Element]:
    """All children of that name, in order."""
    if element is not None:
        yield from element.iterchildren(f"{{{namespace}}}{name}")


def first_children(element: Element | None) -> dict[str, Element]:
    """The first child of each name, by its whole name: for elements of which many children are asked."""
    return {} if element is None else {part.tag: part for part in reversed(element)}


def text_of(found: Element | None) -> str | None:
    """An element's text, untouched; "" for an empty element, None for an absent one."""
    return None if found is None else found.text or ""


def value_of(found: Element | None, attribute: str = "V") -> str | None:
    """An element's attribute V (or another), stripped."""
    raw = None if found is None else found.get(attribute)
    return None if raw is None else raw.strip()


def text(element: Element | None, namespace: str, *path: str) -> str | None:
    """The text at the end of the path, untouched; "" for an empty element, None for an absent one."""
    return text_of(child(element, namespace, *path))


def value(element: Element | None, namespace: str, *path: str, attribute: str = "V") -> str | None:
    """The attribute V (or another) at the end of the path; tokens are stripped."""
    return value_of(child(element, namespace, *path), attribute)


def system_of(oid_text: str | None) -> str | None:
    """A national list's number from its OID; another OID as it is written."""
    return system_number(oid_text) or oid_text


def coded(element: Element | None) -> Coded | None:
    """A CS or CV element as a coded value; None when it is absent."""
    if element is None:
        return None
    return Coded(element.get("V"), system_of(element.get("S")), element.get("DN"), element.get("OT"))


def day(written: str | None) -> date | None:
    """The calendar day that a date or dateTime starts with; months and days of one digit are taken too."""
    found = _DATE.match(written or "")
    if not found:
        return None
    try:
        return date(*(int(part) for part in found.groups()))
    except ValueError:
        return None
