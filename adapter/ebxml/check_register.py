"""HITS 1172 5.9.1, 5.9.3 and 5.9.4 against address register entries that the caller looked up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from email.utils import parseaddr

from adapter.ebxml.mime import Package
from adapter.ebxml.names import Road
from adapter.ebxml.rulebook import Act, Hit
from adapter.ebxml.words import Envelope
from adapter.model.partner import PartyType, RegisterEntry

_HEADER = "/Envelope/Header/MessageHeader"


def check_register(
    envelope: Envelope,
    package: Package | None,
    sender: RegisterEntry | None,
    receiver: RegisterEntry | None,
    *,
    signer: bytes | None,
) -> Iterator[Hit]:
    """Failed rules for entries found by HER-id (None: not in the register); ``signer`` is the certificate's DER."""
    for entry, name, absent, kind in ((sender, "From", "29", "30"), (receiver, "To", "54a", "54b")):
        if entry is None:
            yield Hit(absent, f"{_HEADER}/{name}/PartyId")
        elif entry.type is PartyType.ORGANIZATION:
            yield Hit(kind, f"{_HEADER}/{name}/PartyId")
    if package is not None and package.road is Road.SMTP:
        for entry, field, rule in ((sender, "From", "261"), (receiver, "To", "262")):
            written = parseaddr(package.head.get(field) or "")[1].removeprefix("mailto:")
            if entry is not None and entry.edi_address and written.lower() != entry.edi_address.lower():
                yield Hit(rule, field)
    if sender is not None and signer is not None:
        yield from _certificate(envelope, sender, signer)


def _certificate(envelope: Envelope, sender: RegisterEntry, signer: bytes) -> Iterator[Hit]:
    place = "/Envelope/Header/Signature/KeyInfo"
    entry = sender.signing
    if entry is None:
        yield Hit("79", place)
        return
    thumbprint = hashlib.sha1(signer, usedforsecurity=False).hexdigest()
    if signer == entry.der or (entry.der is None and thumbprint == entry.thumbprint.lower().replace(":", "")):
        return
    # A message written before the certificate was changed carries the one before it (standards digest 2.2).
    older = envelope.timestamp and entry.valid_from and envelope.timestamp < entry.valid_from
    yield Hit("44", place, act=Act.TOLERATE if older else None)
