"""Which answer a received message gets: from failed rules to Acknowledgment, MessageError, SOAP Fault or nothing.

HITS 1172 4.2.2: every payload message that gives no Fault gets exactly one signal; a signal gets none. The most exact
error decides (HITS 1171 5.2.4), so a schema fault speaks only where no numbered rule does. ``FAULTS`` are the faults
that show later, at the agreement, the keys or the clock, with the source that decides their code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from adapter.ebxml.names import ErrorCode, Kind, Road
from adapter.ebxml.rulebook import RULES, Act, Hit, in_order
from adapter.ebxml.words import EbError, Envelope


class AnswerKind(StrEnum):
    ACKNOWLEDGMENT = "Acknowledgment"
    MESSAGE_ERROR = "MessageError"
    SOAP_FAULT = "SoapFault"
    PONG = "Pong"
    STATUS_RESPONSE = "StatusResponse"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer, the errors it reports, and the rule and source that decided."""

    kind: AnswerKind
    errors: tuple[EbError, ...] = ()
    rule: str | None = None
    source: str = ""
    fault_code: str = "Client"  # of a SOAP Fault: Client or MustUnderstand

    @property
    def error_code(self) -> str | None:
        """The first error's code; None for every other answer."""
        return self.errors[0].code if self.errors else None

    @property
    def positive(self) -> bool:
        """True when the partner may stop sending: an Acknowledgment, or a report of warnings only."""
        warned = bool(self.errors) and all(one.severity == "Warning" for one in self.errors)
        return self.kind is AnswerKind.ACKNOWLEDGMENT or (self.kind is AnswerKind.MESSAGE_ERROR and warned)

    @property
    def taken(self) -> bool:
        """True when the message goes to its reader: answered positively, or sound in the synchronous form."""
        return self.positive or (self.kind is AnswerKind.NONE and self.rule == "EB18")


@dataclass(frozen=True, slots=True)
class FaultRow:
    """A fault outside the octets: the answer's code (None: no MessageError), its location, and who decides it.

    ``apprec`` is the code of the negative AppRec that answers it instead; without either nothing is answered.
    """

    code: ErrorCode | None
    location: str | None
    text: str
    source: str
    apprec: str | None = None


_HEADER = "//eb:MessageHeader"
_CPA, _FROM, _TO = f"{_HEADER}/eb:CPAId", f"{_HEADER}/eb:From/eb:PartyId", f"{_HEADER}/eb:To/eb:PartyId"
_PRACTICE = "ebXML practice 8.2"
FAULTS: dict[str, FaultRow] = {
    "cpa_unknown": FaultRow(
        ErrorCode.VALUE_NOT_RECOGNIZED, _CPA, "the agreement is not known", "HITS 1172 110; HISD 1177 7.1"
    ),
    "cpa_not_in_force": FaultRow(ErrorCode.DELIVERY_FAILURE, _CPA, "the agreement is not in force", _PRACTICE),
    "sender_not_in_cpa": FaultRow(
        ErrorCode.INCONSISTENT, _FROM, "the sender is no party of the agreement", "HITS 1172 111"
    ),
    "receiver_not_in_cpa": FaultRow(
        ErrorCode.INCONSISTENT, _TO, "the receiver is no party of the agreement", "HITS 1172 112"
    ),
    "receiver_not_ours": FaultRow(ErrorCode.DELIVERY_FAILURE, _TO, "the receiver is not served here", "HITS 1172 54a"),
    "process_not_agreed": FaultRow(
        ErrorCode.VALUE_NOT_RECOGNIZED, f"{_HEADER}/eb:Action", "role, service and action are not agreed", _PRACTICE
    ),
    "role_missing": FaultRow(ErrorCode.INCONSISTENT, f"{_HEADER}/eb:From/eb:Role", "the role is missing", _PRACTICE),
    "service_discontinued": FaultRow(
        ErrorCode.NOT_SUPPORTED, f"{_HEADER}/eb:Service", "the service is no longer offered", _PRACTICE
    ),
    "expired": FaultRow(
        ErrorCode.TIME_TO_LIVE_EXPIRED, f"{_HEADER}/eb:MessageData/eb:TimeToLive", "it came too late", _PRACTICE
    ),
    "certificate_unknown": FaultRow(
        ErrorCode.SECURITY_FAILURE, "//ds:Signature", "no signing certificate is known for the sender", "HITS 1172 79"
    ),
    "certificate_other": FaultRow(
        ErrorCode.SECURITY_FAILURE, "//ds:X509Certificate", "the certificate is not the agreed one", "HITS 1172 44"
    ),
    "certificate_invalid": FaultRow(
        ErrorCode.SECURITY_FAILURE, "//ds:X509Certificate", "the certificate is not accepted", _PRACTICE
    ),
    "signature_broken": FaultRow(
        ErrorCode.SECURITY_FAILURE, "//ds:Signature", "the signature does not hold", "HITS 1172 50"
    ),
    "part_not_signed": FaultRow(
        ErrorCode.SECURITY_FAILURE, "//ds:SignedInfo", "a part is not covered by the signature", "HITS 1171 5.2.5"
    ),
    "sha1": FaultRow(ErrorCode.SECURITY_FAILURE, "//ds:SignedInfo", "SHA-1 is not agreed with this partner", _PRACTICE),
    # One text for every way in which decryption can fail, so that nobody learns from the difference.
    "not_decrypted": FaultRow(
        ErrorCode.SECURITY_FAILURE, "//eb:Manifest", "the attachment cannot be decrypted", "HITS 1172 263"
    ),
    "not_inflated": FaultRow(
        ErrorCode.SECURITY_FAILURE, "//eb:Manifest", "the attachment cannot be decrypted", _PRACTICE
    ),
    "conflict": FaultRow(
        ErrorCode.INCONSISTENT,
        f"{_HEADER}/eb:MessageData/eb:MessageId",
        "the id was used for another message",
        "HITS 1172 5.8.2; house practice P3",
    ),
    # The document's own faults come after the Acknowledgment (HITS 1171 8.2) and are answered by an AppRec, as long as
    # its head can be read and it is not an AppRec itself; everything else waits for a person.
    "document_signature": FaultRow(
        None, None, "the document's signature does not hold", f"{_PRACTICE}; HITS 1168", apprec="S01"
    ),
    "document_schema": FaultRow(None, None, "the document breaks its schema", f"{_PRACTICE}; HITS 1168", apprec="T02"),
    "document_rejected": FaultRow(
        None, None, "the document's content is rejected", "HIS 1037 4.3; HITS 1168 K15", apprec="by its rule"
    ),
    "document_unreadable": FaultRow(None, None, "nobody can be told: no head was read", "HITS 1171 8.2; HITS 1168"),
    "receipt_faulty": FaultRow(None, None, "an AppRec is never answered by an AppRec", "HITS 1168; house practice P10"),
    # Ours: nothing untrue is said, and the partner sends again.
    "ours": FaultRow(None, None, "our own fault: tried again, nothing is said", "house practice"),
}
_PLAIN = re.compile(r"[!-~]{1,300}")  # what a partner wrote is given back only when it is short and plain
_GENERIC = frozenset({"16", "17"})


def fault_error(fault: str) -> EbError:
    """The eb:Error of a row of FAULTS. Raises KeyError for a row that has none, or no such row."""
    row = FAULTS[fault]
    if row.code is None:
        raise KeyError(fault)
    return EbError(code=row.code.value, text=row.text, location=row.location)


def decide(envelope: Envelope | None, hits: Iterable[Hit], road: Road | None) -> Answer:
    """The one answer to a received message with these failed rules.

    Over mail a Fault goes only to a sender that can be looked up in the register (P19): without a readable sender the
    answer is none. Ping and status requests, bounces and Faults have answers of their own, or none: kind NONE.
    """
    ordered = in_order(list(hits))
    if any(hit.rule in ("EB22", "EB23") for hit in ordered) or any(hit.advice[0] is Act.DISCARD for hit in ordered):
        return Answer(kind=AnswerKind.NONE, source="HITS 1172 4.2.2")
    kind = envelope.kind if envelope else None
    if kind is not None and kind is not Kind.PAYLOAD:
        return Answer(kind=AnswerKind.NONE, source="HIS 1037 9.1")
    fault = next((hit for hit in ordered if hit.advice[0] is Act.FAULT), None)
    if fault is not None or kind is None:
        reachable = road is not Road.SMTP or (envelope is not None and envelope.sender.known)
        reachable = reachable and not any(hit.rule == "EB31" for hit in ordered)
        rule = fault.rule if fault else None
        spoken = fault is not None and reachable
        return Answer(
            kind=AnswerKind.SOAP_FAULT if spoken else AnswerKind.NONE,
            rule=rule,
            source="HITS 1172 4.2.2.3" if spoken else "house practice P19",
            fault_code="MustUnderstand" if any(hit.rule == "100" for hit in ordered) else "Client",
        )
    return _signal(envelope, ordered)


def _signal(envelope: Envelope | None, ordered: Sequence[Hit]) -> Answer:
    for act, severity in ((Act.ERROR, "Error"), (Act.WARNING, "Warning")):
        wanted = [hit for hit in ordered if hit.advice[0] is act]
        exact = [hit for hit in wanted if hit.rule not in _GENERIC] or wanted
        if exact:
            rule = RULES[exact[0].rule]
            source = f"HITS 1172 {rule.id}" if rule.numbered else rule.source
            errors = tuple(dict.fromkeys(_error(hit, severity) for hit in exact))
            return Answer(kind=AnswerKind.MESSAGE_ERROR, errors=errors[:20], rule=rule.id, source=source)
    if envelope is not None and envelope.sync_reply and envelope.ack_request is None:
        return Answer(kind=AnswerKind.NONE, rule="EB18", source=RULES["EB18"].source)
    return Answer(kind=AnswerKind.ACKNOWLEDGMENT, source="HIS 1037 5.2")


def _error(hit: Hit, severity: str) -> EbError:
    _, code = hit.advice
    rule = RULES[hit.rule]
    location = hit.location if hit.location and _PLAIN.fullmatch(hit.location) else hit.path
    if location and location.startswith("/"):
        location = "/" + location.removeprefix("/Envelope")
    return EbError(code=(code or ErrorCode.UNKNOWN).value, severity=severity, text=rule.text, location=location)
