"""Building a MsgHead 1.2 with business document and attachments, in schema order (HIS 80601:2006, HIS 1036:2011)."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime

from lxml import etree

from adapter.codes import display_name
from adapter.documents import names
from adapter.documents.tables import prefixes, sub, timestamp
from adapter.documents.tables_dialogue import NOTES, QUESTIONS
from adapter.documents.tables_people import person, professional, unit
from adapter.documents.tables_referral import REFERRAL
from adapter.errors import InputError
from adapter.model.dialogue import DialogueQuestion, Note
from adapter.model.document import Built
from adapter.model.message import Attachment, Body, Head, OutgoingMessage
from adapter.model.party import Party
from adapter.model.referral import Referral
from adapter.xmlio import Element

_DIALOGUE = {"1.0": names.DIALOGUE_1_0, "1.1": names.DIALOGUE_1_1}
_UNIT = unit(names.MSGHEAD)
_PROFESSIONAL = professional(names.MSGHEAD)
_PATIENT = person(names.MSGHEAD)


def _q(name: str) -> str:
    return f"{{{names.MSGHEAD}}}{name}"


_ORGANISATION = _q("Organisation")
_MARKER_BYTES = 48  # a multiple of three: base64 without padding


def build_document(message: OutgoingMessage, head: Head) -> Built:
    """The whole MsgHead, unsigned. ``head.gen_date`` is Norwegian local time; parties come from the register.

    Raises InputError naming the field for a value that XML or the standard's form cannot carry. Everything else is for
    the rules to judge.
    """
    root = etree.Element(_q("MsgHead"), nsmap=prefixes(names.MSGHEAD))
    _write_info(sub(root, _q("MsgInfo")), message, head)
    main = sub(sub(root, _q("Document")), _q("RefDoc"))
    sub(main, _q("IssueDate")).set("V", timestamp(_issued_at(message.body, head)))
    _coded(main, "MsgType", "8114", "XML")
    _write_body(sub(main, _q("Content")), message.body)
    markers = tuple(_marker(head.marker_seed, at) for at in range(len(message.attachments)))
    for at, (attachment, marker) in enumerate(zip(message.attachments, markers, strict=True)):
        _write_attachment(root, attachment, marker, head.gen_date, f"$.attachments[{at}]")
    return Built(root=root, markers=markers, attachments=tuple(item.content for item in message.attachments))


def _issued_at(body: Body, head: Head) -> datetime:
    return body.issued_at if isinstance(body, Referral) else head.gen_date


def _coded(parent: Element, name: str, system: str, code: str) -> None:
    element = sub(parent, _q(name))
    element.set("V", code)
    shown = display_name(system, code)
    if shown is not None:
        element.set("DN", shown)


def _write_info(info: Element, message: OutgoingMessage, head: Head) -> None:
    _coded(info, "Type", "8279", message.msg_type)
    sub(info, _q("MIGversion")).text = names.MIG_VERSION
    sub(info, _q("GenDate")).text = timestamp(head.gen_date)
    sub(info, _q("MsgId")).text = head.msg_id
    if message.processing_status is not None:
        _coded(info, "ProcessingStatus", "8113", message.processing_status)
    if message.conversation is not None:
        reference = sub(info, _q("ConversationRef"))
        _plain(reference, "RefToParent", message.conversation.parent, "$.conversation.parent")
        _plain(reference, "RefToConversation", message.conversation.conversation, "$.conversation.conversation")
    _write_party(sub(info, _q("Sender")), head.sender, "$.sender")
    _write_party(sub(info, _q("Receiver")), head.receiver, "$.receiver")
    for at, copy in enumerate(head.copies):
        other = sub(info, _q("OtherReceiver"))
        _coded(other, "RoleReceiver", "8112", "COP")
        _write_party(other, copy, f"$.copies[{at}]")
    if message.patient is not None:
        with _Place("$.patient"):
            _PATIENT.write(sub(info, _q("Patient")), message.patient)


def _write_party(parent: Element, party: Party, where: str) -> None:
    with _Place(where):
        above = sub(parent, _ORGANISATION)
        _UNIT.write(above, party.organisation)
        if party.service is not None:
            _UNIT.write(sub(above, _ORGANISATION), party.service)
        if party.person is not None:
            _PROFESSIONAL.write(sub(above, _q("HealthcareProfessional")), party.person)


class _Place:
    """Puts the place in the caller's input before the path of an error, and names texts that XML cannot carry."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InputError):
            place = f"{self._where}.{error.where}" if error.where else self._where
            raise InputError(error.text, where=place, cure=error.cure) from None
        if isinstance(error, ValueError):
            raise InputError("a text holds a character that XML cannot carry", where=self._where) from None


def _plain(parent: Element, name: str, text: str, where: str) -> None:
    with _Place(where):
        sub(parent, _q(name)).text = text


def _write_body(content: Element, body: Body) -> None:
    with _Place("$.body"):
        if isinstance(body, Referral):
            nsmap = prefixes(names.REFERRAL_2_0, po=names.PO_2017, fk1=names.FK1)
            REFERRAL.write(sub(content, f"{{{names.REFERRAL_2_0}}}Henvisning", nsmap=nsmap), body)
        elif isinstance(body, DialogueQuestion):
            namespace = _DIALOGUE[body.VERSION]
            QUESTIONS[namespace].write(sub(_dialogue(content, namespace), f"{{{namespace}}}Foresporsel"), body)
        else:
            _write_note(content, body)


def _write_note(content: Element, note: Note) -> None:
    namespace = _DIALOGUE[note.VERSION]
    NOTES[namespace].write(sub(_dialogue(content, namespace), f"{{{namespace}}}Notat"), note)


def _dialogue(content: Element, namespace: str) -> Element:
    return sub(content, f"{{{namespace}}}Dialogmelding", nsmap=prefixes(namespace, fk1=names.FK1))


def _marker(seed: str, at: int) -> bytes:
    """Text that stands where an attachment belongs: valid base64, the same for the same seed, unique in practice."""
    return base64.b64encode(hashlib.sha512(f"{seed}/{at}".encode()).digest()[:_MARKER_BYTES])


def _write_attachment(root: Element, attachment: Attachment, marker: bytes, gen_date: datetime, where: str) -> None:
    document = sub(sub(root, _q("Document")), _q("RefDoc"))
    sub(document, _q("IssueDate")).set("V", timestamp(attachment.written_at or gen_date))
    _coded(document, "MsgType", "8114", "A")
    _plain(document, "MimeType", attachment.mime_type, f"{where}.mime_type")
    _plain(document, "Description", attachment.description, f"{where}.description")
    container = f"{{{names.BASE64}}}Base64Container"
    sub(sub(document, _q("Content")), container, nsmap=prefixes(names.BASE64)).text = marker.decode()
