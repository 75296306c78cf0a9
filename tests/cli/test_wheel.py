"""A wheel works outside the checkout: schemas, samples and settings example travel inside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel, far from the checkout."""
    pytest.importorskip("hatchling", reason="hatchling is not installed here")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=REPO, check=True, capture_output=True, timeout=120)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "adapter", *args]
    return subprocess.run(
        command, cwd=installed.parent, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_check_finds_its_schemas_inside_the_wheel(installed: Path) -> None:
    sample = installed / "adapter" / "_share" / "samples" / "good" / "inbound-referral.xml"
    done = run(installed, "check", "--json", "--at", "2026-11-21T10:00:00", str(sample))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema_valid"] is True


def test_replay_and_the_store_work_inside_the_wheel(installed: Path) -> None:
    folder = installed / "adapter" / "_share" / "samples" / "good"
    done = run(installed, "--level", "error", "replay", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(list(folder.glob("*.xml")))


def test_the_settings_example_travels_along(installed: Path) -> None:
    assert (installed / "adapter" / "_share" / "config" / "adapter.toml").is_file()


def test_the_demo_finds_its_samples_inside_the_wheel(installed: Path) -> None:
    code = "from adapter.cli.demo_world import samples; print(samples())"
    env = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=installed.parent, env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == str(installed / "adapter" / "_share" / "samples")
