"""Fixtures of the journey tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.clinic import Clinic, EbxmlRig
from tests.journeys.mailing import MailRig, Make
from tests.journeys.rig import Rig
from tests.transport.mail_servers import Dovecot, Sink


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """A maker of rigs, each with a folder of its own; all are closed at the end."""
    made: list[Rig] = []

    def make(**settings: Any) -> Rig:
        folder = tmp_path / f"rig{len(made)}"
        folder.mkdir()
        made.append(Rig(folder, **settings))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """One adapter (Solvang legekontor) beside a faithful simulator."""
    return make_rig()


@pytest.fixture
def clinic(rig: EbxmlRig) -> Clinic:
    """The partner of the module's own ``rig``, on the ebXML road."""
    return rig.clinic


@pytest.fixture
def sink(dovecot: Dovecot) -> Iterator[Sink]:
    pytest.importorskip("aiosmtpd", reason="aiosmtpd is not installed (requirements-dev.txt)")
    with Sink(dovecot.certificate) as running:
        yield running


@pytest.fixture
def make_mail(tmp_path: Path, dovecot: Dovecot, sink: Sink) -> Iterator[Make]:
    """A maker of rigs by mail; all are closed at the end."""
    made: list[MailRig] = []

    def make(
        kind: str = "imap", tenants: Sequence[str] = ("solvang",), own: Sequence[str] = (), **more: Any
    ) -> MailRig:
        folder = tmp_path / f"mail{len(made)}"
        folder.mkdir()
        named = {"dovecot": dovecot, "sink": sink, "kind": kind, "own": own, "more": more}
        made.append(type("RigHere", (MailRig,), named)(folder, tenants=tenants))
        sink.on_mail = made[-1].serve
        return made[-1]

    yield make
    sink.on_mail = None
    for rig in made:
        rig.close()
