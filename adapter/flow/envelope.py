"""Open an ebXML message: the formats of ``ebxml`` and the keys of ``security`` meet here.

1 unpack and read   2 verify what is signed   3 decrypt, when there are keys   4 judge: failed rules and the one answer
``adapter open`` runs it on a file and asks for integrity only; the receiving journey adds partners, keys and trust.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import adapter.documents as documents
import adapter.xmlio as xmlio
from adapter.ebxml.check_names import check_named_type
from adapter.ebxml.names import Kind
from adapter.ebxml.opening import Judged, Opened, SignatureOutcome, judge, open_json, open_message
from adapter.ebxml.plaintext import Plaintext, read_plaintext
from adapter.ebxml.read import signature_of
from adapter.ebxml.rulebook import Hit
from adapter.errors import DecryptionError, EnvelopeSignatureError, UnreadableError, UnsupportedError

if TYPE_CHECKING:
    from adapter.security.cms import DecryptionKey
    from adapter.security.envelope_signature import VerifiedEnvelope

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
    signature, _ = read_signature(opened, allow_sha1=True)
    plaintexts = None if keys is None else decrypt_parts(opened, keys, allow_3des=True)
    more = tuple(_named_otherwise(opened, plaintexts or {}))
    judged = judge(opened, signature, plaintexts, now=now, more=more)
    return OpenedEnvelope(opened=opened, signature=signature, plaintexts=plaintexts, judged=judged)


def _named_otherwise(opened: Opened, plaintexts: dict[int, Plaintext | None]) -> Iterator[Hit]:
    """Rule 270: the first document is not of the type that the envelope announces."""
    plain = plaintexts.get(0)
    if plain is None:
        return
    try:
        facts = documents.read_facts(documents.unwrap(xmlio.parse(plain.content)))
    except (UnreadableError, UnsupportedError):  # what it is, another rule tells
        return
    if facts.namespace:
        yield from check_named_type(opened.envelope, facts.namespace)


def read_signature(opened: Opened, *, allow_sha1: bool) -> tuple[SignatureOutcome, VerifiedEnvelope | None]:
    """The outcome of the envelope's signature, and what was signed when it holds; whose it is, the caller judges."""
    if opened.root is None or signature_of(opened.root) is None:
        return SignatureOutcome(status="absent"), None
    from adapter.security.envelope_signature import verify_envelope

    signal = opened.envelope.kind is not Kind.PAYLOAD
    try:
        found = verify_envelope(opened.root, opened.parts(), allow_sha1=allow_sha1, signal=signal)
    except EnvelopeSignatureError as error:
        status = "absent" if error.rule == NO_SIGNATURE else "invalid"
        names = {"covered": error.covered, "algorithms": error.algorithms}
        return SignatureOutcome(status=status, rule=error.rule, **names), None
    except UnreadableError:  # it cannot be canonicalised, so nobody can have signed it
        return SignatureOutcome(status="invalid", rule="50"), None
    return SignatureOutcome(status="valid", covered=found.covered, algorithms=found.algorithms), found


def decrypt_parts(
    opened: Opened, keys: Sequence[DecryptionKey], *, allow_3des: bool, log: logging.Logger | None = None
) -> dict[int, Plaintext | None]:
    """What the encrypted attachments hold, by their places; None for each that cannot be had, whatever the cause.

    ``log`` takes the codes of the causes, for ourselves alone.
    """
    from adapter.security.cms import decrypt

    found: dict[int, Plaintext | None] = {}
    for number, part in enumerate(opened.attachments):
        if not part.encrypted or part.content is None:
            continue
        try:
            plain = read_plaintext(decrypt(part.content, keys, allow_3des=allow_3des))
        except (DecryptionError, UnreadableError) as error:
            if log is not None:
                log.warning("not decrypted", extra={"code": error.code})
            plain = None
        # A forged key gives noise once in 256 times: it is answered as every other failure.
        found[number] = plain if plain is not None and is_known_file(plain.content) else None
    return found


def is_known_file(content: bytes) -> bool:
    """True for XML, and for what goes beside a document as a file (HIS 1036); never for noise."""
    begin = content[:200].removeprefix(b"\xef\xbb\xbf").lstrip()
    return begin.startswith((b"<", *_FILES))


# The first octets of PDF, PNG, JPEG, TIFF (both orders), RTF and ZIP.
_FILES = (b"%PDF-", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*", b"{\\rtf", b"PK\x03\x04")
