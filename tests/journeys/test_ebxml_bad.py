"""Every bad message of the tables gets its one answer, says nothing personal, and leaves the state that it should."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from adapter.ebxml.opening import open_http
from adapter.ebxml.read import read
from adapter.ebxml.rulebook import RULES
from adapter.security.envelope_signature import verify_envelope
from tests.journeys import bad_envelopes
from tests.journeys.bad_envelopes import Bad
from tests.journeys.clinic import CLINIC, EbxmlRig, beside
from tests.journeys.rig import letter


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EbxmlRig]:
    with beside(tmp_path_factory.mktemp("bad"), EbxmlRig) as made:
        yield made


def told(rig: EbxmlRig, reply: Any) -> str:
    """The answer in the tables' words. A report is signed by our company key and speaks in our rulebook's words."""
    if reply.kind != "MessageError":
        return str(reply.kind)
    opened = open_http(reply.headers, reply.body)
    assert opened.root is not None
    words = read(verify_envelope(opened.root, {}, pinned=rig.ours.certificate, signal=True).root)
    assert words.report is not None
    texts = {rule.text: rule.id for rule in RULES.values()}
    lines = [f"{one.code} {one.severity} {texts.get(one.text or '')} {one.location}" for one in words.report.errors]
    return "; ".join(lines)


CASES = [*bad_envelopes.WRITTEN, *bad_envelopes.CHANGED, *bad_envelopes.WRAPPED, *bad_envelopes.SEALED]


def test_every_row_of_the_tables_names_its_source_and_has_a_name_of_its_own() -> None:
    assert all(case.source for case in CASES)
    assert len({case.name for case in CASES}) == len(CASES) > 130


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_a_bad_message_gets_its_one_answer(rig: EbxmlRig, case: Bad) -> None:
    made = rig.clinic.note(letter(rig, sender=CLINIC))
    before = len(rig.adapter.alarms())
    reply = case.post(rig.clinic, made)
    answer = told(rig, reply).replace(made[1].content_id, "CID")
    assert answer == case.answer
    shown = rig.adapter.show(reply.message_id)
    assert [one["step"] for one in shown["deliveries"]] == (["received"] if case.taken else [])
    kept = ["document", "envelope", "signal"] if case.taken else ["envelope", "signal"]
    assert [one["role"] for one in shown["payloads"]] == kept
    first, last, *more = [one["kind"] for one in shown["events"]]
    assert (first, last) == ("envelope received", "received" if case.taken else "envelope answered")
    warned = "accepted with warnings" if " Warning " in case.answer else "accepted with findings"
    assert set(more) <= ({warned} if case.taken else set())
    assert len(rig.adapter.alarms()) == before
    assert reply.status == (500 if reply.kind == "SoapFault" else 200)
    if reply.kind == "SoapFault":
        assert b"the message cannot be read as ebXML</faultstring>" in reply.body
