"""Fixtures of the flow tests: those of the journeys."""

from __future__ import annotations

from tests.journeys.conftest import make_rig, rig

__all__ = ["make_rig", "rig"]
