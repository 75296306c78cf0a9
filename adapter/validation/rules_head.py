"""V1–V4, V9, V10: type, version, identity, time, references and the business document of a message."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from adapter.identifiers import is_message_id
from adapter.model.document import Family
from adapter.validation import names
from adapter.validation.moments import read_moment
from adapter.validation.rule import ERROR, INFO, WARNING, Rule
from adapter.validation.subject import Hit, Place, Subject, below, first, place

FUTURE = timedelta(hours=24)
_M = names.MSGHEAD
_DOCUMENT, _REF_DOC, _CONTENT = f"{_M}Document", f"{_M}RefDoc", f"{_M}Content"
_MIG = {
    names.REFERRAL_1_0[1:-1]: "v1.0 2005-07-08",
    names.REFERRAL_1_1[1:-1]: "v1.1 2012-02-15",
    names.APPREC_1_0[1:-1]: "1.0 2004-11-21",
    names.APPREC_1_1[1:-1]: "v1.1 2012-02-15",
}
_LINKED = {"DIALOG_SVAR", "DIALOG_AVVIK", "DIALOG_STATUS_HENVISNING"}


def _head(subject: Subject, name: str) -> Place:
    """The place of a child of MsgInfo, or of the root where there is no MsgInfo."""
    if subject.info is None:
        child = subject.root.find(f"{subject.namespace}{name}")
        return place(child) if child is not None else place(subject.root, name)
    child = subject.info.find(f"{_M}{name}")
    return place(child) if child is not None else place(subject.info, name)


def unsupported_type(subject: Subject) -> Iterable[Hit]:
    facts = subject.facts
    if facts.msg_type in names.SUPPORTED_TYPES or (facts.msg_type is None and facts.family is not Family.MSGHEAD):
        return ()
    return (_head(subject, "Type"),)


def not_accepted(subject: Subject) -> Iterable[Hit]:
    accepts, facts = subject.context.accepts, subject.facts
    if accepts and facts.family is not Family.APPREC and facts.msg_type in names.SUPPORTED_TYPES:
        kind = facts.msg_type or ""
        if kind not in accepts and f"{kind} {facts.version}" not in accepts:
            return (_head(subject, "Type")._replace(detail=", ".join(accepts)),)
    return ()


def other_action(subject: Subject) -> Iterable[Hit]:
    action = subject.context.action
    if action is not None and subject.msghead and not subject.to_nav and action != subject.facts.msg_type:
        return (_head(subject, "Type"),)
    return ()


def mig_version(subject: Subject) -> Iterable[Hit]:
    if subject.msghead and subject.facts.mig_version != "v1.2 2006-05-24":
        return (_head(subject, "MIGversion"),)
    return ()


def other_mig_version(subject: Subject) -> Iterable[Hit]:
    expected = None if subject.msghead else _MIG.get(subject.facts.namespace)
    if expected and subject.facts.mig_version != expected:
        return (_head(subject, "MIGversion")._replace(detail=expected),)
    return ()


def message_id(subject: Subject) -> Iterable[Hit]:
    # Henvisning 1.0 allows any string; an AppRec is never answered, and NAV's have other ids.
    facts = subject.facts
    one_zero = facts.namespace == names.REFERRAL_1_0[1:-1]
    if facts.family is Family.APPREC or one_zero or is_message_id(facts.msg_id):
        return ()
    return (_head(subject, "MsgId"),)


def receipt_own_id(subject: Subject) -> Iterable[Hit]:
    if subject.facts.family is Family.APPREC and not is_message_id(subject.facts.msg_id):
        return (place(subject.root, "Id"),)
    return ()


def gen_date(subject: Subject) -> Iterable[Hit]:
    moment = read_moment(subject.facts.gen_date)
    if moment is None:
        return (_head(subject, "GenDate"),)
    now = subject.now
    if now is not None:
        # A time without zone is Norwegian; being one or two hours off does not matter against a day.
        written = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if written > _aware(now) + FUTURE:
            return (_head(subject, "GenDate"),)
    return ()


def _aware(now: datetime) -> datetime:
    return now if now.tzinfo else now.replace(tzinfo=UTC)


def references(subject: Subject) -> Iterable[Hit]:
    if subject.info is None:
        return ()
    element = subject.head.get(f"{_M}ConversationRef")
    if element is None:
        return (place(subject.info, "ConversationRef"),) if subject.facts.msg_type in _LINKED else ()
    reference = subject.facts.conversation
    pairs = (
        ("RefToParent", reference and reference.parent),
        ("RefToConversation", reference and reference.conversation),
    )
    return [place(element, name) for name, written in pairs if not written or not written.strip()]


def body_namespace(subject: Subject) -> Iterable[Hit]:
    facts = subject.facts
    if facts.msg_type not in names.SUPPORTED_TYPES and facts.msg_type is not None:
        return ()  # V1 says it already
    allowed = names.TYPES_BY_NAMESPACE.get(facts.namespace)
    if subject.msghead and (subject.body is None or subject.body is subject.root):
        return ()  # there is no body: V10.ROOT
    if facts.family is Family.OTHER or allowed is None or facts.msg_type not in allowed:
        return (subject.body if subject.body is not None else subject.root,)
    return ()


def body_root(subject: Subject) -> Iterable[Hit]:
    if not subject.msghead:
        return ()
    document = first(subject.root, _DOCUMENT)
    content = below(document, _REF_DOC, _CONTENT) if document is not None else None
    if content is not None:
        return (place(content),) if len(content) != 1 else ()
    return (place(subject.root, "Document"),) if first(subject.root, f"{_M}PatientReport") is None else ()


def body_type(subject: Subject) -> Iterable[Hit]:
    reference = below(subject.root, _DOCUMENT, _REF_DOC) if subject.msghead else None
    kind = first(reference, f"{_M}MsgType") if reference is not None else None
    return (kind,) if kind is not None and kind.get("V") != "XML" else ()


RULES = (
    Rule(
        id="V1",
        source="HIS 80601:2006 5.1; code list 8279; HIS 80415:2012 3.3.4",
        out=ERROR,
        into=ERROR,
        apprec="T10",
        gate=True,
        nb="Meldingstypen støttes ikke",
        en="This message type is not supported",
        predicate=unsupported_type,
    ),
    Rule(
        id="V10",
        source="HIS 80601:2006 5.2; HIS 1207:2018; HIS 80603:2006",
        out=ERROR,
        into=ERROR,
        apprec="T10",
        gate=True,
        nb="Fagmeldingens navnerom og versjon må høre til meldingstypen",
        en="The business document's namespace and version must belong to the message type",
        predicate=body_namespace,
    ),
    Rule(
        id="V1.ACCEPTS",
        source="HITS 1210:2018; NHN guide part 1",
        out=ERROR,
        into=ERROR,
        apprec="T10",
        gate=True,
        nb="Meldingstypen er ikke avtalt; bruk en av de avtalte",
        en="This message type is not agreed; use one of the agreed ones",
        predicate=not_accepted,
    ),
    Rule(
        id="V1.ACTION",
        source="HISD 1209:2018",
        out=ERROR,
        into=WARNING,
        about="msghead",
        nb="Meldingstypen skal være lik konvoluttens Action",
        en="The message type must equal the envelope's Action",
        predicate=other_action,
    ),
    Rule(
        id="V2",
        source="HIS 80601:2006 5.1",
        out=ERROR,
        into=ERROR,
        apprec="T02",
        about="msghead",
        nb="MIGversion skal være «v1.2 2006-05-24»",
        en="MIGversion must be 'v1.2 2006-05-24'",
        predicate=mig_version,
    ),
    Rule(
        id="V2.OTHER",
        source="HIS 80415:2004; HIS 80415:2012; HIS 80517:2005; HIS 80517:2014",
        out=ERROR,
        into=INFO,
        about="bare",
        nb="MIGversion avviker fra standarden",
        en="MIGversion differs from the standard",
        predicate=other_mig_version,
    ),
    Rule(
        id="V3",
        source="HIS 80415:2012 3.3.4",
        out=ERROR,
        into=ERROR,
        apprec="E10",
        nb="Meldingens id skal være en UUID",
        en="The message id must be a UUID",
        predicate=message_id,
    ),
    Rule(
        id="V3.RECEIPT",
        source="HIS 80415:2012",
        out=ERROR,
        into=None,
        about="receipt",
        nb="Kvitteringens id skal være en UUID",
        en="The receipt's id must be a UUID",
        predicate=receipt_own_id,
    ),
    Rule(
        id="V4",
        source="HIS 80601:2006 5.1",
        out=ERROR,
        into=WARNING,
        nb="GenDate skal være et tidspunkt og ikke ligge fram i tid",
        en="GenDate must be a point in time, and not in the future",
        predicate=gen_date,
    ),
    Rule(
        id="V9",
        source="HIS 80601:2006 5.1; HITS 1218:2019",
        out=ERROR,
        into=WARNING,
        about="msghead",
        nb="ConversationRef skal ha begge referanser, og kreves for denne meldingstypen",
        en="ConversationRef needs both references, and this message type requires it",
        predicate=references,
    ),
    Rule(
        id="V10.ROOT",
        source="HIS 80601:2006 5.2",
        out=ERROR,
        into=ERROR,
        apprec="T02",
        about="msghead",
        nb="Første Document skal inneholde nøyaktig én fagmelding",
        en="The first Document must hold exactly one business document",
        predicate=body_root,
    ),
    Rule(
        id="V10.KIND",
        source="HIS 80601:2006 5.2; code list 8114",
        out=ERROR,
        into=ERROR,
        apprec="T02",
        about="msghead",
        nb="Første Document skal ha MsgType XML",
        en="The first Document must have MsgType XML",
        predicate=body_type,
    ),
)
