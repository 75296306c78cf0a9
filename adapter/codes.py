"""Code systems as data: number, OID, title and display names.

The numbers and Norwegian display names are those of the national lists as of October 2018; volven.no is the authority.
An unknown code is never a reason to reject a received message (rule V13).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

OID_PREFIX = "2.16.578.1.12.4.1.1."
# Large clinical systems that we name but do not carry.
EXTERNAL = {"7110": "ICD-10", "7170": "ICPC-2", "7171": "ICPC-2-B", "7180": "ATC", "7270": "NCRP", "7280": "NLK"}


def oid(system: str | int) -> str:
    """The OID of a list, e.g. ``oid(8116)``."""
    return f"{OID_PREFIX}{system}"


def system_number(oid_text: str | None) -> str | None:
    """The list's number from its OID, or None when it is not a national list."""
    if oid_text and oid_text.startswith(OID_PREFIX):
        return oid_text.removeprefix(OID_PREFIX)
    return None


@lru_cache(maxsize=1)
def _systems() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((files("adapter") / "data" / "codes.json").read_text("utf-8"))
    return loaded


def known_system(system: str | int) -> bool:
    """True when the codes of this list are carried here."""
    return str(system) in _systems()


def display_name(system: str | int, code: str) -> str | None:
    """The Norwegian display name, or None when list or code is unknown."""
    found = _systems().get(str(system))
    name = found["codes"].get(code) if found else None
    return name if name is None else str(name)


def codes_of(system: str | int) -> dict[str, str]:
    """All codes of a list with their display names; empty when the list is not carried."""
    found = _systems().get(str(system))
    return dict(found["codes"]) if found else {}


@dataclass(frozen=True, slots=True)
class Coded:
    """A coded value: code, list number (None when the field fixes it), name, and free text instead of a code."""

    code: str | None = None
    system: str | None = None
    name: str | None = None
    text: str | None = None

    def __repr__(self) -> str:  # free text, and a code outside the national lists, may be content (P21)
        known = self.system is not None and self.code is not None and display_name(self.system, self.code) is not None
        return f"Coded({self.system}:{self.code})" if known else f"Coded({self.system}, hidden)"

    @classmethod
    def of(cls, system: str | int, code: str) -> Coded:
        """A value of a carried list with its display name (name None when the code is unknown)."""
        return cls(code, str(system), display_name(system, code))

    @property
    def shown(self) -> str:
        """What a person sees: name, else free text, else the code."""
        return self.name or self.text or self.code or ""
