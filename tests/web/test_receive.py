"""The receiving endpoint: ebXML messages over a real socket get their one signal, stored before it leaves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from adapter.ebxml.opening import open_http
from adapter.ebxml.read import read
from adapter.ebxml.words import Envelope
from adapter.security.envelope_signature import verify_envelope
from tests.journeys.clinic import CLINIC
from tests.journeys.rig import letter
from tests.web.caller import Said
from tests.web.conftest import Site, packed


def signal(site: Site, said: Said) -> Envelope:
    """The words of a signal that our company key has signed."""
    opened = open_http(list(said.headers.items()), said.body)
    assert opened.root is not None
    return read(verify_envelope(opened.root, {}, pinned=site.rig.ours.certificate, signal=True).root)


def test_a_posted_note_gets_a_signed_acknowledgment_and_is_handed_over(site: Site) -> None:
    document = letter(site.rig, sender=CLINIC)
    said = site.call.post(*packed(site.clinic, *site.clinic.note(document)))
    assert (said.status, said.headers["content-type"]) == (200, "text/xml; charset=UTF-8")
    words = signal(site, said)
    assert words.receipt is not None
    assert words.kind == "Acknowledgment"
    assert site.rig.steps() == ["received"]
    assert site.woken == ["resume"]  # the business content does not wait for the next round
    site.rig.rounds(1)
    [taken] = site.rig.adapter.take("ehr")
    assert taken.document == document


def test_p03_a_duplicate_gets_the_stored_signal_and_is_taken_once(site: Site) -> None:
    body, headers = site.note()
    first, second = site.call.post(body, headers), site.call.post(body, headers)
    assert first.body == second.body
    assert site.rig.steps() == ["received"]


def test_p03_two_posts_of_one_message_at_the_same_moment_are_taken_once(site: Site) -> None:
    body, headers = site.note()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: site.call.post(body, headers), range(4)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert site.rig.steps() == ["received"]
