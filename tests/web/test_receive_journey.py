"""An asynchronous partner over HTTP: it takes our POST with an empty 202 and posts its answers to us later."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adapter.ebxml.opening import open_http
from adapter.ebxml.words import EbError
from adapter.model.process import Process
from adapter.simulator import world as place
from tests.journeys.clinic import CLINIC, Got
from tests.journeys.rig import letter, referral
from tests.web.caller import Said
from tests.web.conftest import Site, packed, sites


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with sites(tmp_path_factory.mktemp("journey")) as opened:
        yield opened()


@pytest.fixture
def site(shared: Site) -> Site:
    """One for all tests here: each of them ends with its own message settled."""
    shared.clinic.got.clear()
    return shared


@pytest.fixture
def sent(site: Site) -> str:
    """A referral that the partner has taken and not yet acknowledged."""
    site.clinic.script = ["silent"] * 9
    message_id = site.rig.send(referral(CLINIC))
    site.rig.rounds(1)
    assert site.rig.state(message_id) == [("unknown", "awaited")]
    return message_id


def got(site: Site) -> Got:
    return site.clinic.got[-1]


def post(site: Site, envelope: bytes) -> Said:
    """A signal from the clinic to our endpoint."""
    return site.call.post(*packed(site.clinic, envelope))


def test_the_acknowledgment_that_is_posted_later_confirms_the_row(site: Site, sent: str) -> None:
    site.rig.advance(hours=3)
    said = post(site, site.clinic.receipt(got(site).words, got(site).opened))
    assert (said.status, said.body) == (204, b"")  # a signal is never acknowledged
    assert site.rig.state(sent) == [("confirmed", "awaited")]
    site.rig.advance(hours=72)
    site.rig.rounds(2)
    assert len(site.clinic.got) == 1  # nothing is sent again


def test_the_acknowledgment_that_is_posted_twice_changes_nothing_more(site: Site, sent: str) -> None:
    signal = site.clinic.receipt(got(site).words, got(site).opened)
    assert [post(site, signal).status for _ in range(2)] == [204, 204]
    assert site.rig.state(sent) == [("confirmed", "awaited")]
    assert site.rig.kinds(sent).count("confirmed") == 1


def test_the_lost_acknowledgment_of_a_resend_confirms_too(site: Site, sent: str) -> None:
    site.rig.advance(hours=12)
    site.rig.rounds(1)
    first, second = site.clinic.got
    assert (first.octets, first.words.message_id) == (second.octets, second.words.message_id)
    post(site, site.clinic.receipt(first.words, first.opened))
    assert site.rig.state(sent) == [("confirmed", "awaited")]


@pytest.mark.parametrize("flaw", ["forged", "unsigned", "other references", "other message"])
def test_p19_an_acknowledgment_that_is_no_proof_gets_no_word_and_changes_nothing(
    site: Site, sent: str, flaw: str
) -> None:
    said = post(site, site.clinic.receipt(got(site).words, got(site).opened, flaw))
    assert (said.status, said.body) == (204, b"")
    assert site.rig.state(sent) == [("unknown", "awaited")]
    assert post(site, site.clinic.receipt(got(site).words, got(site).opened)).status == 204
    assert site.rig.state(sent) == [("confirmed", "awaited")]


def test_p19_a_signed_message_error_that_is_posted_later_refuses_and_an_unsigned_one_does_not(
    site: Site, sent: str
) -> None:
    words = got(site).words
    report = site.clinic._report(words, EbError(code="SecurityFailure", severity="Error", text="synthetic"))
    assert post(site, site.clinic.sign(report, None)).status == 204
    assert site.rig.state(sent) == [("unknown", "awaited")]
    assert post(site, site.clinic.sign(report, site.clinic.signing)).status == 204
    assert site.rig.state(sent)[0][0] == "refused"
    assert site.rig.attention() != []


def test_a_warning_that_is_posted_later_is_a_receipt(site: Site, sent: str) -> None:
    words = got(site).words
    report = site.clinic._report(words, EbError(code="Inconsistent", severity="Warning", text="synthetic"))
    assert post(site, site.clinic.sign(report, site.clinic.signing)).status == 204
    assert site.rig.state(sent) == [("confirmed", "awaited")]


def test_without_an_acknowledgment_it_goes_six_times_and_then_a_person_is_told(site: Site, sent: str) -> None:
    for _ in range(7):
        site.rig.advance(hours=12)
        site.rig.rounds(1)
    assert site.rig.state(sent)[0][0] == "abandoned"
    assert len(site.clinic.got) == 6
    post(site, site.clinic.receipt(got(site).words, got(site).opened))  # better late than never
    assert site.rig.state(sent) == [("confirmed", "awaited")]


def test_the_apprec_is_posted_to_us_and_gets_our_acknowledgment_in_the_response(
    site: Site, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(site, site.clinic.receipt(got(site).words, got(site).opened))
    taken = got(site)
    monkeypatch.setattr(site.clinic, "post", lambda *parts: site.call.post(*packed(site.clinic, *parts)))
    said = site.clinic.answer(taken)
    assert said.status == 200
    words = open_http(list(said.headers.items()), said.body).envelope
    assert words.kind == "Acknowledgment"
    site.rig.rounds(1)
    assert site.rig.state(sent) == [("confirmed", "accepted")]


def test_a_note_to_an_address_that_is_not_ours_is_not_taken(site: Site) -> None:
    document = letter(site.rig, sender=CLINIC)
    process = Process(name="X", service="S", action="A", from_role="a", to_role="b")
    envelope = site.clinic.envelope(document, process, receiver=place.BEKKELIA_GP)
    before = site.rig.steps()
    said = site.call.post(*packed(site.clinic, *envelope))
    assert said.status in (200, 204, 500)
    assert b"Acknowledgment" not in said.body
    assert site.rig.steps() == before
