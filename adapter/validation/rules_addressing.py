"""V5, V6, V21: who sends, who receives, and whether it is for us and new."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

from adapter.codes import system_number
from adapter.model.document import Family
from adapter.model.party import Party, Unit
from adapter.validation import names
from adapter.validation.coded_values import HER_LISTS
from adapter.validation.rule import ERROR, INFO, WARNING, Rule
from adapter.validation.subject import Hit, NotEvaluated, Subject, filled, first, her_number, is_nav, place
from adapter.xmlio import Element

_M = names.MSGHEAD
_IDENT, _ORGANISATION, _PERSON = f"{_M}Ident", f"{_M}Organisation", f"{_M}HealthcareProfessional"
_UNIT_NAME, _ID, _TYPE_ID = f"{_M}OrganisationName", f"{_M}Id", f"{_M}TypeId"
_FAMILY, _GIVEN = f"{_M}FamilyName", f"{_M}GivenName"
_SENDER, _RECEIVER, _OTHER_RECEIVER = f"{_M}Sender", f"{_M}Receiver", f"{_M}OtherReceiver"


class _Address(NamedTuple):
    """An addressee's element with its Organisation and what stands below that (HIS 1153-2:2016)."""

    element: Element
    party: Party | None
    organisation: Element | None
    service: Element | None
    person: Element | None


def _parties(subject: Subject) -> list[_Address]:
    """Sender, Receiver and copy receivers of a MsgHead, looked up once for all rules."""
    kept = subject.kept.get("parties")
    if kept is None:
        kept = subject.kept["parties"] = list(_read_parties(subject))
    return cast(list[_Address], kept)


def _read_parties(subject: Subject) -> Iterator[_Address]:
    info, facts = subject.info, subject.facts
    if info is None:
        return
    for tag, party in ((_SENDER, facts.sender), (_RECEIVER, facts.receiver)):
        element = subject.head.get(tag)
        if element is not None:
            yield _address(element, party)
    for element in info.iterchildren(_OTHER_RECEIVER) if _OTHER_RECEIVER in subject.head else ():
        found = _address(element, None)
        if found.organisation is not None:
            yield found


def _address(element: Element, party: Party | None) -> _Address:
    organisation = first(element, _ORGANISATION)
    if organisation is None:
        return _Address(element, party, None, None, None)
    service, person = first(organisation, _ORGANISATION), first(organisation, _PERSON)
    return _Address(element, party, organisation, service, person)


def levels(subject: Subject) -> Iterable[Hit]:
    if subject.info is None:
        return _hcp_levels(subject)
    return () if _sound_levels(subject) else _levels(subject, subject.info)  # the elements say where the fault is


def _levels(subject: Subject, info: Element) -> Iterator[Hit]:
    parties = _parties(subject)
    there = {found.element.tag for found in parties}
    for tag in (_SENDER, _RECEIVER):
        if tag not in there:
            yield place(info, tag.rpartition("}")[2])
    for element, party, organisation, service, person in parties:
        if organisation is None:
            yield place(element, "Organisation")
            continue
        yield from _level(organisation, (_UNIT_NAME,))
        # NAV is addressed, and writes, at level 1 only.
        if is_nav(party) or (subject.context.partner_is_nav and element.tag == _RECEIVER):
            continue
        if service is not None and len(service):
            yield from _level(service, (_UNIT_NAME,))
        elif person is not None:
            yield from _level(person, (_FAMILY, _GIVEN))
        else:
            yield place(organisation, "Organisation", "HER-id")


def _sound_levels(subject: Subject) -> bool:
    """True when the facts alone show that sender and receiver, and nobody else, have all that they need."""
    if _OTHER_RECEIVER in subject.head:
        return False
    return _sound_party(subject.facts.sender) and _sound_party(subject.facts.receiver)


def _sound_party(party: Party | None) -> bool:
    return party is not None and _sound_unit(party.organisation) and _sound_unit(party.service)


def _sound_unit(unit: Unit | None) -> bool:
    return unit is not None and bool(unit.name.strip()) and her_number(unit.ident("HER")) is not None


def _level(element: Element, name_tags: tuple[str, ...]) -> Iterator[Hit]:
    for tag in name_tags:
        if not filled(first(element, tag)):
            yield place(element, tag.rpartition("}")[2])
    for ident in element.iterchildren(_IDENT):
        kind = first(ident, _TYPE_ID)
        if kind is not None and kind.get("V") == "HER":
            if her_number(ident.findtext(_ID)) is None:
                yield place(ident, "Id", "HER-id")
            return
    yield place(element, "Ident", "HER-id")


def _hcp_levels(subject: Subject) -> Iterator[Hit]:
    if subject.facts.family is not Family.HCP:
        return
    report = next(subject.root.iterchildren(f"{subject.namespace}ServReq"), subject.root)
    for name, party in (("Requester", subject.facts.sender), ("ServProvider", subject.facts.receiver)):
        if party is None or her_number(party.her_id(1)) is None or her_number(party.her_id(2)) is None:
            yield place(report, name, "HER-id")


def ident_systems(subject: Subject) -> Iterable[Hit]:
    return _other_systems(subject) if subject.other_list else ()


def _other_systems(subject: Subject) -> Iterator[Hit]:
    for found in _parties(subject):
        for kind in found.element.iter(_TYPE_ID):
            if kind.get("V") == "HER" and system_number(kind.get("S")) not in HER_LISTS:
                yield kind


def both_levels(subject: Subject) -> Iterable[Hit]:
    return [
        found.person
        for found in _parties(subject)
        if found.person is not None and found.service is not None and len(found.service)
    ]


def empty_organisations(subject: Subject) -> Iterator[Hit]:
    return (element for element in subject.empty if element.tag == _ORGANISATION)


def _addresses(subject: Subject) -> set[int]:
    """Every HER-id of the receiver and the copy receivers, at both levels."""
    kept = subject.kept.get("addresses")
    if kept is None:
        parties = (subject.facts.receiver, *subject.facts.copies)
        written = [party.her_id(level) for party in parties if party is not None for level in (2, 1)]
        kept = subject.kept["addresses"] = {number for number in map(her_number, written) if number is not None}
    return cast("set[int]", kept)


def not_judged(subject: Subject) -> Iterable[Hit]:
    if not subject.context.ours and subject.facts.family is not Family.OTHER:
        return (NotEvaluated("identity"),)
    return ()


def strangers(subject: Subject) -> Iterable[Hit]:
    """Neither the envelope nor the message names us (AT-A 21): nothing may be answered."""
    ours = subject.context.ours
    if not ours or subject.context.envelope_receiver in ours:
        return ()
    return () if _addresses(subject) & (ours | subject.context.our_organisations) else (_receiver(subject),)


def envelope_only(subject: Subject) -> Iterable[Hit]:
    """The envelope is ours, the message names somebody else at both levels (AT-A 22)."""
    ours = subject.context.ours
    if not ours or subject.context.envelope_receiver not in ours:
        return ()
    named = _addresses(subject)
    return (_receiver(subject),) if named and not named & (ours | subject.context.our_organisations) else ()


def unknown_service(subject: Subject) -> Iterable[Hit]:
    """Our organisation, but no service of ours (AT-A 17–20, AT-H 25)."""
    ours, above = subject.context.ours, subject.context.our_organisations
    if not ours:
        return ()
    named = _addresses(subject)
    if named & ours:
        return ()
    return (_receiver(subject),) if named & above or (not named and subject.context.envelope_receiver in ours) else ()


def _receiver(subject: Subject) -> Hit:
    if subject.info is None:
        return place(subject.root)
    element = subject.info.find(f"{_M}Receiver")
    return place(element) if element is not None else place(subject.info, "Receiver")


def seen_before(subject: Subject) -> Iterable[Hit]:
    seen, facts = subject.context.seen_message, subject.facts
    if seen is None:
        judged = subject.context.ours and facts.family in (Family.MSGHEAD, Family.HCP)
        return (NotEvaluated("messages"),) if judged else ()
    sender = facts.sender
    address = (sender.her_id(2) or sender.her_id(1)) if sender else None
    if facts.msg_id and seen(address or "", facts.msg_id):
        return (place(subject.root if subject.info is None else subject.info, "MsgId"),)
    return ()


_AD = "HIS 1153-2:2016 AD2.1–AD2.15"

RULES = (
    Rule(
        id="V6.STRANGER",
        source="HITS 1168:2016; AT-A 21",
        out=None,
        into=ERROR,
        gate=True,
        nb="Meldingen er ikke adressert til oss; den kan ikke besvares",
        en="The message is not addressed to us; it cannot be answered",
        predicate=strangers,
    ),
    Rule(
        id="V6.ENVELOPE",
        source="HITS 1168:2016; AT-A 22",
        out=None,
        into=ERROR,
        apprec="E21",
        gate=True,
        nb="Konvolutten er adressert til oss, men meldingen til en annen",
        en="The envelope is addressed to us, but the message to somebody else",
        predicate=envelope_only,
    ),
    Rule(
        id="V6",
        source="HIS 80415:2012 3.3.4; AT-A 17–20",
        out=None,
        into=ERROR,
        apprec="E21",
        addressing=True,
        gate=True,
        nb="Mottakende tjeneste finnes ikke hos oss",
        en="The receiving service does not exist here",
        predicate=unknown_service,
    ),
    Rule(
        id="V6.IDENTITY",
        source="HIS 80415:2012 3.3.4",
        out=None,
        into=INFO,
        nb="Om meldingen er til oss",
        en="Whether the message is for us",
        predicate=not_judged,
    ),
    Rule(
        id="V21",
        source="HIS 80415:2012; AT-A 12, 41",
        out=None,
        into=INFO,
        nb="Meldingens id er mottatt før fra samme avsender; ingen ny kvittering",
        en="This message id was received before from the same sender; no new receipt",
        predicate=seen_before,
    ),
    Rule(
        id="V5",
        source=_AD,
        out=ERROR,
        into=ERROR,
        apprec="E21",
        addressing=True,
        nb="Avsender og mottaker skal ha navn og HER-id på begge nivåer",
        en="Sender and receiver need a name and a HER-id at both levels",
        predicate=levels,
    ),
    Rule(
        id="V5.SYSTEM",
        source=_AD,
        out=ERROR,
        into=INFO,
        nb="HER-id skal ha kodeverk 9051 eller 8116",
        en="A HER-id belongs to code list 9051 or 8116",
        predicate=ident_systems,
    ),
    Rule(
        id="V5.BOTH",
        source=f"{_AD} (AD2.8)",
        out=ERROR,
        into=INFO,
        nb="Nivå 2 er enten en tjeneste eller en person",
        en="Level 2 is either a service or a person",
        predicate=both_levels,
    ),
    Rule(
        id="V5.EMPTY",
        source="HIS 80601:2006; HISD 1165:2016",
        out=ERROR,
        into=WARNING,
        about="empty_elements",
        nb="Organisasjonen er tom",
        en="The organisation is empty",
        predicate=empty_organisations,
    ),
)
