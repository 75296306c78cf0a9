"""Times on the wire: written in UTC to the second, read in every form that real messages have.

Seen: ``2023-11-17T10:08:35Z``, no zone (then UTC, HIS 1037 6.2.1), up to seven fraction digits, blanks around.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_MOMENT = re.compile(
    r"\s*(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,20}))?\s*(Z|z|[+-]\d{2}:?\d{2})?\s*", re.ASCII
)
_DURATION = re.compile(
    r"\s*P(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,8})M)?(?:(\d{1,10})(?:\.\d{1,9})?S)?)?\s*", re.ASCII
)


def write_moment(when: datetime) -> str:
    """``CCYY-MM-DDThh:mm:ssZ`` of an aware time (HITS 1171 5.2.1.10)."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_moment(text: str | None) -> datetime | None:
    """An aware time in UTC, or None when the text is no time; without a zone it is UTC."""
    if text is not None and len(text) == 20 and text[4:20:3] == "--T::Z":  # the national form
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    found = _MOMENT.fullmatch(text or "")
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    micro = int((found[7] or "0")[:6].ljust(6, "0"))
    carry = timedelta(days=1) if (hour, minute, second, micro) == (24, 0, 0, 0) else timedelta()
    try:
        moment = datetime(year, month, day, 0 if carry else hour, minute, second, micro, _zone(found[8]))
        return (moment + carry).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if text is None or text in "Zz":
        return UTC
    shift = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-shift if text[0] == "-" else shift)


def has_zone(text: str) -> bool:
    """True when the written time names its zone."""
    found = _MOMENT.fullmatch(text)
    return found is not None and found[8] is not None


def read_duration_s(text: str | None) -> int | None:
    """Seconds of an xs:duration in days, hours, minutes and seconds; None for anything else.

    Years and months have no fixed length and are refused, so ``P180M`` (180 months, where minutes were meant) never
    becomes a time limit.
    """
    found = _DURATION.fullmatch(text or "")
    if not found or not any(found.groups()):
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
