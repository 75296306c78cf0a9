"""A worker on the mail road dies after its first commit, its second, and so on: no step is one where that does harm."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.journeys.pair import ACK, APPREC, Death, Pair, Side
from tests.journeys.rig import load
from tests.transport.mail_servers import Dovecot, Sink


@pytest.mark.slow
@pytest.mark.parametrize("who", [0, 1], ids=["sender", "receiver"])
def test_a_worker_that_dies_after_any_one_of_its_commits_loses_and_doubles_nothing(
    tmp_path: Path, dovecot: Dovecot, sink: Sink, who: int
) -> None:
    pair = Pair(tmp_path, dovecot, sink)
    sent: list[str] = []
    while died_at(pair, pair.sides[who], len(sent) + 1, sent):
        pass
    assert len(sent) > 15  # each step of the way was somebody's last one
    ids = [pair.solvang.msg_id(one) for one in sent]
    assert pair.granli.handed_over() == ids
    assert pair.granli.events()["handed over"] == len(ids)
    assert pair.granli.steps() == {"receipted": len(ids)}
    assert pair.granli.receipts() == ["confirmed"] * len(ids)
    assert pair.solvang.steps() == {"matched": len(ids)}
    check_envelopes(pair, len(ids))
    pair.close()


def died_at(pair: Pair, side: Side, commit: int, sent: list[str]) -> bool:
    """Send a note and let ``side`` die at that commit; False when all was done before."""
    died = False
    note = {**load("dialogue-notat"), "body": {**load("dialogue-notat")["body"], "text": f"nr. {commit}"}}
    sent.append(pair.solvang.send(note, pair.granli))
    side.dies_at(commit)
    for _ in range(20):
        try:
            pair.rounds(1, seconds=200, each=pair.granli.consume)
        except Death:
            died = True
            side.open()
            pair.advance(seconds=200)
        if pair.solvang.state(sent[-1]) == ("confirmed", "accepted") and pair.granli.receipts()[:1] == ["confirmed"]:
            break
    else:
        raise AssertionError(f"not done after the death at commit {commit}")
    side.adapter.parts.store.after_commit = None
    return died


def check_envelopes(pair: Pair, number: int) -> None:
    """Whatever went over the wire twice was the same both times."""
    distinct: dict[str, set[bytes]] = {}
    for one in pair.network.letters:
        about = one.words.receipt.ref_to_message_id if one.words.receipt is not None else one.words.message_id
        distinct.setdefault(f"{one.kind} {about}", set()).add(one.octets)
    assert {len(found) for found in distinct.values()} == {1}
    assert Counter(name.split(" ")[0] for name in distinct) == {"DIALOG_NOTAT": number, APPREC: number, ACK: 2 * number}
