"""Which XHTML a text may hold (HISD 1155:2008; content digest 8.4), and where a text holds something else."""

from __future__ import annotations

from collections.abc import Iterator

from adapter.validation import names
from adapter.xmlio import Element

# fmt: off
ELEMENTS = frozenset(
    {
        "abbr", "acronym", "address", "blockquote", "br", "cite", "code", "dfn", "div", "em", "h1", "h2",
        "h3", "h4", "h5", "h6", "kbd", "p", "pre", "q", "samp", "span", "strong", "var", "dl", "dt", "dd",
        "ol", "ul", "li", "b", "big", "hr", "i", "small", "sub", "sup", "tt", "caption", "table", "tbody",
        "td", "th", "tr",
    }
)
# fmt: on
ATTRIBUTES = frozenset({"colspan", "rowspan"})
_CARRIERS = tuple(f"{ns}{name}" for ns in names.DIALOGUES for name in ("TekstNotatInnhold", "Sporsmal"))


def texts(body: Element) -> Iterator[Element]:
    """The elements that may carry XHTML."""
    yield from body.iter(*_CARRIERS)


def foreign_markup(carrier: Element) -> Iterator[Element]:
    """Elements within a text that are not on the list, or that carry another attribute than colspan and rowspan."""
    if not len(carrier):
        return
    for element in carrier.iterdescendants("*"):
        namespace, _, name = str(element.tag).rpartition("}")
        known = f"{namespace}}}" == names.XHTML and name in ELEMENTS
        if not known or any(key not in ATTRIBUTES for key, _ in element.items()):
            yield element
