"""A message server in memory, for tests of programs that embed the adapter. Deterministic: ids count up, nothing waits.

One ``MemoryServer`` is the other side for any number of ``MemoryRoad`` objects, one for each organisation. It reads no
content: who sends and receives is what the parcel says.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from adapter.errors import AccessError, AdapterError, RefusedError, RemoteRefusalError
from adapter.model.receipt import ReceiptStatus
from adapter.model.wire import InboxItem, Parcel, ReceiptParcel, RemoteStatus, Sent

_NO_SUCH_MESSAGE = 1010
_NOT_OURS = 1202


@dataclass(slots=True)
class _Held:
    parcel: Parcel
    statuses: dict[int, RemoteStatus]
    unread: set[int] = field(default_factory=set)


class MemoryServer:
    """What the two sides share. ``acknowledge`` False leaves every delivery unconfirmed."""

    def __init__(self, *, acknowledge: bool = True) -> None:
        self.acknowledge = acknowledge
        self.receipts: list[ReceiptParcel] = []
        self._held: dict[str, _Held] = {}
        self._count = 0
        self._lock = threading.Lock()

    def road(self, *her_ids: int) -> MemoryRoad:
        """The view of an organisation that owns these HER-ids."""
        return MemoryRoad(self, her_ids)

    def parcels(self) -> list[Parcel]:
        """Everything that was sent, in order."""
        with self._lock:
            return [held.parcel for held in self._held.values()]

    def accept(self, parcel: Parcel) -> str:
        """Take a parcel and deliver it to each of its receivers; gives the server's id."""
        state = "Acknowledged" if self.acknowledge else "Unconfirmed"
        statuses = {her_id: RemoteStatus(receiver=her_id, transport=state, sent=True) for her_id in parcel.receivers}
        with self._lock:
            remote_id = self._new_id()
            self._held[remote_id] = _Held(parcel, statuses, set(parcel.receivers))
        return remote_id

    def find(self, remote_id: str) -> _Held:
        """Raises RemoteRefusalError 404."""
        with self._lock:
            held = self._held.get(remote_id.lower())
        if held is None:
            raise RemoteRefusalError("no such message", status=404, remote_code=_NO_SUCH_MESSAGE)
        return held

    def list_unread(self, receivers: Iterable[int], limit: int, newest_first: bool = False) -> list[InboxItem]:
        """Oldest first, or newest first."""
        with self._lock:
            wanted = set(receivers)
            rows = [
                InboxItem(
                    remote_id=remote_id,
                    receiver=her_id,
                    sender=held.parcel.sender,
                    msg_id=held.parcel.msg_id,
                    is_apprec=held.parcel.msg_type == "APPREC",
                )
                for remote_id, held in self._held.items()
                for her_id in sorted(held.unread & wanted)
            ]
        return (rows[::-1] if newest_first else rows)[:limit]

    def mark_read(self, remote_id: str, receiver: int) -> None:
        held = self.find(remote_id)
        with self._lock:
            held.unread.discard(receiver)

    def acknowledge_by(self, receipt: ReceiptParcel) -> str:
        """Write a receipt into the status of what it answers; gives the receipt's own id."""
        held = self.find(receipt.remote_id)
        with self._lock:
            line = held.statuses.get(receipt.acknowledger)
            if line is None or held.parcel.msg_type == "APPREC":
                raise RemoteRefusalError("no receiver of the message, or an AppRec", status=400)
            receipt_id = self._new_id()
            held.statuses[receipt.acknowledger] = replace(
                line, answer=receipt.status, errors=receipt.errors, receipt_id=receipt_id
            )
            self.receipts.append(receipt)
        return receipt_id

    def set_status(self, remote_id: str, status: RemoteStatus) -> None:
        """What the next status answer says of one receiver."""
        held = self.find(remote_id)
        with self._lock:
            held.statuses[status.receiver] = status

    def _new_id(self) -> str:
        self._count += 1
        return str(UUID(int=self._count | 4 << 76 | 8 << 60))


class MemoryRoad:
    """A ``Road`` of one organisation. ``fail_next`` and ``fail_after_next`` rehearse an outage by hand."""

    name = "memory"

    def __init__(self, server: MemoryServer, her_ids: Iterable[int]) -> None:
        self._server = server
        self._her_ids = frozenset(her_ids)
        self._before: deque[AdapterError] = deque()
        self._after: deque[AdapterError] = deque()

    def fail_next(self, *errors: AdapterError) -> None:
        """The next calls raise these, and nothing happens on the server."""
        self._before.extend(errors)

    def fail_after_next(self, *errors: AdapterError) -> None:
        """The next sendings arrive and raise these (as a connection that breaks after the commit, P2)."""
        self._after.extend(errors)

    def send(self, parcel: Parcel) -> Sent:
        self._begin(parcel.sender)
        if not parcel.receivers:
            raise RefusedError("a sending names its receivers", code="EDI.RECEIVERS")
        return self._end(self._server.accept(parcel))

    def send_receipt(self, receipt: ReceiptParcel) -> Sent:
        self._begin(receipt.acknowledger)
        if receipt.status is ReceiptStatus.REJECTED and not receipt.errors:
            raise RefusedError("a rejection needs at least one error", code="EDI.RECEIPT")
        return self._end(self._server.acknowledge_by(receipt))

    def unread(self, receivers: Sequence[int], limit: int = 100, *, newest_first: bool = False) -> list[InboxItem]:
        self._begin(*receivers)
        return self._server.list_unread(receivers, limit, newest_first)

    def fetch(self, remote_id: str, receiver: int) -> bytes:
        self._begin(receiver)
        return self._server.find(remote_id).parcel.document

    def statuses(self, remote_id: str) -> list[RemoteStatus]:
        held = self._server.find(remote_id)
        self._begin(held.parcel.sender)
        return list(held.statuses.values())

    def put_away(self, remote_id: str, receiver: int) -> None:
        self._begin(receiver)
        self._server.mark_read(remote_id, receiver)

    def close(self) -> None:
        return

    def _begin(self, *her_ids: int) -> None:
        if self._before:
            raise self._before.popleft()
        foreign = sorted(set(her_ids) - self._her_ids)
        if foreign:
            listed = ", ".join(map(str, foreign))
            raise AccessError(f"not authorised for HER-id {listed}", status=403, remote_code=_NOT_OURS)

    def _end(self, remote_id: str) -> Sent:
        if self._after:
            raise self._after.popleft()
        return Sent(remote_id=remote_id)
