"""What real agreement files have that misleads those who read them strictly or believe every word (ebXML digest 7.6).

None of it keeps an agreement from being used: the reader passes over it. An operator should still know, because the
partner's own reader may not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from adapter.ebxml.cpa import CPA_LIMITS, TP
from adapter.ebxml.names import DS
from adapter.errors import Finding, Severity
from adapter.xmlio import Element, parse

_MONTHS = re.compile(r"-?P[0-9]+M")  # months in xs:duration; minutes were meant (PT…M)
_SHA1 = ("rsa-sha1", "#sha1", "1.2.840.113549.1.1.5", "1.3.14.3.2.26")
_REFERENCES = {  # attribute -> the elements that it leads to, and the attribute that names them
    "transportId": ("Transport", "transportId"),
    "docExchangeId": ("DocExchange", "docExchangeId"),
    "packageId": ("Packaging", "id"),
    "defaultMshPackageId": ("Packaging", "id"),
    "defaultMshChannelId": ("DeliveryChannel", "channelId"),
}
_SOURCE = "ebXML practice 7.6"


def find_traps(data: bytes) -> list[Finding]:
    """The traps of a CPA or CPP file, each kind once with how often it occurs. Raises UnreadableError."""
    root = parse(data, CPA_LIMITS)
    counts: Counter[tuple[str, Severity, str]] = Counter()
    for rule, severity, text in _traps(root):
        counts[rule, severity, text] += 1
    return [
        Finding(rule=rule, severity=severity, text=text if n == 1 else f"{text} ({n} times)", source=_SOURCE)
        for (rule, severity, text), n in sorted(counts.items())
    ]


def _traps(root: Element) -> Iterator[tuple[str, Severity, str]]:
    status = root.find(_tp("Status"))
    if status is not None and status.get(_tp("value")) != "agreed":
        yield "CPA10", Severity.INFO, "Status does not say agreed; nobody acts on it, and some readers refuse it"
    for element in root.iter(_tp("BusinessTransactionCharacteristics")):
        if any(_MONTHS.fullmatch(element.get(_tp(name)) or "") for name in _TIMES):
            yield "CPA11", Severity.INFO, "timeToPerform is in months where minutes are meant; it is not acted on"
    yield from _double_names(root)
    yield from _dangling(root)
    yield from _texts(root)
    signature = root.find(f"{{{DS}}}Signature")
    if signature is not None:
        value = signature.find(f"{{{DS}}}SignatureValue")
        empty = value is None or not (value.text or "").strip()
        text = "the agreement's own Signature is an empty template" if empty else "the agreement's own Signature"
        yield "CPA16", Severity.INFO, f"{text}; it is not verified"


_TIMES = ("timeToPerform", "timeToAcknowledgeReceipt", "timeToAcknowledgeAcceptance")


def _tp(name: str) -> str:
    return f"{{{TP}}}{name}"


def _double_names(root: Element) -> Iterator[tuple[str, Severity, str]]:
    names = [one.get(_tp("certId")) for one in root.iter(_tp("Certificate"))]
    if len(set(names)) < len(names):
        yield "CPA12", Severity.INFO, "certificate ids are double over the parties: the file breaks its own schema"


def _dangling(root: Element) -> Iterator[tuple[str, Severity, str]]:
    known = {
        kind: {one.get(_tp(attribute)) for one in root.iter(_tp(kind))}
        for kind, attribute in {*_REFERENCES.values(), ("Certificate", "certId")}
    }
    text = "a reference leads nowhere"
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        for attribute, (kind, _) in _REFERENCES.items():
            named = element.get(_tp(attribute))
            if named is not None and element.tag != _tp(kind) and named.strip() not in known[kind]:
                yield "CPA13", Severity.WARNING, f"{text}: {attribute}"
        if element.tag.endswith("CertificateRef") and element.get(_tp("certId")) not in known["Certificate"]:
            yield "CPA13", Severity.WARNING, f"{text}: certId"
        if element.tag == _tp("ChannelId") and (element.text or "").strip() not in known["DeliveryChannel"]:
            yield "CPA13", Severity.WARNING, f"{text}: ChannelId"


def _texts(root: Element) -> Iterator[tuple[str, Severity, str]]:
    for name in ("PartyId", "Service", "ChannelId"):
        if any((one.text or "") != (one.text or "").strip() for one in root.iter(_tp(name))):
            yield "CPA14", Severity.INFO, f"blanks stand around the text of {name}"
    for one in root.iter(_tp("SignatureAlgorithm"), _tp("HashFunction")):
        believed = one.get(_tp("w3c")) or (one.text or "").strip()
        if any(weak in believed for weak in _SHA1):
            yield "CPA15", Severity.WARNING, "SHA-1 is agreed; we sign with SHA-256, and take SHA-1 by setting only"
        oid = one.get(_tp("oid"))
        if oid in _SHA1 and not any(weak in believed for weak in _SHA1):
            yield "CPA17", Severity.INFO, "@oid names SHA-1 beside an @w3c that does not; @w3c counts"
    ids = {(one.get(_tp("type")) or "", (one.text or "").strip()) for one in root.iter(_tp("PartyId"))}
    if any(kind != "HER" for kind, _ in ids):
        yield "CPA18", Severity.INFO, "parties have more ids than the HER-id that messages carry"
