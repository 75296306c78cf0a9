"""What the demo starts from: a fresh folder with keys, settings and address book, all made at run time, and samples."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapter.assembly import Adapter
    from adapter.model.message import OutgoingMessage
    from adapter.simulator import Simulation, VirtualClock

START = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)  # half an hour after the samples were written
MARK = ".made-by-adapter-demo"


def fresh_folder(folder: Path) -> None:
    """An empty folder for this run. Only a folder that an earlier demo has made is emptied."""
    from adapter.errors import SettingsError

    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).is_file():
            cure = "name another folder with --data"
            raise SettingsError("the folder holds something that no demo has made", where=str(folder), cure=cure)
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / MARK).touch()


def open_demo(folder: Path, simulation: Simulation, clock: VirtualClock) -> Adapter:
    """The adapter on the demo's folder and clock."""
    from adapter.assembly import open_adapter
    from adapter.config import load_settings
    from adapter.simulator import write_folder

    return open_adapter(load_settings(write_folder(simulation, folder)), now=clock, chance=lambda: 0.5)


def samples() -> Path:
    """The folder of sample messages: of the checkout, or inside the wheel."""
    from adapter.errors import SettingsError

    package = Path(__file__).parents[1]
    for folder in (package.parent / "samples", package / "_share" / "samples"):
        if (folder / "good").is_dir():
            return folder
    raise SettingsError("the sample messages are missing", where=str(package), cure="install the package again")


def read_input(name: str) -> OutgoingMessage:
    """A message of samples/json."""
    from adapter.model.message import OutgoingMessage
    from adapter.shapes import read

    return read(OutgoingMessage, json.loads((samples() / "json" / f"{name}.json").read_text("utf-8")))
