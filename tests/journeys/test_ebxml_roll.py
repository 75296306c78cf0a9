"""P27: keys and certificates roll on the ebXML road without an outage, ours and the partner's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapter.ebxml.opening import open_http
from adapter.ebxml.read import read
from adapter.errors import TransportError
from adapter.flow.ebxml_keys import UNDER_WAY
from adapter.security import cms
from adapter.security.demo_ca import key_usage, write_pkcs12
from adapter.security.envelope_signature import verify_envelope
from adapter.security.keys import SigningKey
from tests.journeys.clinic import CLINIC, Clinic, EbxmlRig, PinnedRig, beside, registered
from tests.journeys.rig import letter, referral


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[EbxmlRig]:
    with beside(tmp_path, PinnedRig) as made:
        yield made


def note(rig: EbxmlRig, number: int = 1) -> bytes:
    return letter(rig, sender=CLINIC, msg_id=f"aaaaaaaa-0000-4000-8000-{number:012x}")


def errors(reply: Any) -> list[str]:
    """The codes of a MessageError; none for an Acknowledgment."""
    report = open_http(reply.headers, reply.body).envelope.report
    return [one.code for one in report.errors] if report is not None else []


# --- the partner rolls ------------------------------------------------------------------------------------------------


def register(rig: EbxmlRig, **keys: SigningKey | None) -> None:
    """The clinic's new certificates come with the address book."""
    file = rig.folder / "addressbook.json"
    book = json.loads(file.read_text())
    for party in book["parties"]:
        if party["herId"] == CLINIC:
            party["_certificates"] |= {use: registered(key) for use, key in keys.items() if key is not None}
    file.write_text(json.dumps(book))
    rig.advance(seconds=1)
    os.utime(file, (rig.clock().timestamp(),) * 2)
    rig.adapter.parts.book()  # it has been looked at: from now on the new one is the registered one


def roll(rig: EbxmlRig, clinic: Clinic) -> SigningKey:
    """The clinic signs with a new key from now on; gives the old one."""
    old, clinic.signing = clinic.signing, rig.world.keys.root.issue_company("Granli kommune", "312045303")
    register(rig, signing=clinic.signing)
    return old


def test_p27_what_a_partner_signed_before_its_certificate_changed_is_taken(rig: EbxmlRig, clinic: Clinic) -> None:
    under_way = clinic.note(note(rig))
    roll(rig, clinic)
    assert clinic.post(*under_way).kind == "Acknowledgment"
    assert clinic.post(*clinic.note(note(rig, 2))).kind == "Acknowledgment"
    rig.rounds(1)
    assert rig.steps() == ["accepted", "accepted"]


def test_p27_what_is_written_after_the_change_is_signed_with_the_new_certificate_or_refused(
    rig: EbxmlRig, clinic: Clinic
) -> None:
    old = roll(rig, clinic)
    rig.advance(seconds=2)
    assert errors(clinic.post(*clinic.note(note(rig), signer=old))) == ["SecurityFailure"]
    assert rig.steps() == []


def test_p27_the_old_certificate_ends_when_nothing_signed_with_it_can_be_under_way(
    rig: EbxmlRig, clinic: Clinic
) -> None:
    under_way = clinic.note(note(rig))
    last = clinic.note(note(rig, 2))
    roll(rig, clinic)
    rig.clock.advance((UNDER_WAY - timedelta(seconds=2)).total_seconds())
    assert clinic.post(*under_way).kind == "Acknowledgment"
    rig.advance(seconds=4)
    assert errors(clinic.post(*last)) == ["SecurityFailure"]


def test_p27_the_change_is_remembered_while_the_book_changes_again(rig: EbxmlRig, clinic: Clinic) -> None:
    under_way = clinic.note(note(rig))
    roll(rig, clinic)
    register(rig, encryption=clinic.opening)  # another edition of the book, the same signing certificate
    assert clinic.post(*under_way).kind == "Acknowledgment"


def test_p27_the_book_itself_may_name_the_certificate_before(rig: EbxmlRig, clinic: Clinic) -> None:
    before = clinic.stranger  # nobody here has seen it registered
    under_way = clinic.note(note(rig), signer=before)
    rig.advance(seconds=1)
    file = rig.folder / "addressbook.json"
    book = json.loads(file.read_text())
    for party in book["parties"]:
        if party["herId"] == CLINIC:
            party["_certificates"]["earlier"] = {**registered(before), "replacedAt": rig.clock().isoformat()}
    file.write_text(json.dumps(book))
    assert clinic.post(*under_way).kind == "Acknowledgment"
    assert errors(clinic.post(*clinic.note(note(rig, 2), signer=before))) == ["SecurityFailure"]


def test_p27_an_acknowledgment_signed_before_the_change_is_proof(rig: EbxmlRig, clinic: Clinic) -> None:
    clinic.script = ["silent"]
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    [got] = clinic.got
    late = clinic.receipt(got.words, got.opened)
    rig.advance(seconds=1)
    roll(rig, clinic)
    assert clinic.post(late).status == 204
    assert rig.state(sent) == [("confirmed", "awaited")]


def test_p27_a_repeat_from_before_the_change_gets_the_stored_signal(rig: EbxmlRig, clinic: Clinic) -> None:
    envelope = clinic.note(note(rig))
    first = clinic.post(*envelope)
    roll(rig, clinic)
    assert clinic.post(*envelope).body == first.body


def test_p27_the_partners_new_certificate_is_what_the_next_envelope_is_encrypted_for(
    rig: EbxmlRig, clinic: Clinic
) -> None:
    clinic.script = ["cut"]
    first = rig.send(referral(CLINIC))
    rig.rounds(1)
    old = clinic.opening
    clinic.opening = rig.world.keys.root.issue_company(
        "Granli kommune", "312045303", usage=key_usage(key_encipherment=True)
    )
    register(rig, encryption=clinic.opening)
    second = rig.send(referral(CLINIC))
    clinic.opening, new = old, clinic.opening  # the partner keeps its old key, as we keep ours
    opens: list[tuple[bool, bool]] = []
    taken = clinic.read

    def read_with_both(opened: Any) -> Any:
        content = opened.attachments[0].content
        opens.append((cms.is_for(content, [old]), cms.is_for(content, [new])))
        clinic.opening = old if opens[-1][0] else new
        return taken(opened)

    clinic.read = read_with_both  # type: ignore[method-assign]
    rig.rounds(4)
    assert sorted(opens) == [(False, True), (True, False)]  # the resend is the stored envelope, octet for octet
    assert rig.state(first) == rig.state(second) == [("confirmed", "awaited")]


# --- a certificate that our copy of the register does not have yet ----------------------------------------------------


def asking(rig: EbxmlRig, answer: Callable[[], bool | None]) -> list[int]:
    """The register can be asked about one party; gives the HER-ids that were asked for."""
    asked: list[int] = []

    def renew(her_id: int) -> bool | None:
        asked.append(her_id)
        return answer()

    object.__setattr__(rig.adapter.parts, "renew", renew)
    return asked


def test_p27_the_register_is_asked_before_a_new_certificate_is_refused(rig: EbxmlRig, clinic: Clinic) -> None:
    clinic.signing = rig.world.keys.root.issue_company("Granli kommune", "312045303")

    def renew() -> bool:
        register(rig, signing=clinic.signing)
        return True

    asked = asking(rig, renew)
    assert clinic.post(*clinic.note(note(rig))).kind == "Acknowledgment"
    assert asked == [CLINIC]


def test_p27_what_the_register_does_not_know_either_is_refused(rig: EbxmlRig, clinic: Clinic) -> None:
    asked = asking(rig, lambda: True)
    assert errors(clinic.post(*clinic.note(note(rig), signer=clinic.stranger))) == ["SecurityFailure"]
    assert asked == [CLINIC]


def test_p27_while_the_register_is_away_nothing_is_believed_and_nothing_refused(rig: EbxmlRig, clinic: Clinic) -> None:
    asking(rig, lambda: False)
    envelope = clinic.note(note(rig), signer=clinic.stranger)
    with pytest.raises(TransportError):
        clinic.post(*envelope)
    assert rig.steps() == []
    register(rig, signing=clinic.stranger)
    assert clinic.post(*envelope).kind == "Acknowledgment"


# --- we roll ----------------------------------------------------------------------------------------------------------


def renew_key(rig: EbxmlRig, name: str = "company.p12", **usage: Any) -> SigningKey:
    """A new key is laid over the old file."""
    key: SigningKey = rig.world.keys.root.issue_company("Solvang legekontor", "310045101", **usage)
    write_pkcs12(key, rig.folder / name)
    os.utime(rig.folder / name, (rig.clock().timestamp(),) * 2)
    return key


def signers(clinic: Clinic) -> list[str]:
    """By which of our keys each envelope that came is signed, in order."""
    found = []
    for got in clinic.got:
        assert got.opened.root is not None
        found.append(verify_envelope(got.opened.root, got.opened.parts()).certificate)
    return ["old" if one == found[0] else "new" for one in found]


def test_p27_a_new_signing_key_is_taken_without_a_restart_and_a_resend_stays_as_it_was(
    rig: EbxmlRig, clinic: Clinic
) -> None:
    clinic.script = ["cut"]
    first = rig.send(referral(CLINIC))
    rig.rounds(1)
    new = renew_key(rig)
    rig.rounds(3)
    assert rig.state(first) == [("confirmed", "awaited")]
    clinic.ours = new
    second = rig.send(referral(CLINIC))
    rig.rounds(1)
    assert rig.state(second) == [("confirmed", "awaited")]
    assert clinic.got[0].octets == clinic.got[1].octets
    assert signers(clinic) == ["old", "old", "new"]


def test_p27_acknowledgments_are_signed_with_the_new_key_and_stored_ones_stay(rig: EbxmlRig, clinic: Clinic) -> None:
    envelope = clinic.note(note(rig))
    first = clinic.post(*envelope)
    new = renew_key(rig)
    assert clinic.post(*envelope).body == first.body
    opened = open_http(*(lambda reply: (reply.headers, reply.body))(clinic.post(*clinic.note(note(rig, 2)))))
    assert opened.root is not None
    assert read(verify_envelope(opened.root, {}, pinned=new.certificate, signal=True).root).receipt is not None


def test_p27_what_was_encrypted_for_the_old_certificate_opens_for_84_hours_and_longer(
    rig: EbxmlRig, clinic: Clinic
) -> None:
    old = rig.adapter.parts.signer("old").certificate
    for hours in (84, 24 * 900):  # beyond the certificate's own end too
        rig.advance(hours=hours)
        content = letter(rig, sender=CLINIC, msg_id=f"aaaaaaaa-0000-4000-8000-{hours:012x}")
        assert clinic.post(*clinic.note(content, certificate=old)).kind == "Acknowledgment"
    rig.rounds(1)
    assert len(rig.steps()) == 2


def test_p27_a_renewed_decryption_key_lies_beside_the_old_and_both_open(rig: EbxmlRig, clinic: Clinic) -> None:
    before = rig.opening.certificate
    new = renew_key(rig, "old.p12", usage=key_usage(key_encipherment=True))  # the older file makes room
    for number, certificate in enumerate((before, new.certificate), 1):
        assert clinic.post(*clinic.note(note(rig, number), certificate=certificate)).kind == "Acknowledgment"


def test_p27_without_the_old_key_it_is_a_fault_that_says_nothing_of_the_cause(rig: EbxmlRig, clinic: Clinic) -> None:
    gone = rig.adapter.parts.signer("old").certificate
    renew_key(rig, "old.p12", usage=key_usage(key_encipherment=True))
    assert errors(clinic.post(*clinic.note(note(rig), certificate=gone))) == ["SecurityFailure"]
