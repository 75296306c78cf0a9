"""The way in, part one: look into the inbox, remember the bytes, and only then tell the server."""

from __future__ import annotations

from collections.abc import Callable

import adapter.documents as documents
import adapter.xmlio as xmlio
from adapter.config import TenantSettings
from adapter.errors import (
    AccessError,
    AdapterError,
    RemoteRefusalError,
    StoreError,
    TransportError,
    UnreadableError,
    UnsupportedError,
)
from adapter.flow.alarms import all_clear, raise_alarm
from adapter.flow.identity import written_id
from adapter.flow.outcomes import access_works, pause_for
from adapter.flow.parts import Parts
from adapter.model.wire import InboxItem, Road
from adapter.security import content
from adapter.store import inbox, queries
from adapter.store.statements import Row

LEASE_S = 60.0  # renewed per page; a worker that dies holds the inbox no longer than this
PAGE = 100
FAILURES_IN_A_ROW = 3

Receive = Callable[[Row, bytes], object]


def poll(parts: Parts, tenant: TenantSettings, receive: Receive) -> int:
    """Fetch what is unread for one tenant; ``receive`` gets each stored row with its bytes. Gives how many were new.

    One worker at a time per inbox (a lease with a fencing number). Nothing is fetched for a paused tenant (P23) or
    below the disk's low-water mark (P28).
    """
    road = parts.roads.get(tenant.name)
    if road is None or not tenant.her_ids or parts.stopping.is_set() or _held(parts, tenant):
        return 0
    fresh = 0
    try:
        # Telling the server takes time, so that the lease is renewed after it; else it is as good as new.
        sure = put_away_rest(parts, tenant, road) == 0
        fresh = _look(parts, tenant, road, receive, sure=sure)
        all_clear(parts, f"inbox:{tenant.name}")
        access_works(parts, tenant.name, "inbox")
    except AccessError as error:
        pause_for(parts, tenant.name, error, "inbox")
    except AdapterError as error:
        raise_alarm(parts, f"inbox:{tenant.name}", f"the inbox cannot be read: {error.code}")
    with parts.store.transaction() as db:
        inbox.drop_lease(db, f"inbox:{tenant.name}", parts.worker, now=parts.store.now_us())
    return fresh


def _look(parts: Parts, tenant: TenantSettings, road: Road, receive: Receive, *, sure: bool) -> int:
    """Read the unread list from its old end and, where that is full of what we leave alone, from its new end (P12).

    ``sure``: that nothing holds us has just been found out.
    """
    fresh = 0
    for newest_first in (False, True):
        while not parts.stopping.is_set() and (sure or not _held(parts, tenant)):
            sure = False
            items = road.unread(tenant.her_ids, PAGE, newest_first=newest_first)
            taken = _take_page(parts, tenant, road, items, receive)
            fresh += taken
            if len(items) < PAGE:
                all_clear(parts, f"inbox full:{tenant.name}")
                return fresh
            if not taken or tenant.listen_only:
                break
    if not tenant.listen_only or taken == len(items):  # listening beside another system, a full list is no fault
        raise_alarm(parts, f"inbox full:{tenant.name}", "the unread list is full of messages we leave alone (P12)")
    return fresh


def _take_page(parts: Parts, tenant: TenantSettings, road: Road, items: list[InboxItem], receive: Receive) -> int:
    """Fetch, store and carry on each new item of a page; gives how many were new."""
    fresh = failures = 0
    for item in items:
        if parts.stopping.is_set():
            break
        if (item.remote_id, item.receiver) in parts.left_alone or _known(parts, tenant, road, item):
            continue
        try:
            taken = _take(parts, tenant, road, item)
            failures = 0
        except TransportError as error:
            # One message that the server cannot give must not hold up the rest; three in a row are the server.
            failures += 1
            if failures == FAILURES_IN_A_ROW:
                raise
            raise_alarm(parts, _fetch_name(item), f"a message in the list cannot be fetched: {error.code}")
            continue
        if taken is None:
            continue
        fresh += 1
        try:
            receive(*taken)
        except AdapterError as error:  # it is stored, and resumed later; the rest of the list does not wait
            raise_alarm(parts, f"held:{tenant.name}", f"received messages wait: {error.code}")
        del taken  # its megabytes go before the next one comes
    return fresh


def _held(parts: Parts, tenant: TenantSettings) -> bool:
    now = parts.store.now_us()
    if below_low_water(parts):
        return True
    with parts.store.transaction() as db:
        if queries.paused(db, tenant.name, now) is not None:
            return True
        until = now + round(LEASE_S * 1e6)
        return inbox.take_lease(db, f"inbox:{tenant.name}", parts.worker, now=now, until=until) is None


def below_low_water(parts: Parts) -> bool:
    """True while the disk has less than the low-water mark: then nothing is fetched or accepted (P28)."""
    free = parts.store.free_bytes()
    if free is not None and free < parts.settings.store.low_water_bytes:
        raise_alarm(parts, "disk", "the disk is below the low-water mark; nothing is fetched")
        return True
    all_clear(parts, "disk")
    return False


def _known(parts: Parts, tenant: TenantSettings, road: Road, item: InboxItem) -> bool:
    """True when these bytes are stored already; then only the server still has to be told."""
    with parts.store.reading() as db:
        row = inbox.find_item(db, road.name, item.remote_id, item.receiver)
    if row is None:
        return False
    if not tenant.listen_only:
        _put_away(parts, road, row)
    return True


def _fetch_name(item: InboxItem) -> str:
    return f"fetch:{item.remote_id}:{item.receiver}"


def _take(parts: Parts, tenant: TenantSettings, road: Road, item: InboxItem) -> tuple[Row, bytes] | None:
    """Fetch and store one message: its row and bytes, None when it is left alone. One bad one never stops the rest."""
    name = _fetch_name(item)
    try:
        raw = road.fetch(item.remote_id, item.receiver)
    except AccessError:
        raise
    except RemoteRefusalError as error:
        # Looked past and alarmed: v2 lists have no cursor to skip it with (P12).
        raise_alarm(parts, name, f"a message in the list cannot be fetched: {error.status}")
        return None
    if tenant.types_elsewhere and _type_of(raw) in tenant.types_elsewhere:
        parts.left_alone.add((item.remote_id, item.receiver))  # not fetched again by this process
        return None
    try:
        row = remember(parts, tenant, raw, road=road.name, item=item)
    except StoreError as error:
        if error.code != "STORE.INTEGRITY":
            raise
        return None  # another worker has stored it at this moment
    all_clear(parts, name)
    if not tenant.listen_only:
        _put_away(parts, road, row)
    return row, raw


def remember(parts: Parts, tenant: TenantSettings, raw: bytes, *, road: str, item: InboxItem) -> Row:
    """Raw bytes and *received* in one transaction; what the transport said is kept for comparison (P18)."""
    hints = {"msg_id": written_id(item.msg_id), "sender": item.sender}
    delivery_id = parts.new_id()
    with parts.store.transaction() as db:
        row = inbox.add_received(
            db,
            message_id=parts.new_id(),
            delivery_id=delivery_id,
            tenant=tenant.name,
            road=road,
            remote_id=item.remote_id or None,
            party=item.receiver,
            raw=raw,
            at=parts.store.now_us(),
            hints=hints,
        )
    parts.log.info("received", extra={"delivery": delivery_id, "size_bytes": len(raw)})
    return row


def put_away_rest(parts: Parts, tenant: TenantSettings, road: Road) -> int:
    """Tell the server of rows that a crash left between storing and marking as read; gives how many it was told of."""
    if tenant.listen_only:
        return 0
    with parts.store.reading() as db:
        rows = [row for row in inbox.not_put_away(db, tenant.name, PAGE) if row["road"] == road.name]
    for row in rows:
        _put_away(parts, road, row)
    return len(rows)


def _put_away(parts: Parts, road: Road, row: Row) -> None:
    if row["put_away"]:
        return
    try:
        road.put_away(row["remote_id"], row["party"])
    except AccessError:
        raise
    except RemoteRefusalError as error:
        if error.status != 404:  # purged at the server: nothing left to mark
            parts.log.warning("not put away", extra={"delivery": row["id"], "status": error.status})
            return
    except AdapterError as error:
        parts.log.warning("not put away", extra={"delivery": row["id"], "code": error.code})
        return  # the next round tries again
    with parts.store.transaction() as db:
        inbox.set_put_away(db, row["id"])


def _type_of(raw: bytes) -> str | None:
    try:
        return documents.read_facts(documents.unwrap(xmlio.parse(raw))).msg_type
    except (UnreadableError, UnsupportedError):
        return None


def content_digest(root: xmlio.Element) -> str:
    """SHA-256 of the canonical document without ds:Signature: the same message signed anew is the same message (P3)."""
    whole = root if root.getparent() is None else xmlio.reroot(root)
    with xmlio.without(whole, "{http://www.w3.org/2000/09/xmldsig#}Signature"):
        return content.digest(whole, "sha256").hex()
