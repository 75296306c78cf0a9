"""The bounds on a document's bytes: what is looked for by a cheap sign is found wherever it is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter import xml_guards, xmlio
from adapter.errors import UnreadableError

REACH = xml_guards._LONG_TAG_BYTES
GAPS = st.lists(st.integers(0, 5) | st.integers(REACH - 3, REACH + 3) | st.integers(2 * REACH - 2, 2 * REACH + 2))


@settings(max_examples=300, deadline=None)
@given(GAPS, st.integers(0, 2 * REACH))
def test_every_tag_with_a_long_stretch_after_it_is_found_and_no_other(gaps: list[int], before: int) -> None:
    data = b"x" * before + b"".join(b"<" + b"x" * gap for gap in gaps)
    long_tags = [at.start() for at in re.finditer(rb"<(?=[^<]{%d})" % REACH, data)]
    found = xml_guards._find_long_tags(data)
    assert set(long_tags) <= set(found)
    assert set(found) <= {*long_tags, data.rfind(b"<")}  # the last one has nothing after it


def tag(count: int, space: str, equals: str, quote: str) -> str:
    return "<a" + "".join(f"{space}a{number}{equals}{quote}>{quote}" for number in range(count)) + "/>"


@pytest.mark.parametrize("before", [0, 1, REACH - 1, REACH, 1000, 400_000])
@pytest.mark.parametrize(("space", "equals", "quote"), [(" ", "=", '"'), ("\n\t", " \n= ", "'")])
def test_a_tag_with_too_many_attributes_is_found_wherever_it_is(
    before: int, space: str, equals: str, quote: str
) -> None:
    around = "<r>" + "<b/>" * (before // 8) + "x" * before + "%s" + "<b/>" * 3 + "x" * before + "</r>"
    assert xmlio.parse((around % tag(64, space, equals, quote)).encode()).tag == "r"
    with pytest.raises(UnreadableError, match="64 attributes"):
        xmlio.parse((around % tag(65, space, equals, quote)).encode())


DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'


@pytest.mark.parametrize("start", ["", DECLARATION, "\ufeff", "\ufeff" + DECLARATION, '<?xml version="1.0"?>\n'])
def test_an_instruction_is_found_beside_a_declaration_and_a_question_mark_is_none(start: str) -> None:
    asked = f"{start}<a b='?'><!-- ? --><![CDATA[? ?>]]>?</a>\n"
    assert xmlio.parse(asked.encode()).get("b") == "?"
    for data in (asked + "<?p?>", asked.replace("?</a>", "?<?p ?></a>"), f"{start}<?xml-stylesheet x?><a/>"):
        with pytest.raises(UnreadableError, match="instruction"):
            xmlio.parse(data.encode())
        assert xmlio.parse(data.encode(), xmlio.Limits(instructions=True)).tag == "a"
