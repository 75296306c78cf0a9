"""Hostile messages that need more than octets: downgrades that are truly signed, replays, spoofing, clocks, and the
document's own faults, which an AppRec answers and never a MessageError."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding

from adapter import xmlio
from adapter.ebxml.decide import FAULTS
from adapter.ebxml.opening import open_http
from adapter.ebxml.plaintext import build_plaintext
from adapter.ebxml.read import read
from adapter.errors import AdapterError
from adapter.security.envelope_profile import read_envelope_plan
from adapter.simulator import world as place
from tests.journeys.bad_envelopes import SIGNATURE, resigned
from tests.journeys.clinic import CLINIC, Clinic, EbxmlRig, PinnedRig, beside
from tests.journeys.rig import letter
from tests.journeys.test_ebxml_bad import told

SHA1 = {
    b"http://www.w3.org/2001/04/xmlenc#sha256": b"http://www.w3.org/2000/09/xmldsig#sha1",
    b"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256": b"http://www.w3.org/2000/09/xmldsig#rsa-sha1",
}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[EbxmlRig]:
    with beside(tmp_path, PinnedRig) as made:
        yield made


def agree(rig: EbxmlRig, **changes: Any) -> None:
    """Our settings for the clinic changed."""
    book = rig.adapter.parts.book()
    entry = book.entries[CLINIC]
    assert entry.agreement is not None
    changed = replace(entry, agreement=replace(entry.agreement, **changes))
    object.__setattr__(rig.adapter.parts, "book", lambda: replace(book, entries={**book.entries, CLINIC: changed}))


def by_sha1(clinic: Clinic, envelope: bytes, content: bytes) -> bytes:
    """The envelope truly signed with SHA-1 by the clinic's own key."""
    octets = xmlio.canonical(xmlio.parse(SIGNATURE.sub(b"", envelope)))
    for one, other in SHA1.items():
        envelope = envelope.replace(one, other)
    digests = iter([octets, content])
    value = re.compile(rb"(?<=<ds:DigestValue>)[^<]*")
    envelope = value.sub(lambda _: b64encode(hashlib.sha1(next(digests), usedforsecurity=False).digest()), envelope)
    signature = next(xmlio.parse(envelope).iter("{http://www.w3.org/2000/09/xmldsig#}Signature"))
    plan = read_envelope_plan(signature, True)
    signed = clinic.signing.private_key.sign(plan.octets, padding.PKCS1v15(), hashes.SHA1())
    return re.sub(rb"(?<=<ds:SignatureValue>)[^<]*", b64encode(signed), envelope)


def test_sha1_that_is_truly_signed_is_refused_unless_the_partner_is_set_so(rig: EbxmlRig, clinic: Clinic) -> None:
    envelope, attached = clinic.note(letter(rig, sender=CLINIC))
    old = by_sha1(clinic, envelope, attached.content)
    assert told(rig, clinic.post(old, attached)) == "SecurityFailure Error 84 //Header/Signature"
    agree(rig, allow_sha1=True)
    assert told(rig, clinic.post(old, attached)) == "Acknowledgment"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_triple_des_is_refused_unless_the_partner_is_set_so(rig: EbxmlRig, clinic: Clinic) -> None:
    certificate = rig.folder / "ours.pem"
    certificate.write_bytes(rig.opening.certificate.public_bytes(Encoding.PEM))
    command = ["openssl", "cms", "-encrypt", "-binary", "-outform", "DER", "-des3", str(certificate)]
    plain = build_plaintext(letter(rig, sender=CLINIC), form="raw")
    content = subprocess.run(command, input=plain, stdout=subprocess.PIPE, check=True).stdout
    made = resigned(clinic, clinic.note(letter(rig, sender=CLINIC)), content=content)
    assert told(rig, clinic.post(*made)) == f"SecurityFailure Error 263 cid:{made[1].content_id}"
    agree(rig, allow_3des=True)
    again = resigned(clinic, clinic.note(letter(rig, sender=CLINIC)), content=content)
    assert told(rig, clinic.post(*again)) == "Acknowledgment"


def test_p18_another_partys_name_under_ones_own_signature_is_refused(rig: EbxmlRig, clinic: Clinic) -> None:
    envelope, attached = clinic.note(letter(rig, sender=place.BEKKELIA_GP), sender=place.BEKKELIA_GP)
    assert told(rig, clinic.post(envelope, attached)) == "SecurityFailure Error 79 //Header/Signature"
    assert rig.steps() == []


def test_a_replay_past_its_time_to_live_gets_the_stored_receipt_and_is_taken_once(
    rig: EbxmlRig, clinic: Clinic
) -> None:
    """The duplicate comes before TimeToLive (ebXML practice 8.1: 4 before 5)."""
    lives = rig.clock() + timedelta(hours=2)
    envelope, attached = clinic.note(letter(rig, sender=CLINIC), time_to_live=lives)
    first = clinic.post(envelope, attached)
    rig.advance(hours=3)
    again = clinic.post(envelope, attached)
    assert (again.kind, again.body) == ("Acknowledgment", first.body)
    assert rig.steps() == ["received"]


def test_a_message_that_comes_first_past_its_time_to_live_expires_and_stays_so(rig: EbxmlRig, clinic: Clinic) -> None:
    lives = rig.clock() + timedelta(hours=2)
    envelope, attached = clinic.note(letter(rig, sender=CLINIC), time_to_live=lives)
    rig.advance(hours=3)
    place_ = "//Header/MessageHeader/MessageData/TimeToLive"
    replies = [clinic.post(envelope, attached) for _ in range(2)]
    assert [told(rig, reply) for reply in replies] == [f"TimeToLiveExpired Error EB8 {place_}"] * 2
    assert replies[0].body == replies[1].body
    assert rig.steps() == []


def test_a_clock_that_is_ahead_does_not_stop_a_message_and_is_alarmed(rig: EbxmlRig, clinic: Clinic) -> None:
    now = rig.clock() + timedelta(hours=9)
    assert clinic.post(*clinic.note(letter(rig, sender=CLINIC), now=now)).kind == "Acknowledgment"
    assert [one["name"] for one in rig.adapter.alarms()] == [f"partner's clock {CLINIC}"]
    assert clinic.post(*clinic.note(letter(rig, sender=CLINIC))).kind == "Acknowledgment"
    assert list(rig.adapter.alarms()) == []


def test_an_expired_certificate_of_the_registered_partner_is_a_finding_and_an_alarm(
    rig: EbxmlRig, clinic: Clinic
) -> None:
    """Its equality with the registered one decides (HITS 1172 44); its validity is reported (P17, rule 105)."""
    rig.advance(days=800)
    reply = clinic.post(*clinic.note(letter(rig, sender=CLINIC)))
    assert reply.kind == "Acknowledgment"
    found = [one["detail"]["rules"] for one in rig.adapter.show(reply.message_id)["events"] if "rules" in one["detail"]]
    assert found == [["105"]]
    assert [one["name"] for one in rig.adapter.alarms()] == [f"partner's certificate {CLINIC}"]


def test_a_conflict_is_kept_whole_and_stays_an_incident(rig: EbxmlRig, clinic: Clinic) -> None:
    envelope, attached = clinic.note(letter(rig, sender=CLINIC))
    clinic.post(envelope, attached)
    other = clinic.note(letter(rig, sender=CLINIC), message_id=read(xmlio.parse(envelope)).message_id)
    reply = clinic.post(*other)
    assert told(rig, reply) == "Inconsistent Error None //eb:MessageHeader/eb:MessageData/eb:MessageId"
    shown = rig.adapter.show(reply.message_id)
    assert [one["kind"] for one in shown["events"]] == ["envelope received", "envelope conflict"]
    assert [one["role"] for one in shown["payloads"]] == ["envelope", "signal"]
    assert [one["name"] for one in rig.adapter.alarms()] == [f"conflict:{reply.message_id}"]


# --- faults of the document, and ours ---------------------------------------------------------------------------------


def broken_signature(rig: EbxmlRig) -> bytes:
    signed = letter(rig, sender=CLINIC, sign_with=rig.clinic.signing)
    return signed.replace(b"Fjellbekk", b"Fjellbakk")


def broken_schema(rig: EbxmlRig) -> bytes:
    return re.sub(rb"<([A-Za-z0-9]*:?)MIGversion>[^<]*</\1MIGversion>", b"", letter(rig, sender=CLINIC))


@pytest.mark.parametrize(
    ("fault", "make"), [("document_signature", broken_signature), ("document_schema", broken_schema)]
)
def test_a_fault_of_the_document_is_acknowledged_and_then_answered_by_an_apprec(
    rig: EbxmlRig, clinic: Clinic, fault: str, make: Any
) -> None:
    reply = clinic.post(*clinic.note(make(rig)))
    assert reply.kind == "Acknowledgment"
    rig.rounds(2)
    assert rig.steps() == ["rejected"]
    [got] = clinic.got
    assert got.words.action == "APPREC"
    assert f'V="{FAULTS[fault].apprec}"'.encode() in got.document
    assert clinic.post(*clinic.note(make(rig))).kind == "Acknowledgment"  # nothing turns it back


@pytest.mark.parametrize("document", [b"<a>", b"<a/>", b"<!DOCTYPE a><a/>"])
def test_a_document_that_cannot_be_read_is_acknowledged_and_a_person_is_told(
    rig: EbxmlRig, clinic: Clinic, document: bytes
) -> None:
    assert FAULTS["document_unreadable"].apprec is None
    assert clinic.post(*clinic.note(document)).kind == "Acknowledgment"
    rig.rounds(2)
    assert rig.steps() == ["refused"]
    assert rig.attention() != []
    assert clinic.got == []


def test_a_faulty_receipt_is_acknowledged_and_never_answered_by_a_receipt(rig: EbxmlRig, clinic: Clinic) -> None:
    assert FAULTS["receipt_faulty"].apprec is None
    receipt = b'<AppRec xmlns="http://www.kith.no/xmlstds/apprec/2012-02-15"><Status V="1" DN="OK"/></AppRec>'
    assert clinic.post(*clinic.note(receipt)).kind == "Acknowledgment"
    rig.rounds(2)
    assert rig.steps() == ["refused"]
    assert clinic.got == []


def test_while_the_fault_is_ours_nothing_is_said_and_the_message_is_taken_later(
    rig: EbxmlRig, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (FAULTS["ours"].code, FAULTS["ours"].apprec) == (None, None)
    envelope, attached = clinic.note(letter(rig, sender=CLINIC))
    tenant = rig.settings.tenant[0]
    for broken in ({"decrypt_with": ()}, {"sign_with": None}):
        rig.settings = replace(rig.settings, tenant=(replace(tenant, **broken),))
        rig.adapter.close()
        rig.adapter = rig.open()
        with pytest.raises(AdapterError):
            clinic.post(envelope, attached)
        assert rig.steps() == []
    rig.settings = replace(rig.settings, tenant=(tenant,))
    rig.adapter.close()
    rig.adapter = rig.open()
    assert clinic.post(envelope, attached).kind == "Acknowledgment"


def test_each_fault_outside_the_octets_has_one_answer_and_a_source() -> None:
    for name, row in FAULTS.items():
        assert row.source, name
        assert row.code is None or (row.apprec is None and row.location), name


def test_the_words_of_an_error_hold_nothing_of_the_message(rig: EbxmlRig, clinic: Clinic) -> None:
    envelope, attached = clinic.note(letter(rig, sender=CLINIC))
    canary = b"17875399837"
    reply = clinic.post(envelope.replace(b"DIALOG_NOTATsender", canary), attached)
    assert reply.kind == "MessageError"
    assert canary not in reply.body
    words = open_http(reply.headers, reply.body).envelope
    assert words.report is not None
    shown = str([rig.adapter.show(reply.message_id), list(rig.adapter.alarms())])
    assert canary.decode() not in shown
