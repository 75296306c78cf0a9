"""Whatever a partner sends, reading gives what is there and never raises."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from adapter.documents import attachment_bytes, build_document, read_facts, read_message, read_reception, unwrap
from adapter.errors import UnsupportedError
from adapter.model.document import Family
from adapter.xmlio import Element, parse, serialise
from tests.documents import everything
from tests.documents.corpus import needs_corpus, one

MSGHEAD = "http://www.kith.no/xmlstds/msghead/2006-05-24"
OLD = "http://www.kith.no/xmlstds/henvisning/2005-07-08"


def whole(body_index: int = 0) -> Element:
    built = build_document(everything.message(everything.BODIES[body_index]), everything.head())
    return parse(serialise(built.root))


def read(root: Element) -> dict[str, object]:
    return read_message(root, read_facts(root))


def damaged(root: Element) -> Iterator[Element]:
    """The document without one element, with one emptied, and with one renamed, for each element in turn."""
    for victim in list(root.iter())[1:]:
        parent = victim.getparent()
        assert parent is not None
        at = parent.index(victim)
        parent.remove(victim)
        yield root
        for tag in (victim.tag, "{urn:other}Odd"):
            parent.insert(at, root.makeelement(tag))
            yield root
            parent.remove(parent[at])
        parent.insert(at, victim)


@pytest.mark.parametrize("body_index", [1, 5, 3])
def test_a_document_with_any_part_missing_emptied_or_strange_is_still_read(body_index: int) -> None:
    for copy in damaged(whole(body_index)):
        assert json.dumps(read(copy))


@needs_corpus
@pytest.mark.parametrize(
    "name", ["TestcaseHenvisningMottak/Case1.xml", "epikrise_v1.2_n.xml", "app-rec/1.1/example-avvist.xml"]
)
def test_real_documents_with_damage_are_still_read(name: str) -> None:
    for copy in damaged(parse(one(name).read_bytes())):
        assert json.dumps(read(copy))


def test_a_day_that_does_not_exist_is_no_birth_date() -> None:
    root = whole()
    for element in root.iter(f"{{{MSGHEAD}}}DateOfBirth"):
        element.text = "1968-02-31"
    patient = read_facts(root).patient
    assert patient is not None
    assert patient.born is None


def test_values_of_another_form_are_handed_on_as_they_are_written() -> None:
    root = whole()
    changes = {"NarmesteParorende": "kanskje", "FodselsarMindrearigParorende": "2012?", "JaNei": "1"}
    for element in root.iter():
        name = element.tag.rsplit("}", 1)[-1]
        if name in changes:
            element.text = changes[name]
        if name == "UnitDose":
            element.set("V", "halv")
            element.attrib.pop("U")
    body = json.loads(json.dumps(read(root)["body"]))
    assert body["relatives"][0]["closest"] == "kanskje"
    assert body["relatives"][0]["birth_year"] == "2012?"
    assert body["sent_documents"][0]["sent"] is True
    assert body["items"][1]["content"]["dose"] == {"value": "halv"}


def test_text_under_markup_that_does_not_belong_there_is_not_lost() -> None:
    root = whole()
    text = next(root.iter("{*}TextResultValue"))
    text.text = "Før "
    text.append(parse(b'<p xmlns="http://www.w3.org/1999/xhtml">midt</p>'))
    assert json.loads(json.dumps(read(root)))["body"]["items"][2]["content"]["value"]["text"] == "Før midt"


@pytest.mark.parametrize(
    "xml",
    [
        b"<a/>",
        b'<MsgHead xmlns="urn:other"/>',
        b'<AppRec xmlns="http://www.kith.no/xmlstds/apprec/2099-01-01"/>',
        b'<Message xmlns="urn:other"/>',
        b'<Konsultasjon xmlns="http://www.kith.no/xmlstds/po/Konsultasjon/2009-06-30"/>',
    ],
)
def test_an_unknown_document_has_a_kind_and_nothing_else(xml: bytes) -> None:
    root = parse(xml)
    facts = read_facts(root)
    assert facts.family is Family.OTHER
    assert facts.kind == root.tag.rsplit("}", 1)[-1]
    assert (facts.msg_id, facts.sender, facts.msg_type) == (None, None, None)
    assert read(root)["body"] == {"kind": "unknown"}


def test_the_version_of_a_document_in_the_care_family_follows_its_date() -> None:
    for year, version in (("2009-06-30", "1.5"), ("2012-04-01", "1.6"), ("2016-05-30", "2.0"), ("2001-01-01", None)):
        root = parse(f'<X xmlns="http://www.kith.no/xmlstds/po/Konsultasjon/{year}"/>'.encode())
        assert read_facts(root).version == version


def test_documents_of_a_patient_report_are_attachments_too() -> None:
    def document(mime: str) -> str:
        return (
            f"<Document><RefDoc><MimeType>{mime}</MimeType><Content>"
            '<Base64Container xmlns="http://www.kith.no/xmlstds/base64container">QQ==</Base64Container>'
            "</Content></RefDoc></Document>"
        )

    main = '<Document><RefDoc><Content><X xmlns="urn:x"/></Content></RefDoc></Document>'
    report = f"<PatientReport>{main}{document('image/png')}</PatientReport>"
    root = parse(f'<MsgHead xmlns="{MSGHEAD}">{report}</MsgHead>'.encode())
    facts = read_facts(root)
    assert facts.kind == "X"
    assert [item.path for item in facts.attachments] == [
        "/MsgHead/PatientReport[1]/Document[2]/RefDoc/Content/Base64Container"
    ]


def test_a_message_head_without_document_is_its_own_business_document() -> None:
    facts = read_facts(parse(f'<MsgHead xmlns="{MSGHEAD}"/>'.encode()))
    assert (facts.kind, facts.family, facts.patient_present) == ("MsgHead", Family.MSGHEAD, False)


def test_white_space_in_base64_is_ignored() -> None:
    root = whole()
    container = next(root.iter("{*}Base64Container"))
    container.text = "\r\n  JVBE\n\tRi0x "
    assert attachment_bytes(read_facts(root).attachments[0]) == b"%PDF-1"


@pytest.mark.parametrize("text", ["not base64!", "JVBERi0", None, "å"])
def test_an_attachment_that_cannot_be_decoded_says_where_it_is(text: str | None) -> None:
    root = whole()
    container = next(root.iter("{*}Base64Container"))
    if text is None:
        parent = container.getparent()
        assert parent is not None
        parent.remove(container)
    else:
        container.text = text
    with pytest.raises(UnsupportedError) as caught:
        attachment_bytes(read_facts(root).attachments[0])
    assert caught.value.code == "T10.BASE64"
    assert caught.value.where is not None
    assert caught.value.where.startswith("/MsgHead/Document[2]")


FELLES = "http://www.nav.no/xml/eiff/2/"
BLOCK = f'<MottakenhetBlokk xmlns="{FELLES}" ebService="S" ebAction="A" ebRole="R" avsenderFnrFraDigSignatur="1"/>'


def wrapped(*inner: str) -> Element:
    return parse(f'<EI_fellesformat xmlns="{FELLES}">{"".join(inner)}</EI_fellesformat>'.encode())


def test_a_wrapper_with_one_message_is_looked_through() -> None:
    root = wrapped(f'<MsgHead xmlns="{MSGHEAD}"/>', BLOCK)
    inner = unwrap(root)
    assert inner.tag == f"{{{MSGHEAD}}}MsgHead"
    for start in (root, inner):
        reception = read_reception(start)
        assert reception is not None
        assert (reception.service, reception.action, reception.role, reception.signer_fnr) == ("S", "A", "R", "1")
        assert "1" not in repr(reception).split(" object at ")[0]


def test_a_document_without_wrapper_is_itself() -> None:
    root = whole()
    assert unwrap(root) is root
    assert read_reception(root) is None


@pytest.mark.parametrize("count", [0, 2])
def test_a_wrapper_with_none_or_several_messages_is_refused(count: int) -> None:
    with pytest.raises(UnsupportedError) as caught:
        unwrap(wrapped(*[f'<MsgHead xmlns="{MSGHEAD}"/>'] * count, BLOCK))
    assert caught.value.code == "T10.WRAPPER"


def test_signatures_are_counted_wherever_they_stand() -> None:
    root = whole()
    signature = b'<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"/>'
    root.append(parse(signature))
    next(root.iter("{*}Content")).append(parse(signature))
    assert read_facts(root).signatures == 2
