"""A small API client for these tests, written apart from adapter.transport, with every header open to change."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
import uuid
from typing import Any

import requests
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

from adapter.simulator import Simulation

MSGHEAD = "http://www.kith.no/xmlstds/msghead/2006-05-24"
_ALL = ["RS256", "PS256", "ES256", "HS256"]
REGISTRY = JWSRegistry(algorithms=_ALL, strict_check_header=False)
REGISTRY.max_header_length = 8192


def private_key(jwk: Any) -> RSAKey | ECKey:
    return RSAKey.import_key(dict(jwk)) if jwk["kty"] == "RSA" else ECKey.import_key(dict(jwk))


def signed(header: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
    return jwt.encode(header, claims, key, algorithms=_ALL, registry=REGISTRY)


class Caller:
    """One tenant at the simulated APIs."""

    def __init__(self, simulation: Simulation, tenant: str = "solvang", scope: str = "nhn:msh/api") -> None:
        self.simulation = simulation
        self.tenant = simulation.tenants[tenant]
        self.scope = scope
        self.key = private_key(self.tenant.private_jwk)
        self.proof_key = ECKey.generate_key("P-256")
        self.session = requests.Session()
        self.session.trust_env = False
        self._token: str | None = None

    # -- HelseID ----------------------------------------------------------------------------------------------------

    def assertion(self, **changed: Any) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.tenant.client_id,
            "sub": self.tenant.client_id,
            "aud": self.simulation.helseid_issuer,
            "jti": secrets.token_hex(16),
            "iat": now,
            "nbf": now,
            "exp": now + 30,
        }
        details = self.details()
        if details is not None:
            claims["assertion_details"] = details
        header = {
            "alg": self.tenant.private_jwk["alg"],
            "kid": self.tenant.private_jwk["kid"],
            "typ": "client-authentication+jwt",
        }
        header.update(changed.pop("header", {}))
        claims.update(changed)
        key = changed.pop("key", self.key)
        claims.pop("key", None)
        return signed(header, {k: v for k, v in claims.items() if v is not None}, key)

    def details(self, value: str | None = None, system: str = "urn:oid:1.0.6523") -> dict[str, Any] | None:
        spec = self.tenant.spec
        if value is None:
            if spec.form == "single":
                return None
            value = f"NO:ORGNR:{spec.organisation_number}"
        identifier = {"system": system, "type": "ENH", "value": value}
        return {"type": "helseid_authorization", "practitioner_role": {"organization": {"identifier": identifier}}}

    def proof(
        self, method: str, url: str, *, token: str | None = None, key: Any = None, header: Any = None, **changed: Any
    ) -> str:
        key = key or self.proof_key
        claims: dict[str, Any] = {
            "jti": secrets.token_hex(16),
            "htm": method,
            "htu": url.split("?")[0],
            "iat": int(time.time()),
        }
        if token is not None:
            claims["ath"] = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        claims.update(changed)
        public = key.as_dict(private=False)
        head = {"typ": "dpop+jwt", "alg": "ES256" if public["kty"] == "EC" else "PS256", "jwk": public}
        head.update(header or {})
        return signed(
            {k: v for k, v in head.items() if v is not None}, {k: v for k, v in claims.items() if v is not None}, key
        )

    def ask_token(self, *, assertion: str | None = None, proof: str | None = None, **form: str) -> requests.Response:
        url = f"{self.simulation.helseid_issuer}/connect/token"
        fields = {
            "grant_type": "client_credentials",
            "client_id": self.tenant.client_id,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion or self.assertion(),
            "scope": self.scope,
            **form,
        }
        headers = {"DPoP": proof or self.proof("POST", url)}
        return self.session.post(url, data=fields, headers=headers, timeout=5)

    def nonce_proof(self) -> str:
        """A proof with a fresh nonce, got by failing once."""
        answer = self.ask_token()
        assert answer.json()["error"] == "use_dpop_nonce", answer.text
        return self.proof("POST", f"{self.simulation.helseid_issuer}/connect/token", nonce=answer.headers["DPoP-Nonce"])

    def token(self) -> str:
        if self._token is None:
            answer = self.ask_token(proof=self.nonce_proof())
            assert answer.status_code == 200, answer.text
            self._token = str(answer.json()["access_token"])
        return self._token

    # -- the APIs ---------------------------------------------------------------------------------------------------

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Any = None,
        headers: dict[str, str | None] | None = None,
        base: str | None = None,
        timeout: float = 10,
    ) -> requests.Response:
        url = (base or self.simulation.edi_url) + path
        all_headers: dict[str, str | None] = {
            "api-version": "2",
            "nhn-source-system": "tests, v1",
        }
        if "Authorization" not in (headers or {}):
            all_headers["Authorization"] = f"DPoP {self.token()}"
            all_headers["DPoP"] = self.proof(method, url, token=self.token())
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            all_headers["Content-Type"] = "application/json"
        all_headers.update(headers or {})
        return self.session.request(
            method, url, params=params, data=data, headers=all_headers, timeout=timeout, allow_redirects=False
        )

    def send(self, document: bytes, **more: Any) -> requests.Response:
        body = {
            "businessDocument": base64.b64encode(document).decode(),
            "contentType": "application/xml",
            "contentTransferEncoding": "base64",
            **more,
        }
        return self.call("POST", "/Messages", body=body)

    def unread(self, *receivers: int, **params: Any) -> list[dict[str, Any]]:
        wanted = {"ReceiverHerIds": list(receivers), "IncludeMetadata": "true", "MessagesToFetch": "100", **params}
        answer = self.call("GET", "/Messages", params=wanted)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()
        return found

    def fetch(self, id_: str) -> bytes:
        answer = self.call("GET", f"/Messages/{id_}/business-document")
        assert answer.status_code == 200, answer.text
        return base64.b64decode(answer.json()["businessDocument"])


def organisation(level1: int | None, level2: int | None, name: str = "Enhet") -> str:
    def ident(her: int | None) -> str:
        if her is None:
            return ""
        return f'<Ident><Id>{her}</Id><TypeId V="HER" S="2.16.578.1.12.4.1.1.9051" DN="HER-id"/></Ident>'

    below = ""
    if level2 is not None:
        below = f"<Organisation><OrganisationName>{name} 2</OrganisationName>{ident(level2)}</Organisation>"
    return f"<Organisation><OrganisationName>{name}</OrganisationName>{ident(level1)}{below}</Organisation>"


def message(
    sender: tuple[int | None, int | None],
    receiver: tuple[int | None, int | None],
    *,
    copies: tuple[tuple[int | None, int | None], ...] = (),
    msg_id: str | None = None,
    msg_type: str = "DIALOG_HELSEFAGLIG",
    gen_date: str = "2026-03-02T10:00:00",
    content: str = '<d:Dialogmelding xmlns:d="http://www.kith.no/xmlstds/dialog/2013-01-23"/>',
    patient: str = "",
    declaration: str = '<?xml version="1.0" encoding="UTF-8"?>\n',
) -> bytes:
    """A MsgHead with only what the message server reads."""
    others = "".join(
        f'<OtherReceiver><RoleReceiver V="COP"/>{organisation(*copy, name="Kopi")}</OtherReceiver>' for copy in copies
    )
    return (
        f'{declaration}<MsgHead xmlns="{MSGHEAD}"><MsgInfo><Type V="{msg_type}" DN="-"/>'
        f"<MIGversion>v1.2 2006-05-24</MIGversion><GenDate>{gen_date}</GenDate>"
        f"<MsgId>{msg_id or uuid.uuid4()}</MsgId><Sender>{organisation(*sender, name='Avsender')}</Sender>"
        f"<Receiver>{organisation(*receiver, name='Mottaker')}</Receiver>{others}{patient}</MsgInfo>"
        f'<Document><RefDoc><MsgType V="XML"/><Content>{content}</Content></RefDoc></Document></MsgHead>'
    ).encode()
