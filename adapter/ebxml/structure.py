"""Rules 16 and 17: the shape of the SOAP frame and of every ebXML element, as data and one walker.

It stands in for the schemas with HITS 1172's correction (Acknowledgment ends with ds:Reference and nothing foreign).
Where a numbered rule says the same thing of the same element, that rule decides and the schema fault only tells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from adapter.ebxml.moments import read_moment
from adapter.ebxml.names import DS, EB, SOAP, XML, Kind, ds, eb, namespace_of, soap, xlink
from adapter.ebxml.read import is_true
from adapter.ebxml.rulebook import Act, Hit
from adapter.ebxml.words import MESSAGE_STATUSES
from adapter.xmlio import Element

_MANY = 10_000
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_SIGNATURE, _DS_REFERENCE, _TIMESTAMP = ds("Signature"), ds("Reference"), eb("Timestamp")
_LANG = f"{{{XML}}}lang"
_SEVERITIES = ("Warning", "Error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """An element's children as (tag, least, most) in order, required and further attributes, and its text's kind."""

    children: tuple[tuple[str, int, int], ...] = ()
    foreign: bool = False
    required: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    other_attributes: bool = False
    text: str | None = None  # "some": not empty, "time": xs:dateTime, None: no demand
    known: frozenset[str] = field(init=False)
    places: dict[str, int] = field(init=False)  # of the children in their order

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", frozenset((*self.required, *self.further)))
        object.__setattr__(self, "places", {tag: place for place, (tag, _, _) in enumerate(self.children)})


_VERSION, _UNDERSTAND, _ID = eb("version"), soap("mustUnderstand"), eb("id")
_WORD = Shape(text="some")
_TIME = Shape(text="time")
_SIDE = Shape(children=((eb("PartyId"), 1, _MANY), (eb("Role"), 0, 1)))


def _block(*children: tuple[str, int, int], more: tuple[str, ...] = (), further: tuple[str, ...] = ()) -> Shape:
    return Shape(
        children=children,
        foreign=True,
        required=(_VERSION, _UNDERSTAND, *more),
        further=(_ID, *further),
        other_attributes=True,
    )


def _inner(*children: tuple[str, int, int], more: tuple[str, ...] = ()) -> Shape:
    return Shape(children=children, foreign=True, required=(_VERSION, *more), further=(_ID,), other_attributes=True)


SHAPES: dict[str, Shape] = {
    eb("MessageHeader"): _block(
        (eb("From"), 1, 1),
        (eb("To"), 1, 1),
        (eb("CPAId"), 1, 1),
        (eb("ConversationId"), 1, 1),
        (eb("Service"), 1, 1),
        (eb("Action"), 1, 1),
        (eb("MessageData"), 1, 1),
        (eb("DuplicateElimination"), 0, 1),
        (eb("Description"), 0, _MANY),
    ),
    eb("From"): _SIDE,
    eb("To"): _SIDE,
    eb("PartyId"): Shape(text="some", further=(eb("type"),)),
    eb("Role"): _WORD,
    eb("CPAId"): _WORD,
    eb("ConversationId"): _WORD,
    eb("Service"): Shape(text="some", further=(eb("type"),)),
    eb("Action"): _WORD,
    eb("MessageData"): Shape(
        children=(
            (eb("MessageId"), 1, 1),
            (eb("Timestamp"), 1, 1),
            (eb("RefToMessageId"), 0, 1),
            (eb("TimeToLive"), 0, 1),
        )
    ),
    eb("MessageId"): _WORD,
    eb("RefToMessageId"): _WORD,
    eb("Timestamp"): _TIME,
    eb("TimeToLive"): _TIME,
    eb("DuplicateElimination"): Shape(),
    eb("Description"): Shape(text="some", required=(_LANG,)),
    eb("AckRequested"): _block(more=(eb("signed"),), further=(soap("actor"),)),
    eb("SyncReply"): _block(more=(soap("actor"),)),
    eb("Acknowledgment"): Shape(
        children=(
            (eb("Timestamp"), 1, 1),
            (eb("RefToMessageId"), 1, 1),
            (eb("From"), 0, 1),
            (ds("Reference"), 0, _MANY),
        ),
        required=(_VERSION, _UNDERSTAND),
        further=(_ID, soap("actor")),
        other_attributes=True,
    ),
    eb("ErrorList"): _block((eb("Error"), 1, _MANY), more=(eb("highestSeverity"),)),
    eb("Error"): Shape(
        children=((eb("Description"), 0, 1),),
        foreign=True,
        required=(eb("errorCode"), eb("severity")),
        further=(_ID, eb("codeContext"), eb("location")),
        other_attributes=True,
    ),
    eb("MessageOrder"): _block((eb("SequenceNumber"), 1, 1)),
    eb("SequenceNumber"): Shape(further=(eb("status"),)),
    eb("Manifest"): _inner((eb("Reference"), 1, _MANY)),
    eb("Reference"): Shape(
        children=((eb("Schema"), 0, _MANY), (eb("Description"), 0, _MANY)),
        foreign=True,
        required=(xlink("href"),),
        further=(_ID, xlink("type"), xlink("role")),
        other_attributes=True,
    ),
    eb("Schema"): Shape(required=(eb("location"),), further=(eb("version"),)),
    eb("StatusRequest"): _inner((eb("RefToMessageId"), 1, 1)),
    eb("StatusResponse"): _inner((eb("RefToMessageId"), 1, 1), (eb("Timestamp"), 0, 1), more=(eb("messageStatus"),)),
}
# (parent or element, what is missing) that a numbered rule names by itself.
_NAMED: dict[tuple[str, str], str] = {
    **{
        (eb("MessageHeader"), eb(name)): rule
        for name, rule in (("From", "10"), ("To", "9"), ("CPAId", "11"), ("Service", "47"), ("Action", "48"))
    },
    (eb("MessageHeader"), eb("MessageData")): "76",
    (eb("MessageHeader"), eb("ConversationId")): "EB17",
    (eb("From"), eb("PartyId")): "58",
    (eb("To"), eb("PartyId")): "59",
    (eb("MessageData"), eb("MessageId")): "76",
    (eb("MessageData"), eb("Timestamp")): "77",
    (eb("MessageHeader"), _VERSION): "8",
    (eb("MessageHeader"), _UNDERSTAND): "7",
    (eb("AckRequested"), _VERSION): "EB11",
    (eb("AckRequested"), _UNDERSTAND): "u10",
    (eb("AckRequested"), eb("signed")): "94",
    (eb("Acknowledgment"), eb("RefToMessageId")): "108",
    (eb("Manifest"), _VERSION): "5",
    (eb("Manifest"), eb("Reference")): "6",
    (eb("Reference"), xlink("href")): "u12",
    (eb("Schema"), eb("location")): "265",
    (eb("Schema"), _VERSION): "266",
}
_NEVER_EMPTY = frozenset((_VERSION, eb("type"), eb("errorCode"), eb("location")))
_TRUTHS = frozenset((_UNDERSTAND, eb("signed")))
_MAY_BE_EMPTY = (eb("Schema"), eb("location"))
_WORDS = {
    eb("highestSeverity"): _SEVERITIES,
    eb("severity"): _SEVERITIES,
    eb("messageStatus"): MESSAGE_STATUSES,
    xlink("type"): ("simple",),
}
_LIMITED = _TRUTHS | _WORDS.keys() | _NEVER_EMPTY
_EMPTY_NAMED = frozenset(eb(name) for name in ("PartyId", "CPAId", "ConversationId", "Service", "Action", "MessageId"))


def check_structure(root: Element, kind: Kind | None) -> list[Hit]:
    """Failed rules 16, 17 and u9 of a parsed envelope; ``kind`` decides what a double element costs."""
    seen: dict[str, int] = {}
    hits: list[Hit] = []
    for child in root:
        namespace = namespace_of(child.tag)
        seen[child.tag] = seen.get(child.tag, 0) + 1
        if seen[child.tag] > 1 or namespace is None or (namespace == SOAP and child.tag not in _FRAME):
            hits.append(Hit("16", _path(child), line_of(child)))
    if list(seen)[:2] != [name for name in _FRAME if name in seen]:
        hits.append(Hit("16", _path(root), line_of(root)))
    for name in _FRAME:
        frame = next(root.iterchildren(name), None)
        if frame is not None:
            _blocks(frame, kind, hits)
    return hits


_FRAME = (soap("Header"), soap("Body"))


def _blocks(frame: Element, kind: Kind | None, hits: list[Hit]) -> None:
    seen: set[str] = set()
    for block in frame:
        tag = block.tag
        namespace = namespace_of(tag)
        if namespace in (EB, DS) and tag in seen and tag != _SIGNATURE:
            signal = kind is not None and kind is not Kind.PAYLOAD
            hits.append(Hit("u9", _path(block), line_of(block), act=Act.DISCARD if signal else None))
        seen.add(tag)
        if namespace == EB:
            _element(block, tag, hits)


def _element(element: Element, tag: str, hits: list[Hit]) -> None:
    shape = SHAPES.get(tag)
    if shape is None:
        hits.append(_broken(element))
        return
    names = element.keys()
    if names or shape.required:
        _attributes(element, tag, shape, [str(name) for name in names], hits)
    if shape.text is None:
        _children(element, tag, shape, hits)
    elif len(element):
        hits.append(_broken(element))
    elif not (element.text or "").strip():
        hits.append(_broken(element, named=tag in _EMPTY_NAMED))
    elif shape.text == "time" and read_moment(element.text) is None:
        hits.append(_broken(element, named=tag == _TIMESTAMP))


def _attributes(element: Element, tag: str, shape: Shape, names: list[str], hits: list[Hit]) -> None:
    """At most 64 of them: the parser has seen to it."""
    for name in shape.required:
        if name not in names:
            hits.append(_broken(element, named=(tag, name) in _NAMED))
    for name in names:
        if name in shape.known:
            if name in _LIMITED and not _has_form(element, name):
                hits.append(_broken(element, named=(tag, name) in _NAMED))
            continue
        namespace = namespace_of(name)
        foreign = shape.other_attributes and namespace not in (None, EB)
        if not foreign and namespace != _INSTANCE:
            hits.append(_broken(element))


def _has_form(element: Element, name: str) -> bool:
    value = element.get(name) or ""
    if name in _TRUTHS:
        return is_true(value) is not None
    if name in _WORDS:
        return value in _WORDS[name]
    return bool(value) or name not in _NEVER_EMPTY or (element.tag, name) == _MAY_BE_EMPTY


def _children(element: Element, tag: str, shape: Shape, hits: list[Hit]) -> None:
    at, counts, after = 0, dict.fromkeys(shape.places, 0), False
    for child in element:
        name = child.tag
        place = shape.places.get(name)
        if place is None:
            after = True
            if not shape.foreign or namespace_of(name) in (None, EB):
                hits.append(_broken(child))
            continue
        if after or place < at:
            hits.append(_broken(child))
        at = max(at, place)
        counts[name] += 1
        if name != _DS_REFERENCE:  # the one child that is not ours to describe
            _element(child, name, hits)
    for name, least, most in shape.children:
        if not least <= counts[name] <= most:
            if counts[name] < least:
                hits.append(_broken(element, named=(tag, name) in _NAMED))
            else:
                hits.append(Hit("u9", _path(element), line_of(element)))


def _broken(element: Element, *, named: bool = False) -> Hit:
    return Hit("17", _path(element), line_of(element), act=Act.TOLERATE if named else None)


def _path(element: Element) -> str:
    """The element's place by local names, from SOAP:Envelope on; at most eight steps."""
    names = [etree.QName(one).localname for one in (element, *element.iterancestors())][:8]
    return "/" + "/".join(reversed(names))


def line_of(element: Element) -> int | None:
    line: Any = element.sourceline
    return line if isinstance(line, int) else None
