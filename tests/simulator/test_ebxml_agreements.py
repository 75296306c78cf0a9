"""The agreements (CPA) that the simulated NAV offers, and what happens with and without them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from lxml import etree

from adapter.ebxml.cpa import read_agreement
from adapter.ebxml.words import PartyId
from adapter.simulator import world as place
from adapter.simulator.ebxml_agreement import PROCESSES, agreement_id
from tests.simulator.ebxml_rig import EbxmlRig

SCHEMA = Path(__file__).parents[3] / "shared" / "reference" / "xsd" / "ebxml" / "cpp-cpa-2_0.xsd"
NAVS = [place.NAV_MAIL, place.NAV_HTTP]


def ids(her_id: int) -> list[PartyId]:
    return [PartyId(str(her_id))]


def test_each_of_our_addresses_gets_an_agreement_with_each_nav(rig: EbxmlRig) -> None:
    found = {read_agreement(octets).id for octets in rig.side.agreements().values()}
    ours = [her_id for tenant in rig.world.tenants.values() for her_id in tenant.her_ids]
    assert found == {agreement_id(her_id, nav) for her_id in ours for nav in NAVS}
    assert rig.adapter.parts.agreements is not None
    assert rig.adapter.parts.agreements.problems() == {}


def test_an_agreement_is_valid_by_the_official_schema(rig: EbxmlRig) -> None:
    if not SCHEMA.is_file():
        pytest.skip("the official schema of CPA 2.0 is not here")
    schema = etree.XMLSchema(etree.parse(str(SCHEMA)))
    for octets in rig.side.agreements().values():
        assert schema.validate(etree.fromstring(octets)), schema.error_log


@pytest.mark.parametrize("nav", NAVS)
def test_an_agreement_holds_keys_address_and_plan_for_every_process(rig: EbxmlRig, nav: int) -> None:
    agreement = read_agreement(rig.side.agreements()[f"nav-{nav}-{place.SOLVANG_DOCTOR}.xml"])
    assert agreement.valid_at(rig.clock())
    assert not agreement.valid_at(rig.clock() + timedelta(days=701))
    for service, (sent, received) in PROCESSES.items():
        ways = [(place.SOLVANG_DOCTOR, nav, action) for action in sent]
        ways += [(nav, place.SOLVANG_DOCTOR, action) for action in received]
        for sender, receiver, action in ways:
            route = agreement.route(ids(sender), ids(receiver), service=service, action=action)
            assert route.signing_certificate
            assert route.encryption_certificate
            assert route.package is not None
            assert route.package.encrypted
            assert (route.receiver_channel.retries, route.receiver_channel.retry_interval_s) == (4, 12 * 3600)
            assert route.receiver_channel.by_mail == (nav == place.NAV_MAIL)


@pytest.mark.parametrize("nav", NAVS)
def test_a_message_goes_and_is_answered_under_the_offered_agreement(rig: EbxmlRig, nav: int) -> None:
    rig.world.script(nav, "judge", "agreement only")
    sent = rig.inquire(nav)
    rig.rounds(3)
    assert rig.state(sent) == ("confirmed", "accepted")
    sealed = next(event for event in rig.adapter.show(sent)["events"] if event["kind"] == "sealed")
    assert sealed["detail"]["cpa_id"] == agreement_id(place.SOLVANG_DOCTOR, nav)
    assert sealed["detail"]["source"] == "agreement"


@pytest.mark.parametrize("nav", NAVS)
def test_navs_question_comes_and_is_receipted_under_the_agreement(rig: EbxmlRig, nav: int) -> None:
    rig.world.script(nav, "judge", "ask")
    rig.inquire(nav)
    rig.rounds(2)
    [taken] = rig.adapter.take("ehr", tenant="solvang")
    rig.adapter.confirm(taken.token, "accept")
    rig.rounds(2)
    receipt = rig.side.entries(nav, "in", "payload")[1]
    assert (receipt.service, receipt.action) == ("ForesporselFraSaksbehandler", "Kvittering")
    assert {entry.note for entry in rig.side.entries(nav)} == {""}


def test_without_the_offered_agreement_a_strict_nav_answers_with_an_error(rig: EbxmlRig) -> None:
    for file in (Path(rig.settings.base) / "agreements").iterdir():
        file.unlink()
    rig.world.script(place.NAV_HTTP, "judge", "agreement only")
    sent = rig.inquire(place.NAV_HTTP)
    rig.rounds(1)
    assert rig.state(sent)[0] == "refused"
    assert [entry.note for entry in rig.side.entries(place.NAV_HTTP, "in")] == ["not agreed"]
