from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter.simulator import Simulation, start
from tests.simulator.caller import Caller
from tests.simulator.ebxml_rig import EbxmlRig


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    with start() as running:
        yield running


@pytest.fixture
def caller(simulation: Simulation) -> Caller:
    return Caller(simulation)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[EbxmlRig]:
    """An adapter beside the partners on ebXML."""
    made = EbxmlRig(tmp_path)
    yield made
    made.close()
