"""A real mail server to send to; that with mailboxes is started once for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.transport.mail_servers import Sink, make_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def sink(certificate: Path) -> Iterator[Sink]:
    pytest.importorskip("aiosmtpd", reason="aiosmtpd is not installed (requirements-dev.txt)")
    with Sink(certificate) as running:
        yield running
