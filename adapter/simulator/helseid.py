"""HelseID as far as a machine client meets it: discovery, keys, and the token endpoint with its nonce dance.

The client assertion is checked before the proof and its ``jti`` is used up even when the answer is ``use_dpop_nonce``;
that is why a client must make a fresh assertion for the second attempt.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from adapter.simulator.faults import SHAPES, Faults
from adapter.simulator.proofs import (
    ALGORITHMS,
    ProofError,
    ProofJudge,
    SeenIds,
    TokenJudge,
    read_header,
    registry,
    verified_claims,
)
from adapter.simulator.serving import Request, Response, Site

CHILD_SYSTEM = "urn:oid:2.16.578.1.12.4.1.4.101"
PARENT_SYSTEM = "urn:oid:1.0.6523"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
AUDIENCES = {"nhn:msh/api": "nhn:msh", "nhn:cp-api/access-v2-dpop": "nhn:cp-api"}
_CLAIM = "helseid://claims/client/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A registered machine client. ``customers`` (multi-tenant): parent number -> child numbers it may name.

    ``refused_by``: parents that have not accepted the terms of the API (their scope is rejected).
    """

    client_id: str
    name: str
    organisation_number: str
    keys: tuple[Mapping[str, Any], ...]  # public JWKs with kid
    scopes: tuple[str, ...] = tuple(AUDIENCES)
    multi_tenant: bool = False
    children: tuple[str, ...] = ()
    customers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    refused_by: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def signing_key() -> RSAKey:
    """The key of the token service, made once per process."""
    return RSAKey.generate_key(2048, {"alg": "RS256", "use": "sig", "kid": secrets.token_hex(16)}, private=True)


class HelseId(Site):
    """The identity provider. ``lifetime_s`` is that of access tokens; ``nonce_s`` that of nonces."""

    distortions = SHAPES - {"pascal_case_errors"}  # its errors follow a standard

    def __init__(
        self,
        faults: Faults,
        clients: Mapping[str, Client],
        now: Callable[[], float],
        *,
        lifetime_s: int = 60,
        nonce_s: float = 300.0,
    ) -> None:
        super().__init__("helseid", faults)
        self.clients = dict(clients)
        self.now = now
        self.lifetime_s = lifetime_s
        self.nonce_s = nonce_s
        self.issued = 0
        self._nonces: dict[str, float] = {}
        self._lock = threading.Lock()
        self._proofs = ProofJudge(now)
        self._assertions = SeenIds(120.0)
        self.add("GET", "/.well-known/openid-configuration", self._discovery)
        self.add("GET", "/.well-known/openid-configuration/jwks", self._jwks)
        self.add("POST", "/connect/token", self._token)

    def token_judge(self, scope: str) -> TokenJudge:
        """What an API uses to judge tokens of this issuer."""
        public = RSAKey.import_key(signing_key().as_dict(private=False))
        return TokenJudge(self.url, AUDIENCES[scope], scope, KeySet([public]), self.now)

    def error(self, status: int, text: str) -> Response:
        return Response(
            status, {"error": "server_error" if status >= 500 else "invalid_request", "error_description": text}
        )

    def _discovery(self, request: Request, values: dict[str, str]) -> Response:
        return Response(
            200,
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/.well-known/openid-configuration/jwks",
                "token_endpoint": f"{self.url}/connect/token",
                "pushed_authorization_request_endpoint": f"{self.url}/connect/par",
                "grant_types_supported": ["client_credentials"],
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "dpop_signing_alg_values_supported": list(ALGORITHMS),
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": list(AUDIENCES),
            },
        )

    def _jwks(self, request: Request, values: dict[str, str]) -> Response:
        return Response(200, {"keys": [signing_key().as_dict(private=False)]})

    # -- the token endpoint -------------------------------------------------------------------------------------------

    def _token(self, request: Request, values: dict[str, str]) -> Response:
        try:
            form = self._form(request)
            client, assertion = self._client(form)
            claims = self._proofs.judge(request.headers.get("dpop", ""), method="POST", url=f"{self.url}/connect/token")
            if not self._known_nonce(claims.get("nonce")):
                text = "Authorization server requires nonce in DPoP proof."
                return self._refusal("use_dpop_nonce", text, {"DPoP-Nonce": self._new_nonce()})
            parent, child = _organisation(client, assertion.get("assertion_details"))
            scopes = _scopes(client, form.get("scope", ""))
        except ProofError as error:
            return self._refusal(error.error, error.reason)
        return self._grant(client, parent, child, scopes, str(claims["jkt"]))

    def _refusal(self, error: str, text: str, headers: dict[str, str] | None = None) -> Response:
        return Response(400, {"error": error, "error_description": text}, headers or {})

    def _form(self, request: Request) -> dict[str, str]:
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise ProofError("the body is not a form", "invalid_request")
        form = dict(parse_qsl(request.body.decode("latin-1")))
        if form.get("grant_type") != "client_credentials":
            raise ProofError("grant_type is not client_credentials", "unsupported_grant_type")
        if "client_secret" in form:
            raise ProofError("HID-1008", "invalid_client")
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise ProofError("client_assertion_type is not the JWT bearer type", "invalid_client")
        return form

    def _client(self, form: Mapping[str, str]) -> tuple[Client, dict[str, Any]]:
        client = self.clients.get(form.get("client_id", ""))
        if client is None:
            raise ProofError("unknown client", "invalid_client")
        try:
            claims = self._assertion(form.get("client_assertion", ""), client)
        except ProofError as error:
            raise ProofError(error.reason, "invalid_client") from None
        return client, claims

    def _assertion(self, assertion: str, client: Client) -> dict[str, Any]:
        header = read_header(assertion)
        if header.get("typ") not in ("client-authentication+jwt", "JWT"):
            raise ProofError("typ of the client assertion is not client-authentication+jwt")
        if header.get("alg") not in ALGORITHMS:
            raise ProofError("alg of the client assertion is not allowed")
        plain = next((key for key in client.keys if key.get("kid") == header.get("kid")), None)
        if plain is None:
            raise ProofError("kid of the client assertion is not registered")
        key = RSAKey.import_key(dict(plain)) if plain["kty"] == "RSA" else ECKey.import_key(dict(plain))
        claims = verified_claims(assertion, key)
        self._check_assertion(claims, client)
        return claims

    def _check_assertion(self, claims: Mapping[str, Any], client: Client) -> None:
        now = self.now()
        audience = claims.get("aud")
        if not {self.url, f"{self.url}/connect/token"} & set(audience if isinstance(audience, list) else [audience]):
            raise ProofError("aud of the client assertion is not this issuer")
        if claims.get("iss") != client.client_id or claims.get("sub") != client.client_id:
            raise ProofError("iss and sub of the client assertion are not the client id")
        exp = claims.get("exp")
        if not isinstance(exp, int | float) or exp <= now - 5:
            raise ProofError("the client assertion has expired")
        if exp > now + 65:
            raise ProofError("the client assertion lives longer than 60 seconds")
        if isinstance(claims.get("nbf"), int | float) and claims["nbf"] > now + 5:
            raise ProofError("the client assertion is not valid yet")
        jti = claims.get("jti")
        if not isinstance(jti, str) or not self._assertions.first_time(f"{client.client_id}/{jti}", now):
            raise ProofError("jti of the client assertion is missing or was used before")

    def _known_nonce(self, nonce: object) -> bool:
        with self._lock:
            return isinstance(nonce, str) and self._nonces.get(nonce, 0.0) > self.now()

    def _new_nonce(self) -> str:
        nonce = secrets.token_urlsafe(24)
        now = self.now()
        with self._lock:
            self._nonces = {key: until for key, until in self._nonces.items() if until > now}
            self._nonces[nonce] = now + self.nonce_s
        return nonce

    def _grant(self, client: Client, parent: str, child: str | None, scopes: list[str], jkt: str) -> Response:
        rejected = scopes if parent in client.refused_by else []
        granted = [scope for scope in scopes if scope not in rejected]
        token = self.make_token(client, parent, child, granted, jkt)
        answer = {
            "access_token": token,
            "expires_in": self.lifetime_s,
            "token_type": "DPoP",
            "scope": " ".join(granted),
        }
        if rejected:
            answer["rejected_scope"] = " ".join(rejected)
        self.issued += 1
        return Response(200, answer, {"Cache-Control": "no-store"})

    def make_token(
        self, client: Client, parent: str, child: str | None, scopes: list[str], jkt: str, **changed: Any
    ) -> str:
        """An access token; ``changed`` replaces claims (for negative tests)."""
        now = int(self.now())
        claims: dict[str, Any] = {
            "iss": self.url,
            "aud": [AUDIENCES[scope] for scope in scopes if scope in AUDIENCES],
            "client_id": client.client_id,
            "scope": scopes,
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime_s,
            "jti": secrets.token_hex(16),
            "cnf": {"jkt": jkt},
            f"{_CLAIM}claims/orgnr_parent": parent,
            f"{_CLAIM}client_tenancy": "multi-tenant" if client.multi_tenant else "single-tenant",
            f"{_CLAIM}client_name": client.name,
            "client_amr": "private_key_jwt",
        }
        if child:
            claims[f"{_CLAIM}claims/orgnr_child"] = child
        if client.multi_tenant:
            claims[f"{_CLAIM}claims/orgnr_supplier"] = client.organisation_number
        claims.update(changed)
        header = {"alg": "RS256", "typ": "at+jwt", "kid": signing_key().kid}
        return jwt.encode(header, claims, signing_key(), algorithms=["RS256"], registry=registry(("RS256",)))


def _scopes(client: Client, asked: str) -> list[str]:
    scopes = asked.split() or list(client.scopes)
    if not set(scopes) <= set(client.scopes):
        raise ProofError("the client may not ask for that scope", "invalid_scope")
    return scopes


_NINE = re.compile(r"[0-9]{9}")


def _organisation(client: Client, details: object) -> tuple[str, str | None]:
    """Parent and child number that the token speaks for; HID-100x as ProofError ``invalid_client``."""
    if details is None:
        if client.multi_tenant:
            raise ProofError("HID-1010", "invalid_client")
        return client.organisation_number, None
    system, value = _identifier(details)
    if not client.multi_tenant:
        if system != CHILD_SYSTEM:
            raise ProofError("HID-1005", "invalid_client")
        if not _NINE.fullmatch(value):
            raise ProofError("HID-1004", "invalid_client")
        if not client.children:
            raise ProofError("HID-1006", "invalid_client")
        if value not in client.children:
            raise ProofError("HID-1002", "invalid_client")
        return client.organisation_number, value
    return _customer(client, system, value)


def _customer(client: Client, system: str, value: str) -> tuple[str, str | None]:
    parts = value.removesuffix(":").split(":")
    if system != PARENT_SYSTEM or parts[:2] != ["NO", "ORGNR"] or len(parts) not in (3, 4):
        raise ProofError("HID-1004", "invalid_client")
    if not all(_NINE.fullmatch(part) for part in parts[2:]):
        raise ProofError("HID-1004", "invalid_client")
    parent, child = parts[2], parts[3] if len(parts) == 4 else None
    if parent not in client.customers:
        raise ProofError("HID-1001", "invalid_client")
    if child is not None and child not in client.customers[parent]:
        known = any(child in children for children in client.customers.values())
        raise ProofError("HID-1003" if known else "HID-1002", "invalid_client")
    return parent, child


def _identifier(details: object) -> tuple[str, str]:
    items: list[Any] = details if isinstance(details, list) else [details]
    try:
        item = next(item for item in items if item["type"] == "helseid_authorization")
        identifier = item["practitioner_role"]["organization"]["identifier"]
        if identifier["type"] != "ENH":
            raise KeyError("type")
        return str(identifier["system"]), str(identifier["value"])
    except (StopIteration, KeyError, TypeError):
        raise ProofError("HID-1007", "invalid_client") from None
