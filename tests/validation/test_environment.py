"""P22: test and production do not mix."""

from __future__ import annotations

import pytest

from adapter.validation.rules_environment import is_test_person
from tests.validation.cases_base import NOTE_10, REFERRAL, good, swap
from tests.validation.judging import judged

STATUS = '<ProcessingStatus V="{}" DN="x"/>'


@pytest.mark.parametrize("digits", ["12057900499", "15076500565", "70019950032"])
def test_p22_official_test_persons_are_known(digits: str) -> None:
    assert is_test_person(digits)
    document = swap("14836831285", digits)(good(REFERRAL))
    assert not judged(document, "out", environment="test").of("E-REAL")


@pytest.mark.parametrize("direction", ["in", "out"])
def test_p22_a_real_number_in_test_is_refused_outbound_only(direction: str) -> None:
    document = swap("14836831285", "02013299997")(good(REFERRAL))
    assert bool(judged(document, direction, environment="test").of("E-REAL")) is (direction == "out")
    assert not is_test_person("02013299997")


def test_p22_numbers_of_professionals_count_too() -> None:
    fnr = '<Ident><fk1:Id>02013299997</fk1:Id><fk1:TypeId V="FNR" S="2.16.578.1.12.4.1.1.8116" DN="F"/></Ident>'
    document = swap("</Ident><TeleCom>", f"</Ident>{fnr}<TeleCom>")(good(NOTE_10))
    assert judged(document, "out", environment="test").of("E-REAL")


def test_p22_numbers_that_no_person_can_have_are_left_to_v8() -> None:
    for digits in ("14836831286", "x"):
        document = swap("14836831285", digits)(good(REFERRAL))
        found = judged(document, "out", environment="test")
        assert not found.of("E-REAL")
        assert found.of("V8")


@pytest.mark.parametrize(("status", "found"), [("T", True), ("D", True), ("P", False)])
def test_p22_training_and_debugging_do_not_leave_production(status: str, found: bool) -> None:
    document = swap("<Sender>", STATUS.format(status) + "<Sender>")(good(NOTE_10))
    assert bool(judged(document, "out", environment="production").of("E-STATUS")) is found
    assert not judged(document, "out", environment="test").of("E-STATUS")


def test_p22_inbound_test_messages_are_marked_and_never_rejected() -> None:
    document = swap("<Sender>", STATUS.format("T") + "<Sender>")(good(NOTE_10))
    found = judged(document, environment="production")
    assert found.judgement.verdict == "accept"
    assert all(finding.text.startswith("TEST") for finding in found.of("E-STATUS") + found.of("E-SYNTHETIC"))
    assert len(found.of("E-STATUS") + found.of("E-SYNTHETIC")) == 2
