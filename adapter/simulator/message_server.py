"""The EDI 2.0 message server, API version 2: the eight calls, their checks and their errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pybase64

from adapter.model.process import apprec_version
from adapter.simulator.addressing import HER_MAX, Address, Envelope, declares_utf8, read_envelope, when
from adapter.simulator.answers import write_apprec
from adapter.simulator.faults import Faults
from adapter.simulator.gate import Caller, Gate, Owner, Refusal, check_version_headers, invalid
from adapter.simulator.inputs import errors_of, flag, her_id_of, json_body, one, overrides_of
from adapter.simulator.postoffice import WRITTEN_BY_SERVER, Delivery, PostOffice, Stored, local_time
from adapter.simulator.serving import Request, Response, Site

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_STATUS = {"ok": "1", "1": "1", "rejected": "2", "2": "2", "okerrorinmessagepart": "3", "3": "3"}


@dataclass(frozen=True, slots=True)
class Directory:
    """What the server knows of the register: who owns a HER-id, and whether it can be reached."""

    owner: Owner
    reachable: Callable[[int], bool]


class MessageServer(Site):
    """Routes of ``/Messages``. ``document_limit`` bounds the request's body, or the document (deviation)."""

    gate: Gate

    def __init__(
        self,
        office: PostOffice,
        directory: Directory,
        faults: Faults,
        *,
        deviations: frozenset[str] = frozenset(),
        limit_bytes: int = 35_000_000,
    ) -> None:
        by_document = "limit_counts_document" in deviations
        super().__init__("edi", faults, shapes=deviations, body_limit=limit_bytes * (2 if by_document else 1))
        self.office = office
        self.directory = directory
        self.deviations = deviations
        self.document_limit = limit_bytes if by_document else None
        for method, template, call in (
            ("GET", "/Messages", self._list),
            ("POST", "/Messages", self._send),
            ("GET", "/Messages/{id}", self._metadata),
            ("GET", "/Messages/{id}/business-document", self._document),
            ("GET", "/Messages/{id}/status", self._status),
            ("GET", "/Messages/{id}/apprec", self._apprecs),
            ("POST", "/Messages/{id}/apprec/{herId}", self._acknowledge),
            ("PUT", "/Messages/{id}/read/{herId}", self._read),
        ):
            self.add(method, template, self._guarded(call))

    def before(self) -> None:
        self.office.run_due()

    def error(self, status: int, text: str) -> Response:
        if status == 401 and "empty_401" in self.deviations:
            return Response(401, headers={"WWW-Authenticate": "DPoP"}, absent=True)
        return Refusal(status, text).answer(self.office.ids())

    def _guarded(
        self, call: Callable[[Request, dict[str, str], Caller], Response]
    ) -> Callable[[Request, dict[str, str]], Response]:
        def guarded(request: Request, values: dict[str, str]) -> Response:
            try:
                caller = self.gate.judge(request)
                check_version_headers(request)
                if request.too_large:
                    raise Refusal(413, f"The request is larger than {self.body_limit} bytes", 1000)
                return call(request, values, caller)
            except Refusal as refusal:
                if refusal.status == 401 and "empty_401" in self.deviations:
                    return Response(401, headers=refusal.headers, absent=True)
                return refusal.answer(self.office.ids())

        return guarded

    # -- who may ------------------------------------------------------------------------------------------------------

    def _owns(self, caller: Caller, her_id: int | None) -> bool:
        if caller.organisation_number is None:
            return True
        return her_id is not None and self.directory.owner(her_id) == caller.organisation_number

    def _demand(self, caller: Caller, *her_ids: int | None) -> None:
        lacking = [str(her_id) for her_id in her_ids if not self._owns(caller, her_id)]
        if lacking:
            raise Refusal(403, f"Not authorized for HerId(s): {', '.join(lacking)}")

    def _find(self, values: Mapping[str, str], caller: Caller) -> Stored:
        if not _UUID.fullmatch(values["id"]):
            raise invalid("The value of id is not a UUID.")
        stored = self.office.messages.get(values["id"].lower())
        if stored is None:
            raise Refusal(404, "Could not find database document")
        parties = [stored.sender, *stored.deliveries]
        if not any(self._owns(caller, her_id) for her_id in parties):
            raise Refusal(403, "Not authorized for HerId(s): " + ", ".join(str(her_id) for her_id in parties))
        return stored

    # -- reading ------------------------------------------------------------------------------------------------------

    def _list(self, request: Request, values: dict[str, str], caller: Caller) -> Response:
        receivers = [her_id_of("ReceiverHerIds", text) for text in request.asked("ReceiverHerIds")]
        if not receivers:
            raise invalid("The ReceiverHerIds field is required.")
        if len(set(receivers)) != len(receivers):
            raise invalid("The items of ReceiverHerIds must be unique.")
        self._demand(caller, *receivers)
        wanted = one(request, "MessagesToFetch") or "10"
        if not wanted.isascii() or not wanted.isdigit() or not 1 <= int(wanted) <= 100:
            raise invalid("The field MessagesToFetch must be between 1 and 100.")
        metadata = flag(request, "IncludeMetadata")
        rows = self._filtered(request, self.office.unread(receivers))
        return Response(200, [_message(stored, row, metadata, self.deviations) for stored, row in rows[: int(wanted)]])

    def _filtered(self, request: Request, rows: list[tuple[Stored, Delivery]]) -> list[tuple[Stored, Delivery]]:
        order = (one(request, "OrderBy") or "1").lower()
        if order not in ("1", "2", "ascending", "descending"):
            raise invalid("The value of OrderBy is not valid.")
        sender, document_id = one(request, "SenderHerId"), one(request, "BusinessDocumentId")
        if document_id is not None and len(document_id) > 100:
            raise invalid("The field BusinessDocumentId has at most 100 characters.")
        if sender:
            her_id = her_id_of("SenderHerId", sender)
            rows = [row for row in rows if row[0].sender == her_id]
        if document_id:
            rows = [row for row in rows if (row[0].msg_id or "").lower() == document_id.lower()]
        if "apprec_hidden" in self.deviations:
            rows = [row for row in rows if not row[0].is_apprec]
        return rows[::-1] if order in ("2", "descending") else rows

    def _metadata(self, request: Request, values: dict[str, str], caller: Caller) -> Response:
        stored = self._find(values, caller)
        rows = list(stored.deliveries.values())
        row = next((row for row in rows if self._owns(caller, row.receiver)), rows[0] if rows else None)
        return Response(200, _message(stored, row, True, self.deviations))

    def _document(self, request: Request, values: dict[str, str], caller: Caller) -> Response:
        stored = self._find(values, caller)
        encoded = pybase64.b64encode(stored.document).decode()
        plain = {"businessDocument": encoded, "contentType": "application/xml", "contentTransferEncoding": "base64"}
        return Response(200, plain)

    def _status(self, request: Request, values: dict[str, str], caller: Caller) -> Response:
        stored = self._find(values, caller)
        with self.office.lock:
            lines: list[dict[str, Any]] = [
                {"receiverHerId": row.receiver, "transportDeliveryState": row.transport, "appRecStatus": row.apprec}
                | ({"sent": row.sent} if "sent_member" in self.deviations else {})
                for row in stored.deliveries.values()
            ]
        return Response(200, lines)

    def _apprecs(self, request: Request, values: dict[str, str], caller: Caller) -> Response:
        stored = self._find(values, caller)
        left_out = ("description", "oid") if "apprec_details_only" in self.deviations else ()
        with self.office.lock:
            lines = [
                {
                    "receiverHerId": row.receiver,
                    "appRecStatus": row.apprec,
                    "appRecErrorList": [{k: v for k, v in error.items() if k not in left_out} for error in row.errors]
                    or None,
                }
                for row in stored.deliveries.values()
            ]
        return Response(200, lines)

    def _read(self, request: Request, values: dict[str, str], caller: Caller) -> Response:
        stored = self._find(values, caller)
        her_id = her_id_of("herId", values["herId"])
        self._demand(caller, her_id)
        if her_id not in stored.deliveries:
            raise Refusal(404, "Could not find database document")
        if not self.office.mark_read(stored, her_id) and "read_once" in self.deviations:
            raise Refusal(404, "Could not find database document")
        return Response(204, absent=True)

    # -- sending ------------------------------------------------------------------------------------------------------

    def _send(self, request: Request, values: dict[str, str], caller: Caller) -> Response:
        body = json_body(
            request,
            ("businessDocument", "contentType", "contentTransferEncoding", "ebXmlOverrides", "receiverHerIdsSubset"),
        )
        document = self._document_of(body)
        overrides = overrides_of(body.get("ebxmloverrides"))
        envelope = read_envelope(document)
        if envelope is None:
            raise self._undeducible("The business document cannot be read.")
        sender = self._sender(envelope, overrides)
        self._demand(caller, sender)
        receivers = self._receivers(envelope, body.get("receiverheridssubset"))
        if "repeat_refused" in self.deviations and self._seen(envelope, sender):
            raise invalid("A message with this MsgId was sent before.")
        stored = self.office.accept(
            document,
            envelope,
            sender=sender,
            receivers=receivers,
            overrides=overrides,
            source_system=request.headers["nhn-source-system"],
        )
        return self._created(stored)

    def _created(self, stored: Stored) -> Response:
        return Response(201, stored.id, {"Location": f"{self.url}/Messages/{stored.id}"})

    def _seen(self, envelope: Envelope, sender: int) -> bool:
        return any(stored.sender == sender for stored in self.office.find(envelope.msg_id or ""))

    def _document_of(self, body: Mapping[str, Any]) -> bytes:
        for name in ("businessDocument", "contentType", "contentTransferEncoding"):
            if not isinstance(body.get(name.lower()), str) or not body[name.lower()]:
                raise invalid(f"The {name[:1].upper()}{name[1:]} field is required.")
        if body["contenttype"].lower() != "application/xml":
            raise invalid("The ContentType must be application/xml.")
        if body["contenttransferencoding"].lower() != "base64":
            raise invalid("The ContentTransferEncoding must be base64.")
        try:
            document = pybase64.b64decode(body["businessdocument"], validate=True)
        except ValueError:
            raise invalid("The BusinessDocument is not base64.") from None
        if self.document_limit is not None and len(document) > self.document_limit:
            raise Refusal(413, f"The document is larger than {self.document_limit} bytes", 1000)
        if not declares_utf8(document):
            raise invalid("The BusinessDocument must be XML in UTF-8 and declare so in its first line.")
        return document

    def _undeducible(self, text: str) -> Refusal:
        return Refusal(403 if "undeducible_403" in self.deviations else 400, text, 1200, (text,))

    def _sender(self, envelope: Envelope, overrides: Mapping[str, Any] | None) -> int:
        level1 = bool(overrides and overrides.get("useSenderLevel1HerId"))
        address = envelope.sender
        her_id = address.level1 if level1 else (address.reached_at if envelope.is_apprec else address.level2)
        if her_id is None:
            raise self._undeducible("The sender's HER-id cannot be deduced from the business document.")
        return her_id

    def _receivers(self, envelope: Envelope, subset: object) -> tuple[int, ...]:
        named = [self._reached(address) for address in envelope.receivers]
        if envelope.is_apprec and len(named) != 1:
            raise self._undeducible("An AppRec has exactly one receiver.")
        if subset is None:
            return tuple(dict.fromkeys(named))
        if (
            not isinstance(subset, list)
            or not subset
            or not all(type(item) is int and 1 <= item <= HER_MAX for item in subset)
        ):
            raise invalid("The ReceiverHerIdsSubset must be a list of HER-ids.")
        foreign = [her_id for her_id in subset if her_id not in named]
        if foreign and "unchecked_subset" not in self.deviations:
            raise invalid("The ReceiverHerIdsSubset names a HER-id that is no receiver of the business document.")
        return tuple(dict.fromkeys(subset))

    def _reached(self, address: Address) -> int:
        her_id = address.reached_at
        if her_id is None:
            raise self._undeducible("A receiver's HER-id cannot be deduced from the business document.")
        if not self.directory.reachable(her_id):
            raise self._undeducible(
                f"HER-id {her_id} cannot be reached: it is not in the register or has no EDI address."
            )
        return her_id

    # -- AppRec by call -----------------------------------------------------------------------------------------------

    def _acknowledge(self, request: Request, values: dict[str, str], caller: Caller) -> Response:
        body = json_body(request, ("appRecStatus", "appRecErrorList", "ebXmlOverrides"))
        overrides = overrides_of(body.get("ebxmloverrides"))
        status = _STATUS.get(str(body.get("apprecstatus")).lower())
        if status is None or isinstance(body.get("apprecstatus"), bool):
            raise invalid("The AppRecStatus field is required and must be a known status.")
        errors = errors_of(body.get("apprecerrorlist"))
        if status == "2" and not errors:
            raise invalid("The AppRecErrorList field is required when the status is Rejected.")
        if status == "3" and "partial_apprec_refused" in self.deviations:
            raise invalid("The status OkErrorInMessagePart is not supported.")
        original = self._find(values, caller)
        acknowledger = her_id_of("appRecSenderHerId", values["herId"])
        self._demand(caller, acknowledger)
        self._check_original(original, acknowledger)
        stored = self.write_receipt(original, acknowledger, status, errors if status != "1" else (), overrides)
        return self._created(stored)

    def _check_original(self, original: Stored, acknowledger: int) -> None:
        if original.is_apprec:
            raise invalid("An application receipt cannot be acknowledged by one.", code=1100)
        if acknowledger not in original.deliveries:
            raise invalid("The sender of the application receipt is no receiver of the message.", code=1102)
        if original.envelope is None or original.sender is None:
            raise invalid("The parties of the message could not be read.", code=1200)
        if "second_apprec_refused" in self.deviations and original.deliveries[acknowledger].apprec is not None:
            raise invalid("The message has an application receipt by that receiver.", code=1001)

    def write_receipt(
        self,
        original: Stored,
        acknowledger: int,
        status: str,
        errors: tuple[tuple[str, str], ...],
        overrides: Mapping[str, Any] | None = None,
    ) -> Stored:
        """Write the AppRec document and deliver it to the sender of ``original``; ``status`` is a code of list 8258."""
        if original.envelope is None:
            raise ValueError("an AppRec needs the parties of its original")
        version = "1.0" if "apprec_10_always" in self.deviations else apprec_version(original.envelope.namespace)
        document = write_apprec(
            original.envelope,
            acknowledger,
            status=status,
            errors=errors,
            version=version,
            receipt_id=self.office.ids(),
            at=local_time(self.office.clock()),
        )
        return self.office.accept(
            document,
            read_envelope(document),
            sender=acknowledger,
            receivers=(original.sender,) if original.sender is not None else (),
            overrides=overrides,
            source_system=WRITTEN_BY_SERVER,
        )


_MEMBERS = ("contentType", "senderHerId", "businessDocumentId", "businessDocumentGenDate", "isAppRec")


def _message(stored: Stored, row: Delivery | None, metadata: bool, deviations: frozenset[str]) -> dict[str, Any]:
    plain: dict[str, Any] = {"id": stored.id, "receiverHerId": row.receiver if row else None}
    if metadata:
        date = stored.gen_date if when(stored.gen_date) is not None else None
        plain |= zip(_MEMBERS, ("application/xml", stored.sender, stored.msg_id, date, stored.is_apprec), strict=True)
        if "source_system_member" in deviations:
            plain["sourceSystem"] = stored.source_system or None
    elif "null_members" in deviations:
        plain |= dict.fromkeys(_MEMBERS)
    return plain
