"""In over ebXML and HTTP: one signal for each message, stored with it; faults get the one right answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapter.ebxml.build import build
from adapter.ebxml.compose import acknowledgment, payload_message
from adapter.ebxml.opening import open_http
from adapter.ebxml.read import read, signed_references
from adapter.errors import SettingsError
from adapter.model.process import national
from adapter.security.envelope_signature import sign_envelope, verify_envelope
from adapter.simulator import world as place
from adapter.xmlio import parse
from tests.journeys.clinic import CLINIC, SOFTWARE, Clinic, EbxmlRig, beside
from tests.journeys.rig import letter


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[EbxmlRig]:
    with beside(tmp_path, EbxmlRig) as made:
        yield made


@pytest.fixture
def document(rig: EbxmlRig) -> bytes:
    return letter(rig, sender=CLINIC)


def errors(rig: EbxmlRig, reply: Any) -> list[tuple[str, str]]:
    """Code and severity of a MessageError that our company key has signed."""
    opened = open_http(reply.headers, reply.body)
    assert opened.root is not None
    words = read(verify_envelope(opened.root, {}, pinned=rig.ours.certificate, signal=True).root)
    assert words.report is not None
    return [(one.code, one.severity) for one in words.report.errors]


def test_a_note_is_acknowledged_handed_over_and_answered_on_the_same_road(
    rig: EbxmlRig, clinic: Clinic, document: bytes
) -> None:
    envelope, attached = clinic.note(document)
    reply = clinic.post(envelope, attached)
    assert (reply.status, reply.kind) == (200, "Acknowledgment")
    assert rig.steps() == ["received"]  # the receipt does not wait for the business content
    rig.rounds(1)
    [taken] = rig.adapter.take("ehr")
    assert taken.document == document
    rig.adapter.confirm(taken.token)
    rig.rounds(1)
    assert rig.steps() == ["receipted"]
    [got] = clinic.got
    assert (got.words.service, got.words.action) == ("S-DIALOG_NOTAT", "APPREC")
    assert (got.words.sender.role, got.words.receiver.role) == ("DIALOG_NOTATreceiver", "DIALOG_NOTATsender")
    sent = read(parse(envelope))
    assert (got.words.conversation_id, got.words.cpa_id) == (sent.conversation_id, sent.cpa_id)
    assert b"AppRec" in got.document


def test_p19_the_acknowledgment_is_signed_and_repeats_the_references(
    rig: EbxmlRig, clinic: Clinic, document: bytes
) -> None:
    envelope, attached = clinic.note(document)
    reply = clinic.post(envelope, attached)
    opened = open_http(reply.headers, reply.body)
    assert opened.root is not None
    words = read(verify_envelope(opened.root, {}, pinned=rig.ours.certificate, signal=True).root)
    assert words.receipt is not None
    assert words.receipt.ref_to_message_id == read(parse(envelope)).message_id
    assert words.receipt.references == signed_references(parse(envelope))


def test_an_apprec_that_got_no_acknowledgment_is_sent_again_as_it_was(
    rig: EbxmlRig, clinic: Clinic, document: bytes
) -> None:
    clinic.script = ["cut"]
    clinic.post(*clinic.note(document))
    rig.rounds(1)
    [taken] = rig.adapter.take("ehr")
    rig.adapter.confirm(taken.token)
    rig.rounds(1)
    assert rig.steps() == ["handed over"]
    rig.rounds(3)
    assert rig.steps() == ["receipted"]
    assert clinic.got[0].octets == clinic.got[1].octets


def test_p03_a_duplicate_gets_the_stored_signal_and_is_taken_once(
    rig: EbxmlRig, clinic: Clinic, document: bytes
) -> None:
    envelope, attached = clinic.note(document)
    first = clinic.post(envelope, attached)
    rig.rounds(1)
    rig.adapter.close()
    rig.adapter = rig.open()
    second = clinic.post(envelope, attached)
    assert second.body == first.body
    assert second.message_id == first.message_id
    rig.rounds(1)
    assert rig.steps() == ["accepted"]


def test_p03_the_same_message_id_with_other_content_is_a_conflict(
    rig: EbxmlRig, clinic: Clinic, document: bytes
) -> None:
    envelope, attached = clinic.note(document)
    clinic.post(envelope, attached)
    again = clinic.note(document, message_id=read(parse(envelope)).message_id)
    reply = clinic.post(*again)
    assert errors(rig, reply) == [("Inconsistent", "Error")]
    assert rig.steps() == ["received"]
    assert any(name.startswith("conflict:") for name, _ in rig.alarms)


def test_two_envelopes_with_one_document_are_one_message(rig: EbxmlRig, clinic: Clinic, document: bytes) -> None:
    for _ in range(2):
        assert clinic.post(*clinic.note(document)).kind == "Acknowledgment"
    rig.rounds(1)
    assert sorted(rig.steps()) == ["accepted", "duplicate"]


def changed(clinic: Clinic, document: bytes, fault: str) -> tuple[bytes, Any]:
    """A message with one fault of its envelope, its parts or its keys."""
    if fault == "other receiver":
        return clinic.note(document, receiver=place.BEKKELIA_GP)
    if fault == "encrypted for another":
        return clinic.note(document, certificate=clinic.opening.certificate)
    if fault == "signed by another":
        return clinic.note(document, signer=clinic.stranger)
    envelope, attached = clinic.note(document)
    if fault == "a changed word":
        return envelope.replace(b"DIALOG_NOTATsender", b"DIALOG_NOTATsendre"), attached
    if fault == "a changed part":
        return envelope, replace(attached, content=attached.content[:-1] + b"\x00")
    if fault == "cut ciphertext":
        content = attached.content[:-40]
        return clinic_signed(clinic, attached.content_id, content), replace(attached, content=content)
    raise AssertionError(fault)


def clinic_signed(clinic: Clinic, content_id: str, content: bytes) -> bytes:
    """A sound envelope about octets that cannot be decrypted."""
    words = payload_message(
        sender=CLINIC,
        receiver=place.SOLVANG_GP,
        process=national("DIALOG_NOTAT"),
        cpa_id=f"{CLINIC}_{place.SOLVANG_GP}",
        conversation_id=clinic.new_id(),
        message_id=clinic.new_id(),
        now=clinic.rig.clock(),
        content_id=content_id,
        namespace="http://www.kith.no/xmlstds/dialog/2006-10-11",
        version="1.0",
        software=SOFTWARE,
    )
    return sign_envelope(build(words), clinic.signing, {content_id: content})


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("other receiver", "DeliveryFailure"),
        ("signed by another", "SecurityFailure"),
        ("a changed word", "SecurityFailure"),
        ("a changed part", "SecurityFailure"),
        ("encrypted for another", "SecurityFailure"),
        ("cut ciphertext", "SecurityFailure"),
    ],
)
def test_a_fault_gets_one_message_error_and_nothing_is_taken(
    rig: EbxmlRig, clinic: Clinic, document: bytes, fault: str, code: str
) -> None:
    envelope, attached = changed(clinic, document, fault)
    reply = clinic.post(envelope, attached)
    assert (reply.status, reply.kind) == (200, "MessageError")
    assert errors(rig, reply) == [(code, "Error")]
    rig.rounds(2)
    assert rig.steps() == []
    assert clinic.got == []  # no AppRec either
    assert rig.adapter.export(reply.message_id, reason="test", role="envelope").endswith(b"--\r\n")


def test_every_decryption_failure_has_the_same_words_outside(rig: EbxmlRig, clinic: Clinic, document: bytes) -> None:
    said = []
    for fault in ("encrypted for another", "cut ciphertext"):
        envelope, attached = changed(clinic, document, fault)
        reply = clinic.post(envelope, attached)
        words = open_http(reply.headers, reply.body).envelope
        assert words.report is not None
        said.append([(one.code, one.text) for one in words.report.errors])
        assert [one.location for one in words.report.errors] == [f"cid:{attached.content_id}"]
    assert said[0] == said[1]


def test_p27_an_old_key_still_opens(rig: EbxmlRig, clinic: Clinic, document: bytes) -> None:
    old = rig.adapter.parts.signer("old")
    assert clinic.post(*clinic.note(document, certificate=old.certificate)).kind == "Acknowledgment"


def test_p18_a_document_by_another_sender_than_the_envelopes_is_set_aside(rig: EbxmlRig, clinic: Clinic) -> None:
    reply = clinic.post(*clinic.note(letter(rig, sender=place.BEKKELIA_GP)))
    assert reply.kind == "Acknowledgment"  # it arrived; that is all an Acknowledgment says
    rig.rounds(2)
    assert rig.steps() == ["quarantined"]
    assert clinic.got == []


def test_a_signal_about_nothing_of_ours_gets_no_answer_and_changes_nothing(rig: EbxmlRig, clinic: Clinic) -> None:
    envelope = clinic_signed(clinic, "x@clinic", b"0")
    words = read(parse(envelope))
    said = acknowledgment(
        words, signed_references(parse(envelope)), message_id=clinic.new_id(), now=rig.clock(), software=SOFTWARE
    )
    reply = clinic.post(clinic.sign(said, clinic.signing))
    assert (reply.status, reply.body) == (204, b"")
    assert rig.adapter.list() == []


def test_what_is_no_ebxml_gets_a_soap_fault(rig: EbxmlRig) -> None:
    reply = rig.adapter.receive_envelope(b"<a>hello</a>", [("Content-Type", "text/xml")])
    assert (reply.status, reply.kind) == (500, "SoapFault")
    assert b"faultcode" in reply.body
    assert rig.adapter.list() == []


def test_the_synchronous_form_is_taken_and_gets_no_acknowledgment(
    rig: EbxmlRig, clinic: Clinic, document: bytes
) -> None:
    envelope, attached = clinic.note(document, acknowledge=False)
    for _ in range(2):
        reply = clinic.post(envelope, attached)
        assert (reply.status, reply.body) == (204, b"")
    rig.rounds(1)
    assert rig.steps() == ["accepted"]


def test_a_manifest_that_names_no_part_gets_a_message_error(rig: EbxmlRig, clinic: Clinic, document: bytes) -> None:
    reply = clinic.post(*clinic.note(document, href="http://clinic.invalid/document"))
    assert reply.kind == "MessageError"
    assert rig.steps() == []


def test_our_own_fault_says_nothing_to_the_partner(rig: EbxmlRig, clinic: Clinic, document: bytes) -> None:
    envelope, attached = clinic.note(document)
    tenant = rig.settings.tenant[0]
    rig.settings = replace(rig.settings, tenant=(replace(tenant, decrypt_with=()),))
    rig.adapter.close()
    rig.adapter = rig.open()
    with pytest.raises(SettingsError):
        clinic.post(envelope, attached)
    rig.settings = replace(rig.settings, tenant=(tenant,))
    rig.adapter.close()
    rig.adapter = rig.open()
    assert clinic.post(envelope, attached).kind == "Acknowledgment"
    assert rig.steps() == ["received"]


def test_the_same_message_twice_at_one_moment_is_taken_once(rig: EbxmlRig, clinic: Clinic, document: bytes) -> None:
    envelope, attached = clinic.note(document)
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: clinic.post(envelope, attached), range(4)))
    assert len({reply.body for reply in replies}) == 1
    assert rig.steps() == ["received"]


def test_a_stranger_to_the_register_gets_a_soap_fault(rig: EbxmlRig, clinic: Clinic, document: bytes) -> None:
    reply = clinic.post(*clinic.note(document, sender=4711))
    assert (reply.status, reply.kind) == (500, "SoapFault")
    assert rig.steps() == []
