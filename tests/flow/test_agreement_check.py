"""Damaged agreement files: whatever an operator is given, the answer is findings or an error of ours."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter.ebxml.cpa import read_agreement
from adapter.errors import AdapterError
from adapter.flow.agreement_check import check_file, describe, diff_files
from tests.ebxml.agreed import Cpa, Side

NOW = datetime(2026, 11, 21, tzinfo=UTC)
GOOD = Cpa(
    one=Side(her_id=1, role="A", sends=["X"], url="https://a.invalid/"),
    other=Side(her_id=2, role="B", receives=["X"]),
    service="S-X",
    compressed=True,
).text()
PIECES = [
    b"",
    b"t:",
    b"<t:Certificate/>",
    b'"',
    b"&#0;",
    b"MIIB",
    b" ",
    b"P180M",
    b"certId",
    b"x" * 5000,
    b"\xff",
    b"<!--",
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The good one with a few stretches cut out or replaced."""
    text = GOOD
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 60)))
        text = text[:at] + draw(st.sampled_from(PIECES)) + text[end:]
    return text


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_a_damaged_agreement_gives_findings_or_an_error_of_ours(data: bytes) -> None:
    try:
        found = check_file(data, NOW)
    except AdapterError:
        return
    assert all(one.rule.startswith("CPA") and one.text for one in found)
    describe(read_agreement(data))
    assert isinstance(diff_files(GOOD, data), list)


def test_the_undamaged_one_is_described_with_certificates_that_cannot_be_read() -> None:
    rules = {one.rule for one in check_file(GOOD, NOW)}
    assert "CPA20" in rules, "the bytes in it are no certificates"
    parties = describe(read_agreement(GOOD))["parties"]
    assert isinstance(parties, list)
    assert parties[0]["certificates"]["a_sign"] == {"sha256": None, "readable": False}
