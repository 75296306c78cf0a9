"""The national XML formats: building and reading. Names load lazily, so that reading does not pay for building."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapter.documents.apprec import build_apprec
    from adapter.documents.attachments import attachment_bytes
    from adapter.documents.content import read_message, read_theme
    from adapter.documents.facts import read_apprec, read_facts
    from adapter.documents.msghead import build_document
    from adapter.documents.wrapper import Reception, is_wrapper, read_reception, unwrap
    from adapter.documents.xhtml import clean_xhtml

_WHERE = {
    "attachment_bytes": "attachments",
    "build_apprec": "apprec",
    "build_document": "msghead",
    "clean_xhtml": "xhtml",
    "is_wrapper": "wrapper",
    "read_apprec": "facts",
    "read_facts": "facts",
    "read_message": "content",
    "read_reception": "wrapper",
    "read_theme": "content",
    "Reception": "wrapper",
    "unwrap": "wrapper",
}
__all__ = [
    "Reception",
    "attachment_bytes",
    "build_apprec",
    "build_document",
    "clean_xhtml",
    "is_wrapper",
    "read_apprec",
    "read_facts",
    "read_message",
    "read_reception",
    "read_theme",
    "unwrap",
]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    return found
