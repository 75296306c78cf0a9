"""How often and how long an unproved ebXML message is sent again: terms by their source, and the plan of one message.

What the partner's settings say comes first, then the agreement (CPA), then the message standard, then the framework's
five resends twelve hours apart (HIS 1037 5.2, HITS 1171 8.1). When one more interval has passed after the last resend,
the message is given up; never later than what the agreement lets us keep it or than its TimeToLive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

SECOND_US = 1_000_000
DEFAULT_RETRIES, DEFAULT_INTERVAL_S, DEFAULT_PERSIST_S = 5, 12 * 3600, 72 * 3600
_MOST_RETRIES, _LONGEST_S = 100, 30 * 86_400  # what an agreement may ask for: a wrong one must not bind us for years


@dataclass(frozen=True, slots=True, kw_only=True)
class ResendTerms:
    """What a source says; None: nothing. Times in seconds; ``persist_s`` bounds the whole life from the first sending.

    ``source`` is "settings", "agreement", "message standard" or "framework".
    """

    source: str
    retries: int | None = None
    interval_s: int | None = None
    persist_s: int | None = None

    @property
    def says_something(self) -> bool:
        """True when it names both the count and the interval; one without the other is no plan."""
        return self.retries is not None and self.interval_s is not None


FRAMEWORK = ResendTerms(
    source="framework", retries=DEFAULT_RETRIES, interval_s=DEFAULT_INTERVAL_S, persist_s=DEFAULT_PERSIST_S
)
# By eb:Service: what the message's own standard says. Prescription settlement goes every four hours, for two days.
BY_SERVICE: dict[str, ResendTerms] = {
    "OppgjorsKontroll": ResendTerms(source="message standard", retries=4, interval_s=4 * 3600, persist_s=48 * 3600),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResendPlan:
    """The plan of one envelope: at most ``retries`` resends, ``interval_s`` apart, and ``lasts_s`` seconds in all.

    ``until`` is the final expiry and ``lives_until`` the envelope's TimeToLive (or None), both UTC microseconds.
    """

    source: str
    retries: int
    interval_s: int
    lasts_s: int
    until: int
    lives_until: int | None = None

    def due_at(self, resends: int, now: int, *, soon_s: float | None = None) -> int:
        """When the row is looked at next, after ``resends`` of them without proof: a resend, or the giving up.

        ``soon_s`` is the wait before the first one where the loss was seen at once.
        """
        wait_s = soon_s if soon_s is not None and resends == 0 else self.interval_s
        return min(now + round(wait_s * SECOND_US), self.until)

    def is_over(self, resends: int, now: int) -> bool:
        """True when nothing more may be sent; ``resends`` counts the one that is about to go."""
        return resends > self.retries or now >= self.until

    def renewed(self, now: int) -> ResendPlan | None:
        """The same plan from now on, as when an operator sends again; None when its TimeToLive has passed."""
        if self.lives_until is not None and now >= self.lives_until:
            return None
        return replace(self, until=_end(now, self.lasts_s, self.lives_until))

    def as_json(self) -> dict[str, object]:
        """As it stands in the row and in its event."""
        return {
            "source": self.source,
            "retries": self.retries,
            "interval_s": self.interval_s,
            "lasts_s": self.lasts_s,
            "until": self.until,
            "lives_until": self.lives_until,
        }


def choose(*sources: ResendTerms | None) -> ResendTerms:
    """The first source that says something, else the framework's. What bounds the whole life is the same source's."""
    return next((one for one in sources if one is not None and one.says_something), FRAMEWORK)


def make_plan(terms: ResendTerms, *, now: int, lives_until: int | None = None) -> ResendPlan:
    """The plan of an envelope that is sealed ``now``."""
    retries = min(max(terms.retries if terms.retries is not None else DEFAULT_RETRIES, 0), _MOST_RETRIES)
    interval = min(max(terms.interval_s if terms.interval_s is not None else DEFAULT_INTERVAL_S, 60), _LONGEST_S)
    lasts = min((retries + 1) * interval, _LONGEST_S)
    if terms.persist_s is not None and terms.persist_s > 0:
        lasts = min(lasts, terms.persist_s)
    return ResendPlan(
        source=terms.source,
        retries=retries,
        interval_s=interval,
        lasts_s=lasts,
        until=_end(now, lasts, lives_until),
        lives_until=lives_until,
    )


def _end(now: int, lasts_s: int, lives_until: int | None) -> int:
    until = now + lasts_s * SECOND_US
    return until if lives_until is None else min(until, lives_until)


def read_plan(overrides: Mapping[str, Any] | None, *, begun_at: int) -> ResendPlan:
    """The plan that a row holds under ``resend``; the framework's from ``begun_at`` for a row without one."""
    found = (overrides or {}).get("resend")
    if not isinstance(found, Mapping):
        return make_plan(FRAMEWORK, now=begun_at)
    return ResendPlan(
        source=str(found["source"]),
        retries=int(found["retries"]),
        interval_s=int(found["interval_s"]),
        lasts_s=int(found["lasts_s"]),
        until=int(found["until"]),
        lives_until=found.get("lives_until"),
    )
