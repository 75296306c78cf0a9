"""HelseID tokens for one tenant: client credentials, private_key_jwt, DPoP (P23, P27).

Tokens are bound to a proof key that lives in memory only. Times are judged by the clock handed in; when HelseID or an
API refuses us and its ``Date`` shows that our clock is off, the difference is taken into account from then on.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from adapter.config import HelseIdSettings
from adapter.errors import AccessError, AdapterError, KeyFileError, SettingsError, TransportError
from adapter.model.wire import Clock, IdSource
from adapter.transport.call import Answer, Body, Limits
from adapter.transport.edi20_errors import read_http_date, read_retry_after
from adapter.transport.edi20_json import fields, read_json
from adapter.transport.keyring import KeyRing
from adapter.transport.urls import origin, read_base_url

if TYPE_CHECKING:
    from adapter.transport.http import HttpClient
    from adapter.transport.jose import SigningJwk

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFETIME_S = 30  # HelseID takes at most 60
_DISCOVERY_AGE = timedelta(hours=24)
_LEEWAY_S = 10.0
_SKEW_THAT_MATTERS_S = 3.0
_NEXT_KEY_PAUSE = timedelta(minutes=10)
_NONCES_AT_MOST = 2
_ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "invalid_scope",
        "invalid_target",
        "invalid_dpop_proof",
        "unauthorized_client",
        "unsupported_grant_type",
        "use_dpop_nonce",
    }
)
# Errors that a wrong clock can cause.
_TIME_ERRORS = frozenset({"invalid_client", "invalid_dpop_proof", "invalid_request", "invalid_grant"})
_CURES = {
    "invalid_client": "compare client id, key id and registered key with HelseID Selvbetjening",
    "invalid_scope": "ask for the scope at HelseID Selvbetjening",
    "rejected_scope": "the organisation has to accept the API's terms",
}


def assertion_details(form: str, organisation_number: str, child_number: str | None) -> dict[str, object] | None:
    """``assertion_details`` for the four tenancy forms: single, single-child, multi, multi-child.

    Raises SettingsError for an unknown form or a missing sub-unit number.
    """
    if form not in ("single", "single-child", "multi", "multi-child"):
        cure = "use single, single-child, multi or multi-child"
        raise SettingsError("an unknown form of tenancy", where="helseid.form", cure=cure)
    if form.endswith("-child") and not child_number:
        raise SettingsError("this form needs the sub-unit's number", where="tenant.child_number")
    if form == "single":
        return None
    if form == "single-child":
        system, value = "urn:oid:2.16.578.1.12.4.1.4.101", str(child_number)
    else:
        system, value = "urn:oid:1.0.6523", f"NO:ORGNR:{organisation_number}"
        if form == "multi-child":
            value += f":{child_number}"
    identifier = {"system": system, "type": "ENH", "value": value}
    return {"type": "helseid_authorization", "practitioner_role": {"organization": {"identifier": identifier}}}


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    good_until: datetime

    def __repr__(self) -> str:
        return "_Token(hidden)"


class HelseIdTokens:
    """Access tokens of one tenant, cached by scope and key, asked for by one thread at a time."""

    def __init__(
        self,
        settings: HelseIdSettings,
        *,
        organisation_number: str,
        child_number: str | None = None,
        keys: KeyRing,
        clock: Clock,
        new_id: IdSource,
        client: HttpClient | None = None,
        proof_key: SigningJwk | None = None,
    ) -> None:
        self._settings = settings
        self._issuer = read_base_url(settings.issuer, "helseid.issuer")
        self._details = assertion_details(settings.form, organisation_number, child_number)
        self._keys = keys
        self._clock = clock
        self._new_id = new_id
        self._client = client or _new_client()
        self._proof_key = proof_key or _new_proof_key()
        self._lock = threading.Lock()  # guards the dictionaries
        self._turns: dict[str, threading.Lock] = {}
        self._tokens: dict[tuple[str, str], _Token] = {}
        self._discovered: tuple[datetime, str, str] | None = None
        self._next_key_again: datetime | None = None
        self.skew_s = 0.0  # how far HelseID's clock is ahead of ours, once it mattered

    def authorise(self, method: str, url: str, scope: str | None = None) -> dict[str, str]:
        """Authorization and DPoP headers for one request; each call has a proof of its own.

        Raises TransportError when HelseID cannot be reached, AccessError for a fault in configuration or agreements.
        """
        from adapter.transport.jose import sign_proof

        token = self.token(scope)
        proof = sign_proof(
            self._proof_key, method=method, url=url, jti=self._new_id(), now_s=self._now_s(), access_token=token
        )
        return {"Authorization": f"DPoP {token}", "DPoP": proof}

    def token(self, scope: str | None = None) -> str:
        """A token that is good for a while yet; raises as ``authorise``."""
        wanted = scope or self._settings.scope
        with self._lock:
            turn = self._turns.setdefault(wanted, threading.Lock())
        with turn:
            return self._with_best_key(wanted)

    def renew(self, server_date: str | None = None) -> None:
        """After a 401: forget the tokens, and set the clock right when the server's date shows that it is off."""
        self._adopt_clock(server_date)
        with self._lock:
            self._tokens.clear()

    def for_scope(self, scope: str) -> ScopedTokens:
        """The same client and keys for another API."""
        return ScopedTokens(self, scope)

    def close(self) -> None:
        self._client.close()

    def _with_best_key(self, scope: str) -> str:
        """The next key is tried first; while HelseID does not know it yet, the current one serves (P27)."""
        now = self._clock()
        following = self._usable_next_key()
        if following is not None and (self._next_key_again is None or now >= self._next_key_again):
            try:
                return self._cached(scope, following)
            except AccessError:
                self._next_key_again = now + _NEXT_KEY_PAUSE
        return self._cached(scope, self._keys.current())

    def _usable_next_key(self) -> SigningJwk | None:
        try:
            return self._keys.following()
        except KeyFileError:
            return None  # a half-written next key must not stop the one in use; doctor asks the ring itself

    def _cached(self, scope: str, key: SigningJwk) -> str:
        place = (scope, key.kid)
        with self._lock:
            held = self._tokens.get(place)
        if held is None or self._clock() >= held.good_until:
            held = self._ask(scope, key)
            with self._lock:
                self._tokens[place] = held
        return held.value

    def _ask(self, scope: str, key: SigningJwk) -> _Token:
        """The nonce dance: every attempt has a new assertion and a new proof."""
        nonce: str | None = None
        nonces = 0
        clock_set = False
        while True:
            asked_at = self._clock()
            answer = self._post(scope, key, nonce)
            if answer.status == 200:
                return self._read_token(answer, scope, asked_at)
            error = _oauth_error(answer)
            fresh = answer.headers.get("DPoP-Nonce")
            wants_nonce = error == "use_dpop_nonce" or nonces == 0
            if fresh and answer.status in (400, 401) and wants_nonce and nonces < _NONCES_AT_MOST:
                nonce, nonces = fresh, nonces + 1
            elif error in _TIME_ERRORS and not clock_set and self._adopt_clock(answer.headers.get("Date")):
                clock_set = True
            else:
                raise self._fault(answer, error)

    def _post(self, scope: str, key: SigningJwk, nonce: str | None) -> Answer:
        from adapter.transport.jose import sign_assertion, sign_proof

        audience, endpoint = self._discover()
        now_s = self._now_s()
        assertion = sign_assertion(
            key,
            client_id=self._settings.client_id,
            audience=audience,
            jti=self._new_id(),
            now_s=now_s,
            lifetime_s=_ASSERTION_LIFETIME_S,
            details=self._details,
        )
        proof = sign_proof(self._proof_key, method="POST", url=endpoint, jti=self._new_id(), now_s=now_s, nonce=nonce)
        form = {
            "grant_type": "client_credentials",
            "client_id": self._settings.client_id,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": assertion,
            "scope": scope,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json", "DPoP": proof}
        return self._client.call("POST", endpoint, headers=headers, body=Body.of(urlencode(form).encode()))

    def _discover(self) -> tuple[str, str]:
        """Issuer and token endpoint; an old answer serves while HelseID is down."""
        known = self._discovered
        if known is not None and self._clock() - known[0] < _DISCOVERY_AGE:
            return known[1], known[2]
        try:
            issuer, endpoint = self._read_discovery()
        except TransportError:
            if known is None:
                raise
            return known[1], known[2]
        self._discovered = (self._clock(), issuer, endpoint)
        return issuer, endpoint

    def _read_discovery(self) -> tuple[str, str]:
        url = f"{self._issuer}/.well-known/openid-configuration"
        answer = self._client.call("GET", url, headers={"Accept": "application/json"})
        if answer.status != 200:
            raise self._fault(answer, None)
        found = _read_object(answer)
        issuer, endpoint = found.get("issuer"), found.get("token_endpoint")
        if not isinstance(issuer, str) or not isinstance(endpoint, str):
            raise TransportError("HelseID's discovery document lacks issuer or token endpoint", code="HELSEID.REPLY")
        if issuer.rstrip("/") != self._issuer or origin(endpoint) != origin(self._issuer):
            text = "HelseID's discovery document names another issuer or host; check helseid.issuer"
            raise AccessError(text, status=answer.status)
        return issuer, endpoint

    def _read_token(self, answer: Answer, scope: str, asked_at: datetime) -> _Token:
        found = _read_object(answer)
        rejected = str(found.get("rejected_scope") or "").split()
        if set(scope.split()) & set(rejected):
            raise AccessError(f"HelseID rejected the scope {scope}: {_CURES['rejected_scope']}", status=answer.status)
        value, lifetime = found.get("access_token"), found.get("expires_in")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise TransportError("HelseID's answer holds no token", code="HELSEID.REPLY")
        if str(found.get("token_type", "DPoP")).lower() != "dpop":
            raise AccessError("HelseID gave a token that is not bound to our key", status=answer.status)
        seconds = float(lifetime) if isinstance(lifetime, int | float) and 0 < lifetime < 1e7 else 0.0
        leeway = min(_LEEWAY_S, seconds * 0.2)
        return _Token(value, asked_at + timedelta(seconds=seconds - leeway))

    def _fault(self, answer: Answer, error: str | None) -> AdapterError:
        """5xx, 408 and 429 pass; everything else is configuration and stops the tenant (P23)."""
        if answer.status >= 500 or answer.status in (408, 429) or answer.status < 400:
            wait = read_retry_after(answer.headers.get("Retry-After"), self._clock())
            return TransportError(f"HelseID answered with status {answer.status}", retry_after_s=wait)
        described = fields(_try_object(answer)).get("error_description")
        code = re.search(r"\bHID-[0-9]{4}\b", described) if isinstance(described, str) else None
        parts = [f"HelseID refused: status {answer.status}", error or "", code.group() if code else ""]
        cure = _CURES.get(error or "", "")
        text = ", ".join(part for part in parts if part) + (f"; {cure}" if cure else "")
        return AccessError(text, status=answer.status)

    def _adopt_clock(self, server_date: str | None) -> bool:
        """True when the server's date changed our idea of the time."""
        theirs = read_http_date(server_date)
        if theirs is None:
            return False
        skew = (theirs - self._clock()).total_seconds()
        if abs(skew - self.skew_s) <= _SKEW_THAT_MATTERS_S:
            return False
        self.skew_s = skew
        return True

    def _now_s(self) -> int:
        return int(self._clock().timestamp() + self.skew_s)


class ScopedTokens:
    """A view of one tenant's tokens for one scope."""

    def __init__(self, tokens: HelseIdTokens, scope: str) -> None:
        self._tokens = tokens
        self._scope = scope

    def authorise(self, method: str, url: str) -> Mapping[str, str]:
        return self._tokens.authorise(method, url, self._scope)

    def renew(self, server_date: str | None = None) -> None:
        self._tokens.renew(server_date)


def open_tokens(
    settings: HelseIdSettings,
    *,
    organisation_number: str,
    child_number: str | None,
    path: Callable[[str], Path],
    clock: Clock | None = None,
    new_id: IdSource,
) -> HelseIdTokens:
    """Tokens from settings; ``path`` resolves key files. The key is loaded at once: a bad one is told at the start."""
    keys = KeyRing(path(settings.key), path(settings.next_key) if settings.next_key else None)
    keys.current()
    return HelseIdTokens(
        settings,
        organisation_number=organisation_number,
        child_number=child_number,
        keys=keys,
        clock=clock or (lambda: datetime.now(UTC)),
        new_id=new_id,
    )


def _oauth_error(answer: Answer) -> str | None:
    """The error's name when it is one of the standard's; anything else is not repeated (P21)."""
    error = _try_object(answer).get("error")
    return error if isinstance(error, str) and error in _ERRORS else None


def _try_object(answer: Answer) -> dict[str, Any]:
    try:
        return fields(read_json(answer.body))
    except ValueError:
        return {}


def _read_object(answer: Answer) -> dict[str, Any]:
    found = {} if answer.broken else _try_object(answer)
    if not found:
        raise TransportError("HelseID's answer is no JSON object", code="HELSEID.REPLY")
    return found


def _new_client() -> HttpClient:
    from adapter.transport.http import HttpClient

    return HttpClient(Limits(read_timeout_s=15.0, total_timeout_s=30.0, response_limit_bytes=1_000_000))


def _new_proof_key() -> SigningJwk:
    from adapter.transport.jose import new_proof_key

    return new_proof_key()
