"""Agreements on the ebXML road: what they say of a message out and in, the plan of resends, and whom one believes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapter.config import Revocation
from adapter.ebxml.build import build
from adapter.ebxml.compose import payload_message
from adapter.ebxml.opening import open_http
from adapter.ebxml.pack import Attachment, pack_http
from adapter.ebxml.plaintext import build_plaintext
from adapter.errors import AdapterError, RefusedError, SettingsError
from adapter.flow.dispatch import dispatch
from adapter.model.process import national
from adapter.security import cms
from adapter.security.demo_ca import DemoCa, Validity, write_roots
from adapter.security.envelope_signature import sign_envelope
from adapter.security.keys import SigningKey
from adapter.security.revocation import Standing
from adapter.simulator import world as place
from tests.ebxml.agreed import Cpa, Side
from tests.journeys.clinic import CLINIC, SOFTWARE, Clinic, PinnedRig, beside, other_root, registered
from tests.journeys.rig import letter, referral
from tests.transport.loopback import Loopback, Reply

US = place.SOLVANG_GP
TYPE = "HENVISNING_NYTILSTAND"
HOUR_US = 3_600_000_000


class AgreedRig(PinnedRig):
    """The clinic has an agreement with us: a file in ``cpa/``, written by ``agree``."""

    def _write_keys(self) -> None:
        super()._write_keys()
        roots = (self.world.keys.root.certificate, other_root().certificate)
        write_roots(roots, self.folder / "roots.pem")

    def _settings(self, tenants: Any, more: Any) -> Any:
        (self.folder / "cpa").mkdir()
        return super()._settings(tenants, {**more, "agreements": {"directory": "cpa"}})

    def side(self, her_id: int, /, **changes: Any) -> Side:
        ours = her_id == US
        keys = (self.ours, self.opening) if ours else (self.clinic.signing, self.clinic.opening)
        facts: dict[str, Any] = {
            "her_id": her_id,
            "role": f"{TYPE}{'sender' if ours else 'receiver'}",
            "signing": der(keys[0]),
            "encryption": der(keys[1]),
            "url": f"http://127.0.0.1:{self.port}/{'ours' if ours else 'agreed'}",
            **({"sends": [TYPE], "receives": ["APPREC"]} if ours else {"sends": ["APPREC"], "receives": [TYPE]}),
        }
        return Side(**{**facts, **changes})

    def agree(self, name: str = "a.xml", *, us: Side | None = None, them: Side | None = None, **changes: Any) -> Cpa:
        start = self.clock() - timedelta(days=1)
        facts: dict[str, Any] = {"service": f"S-{TYPE}", "cpa_id": "nav:test:35065", "start": start, **changes}
        made = Cpa(one=us or self.side(US), other=them or self.side(CLINIC), **facts)
        (self.folder / "cpa" / name).write_bytes(made.text())
        self.advance(seconds=6)  # files are looked at again after five
        return made

    def book(self, **changes: Any) -> None:
        """The clinic's entry changed, as an operator would in the address book."""
        file = self.folder / "addressbook.json"
        book = json.loads(file.read_text())
        for party in book["parties"]:
            if party["herId"] == CLINIC:
                party["_agreement"].update(changes.pop("agreement", {}))
                party.update(changes)
        file.write_text(json.dumps(book, indent=1 + self.generation))
        self.generation += 1


def der(key: SigningKey) -> bytes:
    return key.certificate.public_bytes(Encoding.DER)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[AgreedRig]:
    with beside(tmp_path, AgreedRig) as made:
        yield made


def sealed(rig: AgreedRig, sent: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one["detail"] for one in rig.adapter.show(sent)["events"] if one["kind"] == "sealed")
    return found


# --- out --------------------------------------------------------------------------------------------------------------


def test_a_message_goes_under_the_agreement_its_id_roles_type_endpoint_and_certificates(
    rig: AgreedRig, clinic: Clinic
) -> None:
    rig.book(agreement={"endpoint": None})  # so the endpoint can only be the agreement's
    them = rig.side(CLINIC, role="Mottaker")
    rig.agree(us=rig.side(US, role="Avsender"), them=them, service_type="kithService")
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")]
    words = clinic.got[0].words
    assert words.cpa_id == "nav:test:35065"
    assert (words.sender.role, words.receiver.role) == ("Avsender", "Mottaker")
    assert (words.service, words.service_type, words.action) == (f"S-{TYPE}", "kithService", TYPE)
    assert (sealed(rig, sent)["cpa_id"], sealed(rig, sent)["agreed"]) == ("nav:test:35065", True)


def test_what_the_settings_say_of_the_partner_wins_over_the_agreement(rig: AgreedRig, clinic: Clinic) -> None:
    rig.agree(us=rig.side(US, role="Avsender"), them=rig.side(CLINIC, url="http://127.0.0.1:9/nobody"))
    overrides = {"senderRole": "Rekvirent", "serviceType": "own"}
    rig.book(agreement={"overrides": overrides, "resends": 2, "resend_interval_h": 1.0})
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")], "the address book's endpoint was used"
    words = clinic.got[0].words
    assert (words.sender.role, words.service_type) == ("Rekvirent", "own")
    assert (sealed(rig, sent)["source"], sealed(rig, sent)["retries"]) == ("settings", 2)


def another_opening(rig: AgreedRig, clinic: Clinic, **validity: Any) -> SigningKey:
    usage = clinic.opening.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    made: SigningKey = rig.world.keys.root.issue_company("Granli kommune", "312045303", usage=usage, **validity)
    return made


def test_what_is_encrypted_is_for_the_agreements_certificate(rig: AgreedRig, clinic: Clinic) -> None:
    clinic.opening = another_opening(rig, clinic)
    rig.agree()
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")]
    assert b"MsgHead" in clinic.got[0].document


def test_what_is_encrypted_is_for_the_registers_certificate_when_the_agreements_has_run_out(
    rig: AgreedRig, clinic: Clinic
) -> None:
    past = Validity(begin=rig.clock() - timedelta(days=9), end=rig.clock() - timedelta(days=1))
    old = another_opening(rig, clinic, validity=past)
    rig.agree(them=rig.side(CLINIC, encryption=der(old)))
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")]
    rig.advance(days=4000)  # all certificates of this world have run out
    rig.agree(end=rig.clock() + timedelta(days=9))
    with pytest.raises(SettingsError) as caught:
        rig.send(referral(CLINIC))
    assert caught.value.code == "EBXML.CERTIFICATE"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"end": datetime(2025, 1, 1, tzinfo=UTC), "start": datetime(2024, 1, 1, tzinfo=UTC)}, "CPA.ENDED"),
        ({"start": datetime(2037, 1, 1, tzinfo=UTC), "end": datetime(2038, 1, 1, tzinfo=UTC)}, "CPA.NOT_BEGUN"),
    ],
)
def test_an_agreement_that_is_not_in_force_sends_nothing_and_says_so_at_submit(
    rig: AgreedRig, clinic: Clinic, changes: dict[str, Any], code: str
) -> None:
    rig.agree(**changes)
    with pytest.raises(RefusedError) as caught:
        rig.send(referral(CLINIC))
    assert (caught.value.code, caught.value.where) == (code, f"HER-id {CLINIC}")
    assert caught.value.cure
    assert rig.adapter.list() == []
    assert clinic.got == []


def test_an_agreement_that_ends_before_the_message_leaves_holds_it_until_a_new_one_is_there(
    rig: AgreedRig, clinic: Clinic
) -> None:
    rig.agree(end=rig.clock() + timedelta(hours=1))
    sent = rig.send(referral(CLINIC))
    rig.advance(hours=2)
    rig.rounds(1)
    assert rig.state(sent) == [("suspended", "awaited")]
    assert rig.attention() == ["suspended"]
    assert clinic.got == []
    assert any(name.startswith("suspended:") for name, _ in rig.alarms)
    rig.agree("renewed.xml", cpa_id="nav:test:35066")
    rig.adapter.requeue(sent, "the agreement has been renewed")
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")]
    assert clinic.got[0].words.cpa_id == "nav:test:35066"


def test_of_several_agreements_the_newest_in_force_that_names_the_process_is_used(
    rig: AgreedRig, clinic: Clinic
) -> None:
    now = rig.clock()
    rig.agree("1.xml", cpa_id="older", start=now - timedelta(days=100))
    rig.agree("2.xml", cpa_id="newest", start=now - timedelta(days=10))
    rig.agree("3.xml", cpa_id="another process", start=now - timedelta(days=1), service="S-EPIKRISE")
    rig.agree("4.xml", cpa_id="to come", start=now + timedelta(days=1))
    rig.send(referral(CLINIC))
    rig.rounds(1)
    assert clinic.got[0].words.cpa_id == "newest"


def test_a_process_that_is_not_agreed_goes_as_before_except_to_nav(rig: AgreedRig, clinic: Clinic) -> None:
    rig.agree(service="S-EPIKRISE")
    rig.send(referral(CLINIC))
    rig.rounds(1)
    assert clinic.got[0].words.cpa_id == f"{CLINIC}_{US}"
    rig.book(agreement={"cpa_id": "nav:test:35065"})
    with pytest.raises(RefusedError) as caught:
        rig.send(referral(CLINIC))
    assert caught.value.code == "CPA.PROCESS"


def test_an_agreement_that_names_another_key_of_ours_is_an_alarm_and_the_all_clear_follows(
    rig: AgreedRig, clinic: Clinic
) -> None:
    rig.agree(us=rig.side(US, signing=der(clinic.stranger)))
    rig.send(referral(CLINIC))
    rig.rounds(1)
    assert ("agreed key nav:test:35065", False) in rig.alarms
    rig.agree()
    rig.send(referral(CLINIC))
    rig.rounds(1)
    assert ("agreed key nav:test:35065", True) in rig.alarms


def test_an_agreement_that_asks_for_gzip_gets_it_inside_the_encryption(rig: AgreedRig, clinic: Clinic) -> None:
    cpa = rig.agree(compressed=True)
    text = cpa.text().replace(
        b'<t:Constituent t:idref="doc"/></t:Encapsulation>\n', b'<t:Constituent t:idref="z"/></t:Encapsulation>\n'
    )
    (rig.folder / "cpa" / "a.xml").write_bytes(text)
    rig.advance(seconds=6)
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")]
    content = clinic.got[0].opened.attachments[0].content
    assert content is not None
    assert b"\r\n\r\n\x1f\x8b" in cms.decrypt(content, [clinic.opening])[:200]
    assert b"MsgHead" in clinic.got[0].document


@pytest.mark.parametrize("by", ["agreement", "settings"])
def test_the_envelope_names_our_organisation_where_the_agreement_or_the_settings_do(
    rig: AgreedRig, clinic: Clinic, by: str
) -> None:
    if by == "agreement":
        rig.agree(us=rig.side(US, her_id=place.SOLVANG))
    else:
        rig.book(agreement={"overrides": {"useSenderLevel1HerId": True}})
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")]
    words = clinic.got[0].words
    assert words.sender.her_id == place.SOLVANG
    assert words.cpa_id == ("nav:test:35065" if by == "agreement" else f"{CLINIC}_{place.SOLVANG}")


def test_a_broken_agreement_file_is_an_alarm_and_the_good_one_serves_on(rig: AgreedRig, clinic: Clinic) -> None:
    rig.agree()
    rig.send(referral(CLINIC))
    (rig.folder / "cpa" / "a.xml").write_bytes(b"<t:broken")
    rig.advance(seconds=6)
    rig.adapter.run_once()
    assert ("renewal:agreement a.xml", False) in rig.alarms
    rig.send(referral(CLINIC))
    rig.rounds(1)
    assert [got.words.cpa_id for got in clinic.got] == ["nav:test:35065"] * 2


def test_the_agreed_synchronous_form_asks_for_no_receipt_and_is_sent_once(rig: AgreedRig, clinic: Clinic) -> None:
    rig.agree(acknowledge="never", retries=None)
    clinic.script = ["silent"]
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    words = clinic.got[0].words
    assert clinic.got[0].opened.envelope.sync_reply, "for the next hop, so it is not signed"
    assert (words.ack_request, words.duplicate_elimination) == (None, False)
    assert rig.state(sent) == [("sent", "awaited")]
    rig.advance(hours=80)
    rig.rounds(1)
    assert len(clinic.got) == 1


class Answering:
    """The HTTP client of a synchronous exchange: the clinic gets the envelope and its AppRec is in the response."""

    def __init__(self, rig: AgreedRig) -> None:
        self.rig = rig

    def post(self, url: str, headers: Iterable[tuple[str, str]], pieces: Iterable[bytes]) -> Any:
        self.rig.clinic.take(list(headers), b"".join(pieces))
        packed: list[Any] = []
        self.rig.clinic.post = lambda *made: packed.append(made)  # type: ignore[method-assign]
        self.rig.clinic.answer(self.rig.clinic.got[-1])
        envelope, attached = packed[0]
        whole = pack_http(envelope, [attached], boundary="b-1", content_id="e-1@clinic")
        return SimpleNamespace(status=200, headers=dict(whole.headers), body=whole.body())

    def close(self) -> None: ...


def test_a_business_message_in_the_response_of_the_synchronous_form_is_taken_in(rig: AgreedRig) -> None:
    rig.agree(acknowledge="never", retries=None)
    object.__setattr__(rig.adapter.parts, "ebxml_http", Answering(rig))
    sent = rig.send(referral(CLINIC))
    rig.rounds(2)
    assert rig.state(sent)[0][1] == "accepted"


def test_the_answer_in_a_response_is_kept_before_its_question_is_done(rig: AgreedRig) -> None:
    rig.agree(acknowledge="never", retries=None)
    object.__setattr__(rig.adapter.parts, "ebxml_http", Answering(rig))
    rig.send(referral(CLINIC))
    rig.rounds(1)
    kinds = [event["kind"] for event in rig.adapter.events()]
    assert kinds.index("envelope received") < kinds.index("sent")


def test_an_answer_in_a_response_that_cannot_be_taken_in_is_asked_for_again_by_the_same_envelope(
    rig: AgreedRig,
) -> None:
    rig.agree(acknowledge="never", retries=None)
    object.__setattr__(rig.adapter.parts, "ebxml_http", Answering(rig))
    keys = rig.adapter.parts.signer
    object.__setattr__(rig.adapter.parts, "signer", lambda name: keys(name) if name == "company" else keys("lost"))
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    assert rig.state(sent) == [("unknown", "awaited")]


def test_an_apprec_of_ours_goes_back_under_the_agreement_that_its_message_came_under_even_when_it_has_ended(
    rig: AgreedRig, clinic: Clinic
) -> None:
    rig.book(agreement={"endpoint": None})
    agree_on_notes(rig, end=rig.clock() + timedelta(hours=1))
    assert said(note(rig, clinic)) == ("Acknowledgment", None)
    rig.advance(hours=2)
    rig.rounds(1)
    (taken,) = rig.adapter.take("EPJ")
    rig.adapter.confirm(taken.token)
    rig.rounds(1)
    (got,) = clinic.got
    assert (got.words.cpa_id, got.words.action) == (f"{CLINIC}_{US}", "APPREC")
    assert (got.words.sender.role, got.words.receiver.role) == (f"{NOTE}receiver", f"{NOTE}sender")
    assert b"AppRec" in got.document


# --- the plan of resends ----------------------------------------------------------------------------------------------


def hours_of_sending(rig: AgreedRig, clinic: Clinic, sent: str, until_h: int = 110) -> list[int]:
    """The hours from the first sending on at which the clinic got the envelope; the negative one is the giving up."""
    begun = rig.clock()
    seen: list[int] = []
    for _ in range(until_h):
        before = len(clinic.got)
        dispatch(rig.adapter.parts)
        if len(clinic.got) > before:
            seen.append(round((rig.clock() - begun).total_seconds() / 3600))
        if rig.state(sent)[0][0] == "abandoned":
            seen.append(-round((rig.clock() - begun).total_seconds() / 3600))
            break
        rig.advance(hours=1)
    return seen


@pytest.mark.parametrize(
    ("agreed", "own", "source", "hours"),
    [
        ({}, {}, "agreement", [0, 12, 24, 36, 48, -60]),
        ({"retries": 8, "persist": "P1D"}, {}, "agreement", [0, 12, -24]),
        ({"retries": None}, {}, "framework", [0, 12, 24, 36, 48, 60, -72]),
        ({}, {"resends": 2, "resend_interval_h": 1.0}, "settings", [0, 1, 2, -3]),
        ({}, {"time_to_live_h": 30.0}, "agreement", [0, 12, 24, -30]),
    ],
    ids=["agreement", "persist", "framework", "settings", "time to live"],
)
def test_the_plan_of_resends_is_the_sources_and_ends_in_a_person_being_told(
    rig: AgreedRig, clinic: Clinic, agreed: dict[str, Any], own: dict[str, Any], source: str, hours: list[int]
) -> None:
    rig.agree(**agreed)
    rig.book(agreement=own)
    clinic.script = ["silent"] * 20
    sent = rig.send(referral(CLINIC))
    assert hours_of_sending(rig, clinic, sent) == hours
    assert sealed(rig, sent)["source"] == source
    assert len({got.octets for got in clinic.got}) == 1
    assert len({got.boundary for got in clinic.got}) == len(clinic.got)
    assert rig.attention()[0] == "abandoned"
    assert any(name.startswith("abandoned:") for name, _ in rig.alarms)
    (event,) = [one for one in rig.adapter.show(sent)["events"] if one["kind"] == "abandoned"]
    assert event["detail"]["source"] == source
    assert event["detail"]["resends"] == len(clinic.got) - 1


def test_time_to_live_stands_in_the_envelope_only_where_the_settings_ask_for_it(rig: AgreedRig, clinic: Clinic) -> None:
    rig.send(referral(CLINIC))
    rig.rounds(1)
    rig.book(agreement={"time_to_live_h": 30.0})
    rig.send(referral(CLINIC))
    rig.rounds(1)
    without, with_it = clinic.got
    assert without.words.time_to_live is None
    assert with_it.words.timestamp is not None
    assert with_it.words.time_to_live == with_it.words.timestamp + timedelta(hours=30)


def test_what_was_given_up_and_is_requeued_gets_its_plan_anew_with_the_same_envelope(
    rig: AgreedRig, clinic: Clinic
) -> None:
    rig.book(agreement={"resends": 1, "resend_interval_h": 1.0})
    clinic.script = ["silent"] * 5
    sent = rig.send(referral(CLINIC))
    assert hours_of_sending(rig, clinic, sent)[-1] < 0
    rig.adapter.requeue(sent, "the clinic's server is up again")
    assert hours_of_sending(rig, clinic, sent)[0] == 0
    assert len({got.octets for got in clinic.got}) == 1


def test_what_was_refused_at_a_resend_and_is_requeued_a_week_later_is_sent_as_a_new_message(
    rig: AgreedRig, clinic: Clinic
) -> None:
    clinic.script = ["silent", "error"]
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    rig.advance(hours=12)
    rig.rounds(1)
    assert rig.state(sent) == [("refused", "awaited")]
    rig.advance(days=7)
    rig.adapter.requeue(sent, "the certificate is in order now")
    rig.rounds(1)
    assert rig.state(sent)[0][0] == "confirmed"
    assert len({got.words.message_id for got in clinic.got}) == 2


def test_past_its_time_to_live_a_requeued_message_gets_a_new_envelope(rig: AgreedRig, clinic: Clinic) -> None:
    rig.book(agreement={"time_to_live_h": 2.0})
    clinic.script = ["silent"]
    sent = rig.send(referral(CLINIC))
    assert hours_of_sending(rig, clinic, sent)[-1] == -2
    rig.adapter.requeue(sent, "the clinic's server is up again")
    rig.rounds(1)
    assert rig.state(sent) == [("confirmed", "awaited")]
    assert len({got.words.message_id for got in clinic.got}) == 2


# --- in ---------------------------------------------------------------------------------------------------------------

NOTE = "DIALOG_NOTAT"


def agree_on_notes(rig: AgreedRig, **changes: Any) -> None:
    """The clinic sends us dialogue notes."""
    us = rig.side(US, role=f"{NOTE}receiver", sends=["APPREC"], receives=[NOTE])
    facts = {"role": f"{NOTE}sender", "sends": [NOTE], "receives": ["APPREC"], **changes.pop("them", {})}
    them = rig.side(CLINIC, **facts)
    rig.agree(us=us, them=them, **{"service": f"S-{NOTE}", "cpa_id": f"{CLINIC}_{US}", **changes})


def note(rig: AgreedRig, clinic: Clinic, **changes: Any) -> Any:
    document = letter(rig, sender=CLINIC, receiver=US, msg_id=clinic.new_id())
    return clinic.post(*clinic.note(document, **changes))


def said(reply: Any) -> tuple[str, str | None]:
    words = open_http(reply.headers, reply.body).envelope
    return str(words.kind), words.report.errors[0].code if words.report is not None else None


def rules(rig: AgreedRig, kind: str) -> list[str]:
    with rig.adapter.parts.store.reading() as db:
        found = db.exec_driver_sql("SELECT detail FROM event WHERE kind = ? ORDER BY id", (kind,)).scalars().all()
    return [rule for one in found for rule in json.loads(one).get("rules", [])]


def test_the_signature_is_held_against_the_agreements_certificate(rig: AgreedRig, clinic: Clinic) -> None:
    agree_on_notes(rig, them={"signing": der(clinic.stranger)})
    assert said(note(rig, clinic)) == ("MessageError", "SecurityFailure")
    assert said(note(rig, clinic, signer=clinic.stranger)) == ("Acknowledgment", None)
    assert "44" in rules(rig, "envelope answered")


def test_without_an_agreement_of_that_name_the_registered_certificate_decides(rig: AgreedRig, clinic: Clinic) -> None:
    agree_on_notes(rig, cpa_id="another", them={"signing": der(clinic.stranger)})
    assert said(note(rig, clinic)) == ("Acknowledgment", None)
    assert said(note(rig, clinic, signer=clinic.stranger)) == ("MessageError", "SecurityFailure")


def test_p17_an_agreement_is_judged_by_the_time_of_receipt(rig: AgreedRig, clinic: Clinic) -> None:
    agree_on_notes(rig, start=rig.clock() - timedelta(days=9), end=rig.clock() + timedelta(hours=1))
    assert said(note(rig, clinic)) == ("Acknowledgment", None)
    written = rig.clock()
    rig.advance(hours=2)
    assert said(note(rig, clinic, now=written)) == ("MessageError", "DeliveryFailure")
    assert "110" in rules(rig, "envelope answered")


def test_a_time_stamp_outside_the_agreements_period_is_a_finding_and_beyond_the_clocks_allowance_an_alarm(
    rig: AgreedRig, clinic: Clinic
) -> None:
    agree_on_notes(rig, start=rig.clock() + timedelta(seconds=6))
    assert said(note(rig, clinic, now=rig.clock() - timedelta(seconds=60))) == ("Acknowledgment", None)
    assert rig.alarms == []
    assert said(note(rig, clinic, now=rig.clock() - timedelta(seconds=600))) == ("Acknowledgment", None)
    assert rig.alarms == [(f"partner's clock {CLINIC}", False)]
    rig.advance(hours=1)
    assert said(note(rig, clinic)) == ("Acknowledgment", None)
    assert rig.alarms[1:] == [(f"partner's clock {CLINIC}", True)]


@pytest.mark.parametrize(
    ("apart", "alarmed"), [({"minutes": 4}, 0), ({"minutes": 6}, 1), ({"hours": -71}, 0), ({"hours": -73}, 1)]
)
def test_a_partners_clock_that_is_far_from_ours_is_told_once(
    rig: AgreedRig, clinic: Clinic, apart: dict[str, int], alarmed: int
) -> None:
    for _ in range(2):
        assert said(note(rig, clinic, now=rig.clock() + timedelta(**apart))) == ("Acknowledgment", None)
    assert [name for name, clear in rig.alarms if not clear] == [f"partner's clock {CLINIC}"] * alarmed


def test_p17_a_partners_certificate_that_has_run_out_is_a_finding_and_an_alarm(rig: AgreedRig, clinic: Clinic) -> None:
    past = Validity(begin=rig.clock() - timedelta(days=9), end=rig.clock() - timedelta(hours=1))
    old = rig.world.keys.root.issue_company("Granli kommune", "312045303", validity=past)
    good = {"signing": registered(clinic.signing), "encryption": registered(clinic.opening)}
    rig.book(_certificates={**good, "signing": registered(old)})
    assert said(note(rig, clinic, signer=old)) == ("Acknowledgment", None)
    assert rig.alarms == [(f"partner's certificate {CLINIC}", False)]
    rig.book(_certificates=good)
    assert said(note(rig, clinic)) == ("Acknowledgment", None)
    assert rig.alarms[1:] == [(f"partner's certificate {CLINIC}", True)]


def test_a_party_that_the_agreement_does_not_name_is_told_so(rig: AgreedRig, clinic: Clinic) -> None:
    agree_on_notes(rig, them={"her_id": 8099999})
    assert said(note(rig, clinic)) == ("MessageError", "Inconsistent")
    assert "111" in rules(rig, "envelope answered")


def test_what_is_not_agreed_is_answered_and_roles_of_their_own_are_only_a_finding(
    rig: AgreedRig, clinic: Clinic
) -> None:
    agree_on_notes(rig, service="S-EPIKRISE")
    assert said(note(rig, clinic)) == ("MessageError", "ValueNotRecognized")
    agree_on_notes(rig, them={"role": "Avsender"})
    assert said(note(rig, clinic)) == ("Acknowledgment", None)


class Asked:
    """A revocation port that answers what it is told, and counts."""

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.asked = 0

    def check(self, certificate: Any, issuer: Any, when: Any) -> Standing:
        self.asked += 1
        return self.standing


def ask(rig: AgreedRig, policy: Revocation, standing: Standing) -> Asked:
    port, parts = Asked(standing), rig.adapter.parts
    trust = replace(parts.settings.trust, revocation=policy)
    object.__setattr__(parts, "settings", replace(parts.settings, trust=trust))
    object.__setattr__(parts, "revocation", port)
    return port


@pytest.mark.parametrize(
    ("policy", "standing", "answer"),
    [
        ("required", Standing.GOOD, ("Acknowledgment", None)),
        ("required", Standing.REVOKED, ("MessageError", "SecurityFailure")),
        ("when_reachable", Standing.REVOKED, ("MessageError", "SecurityFailure")),
        ("when_reachable", Standing.UNCHECKED, ("Acknowledgment", None)),
        ("off", Standing.REVOKED, ("Acknowledgment", None)),
    ],
)
def test_p17_revocation_of_an_envelopes_certificate_follows_the_policy_for_documents(
    rig: AgreedRig, clinic: Clinic, policy: str, standing: Standing, answer: tuple[str, str | None]
) -> None:
    port = ask(rig, Revocation(policy), standing)
    assert said(note(rig, clinic)) == answer
    assert bool(port.asked) == (policy != "off")


def test_p17_revocation_that_must_be_asked_and_cannot_be_leaves_the_message_unanswered(
    rig: AgreedRig, clinic: Clinic
) -> None:
    port = ask(rig, Revocation.REQUIRED, Standing.UNCHECKED)
    with pytest.raises(AdapterError):
        note(rig, clinic)
    assert rig.steps() == []
    port.standing = Standing.GOOD
    assert said(note(rig, clinic)) == ("Acknowledgment", None)


def test_p20_nobody_is_asked_about_a_certificate_that_reaches_no_root_of_ours(rig: AgreedRig, clinic: Clinic) -> None:
    port = ask(rig, Revocation.REQUIRED, Standing.REVOKED)
    other = DemoCa.create().issue_company("Granli kommune", "312045303")
    agree_on_notes(rig, them={"signing": der(other)})
    assert said(note(rig, clinic, signer=other)) == ("Acknowledgment", None)
    assert port.asked == 0


# --- the register's own agreements ------------------------------------------------------------------------------------

UUID = "4d9a222f-5076-4221-8668-438277d2cf8a"


@pytest.fixture
def cppa() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


@pytest.fixture
def asking(tmp_path: Path, cppa: Loopback) -> Iterator[AgreedRig]:
    """A rig whose settings name the register's agreement service."""

    class Asking(AgreedRig):
        def _settings(self, tenants: Any, more: Any) -> Any:
            found = super()._settings(tenants, more)
            scope = "nhn:cp-api/access-v2-dpop"  # one that the simulated HelseID gives
            names = {"register_url": f"{cppa.url}/v2/", "register_scope": scope}
            return replace(found, agreements=replace(found.agreements, **names))

    with beside(tmp_path, Asking) as made:
        yield made


def test_the_registers_agreement_is_fetched_with_the_tenants_token_and_sent_under(
    asking: AgreedRig, cppa: Loopback
) -> None:
    cpa = asking.agree("other.xml", cpa_id=UUID)
    (asking.folder / "cpa" / "other.xml").unlink()
    cppa.script += [Reply(body=cpa.text())]
    sent = asking.send(referral(CLINIC))
    asking.rounds(1)
    assert asking.state(sent) == [("confirmed", "awaited")]
    assert asking.clinic.got[0].words.cpa_id == UUID
    (asked,) = cppa.asked
    assert asked.path == f"/v2/Agreements/HerIds/{US}/{CLINIC}"
    assert asked.headers["authorization"].startswith("DPoP ")
    assert len(list((asking.folder / "cpa" / "register").rglob("*.xml"))) == 1


def test_an_agreement_that_the_register_denies_is_answered_and_one_that_nobody_can_say_is_let_through(
    asking: AgreedRig, cppa: Loopback
) -> None:
    clinic = asking.clinic
    words = clinic.note(letter(asking, sender=CLINIC, receiver=US))
    assert said(clinic.post(*words)) == ("Acknowledgment", None), "an id of two HER-ids is none of the register's"
    assert cppa.asked == []
    denied = ("MessageError", "ValueNotRecognized")
    for reply, answer in ((Reply(status=503), ("Acknowledgment", None)), (Reply(status=404), denied)):
        cppa.script += [reply]
        asking.advance(minutes=10)
        assert said(clinic.post(*under(clinic, asking, UUID))) == answer


def under(clinic: Clinic, rig: AgreedRig, cpa_id: str) -> Any:
    """A note of the clinic's whose envelope names that agreement."""
    document = letter(rig, sender=CLINIC, receiver=US, msg_id=clinic.new_id())
    content = cms.encrypt(build_plaintext(document, form="mime"), rig.opening.certificate)
    attached = Attachment(content_id=f"{clinic.new_id()}@clinic", content=content)
    words = payload_message(
        sender=CLINIC,
        receiver=US,
        process=national(NOTE),
        cpa_id=cpa_id,
        conversation_id=clinic.new_id(),
        message_id=clinic.new_id(),
        now=rig.clock(),
        content_id=attached.content_id,
        namespace="http://www.kith.no/xmlstds/dialog/2006-10-11",
        version="1.0",
        software=SOFTWARE,
    )
    return sign_envelope(build(words), clinic.signing, {attached.content_id: content}), attached
