from __future__ import annotations

import base64
import hashlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from adapter import xmlio
from adapter.security import content

B64 = "http://www.kith.no/xmlstds/base64container"
LONG = base64.b64encode(os.urandom(60_000)).decode()
BOX = f"<b:Base64Container>{LONG}</b:Base64Container>"


def plain(root: etree._Element) -> bytes:
    return hashlib.sha256(xmlio.canonical(root)).digest()


@pytest.mark.parametrize(
    "text",
    [
        f'<m xmlns:b="{B64}">{BOX} t {BOX}</m>',
        f'<m><Base64Container xmlns="{B64}">{LONG}</Base64Container></m>',
        f'<m xmlns="urn:m"><b:Base64Container xmlns:b="{B64}" xmlns:c="urn:c">{LONG}</b:Base64Container>t</m>',
        f'<m xmlns:a="{B64}"><b:Base64Container xmlns:b="{B64}">{LONG}</b:Base64Container></m>',
        f'<m xmlns:a="urn:x"><b:Base64Container xmlns:b="{B64}" xmlns:y="urn:x">{LONG}</b:Base64Container></m>',
        f'<m xmlns:b="{B64}"><b:Base64Container x="1">{LONG}</b:Base64Container></m>',
        f'<m xmlns:b="{B64}"><b:Base64Container>{LONG}<x/></b:Base64Container></m>',
        f'<m xmlns:b="{B64}"><b:Base64Container>{LONG}&amp;</b:Base64Container></m>',
        f'<m xmlns:b="{B64}"><b:Base64Container>{LONG}&#13;</b:Base64Container></m>',
        f'<m xmlns:b="{B64}"><b:Base64Container>{LONG}&gt;å</b:Base64Container></m>',
        f'<m xmlns="urn:m"><b:Base64Container xmlns:b="{B64}" xmlns="">{LONG}</b:Base64Container></m>',
        f'<b:Base64Container xmlns:b="{B64}">{LONG}</b:Base64Container>',
        f'<m xmlns:b="{B64}"><x>//set/aside/000000//</x><b:Base64Container>{LONG}</b:Base64Container></m>',
        "<m>short</m>",
    ],
)
def test_the_digest_is_that_of_the_canonical_form_and_the_tree_stays(text: str) -> None:
    root = etree.fromstring(text)
    expected, before = plain(root), xmlio.canonical(root)
    assert content.digest(root, "sha256") == expected
    assert xmlio.canonical(root) == before


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "b", "c"]),
            st.sampled_from(["", "t", " ", "&", "\r"]),
            st.sampled_from([content.LARGE - 1, content.LARGE, content.LARGE + 7]),
        ),
        max_size=4,
    ),
    st.sampled_from([{}, {None: "urn:m"}, {"b": B64}, {None: B64, "x": "urn:x"}]),
)
def test_whatever_the_prefixes_and_tails_the_digest_is_right(
    boxes: list[tuple[str | None, str, int]], scope: dict[str | None, str]
) -> None:
    root = etree.Element("{urn:m}m" if scope.get(None) == "urn:m" else "m", nsmap=scope)  # type: ignore[arg-type]
    for prefix, tail, size in boxes:
        nsmap = {prefix: B64}
        box = etree.SubElement(etree.SubElement(root, "{urn:d}d"), f"{{{B64}}}Base64Container", nsmap=nsmap)  # type: ignore[arg-type]
        box.text, box.tail = "A" * size, tail
    root = etree.fromstring(etree.tostring(root))
    expected, before = plain(root), xmlio.canonical(root)
    assert content.digest(root, "sha256") == expected
    assert xmlio.canonical(root) == before


def test_large_texts_are_really_set_aside() -> None:
    data = f'<m xmlns:b="{B64}"><b:Base64Container>{LONG}</b:Base64Container></m>'.encode()
    small, texts = content.set_aside(data)
    assert len(small) < 300
    assert [bytes(text) for text in texts] == [LONG.encode()]


@pytest.mark.parametrize("data", [b"<m/>", b"<Base64Container", b"<Base64Container>" + b"A" * 70_000])
def test_what_is_no_whole_attachment_is_left_where_it_is(data: bytes) -> None:
    assert content.set_aside(data) == (data, [])
