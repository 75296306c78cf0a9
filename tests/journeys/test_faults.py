"""Faults by seed, both ways: all ends accepted or receipted exactly once, or on the attention list with a reason.

Each seed draws its own faults for every route of the message server; the same seed draws the same ones again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import pytest

from adapter.simulator import world as place
from tests.journeys.rig import Rig, letter, load

MakeRig = Callable[..., Rig]
US, THEM = place.SOLVANG_GP, place.BEKKELIA_GP
EACH_WAY = 60
SEED = 20261121

Plan = Mapping[str, Sequence[Sequence[object]]]
HARMLESS: list[tuple[object, ...]] = [
    ("unknown_fields", 0.3),
    ("unknown_enum", 0.1),
    ("pascal_case_errors", 0.5),
    ("offset_dates", 0.5),
]
PLANS: dict[str, Plan] = {
    "refused for a while": {"*": [*HARMLESS, ("429", 0.1, 5), ("503", 0.1), ("500", 0.05)]},
    "answers lost": {"*": [*HARMLESS, ("cut_before", 0.05), ("truncated_json", 0.08)]},
    "carried out and cut": {"*": [*HARMLESS], "POST /Messages": [("cut_after_commit", 0.2)]},
    "tokens doubted": {"*": [*HARMLESS, ("401", 0.08), ("latency", 0.05, 0.02)]},
    "all at once": {
        "*": [
            *HARMLESS,
            ("401", 0.03),
            ("403", 0.01),
            ("429", 0.05, 5),
            ("500", 0.05),
            ("503", 0.05),
            ("cut_before", 0.03),
            ("cut_after_commit", 0.03),
            ("truncated_json", 0.03),
            ("redirect", 0.01),
            ("latency", 0.05, 0.01),
        ]
    },
}


def ids(prefix: str) -> list[str]:
    return [f"{prefix * 8}-0000-4000-8000-{number:012x}" for number in range(EACH_WAY)]


def work_through(rig: Rig) -> list[str]:
    """Sixty messages each way under the rig's faults, then peace; the MsgIds of ours."""
    plain = {**load("dialogue-notat"), "sender": US, "receiver": {"her_id": THEM}}
    sent = [rig.send(plain) for _ in range(EACH_WAY)]
    for msg_id in ids("a"):
        rig.world.inject(letter(rig, msg_id=msg_id), US, sender=THEM, msg_id=msg_id)
    for number in range(40):
        confirm_all(rig)
        rig.rounds(1, seconds=61 if number < 30 else 400)
    rig.world.set_faults({})
    for _ in range(12):  # what waits in the end is longer than an hour: the longest back-off
        confirm_all(rig)
        rig.rounds(1, seconds=4000)
    return [rig.adapter.show(one)["message"]["msg_id"] for one in sent]


def confirm_all(rig: Rig) -> None:
    for taken in rig.adapter.take("journal", limit=100):
        rig.adapter.confirm(taken.token, "accept")


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_p2_p3_p4_nothing_is_lost_or_doubled_whatever_the_server_does(make_rig: MakeRig, plan: str) -> None:
    rig = make_rig(seed=SEED, faults=PLANS[plan])
    rig.world.script(THEM, "apprec ok", "refuse repeats")
    ours = work_through(rig)
    rows = rig.adapter.list(limit=10_000)
    # Out: each is accepted, or a person is asked to look; one MsgId, one set of bytes on the wire.
    out = [row for row in rows if row["direction"] == "out" and row["msg_type"] != "APPREC"]
    left = [row for row in out if row["answer"] != "accepted"]
    assert (len(out), len(left) <= 5) == (EACH_WAY, True)
    assert [row["msg_id"] for row in left if row["attention"] is None] == []
    wire = Counter(msg_id for msg_id, _ in {(entry.msg_id, entry.digest) for entry in rig.world.ledger})
    assert [row["msg_id"] for row in out if wire[row["msg_id"]] != 1 and row not in left] == []
    assert max(wire[msg_id] for msg_id in ours) == 1
    # In: each was taken once and answered once.
    received = [row for row in rows if row["direction"] == "in" and row["msg_type"] == "DIALOG_NOTAT"]
    assert sorted(row["msg_id"] for row in received) == ids("a")
    receipts = Counter(entry.original_msg_id for entry in rig.world.receipts() if entry.acknowledger == US)
    answered = {row["msg_id"] for row in received if row["step"] == "receipted"}
    assert answered <= set(receipts)
    assert set(receipts.values()) <= {1}
    open_ = {row["msg_id"] for row in received} - answered
    assert len(open_) <= len(rig.attention()) <= 10
    kinds = Counter(event["kind"] for event in rig.adapter.events(limit=1_000_000))
    assert kinds["handed over"] == EACH_WAY
    # The faults did happen.
    assert rig.world.faults.seen.total() > 20


def test_the_same_seed_meets_the_same_faults(make_rig: MakeRig) -> None:
    seen = []
    for _ in range(2):
        rig = make_rig(seed=7, faults={"*": [("500", 0.2), ("unknown_fields", 0.5)]})
        rig.send({**load("dialogue-notat"), "sender": US, "receiver": {"her_id": THEM}})
        rig.rounds(5)
        seen.append(dict(rig.world.faults.seen))
    assert seen[0] == seen[1]
    assert seen[0]


def test_new_enum_values_and_fields_change_nothing_and_are_noted(make_rig: MakeRig) -> None:
    rig = make_rig(faults={"*": [("unknown_fields", 1.0), ("offset_dates", 1.0)], STATUS: [("unknown_enum", [1, 2])]})
    sent = rig.send({**load("dialogue-notat"), "sender": US, "receiver": {"her_id": THEM}})
    rig.world.inject(letter(rig), US)
    rig.rounds(5)
    assert rig.state(sent) == [("confirmed", "accepted")]
    assert "accepted" in rig.steps()
    assert (rig.attention(), rig.alarms) == ([], [])


STATUS = "GET /Messages/{id}/status"
