"""A clinic that posts to the real endpoint over a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from adapter.ebxml.pack import Attachment, pack_http
from adapter.web.receive import Receiver
from tests.journeys.clinic import CLINIC, Clinic, EbxmlRig, served
from tests.journeys.rig import letter
from tests.web.caller import Caller

SHORT = {"port": 0, "idle_timeout_s": 0.3, "total_timeout_s": 1.0}


def packed(clinic: Clinic, envelope: bytes, *attached: Attachment) -> tuple[bytes, list[tuple[str, str]]]:
    """Body and headers of a request."""
    made = pack_http(envelope, attached, boundary=f"b-{clinic.new_id()}", content_id=f"{clinic.new_id()}@clinic")
    return made.body(), list(made.headers)


class Site:
    """An adapter with its endpoint open, and a clinic that knows its address."""

    def __init__(self, rig: EbxmlRig) -> None:
        self.rig = rig
        self.woken: list[str] = []
        self.kept_before = 0
        self.receiver = Receiver(rig.adapter)
        self.receiver.start(self.woken.append)
        self.call = Caller(self.receiver.port)

    @property
    def clinic(self) -> Clinic:
        return self.rig.clinic

    def note(self) -> tuple[bytes, list[tuple[str, str]]]:
        """Body and headers of a dialogue note from the clinic."""
        return packed(self.clinic, *self.clinic.note(letter(self.rig, sender=CLINIC)))

    def close(self) -> None:
        self.receiver.stop()
        self.rig.close()


OpenSite = Callable[..., Site]


@contextmanager
def sites(folder: Path) -> Iterator[OpenSite]:
    """A maker of sites, all of them closed at the end. Keywords are settings of the endpoint."""
    made: list[Site] = []
    with served() as (port, clinics):

        def opened(settings: dict[str, Any] | None = None, **receive: Any) -> Site:
            here = folder / f"site{len(made)}"
            here.mkdir()
            more = {"receive": {**SHORT, **receive}, **(settings or {})}
            rig = type("RigHere", (EbxmlRig,), {"port": port})(here, settings=more)
            clinics[:] = [rig.clinic]
            made.append(Site(rig))
            return made[-1]

        try:
            yield opened
        finally:
            for site in made:
                site.close()


@pytest.fixture
def open_site(tmp_path: Path) -> Iterator[OpenSite]:
    with sites(tmp_path) as opened:
        yield opened


@pytest.fixture
def site(open_site: OpenSite) -> Site:
    return open_site()
