"""HISD 1209 and HITS 1210: whether Service, Action and roles belong together, and what is told of type and software."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from adapter.ebxml.names import Kind
from adapter.ebxml.rulebook import Hit
from adapter.ebxml.versions import NATIONAL_ACTIONS, VERSIONS, fits_action
from adapter.ebxml.words import Envelope, PayloadReference, read_software
from adapter.model.process import national

_DESCRIPTION = "/Envelope/Header/MessageHeader/Description"
_SCHEMA = "/Envelope/Body/Manifest/Reference[1]/Schema"
_SOFTWARE = (("MSH-system", "271", "273"), ("MSH-versjon", "272", "274"))
_national = lru_cache(maxsize=256)(national)


def check_announced(first: PayloadReference, action: str | None) -> Iterator[Hit]:
    """HITS 1210 6.2.1: type and version of the first document, as the Manifest gives them."""
    namespace, version = first.namespace, first.version
    known = VERSIONS.get(namespace) if namespace is not None else None
    if namespace is None:
        yield Hit("265", _SCHEMA)
    elif known is None:
        yield Hit("267", _SCHEMA)
    elif version is not None and known != version:
        yield Hit("268", _SCHEMA)
    if version is None:
        yield Hit("266", _SCHEMA)
    if namespace and action and not fits_action(action, namespace):
        yield Hit("269", _SCHEMA)


def names_fit(envelope: Envelope) -> bool:
    """False when Service, Action or a role differs from HISD 1209 for a national Action; others are not judged.

    The templates of the agreements write the Service of answers without ``S-`` (standards digest 1.3).
    """
    service, action = envelope.service or "", envelope.action or ""
    receipt = action == "APPREC"
    business = service.removeprefix("S-") if receipt else action
    if business not in NATIONAL_ACTIONS:
        return True
    names = _national(business)
    roles = (names.to_role, names.from_role) if receipt else (names.from_role, names.to_role)
    services = {names.service, business} if business.startswith("SVAR_") else {names.service}
    return service in services and (envelope.sender.role, envelope.receiver.role) == roles


def check_monitoring(envelope: Envelope) -> Iterator[Hit]:
    """HITS 1210 6.2.2: statistics, never a reason to reject."""
    keys = read_software(envelope.description)
    told = True
    for name, missing, empty in _SOFTWARE:
        if name not in keys:
            told = False
            yield Hit(empty if f'"{name}"' in (envelope.description or "") else missing, _DESCRIPTION)
    announced = bool(envelope.manifest) and (envelope.manifest or ())[0].namespace is not None
    if envelope.kind is Kind.PAYLOAD and not (announced and told):
        yield Hit("279", _DESCRIPTION)


def check_named_type(envelope: Envelope, namespace: str) -> Iterator[Hit]:
    """Rule 270, after decryption: ``namespace`` is the business document's (of the first Document in a MsgHead)."""
    announced = (envelope.manifest or ())[0].namespace if envelope.manifest else None
    if announced is not None and announced != namespace:
        yield Hit("270", _SCHEMA)
