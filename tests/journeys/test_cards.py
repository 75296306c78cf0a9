"""Keys on cards in the journeys: a doctor's card signs a MsgHead, an HSM signs envelopes, and cards go away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapter import xmlio
from adapter.errors import CardError, RefusedError
from adapter.security import xmldsig
from adapter.security.keys import SigningKey
from adapter.security.pkcs11_token import end_sessions
from tests.journeys.clinic import CLINIC, Clinic, EbxmlRig, beside
from tests.journeys.rig import Rig, inquiry, letter, referral
from tests.security.tokens import SoftToken, needs_softhsm, soft_token

pytestmark = needs_softhsm


@pytest.fixture
def token(tmp_path: Path) -> Iterator[SoftToken]:
    with soft_token(tmp_path / "card") as made:
        yield made


def on_card(token: SoftToken, **more: Any) -> dict[str, Any]:
    """The settings of a key on the card."""
    card = {"module": token.module, "token": token.label, "pin": {"file": str(token.pin_file)}}
    return {"pkcs11": {**card, **more.pop("pkcs11", {})}, **more}


# --- the doctor's card ------------------------------------------------------------------------------------------------


@pytest.fixture
def doctor(token: SoftToken, tmp_path: Path) -> Iterator[Rig]:
    """Solvang, whose doctor has a card."""
    folder = tmp_path / "solvang"
    folder.mkdir()
    rig = Rig(folder, settings={"keys": {"lege": on_card(token, owner="person")}})
    token.put(rig.world.keys.persons["solvang", "lege"])
    yield rig
    rig.close()


def test_p14_the_doctors_card_signs_what_names_it_and_nav_accepts(doctor: Rig) -> None:
    sent = doctor.send(inquiry())
    signed = doctor.adapter.export(sent, reason="test")
    person: SigningKey = doctor.world.keys.persons["solvang", "lege"]
    assert xmldsig.verify(xmlio.parse(signed)).certificate == person.certificate
    doctor.rounds(4)
    assert doctor.state(sent) == [("confirmed", "accepted")]


def test_p14_the_card_signs_only_what_names_it(doctor: Rig, token: SoftToken) -> None:
    token.take_out()  # nobody needs it
    sent = doctor.send(referral())
    assert b"Signature" not in doctor.adapter.export(sent, reason="test")
    with pytest.raises(RefusedError, match=r"P14\.SIGNER"):
        doctor.send(inquiry(signer=None))
    assert doctor.alarms == []


def test_p14_a_companys_card_is_refused_where_a_person_must_sign(doctor: Rig, token: SoftToken) -> None:
    doctor.settings = replace(
        doctor.settings, keys={**doctor.settings.keys, "lege": replace(doctor.settings.keys["lege"], owner="company")}
    )
    doctor.adapter.close()
    doctor.adapter = doctor.open()
    with pytest.raises(RefusedError, match=r"P14\.OWNER"):
        doctor.send(inquiry())


def test_a_card_that_is_out_stores_nothing_and_calls_a_person(doctor: Rig, token: SoftToken) -> None:
    token.take_out()
    for _ in range(2):
        with pytest.raises(CardError, match=r"KEY\.CARD"):
            doctor.send(inquiry(), key="k-1")
    assert doctor.adapter.list() == []
    assert doctor.alarms == [("card:lege", False)]  # once for the incident (P26)
    token.put_in()
    sent = doctor.send(inquiry(), key="k-1")
    assert doctor.send(inquiry(), key="k-1") == sent
    assert doctor.alarms == [("card:lege", False), ("card:lege", True)]


def test_p21_a_refused_pin_is_in_no_alarm_and_no_list(doctor: Rig, token: SoftToken) -> None:
    token.write_pin("87654321")
    with pytest.raises(CardError, match=r"KEY\.PIN"):
        doctor.send(inquiry())
    assert "87654321" not in str(doctor.adapter.alarms())
    assert [one["name"] for one in doctor.adapter.alarms()] == ["card:lege"]


# --- the company's HSM ------------------------------------------------------------------------------------------------


class HsmRig(EbxmlRig):
    """The company's signing key and its key for opening are on a token."""

    token: SoftToken

    def _write_keys(self) -> None:
        super()._write_keys()
        self.token.put(self.ours, label="sign", key_id=b"\1")
        self.token.put(self.opening, label="open", key_id=b"\2")

    def _settings(self, tenants: Any, more: Any) -> Any:
        keys = {
            "company": on_card(self.token, pkcs11={"key_label": "sign"}),
            "opening": on_card(self.token, pkcs11={"key_id": "02"}),
        }
        return super()._settings(tenants, {**more, "keys": keys})


@pytest.fixture
def hsm(token: SoftToken, tmp_path: Path) -> Iterator[HsmRig]:
    folder = tmp_path / "solvang"
    folder.mkdir()
    with beside(folder, HsmRig, token=token) as made:
        yield made


@pytest.fixture
def clinic(hsm: HsmRig) -> Clinic:
    return hsm.clinic


def test_an_hsm_signs_envelopes_and_opens_what_comes(hsm: HsmRig, clinic: Clinic) -> None:
    sent = hsm.send(referral(CLINIC))
    hsm.rounds(1)
    assert hsm.state(sent) == [("confirmed", "awaited")]
    assert clinic.post(*clinic.note(letter(hsm, sender=CLINIC))).kind == "Acknowledgment"
    hsm.rounds(1)
    assert hsm.steps() == ["accepted"]


def test_what_is_to_be_sent_waits_for_the_card(hsm: HsmRig, clinic: Clinic, token: SoftToken) -> None:
    sent = hsm.send(referral(CLINIC))
    token.take_out()
    hsm.rounds(3)
    assert hsm.state(sent) == [("queued", "awaited")]
    assert clinic.got == []
    assert ("card:company", False) in hsm.alarms
    token.put_in()
    hsm.advance(hours=2)
    hsm.rounds(1)
    assert hsm.state(sent) == [("confirmed", "awaited")]
    assert hsm.alarms[-1] == ("card:company", True)
    assert len(clinic.got) == 1


def test_what_is_submitted_while_the_card_is_out_is_stored_and_waits(
    hsm: HsmRig, clinic: Clinic, token: SoftToken
) -> None:
    hsm.adapter.close()
    hsm.adapter = hsm.open()  # a new process, which has never seen the card
    end_sessions()
    token.take_out()
    sent = hsm.send(referral(CLINIC))
    assert hsm.state(sent) == [("queued", "awaited")]
    assert hsm.alarms == [("card:company", False)]
    token.put_in()
    hsm.rounds(1)
    assert hsm.state(sent) == [("confirmed", "awaited")]
    assert hsm.alarms[-1] == ("card:company", True)


def test_what_comes_while_the_card_is_out_is_told_nothing_and_taken_when_it_is_back(
    hsm: HsmRig, clinic: Clinic, token: SoftToken
) -> None:
    envelope, attached = clinic.note(letter(hsm, sender=CLINIC))
    token.take_out()
    with pytest.raises(CardError):
        clinic.post(envelope, attached)
    assert hsm.steps() == []
    token.put_in()
    assert clinic.post(envelope, attached).kind == "Acknowledgment"
    assert hsm.steps() == ["received"]
