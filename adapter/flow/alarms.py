"""One alarm per incident, and one all-clear (P26)."""

from __future__ import annotations

from adapter.flow.parts import Parts
from adapter.store import journal, queries

UNVERIFIED = "unverified"  # no room for what senders sent whom nobody could verify (P28)
LOOK_AGAIN_US = 30_000_000  # another worker on the same store may have opened one


def raise_alarm(parts: Parts, name: str, text: str) -> None:
    """Open an incident; the alarm goes out only when it is new. ``name`` is stable, ``text`` patient-free."""
    with parts.store.transaction() as db:
        new = journal.open_incident(db, name, at=parts.store.now_us())
    parts.incidents.names.add(name)
    if new:
        parts.log.warning("alarm", extra={"incident": name})
        parts.alarm(name, text, False)


def open_names(parts: Parts) -> set[str]:
    """Names of open incidents: asked for at most twice a minute, as all-clears come with every message."""
    held, now = parts.incidents, parts.store.now_us()
    if now - held.read_at >= LOOK_AGAIN_US:
        with parts.store.reading() as db:
            held.names = {row["name"] for row in queries.incidents(db)}
        held.read_at = now
    return held.names


def all_clear(parts: Parts, name: str) -> None:
    """Close an incident; tells so once when it was open."""
    if name not in open_names(parts):
        return
    parts.incidents.names.discard(name)
    with parts.store.transaction() as db:
        closed = journal.close_incident(db, name)
    if closed:
        parts.log.info("all clear", extra={"incident": name})
        parts.alarm(name, "over", True)
