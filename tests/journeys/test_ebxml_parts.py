"""What an envelope holds besides one document: several of them, files beside them, and warnings about itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapter.ebxml.build import build
from adapter.ebxml.opening import open_http
from adapter.ebxml.pack import Attachment
from adapter.ebxml.plaintext import build_plaintext
from adapter.ebxml.read import read
from adapter.ebxml.words import EbError, Envelope, PayloadReference
from adapter.security import cms
from adapter.security.envelope_signature import sign_envelope, verify_envelope
from adapter.simulator import world as place
from adapter.xmlio import parse
from tests.journeys.clinic import CLINIC, Clinic, EbxmlRig, PinnedRig, beside
from tests.journeys.rig import letter

PDF = b"%PDF-1.7\nsynthetic\n%%EOF\n"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[EbxmlRig]:
    with beside(tmp_path, PinnedRig) as made:
        yield made


def note(rig: EbxmlRig, number: int) -> bytes:
    return letter(rig, sender=CLINIC, msg_id=f"aaaaaaaa-0000-4000-8000-{number:012d}")


def several(clinic: Clinic, *contents: bytes, lines: Any = None) -> tuple[bytes, list[Attachment]]:
    """A signed envelope with an encrypted part for each of the contents; ``lines`` orders the Manifest."""
    certificate = clinic.rig.opening.certificate  # type: ignore[attr-defined]
    attached = [
        Attachment(
            content_id=f"{clinic.new_id()}@clinic", content=cms.encrypt(build_plaintext(one, form="raw"), certificate)
        )
        for one in contents
    ]
    words = read(parse(clinic.note(contents[0])[0]))
    named = [PayloadReference(href=f"cid:{one.content_id}") for one in attached]
    words = replace(words, manifest=tuple(named[number] for number in lines or range(len(named))))
    envelope = sign_envelope(build(words), clinic.signing, {one.content_id: one.content for one in attached})
    return envelope, attached


def report(rig: EbxmlRig, reply: Any) -> list[EbError]:
    opened = open_http(reply.headers, reply.body)
    assert opened.root is not None
    words: Envelope = read(verify_envelope(opened.root, {}, pinned=rig.ours.certificate, signal=True).root)
    assert words.report is not None
    return list(words.report.errors)


def test_each_document_of_an_envelope_is_a_message_of_its_own(rig: EbxmlRig, clinic: Clinic) -> None:
    documents = [note(rig, number) for number in (1, 2, 3)]
    envelope, attached = several(clinic, *documents)
    for _ in range(2):  # the duplicate adds nothing
        assert clinic.post(envelope, *attached).kind == "Acknowledgment"
        rig.rounds(1)
    assert rig.steps() == ["accepted"] * 3
    taken = rig.adapter.take("ehr")
    assert [one.document for one in taken] == documents
    for one in taken:
        rig.adapter.confirm(one.token)
    rig.rounds(4)
    assert rig.steps() == ["receipted"] * 3  # each has its own AppRec
    conversation = read(parse(envelope)).conversation_id
    assert [got.words.conversation_id for got in clinic.got] == [conversation] * 3


def test_a_file_beside_the_document_is_kept_and_a_person_is_told(rig: EbxmlRig, clinic: Clinic) -> None:
    document = note(rig, 1)
    envelope, attached = several(clinic, PDF, document)
    reply = clinic.post(envelope, *attached)
    assert reply.kind == "Acknowledgment"
    rig.rounds(1)
    assert rig.steps() == ["accepted"]
    assert rig.attention() == ["parts beside the document"]
    assert any(name.startswith("beside:") for name, _ in rig.alarms)
    [taken] = rig.adapter.take("ehr")
    assert taken.document == document
    assert rig.adapter.export(reply.message_id, reason="test", role="part-1") == PDF


def test_xml_that_is_no_national_document_lies_beside_the_one_that_is(rig: EbxmlRig, clinic: Clinic) -> None:
    document = note(rig, 1)
    envelope, attached = several(clinic, b"<picture/>", document)
    reply = clinic.post(envelope, *attached)
    assert rig.adapter.export(reply.message_id, reason="test") == document
    assert rig.adapter.export(reply.message_id, reason="test", role="part-1") == b"<picture/>"


def test_a_part_that_is_named_twice_is_one_document(rig: EbxmlRig, clinic: Clinic) -> None:
    envelope, attached = several(clinic, note(rig, 1), lines=(0, 0))
    assert clinic.post(envelope, *attached).kind == "Acknowledgment"
    assert rig.steps() == ["received"]


def test_files_without_a_document_get_an_error(rig: EbxmlRig, clinic: Clinic) -> None:
    envelope, attached = several(clinic, PDF, PDF)
    reply = clinic.post(envelope, *attached)
    assert [(one.code, one.severity) for one in report(rig, reply)] == [("MimeProblem", "Error")]
    assert rig.steps() == []


def test_one_part_that_cannot_be_decrypted_refuses_the_whole_envelope(rig: EbxmlRig, clinic: Clinic) -> None:
    envelope, attached = several(clinic, note(rig, 1), b"no file that we know")
    reply = clinic.post(envelope, *attached)
    assert [one.code for one in report(rig, reply)] == ["SecurityFailure"]
    assert rig.steps() == []


def test_a_warning_is_a_receipt_and_the_message_is_taken(rig: EbxmlRig, clinic: Clinic) -> None:
    """Without AckRequested: HITS 1172 rule 75 and 4.2.2.1."""
    made, attached = clinic.note(note(rig, 1))
    words = replace(read(parse(made)), ack_request=None)
    envelope = sign_envelope(build(words), clinic.signing, {attached.content_id: attached.content})
    reply = clinic.post(envelope, attached)
    assert (reply.status, reply.kind) == (200, "MessageError")
    assert [(one.code, one.severity) for one in report(rig, reply)] == [("Inconsistent", "Warning")]
    rig.rounds(1)
    assert rig.steps() == ["accepted"]
    assert "accepted with warnings" in rig.kinds(reply.message_id)
    assert clinic.post(envelope, attached).body == reply.body
    assert rig.steps() == ["accepted"]


def test_an_error_is_given_again_to_the_same_envelope_and_never_to_another(rig: EbxmlRig, clinic: Clinic) -> None:
    wrong = clinic.opening.certificate
    envelope, attached = clinic.note(note(rig, 1), certificate=wrong)
    first = clinic.post(envelope, attached)
    rig.advance(hours=12)
    again = clinic.post(envelope, attached)
    assert (again.body, again.kind, again.message_id) == (first.body, "MessageError", first.message_id)
    other = clinic.note(note(rig, 2), message_id=read(parse(envelope)).message_id)
    assert [one.code for one in report(rig, clinic.post(*other))] == ["Inconsistent"]
    assert rig.steps() == []


def test_p28_a_duplicate_gets_its_answer_when_the_stored_one_is_deleted(rig: EbxmlRig, clinic: Clinic) -> None:
    sound = clinic.note(note(rig, 1))
    wrong = clinic.note(note(rig, 2), certificate=clinic.opening.certificate)
    for made in (sound, wrong):
        clinic.post(*made)
    with rig.adapter.parts.store.transaction() as db:
        db.exec_driver_sql("UPDATE payload SET content = NULL")  # as retention does
    assert [clinic.post(*made).kind for made in (sound, wrong)] == ["Acknowledgment", "MessageError"]
    assert rig.steps() == ["received"]


def test_p03_a_forged_envelope_does_not_decide_what_the_true_one_gets(rig: EbxmlRig, clinic: Clinic) -> None:
    envelope, attached = clinic.note(note(rig, 1))
    forged = envelope.replace(b"<ds:SignatureValue>", b"<ds:SignatureValue>AAAA")
    assert clinic.post(forged, attached).kind == "MessageError"
    assert clinic.post(envelope, attached).kind == "Acknowledgment"
    assert rig.steps() == ["received"]


def test_p03_a_duplicate_is_known_by_its_envelopes_sender_whatever_the_document_says(
    rig: EbxmlRig, clinic: Clinic
) -> None:
    """The document's sender takes the place of the envelope's once it is opened (P18)."""
    envelope, attached = clinic.note(letter(rig, sender=place.BEKKELIA_GP))
    first = clinic.post(envelope, attached)
    rig.rounds(1)
    again = clinic.post(envelope, attached)
    assert (again.kind, again.body) == ("Acknowledgment", first.body)
    assert not any(name.startswith("conflict:") for name, _ in rig.alarms)


def test_an_address_of_ours_that_the_book_lacks_is_no_fault_of_the_senders(rig: EbxmlRig, clinic: Clinic) -> None:
    book = rig.adapter.parts.book()
    without = replace(book, entries={key: one for key, one in book.entries.items() if key != place.SOLVANG_GP})
    document = note(rig, 1)
    object.__setattr__(rig.adapter.parts, "book", lambda: without)
    assert clinic.post(*clinic.note(document)).kind == "Acknowledgment"
