"""V11: attachments (HIS 1036:2011, P25). Large base64 is walked once in pieces and never decoded as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from adapter.model.attachment_formats import matches_magic
from adapter.model.document import AttachmentFacts
from adapter.model.wire import EBXML_HTTP
from adapter.validation import names
from adapter.validation.attachment_policy import MAIL_LIMIT_BYTES, NAV_COUNT, READABLE, allowed_formats, normal
from adapter.validation.base64_text import beginning, is_base64, raw_size
from adapter.validation.rule import ERROR, WARNING, Rule
from adapter.validation.subject import Hit, Place, Subject, line_of
from adapter.xmlio import Element

_MAGIC_BYTES = 1536


def _pieces(subject: Subject) -> Iterator[tuple[AttachmentFacts, bytes | None]]:
    """Each attachment with its raw bytes when the caller has them (the tree of an outgoing message holds markers)."""
    raw = subject.context.attachment_pieces
    for number, attachment in enumerate(subject.facts.attachments):
        yield attachment, raw[number] if number < len(raw) else None


def _at(attachment: AttachmentFacts) -> Place:
    element = attachment.element
    return Place(attachment.path, line_of(element) if element is not None else None)


def _reference(attachment: AttachmentFacts) -> Element | None:
    """The RefDoc around a Base64Container."""
    content = attachment.element.getparent() if attachment.element is not None else None
    return content.getparent() if content is not None else None


def formats_out(subject: Subject) -> Iterator[Hit]:
    agreed = subject.context.attachments_allowed
    allowed = allowed_formats(subject.facts.msg_type, to_nav=subject.to_nav, agreed=agreed)
    for attachment in subject.facts.attachments:
        if normal(attachment.mime_type) not in allowed:
            yield _at(attachment)._replace(detail=", ".join(sorted(allowed)))


def formats_in(subject: Subject) -> Iterator[Hit]:
    usable = READABLE | {normal(mime_type) for mime_type in subject.context.attachments_allowed}
    for attachment in subject.facts.attachments:
        # A part without a Base64Container (an XML document, a reference) is shown by its description.
        if attachment.element is not None and normal(attachment.mime_type) not in usable:
            yield _at(attachment)._replace(detail=", ".join(sorted(usable)))


def count(subject: Subject) -> Iterator[Hit]:
    most = subject.context.attachments_max
    if most is None and subject.to_nav:
        most = NAV_COUNT
    if most is not None and len(subject.facts.attachments) > most:
        yield _at(subject.facts.attachments[most])._replace(detail=str(most))


def damaged(subject: Subject) -> Iterator[Hit]:
    for attachment, sound, _ in _contents(subject):
        if not sound:
            yield _at(attachment)


def wrong_magic(subject: Subject) -> Iterator[Hit]:
    for attachment, sound, start in _contents(subject):
        kind = normal(attachment.mime_type)
        if sound and start and kind in READABLE and not matches_magic(kind, start):
            yield _at(attachment)


Content = tuple[AttachmentFacts, bool, bytes]


def _contents(subject: Subject) -> list[Content]:
    """Each attachment, whether its content is sound, and its first bytes; a large text is fetched once."""
    found = subject.kept.get("attachments")
    if found is None:
        sound = subject.sound_texts
        found = subject.kept["attachments"] = [_content(one, raw, sound) for one, raw in _pieces(subject)]
    return cast(list[Content], found)


def _content(attachment: AttachmentFacts, raw: bytes | None, sound: Mapping[Element, str]) -> Content:
    if raw is not None:
        return attachment, bool(raw), raw[:_MAGIC_BYTES]
    if attachment.element is None:
        return attachment, True, b""  # V11.CONTENT says what is missing
    known = sound.get(attachment.element)
    if known is not None:  # to fetch megabytes again, and judge them again, would cost more than all else
        return attachment, True, beginning(known, _MAGIC_BYTES)
    text = attachment.element.text or ""
    return attachment, is_base64(text), beginning(text, _MAGIC_BYTES)


def no_content(subject: Subject) -> Iterator[Hit]:
    for attachment in subject.facts.attachments:
        if attachment.element is None:
            yield _at(attachment)


def descriptions(subject: Subject) -> Iterator[Hit]:
    for attachment in subject.facts.attachments:
        if not (attachment.description or "").strip():
            yield _at(attachment)._replace(
                path=attachment.path.removesuffix("/Content/Base64Container") + "/Description"
            )


def kinds(subject: Subject) -> Iterator[Hit]:
    for attachment in subject.facts.attachments:
        reference = _reference(attachment)
        kind = reference.find(f"{names.MSGHEAD}MsgType") if reference is not None and subject.msghead else None
        if kind is not None and kind.get("V") != "A":
            yield kind


def mail_size(subject: Subject) -> Iterator[Hit]:
    if subject.context.road in ("edi20", EBXML_HTTP):
        return
    total = sum(
        len(raw) if raw is not None else raw_size(attachment.base64_chars) for attachment, raw in _pieces(subject)
    )
    if total > MAIL_LIMIT_BYTES:
        yield _at(subject.facts.attachments[0])._replace(detail=f"{MAIL_LIMIT_BYTES} byte")


_SOURCE = "HIS 1036:2011"

RULES = (
    Rule(
        id="V11.FORMAT",
        source=f"{_SOURCE}; HIS 1077; HIS 1206; HIS 1207",
        out=ERROR,
        into=None,
        about="attachments",
        nb="Vedleggets format er ikke tillatt for meldingstypen og mottakeren",
        en="The attachment's format is not allowed for this type and receiver",
        predicate=formats_out,
    ),
    Rule(
        id="V11.UNUSABLE",
        source=f"{_SOURCE}; HITS 1168:2016",
        out=None,
        into=ERROR,
        apprec="T99",
        about="attachments",
        nb="Vedleggets format kan ikke brukes her",
        en="The attachment's format cannot be used here",
        predicate=formats_in,
    ),
    Rule(
        id="V11.BASE64",
        source=_SOURCE,
        out=ERROR,
        into=ERROR,
        apprec="T99",
        about="attachments",
        nb="Vedlegget er ikke gyldig base64 eller er tomt",
        en="The attachment is not valid base64, or it is empty",
        predicate=damaged,
    ),
    Rule(
        id="V11.MAGIC",
        source=f"{_SOURCE}; P25",
        out=ERROR,
        into=WARNING,
        about="attachments",
        nb="Vedleggets innhold er ikke av det formatet som er oppgitt",
        en="The attachment's content is not of the stated format",
        predicate=wrong_magic,
    ),
    Rule(
        id="V11.COUNT",
        source="P25; NAV",
        out=ERROR,
        into=WARNING,
        about="attachments",
        nb="Meldingen har for mange vedlegg",
        en="The message has too many attachments",
        predicate=count,
    ),
    Rule(
        id="V11.CONTENT",
        source=_SOURCE,
        out=ERROR,
        into=WARNING,
        about="attachments",
        nb="Vedlegget skal ligge i en Base64Container",
        en="The attachment must be in a Base64Container",
        predicate=no_content,
    ),
    Rule(
        id="V11.KIND",
        source=f"{_SOURCE}; code list 8114",
        out=ERROR,
        into=WARNING,
        about="attachments",
        nb="Et vedlegg skal ha MsgType A",
        en="An attachment must have MsgType A",
        predicate=kinds,
    ),
    Rule(
        id="V11.DESCRIPTION",
        source=_SOURCE,
        out=ERROR,
        into=WARNING,
        about="attachments",
        nb="Vedlegget skal ha en beskrivelse",
        en="The attachment needs a description",
        predicate=descriptions,
    ),
    Rule(
        id="V11.SIZE",
        source=_SOURCE,
        out=WARNING,
        into=None,
        about="attachments",
        nb="Vedleggene er store for mottak på e-post",
        en="The attachments are large for a receiver by mail",
        predicate=mail_size,
    ),
)
