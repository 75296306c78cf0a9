"""Say what a schema fault is: where, of which kind, and what was expected. Never what was found (P21).

libxml2 finds the faults; its messages quote content, so only their kind and place are used. What was expected comes
from xmlschema, which is given the schema documents and the names of elements on the way to the fault, never the
document itself: its memory would grow to 180 times a message's size. It takes half a second to load, so this module is
imported for faulty documents only.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import xmlschema
from lxml import etree

from adapter.errors import Finding, Severity
from adapter.validation.content_model import Fault, content_faults, is_group, mend
from adapter.xmlio import Element, serialise

if TYPE_CHECKING:
    from adapter.validation.schema import LogEntry, Source

_XS = "{http://www.w3.org/2001/XMLSchema}"
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_STEP = re.compile(r"(?:(?P<any>\*)|(?:(?P<prefix>[^:\[]+):)?(?P<name>[^\[]+))(?:\[(?P<position>\d+)\])?")
_ATTRIBUTE = re.compile(r"Element '[^']*', attribute '(?P<name>[^']*)': ")
_REQUIRED = re.compile(r"The attribute '(?P<name>[^']*)' is required but missing\.$")
_count = etree.XPath("count(descendant::*)")
_PER_PARENT = 20  # faults among the children of one element
_MOST = 100  # findings per document; more help nobody
_LOOKS = 5  # the first and those after mending; each goes at least one level deeper
_LARGE = 20_000  # elements, beyond which no copy is made

_FORMS = {
    "dateTime": "a date and time, YYYY-MM-DDThh:mm:ss",
    "date": "a date, YYYY-MM-DD",
    "gYear": "a year, YYYY",
    "boolean": "true or false",
    "base64Binary": "base64",
    "integer": "a whole number",
    "double": "a number",
    "anyURI": "a URI",
    "ID": "a name that occurs once in the document",
}
_MOMENT = "a date or a time, such as YYYY-MM-DD or YYYY-MM-DDThh:mm:ss"

# libxml2's kinds of fault that are not about which child stands where.
_NO_TEXT = {
    "SCHEMAV_CVC_COMPLEX_TYPE_2_1",
    "SCHEMAV_CVC_COMPLEX_TYPE_2_3",
    "SCHEMAV_CVC_COMPLEX_TYPE_2_2",
    "SCHEMAV_CVC_TYPE_3_1_2",
}
_FOREIGN_ATTRIBUTE = {"SCHEMAV_CVC_COMPLEX_TYPE_3_2_1", "SCHEMAV_CVC_COMPLEX_TYPE_3_2_2", "SCHEMAV_CVC_TYPE_3_1_1"}
_CONTENT = "SCHEMAV_ELEMENT_CONTENT"
_ABSENT_ATTRIBUTE = "SCHEMAV_CVC_COMPLEX_TYPE_4"
_NO_DECLARATION = "SCHEMAV_CVC_ELT_1"
_NIL = "SCHEMAV_CVC_ELT_3_1"
_FIXED = "SCHEMAV_CVC_ELT_5_2_2_2_2"
_VALUE = (
    "SCHEMAV_CVC_DATATYPE",
    "SCHEMAV_CVC_PATTERN",
    "SCHEMAV_CVC_ENUMERATION",
    "SCHEMAV_CVC_LENGTH",
    "SCHEMAV_CVC_MIN",
    "SCHEMAV_CVC_MAX",
)


class Explainer:
    """Explains faults against one set of schema documents. Safe to share between threads once made."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._schema = _load(sources)
        self._elements = {
            f"{{{namespace}}}{element.get('name')}"
            for namespace, source in sources.items()
            for element in source.root.iter(f"{_XS}element")
            if element.get("name")
        }
        self._attributes = {
            str(attribute.get("name"))
            for source in sources.values()
            for attribute in source.root.iter(f"{_XS}attribute")
            if attribute.get("name")
        }

    def findings(
        self, root: Element, log: list[LogEntry], look_again: Callable[[Element], list[LogEntry]]
    ) -> list[Finding]:
        """One finding per fault and place, in the order of the log, which is not empty.

        The validator passes over what follows a misplaced child, so a copy is mended there and looked at again.
        """
        found: dict[tuple[str, str], Finding] = {}
        seen = root
        originals: dict[Element, Element] = {}
        for look in range(_LOOKS):
            broken: list[tuple[Element, Any]] = []
            for fault in [fault for entry in log for fault in self._faults(seen, entry, broken)]:
                self._add(found, root, fault, originals)
            if not broken or len(found) >= _MOST or (look == 0 and self._is_large(root)):
                break
            if look == 0:
                seen = copy.deepcopy(root)
                twins = dict(zip(root.iter("*"), seen.iter("*"), strict=True))
                originals = {twin: element for element, twin in twins.items()}
                broken = [(twins[parent], group) for parent, group in broken]
            for parent, group in broken:
                mend(parent, group)
            log = look_again(seen)
        return list(found.values())[:_MOST]

    def _add(
        self, found: dict[tuple[str, str], Finding], root: Element, fault: Fault, originals: Mapping[Element, Element]
    ) -> None:
        element = originals.get(fault.element) if originals else fault.element
        if element is not None:  # otherwise it is our own stopgap in the copy
            path = self.path(root, element) + fault.rest
            found.setdefault((fault.rule, path), _finding(fault, path, _line(element)))

    def crowd(self, root: Element, parent: Element) -> Finding:
        """The one finding of a faulty document with very many children in one element: to find all would be slow."""
        fault = Fault(
            "unexpected", parent, "", "the schema is not kept, in a document with too many elements to say where"
        )
        return _finding(fault, self.path(root, parent), _line(parent))

    def path(self, root: Element, element: Element) -> str:
        """Local names from ``root`` to ``element``, with positions among siblings of a name; unknown: ``*[n]``."""
        steps: list[str] = []
        while element is not root:
            parent = element.getparent()
            if parent is None:  # pragma: no cover - the log only names elements below root
                break
            steps.append(self._step(parent, element))
            element = parent
        top = etree.QName(root).localname if root.tag in self._elements else "*"
        return "/" + "/".join([top, *reversed(steps)])

    def _step(self, parent: Element, element: Element) -> str:
        if element.tag not in self._elements:
            return f"*[{1 + sum(1 for _ in element.itersiblings('*', preceding=True))}]"
        name = etree.QName(element).localname
        before = sum(1 for _ in element.itersiblings(element.tag, preceding=True))
        alone = before == 0 and next(element.itersiblings(element.tag), None) is None
        return name if alone else f"{name}[{before + 1}]"

    def _faults(self, root: Element, entry: LogEntry, broken: list[tuple[Element, Any]]) -> list[Fault]:
        element = _locate(root, entry.path)
        kind = entry.kind
        named = _ATTRIBUTE.match(entry.message)
        attribute = named["name"] if named else None
        if attribute is not None and attribute.startswith(_XSI):
            name = self._known(attribute.removeprefix(_XSI), {"type", "nil"})
            return [
                Fault("attribute", element, f"/@xsi:{name}", "this instruction to the validator cannot be followed")
            ]
        if kind == _CONTENT:
            return self._misplaced(root, element, broken, missing=": Missing child element(s)." in entry.message)
        if kind == _NO_DECLARATION:
            return [Fault("wildcard", element, "", "no schema at hand describes this content")]
        if kind == _NIL:
            return [Fault("attribute", element, "/@xsi:nil", "this element must have its content")]
        if kind in _NO_TEXT:
            return [_content_not_allowed(element, entry)]
        if kind in _FOREIGN_ATTRIBUTE:
            name = self._known(attribute or "", self._attributes)
            return [Fault("attribute", element, f"/@{name}", "this attribute is not allowed here")]
        if kind == _ABSENT_ATTRIBUTE:
            absent = _REQUIRED.search(entry.message)
            name = self._known(absent["name"] if absent else "", self._attributes)
            return [Fault("attribute", element, f"/@{name}", "this attribute is mandatory here")]
        if kind == _FIXED or kind.startswith(_VALUE):
            return [self._bad_value(root, element, attribute)]
        return [Fault("unexpected", element, "", "this does not follow the schema")]

    @staticmethod
    def _is_large(root: Element) -> bool:
        number: Any = _count(root)
        return bool(number > _LARGE)

    @staticmethod
    def _known(name: str, names: set[str]) -> str:
        return name if name in names else "*"

    def _bad_value(self, root: Element, element: Element, attribute: str | None) -> Fault:
        declared = self._declaration(root, element)
        value = (element.text or "") if attribute is None else element.get(attribute, "")
        rest = "" if attribute is None else f"/@{self._known(attribute, self._attributes)}"
        kind = declared.type if declared is not None else None
        fixed = declared.fixed if declared is not None and attribute is None else None
        if kind is not None and attribute is not None:
            kind = kind.attributes[attribute].type if attribute in kind.attributes else None
        text = f"the value must be: {fixed}" if fixed else f"the value must be {_form(kind)}"
        return Fault("value" if value.strip() else "empty", element, rest, text)

    # -- which child stands where

    def _misplaced(
        self, root: Element, element: Element, broken: list[tuple[Element, Any]], *, missing: bool
    ) -> list[Fault]:
        parent = element if missing else element.getparent()
        declared = self._declaration(root, parent) if parent is not None else None
        group = declared.type.content if declared is not None else None
        if parent is not None and is_group(group):
            faults = list(itertools.islice(content_faults(parent, group), _PER_PARENT))
            if faults:
                broken.append((parent, group))
                return faults
        if missing:
            return [Fault("missing", element, "/*", "content is missing")]
        return [Fault("unexpected", element, "", "this element does not belong here")]

    def _declaration(self, root: Element, element: Element) -> Any:
        """The schema's declaration of an element, found by names from the root down; None where it has none."""
        chain = [element]
        while chain[-1] is not root and (parent := chain[-1].getparent()) is not None:
            chain.append(parent)
        found = self._schema.maps.elements.get(root.tag)
        for step in reversed(chain[:-1]):
            if found is None or not is_group(found.type.content):
                return None
            found = self._child_declaration(found.type.content, str(step.tag))
        return found

    def _child_declaration(self, group: Any, tag: str) -> Any:
        open_to_others = False
        for candidate in group.iter_elements():
            if candidate.name == tag:
                return candidate.ref if candidate.ref is not None else candidate
            open_to_others = open_to_others or candidate.name is None
        return self._schema.maps.elements.get(tag) if open_to_others else None


def _load(sources: Mapping[str, Source]) -> Any:
    ordered: list[str] = []

    def visit(namespace: str, above: tuple[str, ...] = ()) -> None:
        if namespace not in ordered and namespace not in above:
            for other in sources[namespace].imports:
                visit(other, (*above, namespace))
            ordered.append(namespace)

    for namespace in sources:
        visit(namespace)
    schema = xmlschema.XMLSchema10(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"/>', build=False, allow="none"
    )
    for namespace in ordered:
        schema.add_schema(serialise(sources[namespace].root).decode(), namespace=namespace)
    schema.build()
    return schema


def _finding(fault: Fault, path: str, line: int | None) -> Finding:
    return Finding(
        rule=f"XSD.{fault.rule}",
        severity=Severity.ERROR,
        apprec="T02",
        path=path,
        line=line,
        text=fault.text,
        source="the schema of the namespace",
    )


def _line(element: Element) -> int | None:
    line = element.sourceline
    return line if isinstance(line, int) else None


def _locate(root: Element, path: str) -> Element:
    """The element of a libxml2 path (``/*/*[2]/ns0:y``); the deepest one that is found."""
    found = root
    for written in path.strip("/").split("/")[1:]:
        step = _STEP.fullmatch(written)
        if step is None or written.startswith("@"):
            break
        position = int(step["position"] or 1)
        wanted = (step["prefix"], step["name"])
        same = [c for c in found.iterchildren("*") if step["any"] or (c.prefix, etree.QName(c).localname) == wanted]
        if len(same) < position:
            break
        found = same[position - 1]
    return found


def _content_not_allowed(element: Element, entry: LogEntry) -> Fault:
    child = next(element.iterchildren("*"), None)
    if child is not None and ": Element content is not allowed" in entry.message:
        return Fault("unexpected", child, "", "no element may stand here")
    return Fault("unexpected", element, "/text()", "no text may stand here")


def _form(kind: Any) -> str:
    if kind is None:
        return "of the form that the schema gives"
    if kind.is_complex():
        kind = kind.content
    if getattr(kind, "member_types", None):
        return _MOMENT
    while kind is not None and kind.target_namespace != _XS[1:-1]:
        if getattr(kind, "patterns", None) is not None:
            return "of the form " + " or ".join(kind.patterns.regexps)
        kind = kind.base_type
    return _FORMS.get(getattr(kind, "local_name", ""), "of the form that the schema gives")
