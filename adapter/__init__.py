"""The message adapter for Norwegian health care. Public names load lazily; see README, Embedding."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapter.assembly import Adapter, open_adapter
    from adapter.config import Settings, load_settings, read_settings
    from adapter.errors import AdapterError, Finding, RefusedError
    from adapter.model.message import Attachment, OutgoingMessage, ReceiverChoice, SignerClaim
    from adapter.model.party import Patient
    from adapter.model.referral import Referral
    from adapter.shapes import read

__version__ = "0.1.0"

_WHERE = {
    "Adapter": "assembly",
    "AdapterError": "errors",
    "Attachment": "model.message",
    "Finding": "errors",
    "OutgoingMessage": "model.message",
    "Patient": "model.party",
    "ReceiverChoice": "model.message",
    "Referral": "model.referral",
    "RefusedError": "errors",
    "Settings": "config",
    "SignerClaim": "model.message",
    "load_settings": "config",
    "open_adapter": "assembly",
    "read": "shapes",
    "read_settings": "config",
}
__all__ = [
    "Adapter",
    "AdapterError",
    "Attachment",
    "Finding",
    "OutgoingMessage",
    "Patient",
    "ReceiverChoice",
    "Referral",
    "RefusedError",
    "Settings",
    "SignerClaim",
    "load_settings",
    "open_adapter",
    "read",
    "read_settings",
]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
