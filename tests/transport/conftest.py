"""Real mail servers, started once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.transport.mail_servers import Dovecot, Sink, dovecot_is_missing, make_certificate


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Dovecot]:
    missing = dovecot_is_missing()
    if missing is not None:
        pytest.skip(missing)
    with Dovecot() as running:
        yield running


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def sink(certificate: Path) -> Iterator[Sink]:
    pytest.importorskip("aiosmtpd", reason="aiosmtpd is not installed (requirements-dev.txt)")
    with Sink(certificate) as running:
        yield running
