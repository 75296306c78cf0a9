"""``adapter simulate``: a simulation as a process of its own, until a signal ends it."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from adapter.simulator.folder import write_folder
from adapter.simulator.simulation import LIVELY_PARTS, start


def serve_forever(
    *,
    port: int = 0,
    seed: int = 0,
    mode: str = "strict",
    directory: Path | str | None = None,
    deviations: Iterable[str] = (),
    faults: Mapping[str, Sequence[Sequence[object]]] | None = None,
    say: Callable[[str], object] = print,
    stop: threading.Event | None = None,
) -> None:
    """Run until SIGINT, SIGTERM or ``stop``; ``say`` gets one line of JSON with the addresses when all is ready.

    With ``directory`` a settings folder for ``adapter --config`` is written there and named in the line.
    """
    ended = stop or threading.Event()
    with start(
        seed=seed, mode=mode, deviations=deviations, faults=faults, port=port, parts=LIVELY_PARTS, ebxml=True
    ) as simulation:
        line = simulation.urls()
        if directory is not None:
            line["settings"] = str(write_folder(simulation, Path(directory)))
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: ended.set())
        say(json.dumps(line))
        while not ended.wait(1.0):
            pass
