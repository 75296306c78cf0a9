"""What EDI 2.0 version 2 says and wants to hear, as JSON. Pure functions; tolerant on the way in, exact on the way out.

Known of the real server: names come in camelCase or PascalCase, dates with or without offset, enum values as name,
number or numeric text, and new fields and values appear without notice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapter.codes import Coded, oid, system_number
from adapter.config import SoftwareSettings
from adapter.errors import RefusedError, SettingsError
from adapter.identifiers import is_message_id
from adapter.model.receipt import ReceiptStatus
from adapter.model.wire import InboxItem, Parcel, ReceiptParcel, RemoteStatus
from adapter.transport.call import Body

STATUS_NAMES = {
    ReceiptStatus.OK: "Ok",
    ReceiptStatus.REJECTED: "Rejected",
    ReceiptStatus.PARTIAL: "OkErrorInMessagePart",
}
_STATUS_BY_WORD = {name.lower(): status for status, name in STATUS_NAMES.items()} | {s.value: s for s in ReceiptStatus}
_TRANSPORT_BY_WORD = {word.lower(): word for word in ("Unconfirmed", "Acknowledged", "Rejected", "Abandoned")}
_OVERRIDES: dict[str, type] = {
    "cpaId": str,
    "conversationId": str,
    "service": str,
    "serviceType": str,
    "action": str,
    "senderRole": str,
    "receiverRole": str,
    "useSenderLevel1HerId": bool,
    "applicationName": str,
    "applicationVersion": str,
    "middlewareName": str,
    "middlewareVersion": str,
    "compressPayload": bool,
}
# The server refuses documents that do not declare UTF-8 in their first line.
_DECLARES_UTF8 = re.compile(
    rb"(?:\xef\xbb\xbf)?<\?xml\s[^\r\n>]*encoding\s*=\s*[\"']utf-8[\"'][^\r\n>]*\?>", re.IGNORECASE
)
_TEXT_MAX = 4000
_SLICE_BYTES = 196_608  # a multiple of three: slices encode without padding between them


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """The usable part of an error answer; free text of the server is not kept (P21)."""

    code: int | None = None
    request_id: str | None = None
    her_ids: tuple[str, ...] = ()
    cancelled: bool = False
    faults: int = 0


def fields(item: object) -> dict[str, Any]:
    """A JSON object with its names in lower case; anything else is an empty one."""
    return {str(key).lower(): value for key, value in item.items()} if isinstance(item, Mapping) else {}


def read_json(body: bytes | bytearray) -> object:
    """Parsed JSON; raises ValueError for anything that is none (also for nesting that would exhaust the stack)."""
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def write_json(plain: object) -> bytes:
    """Compact UTF-8 JSON."""
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode()


def read_error(body: bytes | bytearray) -> ErrorFacts:
    """ErrorMessage or problem details; an empty or foreign body gives empty facts."""
    try:
        found = fields(read_json(body))
    except ValueError:
        return ErrorFacts()
    code = found.get("errorcode")
    request_id = found.get("requestid")
    text = str(found.get("error") or found.get("title") or "")
    named = re.search(r"HerId\(?s?\)?:\s*([0-9, ]{1,200})", text, re.IGNORECASE)
    faults = found.get("validationerrors")
    return ErrorFacts(
        code=code if isinstance(code, int) and not isinstance(code, bool) else None,
        request_id=request_id.lower() if isinstance(request_id, str) and is_message_id(request_id) else None,
        her_ids=tuple(re.findall(r"[0-9]{1,10}", named.group(1))) if named else (),
        cancelled="cancelled" in text.lower(),
        faults=len(faults) if isinstance(faults, list) else 0,
    )


def read_new_id(body: bytes | bytearray) -> str | None:
    """The UUID of a 201 answer, which is a JSON string; None for everything else."""
    try:
        found = read_json(body)
    except ValueError:
        return None
    return found.lower() if isinstance(found, str) and is_message_id(found) else None


def read_inbox(found: object, asked: Sequence[int]) -> list[InboxItem]:
    """Unread messages; entries without a UUID or for somebody we did not ask for are left out."""
    items = []
    for entry in map(fields, found if isinstance(found, list) else []):
        receiver = _whole(entry.get("receiverherid"))
        if receiver is None or receiver not in asked or not is_message_id(_text(entry.get("id"))):
            continue
        is_apprec = entry.get("isapprec")
        items.append(
            InboxItem(
                remote_id=str(entry["id"]).lower(),
                receiver=receiver,
                sender=_whole(entry.get("senderherid")),
                msg_id=_text(entry.get("businessdocumentid")),
                gen_date=_text(entry.get("businessdocumentgendate")),
                is_apprec=is_apprec if isinstance(is_apprec, bool) else None,
            )
        )
    return items


def read_statuses(found: object, errors: Mapping[int, tuple[Coded, ...]]) -> list[RemoteStatus]:
    """One line per receiver, with the receipts' errors put in."""
    lines = []
    for entry in map(fields, found if isinstance(found, list) else []):
        receiver = _whole(entry.get("receiverherid"))
        if receiver is None:
            continue
        state = _text(entry.get("transportdeliverystate")) or "Unknown"
        sent = entry.get("sent")
        answer, raw = read_receipt_status(entry.get("apprecstatus"))
        lines.append(
            RemoteStatus(
                receiver=receiver,
                transport=_TRANSPORT_BY_WORD.get(state.lower(), state),
                sent=sent if isinstance(sent, bool) else None,
                answer=answer,
                answer_raw=raw,
                errors=errors.get(receiver, ()) if answer not in (None, ReceiptStatus.OK) else (),
            )
        )
    return lines


def read_receipt_status(value: object) -> tuple[ReceiptStatus | None, str | None]:
    """A status given as name, numeric text or number; an unknown one comes back as text."""
    word = _text(value)
    if not word:
        return None, None
    known = _STATUS_BY_WORD.get(word.lower())
    return known, None if known else word


def read_receipt_errors(found: object) -> dict[int, tuple[Coded, ...]]:
    """Errors by receiver, from the receipt details."""
    by_receiver: dict[int, tuple[Coded, ...]] = {}
    for entry in map(fields, found if isinstance(found, list) else []):
        receiver = _whole(entry.get("receiverherid"))
        listed = entry.get("apprecerrorlist")
        if receiver is not None and isinstance(listed, list):
            errors = tuple(_read_coded(fields(error)) for error in listed if isinstance(error, Mapping))
            by_receiver[receiver] = by_receiver.get(receiver, ()) + errors
    return by_receiver


def _read_coded(error: Mapping[str, Any]) -> Coded:
    list_oid = _text(error.get("oid"))
    return Coded(
        code=_text(error.get("errorcode")),
        system=system_number(list_oid) if list_oid else "8221",
        name=_text(error.get("description")),
        text=_text(error.get("details")),
    )


def _text(value: object) -> str | None:
    """Text or a number as text, cut to a length nobody needs more of, without characters that a database refuses."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)[:_TEXT_MAX]
    if not text.isprintable():
        text = "".join(char for char in text if char.isprintable() or char in "\n\t")
    return text.strip() or None


def _whole(value: object) -> int | None:
    text = _text(value)
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 10 else None


def write_overrides(
    overrides: Mapping[str, object] | None, software: SoftwareSettings | None
) -> dict[str, object] | None:
    """ebXmlOverrides: the software's names (P29) and what process table and partner ask for (P13).

    Raises SettingsError for a field the API does not have, or of the wrong type.
    """
    written: dict[str, object] = {}
    if software is not None:
        written["applicationName"] = software.fagsystem
        written["applicationVersion"] = software.fagsystem_version
        written["middlewareName"] = software.mellomvare
        written["middlewareVersion"] = software.mellomvare_version
    for name, value in (overrides or {}).items():
        if name not in _OVERRIDES:
            cure = f"known are: {', '.join(_OVERRIDES)}"
            raise SettingsError("an override that EDI 2.0 does not have", code="EDI.OVERRIDES", where=name, cure=cure)
        if value is not None and not isinstance(value, _OVERRIDES[name]):
            raise SettingsError("an override of the wrong type", code="EDI.OVERRIDES", where=name)
        written[name] = value
    return written or None


def write_message(parcel: Parcel, software: SoftwareSettings | None, limit_bytes: int) -> Body:
    """The body of POST /Messages, encoded while it is sent.

    Raises RefusedError ``EDI.RECEIVERS``, ``EDI.ENCODING`` or ``EDI.SIZE`` (the limit is on the JSON body) beforehand.
    """
    from pybase64 import b64encode

    if not parcel.receivers or len(set(parcel.receivers)) != len(parcel.receivers):
        raise RefusedError("a sending names each of its receivers once", code="EDI.RECEIVERS")
    if not _DECLARES_UTF8.match(parcel.document[:400]):
        cure = 'start the document with <?xml version="1.0" encoding="UTF-8"?>'
        raise RefusedError("the document does not declare UTF-8 in its first line", code="EDI.ENCODING", cure=cure)
    rest = {
        "contentType": "application/xml",
        "contentTransferEncoding": "base64",
        "ebXmlOverrides": write_overrides(parcel.overrides, software),
        "receiverHerIdsSubset": list(parcel.receivers),
    }
    head = b'{"businessDocument":"'
    tail = b'",' + write_json(rest)[1:]
    size = len(head) + -(-len(parcel.document) // 3) * 4 + len(tail)
    if size > limit_bytes:
        text = f"the request would have {size} bytes, the message server takes {limit_bytes}"
        raise RefusedError(text, code="EDI.SIZE", cure="send smaller attachments")
    document = memoryview(parcel.document)

    def pieces() -> Iterator[bytes]:
        yield head
        for start in range(0, len(document), _SLICE_BYTES):
            yield b64encode(document[start : start + _SLICE_BYTES])
        yield tail

    return Body(pieces, size)


def write_receipt(receipt: ReceiptParcel, software: SoftwareSettings | None) -> Body:
    """The body of POST …/apprec; raises RefusedError ``EDI.RECEIPT`` for a rejection that gives no reason."""
    if receipt.status is ReceiptStatus.REJECTED and not receipt.errors:
        raise RefusedError("a rejection needs at least one error", code="EDI.RECEIPT")
    plain = {
        "appRecStatus": STATUS_NAMES[receipt.status],
        "appRecErrorList": [
            {
                "errorCode": error.code,
                "details": error.text or "",
                "description": error.name,
                "oid": oid(error.system or "8221"),
            }
            for error in receipt.errors
        ],
        "ebXmlOverrides": write_overrides(receipt.overrides, software),
    }
    return Body.of(write_json(plain))
