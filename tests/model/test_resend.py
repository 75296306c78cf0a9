"""The plan of resends as data."""

from __future__ import annotations

import pytest

from adapter.model.resend import BY_SERVICE, FRAMEWORK, ResendTerms, choose, make_plan, read_plan

HOUR = 3_600_000_000
AGREED = ResendTerms(source="agreement", retries=4, interval_s=12 * 3600, persist_s=96 * 3600)
OWN = ResendTerms(source="settings", retries=1, interval_s=3600)


def due_times(plan: object) -> list[float]:
    """Hours from the beginning at which the row is looked at, the last of them being the giving up."""
    now, resends, seen = 0, 0, []
    while not plan.is_over(resends, now):  # type: ignore[attr-defined]
        now = plan.due_at(resends, now)  # type: ignore[attr-defined]
        resends += 1
        seen.append(now / HOUR)
    return seen


def test_the_frameworks_plan_is_five_resends_twelve_hours_apart_and_given_up_at_72() -> None:
    assert due_times(make_plan(FRAMEWORK, now=0)) == [12, 24, 36, 48, 60, 72]


def test_an_agreement_of_four_resends_is_given_up_one_interval_after_the_last() -> None:
    assert due_times(make_plan(AGREED, now=0)) == [12, 24, 36, 48, 60]


def test_nothing_is_sent_after_what_the_agreement_lets_us_keep() -> None:
    terms = ResendTerms(source="agreement", retries=8, interval_s=12 * 3600, persist_s=30 * 3600)
    assert due_times(make_plan(terms, now=0)) == [12, 24, 30]


def test_nothing_is_sent_after_time_to_live() -> None:
    plan = make_plan(FRAMEWORK, now=0, lives_until=13 * HOUR)
    assert due_times(plan) == [12, 13]
    assert plan.renewed(12 * HOUR) is not None
    assert plan.renewed(13 * HOUR) is None


def test_the_order_of_sources_is_settings_agreement_message_standard_framework() -> None:
    standard = BY_SERVICE["OppgjorsKontroll"]
    assert choose(OWN, AGREED, standard) is OWN
    assert choose(None, AGREED, standard) is AGREED
    assert choose(None, None, standard) is standard
    assert choose(None, None, None) is FRAMEWORK
    half = ResendTerms(source="agreement", retries=4)
    assert choose(half, standard) is standard, "a count without an interval is no plan"


def test_a_loss_that_is_seen_at_once_is_healed_at_once_the_first_time_only() -> None:
    plan = make_plan(FRAMEWORK, now=0)
    assert plan.due_at(0, 0, soon_s=120) == 120_000_000
    assert plan.due_at(1, 0, soon_s=120) == 12 * HOUR


def test_a_plan_comes_back_from_the_row_as_it_was() -> None:
    plan = make_plan(AGREED, now=5 * HOUR, lives_until=50 * HOUR)
    assert read_plan({"resend": plan.as_json(), "service": "S"}, begun_at=0) == plan
    assert read_plan(None, begun_at=7) == make_plan(FRAMEWORK, now=7)


@pytest.mark.parametrize(("retries", "interval_s"), [(10**9, 1), (3, 10**12), (-1, 0)])
def test_an_agreement_with_mad_numbers_binds_us_for_a_month_at_most(retries: int, interval_s: int) -> None:
    plan = make_plan(ResendTerms(source="agreement", retries=retries, interval_s=interval_s), now=0)
    assert 0 <= plan.retries <= 100
    assert plan.interval_s >= 60
    assert plan.until <= 30 * 24 * HOUR
    assert len(due_times(plan)) <= 101
