"""Every exception the adapter raises on purpose, and the finding.

An error says four things, so that the place that catches it decides nothing: a stable ``code`` (for programs and for
the search box), whose ``fault`` it is, whether trying ``again`` can help, and what the partner is told (``apprec``, a
code from list 8221; None: the partner is told nothing). Texts name the place and the cure and never quote message
content (P21).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class Fault(StrEnum):
    """Who has to act."""

    OURS = "ours"  # a defect or a broken machine on our side
    CALLER = "caller"  # the program or person that called us
    PARTNER = "partner"  # the message or the answer from the other side
    SETTINGS = "settings"  # configuration, keys, agreements
    WORLD = "world"  # network, server, disk


class Again(StrEnum):
    """Whether the same attempt can succeed later."""

    NEVER = "never"
    LATER = "later"
    AFTER_PROOF = "after proof"  # the outcome is unknown: look for proof first (P2)


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing a check has seen.

    ``rule`` is stable (V3, N7, T01, P17 …); ``apprec`` the 8221 code that a rejection would carry, or None; ``path`` an
    XPath-like place or None; ``line`` 1-based or None; ``text`` says what is expected, never what was found in words
    (P21); ``source`` names the standard and chapter.
    """

    rule: str
    severity: Severity
    text: str
    apprec: str | None = None
    path: str | None = None
    line: int | None = None
    source: str = ""

    @property
    def blocking(self) -> bool:
        return self.severity is Severity.ERROR

    def as_json(self) -> dict[str, object]:
        return {
            "rule": self.rule,
            "severity": self.severity.value,
            "apprec": self.apprec,
            "path": self.path,
            "line": self.line,
            "text": self.text,
            "source": self.source,
        }


class AdapterError(Exception):
    """Base of all. ``str(error)`` is safe to log."""

    code: str = "ADAPTER"
    fault: ClassVar[Fault] = Fault.OURS
    again: ClassVar[Again] = Again.NEVER
    apprec: ClassVar[str | None] = None

    def __init__(
        self, text: str, *, code: str | None = None, where: str | None = None, cure: str | None = None
    ) -> None:
        super().__init__(text)
        if code:
            self.code = code
        self.text = text
        self.where = where
        self.cure = cure

    def __str__(self) -> str:
        place = f" [{self.where}]" if self.where else ""
        cure = f" Cure: {self.cure}" if self.cure else ""
        return f"{self.code}: {self.text}{place}{cure}"


class SettingsError(AdapterError):
    """Settings, keys or agreements that cannot work; the adapter refuses to start or to send."""

    code = "SETTINGS"
    fault = Fault.SETTINGS


class InputError(AdapterError):
    """Input from the caller that has no meaning: an unknown field, a wrong type. ``where`` is the JSON path."""

    code = "INPUT"
    fault = Fault.CALLER


class IdentifierError(InputError):
    """An identifier without the form its kind must have. The value itself is never in the text (P21)."""

    code = "IDENTIFIER"


class RefusedError(AdapterError):
    """A message that may not leave: ``findings`` tell why. Nothing was stored."""

    code = "REFUSED"
    fault = Fault.CALLER

    def __init__(self, text: str, findings: Iterable[Finding] = (), **extra: str | None) -> None:
        super().__init__(text, **extra)
        self.findings = tuple(findings)


class UnreadableError(AdapterError):
    """Bytes that are not an XML document we are willing to parse (T01; engineering: hardening)."""

    code = "T01"
    fault = Fault.PARTNER
    apprec = "T01"

    def __init__(self, text: str, *, line: int | None = None, **extra: str | None) -> None:
        super().__init__(text, **extra)
        self.line = line


class UnsupportedError(AdapterError):
    """Well formed, but of a kind or version that we do not treat (T10)."""

    code = "T10"
    fault = Fault.PARTNER
    apprec = "T10"


class SignatureError(AdapterError):
    """A signature that is broken or against our policy: nothing it covers may be read."""

    code = "S01"
    fault = Fault.PARTNER
    apprec = "S01"


class EnvelopeSignatureError(AdapterError):
    """An ebXML envelope's signature that is broken, incomplete or against our policy: answered by a MessageError.

    ``rule`` is the numbered rule of HITS 1172 (45 absent, 50 broken, 44 another certificate …); ``covered`` and
    ``uncovered`` are reference URIs (``""`` for the envelope, ``cid:…``) as far as they were found.
    """

    code = "ENVELOPE"
    fault = Fault.PARTNER

    def __init__(
        self,
        text: str,
        *,
        rule: str = "50",
        covered: Iterable[str] = (),
        uncovered: Iterable[str] = (),
        algorithms: Iterable[str] = (),
        **extra: str | None,
    ) -> None:
        super().__init__(text, **extra)
        self.rule = rule
        self.covered = tuple(covered)
        self.uncovered = tuple(uncovered)
        self.algorithms = tuple(algorithms)


class DecryptionError(AdapterError):
    """An attachment that cannot be decrypted. One code and one text for every cause, so that nobody outside learns
    from a difference; ``reason`` is for our own log alone and never leaves the house.
    """

    code = "DECRYPT"
    fault = Fault.PARTNER

    def __init__(self, reason: str) -> None:
        super().__init__("the attachment cannot be decrypted")
        self.reason = reason


class TrustError(AdapterError):
    """A sound signature by a certificate we do not accept; ``apprec`` is S02 or S03."""

    code = "S02"
    fault = Fault.PARTNER
    apprec = "S02"


class KeyFileError(SettingsError):
    """A key file that is missing, readable by others, or not openable."""

    code = "KEY"


class CardError(KeyFileError):
    """A key on a card or in an HSM that cannot be used now: away, locked, another card, a refused PIN.

    Nothing was signed. What was to be signed waits until a person has seen to it.
    """

    code = "KEY.CARD"
    again = Again.LATER


class NotFoundError(AdapterError):
    """No such message, delivery or party."""

    code = "NOT_FOUND"
    fault = Fault.CALLER


class AmbiguousError(AdapterError):
    """A look-up with more than one hit; the text lists HER-ids and names of the hits (P24)."""

    code = "AMBIGUOUS"
    fault = Fault.CALLER


class StateError(AdapterError):
    """A state change that the table forbids, or a row that somebody else moved first."""

    code = "STATE"
    fault = Fault.CALLER


class ConflictError(AdapterError):
    """Same key, other content (P3, P6)."""

    code = "CONFLICT"
    fault = Fault.CALLER


class StoreError(AdapterError):
    """The database is locked, full, read-only or gone; nothing was changed."""

    code = "STORE"
    fault = Fault.WORLD
    again = Again.LATER


class TransportError(AdapterError):
    """The other end could not be reached, and nothing was sent: safe to try again."""

    code = "TRANSPORT"
    fault = Fault.WORLD
    again = Again.LATER

    def __init__(self, text: str, *, retry_after_s: float | None = None, **extra: str | None) -> None:
        super().__init__(text, **extra)
        self.retry_after_s = retry_after_s


class UnknownOutcomeError(TransportError):
    """The connection broke after bytes were sent: the message may or may not have arrived (P2)."""

    code = "UNKNOWN_OUTCOME"
    again = Again.AFTER_PROOF


class RemoteRefusalError(AdapterError):
    """The server understood and said no (4xx): content, addressing or authorisation must change first."""

    code = "REMOTE_REFUSAL"
    fault = Fault.PARTNER

    def __init__(
        self, text: str, *, status: int, remote_code: int | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.remote_code = remote_code
        self.request_id = request_id


class AccessError(RemoteRefusalError):
    """401, 403, 423, HID-* or a rejected scope: stops this tenant only, one alarm, no retry storm (P23)."""

    code = "ACCESS"
    fault = Fault.SETTINGS
