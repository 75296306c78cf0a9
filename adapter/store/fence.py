"""A lease that is checked where it counts: in every transaction of the work that it was taken for.

A worker that was held up longer than its lease may come back to find that another one has taken over. What it writes
then is refused, so that two workers never both believe that they own a mailbox.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from adapter.errors import StateError
from adapter.store import inbox
from adapter.store.database import Store
from adapter.store.statements import row_where
from adapter.store.tables import lease

LOST = "LEASE.LOST"


@dataclass(frozen=True, slots=True)
class Lease:
    """A named lease as it was taken: ``fence`` counts up with every new holder."""

    name: str
    holder: str
    fence: int


def take(store: Store, name: str, holder: str, *, lasts_s: float) -> Lease | None:
    """Take the named lease; None while another holder has it."""
    now = store.now_us()
    with store.transaction() as db:
        fence = inbox.take_lease(db, name, holder, now=now, until=now + round(lasts_s * 1e6))
    return Lease(name, holder, fence) if fence is not None else None


def keep(store: Store, held: Lease, *, lasts_s: float) -> None:
    """Hold it for so long from now; raises StateError LEASE.LOST when another one has it, or has had it."""
    now = store.now_us()
    with store.transaction() as db:
        check(db, held)
        inbox.take_lease(db, held.name, held.holder, now=now, until=now + round(lasts_s * 1e6))


def leave(store: Store, held: Lease, *, closed_s: float = 0.0) -> None:
    """Give it back, if it is still ours; ``closed_s``: nobody is to have it before that."""
    with store.transaction() as db:
        inbox.drop_lease(db, held.name, held.holder, now=store.now_us() + round(closed_s * 1e6))


def check(db: sa.Connection, held: Lease) -> None:
    """Raise StateError LEASE.LOST unless the lease is still this one; nobody takes it before the transaction ends."""
    if db.dialect.name == "sqlite":  # writers take turns there
        row = row_where(db, lease, name=held.name, holder=held.holder)
        fence = row["fence"] if row is not None else None
    else:
        query = sa.select(lease.c.fence).where(lease.c.name == held.name, lease.c.holder == held.holder)
        fence = db.execute(query.with_for_update()).scalar()
    if fence != held.fence:
        raise StateError("another worker has taken over", code=LOST)


class FencedStore(Store):
    """The same store for the work under a lease: each write transaction begins by checking it."""

    def __init__(self, store: Store, held: Lease) -> None:
        super().__init__(store._engine, now=store.now, new_id=store.new_id)
        self._whole = store
        self._held = held

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        with self._whole.transaction() as db:
            check(db, self._held)
            yield db
