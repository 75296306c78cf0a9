from __future__ import annotations

import pytest

from adapter.validation import schema
from adapter.validation.schema import check_schema
from adapter.xmlio import parse
from tests.validation.schema_samples import every_kind

KINDS = every_kind()


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_that_follows_its_schema_has_no_finding(kind: str) -> None:
    assert check_schema(parse(KINDS[kind])) == []


def test_a_kind_without_a_schema_is_not_judged() -> None:
    assert check_schema(parse(b'<Message xmlns="http://www.kith.no/xmlstds/epikrise/2006-09-23"/>')) is None
    assert check_schema(parse(b"<anything/>")) is None


def test_every_file_of_the_set_lies_where_the_table_says() -> None:
    on_disk = {str(path.relative_to(schema.schema_root())) for path in schema.schema_root().rglob("*.xsd")}
    assert on_disk == set(schema.FILES.values())
