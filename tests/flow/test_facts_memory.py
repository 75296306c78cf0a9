"""Confirming needs the facts of a message: kept since it was judged, or read again."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from adapter import documents, xmlio
from adapter.flow.parts import FactsMemory
from adapter.model.document import AttachmentFacts, Facts, Family
from adapter.simulator import world as place
from adapter.store.tables import payload
from tests.journeys.rig import Rig, letter


def _facts(kind: str) -> Facts:
    return Facts(family=Family.MSGHEAD, kind=kind, namespace="urn:x")


def test_the_memory_is_bounded_forgets_the_oldest_and_gives_each_once() -> None:
    memory = FactsMemory(2)
    for kind in ("a", "b", "a", "c"):
        memory.keep(kind, _facts(kind))
    assert [memory.take(kind) for kind in ("b", "a", "c", "a")] == [None, _facts("a"), _facts("c"), None]


def test_the_memory_keeps_no_part_of_a_document() -> None:
    memory = FactsMemory()
    root = xmlio.parse(b"<m/>")
    attachment = AttachmentFacts(mime_type="application/pdf", description=None, path="/m", element=root)
    memory.keep("x", Facts(family=Family.OTHER, kind="m", namespace="", attachments=(attachment,), business=root))
    kept = memory.take("x")
    assert kept is not None
    assert (kept.business, kept.attachments) == (None, ())


@pytest.mark.parametrize("restarted", [False, True])
def test_the_receipt_is_the_same_whether_the_message_is_read_again_or_not(tmp_path: Path, restarted: bool) -> None:
    rig = Rig(tmp_path)
    try:
        signed = letter(rig, "referral-frisklivssentral", sign_with=rig.world.keys.companies["fjellglott"])
        rig.adapter.receive(signed, receiver=place.SOLVANG_GP, road="edi20", remote_id="r")
        (taken,) = rig.adapter.take("us")
        if restarted:
            rig.adapter.close()
            rig.adapter = rig.open()
        else:
            with rig.adapter.parts.store.transaction() as db:  # not needed any more
                db.execute(sa.update(payload).values(content=b"gone"))
        assert rig.adapter.confirm(taken.token) == "handed over"
        (receipt,) = (row for row in rig.adapter.list() if row["direction"] == "out")
        sent = documents.read_facts(xmlio.parse(rig.adapter.export(receipt["message_id"], reason="test")))
        assert sent.original is not None
        assert (sent.original.msg_id, sent.original.status) == (taken.msg_id, "1")
    finally:
        rig.close()
