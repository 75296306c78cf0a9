"""Real messages beside the checkout, when they are there. Tests that use them skip elsewhere."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"
CORPUS = SHARED / "corpus" / "content"
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the folder of real messages is not beside the checkout")


@cache
def expected() -> dict[str, dict[str, Any]]:
    """What is known of each file; empty without the corpus."""
    file = CORPUS / "expected.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


def one(name: str) -> Path:
    """The one corpus file whose path ends like that."""
    return next(path for path in sorted(CORPUS.rglob("*.xml")) if str(path).endswith(name))
