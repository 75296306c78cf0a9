"""The one parser: hostile bytes are refused with a stable code, soon and in little memory (engineering: hardening)."""

from __future__ import annotations

import socket
import threading
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from adapter import xmlio
from adapter.errors import UnreadableError

MB = 1_000_000
B64 = b'<b:Base64Container xmlns:b="http://www.kith.no/xmlstds/base64container">'
BOMB = b"".join(b"<!ENTITY e%d '%s'>" % (i, b"&e%d;" % (i - 1) * 10 if i else b"lol") for i in range(12))

ATTACKS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "T01"),
    "only blanks": (b"\xef\xbb\xbf \r\n\t", "T01"),
    "not XML": (b"x" * MB, "T01"),
    "cut off": (b"<a><b>", "T01"),
    "two roots": (b"<a/><b/>", "T01"),
    "DOCTYPE": (b"<!DOCTYPE a><a/>", "T01.DOCTYPE"),
    "DOCTYPE behind a megabyte": (b"<!--" + b"x" * MB + b"--><!DOCTYPE a><a/>", "T01.DOCTYPE"),
    "internal entity": (b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "T01.DOCTYPE"),
    "entity in an attribute": (b"<!DOCTYPE a [<!ENTITY x 'y'>]><a b='&x;'/>", "T01.DOCTYPE"),
    "billion laughs": (b"<!DOCTYPE a [" + BOMB + b"]><a>&e11;</a>", "T01.DOCTYPE"),
    "undeclared entity": (b"<a>&x;</a>", "T01"),
    "depth": (b"<a>" * 150_000 + b"</a>" * 150_000, "T01"),
    "a little too deep": (b"<a>" * 101 + b"</a>" * 101, "T01.DEPTH"),
    "100 000 attributes": (b"<a " + b" ".join(b'a%d=""' % i for i in range(100_000)) + b"/>", "T01.ATTRIBUTES"),
    "attributes with '>' in them": (
        b"<a\n" + b"\n".join(b"a%d='>'" % i for i in range(80_000)) + b"/>",
        "T01.ATTRIBUTES",
    ),
    "65 attributes": (b"<r><a " + b" ".join(b"a%d=''" % i for i in range(65)) + b"/></r>", "T01.ATTRIBUTES"),
    "1 000 namespaces on a tag": (
        b"<r " + b" ".join(b'xmlns:n%d="u:%d"' % (i, i) for i in range(1000)) + b">" + b"<a/>" * 500 + b"</r>",
        "T01.ATTRIBUTES",
    ),
    "41 namespaces in scope": (
        b"".join(b'<a xmlns:n%d="u:%d">' % (i, i) for i in range(41)) + b"<b/>" * 1000 + b"</a>" * 41,
        "T01.NAMESPACES",
    ),
    "41 namespaces among a megabyte": (
        b"<r>"
        + b"<b/>" * 150_000
        + b"".join(b'<a xmlns:n%d="u:%d">' % (i, i) for i in range(41))
        + b"</a>" * 41
        + b"</r>",
        "T01.NAMESPACES",
    ),
    "instruction before": (b"<?p x?><a/>", "T01.PI"),
    "instruction inside": (b"<a><b/><?p x?></a>", "T01.PI"),
    "instruction after": (b"<a/><?p x?>", "T01.PI"),
    "a megabyte of instructions": (b"<a>" + b"<?p?>" * 200_000 + b"</a>", "T01.PI"),
    "10 MB of text": (b"<a>" + b"x" * (10 * MB + 1) + b"</a>", "T01.TEXT"),
    "10 MB of text after a child": (b"<a><b/>" + b"x" * (10 * MB + 1) + b"</a>", "T01.TEXT"),
    "10 MB in an attribute": (b"<a b='" + b"x" * (10 * MB + 1) + b"'/>", "T01.TEXT"),
    "10 MB beside an attachment": (
        b"<a>" + B64 + b"AAAA</b:Base64Container>" + b"x" * (10 * MB + 1) + b"</a>",
        "T01.TEXT",
    ),
    "40 MB": (b"<a>" + b" " * (40 * MB) + b"</a>", "T01.SIZE"),
    "1 000 000 siblings": (b"<a>" + b"<b/>" * MB + b"</a>", "T01.ELEMENTS"),
    "a megabyte of siblings": (b"<a>" + b"<b/>" * 250_000 + b"</a>", "T01.ELEMENTS"),
    "UTF-16 with a mark": ('<?xml version="1.0" encoding="utf-16"?><a/>'.encode("utf-16"), "T01.ENCODING"),
    "UTF-16 without a mark": ("<a>x</a>".encode("utf-16-le"), "T01.ENCODING"),
    "UTF-32": ("<a/>".encode("utf-32-be"), "T01.ENCODING"),
    "a DOCTYPE in UTF-16": ("<!DOCTYPE a><a/>".encode("utf-16"), "T01.ENCODING"),
    "NUL early": (b"<a>\0</a>", "T01.ENCODING"),
    "NUL late": (b"<a>" + b"x" * 100_000 + b"\0</a>", "T01.ENCODING"),
    "undeclared ISO-8859-1": ("<a>å</a>".encode("latin-1"), "T01.ENCODING"),
    "UTF-8 declared falsely": ('<?xml version="1.0" encoding="UTF-8"?><a>å</a>'.encode("latin-1"), "T01.ENCODING"),
    "UTF-7": (b'<?xml version="1.0" encoding="UTF-7"?><a>+AD4-</a>', "T01.ENCODING"),
    "UTF-7 far away": (b'<?xml version="1.0"' + b" " * 900 + b'encoding="UTF-7"?><a/>', "T01.ENCODING"),
    "a declaration without end": (b"<?xml " + b"encoding='" * 50_000, "T01.ENCODING"),
    "UTF-16 declared falsely": (b'<?xml version="1.0" encoding="UTF-16"?><a/>', "T01.ENCODING"),
    "EBCDIC": (b'<?xml version="1.0" encoding="ebcdic-cp-us"?><a/>', "T01.ENCODING"),
    "an unknown encoding": (b'<?xml version="1.0" encoding="' + b"x" * 100 + b'"?><a/>', "T01.ENCODING"),
    "one endless tag": (b"<a " + b"x " * (MB // 2), "T01"),
    "one endless blank": (b"<a x" + b" " * MB + b"=", "T01"),
    "tags that never end": (b"<a" * (MB // 2), "T01.ELEMENTS"),
    "an attribute that never ends": ((b"<a x='" + b"b" * 1000) * 1000, "T01"),
}


@pytest.mark.cost
@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_document_is_refused_with_its_code_and_at_once(name: str) -> None:
    data, code = ATTACKS[name]
    bound_s = 0.3 * max(1, len(data) / MB / 4)  # 100 ms for a megabyte, three times that for a busy machine
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(UnreadableError) as caught:
        xmlio.parse(data)
    spent = time.process_time() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.code == code
    assert caught.value.apprec == "T01"
    assert spent < bound_s
    assert peak < 4 * len(data) + MB


def test_p21_a_refusal_says_the_line_and_never_the_content() -> None:
    canary = "Ola Canary 13116900216"
    for data in (f"<a>\n<b>{canary}</c></a>", f"<a>{canary}&{canary};</a>", f"<a>\n\n<?{canary}?></a>", canary):
        with pytest.raises(UnreadableError) as caught:
            xmlio.parse(data.encode())
        assert "Canary" not in str(caught.value)
        assert "13116900216" not in str(caught.value)
    with pytest.raises(UnreadableError) as caught:
        xmlio.parse(b"<a>\n<b></c></a>")
    assert caught.value.line == 2


ACCEPTED: dict[str, tuple[bytes, str]] = {
    "plain": ("<a>å</a>".encode(), "å"),
    "UTF-8 declared": ('<?xml version="1.0" encoding="utf-8"?><a>å</a>'.encode(), "å"),
    "a byte order mark": ("<a>å</a>".encode("utf-8-sig"), "å"),
    "mark and declaration": ('<?xml version="1.0" encoding="UTF-8"?><a>å</a>'.encode("utf-8-sig"), "å"),
    "ISO-8859-1": ("<?xml version='1.0' encoding='ISO-8859-1'?><a>å</a>".encode("latin-1"), "å"),
    "a comment in the text": (b"<a>pay 1<!-- no -->00</a>", "pay 100"),
    "comments around": (b"<!-- x --><a>b</a><!-- y -->", "b"),
    "CDATA": (b"<a><![CDATA[<b>]]></a>", "<b>"),
    "the predefined entities": (b"<a>&lt;&amp;&#65;</a>", "<&A"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_honest_document_is_read_with_comments_dropped_and_text_joined(name: str) -> None:
    data, text = ACCEPTED[name]
    root = xmlio.parse(data)
    assert (root.text, len(root)) == (text, 0)


def test_the_bounds_themselves_are_allowed() -> None:
    attributes = b" ".join(b"a%d=''" % i for i in range(64))
    namespaces = b"".join(b'<a xmlns:n%d="u:%d">' % (i, i) for i in range(40))
    for data in (
        b"<a " + attributes + b"/>",
        b"<a>" * 100 + b"</a>" * 100,
        namespaces + b"</a>" * 40,
        b"<r>" + b"".join(b'<a xmlns:n%d="u:%d"/>' % (i, i) for i in range(100)) + b"</r>",
        b"<a>" + b"x" * (10 * MB) + b"</a>",
    ):
        assert xmlio.parse(data).tag in ("a", "r")


def test_a_large_text_is_allowed_in_a_base64_container() -> None:
    root = xmlio.parse(b"<a>" + B64 + b"A" * (12 * MB) + b"</b:Base64Container></a>")
    assert len(root[0].text or "") == 12 * MB


def test_narrower_limits_may_be_given() -> None:
    limits = xmlio.Limits(size_bytes=1000, depth=3, elements=5, namespaces_in_scope=1, text_chars=10)
    assert xmlio.parse(b"<a><b><c>ten chars.</c></b></a>", limits) is not None
    for data, code in (
        (b"<a>" + b" " * 1000 + b"</a>", "T01.SIZE"),
        (b"<a><b><c><d/></c></b></a>", "T01.DEPTH"),
        (b"<a><b/><b/><b/><b/><b/></a>", "T01.ELEMENTS"),
        (b"<a xmlns='u' xmlns:b='v'/>", "T01.NAMESPACES"),
        (b"<a>eleven chars</a>", "T01.TEXT"),
    ):
        with pytest.raises(UnreadableError) as caught:
            xmlio.parse(data, limits)
        assert caught.value.code == code


def test_neither_network_nor_disk_is_touched(tmp_path: Path) -> None:
    canary = tmp_path / "canary.txt"
    canary.write_text("CANARY")
    calls: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]

        def listen() -> None:
            try:
                calls.append(server.accept())
            except TimeoutError:
                return

        listener = threading.Thread(target=listen)
        listener.start()
        for address in (f"http://127.0.0.1:{port}/x", canary.as_uri()):
            texts = (
                f'<!DOCTYPE a SYSTEM "{address}"><a/>',
                f'<!DOCTYPE a [<!ENTITY x SYSTEM "{address}">]><a>&x;</a>',
                f'<!DOCTYPE a [<!ENTITY % x SYSTEM "{address}"> %x;]><a/>',
                f'<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="{address}"/></a>',
                f'<a xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:noNamespaceSchemaLocation="{address}"/>',
            )
            for text in texts:
                # The bare parser too: the guards before it are not what keeps it from reading.
                for parse in (xmlio.parse, lambda data: etree.fromstring(data, xmlio.parser())):
                    try:
                        root = parse(text.encode())
                    except (UnreadableError, etree.XMLSyntaxError):
                        continue
                    assert b"CANARY" not in etree.tostring(root)
        listener.join()
    assert calls == []


def test_each_thread_has_its_own_parser_and_a_failure_leaves_it_usable() -> None:
    parsers: list[object] = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: parsers.append(xmlio.parser()))
        thread.start()
        thread.join()
    assert parsers[0] is not parsers[1]
    assert xmlio.parser() is xmlio.parser()
    with pytest.raises(UnreadableError):
        xmlio.parse(b"<a>")
    assert xmlio.parse(b"<a/>").tag == "a"


def test_serialised_bytes_begin_with_a_declaration_and_leave_the_tail() -> None:
    root = xmlio.parse("<r><a>å</a>tail</r>".encode())
    assert xmlio.serialise(root).startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<r>')
    assert xmlio.serialise(root[0]).endswith("<a>å</a>".encode())


def test_only_roots_are_canonicalised_and_reroot_makes_one() -> None:
    root = xmlio.parse(b"<r xmlns='u:1' xmlns:p='u:2'><a b='2' a='1'/>tail</r>")
    with pytest.raises(ValueError, match="root"):
        xmlio.canonical(root[0])
    again = xmlio.reroot(root[0])
    assert again.getparent() is None
    assert xmlio.canonical(again) == b'<a xmlns="u:1" xmlns:p="u:2" a="1" b="2"></a>'


def test_cut_leaves_the_text_around_where_it_was() -> None:
    root = xmlio.parse(b"<r>one<a/>two<b/>three</r>")
    xmlio.cut(root[1])
    assert etree.tostring(root) == b"<r>one<a/>twothree</r>"
    xmlio.cut(root[0])
    assert etree.tostring(root) == b"<r>onetwothree</r>"
    bare = xmlio.parse(b"<r><a/><b/></r>")
    xmlio.cut(bare[0])
    assert etree.tostring(bare) == b"<r><b/></r>"
    with pytest.raises(ValueError, match="root"):
        xmlio.cut(bare)


def test_splice_puts_base64_in_each_markers_place() -> None:
    assert xmlio.splice(b"<a>MARK1</a><b>MARK2</b>", [b"MARK1", b"MARK2"], [b"\x00", b""]) == b"<a>AA==</a><b></b>"
    assert xmlio.splice(b"<a/>", [], []) == b"<a/>"


@pytest.mark.parametrize(
    ("xml", "markers", "pieces"),
    [
        (b"<a/>", [b"M1"], [b"x"]),
        (b"M1 M1", [b"M1"], [b"x"]),
        (b"M2 M1", [b"M1", b"M2"], [b"x", b"y"]),
        (b"M1", [b"M1"], []),
        (b"M1", [], [b"x"]),
    ],
)
def test_splice_refuses_markers_that_are_missing_repeated_or_out_of_order(
    xml: bytes, markers: list[bytes], pieces: list[bytes]
) -> None:
    with pytest.raises(ValueError, match=r".+"):
        xmlio.splice(xml, markers, pieces)


XSD = b'<x:schema xmlns:x="http://www.w3.org/2001/XMLSchema" targetNamespace="u:%s">%s<x:element name="%s"/></x:schema>'


def test_schemas_are_compiled_from_memory_alone() -> None:
    imports = b'<x:import namespace="u:b" schemaLocation="u:b"/>'
    schema = xmlio.compile_schema({"u:a": XSD % (b"a", imports, b"a"), "u:b": XSD % (b"b", b"", b"b")})
    assert schema.validate(xmlio.parse(b"<a xmlns='u:a'/>"))
    assert not schema.validate(xmlio.parse(b"<c xmlns='u:a'/>"))


def test_a_schema_that_points_outside_its_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.xsd").write_bytes(XSD % (b"b", b"", b"b"))
    outside = b'<x:include schemaLocation="%s"/>' % (tmp_path / "b.xsd").as_uri().encode()
    with pytest.raises((etree.XMLSchemaParseError, ValueError)):
        xmlio.compile_schema({"u:a": XSD % (b"a", outside, b"a")})


_names = st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True)
_texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)


@st.composite
def _trees(draw: st.DrawFn, depth: int = 0) -> etree._Element:
    node = etree.Element(draw(_names), draw(st.dictionaries(_names, _texts, max_size=3)))
    node.text = draw(_texts)
    for child in draw(st.lists(_trees(depth + 1), max_size=3)) if depth < 3 else ():
        child.tail = draw(_texts)
        node.append(child)
    return node


@settings(max_examples=60, deadline=None)
@given(_trees())
def test_what_is_serialised_is_read_back_the_same(root: etree._Element) -> None:
    again = xmlio.parse(xmlio.serialise(root))
    assert xmlio.canonical(again) == xmlio.canonical(root)
    assert xmlio.canonical(xmlio.parse(xmlio.canonical(again))) == xmlio.canonical(again)


def test_no_other_module_parses_xml() -> None:
    package = Path(xmlio.__file__).parent
    calls = ("etree.fromstring", "etree.parse(", "etree.XML(", "XMLParser(", "minidom", "ElementTree", "iterparse")
    found = [
        f"{file.relative_to(package)}: {call}"
        for file in package.rglob("*.py")
        if file.name != "xmlio.py"
        for call in calls
        if call in file.read_text("utf-8")
    ]
    assert found == []


def _boxes(root: etree._Element) -> list[str | None]:
    return [box.text for box in root.iter(xmlio.BASE64_CONTAINER)]


def test_long_texts_are_out_for_as_long_as_the_block_lasts_even_when_it_fails() -> None:
    long = "QUJD" * 20_000
    box = f"{B64.decode()}{long}</b:Base64Container>\n t"
    odd = box.replace("<b:Base64Container ", '<b:Base64Container x="1" ', 1)
    root = xmlio.parse(f"<m>\n\n{box}<n>{odd}</n>{box}{box.replace(long, 'QUJD')}</m>".encode())
    before, lines = xmlio.canonical(root), [box.sourceline for box in root.iter(xmlio.BASE64_CONTAINER)]
    with suppress(KeyError), xmlio.texts_out(root, lambda number, _: str(number)) as texts:
        assert [text for _, text in texts] == [long, long]
        assert _boxes(root) == ["0", long, "1", "QUJD"]
        taken = [box for box, _ in texts]
        assert [box.sourceline for box in root.iter(xmlio.BASE64_CONTAINER)] == lines
        raise KeyError
    assert xmlio.canonical(root) == before
    assert [box for box in root.iter(xmlio.BASE64_CONTAINER) if box in taken] == taken
    with xmlio.texts_out(root, lambda number, _: None if number == 0 else "x") as texts:
        assert texts == []


def test_a_text_far_down_keeps_a_line_that_lxml_can_hold() -> None:
    root = xmlio.parse(b"<m>" + b"\n" * 70_000 + B64 + b"QUJD" * 20_000 + b"</b:Base64Container></m>")
    before = xmlio.canonical(root)
    with xmlio.texts_out(root, lambda number, _: str(number)) as texts:
        assert len(texts) == 1
    assert xmlio.canonical(root) == before


@pytest.mark.parametrize("exclusive", [False, True])
def test_what_has_no_canonical_form_is_unreadable(exclusive: bool) -> None:
    with pytest.raises(UnreadableError) as caught:
        xmlio.canonical_form(xmlio.parse(b'<z:a xmlns:z="relative"/>'), exclusive=exclusive)
    assert caught.value.code == "T01.NAMESPACE"
