"""Access tokens and DPoP proofs, judged in the order that HelseID's own API samples use (RFC 9449, HelseID guide).

Every refusal is a ``ProofError`` with a reason that a developer can act on; nothing here trusts what the caller sends.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
Key = RSAKey | ECKey


class ProofError(Exception):
    """``error`` is the OAuth error code, ``reason`` what is wrong."""

    def __init__(self, reason: str, error: str = "invalid_dpop_proof") -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason


def registry(algorithms: tuple[str, ...] = ALGORITHMS) -> jws.JWSRegistry:
    """A registry with room for an RSA key in the header (the library's default is 512 bytes)."""
    made = jws.JWSRegistry(algorithms=list(algorithms), strict_check_header=False)
    made.max_header_length = 8192
    return made


_REGISTRY = registry()


def read_header(token: str) -> dict[str, Any]:
    """The protected header, unverified; raises ProofError when it is none."""
    head = token.split(".", 1)[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except ValueError:
        raise ProofError("the token has no readable header") from None
    if not isinstance(header, dict) or token.count(".") != 2:
        raise ProofError("the token is not a signed JWT")
    return header


def verified_claims(token: str, key: Key | KeySet) -> dict[str, Any]:
    """Claims of a token whose signature is good; raises ProofError otherwise."""
    try:
        return dict(jwt.decode(token, key, algorithms=list(ALGORITHMS), registry=_REGISTRY).claims)
    except (JoseError, ValueError, TypeError):
        raise ProofError("the signature does not verify") from None


def public_key(plain: object) -> Key:
    """A public JWK from a proof's header; private members and symmetric keys are refused."""
    if not isinstance(plain, dict):
        raise ProofError("the header has no jwk")
    if plain.get("kty") == "oct" or _PRIVATE_MEMBERS & plain.keys():
        raise ProofError("the jwk is private or symmetric")
    try:
        if plain.get("kty") == "RSA":
            return RSAKey.import_key(plain)
        if plain.get("kty") == "EC":
            return ECKey.import_key(plain)
    except (JoseError, ValueError, TypeError, KeyError):
        raise ProofError("the jwk cannot be read") from None
    raise ProofError("the jwk is of an unknown kind")


def access_token_hash(token: str) -> str:
    """``ath``: base64url of SHA-256 of the token's ASCII."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode("ascii", "replace")).digest()).rstrip(b"=").decode()


@dataclass(slots=True)
class SeenIds:
    """Ids that may be used once, remembered until they would be too old anyway."""

    keep_s: float
    _ids: dict[str, float] = field(default_factory=dict)
    _sweep_at: int = 4096
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def first_time(self, id_: str, now: float) -> bool:
        """True, and the id is used up; False when it was used before."""
        with self._lock:
            if len(self._ids) > self._sweep_at:  # seldom enough to cost nothing per id
                self._ids = {key: until for key, until in self._ids.items() if until > now}
                self._sweep_at = max(4096, 2 * len(self._ids))
            if self._ids.get(id_, 0.0) > now:
                return False
            self._ids[id_] = now + self.keep_s
        return True


@dataclass(slots=True)
class ProofJudge:
    """Judges DPoP proofs. ``skew_s`` and ``validity_s`` bound ``iat``: [now - skew - validity, now + skew]."""

    now: Callable[[], float]
    skew_s: float = 5.0
    validity_s: float = 10.0
    seen: SeenIds = field(init=False)
    _keys: dict[str, tuple[Key, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seen = SeenIds(self.validity_s + 2 * self.skew_s)

    def judge(
        self, proof: str, *, method: str, url: str, jkt: str | None = None, token: str | None = None
    ) -> Mapping[str, Any]:
        """The proof's claims with the key's thumbprint under ``jkt``; raises ProofError at the first fault."""
        header = read_header(proof)
        if header.get("typ") != "dpop+jwt":
            raise ProofError("typ is not dpop+jwt")
        if header.get("alg") not in ALGORITHMS:
            raise ProofError("alg is missing or not allowed")
        key, thumbprint = self._key(header.get("jwk"))
        if jkt is not None and thumbprint != jkt:
            raise ProofError("the proof's key is not the token's key (cnf.jkt)")
        claims = verified_claims(proof, key)
        if token is not None and claims.get("ath") != access_token_hash(token):
            raise ProofError("ath does not belong to the access token")
        self._check_claims(claims, method, url)
        if not self.seen.first_time(f"{thumbprint}/{claims['jti']}", self.now()):
            raise ProofError("jti was used before")
        return {**claims, "jkt": thumbprint}

    def _key(self, plain: object) -> tuple[Key, str]:
        name = json.dumps(plain, sort_keys=True) if isinstance(plain, dict) else ""
        found = self._keys.get(name)
        if found is None:
            key = public_key(plain)
            found = key, key.thumbprint()
            if len(self._keys) > 256:
                self._keys.clear()
            self._keys[name] = found
        return found

    def _check_claims(self, claims: Mapping[str, Any], method: str, url: str) -> None:
        if not isinstance(claims.get("jti"), str) or not claims["jti"]:
            raise ProofError("jti is missing")
        if claims.get("htm") != method:
            raise ProofError("htm is not the method of the request")
        if claims.get("htu") != url:
            raise ProofError("htu is not the address of the request without query")
        iat = claims.get("iat")
        now = self.now()
        if not isinstance(iat, int | float) or isinstance(iat, bool):
            raise ProofError("iat is missing")
        if not now - self.skew_s - self.validity_s <= iat <= now + self.skew_s:
            raise ProofError("iat is outside the accepted window")


@dataclass(slots=True)
class TokenJudge:
    """Judges access tokens of one issuer for one audience and scope. Good tokens are remembered until they expire."""

    issuer: str
    audience: str
    scope: str
    keys: KeySet
    now: Callable[[], float]
    _good: dict[str, dict[str, Any]] = field(default_factory=dict)

    def judge(self, token: str) -> Mapping[str, Any]:
        """The token's claims; raises ProofError ``invalid_token``."""
        claims = self._good.get(token)
        if claims is None:
            claims = self._read(token)
            if len(self._good) > 256:
                self._good.clear()
            self._good[token] = claims
        now = self.now()
        if not (isinstance(claims.get("exp"), int) and now < claims["exp"]):
            raise ProofError("the access token has expired", "invalid_token")
        if now + 5 < claims.get("nbf", 0):
            raise ProofError("the access token is not valid yet", "invalid_token")
        return claims

    def _read(self, token: str) -> dict[str, Any]:
        try:
            header = read_header(token)
            claims = verified_claims(token, self.keys)
        except ProofError as error:
            raise ProofError(f"access token: {error.reason}", "invalid_token") from None
        if header.get("typ") != "at+jwt":
            raise ProofError("the token is no access token", "invalid_token")
        if claims.get("iss") != self.issuer:
            raise ProofError("the access token has another issuer", "invalid_token")
        audience = claims.get("aud")
        if self.audience not in (audience if isinstance(audience, list) else [audience]):
            raise ProofError("the access token is for another audience", "invalid_token")
        scope = claims.get("scope")
        if self.scope not in (scope.split() if isinstance(scope, str) else scope or []):
            raise ProofError("the access token lacks the scope", "insufficient_scope")
        if not isinstance((claims.get("cnf") or {}).get("jkt"), str):
            raise ProofError("the access token is not bound to a key (cnf.jkt)", "invalid_token")
        return claims
