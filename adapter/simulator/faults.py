"""Faults by name and seed. The n-th call of a route meets the same faults in every run with the same seed and plan.

A plan maps a route (``"POST /Messages"``, ``"GET /Messages/{id}/status"``, ``"*"`` for all) to a list of
``(name, when)`` or ``(name, when, seconds)``: ``when`` is a probability (float), the number of the
call (int, from 1) or several numbers (list).
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapter.errors import SettingsError

FAULTS: dict[str, str] = {
    "latency": "the answer comes late; seconds = how late (default 0.2)",
    "401": "the token is refused although it is good",
    "403": "the caller is refused although it owns the HER-id",
    "429": "too many requests, with Retry-After; seconds = its value (default 1)",
    "500": "an unexpected server error; nothing was stored",
    "503": "the service is unavailable; nothing was stored",
    "423": "the HER-id is locked by another client; only version 3 has it, so it is never raised here",
    "cut_before": "the connection is closed after the request was read and before anything was done",
    "cut_after_commit": "the connection is closed after the request was carried out and before the answer",
    "truncated_json": "the request is carried out, and the answer's body stops in its middle",
    "pascal_case_errors": "the keys of error bodies begin with a capital",
    "unknown_fields": "every object of the answer has a member that nobody has heard of",
    "unknown_enum": "a transport state of the answer has a value that nobody has heard of",
    "offset_dates": "dates of the answer have seven decimals and an offset",
    "redirect": "307 to another address on this host",
}
RAISED_ON_V2 = frozenset(FAULTS) - {"423"}
SHAPES = frozenset({"pascal_case_errors", "unknown_fields", "unknown_enum", "offset_dates"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one call; ``seconds`` is its argument (latency, Retry-After)."""

    name: str
    seconds: float


class Faults:
    """Draws the faults of each call. ``seen`` counts what was drawn, by (route, name)."""

    def __init__(self, *, seed: int = 0, plan: Mapping[str, Sequence[Sequence[object]]] | None = None) -> None:
        self.seed = seed
        self.seen: Counter[tuple[str, str]] = Counter()
        self._calls: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._plan: dict[str, list[tuple[str, object, float]]] = {}
        self.set_plan(plan or {})

    def set_plan(self, plan: Mapping[str, Sequence[Sequence[object]]]) -> None:
        """Replace the plan and count calls from 1 again; raises SettingsError for a fault without a name in FAULTS."""
        checked = {_route(route): [_line(route, line) for line in lines] for route, lines in plan.items()}
        with self._lock:
            self._plan = checked
            self._calls.clear()

    def draw(self, route: str) -> list[Fault]:
        """The faults of this call of ``route``."""
        if not self._plan:
            return []
        key = _route(route)
        with self._lock:
            lines = [*self._plan.get(key, ()), *self._plan.get("*", ())]
            if not lines:
                return []
            self._calls[key] += 1
            number = self._calls[key]
            drawn = [
                Fault(name, seconds)
                for i, (name, when, seconds) in enumerate(lines)
                if name in RAISED_ON_V2 and _due(when, number, f"{self.seed}:{key}:{number}:{i}")
            ]
            self.seen.update((key, fault.name) for fault in drawn)
        return drawn


def _route(route: str) -> str:
    method, _, path = route.partition(" ")
    return f"{method.upper()} {path.lower()}" if path else route


def _due(when: object, number: int, seed: str) -> bool:
    if isinstance(when, float):
        return random.Random(seed).random() < when  # noqa: S311 - repeatable by design
    if isinstance(when, int):
        return number == when
    return isinstance(when, list | tuple) and number in when


_SECONDS = {"latency": 0.2, "429": 1.0}


def _line(route: str, line: Sequence[object]) -> tuple[str, object, float]:
    name = str(line[0]) if line else ""
    if name not in FAULTS:
        raise SettingsError("there is no such fault", where=f"faults {route}", cure=f"one of: {', '.join(FAULTS)}")
    when = line[1] if len(line) > 1 else 1.0
    if not isinstance(when, int | float | list | tuple) or isinstance(when, bool):
        raise SettingsError("a fault needs a probability or the number of a call", where=f"faults {route}")
    seconds = line[2] if len(line) > 2 else _SECONDS.get(name, 0.0)
    return name, when, float(str(seconds))
