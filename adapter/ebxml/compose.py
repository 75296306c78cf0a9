"""What we say: the envelopes of payload messages and signals as words, ready for ``build``.

A signal copies CPAId and ConversationId and swaps the parties without roles (HIS 1037 7.2.1, HITS 1171 5.3); ids and
times are handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from adapter.ebxml.names import ACTOR_TO_PARTY, HER, SIGNAL_SERVICE, Kind
from adapter.ebxml.words import (
    AckRequest,
    EbError,
    Envelope,
    ErrorReport,
    Participant,
    PayloadReference,
    Receipt,
    SignedReference,
    Software,
    cpa_id_without_agreement,
)
from adapter.errors import InputError
from adapter.model.process import Process


def payload_message(
    *,
    sender: int,
    receiver: int,
    process: Process,
    cpa_id: str,
    conversation_id: str,
    message_id: str,
    now: datetime,
    content_id: str,
    namespace: str,
    version: str,
    software: Software,
    ref_to_message_id: str | None = None,
    time_to_live: datetime | None = None,
    acknowledge: bool = True,
    service_type: str = "string",
) -> Envelope:
    """A business message with one payload part ``content_id`` (without brackets).

    ``namespace`` and ``version`` are those of the first document (HITS 1210 5.1). ``ref_to_message_id`` only for NAV
    (standards digest 3.3). ``acknowledge=False`` is the synchronous HTTP form: SyncReply, neither AckRequested nor
    DuplicateElimination.
    """
    return Envelope(
        kind=Kind.PAYLOAD,
        sender=Participant.of(sender, process.from_role),
        receiver=Participant.of(receiver, process.to_role),
        cpa_id=cpa_id,
        conversation_id=conversation_id,
        service=process.service,
        service_type=service_type,
        action=process.action,
        message_id=message_id,
        timestamp=now,
        ref_to_message_id=ref_to_message_id,
        time_to_live=time_to_live,
        duplicate_elimination=acknowledge,
        description=software.text(),
        ack_request=AckRequest(signed=True, actor=ACTOR_TO_PARTY) if acknowledge else None,
        sync_reply=not acknowledge,
        manifest=(PayloadReference(href=f"cid:{content_id}", namespace=namespace, version=version),),
    )


def acknowledgment(
    received: Envelope, references: Sequence[SignedReference], *, message_id: str, now: datetime, software: Software
) -> Envelope:
    """The receipt of a payload message, with every ds:Reference of its signature; never MessageData/RefToMessageId.

    Raises InputError for a signal, which is never acknowledged (HIS 1037 9.1).
    """
    if received.kind is not Kind.PAYLOAD:
        raise InputError("only a payload message is acknowledged", where="received.kind")
    if not received.message_id:
        raise InputError("a message without MessageId cannot be acknowledged", where="received.message_id")
    receipt = Receipt(ref_to_message_id=received.message_id, timestamp=now, references=tuple(references))
    return _signal(received, Kind.ACKNOWLEDGMENT, message_id, now, software, receipt=receipt)


def message_error(
    received: Envelope, errors: Sequence[EbError], *, message_id: str, now: datetime, software: Software
) -> Envelope:
    """The error report on a payload message. Errors that are all warnings make it a receipt (HITS 1171 8.4).

    Raises InputError without errors, for a signal, and for a message without id: a report must name one (rule 122).
    """
    if not errors:
        raise InputError("an error report has at least one error", where="errors")
    if received.kind in (Kind.ACKNOWLEDGMENT, Kind.MESSAGE_ERROR):
        raise InputError("a signal is never answered by a signal", where="received.kind")
    if not received.message_id:
        raise InputError("a message without MessageId cannot be reported on", where="received.message_id")
    report = ErrorReport(tuple(errors))
    return _signal(
        received, Kind.MESSAGE_ERROR, message_id, now, software, report=report, ref_to_message_id=received.message_id
    )


def pong(received: Envelope, *, message_id: str, now: datetime, software: Software) -> Envelope:
    """The answer to a Ping; it names the Ping's MessageId."""
    return _signal(received, Kind.PONG, message_id, now, software, ref_to_message_id=received.message_id)


def status_response(received: Envelope, status: str, *, message_id: str, now: datetime, software: Software) -> Envelope:
    """The answer to a StatusRequest: ``status`` is one of ``words.MESSAGE_STATUSES``."""
    return _signal(
        received,
        Kind.STATUS_RESPONSE,
        message_id,
        now,
        software,
        ref_to_message_id=received.message_id,
        asked_message_id=received.asked_message_id,
        message_status=status,
    )


def question(
    kind: Kind,
    *,
    sender: int,
    receiver: int,
    cpa_id: str,
    conversation_id: str,
    message_id: str,
    now: datetime,
    software: Software,
    asked_message_id: str | None = None,
) -> Envelope:
    """A Ping, or a StatusRequest about the message ``asked_message_id``; used by agreement only (HIS 1037 3.2)."""
    if kind not in (Kind.PING, Kind.STATUS_REQUEST):
        raise InputError("only Ping and StatusRequest ask", where="kind")
    return Envelope(
        kind=kind,
        sender=Participant.of(sender),
        receiver=Participant.of(receiver),
        cpa_id=cpa_id,
        conversation_id=conversation_id,
        service=SIGNAL_SERVICE,
        action=kind.value,
        message_id=message_id,
        timestamp=now,
        description=software.text(),
        asked_message_id=asked_message_id,
    )


def _signal(
    received: Envelope, kind: Kind, message_id: str, now: datetime, software: Software, **more: object
) -> Envelope:
    """What the received message lacks is filled, so that the sender of a faulty one can be told at all."""
    return Envelope(
        kind=kind,
        sender=_answering(received.receiver),
        receiver=_answering(received.sender),
        cpa_id=received.cpa_id or _cpa_id(received),
        conversation_id=received.conversation_id or received.message_id,
        service=SIGNAL_SERVICE,
        action=kind.value,
        message_id=message_id,
        timestamp=now,
        description=software.text(),
        **more,  # type: ignore[arg-type]
    )


def _answering(side: Participant) -> Participant:
    """The party's usable ids without its role: typed, not empty, and one HER-id at most."""
    usable = [one for one in side.ids if one.value and one.type]
    first = next((one for one in usable if one.type == HER), None)
    return Participant(tuple(one for one in usable if one.type != HER or one is first))


def _cpa_id(received: Envelope) -> str:
    one, other = received.sender.her_id, received.receiver.her_id
    return cpa_id_without_agreement(one, other) if one and other else "unknown"
