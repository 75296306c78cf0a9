"""The partners on ebXML by the machine's clock and over the network: all by itself, as a newcomer runs it."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from adapter import shapes
from adapter.assembly import Adapter, open_adapter
from adapter.config import load_settings
from adapter.model.message import OutgoingMessage
from adapter.simulator import LIVELY_PARTS, Simulation, start, write_folder
from adapter.simulator import world as place
from adapter.web.receive import Receiver
from tests.simulator.ebxml_rig import BOTH, SAMPLES

WITHIN_ROUNDS = 200


@pytest.fixture(scope="module")
def world() -> Iterator[Simulation]:
    with start(parts=LIVELY_PARTS, ebxml=True) as running:
        yield running


@pytest.fixture(scope="module")
def adapter(world: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    """An adapter on the written folder, with its endpoint listening where the partners post."""
    settings = load_settings(write_folder(world, tmp_path_factory.mktemp("live")))
    with open_adapter(settings) as opened:
        receiver = Receiver(opened)
        receiver.start()
        yield opened
        receiver.stop()


def refer(adapter: Adapter, her_id: int) -> str:
    plain = json.loads((SAMPLES / "json" / "referral-frisklivssentral.json").read_text("utf-8"))
    return adapter.submit(shapes.read(OutgoingMessage, {**plain, "receiver": {"her_id": her_id}}))


def until(adapter: Adapter, holds: Callable[[], bool]) -> bool:
    """Rounds of the worker until it holds."""
    pause = threading.Event()
    for _ in range(WITHIN_ROUNDS):
        adapter.run_once()
        if holds():
            return True
        pause.wait(0.05)
    return False


def state(adapter: Adapter, message_id: str) -> tuple[str, str]:
    (row,) = adapter.show(message_id)["deliveries"]
    return row["leg"], row["answer"]


@pytest.mark.parametrize("clinic", BOTH)
def test_a_referral_is_acknowledged_accepted_and_answered_without_help(
    world: Simulation, adapter: Adapter, clinic: int
) -> None:
    sent = refer(adapter, clinic)
    assert until(adapter, lambda: state(adapter, sent) == ("confirmed", "accepted"))
    assert until(adapter, lambda: len(adapter.show(sent)["conversation"]) == 1)
    assert until(adapter, lambda: len(world.ebxml.entries(clinic, "in", "Acknowledgment")) == 2)


def test_an_asynchronous_partner_answers_202_and_posts_its_acknowledgment_to_our_endpoint(
    world: Simulation, adapter: Adapter
) -> None:
    world.script(place.TINDVIK_FRISKLIV, "ack late 0.2", "silent")
    sent = refer(adapter, place.TINDVIK_FRISKLIV)
    assert until(adapter, lambda: state(adapter, sent)[0] == "confirmed")
    world.script(place.TINDVIK_FRISKLIV, *LIVELY_PARTS[place.TINDVIK_FRISKLIV])


@pytest.mark.parametrize("clinic", BOTH)
def test_a_partner_answers_a_ping_and_says_what_became_of_a_message(adapter: Adapter, clinic: int) -> None:
    assert adapter.ping(clinic, sender=place.SOLVANG_GP, wait_s=20).result == "answered"
    sent = refer(adapter, clinic)
    assert until(adapter, lambda: state(adapter, sent)[0] == "confirmed")
    assert adapter.ask_status(sent, partner=clinic, wait_s=20).status == "Received"


def test_another_process_reads_the_ledger_and_lets_partners_send_and_ping(world: Simulation, adapter: Adapter) -> None:
    def call(name: str, plain: Any = None) -> Any:
        body = json.dumps(plain).encode() if plain is not None else None
        with urllib.request.urlopen(f"{world.urls()['admin_url']}/{name}", body, timeout=10) as answer:
            return json.load(answer)

    asked = call("ebxml/ping", {"sender": place.NAV_HTTP, "receiver": place.SOLVANG_GP})["messageId"]
    assert until(adapter, lambda: any(entry["about"] == asked for entry in call("ebxml")))
    assert set(call("names")["ebxmlBehaviours"]) > {"ack lost", "error late"}
