"""Moments, markup and the cost of the rulebook."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from adapter.documents import read_facts
from adapter.validation.moments import is_before, read_moment
from adapter.validation.rulebook import check_rules
from adapter.validation.subject import RuleContext
from adapter.validation.xhtml import ATTRIBUTES, ELEMENTS
from adapter.xmlio import parse
from tests.validation.cases_base import HEALTH, NOW, SPECIALIST, STATUS, cut, good, swap
from tests.validation.judging import judged


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T10:00:00", datetime(2026, 11, 20, 10)),
        (" 2026-11-20T10:00:00.123456789+01:00 ", datetime.fromisoformat("2026-11-20T10:00:00+01:00")),
        ("2026-11-20T10:00:00Z", datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ("2026-11-20", datetime(2026, 11, 20)),
        ("2026-11", datetime(2026, 11, 1)),
        ("2026", datetime(2026, 1, 1)),
        ("2026-13-01", None),
        ("20.11.2026", None),
        ("", None),
        (None, None),
    ],
)
def test_moments_are_read_as_the_standards_write_them(text: str | None, moment: datetime | None) -> None:
    assert read_moment(text) == moment


@pytest.mark.parametrize(
    ("end", "start", "before"),
    [
        ("2026-11-01", "2026-11-02", True),
        ("2026-11-02", "2026-11-02", False),
        ("2026-11-02T10:00:00+01:00", "2026-11-02T09:30:00Z", True),
        ("2026-11-02T10:00:00", "2026-11-02T11:00:00Z", True),
        ("x", "2026", False),
        (None, None, False),
    ],
)
def test_ends_are_compared_with_starts(end: str | None, start: str | None, before: bool) -> None:
    assert is_before(end, start) is before


@pytest.mark.parametrize(("hours", "found"), [(23, False), (25, True)])
def test_a_day_into_the_future_is_allowed_for_clocks_and_zones(hours: int, found: bool) -> None:
    written = (NOW + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S")
    document = cut("<GenDate>.*?</GenDate>", f"<GenDate>{written}</GenDate>")(good(HEALTH))
    assert bool(judged(document).of("V4")) is found
    assert bool(judged(document, now=NOW.replace(tzinfo=None)).of("V4")) is found
    assert not judged(document, now=None).of("V4")


def test_v23_every_listed_element_is_allowed_and_only_two_attributes() -> None:
    for name in ELEMENTS:
        document = swap("<b>gruppetrening</b>", f"<{name} colspan='2'/>")(good(HEALTH))
        assert not judged(document).of("V23"), name
    assert {"colspan", "rowspan"} == ATTRIBUTES
    for bad in ("<img src='x'/>", "<a href='x'>y</a>", "<p style='x'/>", "<style/>", "<iframe/>", "<form/>", "<svg/>"):
        assert judged(swap("<b>gruppetrening</b>", bad)(good(HEALTH))).of("V23"), bad


def test_v14_a_first_message_may_name_profession_or_person_as_reader() -> None:
    first = cut("<ConversationRef>.*?</ConversationRef>")(good(HEALTH))
    reader = (
        '<RollerRelatertNotat><RoleToPatient V="24" S="2.16.578.1.12.4.1.1.9034" DN="Kontakt hos mottaker"/>'
        "<HealthcareProfessional>{}</HealthcareProfessional></RollerRelatertNotat></Notat>"
    )
    for named in ('<TypeHealthcareProfessional V="FT" DN="Fysioterapeut"/>', "<FamilyName>Lie</FamilyName>"):
        assert not judged(swap("</Notat>", reader.format(named))(first), "out").of("V14.READER")
    assert judged(swap("</Notat>", reader.format("<GivenName>Per</GivenName>"))(first), "out").of("V14.READER")
    other_theme = swap('V="6" S="2.16.578.1.12.4.1.1.7322"', 'V="8" S="2.16.578.1.12.4.1.1.7322"')(first)
    assert not judged(other_theme, "out").of("V14.READER")


def test_v15_a_pathway_from_a_specialist_is_allowed_and_from_an_unknown_sender_not_judged() -> None:
    pathway = (
        '<Pakkeforlop><Pakkeforlopskode V="A01" S="2.16.578.1.12.4.1.1.9321" DN="Start"/></Pakkeforlop></Henvisning>'
    )
    document = swap("</Henvisning>", pathway)(good(SPECIALIST))
    assert not judged(document, "out", sender_is_specialist=True).of("V15.PATHWAY")
    assert judged(document, "out").of("V15.PATHWAY")[0].severity == "info"


def test_v14_the_gp_must_only_be_named_towards_specialists_and_not_in_emergencies() -> None:
    anonymous = cut("<po:KontaktpersonHelsepersonell>.*?</po:KontaktpersonHelsepersonell>")(good(SPECIALIST))
    assert judged(anonymous, "out", receiver_is_specialist=True).of("V14.GP")[0].severity == "error"
    assert not judged(anonymous, "out", receiver_is_specialist=False).of("V14.GP")
    assert judged(anonymous, "out").of("V14.GP")[0].severity == "info"
    urgent = cut('<Priority V="[^"]*"[^>]*/>', '<Priority V="0" DN="Øyeblikkelig hjelp"/>')(anonymous)
    assert not judged(urgent, "out", receiver_is_specialist=True).of("V14.GP")


@pytest.mark.cost
@pytest.mark.parametrize("direction", ["in", "out"])
def test_all_rules_on_a_referral_cost_less_than_a_millisecond_of_cpu(direction: str) -> None:
    # Half a millisecond on a quiet machine; the bound leaves room for a busy one, but not for a tracer.
    if sys.gettrace() is not None:
        pytest.skip("a tracer is measuring coverage")
    root = parse(good(SPECIALIST).encode())
    facts = read_facts(root)
    context = RuleContext(direction=direction, now=NOW, ours=frozenset({1}), environment="test")
    check_rules(root, facts, [], context)
    rounds = []
    for _ in range(7):
        started = time.process_time()
        for _ in range(20):
            check_rules(root, facts, [], context)
        rounds.append((time.process_time() - started) / 20)
    assert min(rounds) < 0.001


def test_the_status_sample_is_the_pdf_only_profile() -> None:
    assert judged(good(STATUS)).judgement.verdict == "accept"
