"""What a rule looks at: the document walked once, its facts, and what the caller knows besides.

A rule is a predicate over a Subject that yields the places where it is broken: an element, a Place, or NotEvaluated
when a fact is missing that nobody handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple, cast

from adapter.errors import IdentifierError
from adapter.identifiers import read_her_id
from adapter.model.document import Facts, Family
from adapter.model.party import Party
from adapter.model.process import NAV_HER_ID, NAV_ORG_NUMBER
from adapter.validation import names
from adapter.xmlio import Element


class Place(NamedTuple):
    """Where a rule is broken; ``detail`` says more of what is expected and comes from our own tables only (P21)."""

    path: str | None
    line: int | None = None
    detail: str = ""


class NotEvaluated(NamedTuple):
    """The rule applies, but ``fact`` was not handed in; the rulebook has the words for it."""

    fact: str


Hit = Element | Place | NotEvaluated
Predicate = Callable[["Subject"], Iterable[Hit]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleContext:
    """What the caller knows and the document does not say. Every field that is left out means: not known.

    ``direction`` "out" is strict, "in" tolerant. ``ours`` are our level 2 HER-ids and ``our_organisations`` the
    level 1 ones above them. ``known_documents(id)`` and ``known_messages(id)`` ask the store (V20, V22);
    ``seen_message(sender HER-id, MsgId)`` answers V21; ``earlier_content(digest)`` gives the time of an equal
    message to NAV (N2). ``attachment_pieces`` are the raw bytes of an outgoing document whose tree holds markers,
    in order. ``attachments_allowed`` are MIME types agreed with the partner. ``offline`` turns the refusal of real
    numbers in test into a warning (P22). ``sound_texts``: what ``check_schema`` found of this tree's Base64Containers.
    """

    direction: Literal["in", "out"] = "in"
    now: datetime | None = None
    ours: frozenset[int] = frozenset()
    our_organisations: frozenset[int] = frozenset()
    environment: Literal["test", "production"] | None = None
    offline: bool = False
    strict_schema: bool = False
    reject_addressing: bool = False
    envelope_receiver: int | None = None
    action: str | None = None
    accepts: tuple[str, ...] | None = None
    road: str = "edi20"
    partner_is_nav: bool = False
    signer_fnr: str | None = field(default=None, repr=False)
    signer_profession: str | None = None
    receiver_is_specialist: bool | None = None
    sender_is_specialist: bool | None = None
    override_national_id: bool = False
    attachments_allowed: tuple[str, ...] = ()
    sound_texts: Mapping[Element, str] = field(default_factory=dict, repr=False)
    attachments_max: int | None = None
    attachment_pieces: tuple[bytes, ...] = field(default=(), repr=False)
    known_documents: Callable[[str], bool] | None = None
    known_messages: Callable[[str], bool] | None = None
    seen_message: Callable[[str, str], bool] | None = None
    earlier_content: Callable[[str], datetime | None] | None = None
    lang: str = "nb"


CodedElement = tuple[Element, str, list[tuple[str, str]]]  # an element with attributes: itself, its tag, those


class Subject:
    """The document under judgement. The tree is walked once; large texts are never read by the walk."""

    def __init__(self, root: Element, facts: Facts, context: RuleContext) -> None:
        self.root = root
        self.facts = facts
        self.context = context
        self.out = context.direction == "out"
        self.msghead = facts.family is Family.MSGHEAD
        self.info = root.find(f"{names.MSGHEAD}MsgInfo") if self.msghead else None
        self.body = facts.business
        self.coded: list[CodedElement] = []
        self.empty: list[Element] = []
        self.kept: dict[str, object] = {}  # what one rule has found out and another needs
        self._walk()

    def _walk(self) -> None:
        coded, empty = self.coded, self.empty
        for element in self.root.iter("*"):
            tag = element.tag
            attributes: Any = element.items()
            if attributes:
                coded.append((element, tag, attributes))
            elif not len(element) and tag != names.BASE64_CONTAINER and not tag.startswith(names.XMLDSIG):
                text = element.text
                if not text or text.isspace():
                    empty.append(element)

    @cached_property
    def namespace(self) -> str:
        """The business namespace in braces, ready to be put before a name."""
        return f"{{{self.facts.namespace}}}"

    @cached_property
    def dialogue(self) -> Element | None:
        """The Dialogmelding, None for any other document."""
        return self.body if self.facts.kind == "Dialogmelding" and self.namespace in names.DIALOGUES else None

    @cached_property
    def referral(self) -> Element | None:
        """The Henvisning 2.0, None for any other document."""
        return self.body if self.facts.kind == "Henvisning" and self.namespace == names.REFERRAL_2_0 else None

    @cached_property
    def notes(self) -> list[Element]:
        return self.dialogue.findall(f"{self.namespace}Notat") if self.dialogue is not None else []

    @cached_property
    def questions(self) -> list[Element]:
        return self.dialogue.findall(f"{self.namespace}Foresporsel") if self.dialogue is not None else []

    @cached_property
    def reception(self) -> Element | None:
        """NAV's MottakenhetBlokk beside the message, where the wrapper is still around it."""
        above = self.root.getparent()
        return None if above is None else next((part for part in above if local(part.tag) == "MottakenhetBlokk"), None)

    @cached_property
    def to_nav(self) -> bool:
        """The receiver is NAV: the caller says so, or the message does (P15)."""
        return self.context.partner_is_nav or is_nav(self.facts.receiver)


def is_nav(party: Party | None) -> bool:
    """True for a party that carries NAV's organisation number or HER-id at level 1."""
    if party is None:
        return False
    unit = party.organisation
    return (unit.ident("ENH") or "").replace(" ", "") == NAV_ORG_NUMBER or unit.ident("HER") == str(NAV_HER_ID)


def her_number(text: str | None) -> int | None:
    """A HER-id as written, None when it has not the form of one."""
    if not text:
        return None
    try:
        return read_her_id(text)
    except IdentifierError:
        return None


def local(tag: object) -> str:
    """An element name without its namespace."""
    return str(tag).rpartition("}")[2]


def place(element: Element, missing: str | None = None, detail: str = "") -> Place:
    """The place of an element, or of a child that it lacks: ``/MsgHead/MsgInfo/Patient/Ident[2]/Id``."""
    steps: list[str] = [missing] if missing else []
    at: Element | None = element
    while at is not None:
        steps.append(_step(at))
        if local(at.tag) in ("MsgHead", "Message", "AppRec") and _is_top(at):
            break
        at = at.getparent()
    return Place("/" + "/".join(reversed(steps)), line_of(element), detail)


def line_of(element: Element) -> int | None:
    """The element's line, 1-based; None in a tree that was built and not read."""
    return cast("int | None", element.sourceline)


def _is_top(element: Element) -> bool:
    above = element.getparent()
    return above is None or local(above.tag) == "EI_fellesformat"


def _step(element: Element) -> str:
    before = sum(1 for _ in element.itersiblings(element.tag, preceding=True))
    after = before or next(element.itersiblings(element.tag), None) is not None
    name = local(element.tag)
    return f"{name}[{before + 1}]" if after else name


def first(element: Element, tag: str) -> Element | None:
    """The first child of that name; half the cost of ``find``."""
    return next(element.iterchildren(tag), None)


def filled(element: Element | None) -> bool:
    """True when an element is there and has any text or element below it that is not blank."""
    if element is None:
        return False
    text = element.text
    if text and not text.isspace():
        return True
    return len(element) > 0 and any(piece and not piece.isspace() for piece in element.itertext())


def value(element: Element | None, tag: str) -> str | None:
    """The attribute V of the child of that name, without blanks around it."""
    child = first(element, tag) if element is not None else None
    found = child.get("V") if child is not None else None
    return str(found).strip() if found is not None else None
