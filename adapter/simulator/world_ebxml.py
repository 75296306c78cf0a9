"""The made-up parties that are reached over ebXML alone: a frisklivssentral and a NAV, each by mail and over HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from adapter.model.wire import EBXML_HTTP, EBXML_MAIL
from adapter.simulator.world import (
    DIALOGUE,
    MYRDAL,
    MYRDAL_FRISKLIV,
    NAV_HTTP,
    NAV_MAIL,
    TINDVIK,
    TINDVIK_FRISKLIV,
    Unit,
)

EBXML_MUNICIPALITIES: Mapping[str, int] = {"9903": MYRDAL, "9904": TINDVIK}

_KOMMUNE = ("102", "Kommune")
_IMAGES = ["application/pdf", "image/jpeg", "image/png"]


def _frisklivssentral(her_id: int, place: str, parent: int, road: str) -> Unit:
    accepts = ["HENVISNING_NYTILSTAND", "HENVISNING", *DIALOGUE]
    return Unit(
        her_id=her_id,
        name=f"Frisklivssentral, {place}",
        parent=parent,
        service=(8663, "KX04", "Frisklivssentral"),
        agreement={"road": road, "accepts": accepts, "attachments": _IMAGES},
    )


def _nav(her_id: int, name: str, road: str) -> Unit:
    agreement = {
        "road": road,
        "accepts": ["DIALOG_NOTAT", "DIALOG_SVAR"],
        "attachments": [*_IMAGES, "image/tiff"],
        "nav": True,
        "process_names": "nav-emottak",
        "level1_transport": True,
    }
    number, kind = "889640782", ("113", "Statlig forvaltning")
    return Unit(her_id=her_id, name=name, organisation_number=number, business_type=kind, agreement=agreement)


def _kommune(her_id: int, name: str, number: str) -> Unit:
    return Unit(her_id=her_id, name=name, organisation_number=number, business_type=_KOMMUNE, reachable=False)


EBXML_UNITS: tuple[Unit, ...] = (
    _kommune(MYRDAL, "Myrdal kommune", "318045909"),
    _frisklivssentral(MYRDAL_FRISKLIV, "Myrdal", MYRDAL, EBXML_MAIL),
    _kommune(TINDVIK, "Tindvik kommune", "319046003"),
    _frisklivssentral(TINDVIK_FRISKLIV, "Tindvik", TINDVIK, EBXML_HTTP),
    _nav(NAV_MAIL, "NAV, ebXML per e-post (simulert)", EBXML_MAIL),
    _nav(NAV_HTTP, "NAV, ebXML over HTTP (simulert)", EBXML_HTTP),
)
