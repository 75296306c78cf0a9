"""The official schemas beside the checkout, by namespace, when they are there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from lxml import etree

from adapter.documents import names
from tests.documents.corpus import SHARED

XSD = SHARED / "reference" / "xsd"
needs_schemas = pytest.mark.skipif(not XSD.is_dir(), reason="the official schemas are not beside the checkout")


class _ByName(etree.Resolver):
    """Imports find their schema by file name, wherever it lies."""

    def __init__(self) -> None:
        self._where = {path.name.lower(): path for path in XSD.rglob("*.xsd") if "ebxml" not in path.parts}

    def resolve(self, system_url: str | None, public_id: str | None, context: object) -> object:
        found = self._where.get(str(system_url).rsplit("/", 1)[-1].lower())
        return self.resolve_filename(str(found), context) if found else None


def _paths() -> list[Path]:
    return [
        XSD / "felleskomponenter" / "MsgHead-v1_2.xsd",
        XSD / "felleskomponenter" / "kith-base64.xsd",
        XSD / "dialogmelding" / "2006-10-11" / "dialogmelding.xsd",
        XSD / "dialogmelding" / "2013-01-23" / "dialogmelding-v1.1.xsd",
        XSD / "henvisning" / "Henvisning-v2.0.xsd",
    ]


@cache
def _schema(*paths: Path) -> etree.XMLSchema:
    parser = etree.XMLParser(no_network=True, load_dtd=False)
    parser.resolvers.add(_ByName())
    imports = []
    for path in paths:
        target = etree.parse(str(path), parser).getroot().get("targetNamespace")
        imports.append(f'<import namespace="{target}" schemaLocation="{path.name}"/>')
    text = f'<schema xmlns="http://www.w3.org/2001/XMLSchema">{"".join(imports)}</schema>'
    return etree.XMLSchema(etree.fromstring(text, parser))


def faults(root: etree._Element) -> list[str]:
    """What the official schema finds; empty when the document is valid."""
    namespace = etree.QName(root).namespace
    if namespace == names.APPREC_1_0:
        schema = _schema(XSD / "applikasjonskvittering" / "AppRec-v1-2004-11-21.xsd")
    elif namespace == names.APPREC_1_1:
        schema = _schema(XSD / "applikasjonskvittering" / "AppRec-v1.1.xsd")
    else:
        schema = _schema(*_paths())
    schema.validate(root)
    return [str(error.message) for error in schema.error_log]
