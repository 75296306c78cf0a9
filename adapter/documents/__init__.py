"""The national XML formats: building and reading. Names load lazily, so that reading does not pay for building."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapter.documents.attachments import attachment_bytes
    from adapter.documents.facts import read_apprec, read_facts
    from adapter.documents.wrapper import Reception, is_wrapper, read_reception, unwrap

_WHERE = {
    "attachment_bytes": "attachments",
    "is_wrapper": "wrapper",
    "read_apprec": "facts",
    "read_facts": "facts",
    "read_reception": "wrapper",
    "Reception": "wrapper",
    "unwrap": "wrapper",
}
__all__ = [
    "Reception",
    "attachment_bytes",
    "is_wrapper",
    "read_apprec",
    "read_facts",
    "read_reception",
    "unwrap",
]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
