"""The door of an API: version and source headers, access token, DPoP proof, and whom the caller may act for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adapter.simulator.proofs import ProofError, ProofJudge, TokenJudge
from adapter.simulator.serving import Request, Response

MODES = ("strict", "any", "plain")  # full DPoP; any Authorization header; none, as the description has it


class Refusal(Exception):
    """An answer other than success. ``code`` is the API's own error code, ``details`` the validation errors."""

    def __init__(self, status: int, text: str, code: int = 0, details: tuple[str, ...] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.code = code
        self.details = details
        self.headers: dict[str, str] = {}

    def answer(self, request_id: str) -> Response:
        """The ErrorMessage of API version 2."""
        plain = {
            "error": self.text,
            "errorCode": self.code,
            "validationErrors": list(self.details) if self.details is not None else None,
            "stackTrace": None,
            "requestId": request_id,
        }
        return Response(self.status, plain, dict(self.headers))


def invalid(*details: str, code: int = 1000) -> Refusal:
    """400 with the model's validation errors."""
    return Refusal(400, "Model validation error occurred", code, details)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the organisation of the token; None acts for everybody (modes ``any`` and ``plain``)."""

    organisation_number: str | None
    client_id: str = ""


@dataclass(slots=True)
class Gate:
    """Judges the headers of a request to one API."""

    mode: str
    tokens: TokenJudge
    proofs: ProofJudge

    def judge(self, request: Request) -> Caller:
        """The caller; raises Refusal 401."""
        if self.mode == "plain":
            return Caller(None)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if self.mode == "any":
            if not token:
                raise _unauthorised("no Authorization header")
            return Caller(None)
        if scheme.lower() != "dpop" or not token:
            raise _unauthorised("the Authorization header is not 'DPoP <access token>'")
        try:
            claims = self.tokens.judge(token)
            self._prove(request, token, claims)
        except ProofError as error:
            raise _unauthorised(error.reason, error.error) from None
        parent = claims.get("helseid://claims/client/claims/orgnr_parent")
        return Caller(str(parent), str(claims.get("client_id")))

    def _prove(self, request: Request, token: str, claims: Mapping[str, Any]) -> None:
        proof = request.headers.get("dpop")
        if not proof:
            raise ProofError("there is no DPoP header")
        self.proofs.judge(proof, method=request.method, url=request.url, jkt=claims["cnf"]["jkt"], token=token)


def _unauthorised(reason: str, error: str = "invalid_token") -> Refusal:
    refusal = Refusal(401, "Unauthorized", 0, (reason,))
    refusal.headers["WWW-Authenticate"] = f'DPoP error="{error}", error_description="{reason}"'
    return refusal


def check_version_headers(request: Request) -> None:
    """Both headers that version 2 requires; raises Refusal 400."""
    version = request.headers.get("api-version")
    if version is None:
        raise invalid("The api-version header is required.")
    if version != "2":
        raise invalid("The api-version header must be 2.")
    if not request.headers.get("nhn-source-system"):
        raise invalid("The nhn-source-system header is required.")


Owner = Callable[[int], str | None]  # organisation number of the party that owns a HER-id
