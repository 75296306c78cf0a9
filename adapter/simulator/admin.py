"""The way in for another process: inject, ledger, receipts, statuses, scripts, faults and the clock, as JSON over HTTP.

Below ``/_simulator/`` on the message server's port, without authentication: the simulator listens on loopback only.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, Protocol

from adapter.errors import SettingsError
from adapter.simulator.deviations import DEVIATIONS
from adapter.simulator.ebxml_script import EBXML_BEHAVIOURS
from adapter.simulator.faults import FAULTS
from adapter.simulator.partners import BEHAVIOURS
from adapter.simulator.serving import Request, Response, Site


class Controls(Protocol):
    """What of a simulation is steered from outside."""

    def inject(self, xml: bytes, receiver: int, *, sender: int | None = None, **known: str | bool | None) -> str: ...
    def script(self, receiver: int, *behaviours: str, msg_id: str | None = None) -> None: ...
    def statuses(self, msg_id: str) -> list[dict[str, Any]]: ...
    def unread(self, receiver: int) -> int: ...
    def advance(self, seconds: float) -> str: ...
    def set_faults(self, plan: dict[str, Any]) -> None: ...
    def ledger_json(self, since: int) -> list[dict[str, Any]]: ...
    def receipts_json(self, msg_id: str | None) -> list[dict[str, Any]]: ...
    def urls(self) -> dict[str, Any]: ...
    def ebxml_json(self, since: int) -> list[dict[str, Any]]: ...
    def write(self, document: bytes, sender: int, receiver: int) -> str: ...
    def ping(self, sender: int, receiver: int) -> str: ...


_NAMES = {
    "behaviours": BEHAVIOURS,
    "ebxmlBehaviours": EBXML_BEHAVIOURS,
    "faults": FAULTS,
    "deviations": DEVIATIONS,
}


def add_admin(site: Site, controls: Controls) -> None:
    """Hang the admin routes on a site; faults never touch them."""

    def route(method: str, name: str, call: Callable[[Request], Any]) -> None:
        def guarded(request: Request, values: dict[str, str]) -> Response:
            try:
                return Response(200, call(request))
            except SettingsError as error:
                return Response(400, {"error": str(error)})
            except (KeyError, TypeError, ValueError) as error:
                return Response(400, {"error": f"the request cannot be understood: {type(error).__name__}"})

        site.add(method, f"/_simulator/{name}", guarded, faulty=False)

    route("GET", "urls", lambda request: controls.urls())
    route("GET", "ledger", lambda request: controls.ledger_json(int(_one(request, "since") or 0)))
    route("GET", "receipts", lambda request: controls.receipts_json(_one(request, "msgId")))
    route("GET", "statuses", lambda request: controls.statuses(_one(request, "msgId") or ""))
    route("GET", "unread", lambda request: {"unread": controls.unread(int(_one(request, "receiver") or 0))})
    route("GET", "names", lambda request: _NAMES)
    route("GET", "ebxml", lambda request: controls.ebxml_json(int(_one(request, "since") or 0)))
    route("POST", "ebxml/send", lambda request: _send(controls, json.loads(request.body)))
    route("POST", "ebxml/ping", lambda request: _ping(controls, json.loads(request.body)))
    route("POST", "inject", lambda request: _inject(controls, json.loads(request.body)))
    route("POST", "script", lambda request: _script(controls, json.loads(request.body)))
    route("POST", "faults", lambda request: _set_faults(controls, json.loads(request.body)))
    route("POST", "clock", lambda request: {"now": controls.advance(float(json.loads(request.body)["advanceS"]))})


def _one(request: Request, name: str) -> str | None:
    return next(iter(request.asked(name)), None)


def _inject(controls: Controls, plain: dict[str, Any]) -> dict[str, str]:
    """``{document (base64), receiver, sender?, msgId?, genDate?, isAppRec?}``."""
    names = {"msgId": "msg_id", "genDate": "gen_date", "isAppRec": "is_apprec"}
    known = {ours: plain[theirs] for theirs, ours in names.items() if theirs in plain}
    document = base64.b64decode(plain["document"], validate=True)
    return {"id": controls.inject(document, int(plain["receiver"]), sender=plain.get("sender"), **known)}


def _send(controls: Controls, plain: dict[str, Any]) -> dict[str, str]:
    """``{document (base64), sender, receiver}``: a partner on ebXML sends us a document."""
    document = base64.b64decode(plain["document"], validate=True)
    return {"messageId": controls.write(document, int(plain["sender"]), int(plain["receiver"]))}


def _ping(controls: Controls, plain: dict[str, Any]) -> dict[str, str]:
    """``{sender, receiver}``: a partner on ebXML asks whether we are there."""
    return {"messageId": controls.ping(int(plain["sender"]), int(plain["receiver"]))}


def _script(controls: Controls, plain: dict[str, Any]) -> dict[str, bool]:
    """``{receiver, behaviours: [...], msgId?}``."""
    controls.script(int(plain["receiver"]), *[str(name) for name in plain["behaviours"]], msg_id=plain.get("msgId"))
    return {"set": True}


def _set_faults(controls: Controls, plan: dict[str, Any]) -> dict[str, bool]:
    """``{route: [[name, when, seconds?], ...]}``; an empty object ends all faults."""
    controls.set_faults(plan)
    return {"set": True}
