"""One look into one mailbox: the lease it is done under, and whose messages it may bring in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from adapter.config import TenantSettings
from adapter.errors import AccessError, StateError
from adapter.flow.fetch import below_low_water
from adapter.flow.parts import MailRoad, Parts
from adapter.store import fence

LEASE_S = 60.0  # a worker that dies holds the mailbox no longer than this
LEASE_KEPT_US = 20_000_000  # how old a lease may be before it is taken for longer
LARGE_BYTES = 1_000_000  # such a mail may take as long as a call may
ACCESS_PAUSE_S = 300.0  # a refused login is not tried again before: no retry storm, no locked account (P23)
FAILURES_IN_A_ROW = 3


@dataclass(slots=True)
class Round:
    """One look into one mailbox under its lease. ``parts`` are the road's tenants', with a store behind the fence."""

    parts: Parts
    road: MailRoad
    held: fence.Lease
    begun: int
    kept_at: int
    all_tenants: tuple[TenantSettings, ...]
    sending: bool = True  # the mail server works, as far as this round knows
    failures: int = 0

    @property
    def mailbox(self) -> str:
        return self.road.mailbox.name

    def goes_on(self, size_bytes: int | None = 0) -> bool:
        """False when the work is to end. Raises StateError LEASE.LOST when another worker has taken over.

        ``size_bytes`` is the next mail's; the lease is taken for as long as that may last.
        """
        if self.parts.stopping.is_set() or below_low_water(self.parts):
            return False
        now = self.parts.store.now_us()
        large = size_bytes is None or size_bytes >= LARGE_BYTES
        if large or now - self.kept_at >= LEASE_KEPT_US:
            server = self.road.settings.imap or self.road.settings.pop3
            patience_s = server.total_timeout_s if large and server is not None else 0.0
            fence.keep(self.parts.store, self.held, lasts_s=LEASE_S + patience_s)
            self.kept_at = now
        return True


@contextmanager
def mailbox_round(parts: Parts, road: MailRoad) -> Iterator[Round | None]:
    """The lease on a mailbox for one round, None while another worker, or another thread of this one, has it.

    Losing it ends the round and is no error. A refused login keeps it, so that nobody tries again at once.
    """
    holder = f"{parts.worker}:{parts.new_id()}"
    held = fence.take(parts.store, f"mailbox:{road.mailbox.name}", holder, lasts_s=LEASE_S)
    if held is None:
        yield None
        return
    tenants = tuple(tenant for tenant in parts.settings.tenant if tenant.name in road.tenants)
    ours = replace(parts.settings, tenant=tenants)  # nothing that comes here is another tenant's (P23)
    fenced = replace(parts, store=fence.FencedStore(parts.store, held), settings=ours)
    now, refused = parts.store.now_us(), False
    try:
        yield Round(parts=fenced, road=road, held=held, begun=now, kept_at=now, all_tenants=parts.settings.tenant)
    except AccessError:
        refused = True
        raise
    except StateError as error:
        if error.code != fence.LOST:
            raise
        parts.log.warning("mailbox left to another worker", extra={"code": error.code})
    finally:
        fence.leave(parts.store, held, closed_s=ACCESS_PAUSE_S if refused else 0.0)
