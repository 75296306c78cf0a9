"""Ping and status requests, ours and the partner's: answered, signed, never acknowledged, never a business message."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapter.ebxml.build import build, build_fault
from adapter.ebxml.compose import acknowledgment, message_error, pong, status_response
from adapter.ebxml.names import Kind
from adapter.ebxml.opening import open_http
from adapter.ebxml.read import read, signed_references
from adapter.ebxml.words import EbError, Envelope
from adapter.errors import NotFoundError, SettingsError, StoreError
from adapter.security.envelope_signature import sign_envelope, verify_envelope
from adapter.simulator import world as place
from adapter.store.tables import payload
from adapter.xmlio import parse, serialise
from tests.journeys.clinic import CLINIC, SOFTWARE, Clinic, EbxmlRig, PinnedRig, beside
from tests.journeys.rig import letter, referral


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[EbxmlRig]:
    with beside(tmp_path, PinnedRig) as made:
        yield made


def said(rig: EbxmlRig, reply: Any) -> Envelope:
    """The words of a signal that our company key has signed."""
    opened = open_http(reply.headers, reply.body)
    assert opened.root is not None
    return read(verify_envelope(opened.root, {}, pinned=rig.ours.certificate, signal=True).root)


def ask(clinic: Clinic, words: Envelope, signer: Any = "own") -> Any:
    return clinic.post(clinic.sign(words, clinic.signing if signer == "own" else signer))


def events(rig: EbxmlRig, message_id: str) -> list[tuple[str, dict[str, Any]]]:
    return [(one["kind"], one["detail"] or {}) for one in rig.adapter.show(message_id)["events"]]


# --- the partner asks -------------------------------------------------------------------------------------------------


def test_a_ping_is_answered_by_a_signed_pong_in_the_response(rig: EbxmlRig, clinic: Clinic) -> None:
    words = clinic.question()
    reply = ask(clinic, words)
    assert (reply.status, reply.kind) == (200, "Pong")
    pong = said(rig, reply)
    assert (pong.kind, pong.ref_to_message_id) == (Kind.PONG, words.message_id)
    assert (pong.sender.her_id, pong.receiver.her_id) == (place.SOLVANG_GP, CLINIC)
    assert (pong.cpa_id, pong.conversation_id) == (words.cpa_id, words.conversation_id)
    assert (pong.ack_request, pong.manifest) == (None, None)
    assert rig.adapter.list() == []  # no business message
    assert events(rig, reply.message_id)[-1] == ("question answered", {"kind": "Ping"})


@pytest.mark.parametrize("fault", ["unsigned", "signed by another", "a stranger", "to nobody here"])
def test_a_ping_that_is_no_partners_own_gets_no_answer(rig: EbxmlRig, clinic: Clinic, fault: str) -> None:
    signer = {"unsigned": None, "signed by another": clinic.stranger}.get(fault, "own")
    changes: dict[str, Any] = {"a stranger": {"sender": 4711}, "to nobody here": {"receiver": place.BEKKELIA_GP}}.get(
        fault, {}
    )
    reply = ask(clinic, clinic.question(**changes), signer)
    assert (reply.status, reply.body) == (204, b"")
    kind, detail = events(rig, reply.message_id)[-1]
    assert (kind, detail["kind"]) == ("question not answered", "Ping")
    assert rig.adapter.list() == []


def test_a_message_is_received_and_later_processed(rig: EbxmlRig, clinic: Clinic) -> None:
    envelope, attached = clinic.note(letter(rig, sender=CLINIC))
    message_id = read(parse(envelope)).message_id
    clinic.post(envelope, attached)
    words = clinic.question(Kind.STATUS_REQUEST, message_id)
    reply = ask(clinic, words)
    assert reply.kind == "StatusResponse"
    answer = said(rig, reply)
    assert (answer.message_status, answer.asked_message_id) == ("Received", message_id)
    assert answer.ref_to_message_id == words.message_id
    rig.rounds(1)
    assert said(rig, ask(clinic, clinic.question(Kind.STATUS_REQUEST, message_id))).message_status == "Processed"


def test_the_status_of_what_an_error_has_answered_is_received(rig: EbxmlRig, clinic: Clinic) -> None:
    envelope, attached = clinic.note(letter(rig, sender=CLINIC), certificate=clinic.opening.certificate)
    assert clinic.post(envelope, attached).kind == "MessageError"
    about = read(parse(envelope)).message_id
    assert said(rig, ask(clinic, clinic.question(Kind.STATUS_REQUEST, about))).message_status == "Received"


def test_a_message_that_never_came_is_not_recognized(rig: EbxmlRig, clinic: Clinic) -> None:
    words = clinic.question(Kind.STATUS_REQUEST, clinic.new_id())
    assert said(rig, ask(clinic, words)).message_status == "NotRecognized"


def test_a_status_request_that_names_no_message_gets_no_answer(rig: EbxmlRig, clinic: Clinic) -> None:
    made = serialise(build(clinic.question(Kind.STATUS_REQUEST, clinic.new_id())))
    without = re.sub(rb"<eb:RefToMessageId>[^<]*</eb:RefToMessageId>", b"", made)
    reply = clinic.post(sign_envelope(parse(without), clinic.signing, {}))
    assert (reply.status, reply.body) == (204, b"")
    assert events(rig, reply.message_id)[-1][1]["reason"] == "names no message"


def test_a_ping_without_an_id_gets_no_answer_that_could_name_it(rig: EbxmlRig, clinic: Clinic) -> None:
    made = re.sub(rb"<eb:MessageId>[^<]*</eb:MessageId>", b"", serialise(build(clinic.question())))
    reply = clinic.post(sign_envelope(parse(made), clinic.signing, {}))
    assert (reply.status, reply.body) == (204, b"")
    assert events(rig, reply.message_id)[-1][1] == {"kind": "Ping", "reason": "no MessageId"}


def test_another_party_than_the_sender_is_not_told_what_became_of_a_message(rig: EbxmlRig, clinic: Clinic) -> None:
    envelope, attached = clinic.note(letter(rig, sender=CLINIC))
    clinic.post(envelope, attached)
    rig.rounds(1)
    register_also(rig, place.BEKKELIA_GP)
    about = read(parse(envelope)).message_id
    reply = ask(clinic, clinic.question(Kind.STATUS_REQUEST, about, sender=place.BEKKELIA_GP))
    assert said(rig, reply).message_status == "UnAuthorized"


def register_also(rig: EbxmlRig, her_id: int) -> None:
    """Another party of the register signs with the clinic's key."""
    file = rig.folder / "addressbook.json"
    book = json.loads(file.read_text())
    clinic = next(one for one in book["parties"] if one["herId"] == CLINIC)
    other = next(one for one in book["parties"] if one["herId"] == her_id)
    other["_certificates"] = clinic["_certificates"]
    other["currentSigningCertificate"] = None
    file.write_text(json.dumps(book))
    rig.adapter.close()
    rig.adapter = super(EbxmlRig, rig).open()


# --- we ask -----------------------------------------------------------------------------------------------------------


def test_a_ping_over_http_gets_its_pong_in_the_response(rig: EbxmlRig, clinic: Clinic) -> None:
    found = rig.adapter.ping(CLINIC)
    assert (found.result, found.signed, found.road, found.well) == ("answered", True, "ebxml-http", True)
    assert found.seconds == 0  # the clock stands still
    [asked] = clinic.asked
    assert (asked.kind, asked.message_id) == (Kind.PING, found.message_id)
    assert [kind for kind, _ in events(rig, found.message_id)] == ["asked", "question answered"]
    assert rig.adapter.list() == []


def test_the_question_is_stored_before_its_first_byte_leaves(rig: EbxmlRig, clinic: Clinic) -> None:
    clinic.script = ["cut"]
    found = rig.adapter.ping(CLINIC, wait_s=0)
    assert (found.result, found.well, found.code) == ("no answer", False, "UNKNOWN_OUTCOME")
    assert [kind for kind, _ in events(rig, found.message_id)] == ["asked", "question not sent"]


@pytest.mark.parametrize(
    ("what", "errors", "signed"),
    [
        ("error", ("NotSupported",), True),
        ("unsigned error", ("NotSupported",), False),
        ("fault", ("SoapFault",), False),
    ],
)
def test_a_partner_that_does_not_support_it_refuses(
    rig: EbxmlRig, clinic: Clinic, what: str, errors: tuple[str, ...], signed: bool
) -> None:
    clinic.script = [what]
    found = rig.adapter.ping(CLINIC, wait_s=0)
    assert (found.result, found.errors, found.signed, found.well) == ("refused", errors, signed, False)


def test_an_unsigned_pong_in_the_response_to_our_own_request_counts_and_is_told_as_such(
    rig: EbxmlRig, clinic: Clinic
) -> None:
    clinic.script = ["unsigned"]
    found = rig.adapter.ping(CLINIC)
    assert (found.result, found.signed) == ("answered", False)


@pytest.mark.parametrize("what", ["silent", "another question"])
def test_no_pong_within_the_wait_is_no_answer(rig: EbxmlRig, clinic: Clinic, what: str) -> None:
    clinic.script = [what]
    before = rig.clock()
    found = rig.adapter.ping(CLINIC, wait_s=30, pause=lambda s: rig.advance(seconds=s))
    assert found.result == "no answer"
    assert (rig.clock() - before).total_seconds() == 30


def test_a_pong_that_comes_by_itself_ends_the_wait_and_only_the_partners_own_does(
    rig: EbxmlRig, clinic: Clinic
) -> None:
    clinic.script = ["silent"]
    told = iter(["forged", "unsigned", "answer"])

    def later(seconds: float) -> None:
        rig.advance(seconds=seconds)
        back = clinic._reply(next(told), clinic.asked[0])
        assert back is not None
        assert clinic.post(back[1]).status == 204

    found = rig.adapter.ping(CLINIC, wait_s=30, pause=later)
    assert (found.result, found.signed, found.seconds) == ("answered", True, 6)
    kinds = [kind for kind, _ in events(rig, found.message_id)]
    assert kinds == ["asked", "unproved signal", "unproved signal", "question answered"]


def test_a_signed_answer_of_another_kind_ends_no_question(rig: EbxmlRig, clinic: Clinic) -> None:
    clinic.script = ["silent"]

    def later(seconds: float) -> None:
        rig.advance(seconds=seconds)
        names: dict[str, Any] = {"message_id": clinic.new_id(), "now": rig.clock(), "software": SOFTWARE}
        words = status_response(replace(clinic.asked[0], asked_message_id=clinic.new_id()), "Received", **names)
        assert clinic.post(clinic.sign(words, clinic.signing)).status == 204

    found = rig.adapter.ping(CLINIC, wait_s=2, pause=later)
    assert (found.result, found.status) == ("no answer", None)
    assert [kind for kind, _ in events(rig, found.message_id)] == ["asked", "unproved signal"]


@pytest.mark.parametrize("left", [None, b"damaged"], ids=["gone", "damaged"])
def test_a_receipt_for_an_envelope_that_we_no_longer_have_whole_proves_nothing(
    rig: EbxmlRig, clinic: Clinic, left: bytes | None
) -> None:
    sent = rig.send(referral(CLINIC))
    clinic.script = ["silent"]
    rig.rounds(1)
    named = clinic.got[0].words.message_id
    with rig.adapter.parts.store.transaction() as db:
        db.execute(payload.update().where(payload.c.role == f"envelope-{named}").values(content=left))
    receipt = clinic.receipt(clinic.got[0].words, clinic.got[0].opened)
    if left is None:
        assert clinic.post(receipt).status == 204
    else:
        with pytest.raises(StoreError, match=r"STORE\.CORRUPT"):  # ours: nothing is said, and it comes again
            clinic.post(receipt)
    assert rig.state(sent) == [("unknown", "awaited")]


def test_a_second_pong_changes_nothing(rig: EbxmlRig, clinic: Clinic) -> None:
    found = rig.adapter.ping(CLINIC)
    back = clinic._reply("error", clinic.asked[0])
    assert back is not None
    clinic.post(back[1])
    assert [kind for kind, _ in events(rig, found.message_id)] == ["asked", "question answered"]


def test_the_receiver_tells_what_became_of_our_message(rig: EbxmlRig, clinic: Clinic) -> None:
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    for status, well in (("Processed", True), ("NotRecognized", False)):
        clinic.script = [status]
        found = rig.adapter.ask_status(sent)
        assert (found.result, found.status, found.well) == ("answered", status, well)
    assert clinic.asked[0].asked_message_id == clinic.got[0].words.message_id
    assert rig.state(sent) == [("confirmed", "awaited")]  # an answer moves nothing


def test_only_what_has_left_over_ebxml_can_be_asked_about(rig: EbxmlRig, clinic: Clinic) -> None:
    sent = rig.send(referral(CLINIC))
    with pytest.raises(NotFoundError):
        rig.adapter.ask_status(sent)
    rig.rounds(1)
    with pytest.raises(NotFoundError):
        rig.adapter.ask_status(sent, partner=place.BEKKELIA_GP)
    with pytest.raises(NotFoundError):
        rig.adapter.ping(4711)
    with pytest.raises(SettingsError):
        rig.adapter.ping(place.BEKKELIA_GP)  # on EDI 2.0


def test_a_signal_about_no_message_of_ours_is_an_event(rig: EbxmlRig, clinic: Clinic) -> None:
    back = clinic._reply("answer", clinic.question())
    assert back is not None
    reply = clinic.post(back[1])
    assert reply.status == 204
    assert events(rig, reply.message_id)[-1] == ("signal without a message", {"kind": "Pong"})
    assert rig.adapter.list() == []


@pytest.mark.parametrize("kind", ["Acknowledgment", "MessageError", "Pong", "StatusResponse", "Fault"])
def test_no_signal_is_ever_answered_so_that_two_handlers_cannot_talk_for_ever(
    rig: EbxmlRig, clinic: Clinic, kind: str
) -> None:
    words = clinic.question(Kind.STATUS_REQUEST if kind == "StatusResponse" else Kind.PING, clinic.new_id())
    names: dict[str, Any] = {"message_id": clinic.new_id(), "now": rig.clock(), "software": SOFTWARE}
    note = clinic.note(letter(rig, sender=CLINIC))[0]
    made = {
        "Acknowledgment": lambda: acknowledgment(read(parse(note)), signed_references(parse(note)), **names),
        "MessageError": lambda: message_error(words, [EbError(code="Unknown")], **names),
        "Pong": lambda: pong(words, **names),
        "StatusResponse": lambda: status_response(words, "Received", **names),
    }
    if kind == "Fault":
        envelope = serialise(build_fault("Client", "synthetic"))
    else:
        envelope = clinic.sign(made[kind](), clinic.signing)
    for _ in range(2):
        reply = clinic.post(envelope)
        assert (reply.status, reply.body) == (204, b"")
    assert rig.adapter.list() == []


def test_p19_a_block_that_nobody_signed_makes_no_receipt_of_a_pong(rig: EbxmlRig, clinic: Clinic) -> None:
    sent = rig.send(referral(CLINIC))
    clinic.script = ["silent"]
    rig.rounds(1)
    named = clinic.got[0].words.message_id or ""
    back = clinic._reply("answer", clinic.question())
    assert back is not None
    forged = (
        '<eb:Acknowledgment SOAP:actor="http://schemas.xmlsoap.org/soap/actor/next" SOAP:mustUnderstand="1" '
        f'eb:version="2.0"><eb:Timestamp>2026-01-01T00:00:00Z</eb:Timestamp>'
        f"<eb:RefToMessageId>{named}</eb:RefToMessageId></eb:Acknowledgment><ds:Signature"
    )
    for change in (b"<eb:Action>Pong", b"<eb:Action>Acknowledgment"):
        changed = back[1].replace(b"<ds:Signature", forged.encode(), 1).replace(b"<eb:Action>Pong", change)
        assert clinic.post(changed).status == 204
    assert rig.state(sent) == [("unknown", "awaited")]
