"""V17, V22–V24: the document as a whole, receipts, and markup in texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapter.model.document import Family
from adapter.validation.rule import ERROR, WARNING, Rule
from adapter.validation.subject import Hit, NotEvaluated, Subject, line_of, place
from adapter.validation.xhtml import foreign_markup, texts

_ENCODINGS_OUT = frozenset({None, "UTF-8", "utf-8", "utf8", "UTF8", "US-ASCII", "us-ascii", "ASCII"})


def document_type(subject: Subject) -> Iterable[Hit]:
    # The parser refuses these already (T01); a tree that was made in another way is held to the same.
    docinfo = subject.root.getroottree().docinfo
    return () if docinfo.internalDTD is None and docinfo.externalDTD is None else (place(subject.root),)


def encoding(subject: Subject) -> Iterable[Hit]:
    known = subject.root.getroottree().docinfo.encoding in _ENCODINGS_OUT
    return () if known else (place(subject.root),)


def receipt_status(subject: Subject) -> Iterator[Hit]:
    original = subject.facts.original
    if subject.facts.family is Family.APPREC and (original is None or original.status not in ("1", "2", "3")):
        yield place(subject.root, "Status")


def receipt_errors(subject: Subject) -> Iterator[Hit]:
    original = subject.facts.original
    if subject.facts.family is not Family.APPREC or original is None:
        return
    if (original.status == "1" and original.errors) or (original.status in ("2", "3") and not original.errors):
        yield place(subject.root, "Error")


def receipt_reference(subject: Subject) -> Iterator[Hit]:
    original = subject.facts.original
    if subject.facts.family is Family.APPREC and (original is None or not (original.msg_id or "").strip()):
        yield place(subject.root, "OriginalMsgId")


def receipt_unknown(subject: Subject) -> Iterator[Hit]:
    original, known = subject.facts.original, subject.context.known_messages
    if subject.facts.family is not Family.APPREC or original is None or not original.msg_id:
        return
    if known is None:
        yield NotEvaluated("messages")
    elif not known(original.msg_id):
        yield place(subject.root, "OriginalMsgId")


def markup(subject: Subject) -> Iterator[Hit]:
    if subject.dialogue is not None:
        for carrier in texts(subject.dialogue):
            for element in foreign_markup(carrier):
                # The name of a foreign element is the sender's text: only the carrier is named (P21).
                yield place(carrier)._replace(line=line_of(element))


RULES = (
    Rule(
        id="V17",
        source="HISD 1165:2016",
        out=ERROR,
        into=ERROR,
        apprec="T01",
        gate=True,
        nb="Dokumentet kan ikke ha DOCTYPE",
        en="The document cannot have a DOCTYPE",
        predicate=document_type,
    ),
    Rule(
        id="V24",
        source="HIS 80603:2006; HISD 1165:2016",
        out=ERROR,
        into=None,
        nb="Tegnsettet skal være UTF-8",
        en="The character set must be UTF-8",
        predicate=encoding,
    ),
    Rule(
        id="V22",
        source="HIS 80415:2012; code list 8258",
        out=ERROR,
        into=ERROR,
        about="receipt",
        nb="Kvitteringens status skal være 1, 2 eller 3",
        en="The receipt's status must be 1, 2 or 3",
        predicate=receipt_status,
    ),
    Rule(
        id="V22.ERRORS",
        source="HIS 80415:2012",
        out=ERROR,
        into=WARNING,
        about="receipt",
        nb="En positiv kvittering har ingen feil, en negativ minst én",
        en="A positive receipt has no errors, a negative one at least one",
        predicate=receipt_errors,
    ),
    Rule(
        id="V22.ORIGINAL",
        source="HIS 80415:2012",
        out=ERROR,
        into=ERROR,
        about="receipt",
        nb="Kvitteringen skal nevne meldingen den gjelder",
        en="The receipt must name the message it is about",
        predicate=receipt_reference,
    ),
    Rule(
        id="V22.UNKNOWN",
        source="HIS 80415:2012",
        out=ERROR,
        into=WARNING,
        about="receipt",
        nb="Kvitteringen gjelder en melding vi ikke kjenner",
        en="The receipt is about a message that we do not know",
        predicate=receipt_unknown,
    ),
    Rule(
        id="V23",
        source="HISD 1155:2008",
        out=WARNING,
        into=WARNING,
        about="dialogue",
        nb="Teksten har oppmerking som ikke er tillatt; den fjernes før visning",
        en="The text has markup that is not allowed; it is removed before it is shown",
        predicate=markup,
    ),
)
