"""Open an ebXML message: the formats of ``ebxml`` and the keys of ``security`` meet here.

1 unpack and read   2 verify what is signed   3 decrypt, when there are keys   4 judge: failed rules and the one answer
``adapter open`` runs it on a file and asks for integrity only; trust needs a partner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from adapter.ebxml.names import Kind
from adapter.ebxml.opening import Judged, Opened, SignatureOutcome, judge, open_json, open_message
from adapter.ebxml.plaintext import Plaintext, read_plaintext
from adapter.errors import DecryptionError, EnvelopeSignatureError, UnreadableError

if TYPE_CHECKING:
    from adapter.security.cms import DecryptionKey

NO_SIGNATURE = "45"  # HITS 1172


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OpenedEnvelope:
    """What came of it. ``plaintexts`` by the attachment's place; None when no key was given, so nothing was tried."""

    opened: Opened
    signature: SignatureOutcome
    plaintexts: dict[int, Plaintext | None] | None
    judged: Judged

    def as_json(self, file: str) -> dict[str, object]:
        """The line of ``adapter open --json`` (DESIGN section 7)."""
        return open_json(file, self.opened, self.judged, self.signature, self.plaintexts)


def open_envelope(
    data: bytes, *, keys: Sequence[DecryptionKey] | None = None, now: datetime | None = None
) -> OpenedEnvelope:
    """A mail, an HTTP capture or a bare envelope. Never raises for anything in it.

    SHA-1 is let through with a warning here; a journey refuses it unless the partner's entry allows it (P17).
    """
    opened = open_message(data)
    signature = _verify(opened)
    plaintexts = None if keys is None else _decrypt(opened, keys)
    return OpenedEnvelope(
        opened=opened, signature=signature, plaintexts=plaintexts, judged=judge(opened, signature, plaintexts, now=now)
    )


def _verify(opened: Opened) -> SignatureOutcome:
    if opened.root is None:
        return SignatureOutcome(status="absent")
    from adapter.security.envelope_signature import verify_envelope

    signal = opened.envelope.kind is not Kind.PAYLOAD
    try:
        found = verify_envelope(opened.root, opened.parts(), allow_sha1=True, signal=signal)
    except EnvelopeSignatureError as error:
        status = "absent" if error.rule == NO_SIGNATURE else "invalid"
        return SignatureOutcome(status=status, covered=error.covered, algorithms=error.algorithms, rule=error.rule)
    return SignatureOutcome(status="valid", covered=found.covered, algorithms=found.algorithms)


def _decrypt(opened: Opened, keys: Sequence[DecryptionKey]) -> dict[int, Plaintext | None]:
    from adapter.security.cms import decrypt

    found: dict[int, Plaintext | None] = {}
    for number, part in enumerate(opened.attachments):
        if part.encrypted and part.content is not None:
            try:
                found[number] = read_plaintext(decrypt(part.content, keys, allow_3des=True))
            except (DecryptionError, UnreadableError):
                found[number] = None  # one outward answer, whatever the cause
    return found
