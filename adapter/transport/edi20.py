"""The road over NHN's EDI 2.0 REST API, version 2: send, list unread, fetch, status, AppRec, mark read.

The server does all ebXML work; we give it documents and get documents. Version 3 becomes a second class behind the same
contract (``adapter.model.wire.Road``).
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlencode

from adapter.codes import Coded
from adapter.config import Edi20Settings, SoftwareSettings
from adapter.errors import AccessError, InputError, RemoteRefusalError, SettingsError, TransportError
from adapter.identifiers import is_message_id
from adapter.model.receipt import ReceiptStatus
from adapter.model.wire import Clock, InboxItem, Parcel, ReceiptParcel, RemoteStatus, Sent
from adapter.transport.call import Answer, Body, Intake, Limits
from adapter.transport.edi20_document import DocumentReader
from adapter.transport.edi20_errors import judge, judge_reply
from adapter.transport.edi20_json import (
    read_inbox,
    read_json,
    read_new_id,
    read_receipt_errors,
    read_statuses,
    write_message,
    write_receipt,
)
from adapter.transport.urls import read_base_url

if TYPE_CHECKING:
    from adapter.transport.http import HttpClient

_LIST_MAX = 100  # the API's own bound
_HER_IDS_PER_CALL = 50  # keeps the address of a call well below usual limits


class Authoriser(Protocol):
    """Gives the headers that authorise one call, and starts afresh after a 401."""

    def authorise(self, method: str, url: str) -> Mapping[str, str]: ...
    def renew(self, server_date: str | None = None) -> None: ...


class Edi20Road:
    """One tenant's connection to the message server. Threads may share it."""

    name = "edi20"

    def __init__(
        self,
        settings: Edi20Settings,
        tokens: Authoriser,
        *,
        software: SoftwareSettings | None = None,
        client: HttpClient | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._base = read_base_url(settings.base_url, "edi20.base_url")
        if not settings.source_system.strip() or not settings.source_system.isprintable():
            raise SettingsError("the source system needs a name in printable characters", where="edi20.source_system")
        self._settings = settings
        self._tokens = tokens
        self._software = software
        self._client = client or _new_client(settings)
        self._clock = clock or (lambda: datetime.now(UTC))

    def send(self, parcel: Parcel) -> Sent:
        """POST the document for exactly the parcel's receivers (P1); raises RefusedError before anything is sent."""
        body = write_message(parcel, self._software, self._settings.body_limit_bytes)
        return self._post("/Messages", body, "POST /Messages")

    def send_receipt(self, receipt: ReceiptParcel) -> Sent:
        """Let the server write and send the AppRec (P10)."""
        path = f"/Messages/{_path_id(receipt.remote_id)}/apprec/{receipt.acknowledger:d}"
        return self._post(path, write_receipt(receipt, self._software), "POST apprec")

    def unread(
        self, receivers: Sequence[int], limit: int = _LIST_MAX, *, newest_first: bool = False
    ) -> list[InboxItem]:
        """Unread messages of our HER-ids with metadata, oldest first, at most ``limit`` (1–100) a batch of HER-ids.

        The list has no cursor: what stays unread comes again, so ``newest_first`` is the way to look past it (P12).
        """
        found: dict[tuple[str, int], InboxItem] = {}
        asked = sorted(set(receivers))
        for start in range(0, len(asked), _HER_IDS_PER_CALL):
            batch = asked[start : start + _HER_IDS_PER_CALL]
            query = [("ReceiverHerIds", str(her_id)) for her_id in batch]
            query += [("IncludeMetadata", "true"), ("MessagesToFetch", str(min(max(limit, 1), _LIST_MAX)))]
            query.append(("OrderBy", "2" if newest_first else "1"))
            listed = self._get_list(f"/Messages?{urlencode(query)}", "GET /Messages")
            found |= {(item.remote_id, item.receiver): item for item in read_inbox(listed, batch)}
        return list(found.values())

    def fetch(self, remote_id: str, receiver: int) -> bytes:
        """The document's bytes. ``receiver`` does not matter to version 2.

        A whole answer without a usable document raises RemoteRefusalError: asking again gives the same (P12).
        """
        from pybase64 import b64decode

        place = "GET business-document"
        reader = DocumentReader()
        answer = self._get_whole(f"/Messages/{_path_id(remote_id)}/business-document", place, reader)
        try:
            found, document = reader.finish()
        except ValueError:
            raise judge_reply(answer, place, safe=True) from None
        encoded = found.get("businessdocument")
        if str(found.get("contenttransferencoding", "base64")).lower() != "base64" or not isinstance(encoded, str):
            raise RemoteRefusalError(f"{place}: no base64 document in the answer", status=200)
        try:
            return document if document is not None else bytes(b64decode(encoded, validate=True))
        except (binascii.Error, ValueError):
            raise RemoteRefusalError(f"{place}: the document is not valid base64", status=200) from None

    def statuses(self, remote_id: str) -> list[RemoteStatus]:
        """One line per receiver; the errors of a rejected or partial receipt are fetched along."""
        path = f"/Messages/{_path_id(remote_id)}"
        found = self._get_list(f"{path}/status", "GET status")
        lines = read_statuses(found, {})
        if all(line.answer in (None, ReceiptStatus.OK) for line in lines):
            return lines
        return read_statuses(found, self._receipt_errors(path))

    def put_away(self, remote_id: str, receiver: int) -> None:
        """Mark the message read for this HER-id; repeating it does no harm."""
        place = "PUT read"
        answer = self._call("PUT", f"/Messages/{_path_id(remote_id)}/read/{receiver:d}", place)
        if not 200 <= answer.status < 300:
            raise self._refused(answer, place, safe=True)

    def close(self) -> None:
        self._client.close()

    def _receipt_errors(self, path: str) -> dict[int, tuple[Coded, ...]]:
        try:
            return read_receipt_errors(self._get_list(f"{path}/apprec", "GET apprec"))
        except AccessError:
            raise
        except RemoteRefusalError:
            return {}  # a verdict without reasons is better than no verdict

    def _post(self, path: str, body: Body, place: str) -> Sent:
        answer = self._call("POST", path, place, body)
        if not 200 <= answer.status < 300:
            raise self._refused(answer, place, safe=False)
        remote_id = read_new_id(answer.body) if answer.status == 201 and not answer.broken else None
        if remote_id is None:
            raise judge_reply(answer, place, safe=False)
        return Sent(remote_id=remote_id)

    def _get_whole(self, path: str, place: str, intake: Intake | None = None) -> Answer:
        answer = self._call("GET", path, place, intake=intake)
        if answer.status != 200:
            raise self._refused(answer, place, safe=True)
        if answer.broken:
            raise judge_reply(answer, place, safe=True)
        return answer

    def _get(self, path: str, place: str) -> object:
        answer = self._get_whole(path, place)
        try:
            return read_json(answer.body)
        except ValueError:
            raise judge_reply(answer, place, safe=True) from None

    def _get_list(self, path: str, place: str) -> object:
        found = self._get(path, place)
        if not isinstance(found, list):
            raise TransportError(f"{place}: a list was expected", code="EDI.REPLY")
        return found

    def _call(
        self, method: str, path: str, place: str, body: Body | None = None, *, intake: Intake | None = None
    ) -> Answer:
        """One call; a 401 is tried once more with a fresh token, because the server has not looked at the request."""
        answer = self._once(method, path, body, intake)
        if answer.status == 401:
            self._tokens.renew(answer.headers.get("Date"))
            answer = self._once(method, path, body.again() if body else None, intake)
        return answer

    def _once(self, method: str, path: str, body: Body | None, intake: Intake | None) -> Answer:
        url = self._base + path
        headers = {
            "api-version": "2",
            "nhn-source-system": self._settings.source_system,
            "Accept": "application/json",
            **self._tokens.authorise(method, url),
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self._client.call(method, url, headers=headers, body=body, safe=method != "POST", intake=intake)

    def _refused(self, answer: Answer, place: str, *, safe: bool) -> Exception:
        return judge(answer, place, safe=safe, now=self._clock())


def _path_id(remote_id: str) -> str:
    """A server id as part of a path: only a UUID gets there (P20)."""
    if not is_message_id(remote_id):
        raise InputError("a server id is a UUID", where="remote_id")
    return remote_id.lower()


def _new_client(settings: Edi20Settings) -> HttpClient:
    from adapter.transport.http import HttpClient

    return HttpClient(
        Limits(
            connect_timeout_s=settings.connect_timeout_s,
            read_timeout_s=settings.read_timeout_s,
            total_timeout_s=settings.total_timeout_s,
            response_limit_bytes=settings.response_limit_bytes,
        )
    )
