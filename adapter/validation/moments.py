"""Points in time as the standards write them (content digest 8.3)."""

from __future__ import annotations

import re
from datetime import datetime

# xs:dateTime, and the partial dates that kith:TS allows.
_MOMENT = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:T([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"
)


def read_moment(text: str | None) -> datetime | None:
    """The moment, aware when a zone is written; None when it is none. Parts of a second are dropped."""
    found = _MOMENT.fullmatch(text.strip()) if text else None
    if not found:
        return None
    year, month, day, clock, zone = found.groups()
    written = f"{year}-{month or '01'}-{day or '01'}T{clock or '00:00'}{zone or ''}"
    try:
        return datetime.fromisoformat(written)
    except ValueError:
        return None


def is_before(end: str | None, start: str | None) -> bool:
    """True when both are moments and ``end`` lies before ``start``. A missing zone is taken as the other's."""
    first, last = read_moment(start), read_moment(end)
    if first is None or last is None:
        return False
    if (first.tzinfo is None) != (last.tzinfo is None):
        first, last = first.replace(tzinfo=None), last.replace(tzinfo=None)
    return last < first
