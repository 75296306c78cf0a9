"""Coded values as callers write them: a bare code where the field fixes the list, the long form elsewhere."""

from __future__ import annotations

from functools import lru_cache

from adapter.codes import Coded, display_name

Code = str | Coded


@lru_cache(maxsize=4096)
def complete(value: Code, system: str | None) -> Coded:
    """The full form: list number from the field when it is not given, Norwegian display name when we carry the list.

    ``system`` is the list that the field fixes or presumes; None where the caller must name it. A value with free text
    instead of a code is kept as it is.
    """
    given = Coded(value) if isinstance(value, str) else value
    list_number = given.system or system
    if given.code is None:
        return Coded(None, list_number, given.name, given.text)
    name = given.name or (display_name(list_number, given.code) if list_number else None)
    return Coded(given.code, list_number, name, given.text)
