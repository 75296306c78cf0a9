"""Which addresses are called at all, and what loading the room costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from adapter.config import Environment
from adapter.errors import SettingsError
from adapter.transport.urls import is_loopback, origin, read_base_url, refuse_mixed_host


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("https://api.hn-tjener.prod.melding.nhn.no", Environment.TEST),
        ("https://helseid-sts.nhn.no", Environment.TEST),
        ("https://helseid-sts.test.nhn.no", Environment.PRODUCTION),
        ("https://api-test.nhn.no/x", Environment.PRODUCTION),
    ],
)
def test_p22_a_national_host_of_the_other_environment_is_refused(url: str, environment: Environment) -> None:
    with pytest.raises(SettingsError) as caught:
        refuse_mixed_host(url, environment, "edi20.base_url")
    assert (caught.value.code, caught.value.where) == ("SETTINGS.MIX", "edi20.base_url")


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("https://api.hn-tjener.prod.melding.nhn.no", Environment.PRODUCTION),
        ("https://helseid-sts.test.nhn.no", Environment.TEST),
        ("http://127.0.0.1:8080", Environment.PRODUCTION),
        ("https://gateway.example.org", Environment.TEST),
    ],
)
def test_p22_hosts_of_the_right_environment_and_other_hosts_pass(url: str, environment: Environment) -> None:
    refuse_mixed_host(url, environment, "x")


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
