"""Which addresses are called at all, and what loading the room costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from adapter.errors import SettingsError
from adapter.transport.urls import is_loopback, origin, read_base_url


def test_only_loopback_may_be_called_without_tls() -> None:
    assert read_base_url("http://localhost:80/a/", "x") == "http://localhost:80/a"
    assert read_base_url("http://[::1]:80", "x") == "http://[::1]:80"
    with pytest.raises(SettingsError):
        read_base_url("http://127.0.0.1.example.org", "x")
    assert [is_loopback(host) for host in ("127.8.9.1", "localhost.example.org", "10.0.0.1")] == [True, False, False]


def test_an_origin_has_its_port_filled_in() -> None:
    assert origin("https://A.org/x") == origin("https://a.org:443/y") == ("https", "a.org", 443)
    assert origin("http://a.org") == ("http", "a.org", 80)


def test_loading_the_room_loads_no_heavy_library() -> None:
    modules = ", ".join(f"adapter.transport.{name}" for name in ("edi20", "helseid", "register", "memory"))
    code = (
        f"import sys, {modules}\n"
        "print([name for name in ('requests', 'joserfc', 'pybase64', 'cryptography', 'lxml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
