"""The way in, part one: look into the inbox, remember the bytes, and only then tell the server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from adapter import documents, xmlio
from adapter.config import TenantSettings
from adapter.errors import AccessError, AdapterError, RemoteRefusalError, UnreadableError, UnsupportedError
from adapter.flow.alarms import all_clear, raise_alarm
from adapter.flow.dispatch import pause_for
from adapter.flow.parts import Parts
from adapter.model.wire import InboxItem, Road
from adapter.store import inbox, outbox, queries
from adapter.store.statements import Row

LEASE_S = 60.0  # renewed per page; a worker that dies holds the inbox no longer than this
PAGE = 100

Receive = Callable[[Row], object]


def poll(parts: Parts, tenant: TenantSettings, receive: Receive) -> int:
    """Fetch what is unread for one tenant and hand each stored row to ``receive``; gives the number of new messages.

    One worker at a time per inbox (a lease with a fencing number). Nothing is fetched for a paused tenant (P23) or
    below the disk's low-water mark (P28).
    """
    road = parts.roads.get(tenant.name)
    if road is None or not tenant.her_ids or _held(parts, tenant):
        return 0
    put_away_rest(parts, tenant, road)
    fresh = 0
    items: list[InboxItem] = []
    fetched: list[Row] = []
    try:
        while not _held(parts, tenant):
            items = road.unread(tenant.her_ids, PAGE)
            news = [item for item in items if not _known(parts, tenant, road, item)]
            fetched = [row for item in news if (row := _take(parts, tenant, road, item)) is not None]
            for row in fetched:
                receive(row)
            fresh += len(fetched)
            if len(items) < PAGE or not fetched:
                break
        if len(items) >= PAGE and not fetched:
            raise_alarm(parts, f"inbox full:{tenant.name}", "the unread list is full of messages we leave alone (P12)")
        all_clear(parts, f"inbox:{tenant.name}")
        all_clear(parts, f"access:{tenant.name}")
    except AccessError as error:
        pause_for(parts, tenant.name, error)
    except AdapterError as error:
        raise_alarm(parts, f"inbox:{tenant.name}", f"the inbox cannot be read: {error.code}")
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


def _take(parts: Parts, tenant: TenantSettings, road: Road, item: InboxItem) -> Row | None:
    """Fetch one message and store it; None when it is left alone. One bad message never stops the rest."""
    name = f"fetch:{item.remote_id}:{item.receiver}"
    try:
        raw = road.fetch(item.remote_id, item.receiver)
    except AccessError:
        raise
    except RemoteRefusalError as error:
        # Looked past and alarmed: v2 lists have no cursor to skip it with (P12).
        raise_alarm(parts, name, f"a message in the list cannot be fetched: {error.status}")
        return None
    if tenant.types_elsewhere and _type_of(raw) in tenant.types_elsewhere:
        return None
    row = remember(parts, tenant, raw, road=road.name, item=item)
    all_clear(parts, name)
    if not tenant.listen_only:
        _put_away(parts, road, row)
    return row


def remember(parts: Parts, tenant: TenantSettings, raw: bytes, *, road: str, item: InboxItem) -> Row:
    """Raw bytes and *received* in one transaction; what the transport said is kept for comparison (P18)."""
    hints = {"msg_id": (item.msg_id or "").lower() or None, "sender": item.sender}
    delivery_id = parts.new_id()
    with parts.store.transaction() as db:
        inbox.add_received(
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
    with parts.store.reading() as db:
        row = outbox.find_delivery(db, delivery_id)
    assert row is not None
    parts.log.info("received", extra={"delivery": delivery_id, "size_bytes": len(raw)})
    return row


def put_away_rest(parts: Parts, tenant: TenantSettings, road: Road) -> None:
    """Tell the server of rows that a crash left between storing and marking as read."""
    if tenant.listen_only:
        return
    with parts.store.reading() as db:
        rows = inbox.not_put_away(db, tenant.name, PAGE)
    for row in rows:
        if row["road"] == road.name:
            _put_away(parts, road, row)


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
    bare = xmlio.reroot(root)
    for signature in bare.findall("{http://www.w3.org/2000/09/xmldsig#}Signature"):
        xmlio.cut(signature)
    return hashlib.sha256(xmlio.canonical(bare)).hexdigest()
