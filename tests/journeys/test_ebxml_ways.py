"""The way to a partner where the rules leave room: which agreement, which address, whom we ask and where."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapter.config import Revocation
from adapter.errors import AmbiguousError, RefusedError, SettingsError, TransportError
from adapter.security.revocation import Standing
from adapter.simulator import world as place
from tests.journeys.clinic import CLINIC, Clinic
from tests.journeys.rig import load, referral
from tests.journeys.test_ebxml_agreements import (
    NOTE,
    TYPE,
    US,
    UUID,
    AgreedRig,
    Answering,
    agree_on_notes,
    ask,
    asking,
    cppa,
    note,
    rig,
    said,
)
from tests.transport.loopback import Loopback, Reply

__all__ = ["asking", "cppa", "rig"]
OLDER = UUID[:-1] + ("0" if UUID[-1] != "0" else "1")


def sent_words(rig: AgreedRig) -> Any:
    """The words of the envelope in which a referral leaves now."""
    rig.send(referral(CLINIC))
    rig.rounds(1)
    return rig.clinic.got[-1].words


def events(rig: AgreedRig) -> list[str]:
    return [one["kind"] for one in rig.adapter.events()]


# --- which agreement --------------------------------------------------------------------------------------------------


def test_the_agreement_that_the_settings_name_is_used_though_a_newer_one_is_there(rig: AgreedRig) -> None:
    now = rig.clock()
    rig.agree("1.xml", cpa_id="older", start=now - timedelta(days=100))
    rig.agree("2.xml", cpa_id="newer", start=now - timedelta(days=1))
    rig.book(agreement={"cpa_id": "older"})
    assert sent_words(rig).cpa_id == "older"


def test_a_name_that_was_agreed_on_paper_alone_is_written_as_it_is(rig: AgreedRig) -> None:
    rig.agree()
    rig.book(agreement={"cpa_id": "paper-17"})
    assert sent_words(rig).cpa_id == "paper-17"


def test_a_name_that_the_register_denies_is_written_as_it_is(asking: AgreedRig, cppa: Loopback) -> None:
    asking.book(agreement={"cpa_id": UUID})
    cppa.script += [Reply(status=404)]
    assert sent_words(asking).cpa_id == UUID


def test_nothing_is_sent_under_an_agreement_that_another_has_replaced(asking: AgreedRig, cppa: Loopback) -> None:
    newer, older = (asking.agree("x.xml", cpa_id=one).text() for one in (UUID, OLDER))
    (asking.folder / "cpa" / "x.xml").unlink()
    asking.advance(seconds=6)
    asking.book(agreement={"cpa_id": OLDER})
    cppa.script += [Reply(body=older), Reply(body=newer)]
    with pytest.raises(RefusedError) as caught:
        asking.send(referral(CLINIC))
    assert caught.value.code == "CPA.STATUS"
    assert "take cpa_id out" in str(caught.value.cure)


def test_of_several_agreements_that_are_all_out_of_force_the_newest_says_why(rig: AgreedRig) -> None:
    now = rig.clock()
    rig.agree("1.xml", cpa_id="old", start=now - timedelta(days=100), end=now - timedelta(days=9))
    rig.agree("2.xml", cpa_id="to come", start=now + timedelta(days=9))
    with pytest.raises(RefusedError) as caught:
        rig.send(referral(CLINIC))
    assert caught.value.code == "CPA.NOT_BEGUN"


def test_a_service_that_the_agreement_writes_without_its_prefix_is_written_so(rig: AgreedRig) -> None:
    rig.agree(service=TYPE)
    words = sent_words(rig)
    assert (words.service, words.cpa_id) == (TYPE, "nav:test:35065")


# --- the way back of a receipt ----------------------------------------------------------------------------------------


def acknowledged(rig: AgreedRig) -> Any:
    """The words of the AppRec that goes back for what came in just now."""
    rig.rounds(1)
    (taken,) = rig.adapter.take("EPJ")
    rig.adapter.confirm(taken.token)
    rig.rounds(1)
    (got,) = rig.clinic.got
    assert b"AppRec" in got.document
    return got.words


def test_a_receipt_that_no_role_of_the_agreement_names_goes_by_its_default_channel(
    rig: AgreedRig, clinic: Clinic
) -> None:
    rig.book(agreement={"endpoint": None})  # so the endpoint can only be the agreement's
    us = rig.side(US, role=f"{NOTE}receiver", sends=[], receives=[NOTE])
    them = rig.side(CLINIC, role=f"{NOTE}sender", sends=[NOTE], receives=[])
    rig.agree(us=us, them=them, service=f"S-{NOTE}", cpa_id=f"{CLINIC}_{US}")
    assert said(note(rig, clinic)) == ("Acknowledgment", None)
    words = acknowledged(rig)
    assert (words.cpa_id, words.action) == (f"{CLINIC}_{US}", "APPREC")


def test_a_receipt_goes_by_the_register_when_the_agreement_has_become_another_partners(
    rig: AgreedRig, clinic: Clinic
) -> None:
    agree_on_notes(rig)
    assert said(note(rig, clinic)) == ("Acknowledgment", None)
    agree_on_notes(rig, them={"her_id": 4711})
    words = acknowledged(rig)
    assert (words.cpa_id, words.receiver.her_id) == (f"{CLINIC}_{US}", CLINIC)


def test_an_answer_in_a_response_that_there_is_no_room_for_is_asked_for_again(rig: AgreedRig, clinic: Clinic) -> None:
    rig.settings = replace(rig.settings, store=replace(rig.settings.store, unverified_max_bytes=0))
    rig.adapter.close()
    rig.adapter = rig.open()
    rig.agree(acknowledge="never", retries=None)
    object.__setattr__(rig.adapter.parts, "ebxml_http", Answering(rig))
    clinic.signing, own = clinic.stranger, clinic.signing  # its new certificate is not registered yet
    sent = rig.send(referral(CLINIC))
    rig.rounds(1)
    assert rig.state(sent) == [("unknown", "awaited")]  # and not sent, with its answer lost
    clinic.signing = own
    rig.advance(hours=12)
    rig.rounds(2)
    assert rig.state(sent)[0][1] == "accepted"


# --- where we ask -----------------------------------------------------------------------------------------------------


def test_a_ping_goes_where_the_agreement_takes_signals_and_bears_its_id(rig: AgreedRig, clinic: Clinic) -> None:
    rig.book(agreement={"endpoint": None})
    rig.agree()
    found = rig.adapter.ping(CLINIC)
    assert (found.result, clinic.asked[0].cpa_id) == ("answered", "nav:test:35065")


@pytest.mark.parametrize("agreed", ["nothing", "mail alone"])
def test_a_ping_to_a_partner_whose_endpoint_nobody_knows_says_what_to_set(rig: AgreedRig, agreed: str) -> None:
    rig.book(agreement={"endpoint": None})
    if agreed == "mail alone":
        rig.agree(them=rig.side(CLINIC, url=None))
    with pytest.raises(SettingsError) as caught:
        rig.adapter.ping(CLINIC)
    assert (caught.value.code, caught.value.cure) == ("EBXML.ENDPOINT", "set endpoint in its _agreement")
    assert events(rig) == ["asked", "question not sent"]


def test_a_ping_under_an_agreement_without_channels_for_signals_says_so(rig: AgreedRig) -> None:
    rig.book(agreement={"endpoint": None})
    made = rig.agree().text()
    (rig.folder / "cpa" / "a.xml").write_bytes(made.replace(b't:defaultMshChannelId="b_http"', b""))
    rig.advance(seconds=6)
    with pytest.raises(SettingsError, match=r"EBXML\.ENDPOINT"):
        rig.adapter.ping(CLINIC)


def test_p12_a_tenant_that_only_listens_asks_nobody(rig: AgreedRig, clinic: Clinic) -> None:
    tenant = replace(rig.settings.tenant[0], listen_only=True)
    rig.settings = replace(rig.settings, tenant=(tenant,))
    rig.adapter.close()
    rig.adapter = rig.open()
    with pytest.raises(SettingsError) as caught:
        rig.adapter.ping(CLINIC)
    assert (caught.value.code, clinic.asked, events(rig)) == ("P12.LISTEN", [], [])


def test_of_several_receivers_the_one_that_is_asked_has_to_be_named(rig: AgreedRig, clinic: Clinic) -> None:
    also(rig, place.BEKKELIA_GP)
    note = {**load("dialogue-notat"), "sender": US, "receiver": {"her_id": CLINIC}}
    sent = rig.send({**note, "copies": [{"her_id": place.BEKKELIA_GP}]})
    rig.rounds(1)
    assert len(clinic.got) == 2
    with pytest.raises(AmbiguousError, match=rf"{CLINIC}.*{place.BEKKELIA_GP}|{place.BEKKELIA_GP}.*{CLINIC}"):
        rig.adapter.ask_status(sent)
    found = rig.adapter.ask_status(sent, partner=place.BEKKELIA_GP)
    assert (found.result, found.partner) == ("answered", place.BEKKELIA_GP)


def also(rig: AgreedRig, her_id: int) -> None:
    """Another party of the register has the clinic's keys and endpoint."""
    file = rig.folder / "addressbook.json"
    book = json.loads(file.read_text())
    known = {one["herId"]: one for one in book["parties"]}
    other, clinic = known[her_id], known[CLINIC]
    other["_certificates"], other["currentSigningCertificate"] = clinic["_certificates"], None
    ways = {name: clinic["_agreement"][name] for name in ("road", "endpoint")}
    other["_agreement"] = {**clinic["_agreement"], **other.get("_agreement", {}), **ways}
    file.write_text(json.dumps(book, indent=3))
    rig.advance(seconds=1)


def test_while_the_http_client_is_missing_a_message_is_refused_at_submit(rig: AgreedRig) -> None:
    object.__setattr__(rig.adapter.parts, "ebxml_http", None)
    with pytest.raises(SettingsError, match=r"EBXML\.ROAD"):
        rig.send(referral(CLINIC))
    assert rig.adapter.list() == []


# --- while nobody can say whether a certificate is revoked ------------------------------------------------------------


def test_p17_a_ping_is_answered_when_revocation_has_been_asked_and_not_before(rig: AgreedRig, clinic: Clinic) -> None:
    port = ask(rig, Revocation.REQUIRED, Standing.UNCHECKED)
    with pytest.raises(TransportError, match=r"P17\.REVOCATION"):
        clinic.post(clinic.sign(clinic.question(), clinic.signing))
    port.standing = Standing.GOOD
    assert clinic.post(clinic.sign(clinic.question(), clinic.signing)).kind == "Pong"


def test_p17_a_pong_ends_the_wait_when_revocation_has_been_asked_and_not_before(rig: AgreedRig, clinic: Clinic) -> None:
    clinic.script = ["silent"]
    port = ask(rig, Revocation.REQUIRED, Standing.UNCHECKED)

    def later(seconds: float) -> None:
        rig.advance(seconds=seconds)
        back = clinic._reply("answer", clinic.asked[0])
        assert back is not None
        if port.asked == 0:
            with pytest.raises(TransportError, match=r"P17\.REVOCATION"):
                clinic.post(back[1])
            port.standing = Standing.GOOD
        else:
            clinic.post(back[1])

    found = rig.adapter.ping(CLINIC, wait_s=10, pause=later)
    assert (found.result, found.signed, found.seconds) == ("answered", True, 4)
