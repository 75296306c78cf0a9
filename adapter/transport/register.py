"""The address register: a JSON file, and a client for its REST API with a cache.

What was found stays good for ``cache_h`` hours; what was not found is asked again every time; while the register is
down the last good answer serves, and ``age_s`` tells how old it is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from adapter.config import RegisterSettings
from adapter.errors import (
    AccessError,
    AdapterError,
    NotFoundError,
    RemoteRefusalError,
    SettingsError,
    TransportError,
)
from adapter.model.partner import AddressBook, CertificateEntry, RegisterEntry, ServiceType
from adapter.model.wire import EBXML_ROADS, Clock
from adapter.transport.addressbook import read_address_book, read_certificate_value, read_entry
from adapter.transport.call import Answer, Body, Limits
from adapter.transport.edi20 import Authoriser
from adapter.transport.edi20_errors import read_retry_after
from adapter.transport.edi20_json import read_json, write_json
from adapter.transport.urls import read_base_url

if TYPE_CHECKING:
    from adapter.transport.http import HttpClient

__all__ = ["RegisterClient", "read_address_book"]

_BULK_MAX = 100
_PAGES_MAX = 100
_CACHED_MAX = 20_000


@dataclass(frozen=True, slots=True)
class _Kept:
    at: datetime
    value: Any


class RegisterClient:
    """Look-ups in the register for one tenant; threads may share it."""

    def __init__(
        self,
        settings: RegisterSettings,
        tokens: Authoriser,
        *,
        client: HttpClient | None = None,
        clock: Clock | None = None,
    ) -> None:
        if settings.base_url is None:
            raise SettingsError("the register's address is missing", where="register.base_url")
        self._base = read_base_url(settings.base_url, "register.base_url") + "/api/v1"
        self._cache_s = settings.cache_h * 3600
        self._tokens = tokens
        self._client = client or _new_client()
        self._clock = clock or (lambda: datetime.now(UTC))
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], _Kept] = {}

    def find(self, her_id: int) -> RegisterEntry:
        """One party; raises NotFoundError, and TransportError when the register is down and we never saw it."""
        found: RegisterEntry = self._cached(
            "party", str(her_id), lambda: self._ask_party(f"/communicationparty/{her_id:d}")
        )
        return found

    def find_many(self, her_ids: Iterable[int]) -> dict[int, RegisterEntry]:
        """Parties by HER-id, asked 100 at a time; those the register does not know are left out."""
        asked = sorted(set(her_ids))
        found: dict[int, RegisterEntry] = {}
        missing = []
        for her_id in asked:
            kept = self._fresh("party", str(her_id))
            if kept is None:
                missing.append(her_id)
            else:
                found[her_id] = kept.value
        for start in range(0, len(missing), _BULK_MAX):
            found |= self._find_batch(missing[start : start + _BULK_MAX])
        return found

    def find_organisation(self, number: str) -> RegisterEntry:
        """The organisation with this number (nine digits); raises as ``find``."""
        if len(number) != 9 or not number.isascii() or not number.isdigit():
            raise NotFoundError("an organisation number has nine digits")
        found: RegisterEntry = self._cached("organisation", number, lambda: self._ask_party(f"/organization/{number}"))
        return found

    def search(
        self, *, name: str | None = None, hpr_number: str | None = None, service_type: ServiceType | None = None
    ) -> list[RegisterEntry]:
        """All parties that fit, page by page; never from the cache."""
        wanted: dict[str, object] = {}
        if name is not None:
            wanted["name"] = name
        if hpr_number is not None:
            wanted["personSearchParameters"] = {"hprNumber": hpr_number}
        if service_type is not None:
            wanted["serviceSearchParameters"] = {
                "serviceTypeCodeListId": service_type.code_list,
                "serviceTypeCodeValue": service_type.code,
            }
        found: list[RegisterEntry] = []
        for page in range(1, _PAGES_MAX + 1):
            path = f"/communicationparty/search?Page={page}&Size={_BULK_MAX}"
            entries = self._read_parties(self._ask("POST", path, wanted))
            found += entries
            if len(entries) < _BULK_MAX:
                break
        return found

    def certificate(self, her_id: int, use: str) -> CertificateEntry | None:
        """The certificate with its bytes; ``use`` is "signing" or "encryption"; None when the party has none."""
        if use not in ("signing", "encryption"):
            raise NotFoundError("a certificate is for 'signing' or 'encryption'")
        try:
            found: CertificateEntry = self._cached(use, str(her_id), lambda: self._ask_certificate(her_id, use))
        except NotFoundError:
            return None
        return found

    def age_s(self, her_id: int) -> float | None:
        """How old our knowledge of a party is, in seconds; None when we never saw it."""
        with self._lock:
            kept = self._kept.get(("party", str(her_id)))
        return None if kept is None else (self._clock() - kept.at).total_seconds()

    def refresh(self, book: AddressBook) -> AddressBook:
        """The book with its parties as the register has them now; agreements stay ours.

        A party that the register does not know any more ends now. New certificates of partners on the ebXML road come
        with their bytes. Raises TransportError when the register is down and the cache does not cover the book.
        """
        wanted = set(book.entries) | {e.parent_her_id for e in book.entries.values() if e.parent_her_id}
        found = self.find_many(wanted)
        entries = dict(found)
        for her_id, ours in book.entries.items():
            theirs = found.get(her_id)
            entries[her_id] = self._ended(ours) if theirs is None else self._joined(ours, theirs)
        return replace(book, entries=entries)

    def renew(self, ours: RegisterEntry) -> RegisterEntry:
        """One party as the register has it now, asked whatever the cache says. Raises as ``refresh``."""
        try:
            theirs = self._ask_party(f"/communicationparty/{ours.her_id:d}")
        except NotFoundError:
            return self._ended(ours)
        self._keep("party", str(ours.her_id), theirs)
        return self._joined(ours, theirs)

    def _ended(self, ours: RegisterEntry) -> RegisterEntry:
        now = self._clock()
        return replace(ours, valid_to=now if ours.valid_to is None else min(ours.valid_to, now))

    def _joined(self, ours: RegisterEntry, theirs: RegisterEntry) -> RegisterEntry:
        return replace(
            theirs,
            agreement=ours.agreement,
            signing=self._with_bytes(ours, "signing", theirs.signing, ours.signing),
            encryption=self._with_bytes(ours, "encryption", theirs.encryption, ours.encryption),
        )

    def _with_bytes(
        self, ours: RegisterEntry, use: str, theirs: CertificateEntry | None, known: CertificateEntry | None
    ) -> CertificateEntry | None:
        """Asked anew and not from the cache, as that may hold the certificate before."""
        kept = _keep_bytes(theirs, known)
        needed = ours.agreement is not None and ours.agreement.road in EBXML_ROADS
        if kept is None or kept.der is not None or not needed:
            return kept
        try:
            return self._ask_certificate(ours.her_id, use)
        except NotFoundError:
            return kept

    def close(self) -> None:
        self._client.close()

    def _find_batch(self, batch: list[int]) -> dict[int, RegisterEntry]:
        try:
            entries = self._read_parties(self._ask("POST", "/communicationparty", {"herIds": batch}))
        except TransportError:
            with self._lock:
                old = {her_id: self._kept.get(("party", str(her_id))) for her_id in batch}
            kept = {her_id: found.value for her_id, found in old.items() if found is not None}
            if len(kept) < len(batch):
                raise
            return kept
        found = {entry.her_id: entry for entry in entries if entry.her_id in batch}
        for her_id, entry in found.items():
            self._keep("party", str(her_id), entry)
        return found

    def _cached(self, kind: str, name: str, ask: Any) -> Any:
        kept = self._fresh(kind, name)
        if kept is not None:
            return kept.value
        try:
            value = ask()
        except TransportError:
            with self._lock:
                old = self._kept.get((kind, name))
            if old is None:
                raise
            return old.value
        self._keep(kind, name, value)
        return value

    def _fresh(self, kind: str, name: str) -> _Kept | None:
        with self._lock:
            kept = self._kept.get((kind, name))
        if kept is None or (self._clock() - kept.at).total_seconds() >= self._cache_s:
            return None
        return kept

    def _keep(self, kind: str, name: str, value: Any) -> None:
        with self._lock:
            if len(self._kept) >= _CACHED_MAX:
                self._kept.pop(next(iter(self._kept)))
            self._kept.pop((kind, name), None)  # the oldest knowledge stays at the front
            self._kept[kind, name] = _Kept(self._clock(), value)

    def _ask_party(self, path: str) -> RegisterEntry:
        return self._read_party(self._ask("GET", path))

    def _ask_certificate(self, her_id: int, use: str) -> CertificateEntry:
        place = f"GET certificate/{use}"
        found = self._ask("GET", f"/certificate/{her_id:d}/{use}")
        plain = {"herId": her_id, "type": "Organization", "name": "-", "currentSigningCertificate": found}
        entry = self._read_party(plain).signing
        if entry is None or not isinstance(found, Mapping):
            raise TransportError(f"{place}: no certificate in the answer", code="REGISTER.REPLY")
        try:
            return replace(entry, der=read_certificate_value(found.get("certificateValue"), entry.thumbprint, place))
        except SettingsError as error:
            raise TransportError(f"{place}: {error.text}", code="REGISTER.REPLY") from None

    def _read_parties(self, found: object) -> list[RegisterEntry]:
        if isinstance(found, Mapping):
            found = found.get("communicationParties")
        if not isinstance(found, list):
            raise TransportError("the register's answer is no list of parties", code="REGISTER.REPLY")
        return [self._read_party(party) for party in found]

    def _read_party(self, party: object) -> RegisterEntry:
        if isinstance(party, Mapping):  # only our own file may carry our additions
            party = {key: value for key, value in party.items() if not str(key).startswith("_")}
        try:
            return read_entry(party, "register")
        except SettingsError as error:
            raise TransportError(f"{error.text} [{error.where}]", code="REGISTER.REPLY") from None

    def _ask(self, method: str, path: str, plain: object | None = None) -> object:
        """One question; a 401 is asked once more with a fresh token. All of these calls are safe to repeat."""
        answer = self._once(method, path, plain)
        if answer.status == 401:
            self._tokens.renew(answer.headers.get("Date"))
            answer = self._once(method, path, plain)
        if answer.status != 200:
            raise self._refused(answer)
        try:
            if not answer.broken:
                return read_json(answer.body)
        except ValueError:
            pass
        raise TransportError(f"the register's answer is broken: {answer.broken or 'no JSON'}", code="REGISTER.REPLY")

    def _once(self, method: str, path: str, plain: object | None) -> Answer:
        url = self._base + path
        headers = {"Accept": "application/json", **self._tokens.authorise(method, url)}
        body = None
        if plain is not None:
            headers["Content-Type"] = "application/json"
            body = Body.of(write_json(plain))
        return self._client.call(method, url, headers=headers, body=body)

    def _refused(self, answer: Answer) -> AdapterError:
        status = answer.status
        text = f"the register answered with status {status}"
        if status == 404:
            return NotFoundError("the register does not know this party", cure="check the HER-id or number")
        if status >= 500 or status in (408, 429) or status < 400:
            wait = read_retry_after(answer.headers.get("Retry-After"), self._clock())
            return TransportError(text, retry_after_s=wait)
        kind = AccessError if status in (401, 403, 423) else RemoteRefusalError
        return kind(text, status=status)


def _keep_bytes(theirs: CertificateEntry | None, ours: CertificateEntry | None) -> CertificateEntry | None:
    """The register's certificate, with our copy of its bytes when it is the same one."""
    if theirs is None or ours is None or theirs.der is not None or theirs.thumbprint != ours.thumbprint:
        return theirs
    return replace(theirs, der=ours.der)


def _new_client() -> HttpClient:
    from adapter.transport.http import HttpClient

    return HttpClient(Limits(response_limit_bytes=20_000_000))
