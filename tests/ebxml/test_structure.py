"""Our table of elements against the official schema: the same verdict on real messages and on every small change."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from lxml import etree

import adapter
from adapter.ebxml.build import build
from adapter.ebxml.mime import unpack
from adapter.ebxml.names import EB, SOAP, eb
from adapter.ebxml.structure import check_structure
from adapter.errors import UnreadableError
from adapter.xmlio import Element, parse, reroot, serialise
from tests.ebxml.corpus import FOLDER, expected, needs_corpus, octets
from tests.ebxml.test_envelope import EVERY_KIND

XSD = Path(adapter.__file__).parents[1] / ".." / "shared" / "reference" / "xsd" / "ebxml"
needs_schema = pytest.mark.skipif(not XSD.is_dir(), reason="the official schema is not here")


class _Local(etree.Resolver):
    def resolve(self, system_url: str | None, public_id: str | None, context: object) -> object:
        found = XSD / str(system_url).rsplit("/", 1)[-1]
        return self.resolve_filename(str(found), context) if found.is_file() else None


@cache
def schema(name: str) -> etree.XMLSchema:
    reader = etree.XMLParser(load_dtd=False, no_network=True)
    reader.resolvers.add(_Local())
    return etree.XMLSchema(etree.parse(str(XSD / name), reader))


def official_verdict(root: Element) -> bool:
    """The frame by the SOAP schema, and every ebXML block by HITS 1172's copy of the messaging schema."""
    frame = root = copy.deepcopy(root)
    for one in root.iter(etree.Element):
        if one.get(f"{{{SOAP}}}mustUnderstand") == "true":  # allowed by clarification 2 of HIS 1037
            one.set(f"{{{SOAP}}}mustUnderstand", "1")
    root = copy.deepcopy(frame)
    for part in frame:
        for block in list(part):
            part.remove(block)
    if not schema("envelope.xsd").validate(frame):
        return False
    blocks = [one for part in root for one in part if etree.QName(one).namespace == EB]
    return all(schema("msg-header-2_0.xsd").validate(reroot(one)) for one in blocks)


def our_verdict(root: Element) -> bool:
    return not any(hit.rule in ("16", "17", "u9") for hit in check_structure(root, None))


def real_envelopes() -> Iterator[tuple[str, Element]]:
    names = [*expected(), *(str(path.relative_to(FOLDER)) for path in FOLDER.glob("official/**/*.xml"))]
    for name in names:
        try:
            part = unpack(octets(name)).envelope
            root = parse(part.content()) if part else None
        except UnreadableError:
            continue
        if root is not None and root.tag == f"{{{SOAP}}}Envelope":
            yield name, root


@needs_corpus
@needs_schema
def test_real_envelopes_get_the_verdict_of_the_official_schema() -> None:
    seen = list(real_envelopes())
    assert len(seen) >= 10
    assert [name for name, root in seen if our_verdict(root) != official_verdict(root)] == []


def small_changes(root: Element) -> Iterator[tuple[str, Element]]:
    """The envelope with one element left out, doubled, moved last, renamed or emptied, or one attribute changed."""
    blocks = {one for part in root for one in part}
    for number, original in enumerate(root.iter(etree.Element)):
        if etree.QName(original).namespace != EB:
            continue
        for kind in ("drop", "double", "last", "rename", "foreign", "text")[0 if original not in blocks else 3 :]:
            changed = copy.deepcopy(root)
            node = list(changed.iter(etree.Element))[number]
            parent = node.getparent()
            assert parent is not None
            if kind == "drop":
                parent.remove(node)
            elif kind == "double":
                node.addnext(copy.deepcopy(node))
            elif kind == "last":
                parent.append(node)
            elif kind == "rename":
                node.tag = eb("Unheard")
            elif kind == "foreign":
                node.append(etree.Element("{urn:x}y"))
            elif node.text and not len(node):
                node.text = "x" if node.tag.endswith(("Timestamp", "TimeToLive")) else None
            yield f"{kind} {node.tag}", changed
        for name in list(original.attrib):
            for kind in ("drop", "unqualify", "empty"):
                changed = copy.deepcopy(root)
                node = list(changed.iter(etree.Element))[number]
                value = node.attrib.pop(name)
                if kind == "unqualify":
                    node.set(etree.QName(str(name)).localname, str(value))
                elif kind == "empty" and not str(name).endswith("lang"):
                    node.set(name, "")
                yield f"{kind} {node.tag}/{name!r}", changed


@needs_schema
@pytest.mark.parametrize("name", EVERY_KIND)
def test_every_small_change_gets_the_verdict_of_the_official_schema(name: str) -> None:
    root = parse(serialise(build(EVERY_KIND[name])))
    assert our_verdict(root)
    assert official_verdict(root)
    changes = [(what, changed) for what, changed in small_changes(root) if not _twins(changed)]
    assert len(changes) > 60
    differing = [what for what, changed in changes if our_verdict(changed) != official_verdict(changed)]
    assert differing == []


def _twins(root: Element) -> bool:
    """A doubled block is HITS 1172's own rule u9, and allowed by the schema."""
    tags = [one.tag for part in root for one in part]
    return len(set(tags)) < len(tags)
