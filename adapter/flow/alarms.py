"""One alarm per incident, and one all-clear (P26)."""

from __future__ import annotations

from adapter.flow.parts import Parts
from adapter.store import journal


def raise_alarm(parts: Parts, name: str, text: str) -> None:
    """Open an incident; the alarm goes out only when it is new. ``name`` is stable, ``text`` patient-free."""
    with parts.store.transaction() as db:
        new = journal.open_incident(db, name, at=parts.store.now_us())
    if new:
        parts.log.warning("alarm", extra={"incident": name})
        parts.alarm(name, text, False)


def all_clear(parts: Parts, name: str) -> None:
    """Close an incident; tells so once when it was open."""
    with parts.store.reading() as db:
        known = journal.is_open(db, name)
    if not known:
        return
    with parts.store.transaction() as db:
        closed = journal.close_incident(db, name)
    if closed:
        parts.log.info("all clear", extra={"incident": name})
        parts.alarm(name, "over", True)
