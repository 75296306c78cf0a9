"""The frozen words of an ebXML message: what the envelope says, without XML around it.

``Envelope`` is both what is built and what is read. Reading keeps strings as written (blanks around taken off) and
None for what is absent, and never raises for content; the rules judge afterwards.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from adapter.ebxml.names import ERROR_CONTEXT, HER, ORGANISATION_TYPES, ErrorCode, Kind
from adapter.errors import InputError


@dataclass(frozen=True, slots=True)
class PartyId:
    """An identifier and its type, a plain word: HER, ENH, orgnummer (HIS 1037 6.2.1)."""

    value: str
    type: str | None = HER


@dataclass(frozen=True, slots=True)
class Participant:
    """One side of a message: exactly one HER-id in the national form; several ids denote one party."""

    ids: tuple[PartyId, ...]
    role: str | None = None

    @classmethod
    def of(cls, her_id: int, role: str | None = None) -> Participant:
        return cls((PartyId(str(her_id)),), role)

    @property
    def her_id(self) -> int | None:
        """The one HER-id, or None when there is none, several, or one that is no number."""
        found = [one.value for one in self.ids if one.type == HER]
        digits = found[0] if len(found) == 1 else ""
        return int(digits) if digits.isascii() and digits.isdigit() and 0 < len(digits) <= 10 else None

    @property
    def organisation_number(self) -> str | None:
        """The nine digits of an ENH or orgnummer id, or None."""
        for one in self.ids:
            if one.type in ORGANISATION_TYPES and len(one.value) == 9 and one.value.isascii() and one.value.isdigit():
                return one.value
        return None

    @property
    def known(self) -> bool:
        """True when the party can be looked up: by HER-id, else by organisation number."""
        return self.her_id is not None or self.organisation_number is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """Names and versions in eb:Description (HITS 1210:2018 5.2); the first two are required in every envelope."""

    msh: str
    msh_version: str
    system: str | None = None
    system_version: str | None = None
    middleware: str | None = None
    middleware_version: str | None = None

    def text(self) -> str:
        """The JSON object on one line for eb:Description. Raises InputError without the two MSH texts (P29)."""
        if not self.msh.strip() or not self.msh_version.strip():
            raise InputError("name and version of the message handler are required", where="software.msh")
        named = {key: getattr(self, name) for key, name in SOFTWARE_KEYS.items() if getattr(self, name)}
        return json.dumps(named, ensure_ascii=False, separators=(",", ":"))


SOFTWARE_KEYS = {
    "MSH-system": "msh",
    "MSH-versjon": "msh_version",
    "fagsystem": "system",
    "fagsystem-versjon": "system_version",
    "mellomvare": "middleware",
    "mellomvare-versjon": "middleware_version",
}


def read_software(description: str | None) -> dict[str, str]:
    """The known keys of eb:Description that have a text; empty when it is no JSON object. Never rejects anything."""
    if not description or len(description) > 20_000:
        return {}
    try:
        plain: Any = json.loads(description)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(plain, dict):
        return {}
    return {key: plain[key] for key in SOFTWARE_KEYS if isinstance(plain.get(key), str) and plain[key].strip()}


@dataclass(frozen=True, slots=True)
class Transform:
    """One ds:Transform; ``prefixes`` are the namespaces that the XPath text names."""

    algorithm: str
    xpath: str | None = None
    prefixes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedReference:
    """A ds:Reference as data: in a signature, and repeated in the Acknowledgment as proof of receipt (rules 116, 117).

    ``uri`` is "" for the envelope and "cid:…" for a part; ``digest`` the base64 text without blanks.
    """

    uri: str | None
    digest_method: str | None
    digest: str | None
    transforms: tuple[Transform, ...] = ()

    def proves(self, other: SignedReference) -> bool:
        """True when both name the same octets with the same digest."""
        return (self.uri, self.digest_method, self.digest) == (other.uri, other.digest_method, other.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class AckRequest:
    signed: bool | None = True
    actor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """eb:Acknowledgment: which message arrived, when it was generated, and the signed references of that message."""

    ref_to_message_id: str | None
    timestamp: datetime | None = None
    sender: Participant | None = None
    references: tuple[SignedReference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EbError:
    """One eb:Error; ``location`` is an XPath for XML faults and ``cid:…`` for packaging faults."""

    code: str
    severity: str = "Error"
    text: str | None = None
    location: str | None = None
    context: str = ERROR_CONTEXT


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """eb:ErrorList. Only warnings means: the message was processed, and this is a receipt (HITS 1171 8.4)."""

    errors: tuple[EbError, ...]
    written_severity: str | None = None

    @property
    def severity(self) -> str:
        """Computed from the errors, because partners write the highest severity wrongly; an empty list is Error."""
        return "Warning" if self.errors and all(one.severity == "Warning" for one in self.errors) else "Error"


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadReference:
    """One eb:Reference of the Manifest: ``href`` is "cid:…"; ``namespace``, ``version`` are eb:Schema (HITS 1210)."""

    href: str | None
    namespace: str | None = None
    version: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A SOAP 1.1 Fault: its code's local name."""

    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One ebMS 2.0 message without its attachments.

    ``kind`` is None when the envelope is not interpretable as ebXML. ``timestamp`` is UTC; ``manifest`` None when there
    is no Manifest. ``sync_reply`` and ``message_order`` tell that the block is there.
    """

    kind: Kind | None
    sender: Participant = field(default=Participant(()))
    receiver: Participant = field(default=Participant(()))
    cpa_id: str | None = None
    conversation_id: str | None = None
    service: str | None = None
    service_type: str | None = None
    action: str | None = None
    message_id: str | None = None
    timestamp: datetime | None = None
    ref_to_message_id: str | None = None
    time_to_live: datetime | None = None
    duplicate_elimination: bool = False
    description: str | None = None
    ack_request: AckRequest | None = None
    sync_reply: bool = False
    message_order: bool = False
    receipt: Receipt | None = None
    report: ErrorReport | None = None
    manifest: tuple[PayloadReference, ...] | None = None
    asked_message_id: str | None = None  # StatusRequest and StatusResponse
    message_status: str | None = None
    fault: Fault | None = None

    def expired(self, now: datetime) -> bool:
        """True after TimeToLive; a message without one does not expire here."""
        return self.time_to_live is not None and now > self.time_to_live


MESSAGE_STATUSES = ("UnAuthorized", "NotRecognized", "Received", "Processed", "Forwarded")
ERROR_CODES = frozenset(code.value for code in ErrorCode)


def cpa_id_without_agreement(one: int, other: int) -> str:
    """``<lowest>_<highest>`` of the two HER-ids as numbers, the same in both directions (HIS 1037 6.2.1).

    A party without any address in the register is named by its organisation number instead. Raises InputError.
    """
    if one < 1 or other < 1:
        raise InputError("a CPAId is made of two positive numbers", where="cpa_id")
    return f"{min(one, other)}_{max(one, other)}"
