from __future__ import annotations

from collections.abc import Iterator

import pytest

from adapter.simulator import Simulation, start
from tests.simulator.caller import Caller


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    with start() as running:
        yield running


@pytest.fixture
def caller(simulation: Simulation) -> Caller:
    return Caller(simulation)
