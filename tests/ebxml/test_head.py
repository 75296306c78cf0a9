"""Heads are read by hand where they are plain, and then as the standard mail package reads them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.ebxml import head
from adapter.ebxml.head import DEFAULT_LIMITS, find_head

PIECES = st.sampled_from(
    [
        "Content-Type: text/xml",
        "X:",
        " ",
        "\t",
        "a=b",
        ";",
        ":",
        "\x0b",
        "\x1c",
        "\0",
        '"',
        "\\",
        "From ",
        "é",
        "\r",
        "ø",
    ]
)
LINES = st.lists(st.lists(PIECES, max_size=4).map("".join), min_size=1, max_size=6)


@settings(max_examples=400, deadline=None)
@given(LINES, st.sampled_from(["\n", "\r\n"]))
def test_a_head_says_what_the_standard_package_makes_of_it(lines: list[str], end: str) -> None:
    block = end.join(["To: b", *lines]).encode()
    joined = head._joined(block.replace(b"\r\n", b"\n").split(b"\n"))
    stop = next((block.find(blank) for blank in (b"\n\n", b"\n\r\n") if blank in block), None)
    if stop is None and joined:
        assert find_head(block, 0, len(block), DEFAULT_LIMITS)[0].fields == head._unusual(joined).fields


def test_what_a_head_is_asked_for_is_the_first_field_of_that_name_in_any_case() -> None:
    found, _ = find_head(b"to: a\r\nTO:\r\n\tb\r\n \r\n c\r\nX: \r\n\r\nbody", 0, 40, DEFAULT_LIMITS)
    assert found.fields == (("to", "a"), ("TO", "b c"), ("X", ""))
    assert (found.get("To"), found.get("x"), found.get("y")) == ("a", "", None)
