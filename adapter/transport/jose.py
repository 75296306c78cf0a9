"""HelseID's two kinds of signed statements: client assertions and DPoP proofs (RFC 7523, RFC 9449).

Import this module lazily: joserfc takes 0.15 s to load.
"""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

from adapter.config import refuse_readable
from adapter.errors import KeyFileError, SettingsError

_RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_EC_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_SMALLEST_RSA_BITS = 2048
_PUBLIC_MEMBERS = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y")}

# joserfc bounds a header to 512 bytes; the public part of an RSA key in a proof needs more.
REGISTRY = JWSRegistry(algorithms=[*_RSA_ALGORITHMS, *_EC_CURVES])
REGISTRY.max_header_length = 8192


@dataclass(frozen=True, slots=True)
class SigningJwk:
    """A private key with its algorithm and, for client keys, the id it is registered under."""

    key: RSAKey | ECKey
    alg: str
    kid: str

    @property
    def public(self) -> dict[str, str]:
        """The public members, picked one by one so that no private one can slip out."""
        members = self.key.as_dict(private=False)
        return {name: str(members[name]) for name in _PUBLIC_MEMBERS[str(members["kty"])]}

    @property
    def thumbprint(self) -> str:
        """RFC 7638, SHA-256."""
        return str(self.key.thumbprint())

    def sign(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """A compact JWT."""
        return jwt.encode({"alg": self.alg, **header}, dict(claims), self.key, registry=REGISTRY)

    def __repr__(self) -> str:
        return f"SigningJwk({self.alg}, {self.kid})"


def load_jwk(path: Path) -> SigningJwk:
    """A private JWK file, readable by us alone, with ``alg`` and ``kid``; raises KeyFileError."""
    try:
        refuse_readable(path)
        plain = json.loads(path.read_bytes())
    except SettingsError as error:
        raise KeyFileError(error.text, code=error.code, where=error.where, cure=error.cure) from None
    except (OSError, ValueError):
        raise KeyFileError("the key file is no JSON", where=path.name) from None
    return read_jwk(plain, path.name)


def read_jwk(plain: object, where: str) -> SigningJwk:
    """A private JWK from parsed JSON; raises KeyFileError that never quotes the key."""
    if not isinstance(plain, dict):
        raise KeyFileError("a private JWK is a JSON object", where=where)
    alg, kid, kty = plain.get("alg"), plain.get("kid"), plain.get("kty")
    if not isinstance(kid, str) or not kid:
        raise KeyFileError("the key has no kid", where=where, cure="use the kid the key is registered under")
    fits = (kty == "RSA" and alg in _RSA_ALGORITHMS) or (kty == "EC" and _EC_CURVES.get(str(alg)) == plain.get("crv"))
    if not fits or "d" not in plain:
        cure = f"RSA with {', '.join(_RSA_ALGORITHMS)} or EC with {', '.join(_EC_CURVES)}"
        raise KeyFileError("a private key with a matching alg is expected", where=where, cure=cure)
    members = {
        name: value for name, value in plain.items() if name not in ("alg", "kid", "use", "key_ops", "x5c", "x5t")
    }
    try:
        key = RSAKey.import_key(members) if kty == "RSA" else ECKey.import_key(members)
        private = key.private_key
    except (JoseError, ValueError, TypeError, KeyError):
        raise KeyFileError("the key's numbers do not make a key", where=where) from None
    if private is None or (kty == "RSA" and private.key_size < _SMALLEST_RSA_BITS):
        raise KeyFileError(f"an RSA key has at least {_SMALLEST_RSA_BITS} bits", where=where)
    return SigningJwk(key, str(alg), kid)


def new_proof_key() -> SigningJwk:
    """A fresh P-256 key for DPoP proofs: fast to sign with, and of no use to anyone after the process ends."""
    return SigningJwk(ECKey.generate_key("P-256", private=True), "ES256", "")


def sign_assertion(
    key: SigningJwk,
    *,
    client_id: str,
    audience: str,
    jti: str,
    now_s: int,
    lifetime_s: int,
    details: Mapping[str, object] | None,
) -> str:
    """The client assertion; its ``jti`` may never be used twice."""
    claims: dict[str, object] = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": jti,
        "iat": now_s,
        "nbf": now_s,
        "exp": now_s + lifetime_s,
    }
    if details is not None:
        claims["assertion_details"] = details
    return key.sign({"typ": "client-authentication+jwt", "kid": key.kid}, claims)


def sign_proof(
    key: SigningJwk,
    *,
    method: str,
    url: str,
    jti: str,
    now_s: int,
    nonce: str | None = None,
    access_token: str | None = None,
) -> str:
    """A DPoP proof for one request; ``htu`` is the address without query and fragment."""
    claims: dict[str, object] = {
        "jti": jti,
        "htm": method.upper(),
        "htu": url.split("#", 1)[0].split("?", 1)[0],
        "iat": now_s,
    }
    if nonce is not None:
        claims["nonce"] = nonce
    if access_token is not None:
        claims["ath"] = hash_token(access_token)
    return key.sign({"typ": "dpop+jwt", "jwk": key.public}, claims)


def hash_token(access_token: str) -> str:
    """``ath``: base64url of the SHA-256 of the token's ASCII form."""
    return urlsafe_b64encode(hashlib.sha256(access_token.encode("ascii")).digest()).rstrip(b"=").decode()
