"""What a content model says about the children of one element: absent, foreign, too many, exclusive, out of order.

The model is xmlschema's; it is read, not run, so that one fault does not hide the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lxml import etree

from adapter.xmlio import Element

_LISTED = 12  # names in one text; more do not help


class Place(NamedTuple):
    """One element that a content model allows: its rank in the order (equal where order is free) and how often."""

    name: str
    rank: int
    most: int | None


class Fault(NamedTuple):
    """A fault before it is put into words for the outside: rule without ``XSD.``, element, rest of the path, text."""

    rule: str
    element: Element
    rest: str
    text: str


def is_group(content: Any) -> bool:
    """Whether a type's content is a model of elements (and not a simple value)."""
    return content is not None and hasattr(content, "iter_elements") and hasattr(content, "model")


def content_faults(parent: Element, group: Any) -> Iterator[Fault]:
    """Why the children of ``parent`` do not follow the model; nothing when this reading sees no fault."""
    children = list(parent.iterchildren("*"))
    places = {place.name: place for place in _places(group)}
    present = {str(child.tag) for child in children}
    for names in _absent(group, present):
        words = names[0] if len(names) == 1 else "one of " + ", ".join(names[:_LISTED])
        yield Fault("missing", parent, f"/{names[0]}", f"{words} is missing")
    counts: dict[str, int] = {}
    highest = 0
    open_to_others = None in _tags(group)
    for child in children:
        place = places.get(str(child.tag))
        if place is None:
            if not open_to_others:
                yield Fault("unexpected", child, "", f"only these may stand here: {_names(places)}")
            continue
        counts[place.name] = counts.get(place.name, 0) + 1
        if place.most is not None and counts[place.name] > place.most:
            yield Fault("unexpected", child, "", f"this element may occur at most {_times(place.most)} here")
        elif place.rank < highest:
            yield Fault(
                "order", child, "", f"the order must be: {_names({k: v for k, v in places.items() if k in present})}"
            )
        highest = max(highest, place.rank)
    yield from _exclusive(children, group, present)


def mend(parent: Element, group: Any) -> None:
    """Make the children follow the model: drop what is foreign or too many, put empty ones for the absent, sort.

    For a second look at what the validator passes over once it has stumbled; a model with a wildcard is left alone.
    """
    places = {place.name: place for place in _places(group)}
    if None in _tags(group):
        return
    children = list(parent.iterchildren("*"))
    present = {str(child.tag) for child in children}
    foreign = {fault.element for fault in _exclusive(children, group, present)}
    counts: dict[str, int] = {}
    kept: list[Element] = []
    for child in children:
        place = places.get(str(child.tag))
        counts[str(child.tag)] = counts.get(str(child.tag), 0) + 1
        if place and child not in foreign and (place.most is None or counts[place.name] <= place.most):
            kept.append(child)
    local = {etree.QName(name).localname: name for name in places}
    kept += [etree.Element(local[names[0]]) for names in _absent(group, present)]
    parent[:] = sorted(kept, key=lambda child: places[str(child.tag)].rank)


def _times(most: int) -> str:
    return "once" if most == 1 else f"{most} times"


def _names(places: Mapping[str, Place]) -> str:
    names = [etree.QName(place.name).localname for place in sorted(places.values(), key=lambda place: place.rank)]
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


def _places(group: Any) -> list[Place]:
    places: list[Place] = []

    def walk(part: Any, repeated: bool) -> None:
        repeated = repeated or part.max_occurs is None or part.max_occurs > 1
        rank = len(places)
        for particle in part:
            if is_group(particle):
                walk(particle, repeated)
            elif particle.name is not None:
                most = None if repeated else particle.max_occurs
                places.append(Place(particle.name, rank if repeated else len(places), most))

    walk(group, False)
    return places


def _absent(group: Any, present: set[str]) -> Iterator[list[str]]:
    """Local names that are mandatory and not there; several when one of them would do."""
    here = _tags(group) & present
    if group.min_occurs == 0 and not here:
        return
    if group.model == "choice":
        names = [element.local_name for element in group.iter_elements()]
        if not here and not group.is_emptiable() and None not in _tags(group):
            yield names
        for particle in group:
            if is_group(particle) and _tags(particle) & present:
                yield from _absent(particle, present)
        return
    for particle in group:
        if is_group(particle):
            yield from _absent(particle, present)
        elif particle.name is not None and particle.min_occurs > 0 and particle.name not in present:
            yield [particle.local_name]


def _exclusive(children: Sequence[Element], group: Any, present: set[str]) -> Iterator[Fault]:
    """Children of which only one kind may be there."""
    if group.max_occurs != 1:
        return
    if group.model == "choice":
        used = [side for side in map(_tags, group) if side & present]
        chosen = next((child for child in children if used and child.tag in used[0]), None)
        for child in children:
            if chosen is not None and child.tag not in used[0] and any(child.tag in side for side in used[1:]):
                yield Fault(
                    "unexpected", child, "", f"this element and {etree.QName(chosen).localname} exclude each other"
                )
    for particle in group:
        if is_group(particle):
            yield from _exclusive(children, particle, present)


def _tags(particle: Any) -> set[str | None]:
    """Names of the elements in a particle; None among them stands for any other."""
    return {element.name for element in particle.iter_elements()} if is_group(particle) else {particle.name}
