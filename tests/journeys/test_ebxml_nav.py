"""NAV over ebXML: the company signs the envelope, the person the document, and NAV's own names are on everything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapter.ebxml.read import read
from adapter.errors import RefusedError
from adapter.model.process import nav_pairs
from adapter.model.receipt import ReceiptStatus
from adapter.xmlio import parse
from tests.ebxml.agreed import Cpa, Side
from tests.journeys.clinic import beside
from tests.journeys.mailing import MailRig
from tests.journeys.nav_partner import CPA_ID, DOCTOR, NAV, REPEAT, NavPartner, NavRig
from tests.journeys.rig import inquiry, load
from tests.security.tokens import needs_softhsm, soft_token
from tests.transport.mail_servers import Dovecot, Sink, Taken


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[NavRig]:
    with beside(tmp_path, NavRig) as made:
        yield made


@pytest.fixture
def nav(rig: NavRig) -> NavPartner:
    return rig.nav


def answer_of(rig: NavRig, **more: Any) -> str:
    """Solvang's doctor answers the question that was handed over last; gives the message's id."""
    [taken] = rig.adapter.take("ehr")
    rig.adapter.confirm(taken.token)
    plain = load("nav-foresporsel-svar")
    reference = {"parent": taken.msg_id, "conversation": taken.msg_id}
    return rig.send({**plain, "conversation": reference, **more})


# --- a doctor writes to NAV -------------------------------------------------------------------------------------------


def test_an_inquiry_is_acknowledged_and_answered_by_navs_apprec(rig: NavRig, nav: NavPartner) -> None:
    sent = rig.send(inquiry())
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")]
    [got] = nav.got
    assert (got.words.service, got.words.action) == ("HenvendelseFraLege", "Henvendelse")
    assert (got.words.sender.role, got.words.receiver.role) == ("Sykmelder", "Saksbehandler")
    assert (got.words.sender.her_id, got.words.receiver.her_id) == (DOCTOR, NAV)
    assert (got.words.cpa_id, got.words.ref_to_message_id) == (CPA_ID, None)
    assert nav.post(*nav.apprec(got)).kind == "Acknowledgment"
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "accepted")]
    assert rig.attention() == []
    assert len(nav.got) == 1  # an AppRec is acknowledged, never answered by an AppRec


def test_p14_the_company_signs_the_envelope_and_the_person_the_document(rig: NavRig, nav: NavPartner) -> None:
    rig.send(inquiry())
    rig.rounds(1)  # the partner takes no envelope but one signed by the company
    assert [one.certificate for one in nav.persons] == [rig.person.certificate]
    assert nav.plain[0].lstrip().startswith(b"<")  # raw, no MIME part
    assert nav.parked == []


def test_navs_apprec_may_overtake_its_own_acknowledgment(rig: NavRig, nav: NavPartner) -> None:
    nav.script = ["silent"]
    sent = rig.send(inquiry())
    rig.rounds(1)
    assert rig.state(sent) == [("unknown", "awaited")]
    nav.post(*nav.apprec(nav.got[0]))
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "accepted")]  # what was answered has arrived
    rig.rounds(10)
    assert len(nav.got) == 1


def test_navs_rejection_is_kept_with_its_code_and_needs_a_person(rig: NavRig, nav: NavPartner) -> None:
    sent = rig.send(inquiry())
    rig.rounds(1)
    nav.post(*nav.apprec(nav.got[0], ReceiptStatus.REJECTED, "Dialogmeldingen er ikke gyldig: meldingstekst mangler."))
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "rejected")]
    assert rig.attention() == ["rejected"]
    [delivery] = rig.adapter.show(sent)["deliveries"]
    assert [one["code"] for one in delivery["errors"]] == ["X99"]


def test_p04_a_repeat_refused_after_our_own_resend_is_attention_and_no_rejection(rig: NavRig, nav: NavPartner) -> None:
    nav.script = ["cut"]
    sent = rig.send(inquiry())
    rig.rounds(4)
    first, second = nav.got
    assert first.octets == second.octets
    nav.post(*nav.apprec(second, ReceiptStatus.REJECTED, REPEAT))
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")]
    assert rig.attention() == ["repeat refused"]
    nav.post(*nav.apprec(first))  # the answer to the content comes after all
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "accepted")]


def test_p04_the_same_words_without_a_resend_of_ours_are_a_rejection(rig: NavRig, nav: NavPartner) -> None:
    sent = rig.send(inquiry())
    rig.rounds(1)
    nav.post(*nav.apprec(nav.got[0], ReceiptStatus.REJECTED, REPEAT))
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "rejected")]


def test_p18_an_apprec_in_navs_name_by_another_key_changes_nothing(rig: NavRig, nav: NavPartner) -> None:
    sent = rig.send(inquiry())
    rig.rounds(1)
    forged = nav.envelope(b"<AppRec/>", nav.receipt_names(nav.got[0]), signer=nav.stranger)
    assert nav.post(*forged).kind == "MessageError"
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")]


# --- refusals at submit -----------------------------------------------------------------------------------------------


def test_p13_a_process_that_nav_does_not_have_is_refused_and_nothing_is_stored(rig: NavRig, nav: NavPartner) -> None:
    note = {**load("dialogue-notat"), "sender": DOCTOR, "receiver": {"her_id": NAV}, "signer": inquiry()["signer"]}
    with pytest.raises(RefusedError, match=r"P13\.PROCESS"):
        rig.send(note)
    rig.rounds(1)
    assert rig.adapter.list() == []
    assert nav.got == []


@pytest.mark.parametrize(
    ("signer", "code"),
    [(None, "P14.SIGNER"), ({"key": "company", "fnr": "11857120150", "profession": "LE"}, "P14.OWNER")],
)
def test_p14_without_a_persons_key_nothing_goes_to_nav(rig: NavRig, nav: NavPartner, signer: Any, code: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(code)):
        rig.send(inquiry(signer=signer))
    rig.rounds(1)
    assert nav.got == []


def test_p14_a_document_that_the_ehr_has_signed_goes_byte_for_byte(rig: NavRig, nav: NavPartner) -> None:
    other = rig.adapter.export(rig.send(inquiry()), reason="test")
    rig.adapter.close()
    (rig.folder / "store.db").unlink()
    rig.adapter = rig.open()
    sent = rig.adapter.send_document(other)
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")]
    assert nav.plain == [other]


# --- NAV asks ---------------------------------------------------------------------------------------------------------


def test_navs_question_is_handed_over_and_receipted_in_its_conversation(rig: NavRig, nav: NavPartner) -> None:
    envelope, attached = nav.question()
    assert nav.post(envelope, attached).kind == "Acknowledgment"
    rig.rounds(1)
    [taken] = rig.adapter.take("ehr")
    rig.adapter.confirm(taken.token)
    rig.rounds(1)
    assert rig.steps() == ["receipted"]
    [got], asked = nav.got, read(parse(envelope))
    assert (got.words.service, got.words.action) == ("ForesporselFraSaksbehandler", "Kvittering")
    assert (got.words.sender.role, got.words.receiver.role) == ("Sykmelder", "Saksbehandler")
    assert got.words.cpa_id == CPA_ID
    assert got.words.conversation_id == asked.conversation_id
    assert got.words.ref_to_message_id == asked.message_id
    assert b"http://www.kith.no/xmlstds/apprec/2004-11-21" in nav.plain[0]
    assert len(nav.got) == 1  # and its Acknowledgment was the answer to our AppRec


def test_the_doctors_answer_goes_on_in_navs_conversation(rig: NavRig, nav: NavPartner) -> None:
    envelope, attached = nav.question()
    nav.post(envelope, attached)
    rig.rounds(1)
    sent = answer_of(rig)
    rig.rounds(2)
    assert rig.state(sent) == [("confirmed", "awaited")]
    asked, words = read(parse(envelope)), nav.got[-1].words
    assert (words.service, words.action) == ("ForesporselFraSaksbehandler", "ForesporselSvar")
    assert (words.conversation_id, words.ref_to_message_id) == (asked.conversation_id, asked.message_id)
    assert [one.certificate for one in nav.persons] == [rig.person.certificate]
    nav.post(*nav.apprec(nav.got[-1]))
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "accepted")]


THEMES = [
    ("DIALOG_FORESPORSEL", "8125", "1", "DialogmoteInnkalling"),
    ("DIALOG_FORESPORSEL", "8129", "2", "ForesporselFraSaksbehandler"),
    ("DIALOG_NOTAT", "8127", "8", "HenvendelseFraSaksbehandler"),
    ("DIALOG_NOTAT", "8127", "1", "Oppfolgingsplan"),
]


@pytest.mark.parametrize(("kind", "system", "code", "service"), THEMES)
def test_p13_every_process_of_navs_is_receipted_by_its_own_names(
    rig: NavRig, nav: NavPartner, kind: str, system: str, code: str, service: str
) -> None:
    nav.post(*nav.letter(kind, system, code))
    rig.rounds(1)
    [taken] = rig.adapter.take("ehr")
    rig.adapter.confirm(taken.token)
    rig.rounds(1)
    words = nav.got[0].words
    assert (words.service, words.action, words.sender.role) == (service, "Kvittering", "Sykmelder")
    assert nav.parked == []


def test_a_rejection_of_ours_goes_back_in_the_same_conversation(rig: NavRig, nav: NavPartner) -> None:
    envelope, attached = nav.question()
    nav.post(envelope, attached)
    rig.rounds(1)
    [taken] = rig.adapter.take("ehr")
    rig.adapter.confirm(taken.token, "reject", ["E21"])
    rig.rounds(1)
    [got] = nav.got
    assert (got.words.action, got.words.ref_to_message_id) == ("Kvittering", read(parse(envelope)).message_id)
    assert b'"E21"' in nav.plain[0]


def test_p03_navs_repeat_gets_the_same_acknowledgment_and_no_second_receipt(rig: NavRig, nav: NavPartner) -> None:
    asked = nav.question()
    first, second = nav.post(*asked), nav.post(*asked)
    assert first.body == second.body
    rig.rounds(1)
    [taken] = rig.adapter.take("ehr")
    rig.adapter.confirm(taken.token)
    rig.rounds(2)
    assert len(nav.got) == 1


def test_a_question_that_names_another_agreement_is_answered_under_that_one(rig: NavRig, nav: NavPartner) -> None:
    nav.post(*nav.question(cpa_id="nav:test:4"))
    rig.rounds(1)
    [taken] = rig.adapter.take("ehr")
    rig.adapter.confirm(taken.token)
    rig.rounds(1)
    assert nav.got[0].words.cpa_id == "nav:test:4"


# --- by agreement, by mail, with a card -------------------------------------------------------------------------------


def agreement(rig: NavRig, port: int) -> bytes:
    """A CPA as NAV makes them: a number of NAV's, the four actions of the inquiry, and the certificates of both."""
    from cryptography.hazmat.primitives.serialization import Encoding

    def der(key: Any) -> bytes:
        return bytes(key.certificate.public_bytes(Encoding.DER))

    ours = Side(
        her_id=DOCTOR,
        role="Sykmelder",
        sends=("Henvendelse",),
        receives=("Bekreftelse", "Svar"),
        signing=der(rig.ours),
        encryption=der(rig.opening),
        url="https://solvang.invalid/ebxml",
    )
    navs = Side(
        her_id=NAV,
        role="Saksbehandler",
        sends=("Bekreftelse", "Svar"),
        receives=("Henvendelse",),
        signing=der(rig.nav.signing),
        encryption=der(rig.nav.opening),
        url=f"http://127.0.0.1:{port}/ebxml",
    )
    return Cpa(one=ours, other=navs, service="HenvendelseFraLege", cpa_id="nav:test:9090").text()


def test_the_agreements_file_gives_cpa_id_endpoint_and_certificates(tmp_path: Path) -> None:
    (tmp_path / "cpa").mkdir()
    agreed = {"cpa_id": None, "endpoint": None}
    with beside(tmp_path, NavRig, settings={"agreements": {"directory": "cpa"}}, agreed=agreed) as rig:
        (tmp_path / "cpa" / "nav.xml").write_bytes(agreement(rig, rig.port))
        sent = rig.send(inquiry())
        rig.rounds(1)
        assert rig.state(sent) == [("confirmed", "awaited")]
        [got] = rig.nav.got
        assert got.words.cpa_id == "nav:test:9090"
        assert (got.words.service, got.words.action) in nav_pairs()
        assert rig.nav.post(*rig.nav.apprec(got)).kind == "Acknowledgment"
        rig.rounds(1)
        assert rig.state(sent) == [("confirmed", "accepted")]
        with pytest.raises(RefusedError, match=r"CPA\.PROCESS"):  # the agreement has no ForesporselSvar
            rig.send(load("nav-foresporsel-svar"))


class NavMailRig(NavRig, MailRig):
    """NAV reads what the SMTP server took and answers by mail."""

    road = "ebxml-mail"

    def serve(self, mail: Taken) -> None:
        payload = open_mail(mail)
        back = self.nav.take_mail(mail.content) if payload else None
        if back is not None:
            self.deliver(back)


def open_mail(mail: Taken) -> bool:
    from adapter.ebxml.opening import open_message

    return bool(open_message(mail.content).attachments)


def test_the_whole_dialogue_goes_by_mail_too(tmp_path: Path, dovecot: Dovecot, sink: Sink) -> None:
    rig = type("RigHere", (NavMailRig,), {"dovecot": dovecot, "sink": sink})(tmp_path)
    sink.on_mail = rig.serve
    nav = rig.nav
    try:
        sent = rig.send(inquiry())
        rig.rounds(2)
        assert rig.state(sent) == [("confirmed", "awaited")]
        rig.deliver(nav.mail(*nav.apprec(nav.got[0]), sender=NAV))
        rig.rounds(2)
        assert rig.state(sent) == [("confirmed", "accepted")]
        envelope, attached = nav.question()
        rig.deliver(nav.mail(envelope, attached, sender=NAV))
        rig.rounds(1)
        reply = answer_of(rig)
        rig.rounds(2)
        actions = [got.words.action for got in nav.got]
        assert actions == ["Henvendelse", "Kvittering", "ForesporselSvar"]
        assert {got.words.conversation_id for got in nav.got[1:]} == {read(parse(envelope)).conversation_id}
        assert rig.state(reply) == [("confirmed", "awaited")]
        assert rig.steps()[-1] == "matched"
    finally:
        sink.on_mail = None
        rig.close()


@needs_softhsm
def test_p14_the_doctors_card_signs_what_goes_to_nav(tmp_path: Path) -> None:
    with soft_token(tmp_path / "card") as token:
        folder = tmp_path / "solvang"
        folder.mkdir()
        card = {"module": token.module, "token": token.label, "pin": {"file": str(token.pin_file)}}
        settings = {"keys": {"lege": {"pkcs11": card, "owner": "person"}}}
        with beside(folder, NavRig, settings=settings) as rig:
            token.put(rig.person)
            sent = rig.send(inquiry())
            rig.rounds(1)
            assert rig.state(sent) == [("confirmed", "awaited")]
            assert [one.certificate for one in rig.nav.persons] == [rig.person.certificate]
