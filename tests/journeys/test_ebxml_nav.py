"""NAV over ebXML: the company signs the envelope, the person the document, and NAV's own names are on everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.clinic import served
from tests.journeys.nav_partner import CPA_ID, DOCTOR, NAV, NavPartner, NavRig
from tests.journeys.rig import inquiry


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[NavRig]:
    with served() as (port, partners):
        made = type("RigHere", (NavRig,), {"port": port})(tmp_path)
        partners.append(made.nav)
        yield made
        made.close()


@pytest.fixture
def nav(rig: NavRig) -> NavPartner:
    return rig.nav


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
    rig.rounds(1)  # the envelope's signer is pinned to the company's certificate by the partner
    assert [one.certificate for one in nav.persons] == [rig.person.certificate]
    assert nav.plain[0].lstrip().startswith(b"<")  # raw, no MIME part
    assert nav.parked == []


def test_navs_question_is_handed_over_and_receipted_in_its_conversation(rig: NavRig, nav: NavPartner) -> None:
    envelope, attached = nav.question()
    assert nav.post(envelope, attached).kind == "Acknowledgment"
    rig.rounds(1)
    [taken] = rig.adapter.take("ehr")
    rig.adapter.confirm(taken.token)
    rig.rounds(1)
    assert rig.steps() == ["receipted"]
    [got] = nav.got
    assert (got.words.service, got.words.action) == ("ForesporselFraSaksbehandler", "Kvittering")
    assert (got.words.sender.role, got.words.receiver.role) == ("Sykmelder", "Saksbehandler")
    assert got.words.cpa_id == CPA_ID
