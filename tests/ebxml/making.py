"""Small envelopes for the tests of this room, made by our own writer."""

from __future__ import annotations

from datetime import UTC, datetime

from adapter.ebxml.compose import payload_message
from adapter.ebxml.words import Envelope, SignedReference, Software, Transform
from adapter.model.process import national

NOW = datetime(2026, 11, 21, 12, 0, 5, tzinfo=UTC)
SOFTWARE = Software(msh="Prøve-MSH", msh_version="1.0", system="Journal", system_version="7")
MESSAGE_ID = "f2a0f3a1-37a5-4a0e-8a0e-1c1d2b3c4d5e"
SIGNAL_ID = "0b7e7a51-37a5-4a0e-8a0e-1c1d2b3c4d5e"
CONVERSATION = "7c1f0f0e-2a51-4b6e-9f0a-5f0b2f7a9c11"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
REFERENCES = (
    SignedReference(
        uri="",
        digest_method=SHA256,
        digest="mvuvZiqld9ULe9dvYyKMi9r7wVMr3gn+OIcy+iw0COA=",
        transforms=(
            Transform("http://www.w3.org/2000/09/xmldsig#enveloped-signature"),
            Transform(
                "http://www.w3.org/TR/1999/REC-xpath-19991116",
                'not(ancestor-or-self::node()[@S:actor="x"])',
                (("S", "http://schemas.xmlsoap.org/soap/envelope/"),),
            ),
            Transform("http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
        ),
    ),
    SignedReference(
        uri="cid:att-1@example.no", digest_method=SHA256, digest="gYVTz7HuPcN/Pyz3LJSo0esZX6jCETAHD5UqvZOhcU4="
    ),
)


def payload(**changes: object) -> Envelope:
    words: dict[str, object] = {
        "sender": 80225,
        "receiver": 79768,
        "process": national("DIALOG_NOTAT"),
        "cpa_id": "79768_80225",
        "conversation_id": CONVERSATION,
        "message_id": MESSAGE_ID,
        "now": NOW,
        "content_id": "att-1@example.no",
        "namespace": "http://www.kith.no/xmlstds/dialog/2006-10-11",
        "version": "1.0",
        "software": SOFTWARE,
    }
    return payload_message(**{**words, **changes})  # type: ignore[arg-type]
