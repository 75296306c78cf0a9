"""Real messages beside the project; tests that need them are skipped where they are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import adapter

FOLDER = Path(adapter.__file__).parents[1] / ".." / "shared" / "corpus" / "ebxml"
needs_corpus = pytest.mark.skipif(not FOLDER.is_dir(), reason="the corpus of real ebXML messages is not here")


def octets(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def expected() -> dict[str, dict[str, Any]]:
    if not FOLDER.is_dir():
        return {}
    loaded: dict[str, dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text("utf-8"))
    return loaded
