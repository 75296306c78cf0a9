"""The clocks of a received message (P5, P7): from its GenDate where it has one, else from its arrival.

The sender counts from GenDate: an answer is due before 96 h (HIS 80415:2012, AT-A 15). People count from the arrival.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapter.flow.parts import HOUR_US, NORWAY
from adapter.store.database import to_us
from adapter.validation.moments import read_moment

HANDOVER_ALARMS_H = (24, 72)
PARKED_H = 72
SORTING_BEFORE_H = 95  # an hour before the 96 h
ANSWER_H = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundClock:
    """Times in UTC microseconds. ``written_at`` is GenDate, at the latest the arrival."""

    arrived_at: int
    written_at: int

    @property
    def late(self) -> bool:
        """Older than 96 h on arrival."""
        return self.arrived_at - self.written_at > ANSWER_H * HOUR_US

    @property
    def release_at(self) -> int:
        """When a parked message is handed over without its original, so that the answer is in time."""
        return self.written_at + PARKED_H * HOUR_US

    @property
    def sorting_at(self) -> int:
        """When it is confirmed as *sorting* by ourselves, if the settings allow it."""
        return self.written_at + SORTING_BEFORE_H * HOUR_US

    def unconfirmed_h(self, now: int) -> int:
        """The alarm that has come: 72, 24 or 0 (none yet)."""
        return max((hours for hours in HANDOVER_ALARMS_H if self._alarm_at(hours) <= now), default=0)

    def next_look(self, now: int, auto_sorting: bool) -> int | None:
        """When the finder looks next, None when nothing more can come."""
        looks = [when for when in map(self._alarm_at, HANDOVER_ALARMS_H) if when > now]
        if auto_sorting:
            looks.append(max(self.sorting_at, now))
        return min(looks, default=None)

    def _alarm_at(self, hours: int) -> int:
        return self.arrived_at + hours * HOUR_US


def clock_of(row: Mapping[str, Any], gen_date: str | None) -> InboundClock:
    """The clock of an inbound row; a GenDate in the future, or none, counts as the arrival."""
    moment = read_moment(gen_date)
    arrived = int(row["queued_at"])
    if moment is None:
        return InboundClock(arrived_at=arrived, written_at=arrived)
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=NORWAY)
    return InboundClock(arrived_at=arrived, written_at=min(to_us(aware), arrived))
