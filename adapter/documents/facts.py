"""What every document says about itself, whatever kind it is: read once, tolerant, never raising on odd content."""

from __future__ import annotations

from collections.abc import Iterable

from adapter.documents import names
from adapter.documents.attachments import hcp_attachments, msghead_attachments
from adapter.documents.parties import read_hcp_party, read_hcp_patient, read_party, read_patient
from adapter.documents.reading import (
    child,
    children,
    coded,
    first_children,
    local_name,
    namespace_of,
    text,
    text_of,
    value,
    value_of,
)
from adapter.model.document import ConversationRef, Facts, Family, OriginalFacts
from adapter.model.party import Party
from adapter.xmlio import Element

_SIGNATURE = f"{{{names.XMLDSIG}}}Signature"
_REFERRAL_1 = {names.REFERRAL_1_0, names.REFERRAL_1_1}


def read_facts(root: Element, *, signatures: int | None = None) -> Facts:
    """The facts of a MsgHead, a root ``Message`` (Henvisning 1.x, Epikrise), an AppRec, or any other document.

    ``signatures``: how many there are, where the tree at hand is only what they cover; else they are counted.
    Wrappers are not looked through here: call ``unwrap`` first. Missing or misplaced parts give None.
    """
    count = sum(1 for _ in root.iter(_SIGNATURE)) if signatures is None else signatures
    name, namespace = local_name(root), namespace_of(root)
    if name == "MsgHead" and namespace == names.MSGHEAD:
        return _msghead(root, count)
    if name == "AppRec" and namespace in (names.APPREC_1_0, names.APPREC_1_1):
        return _apprec(root, namespace, count)
    if name == "Message" and "/xmlstds/" in namespace:
        return _message(root, namespace, count)
    return Facts(
        family=Family.OTHER,
        kind=name,
        namespace=namespace,
        version=names.version_of(namespace),
        signatures=count,
        business=root,
    )


def _q(name: str) -> str:
    return f"{{{names.MSGHEAD}}}{name}"


_INFO, _DOCUMENT, _REPORT, _OTHER_RECEIVER = _q("MsgInfo"), _q("Document"), _q("PatientReport"), _q("OtherReceiver")
_TYPE, _MIG_VERSION, _MSG_ID, _GEN_DATE = _q("Type"), _q("MIGversion"), _q("MsgId"), _q("GenDate")
_STATUS, _CONVERSATION = _q("ProcessingStatus"), _q("ConversationRef")
_SENDER, _RECEIVER, _PATIENT = _q("Sender"), _q("Receiver"), _q("Patient")


def _msghead(root: Element, signatures: int) -> Facts:
    outer = first_children(root)
    info = outer.get(_INFO)
    parts = first_children(info)
    kind = coded(parts.get(_TYPE))
    patient = parts.get(_PATIENT)
    business = _business(root, outer)
    body_ns = namespace_of(business)
    body = first_children(business)
    msg_id = text_of(parts.get(_MSG_ID))
    return Facts(
        family=Family.MSGHEAD,
        kind=local_name(business),
        namespace=body_ns,
        version=names.version_of(body_ns),
        msg_type=kind.code.strip() if kind and kind.code is not None else None,
        msg_type_name=kind.name if kind else None,
        mig_version=text_of(parts.get(_MIG_VERSION)),
        msg_id=msg_id,
        gen_date=text_of(parts.get(_GEN_DATE)),
        processing_status=value_of(parts.get(_STATUS)),
        conversation=_conversation(parts.get(_CONVERSATION)),
        sender=read_party(parts.get(_SENDER)),
        receiver=read_party(parts.get(_RECEIVER)),
        copies=_copies(info) if _OTHER_RECEIVER in parts else (),
        patient=read_patient(patient) if patient is not None else None,
        patient_present=patient is not None,
        receipt_id=msg_id,
        document_id=text_of(body.get(f"{{{body_ns}}}DocumentId")),
        service_type=value_of(body.get(f"{{{body_ns}}}ServType")),
        priority=value(body.get(f"{{{body_ns}}}ReqServ"), body_ns, "Priority"),
        theme=coded(_theme(body, body_ns)),
        attachments=tuple(msghead_attachments(root, outer)),
        signatures=signatures,
        business=business,
    )


def _copies(info: Element | None) -> tuple[Party, ...]:
    return _present(read_party(copy) for copy in children(info, names.MSGHEAD, "OtherReceiver"))


def _theme(body: dict[str, Element], ns: str) -> Element | None:
    """TemaKodet of the note, else TypeForesp of the question: what a dialogue message is about."""
    theme = child(body.get(f"{{{ns}}}Notat"), ns, "TemaKodet")
    return theme if theme is not None else child(body.get(f"{{{ns}}}Foresporsel"), ns, "TypeForesp")


def _business(root: Element, outer: dict[str, Element]) -> Element:
    """The root of the business document: the first element in the first Document's Content, else the MsgHead itself."""
    ns = names.MSGHEAD
    document = outer.get(_DOCUMENT)
    if document is None:
        document = child(outer.get(_REPORT), ns, "Document")
    content = child(document, ns, "RefDoc", "Content")
    if content is not None:
        for element in content:
            if isinstance(element.tag, str):
                return element
    return root


def _conversation(element: Element | None) -> ConversationRef | None:
    if element is None:
        return None
    parent = text(element, names.MSGHEAD, "RefToParent")
    conversation = text(element, names.MSGHEAD, "RefToConversation")
    return ConversationRef(parent=parent or "", conversation=conversation or "")


def _present(parties: Iterable[Party | None]) -> tuple[Party, ...]:
    return tuple(party for party in parties if party is not None)


def _message(root: Element, ns: str, signatures: int) -> Facts:
    referral = ns in _REFERRAL_1
    report = child(root, ns, "ServReq") if referral else child(root, ns, "ServRprt")
    sender, receiver = ("Requester", "ServProvider") if referral else ("ServProvider", "Requester")
    number = text(report, ns, "Id") if referral else text(report, ns, "ServProvId")
    msg_id = text(root, ns, "MsgId")
    kind = coded(child(root, ns, "Type"))
    patient = child(report, ns, "Patient")
    by_document = ns in (names.REFERRAL_1_0, names.EPIKRISE_1_1, names.EPIKRISE_1_0)
    return Facts(
        family=Family.HCP,
        kind="Message",
        namespace=ns,
        version=names.version_of(ns),
        msg_type=kind.code.strip() if kind and kind.code is not None else None,
        msg_type_name=kind.name if kind else None,
        mig_version=text(root, ns, "MIGversion"),
        msg_id=msg_id,
        gen_date=value(root, ns, "GenDate"),
        sender=read_hcp_party(child(report, ns, sender), ns),
        receiver=read_hcp_party(child(report, ns, receiver), ns),
        copies=_present(read_hcp_party(copy, ns) for copy in children(report, ns, "CopyDest")),
        patient=read_hcp_patient(patient, ns),
        patient_present=patient is not None,
        receipt_id=number if by_document else msg_id,
        document_id=number,
        service_type=value(report, ns, "ServType"),
        priority=value(report, ns, "ReqServ", "Priority") if referral else None,
        attachments=tuple(hcp_attachments(report, ns, f"/Message/{'ServReq' if referral else 'ServRprt'}")),
        signatures=signatures,
        business=root,
    )


def _apprec(root: Element, ns: str, signatures: int) -> Facts:
    kind = coded(child(root, ns, "MsgType"))
    sender = read_hcp_party(child(root, ns, "Sender"), ns)
    return Facts(
        family=Family.APPREC,
        kind="AppRec",
        namespace=ns,
        version=names.version_of(ns),
        msg_type=(kind.code if kind else None) or "APPREC",
        msg_type_name=kind.name if kind else None,
        mig_version=text(root, ns, "MIGversion"),
        msg_id=text(root, ns, "Id"),
        gen_date=text(root, ns, "GenDate"),
        sender=sender,
        receiver=read_hcp_party(child(root, ns, "Receiver"), ns),
        original=read_apprec(root),
        signatures=signatures,
        business=root,
    )


def read_apprec(root: Element) -> OriginalFacts:
    """What an AppRec (1.0 or 1.1) says of the message it answers; unknown status values are kept as written."""
    ns = namespace_of(root)
    original = child(root, ns, "OriginalMsgId")
    sender = read_hcp_party(child(root, ns, "Sender"), ns)
    errors = (coded(error) for error in children(root, ns, "Error"))
    return OriginalFacts(
        msg_type=value(original, ns, "MsgType"),
        issue_date=text(original, ns, "IssueDate"),
        msg_id=text(original, ns, "Id"),
        status=value(root, ns, "Status"),
        errors=tuple(error for error in errors if error is not None),
        apprec_version=names.version_of(ns),
        acknowledger=sender,
        acknowledger_unit=(sender.service or sender.organisation) if sender else None,
    )
