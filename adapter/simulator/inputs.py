"""Reading what a request of the message API carries: query parameters, JSON bodies, overrides, AppRec errors."""

from __future__ import annotations

import json
import re
from typing import Any

from adapter.simulator.addressing import HER_MAX
from adapter.simulator.gate import Refusal, invalid
from adapter.simulator.serving import Request

_OVERRIDES = {
    "cpaid": str,
    "conversationid": str,
    "service": str,
    "servicetype": str,
    "action": str,
    "senderrole": str,
    "usesenderlevel1herid": bool,
    "receiverrole": str,
    "applicationname": str,
    "applicationversion": str,
    "middlewarename": str,
    "middlewareversion": str,
    "compresspayload": bool,
}
_JSON = re.compile(r"(application/json|text/json|application/[\w.-]+\+json)\s*(;.*)?", re.IGNORECASE)


def one(request: Request, name: str) -> str | None:
    """The first value of a query parameter, or None."""
    values = request.asked(name)
    return values[0] if values else None


def flag(request: Request, name: str) -> bool:
    """A query parameter that is true or false (default false)."""
    text = (one(request, name) or "false").lower()
    if text not in ("true", "false"):
        raise invalid(f"The value of {name} is not true or false.")
    return text == "true"


def her_id_of(name: str, text: str) -> int:
    """A HER-id of a path or query; raises Refusal 400."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:12]) <= HER_MAX:
        raise invalid(f"The value of {name} is not a HER-id.")
    return int(text)


def json_body(request: Request, known: tuple[str, ...]) -> dict[str, Any]:
    """The JSON object of the body with lower-case keys; raises Refusal 415 or 400."""
    if not _JSON.fullmatch(request.headers.get("content-type", "")):
        raise Refusal(415, "Unsupported Media Type", 1000)
    try:
        plain = json.loads(request.body)
    except ValueError:
        raise invalid("The body is not JSON.") from None
    if not isinstance(plain, dict):
        raise invalid("The body is not a JSON object.")
    lowered = {str(key).lower(): value for key, value in plain.items()}
    if lowered.keys() - {name.lower() for name in known}:
        raise invalid("The body has a member that the API does not know.")
    return lowered


def overrides_of(plain: object) -> dict[str, Any] | None:
    """``ebXmlOverrides`` as given, its members and types checked; raises Refusal 400."""
    if plain is None:
        return None
    if not isinstance(plain, dict):
        raise invalid("The EbXmlOverrides field is not an object.")
    for name, value in plain.items():
        kind = _OVERRIDES.get(str(name).lower())
        if kind is None:
            raise invalid("The EbXmlOverrides field has a member that the API does not know.")
        if value is not None and not isinstance(value, kind):
            raise invalid("A member of the EbXmlOverrides field has the wrong type.")
    return dict(plain)


def errors_of(plain: object) -> tuple[tuple[str, str], ...]:
    """``appRecErrorList`` as (code, text) pairs; raises Refusal 400."""
    if plain is None:
        return ()
    if not isinstance(plain, list):
        raise invalid("The AppRecErrorList field is not a list.")
    errors = []
    for item in plain:
        lowered = {str(key).lower(): value for key, value in item.items()} if isinstance(item, dict) else {}
        if not {"errorcode", "details"} <= lowered.keys() or lowered.keys() - {
            "errorcode",
            "details",
            "description",
            "oid",
        }:
            raise invalid("An item of the AppRecErrorList needs errorCode and details.")
        errors.append((str(lowered["errorcode"] or ""), str(lowered["details"] or lowered.get("description") or "")))
    return tuple(errors)
