"""A clinic that posts to the real endpoint over a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapter.ebxml.pack import Attachment, pack_http
from adapter.web.receive import Receiver
from tests.journeys.clinic import CLINIC, Clinic, EbxmlRig, served
from tests.journeys.rig import letter
from tests.web.caller import Caller

SHORT = {"port": 0, "idle_timeout_s": 0.3, "total_timeout_s": 1.0}


class Site:
    """An adapter with its endpoint open, and a clinic that knows its address."""

    def __init__(self, rig: EbxmlRig) -> None:
        self.rig = rig
        self.woken: list[str] = []
        self.receiver = Receiver(rig.adapter)
        self.receiver.start(self.woken.append)
        self.call = Caller(self.receiver.port)

    @property
    def clinic(self) -> Clinic:
        return self.rig.clinic

    def note(self) -> tuple[bytes, list[tuple[str, str]]]:
        """Body and headers of a dialogue note from the clinic."""
        return self.packed(*self.clinic.note(letter(self.rig, sender=CLINIC)))

    def packed(self, envelope: bytes, *attached: Attachment) -> tuple[bytes, list[tuple[str, str]]]:
        new_id = self.clinic.new_id
        made = pack_http(envelope, attached, boundary=f"b-{new_id()}", content_id=f"{new_id()}@clinic")
        return made.body(), list(made.headers)

    def close(self) -> None:
        self.receiver.stop()
        self.rig.close()


@pytest.fixture
def open_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []
    with served() as (port, clinics):

        def opened(settings: dict[str, Any] | None = None, **receive: Any) -> Site:
            folder = tmp_path / f"site{len(made)}"
            folder.mkdir()
            more = {"receive": {**SHORT, **receive}, **(settings or {})}
            rig = type("RigHere", (EbxmlRig,), {"port": port})(folder, settings=more)
            clinics[:] = [rig.clinic]
            made.append(Site(rig))
            return made[-1]

        yield opened
        for site in made:
            site.close()


@pytest.fixture
def site(open_site: Callable[..., Site]) -> Site:
    return open_site()
