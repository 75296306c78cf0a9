"""A PostgreSQL server of the tests' own on loopback, where the binaries and the driver are present."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def why_not() -> str | None:
    """The reason why no server can be started here; None when one can."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed"
    if _binaries() is None:
        return "there is no PostgreSQL server here"
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        return "the server does not run as root, and there is no runuser"
    return None


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


def _as_postgres(*command: str | Path) -> None:
    words = [str(word) for word in command]
    if os.geteuid() == 0:
        words = ["runuser", "-u", "postgres", "--", *words]
    subprocess.run(words, check=True, capture_output=True, cwd="/", timeout=60)


@contextmanager
def server() -> Iterator[str]:
    """The URL of an empty database; the server and its files are gone afterwards."""
    binaries = _binaries()
    assert binaries is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = Path(tempfile.mkdtemp(prefix="adapter-pg-", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(home, "postgres")
    home.chmod(0o700)
    folder = home / "db"
    try:
        _as_postgres(binaries / "initdb", "-D", folder, "-U", "adapter", "-A", "trust", "--no-sync", "-E", "UTF8")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {home} -c fsync=off -c max_connections=40"
        _as_postgres(binaries / "pg_ctl", "-D", folder, "-l", home / "log", "-o", options, "-w", "start")
        try:
            yield f"postgresql+psycopg://adapter@127.0.0.1:{port}/postgres"
        finally:
            _as_postgres(binaries / "pg_ctl", "-D", folder, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)
