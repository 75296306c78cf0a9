"""What a rule looks at: the document walked once, its facts, and what the caller knows besides.

A rule is a predicate over a Subject that yields the places where it is broken: an element, a Place, or NotEvaluated
when a fact is missing that nobody handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple, cast

from adapter.errors import IdentifierError
from adapter.identifiers import read_her_id
from adapter.model.document import Facts, Family
from adapter.model.party import Party
from adapter.model.process import NAV_HER_ID, NAV_ORG_NUMBER
from adapter.validation import names
from adapter.validation.coded_values import SOUND, Judged, judge_value
from adapter.xmlio import Element

_MSG_INFO = f"{names.MSGHEAD}MsgInfo"


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
    numbers in test into a warning (P22).
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
    attachments_max: int | None = None
    attachment_pieces: tuple[bytes, ...] = field(default=(), repr=False)
    known_documents: Callable[[str], bool] | None = None
    known_messages: Callable[[str], bool] | None = None
    seen_message: Callable[[str, str], bool] | None = None
    earlier_content: Callable[[str], datetime | None] | None = None
    lang: str = "nb"


# What a rule may be about: a field of Traits.
About = Literal[
    "anything",
    "msghead",
    "bare",
    "receipt",
    "emergency",
    "dialogue",
    "to_nav",
    "referral",
    "any_referral",
    "change",
    "attachments",
    "empty_elements",
]


class Traits(NamedTuple):
    """What a document is or has, as far as it decides which rules can say anything of it.

    ``bare``: it is without a MsgHead. ``dialogue`` is Dialogmelding, ``to_nav`` one whose receiver is NAV. ``referral``
    is Henvisning 2.0, ``any_referral`` 1.0 and 1.1 too, ``change`` one of those that changes or cancels an earlier one.
    """

    msghead: bool
    bare: bool
    receipt: bool
    emergency: bool
    dialogue: bool
    to_nav: bool
    referral: bool
    any_referral: bool
    change: bool
    attachments: bool
    empty_elements: bool
    anything: bool = True


class Subject:
    """The document under judgement. The tree is walked once; large texts are never read by the walk.

    ``head`` has the first child of each name of a MsgInfo, ``sections`` all children of a Henvisning 2.0 by name.
    ``faulty`` are elements with a fault in their coded value, ``numbered`` those that give a person number's type, and
    ``other_list`` says that some HER-id's type is from a list that has none; ``empty`` are elements without anything.
    """

    def __init__(
        self,
        root: Element,
        facts: Facts,
        context: RuleContext,
        *,
        now: datetime | None = None,
        sound_texts: Mapping[Element, str] | None = None,
        elements: Iterable[Element] | None = None,
    ) -> None:
        self.root = root
        self.facts = facts
        self.context = context
        self.now = context.now if now is None else now
        self.sound_texts = sound_texts if sound_texts is not None else {}
        self.out = context.direction == "out"
        self.body = facts.business
        self.namespace = f"{{{facts.namespace}}}"  # the business namespace, ready to be put before a name
        self.msghead = facts.family is Family.MSGHEAD
        self.info = first(root, _MSG_INFO) if self.msghead else None
        self.head = first_of_each(self.info)
        kind = facts.kind
        self.dialogue = self.body if kind == "Dialogmelding" and self.namespace in names.DIALOGUES else None
        self.referral = self.body if kind == "Henvisning" and self.namespace == names.REFERRAL_2_0 else None
        self.sections = all_of_each(self.referral)
        self.kept: dict[str, object] = {}  # what one rule has found out and another needs
        self.empty: list[Element] = []
        self.faulty: list[tuple[Element, Judged]] = []
        self.numbered: list[tuple[Element, str]] = []
        self.other_list = False
        self._walk(root.iter("*") if elements is None else elements)

    def _walk(self, elements: Iterable[Element]) -> None:
        for element in elements:
            attributes: Any = element.items()
            if attributes:
                judged = judge_value(element.tag, attributes)
                if judged is not SOUND:
                    self._mark(element, judged)
            elif not len(element) and (tag := element.tag) != names.BASE64_CONTAINER:
                text = element.text
                if (not text or text.isspace()) and not tag.startswith(names.XMLDSIG):
                    self.empty.append(element)

    def _mark(self, element: Element, judged: Judged) -> None:
        if judged.number is not None:
            self.numbered.append((element, judged.number))
        if judged.blank or judged.incomplete or judged.nameless or judged.unknown:
            self.faulty.append((element, judged))
        self.other_list = self.other_list or judged.other_list

    def traits(self) -> Traits:
        facts = self.facts
        any_referral = self.namespace in names.REFERRALS
        return Traits(
            msghead=self.msghead,
            bare=not self.msghead,
            receipt=facts.family is Family.APPREC,
            emergency=facts.emergency,
            dialogue=self.dialogue is not None,
            to_nav=self.dialogue is not None and self.to_nav,
            referral=self.referral is not None,
            any_referral=any_referral,
            change=any_referral and facts.service_type in names.CHANGED,
            attachments=bool(facts.attachments),
            empty_elements=bool(self.empty),
        )

    @cached_property
    def notes(self) -> list[Element]:
        return self._parts("Notat")

    @cached_property
    def questions(self) -> list[Element]:
        return self._parts("Foresporsel")

    def _parts(self, name: str) -> list[Element]:
        tag = f"{self.namespace}{name}"
        return [part for part in self.dialogue if part.tag == tag] if self.dialogue is not None else []

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
    return _her_number(text) if len(text) <= _LONG_NUMBER else _read_her_number(text)


def _read_her_number(text: str) -> int | None:
    try:
        return read_her_id(text)
    except IdentifierError:
        return None


_LONG_NUMBER = 20  # characters; nothing longer is remembered
_her_number = lru_cache(maxsize=1024)(_read_her_number)


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
    """The first child of that name. By hand: to set up lxml's own search costs more than a few children."""
    for child in element:
        if child.tag == tag:
            return child
    return None


def below(element: Element, *tags: str) -> Element | None:
    """The first element at the end of that path of names, as ``find`` gives it."""
    for child in element:
        if child.tag == tags[0]:
            found = below(child, *tags[1:]) if len(tags) > 1 else child
            if found is not None:
                return found
    return None


def first_of_each(element: Element | None) -> dict[str, Element]:
    """The first child of each name."""
    return {} if element is None else {child.tag: child for child in reversed(element)}


def all_of_each(element: Element | None) -> dict[str, list[Element]]:
    """All children of each name, in order."""
    found: dict[str, list[Element]] = {}
    for child in element if element is not None else ():
        found.setdefault(child.tag, []).append(child)
    return found


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
