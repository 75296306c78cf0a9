"""A row of ``adapter doctor``: what was looked at, status (ok, warning, error), text and cure."""

from __future__ import annotations

Row = dict[str, str | None]


def row(check: str, status: str, text: str, cure: str | None = None) -> Row:
    return {"check": check, "status": status, "text": text, "cure": cure}
