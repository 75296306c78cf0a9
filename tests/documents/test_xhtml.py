from __future__ import annotations

import pytest
from lxml import etree

from adapter.documents import build_document, clean_xhtml
from adapter.documents.xhtml import has_markup, plain_text
from adapter.model.dialogue import HealthDialogue
from adapter.xmlio import Element, parse, serialise
from tests.documents.everything import head, message

XHTML = "http://www.w3.org/1999/xhtml"


def carrier(inner: str) -> Element:
    return parse(f'<TekstNotatInnhold xmlns:h="{XHTML}">{inner}</TekstNotatInnhold>'.encode())


def clean(inner: str) -> str:
    return clean_xhtml(carrier(inner)).replace(f' xmlns="{XHTML}"', "")


def div(inner: str) -> str:
    return f'<div xmlns="{XHTML}">{inner}</div>'


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("<p>a <b>b</b> c</p>", "<p>a <b>b</b> c</p>"),
        ("<p onclick='x()' style='color:red' class='k'>a</p>", "<p>a</p>"),
        ("a<script>alert(1)</script>b", "ab"),
        ("a<style>p{}</style><iframe src='x'>y</iframe>b", "ab"),
        ("<a href='http://example.invalid'>lenke</a>", "lenke"),
        ("<img src='x' onerror='y'/>etter", "etter"),
        (
            "<table><tbody><tr><td colspan='2'>1</td></tr></tbody></table>",
            '<table><tr><td colspan="2">1</td></tr></table>',
        ),
        ("<td rowspan='javascript:1'>x</td>", "<td>x</td>"),
        ("<td colspan='99999'>x</td>", "<td>x</td>"),
        ("<x:script xmlns:x='urn:x'>a</x:script>b", "b"),
        ("<x:b xmlns:x='urn:x' onclick='1'>a</x:b>b", "ab"),
        ("<SCRIPT>a</SCRIPT>b", "b"),
        ("<p>1</p>mellom<p>2</p>etter", "<p>1</p>mellom<p>2</p>etter"),
        ("<b>x</b> og <font>y</font> og <i>z</i>!", "<b>x</b> og y og <i>z</i>!"),
    ],
)
def test_v23_only_the_allowed_survives(given: str, kept: str) -> None:
    assert clean(div(given)) == f"<div>{kept}</div>"


def test_v23_markup_without_an_enclosing_div_gets_one() -> None:
    assert clean("<h:p>en</h:p><h:p>to</h:p>") == "<div><p>en</p><p>to</p></div>"
    assert clean("før <h:b>fet</h:b>") == "<div>før <b>fet</b></div>"


def test_v23_two_divs_are_not_mistaken_for_one() -> None:
    assert clean(div("a") + div("b")) == "<div><div>a</div><div>b</div></div>"
    assert clean(div("a") + " hale") == "<div><div>a</div> hale</div>"


def test_v23_markup_written_as_text_stays_text() -> None:
    assert clean("&lt;script&gt;x&lt;/script&gt;") == "<div>&lt;script&gt;x&lt;/script&gt;</div>"


def test_v23_a_comment_goes_and_the_text_after_it_stays() -> None:
    element = carrier(div("<p>a</p>"))
    element[0].insert(0, etree.Comment("skjult"))
    element[0][0].tail = "etter"
    assert clean_xhtml(element).endswith(">etter<p>a</p></div>")


def test_the_plain_form_has_a_line_for_each_block() -> None:
    text = plain_text(
        carrier(div("<h1>Overskrift</h1>en\n linje<br/>to<ul><li>a</li><li>b</li></ul><script>x</script>"))
    )
    assert text == "Overskrift\nen linje\nto\na\nb"
    assert plain_text(carrier(div("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>"))) == "1 2\n3"


def test_plain_text_keeps_its_white_space() -> None:
    element = carrier("  linje\n   innrykk ")
    assert not has_markup(element)
    assert plain_text(element) == "  linje\n   innrykk "
    assert plain_text(carrier("")) == ""


@pytest.mark.parametrize(
    "given", ["<p>a</p><script>x</script>", "<div><p>a</p></div>", f'<div xmlns="{XHTML}"><p>a</p></div>']
)
def test_v23_formatted_text_is_cleaned_before_it_is_sent(given: str) -> None:
    built = build_document(message(HealthDialogue(theme="6", xhtml=given)), head())
    (element,) = parse(serialise(built.root)).iter("{*}TekstNotatInnhold")
    assert [part.tag for part in element] == [f"{{{XHTML}}}div"]
    assert [part.tag for part in element[0]] == [f"{{{XHTML}}}p"]
    assert clean_xhtml(element) == f'<div xmlns="{XHTML}"><p>a</p></div>'
