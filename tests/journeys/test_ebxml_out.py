"""Out over ebXML and HTTP: stored before it leaves, proved by the partner's signature, healed by the same envelope."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter.ebxml.words import EbError
from adapter.errors import SettingsError
from adapter.security import cms
from adapter.store import journal, outbox
from tests.journeys.clinic import CLINIC, Clinic, EbxmlRig, beside
from tests.journeys.rig import referral


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[EbxmlRig]:
    with beside(tmp_path, EbxmlRig) as made:
        yield made


def test_a_referral_is_confirmed_by_the_acknowledgment_and_answered_by_the_apprec(
    rig: EbxmlRig, clinic: Clinic
) -> None:
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")]
    assert b"MsgHead" in clinic.got[0].document
    assert clinic.answer(clinic.got[0]).status == 200
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "accepted")]
    assert rig.attention() == []
    assert len(clinic.got) == 1  # an AppRec is not answered by an AppRec


def test_p13_the_envelope_has_the_national_names_and_the_documents_schema(rig: EbxmlRig, clinic: Clinic) -> None:
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    words = clinic.got[0].words
    kind = rig.adapter.show(sent)["message"]["msg_type"]
    assert (words.service, words.action) == (f"S-{kind}", kind)
    assert (words.sender.role, words.receiver.role) == (f"{kind}sender", f"{kind}receiver")
    assert words.cpa_id == f"{CLINIC}_8091301"
    assert words.manifest is not None
    assert (words.manifest[0].namespace or "").startswith("http://")
    assert '"MSH-system"' in (words.description or "")


def test_the_signed_envelope_is_stored_before_its_first_byte_leaves(rig: EbxmlRig, clinic: Clinic) -> None:
    rig.send(referral(CLINIC))
    rig.rounds(1)
    message_id = clinic.got[0].words.message_id or ""
    assert {f"envelope-{message_id}", f"sealed-{message_id}"} <= set(clinic.stored[message_id])


@pytest.mark.parametrize("loss", ["cut", "silent"])
def test_a_lost_acknowledgment_is_healed_by_the_same_envelope_in_a_new_wrapping(
    rig: EbxmlRig, clinic: Clinic, loss: str
) -> None:
    clinic.script = [loss]
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    assert rig.state(sent) == [("unknown", "awaited")]
    if loss == "silent":  # the partner's server has it: the plan's interval, as an asynchronous receipt takes its time
        rig.rounds(3)
        assert len(clinic.got) == 1
        rig.advance(hours=12)
    rig.rounds(3)
    assert rig.state(sent) == [("confirmed", "awaited")]
    first, second = clinic.got
    assert first.words.message_id == second.words.message_id
    assert first.octets == second.octets
    assert [part.content for part in first.opened.attachments] == [part.content for part in second.opened.attachments]
    assert first.boundary != second.boundary


def test_a_crash_between_storing_and_sending_sends_the_stored_envelope(rig: EbxmlRig, clinic: Clinic) -> None:
    sent = rig.send(referral(CLINIC))
    clinic.script = ["cut"]
    rig.rounds(1)
    rig.adapter.close()
    rig.adapter = rig.open()
    rig.rounds(3)
    assert rig.state(sent) == [("confirmed", "awaited")]
    assert clinic.got[0].octets == clinic.got[1].octets


@pytest.mark.parametrize("what", ["forged", "unsigned", "other references", "other message"])
def test_p19_an_acknowledgment_that_is_not_the_receivers_own_proof_changes_nothing(
    rig: EbxmlRig, clinic: Clinic, what: str
) -> None:
    clinic.script = [what]
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    assert rig.state(sent) == [("unknown", "awaited")]
    assert "unproved signal" in rig.kinds(sent)
    assert "confirmed" not in rig.kinds(sent)


def test_p19_an_acknowledgment_without_references_is_a_receipt_without_proof(rig: EbxmlRig, clinic: Clinic) -> None:
    clinic.script = ["no references"]
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")]
    events = rig.adapter.show(sent)["events"]
    assert [one["detail"]["proof"] for one in events if one["kind"] == "confirmed"] == [False]


@pytest.mark.parametrize("what", ["error", "unsigned error"])
def test_p19_a_message_error_in_the_response_refuses_the_message(rig: EbxmlRig, clinic: Clinic, what: str) -> None:
    clinic.script = [what]
    sent = rig.send(referral(CLINIC))
    rig.rounds(4)
    assert rig.state(sent) == [("refused", "awaited")]
    assert rig.attention() == ["transport rejected"]
    assert len(clinic.got) == 1
    rig.adapter.requeue(sent, "the certificate is in order now")
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")]
    assert clinic.got[0].words.message_id != clinic.got[1].words.message_id


def test_a_report_of_warnings_alone_is_a_receipt(rig: EbxmlRig, clinic: Clinic) -> None:
    clinic.script = ["warning"]
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")]


def test_without_proof_it_is_sent_five_times_more_and_then_given_up(rig: EbxmlRig, clinic: Clinic) -> None:
    clinic.script = ["silent"] * 20
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    for _ in range(16):
        rig.advance(hours=6)
        rig.adapter.run_once()
    assert len(clinic.got) == 6
    assert len({got.octets for got in clinic.got}) == 1
    assert rig.state(sent)[0][0] == "abandoned"
    told = [one["detail"].get("reason") for one in rig.adapter.show(sent)["events"] if one["kind"] == "attention"]
    assert told.count("abandoned") == 1
    assert told[0] == "transport overdue"  # after a day; that is over when it is given up
    assert rig.attention() == ["abandoned"]
    over = [one["detail"] for one in rig.adapter.show(sent)["events"] if one["kind"] == "attention over"]
    assert over == [{"reason": "transport overdue", "why": "abandoned"}]


@pytest.mark.parametrize("reason", ["bounced", "unproved signal"])
def test_what_says_why_no_receipt_came_stays_the_reason_when_it_is_given_up(
    rig: EbxmlRig, clinic: Clinic, reason: str
) -> None:
    clinic.script = ["silent"] * 20
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    parts = rig.adapter.parts
    with parts.store.transaction() as db:
        [row] = outbox.deliveries(db, sent)
        journal.flag(db, row, reason, at=parts.store.now_us())
    for _ in range(13):
        rig.advance(hours=6)
        rig.adapter.run_once()
    assert (rig.state(sent)[0][0], rig.attention()) == ("abandoned", [reason])


def test_a_message_that_is_refused_after_a_day_is_no_longer_merely_late(rig: EbxmlRig, clinic: Clinic) -> None:
    clinic.script = ["silent"] * 20
    rig.send(referral(CLINIC))
    rig.rounds(1)
    rig.advance(hours=25)
    rig.rounds(1)
    assert rig.attention() == ["transport overdue"]
    report = clinic._report(clinic.got[0].words, EbError(code="SecurityFailure", severity="Error", text="synthetic"))
    clinic.post(clinic.sign(report, clinic.signing))
    assert rig.attention() == ["transport rejected"]


def test_p19_a_late_acknowledgment_that_comes_by_itself_confirms_what_was_given_up(
    rig: EbxmlRig, clinic: Clinic
) -> None:
    clinic.script = ["silent"]
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    got = clinic.got[0]
    assert clinic.post(clinic.receipt(got.words, got.opened, "forged")).status == 204
    assert rig.state(sent) == [("unknown", "awaited")]
    reply = clinic.post(clinic.receipt(got.words, got.opened))
    assert (reply.status, reply.body) == (204, b"")  # a signal is never acknowledged
    assert rig.state(sent) == [("confirmed", "awaited")]


def test_p19_an_unsigned_message_error_that_comes_by_itself_changes_nothing(rig: EbxmlRig, clinic: Clinic) -> None:
    clinic.script = ["silent"]
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    said = clinic._answer("unsigned error", clinic.got[0].words, clinic.got[0].opened)
    assert said is not None
    assert clinic.post(said[1]).status == 204
    assert rig.state(sent) == [("unknown", "awaited")]


def reread(rig: EbxmlRig, **agreement: object) -> None:
    """The clinic's agreement changed, as an operator would in the address book."""
    file = rig.folder / "addressbook.json"
    book = json.loads(file.read_text())
    for party in book["parties"]:
        if party["herId"] == CLINIC:
            party["_agreement"].update(agreement)
            party["_certificates"].update(rig.changed_certificates)
    file.write_text(json.dumps(book))
    rig.adapter.close()
    rig.adapter = super(EbxmlRig, rig).open()


BAD_ROADS = [({"endpoint": None}, "EBXML.ENDPOINT"), ({"road": "ebxml-mail"}, "EBXML.ROAD")]


@pytest.mark.parametrize(("agreement", "code"), BAD_ROADS)
def test_a_road_that_is_not_set_up_refuses_at_submit(
    rig: EbxmlRig, clinic: Clinic, agreement: dict[str, object], code: str
) -> None:
    reread(rig, **agreement)
    with pytest.raises(SettingsError) as caught:
        rig.send(referral(CLINIC))
    assert (caught.value.code, bool(caught.value.where), bool(caught.value.cure)) == (code, True, True)
    assert rig.adapter.list() == []
    assert clinic.got == []


def test_a_road_that_goes_away_after_submit_refuses_and_tells_a_person(rig: EbxmlRig, clinic: Clinic) -> None:
    sent = rig.send(referral(CLINIC))
    reread(rig, endpoint=None)
    rig.rounds(2)
    assert rig.state(sent)[0][0] == "refused"
    events = rig.adapter.show(sent)["events"]
    assert "EBXML.ENDPOINT" in [(one["detail"] or {}).get("code") for one in events]
    assert rig.attention() == ["refused"]
    assert clinic.got == []


def test_a_partner_without_a_registered_encryption_certificate_gets_nothing(rig: EbxmlRig, clinic: Clinic) -> None:
    sent = rig.send(referral(CLINIC))
    rig.changed_certificates = {"encryption": {}}
    reread(rig)
    with pytest.raises(SettingsError) as caught:
        rig.send(referral(CLINIC))
    assert caught.value.code == "EBXML.CERTIFICATE"
    rig.rounds(2)
    assert rig.state(sent)[0][0] == "refused"
    assert clinic.got == []


@pytest.mark.parametrize("form", ["raw", "mime"])
def test_the_agreement_says_how_the_document_lies_in_the_cms(rig: EbxmlRig, clinic: Clinic, form: str) -> None:
    reread(rig, cms_plaintext=form, cpa_id="4711_4712_agreed")
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")]
    assert clinic.got[0].words.cpa_id == "4711_4712_agreed"
    content = clinic.got[0].opened.attachments[0].content
    assert content is not None
    assert cms.decrypt(content, [clinic.opening]).startswith(b"<" if form == "raw" else b"Content-Id")


def test_p14_a_persons_key_signs_no_envelope(tmp_path: Path) -> None:
    with beside(tmp_path, EbxmlRig, signs="lege") as made:
        with pytest.raises(SettingsError) as caught:
            made.send(referral(CLINIC))
        assert caught.value.code == "P14.OWNER"


def test_while_the_endpoint_is_away_the_message_waits(tmp_path: Path) -> None:
    made = type("RigHere", (EbxmlRig,), {"port": 9})(tmp_path)
    sent = made.send(referral(CLINIC))
    made.rounds(2)
    assert made.state(sent) == [("queued", "awaited")]
    made.close()
