"""Tables that say how a typed word and its XML part go together. One table serves building and reading.

Building follows the table's order, which is the schema's order. Reading is tolerant: siblings may come in any order, a
value that does not have the expected form is handed on as it is written, unknown parts are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Protocol, cast

from lxml import etree

from adapter.documents.reading import system_of
from adapter.errors import InputError
from adapter.model.coding import Code, complete
from adapter.xmlio import Element

sub = etree.SubElement


def prefixes(default: str, **others: str) -> dict[str, str]:
    """A namespace map for lxml; its stubs leave out that the default namespace has the key None."""
    return cast("dict[str, str]", {None: default, **others})


class Part(Protocol):
    """How one element's content is read."""

    def read(self, element: Element) -> object: ...


class WrittenPart(Part, Protocol):
    """How it is written too: every part of the documents that we build."""

    def write(self, element: Element, value: Any) -> None: ...


class Text:
    """Element text. ``form`` turns a value into text, ``parse`` text into a JSON value (ValueError: keep the text)."""

    def __init__(self, form: Callable[[Any], str] | None = None, parse: Callable[[str], object] | None = None) -> None:
        self._form = form
        self._parse = parse

    def write(self, element: Element, value: Any) -> None:
        element.text = value if self._form is None else self._form(value)

    def read(self, element: Element) -> object:
        # Markup where only text is foreseen must not hide the text.
        written = "".join(map(str, element.itertext())) if len(element) else element.text or ""
        if self._parse is None:
            return written
        try:
            return self._parse(written.strip())
        except ValueError:
            return written


class Attribute(Text):
    """The same in the attribute V (types TS, BL, INT, URL)."""

    def write(self, element: Element, value: Any) -> None:
        element.set("V", value if self._form is None else self._form(value))

    def read(self, element: Element) -> object:
        written = element.get("V")
        if written is None:
            return None
        if self._parse is None:
            return written
        try:
            return self._parse(written.strip())
        except ValueError:
            return written


def timestamp(value: datetime) -> str:
    """xs:dateTime to the second; without a zone when the value has none (Norwegian local time)."""
    return value.isoformat(timespec="seconds")


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _read_truth(text: str) -> bool:
    if text in ("true", "1"):
        return True
    if text in ("false", "0"):
        return False
    raise ValueError


class Moment:
    """A time of the older standards, in @V or (in a few places) as text. It is only read, as it is written."""

    def read(self, element: Element) -> object:
        return element.get("V", element.text)


STRING = Text()
MOMENT = Moment()
DATE_TIME = Text(timestamp)
DATE = Text(date.isoformat)
YEAR = Text(str, int)
BOOL = Text(_truth, _read_truth)
V_TEXT = Attribute(str)
V_BOOL = Attribute(_truth, _read_truth)


class Choice:
    """A CS or CV. ``system`` is the list that the field fixes, ``oid`` writes @S (CV), ``short`` reads the code."""

    def __init__(self, system: str | None = None, *, oid: bool = False, short: bool = False) -> None:
        self._system = system
        self._oid = oid
        self._short = short

    def write(self, element: Element, value: Code) -> None:
        coded = complete(value, self._system)
        if coded.code is not None:
            element.set("V", coded.code)
        if self._oid and coded.system:
            element.set("S", oid_of(coded.system))
        if coded.name is not None:
            element.set("DN", coded.name)
        if coded.text is not None:
            if not self._oid:
                raise InputError("free text instead of a code is not possible here", cure="give a code")
            element.set("OT", coded.text)

    def read(self, element: Element) -> object:
        if self._short:
            return element.get("V")
        found = {
            "code": element.get("V"),
            "system": system_of(element.get("S")) or self._system,
            "name": element.get("DN"),
            "text": element.get("OT"),
        }
        return {key: value for key, value in found.items() if value is not None}


def oid_of(system: str) -> str:
    """The OID of a national list's number; an OID is kept."""
    return system if "." in system else f"2.16.578.1.12.4.1.1.{system}"


def cs(system: str | None = None) -> Choice:
    """A code of a fixed list without @S."""
    return Choice(system)


def cs_short(system: str | None = None) -> Choice:
    """A CS whose word in the model is the bare code."""
    return Choice(system, short=True)


def cv(system: str | None = None) -> Choice:
    """A code with @S."""
    return Choice(system, oid=True)


class Amount:
    """PQ: @V a double, @U the unit."""

    def write(self, element: Element, value: Any) -> None:
        if not math.isfinite(value.value):
            raise InputError("a quantity is a finite number")
        element.set("V", f"{value.value:.15g}")
        element.set("U", value.unit)

    def read(self, element: Element) -> object:
        written = element.get("V")
        found: dict[str, object] = {}
        if written is not None:
            try:
                found["value"] = float(written)
            except ValueError:
                found["value"] = written
        if element.get("U") is not None:
            found["unit"] = element.get("U")
        return found


PQ = Amount()


class Field:
    """A child element and the attribute of the word it belongs to.

    ``many``: a tuple, one element each. ``via``: an element around it, one for each value.
    ``kind``: the element is one of several for the same attribute and is told apart by the value's ``kind``.
    ``key``: its name when read, where that is not the attribute.
    """

    def __init__(
        self,
        attribute: str,
        name: str,
        part: Part,
        *,
        many: bool = False,
        via: str | None = None,
        kind: str | None = None,
        key: str | None = None,
    ) -> None:
        self.attribute = attribute
        self.key = key or attribute
        self.name = name
        self.part = part
        self.many = many
        self.kind = kind
        self.tag = name
        self._via = via

    def bound(self, ns: str) -> Field:
        """The same field with its names in a namespace."""
        field = Field(self.attribute, self.name, self.part, many=self.many, kind=self.kind, key=self.key)
        field.tag = self.name if self.name.startswith("{") else f"{{{ns}}}{self.name}"
        field._via = f"{{{ns}}}{self._via}" if self._via and not self._via.startswith("{") else self._via
        return field

    def write(self, parent: Element, word: Any) -> None:
        value = getattr(word, self.attribute, None)
        if value is None or (self.kind is not None and value.kind != self.kind):
            return
        if self.many:
            for at, item in enumerate(value):
                self._write(parent, item, f"{self.attribute}[{at}]")
        else:
            self._write(parent, value, self.attribute)

    def _write(self, parent: Element, value: Any, where: str) -> None:
        part = cast("WrittenPart", self.part)  # only tables of documents that we build come here
        try:
            part.write(sub(sub(parent, self._via) if self._via else parent, self.tag), value)
        except InputError as error:
            place = f"{where}.{error.where}" if error.where else where
            raise InputError(error.text, where=place, cure=error.cure) from None
        except ValueError:
            raise InputError("a text holds a character that XML cannot carry", where=where) from None

    def read(self, element: Element, found: dict[str, object]) -> None:
        if self._via:
            inner = next(element.iterchildren(self.tag), None)
            if inner is None:
                return
            element = inner
        value = self.part.read(element)
        if value is None:
            return
        if self.kind is not None and isinstance(value, Mapping):
            value = {"kind": self.kind, **value}
        if self.many:
            already = found.setdefault(self.key, [])
            if isinstance(already, list):
                already.append(value)
        else:
            found.setdefault(self.key, value)

    @property
    def outer(self) -> str:
        """The tag under which the field is found in its parent."""
        return self._via or self.tag


class Node:
    """An element with children, by its table of fields in schema order."""

    def __init__(self, ns: str, *fields: Field) -> None:
        self.fields = tuple(field.bound(ns) for field in fields)
        self._by_tag = {field.outer: field for field in self.fields}

    def write(self, element: Element, value: Any) -> None:
        for field in self.fields:
            field.write(element, value)

    def read(self, element: Element) -> dict[str, object]:
        found: dict[str, object] = {}
        for part in element:
            field = self._by_tag.get(part.tag)
            if field is not None:
                field.read(part, found)
        return found
