"""The address register's REST API (CommunicationParty API version 1), answered from the simulated world."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from adapter.simulator.addressing import HER_MAX
from adapter.simulator.faults import SHAPES, Faults
from adapter.simulator.gate import Gate, Refusal
from adapter.simulator.serving import Request, Response, Site
from adapter.simulator.world import Unit, World

BULK_MAX = 100


class Register(Site):
    """Routes below ``/api/v1``. Its errors are problem objects (RFC 9457)."""

    distortions = SHAPES - {"pascal_case_errors"}  # its errors follow a standard
    gate: Gate

    def __init__(self, world: World, faults: Faults) -> None:
        super().__init__("register", faults)
        self.world = world
        for method, template, call in (
            ("GET", "/api/v1/communicationparty/export", self._export),
            ("GET", "/api/v1/communicationparty/{herId}", self._party),
            ("POST", "/api/v1/communicationparty", self._bulk),
            ("POST", "/api/v1/communicationparty/search", self._search),
            ("GET", "/api/v1/organization/{number}", self._organisation),
            ("GET", "/api/v1/certificate/{herId}", self._pairs),
            ("GET", "/api/v1/certificate/{herId}/signing", self._signing),
            ("GET", "/api/v1/certificate/{herId}/encryption", self._encryption),
            ("GET", "/api/v1/event", self._events),
            ("GET", "/api/v1/event/latest", self._latest),
        ):
            self.add(method, template, self._guarded(call))

    def error(self, status: int, text: str) -> Response:
        return Response(status, {"title": text, "status": status}, {"Content-Type": "application/problem+json"})

    def _guarded(
        self, call: Callable[[Request, dict[str, str]], Response]
    ) -> Callable[[Request, dict[str, str]], Response]:
        def guarded(request: Request, values: dict[str, str]) -> Response:
            try:
                self.gate.judge(request)
                return call(request, values)
            except Refusal as refusal:
                response = self.error(refusal.status, refusal.text)
                response.headers.update(refusal.headers)
                return response

        return guarded

    def _unit(self, values: dict[str, str]) -> Unit:
        text = values["herId"]
        if not text.isascii() or not text.isdigit() or not 1 <= int(text[:12]) <= HER_MAX:
            raise Refusal(400, "The HER-id is not valid")
        unit = self.world.units.get(int(text))
        if unit is None:
            raise Refusal(404, "The communication party does not exist")
        return unit

    def _party(self, request: Request, values: dict[str, str]) -> Response:
        return Response(200, self.world.party(self._unit(values).her_id))

    def _bulk(self, request: Request, values: dict[str, str]) -> Response:
        wanted = _object(request).get("herIds")
        if (
            not isinstance(wanted, list)
            or not 1 <= len(wanted) <= BULK_MAX
            or not all(type(item) is int for item in wanted)
        ):
            raise Refusal(400, f"herIds is a list of 1 to {BULK_MAX} HER-ids")
        known = [her_id for her_id in wanted if her_id in self.world.units]
        return Response(200, {"communicationParties": [self.world.party(her_id) for her_id in known]})

    def _search(self, request: Request, values: dict[str, str]) -> Response:
        wanted = _object(request)
        page, size = _number(request, "Page", 1, 1_000_000), _number(request, "Size", 1, 100)
        hits = [self.world.party(unit.her_id) for unit in self.world.units.values() if _fits(unit, wanted)]
        return Response(200, {"communicationParties": hits[(page - 1) * size : page * size]})

    def _organisation(self, request: Request, values: dict[str, str]) -> Response:
        for unit in self.world.units.values():
            if unit.parent is None and unit.organisation_number == values["number"]:
                return Response(200, self.world.party(unit.her_id))
        raise Refusal(404, "The organization does not exist")

    def _pairs(self, request: Request, values: dict[str, str]) -> Response:
        unit = self._unit(values)
        party = self.world.party(unit.her_id)
        signing, sealing = party["currentSigningCertificate"], party["currentEncryptionCertificate"]
        pair = {"isCurrent": True, "signingCertificate": signing, "encryptionCertificate": sealing}
        return Response(200, [pair] if signing or sealing else [])

    def _signing(self, request: Request, values: dict[str, str]) -> Response:
        found = self.world.certificate(self._unit(values).her_id)
        if found is None:
            raise Refusal(404, "The party has no such certificate")
        return Response(200, found)

    def _encryption(self, request: Request, values: dict[str, str]) -> Response:
        found = self.world.sealing(self._unit(values).her_id)
        if found is None:
            raise Refusal(404, "The party has no such certificate")
        return Response(200, found)

    def _export(self, request: Request, values: dict[str, str]) -> Response:
        units = list(self.world.units)
        return Response(200, {"lastSequenceNumber": len(units), "count": len(units), "communicationParties": units})

    def _events(self, request: Request, values: dict[str, str]) -> Response:
        first = _number(request, "fromSequenceNumber", 1, 2**31)
        most = _number(request, "maxEvents", 1, 1000, 1000)
        results = [
            {
                "sequenceNumber": number,
                "herId": her_id,
                "eventType": "CommunicationPartyCreated",
                "eventTimestamp": "2026-01-01T00:00:00+01:00",
            }
            for number, her_id in enumerate(self.world.units, start=1)
            if number >= first
        ][:most]
        return Response(200, {"results": results, "count": len(results)})

    def _latest(self, request: Request, values: dict[str, str]) -> Response:
        return Response(200, len(self.world.units))


def _object(request: Request) -> dict[str, Any]:
    try:
        plain = json.loads(request.body)
    except ValueError:
        raise Refusal(400, "The body is not JSON") from None
    if not isinstance(plain, dict):
        raise Refusal(400, "The body is not a JSON object")
    return plain


def _number(request: Request, name: str, least: int, most: int, default: int | None = None) -> int:
    text = next(iter(request.asked(name)), "" if default is None else str(default))
    if not text.isascii() or not text.isdigit() or not least <= int(text[:12]) <= most:
        raise Refusal(400, f"{name} is a number from {least} to {most}")
    return int(text)


def _fits(unit: Unit, wanted: dict[str, Any]) -> bool:
    name = wanted.get("name")
    person = wanted.get("personSearchParameters") or {}
    service = wanted.get("serviceSearchParameters") or {}
    organisation = wanted.get("organizationSearchParameters") or {}
    kind = (9040, unit.business_type[0]) if unit.parent is None else None
    return (
        (not name or str(name).lower() in unit.name.lower())
        and (not person.get("hprNumber") or (unit.person is not None and unit.person[2] == person["hprNumber"]))
        and (not service or (unit.service or ())[:2] == _pair(service, "serviceType"))
        and (not organisation or kind == _pair(organisation, "businessType"))
    )


def _pair(plain: dict[str, Any], name: str) -> tuple[Any, Any]:
    return plain.get(f"{name}CodeListId"), plain.get(f"{name}CodeValue")
