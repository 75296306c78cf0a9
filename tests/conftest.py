"""What holds for all tests: files lie in memory where there is room for them, and keys are opened once."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.keys_once import open_keys_once
from tests.transport.mail_servers import Dovecot, dovecot_is_missing

MEMORY = Path("/dev/shm")
ROOM_BYTES = 2 << 30

# Every commit waits for the disk; nothing here pulls the plug of the machine, which is all that a disk would be for.
if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES:
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

open_keys_once()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("cov_source", None):
        for item in items:
            if item.get_closest_marker("cost"):
                item.add_marker(pytest.mark.skip(reason="coverage costs more than what is measured here"))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """The collected tests stay; without this, each full garbage collection walks them for half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Dovecot]:
    """IMAP and POP3; every test has users of its own."""
    missing = dovecot_is_missing()
    if missing is not None:
        pytest.skip(missing)
    with Dovecot() as running:
        yield running
