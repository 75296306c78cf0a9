from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from lxml import etree

import adapter
from adapter.errors import SettingsError
from adapter.validation import schema
from adapter.validation.schema import XS, SchemaSet, check_schema, read_source, schema_root, schema_set
from adapter.xmlio import Element, canonical, compile_schema, parse, splice
from tests.validation.schema_samples import attachment, dialogue, dialogue_root, every_kind, msghead

KINDS = every_kind()
PACKAGE = Path(adapter.__file__).parent


def rules(root: Element) -> list[tuple[str, str | None]]:
    return [(finding.rule, finding.path) for finding in check_schema(root) or []]


def sources() -> dict[str, Element]:
    return {
        namespace: read_source(schema_root() / path, locations_allowed=False).root
        for namespace, path in schema.FILES.items()
    }


# -- verdicts


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_that_follows_its_schema_has_no_finding(kind: str) -> None:
    assert check_schema(parse(KINDS[kind])) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_without_one_of_its_children_has_a_t02_error(kind: str) -> None:
    root = parse(KINDS[kind])
    root.remove(next(child for child in root if str(child.tag).endswith(("MsgInfo", "ServReq", "OriginalMsgId"))))
    findings = check_schema(root)
    assert findings
    assert {(finding.severity, finding.apprec) for finding in findings} == {("error", "T02")}


@pytest.mark.parametrize(
    "text",
    [
        '<Message xmlns="http://www.kith.no/xmlstds/epikrise/2006-09-23"/>',
        '<Pasientlogistikk xmlns="http://www.kith.no/xmlstds/po/Pasientlogistikk/2009-06-30"/>',
        '<CV xmlns="http://www.kith.no/xmlstds"/>',
        "<anything/>",
    ],
)
def test_a_kind_without_a_schema_is_not_judged(text: str) -> None:
    assert check_schema(parse(text.encode())) is None


def test_a_msghead_whose_body_has_no_schema_is_not_judged() -> None:
    assert (
        check_schema(parse(msghead('<Konsultasjon xmlns="http://www.kith.no/xmlstds/po/Konsultasjon/2009-06-30"/>')))
        is None
    )


def test_a_msghead_without_a_body_is_judged_by_itself() -> None:
    assert check_schema(parse(msghead(""))) == []
    assert check_schema(parse(msghead("").replace(b"<MsgId>", b"<MsgNo>").replace(b"</MsgId>", b"</MsgNo>")))


def test_a_known_body_followed_by_an_unknown_one_is_invalid() -> None:
    more = "<Document><RefDoc><MsgType V='A'/><Content><Resept xmlns='urn:unknown'/></Content></RefDoc></Document>"
    found = rules(parse(msghead(dialogue(schema.DIALOG_11), more=more)))
    assert found == [("XSD.wildcard", "/MsgHead/Document[2]/RefDoc/Content/*[1]")]


def test_several_known_bodies_in_one_message_are_each_checked() -> None:
    bodies = f"{dialogue(schema.DIALOG_11)}</Content></RefDoc></Document><Document><RefDoc><MsgType V='XML'/><Content>"
    both = bodies + dialogue(schema.DIALOG_10)
    assert check_schema(parse(msghead(both))) == []
    assert rules(parse(msghead(both.replace("<Tema>Theme</Tema>", "<Tema/><Tema/>"))))


def test_an_attachment_may_stand_first() -> None:
    head, tail = msghead("").split(b"<Document>", 1)
    assert check_schema(parse(head + attachment().encode() + b"<Document>" + tail)) == []


def test_a_part_cannot_be_the_root() -> None:
    root = parse(f'<Notat xmlns="{schema.DIALOG_10}"/>'.encode())
    assert rules(root) == [("XSD.unexpected", "/*")]


def test_a_message_within_a_wrapper_is_checked_where_it_stands() -> None:
    wrapped = parse(b"<EI_fellesformat>" + KINDS["dialogue 1.0"] + b"<MottakenhetBlokk/></EI_fellesformat>")
    assert check_schema(wrapped[0]) == []
    wrapped[0][0].remove(wrapped[0][0][0])
    assert rules(wrapped[0]) == [("XSD.missing", "/MsgHead/MsgInfo/Type")]


def test_rich_text_and_its_type_attribute_are_not_judged() -> None:
    typed = '<TekstNotatInnhold xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string" '
    typed += 'xmlns:xs="http://www.w3.org/2001/XMLSchema">'
    plain = dialogue(schema.DIALOG_10).replace("<div xmlns", "<script xmlns").replace("</div>", "</script>")
    assert check_schema(parse(msghead(plain))) == []
    before, after = dialogue(schema.DIALOG_10).split('<TekstNotatInnhold><div xmlns="http://www.w3.org/1999/xhtml">')
    assert check_schema(parse(msghead(before + typed + after.replace("</div>", "")))) == []


# -- the set


def test_every_file_of_the_set_lies_where_the_table_says_and_describes_that_namespace() -> None:
    on_disk = {str(path.relative_to(schema_root())) for path in schema_root().rglob("*.xsd")}
    assert on_disk == set(schema.FILES.values())
    for namespace, root in sources().items():
        assert root.get("targetNamespace") == namespace


def test_no_file_of_the_set_points_to_another_file() -> None:
    for root in sources().values():
        assert not root.xpath("//@schemaLocation")
        assert not list(root.iter(f"{XS}include", f"{XS}redefine"))


def test_every_element_and_type_of_the_set_can_be_reached_from_a_document() -> None:
    trees = sources()
    components = {
        (part.tag, f"{{{namespace}}}{part.get('name')}"): part
        for namespace, root in trees.items()
        for part in root
        if part.get("name")
    }
    # Through wildcards: the attachment in Content, and what an enclosed object of a signature may hold.
    waiting = [(f"{XS}element", f"{{{namespace}}}{name}") for namespace, name in schema.ROOTS.items()]
    waiting += [(f"{XS}element", f"{{{schema.BASE64CONTAINER}}}Base64Container")]
    waiting += [(f"{XS}element", f"{{{schema.XMLDSIG}}}{name}") for name in ("Manifest", "SignatureProperties")]
    reached = set()
    while waiting:
        key = waiting.pop()
        if key not in reached and key in components:
            reached.add(key)
            waiting += [found for node in components[key].iter("*") for found in _referred(node)]
    assert set(components) - reached == set()


def _referred(node: Element) -> list[tuple[str, str]]:
    names = [(kind, node.get("ref")) for kind in (node.tag,)]
    names += [(f"{XS}{kind}", node.get(at)) for at in ("type", "base") for kind in ("complexType", "simpleType")]
    found = []
    for kind, name in names:
        if name and ":" in name:
            prefix, local = name.split(":")
            found.append((str(kind), f"{{{node.nsmap[prefix]}}}{local}"))
    return found


@pytest.mark.cost
@pytest.mark.parametrize("namespaces", [[schema.MSGHEAD, body] for body in schema.ROOTS if body != schema.MSGHEAD])
def test_a_family_of_schemas_is_compiled_in_a_few_milliseconds(namespaces: list[str]) -> None:
    times = []
    for _ in range(5):
        fresh = SchemaSet({name: schema_root() / path for name, path in schema.FILES.items()}, ours=True)
        started = time.process_time()
        fresh.validator(namespaces)
        times.append(time.process_time() - started)
    assert min(times) < 0.015  # 3 ms on a quiet machine


def test_a_family_is_compiled_once_and_shared_between_threads() -> None:
    data, bad = KINDS["referral 2.0"], KINDS["referral 2.0"].replace(b"<DocumentId>d-1</DocumentId>", b"")
    verdicts: list[tuple[bool, int]] = []
    validators = set()

    def check() -> None:
        validators.add(id(schema_set().validator([schema.MSGHEAD, schema.REFERRAL_20])))
        for _ in range(25):
            verdicts.append((True, len(check_schema(parse(data)) or [])))
            verdicts.append((False, len(check_schema(parse(bad)) or [])))

    threads = [threading.Thread(target=check) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(validators) == 1
    assert set(verdicts) == {(True, 0), (False, 1)}
    assert len(verdicts) == 400


# -- schemas of the user's own


def _copy_of_ours(target: Path) -> Path:
    shutil.copytree(schema_root(), target)
    return target


def test_a_directory_of_schemas_replaces_ours(tmp_path: Path) -> None:
    directory = _copy_of_ours(tmp_path / "mine")
    file = directory / schema.FILES[schema.DIALOG_10]
    file.write_text(
        file.read_text("utf-8").replace('name="Tema" type="xs:string" minOccurs="0"', 'name="Tema" type="xs:date"'),
        "utf-8",
    )
    assert check_schema(dialogue_root()) == []
    found = check_schema(dialogue_root(), directory=directory) or []
    assert [(f.rule, f.path) for f in found] == [
        ("XSD.value", "/MsgHead/Document[1]/RefDoc/Content/Dialogmelding/Notat/Tema")
    ]


def test_locations_in_a_directory_of_schemas_are_not_followed(tmp_path: Path) -> None:
    directory = _copy_of_ours(tmp_path / "mine")
    file = directory / schema.FILES[schema.MSGHEAD]
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f'schemaLocation="http://127.0.0.1:{server.getsockname()[1]}/x.xsd"'
        located = file.read_text("utf-8").replace("<xs:import ", f"<xs:import {where} ")
        file.write_text(located, "utf-8")
        assert check_schema(dialogue_root(), directory=directory) == []
        assert not _was_called(server)


def test_ours_may_not_point_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.xsd"
    file.write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">'
        '<xs:import namespace="a" schemaLocation="b"/></xs:schema>'
    )
    with pytest.raises(SettingsError, match="points to a file"):
        read_source(file, locations_allowed=False)
    assert read_source(file, locations_allowed=True).imports == ("a",)


def test_an_included_file_is_refused_wherever_it_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "a.xsd"
    file.write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:include schemaLocation="b"/></xs:schema>'
    )
    with pytest.raises(SettingsError, match="points to a file"):
        read_source(file, locations_allowed=True)


def test_a_directory_without_schemas_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no schema for MsgHead"):
        check_schema(dialogue_root(), directory=tmp_path)


def test_a_directory_that_lacks_a_needed_schema_is_a_settings_error(tmp_path: Path) -> None:
    directory = _copy_of_ours(tmp_path / "mine")
    (directory / schema.FILES[schema.KITH]).unlink()
    with pytest.raises(SettingsError, match="no schema for http"):
        check_schema(dialogue_root(), directory=directory)


def test_two_files_for_one_namespace_are_a_settings_error(tmp_path: Path) -> None:
    directory = _copy_of_ours(tmp_path / "mine")
    shutil.copy(directory / schema.FILES[schema.KITH], directory / "again.xsd")
    with pytest.raises(SettingsError, match="two schemas"):
        check_schema(dialogue_root(), directory=directory)


def test_schemas_that_do_not_fit_together_are_a_settings_error(tmp_path: Path) -> None:
    directory = _copy_of_ours(tmp_path / "mine")
    file = directory / schema.FILES[schema.KITH]
    file.write_text(file.read_text("utf-8").replace('name="CodeFromList"', 'name="Other"'), "utf-8")
    with pytest.raises(SettingsError, match="do not fit together"):
        check_schema(dialogue_root(), directory=directory)


def test_files_that_are_no_schemas_are_passed_over(tmp_path: Path) -> None:
    directory = _copy_of_ours(tmp_path / "mine")
    (directory / "notes.xsd").write_text("not XML at all")
    (directory / "typed.xsd").write_text("<!DOCTYPE a [<!ENTITY b 'c'>]><a/>")
    assert check_schema(dialogue_root(), directory=directory) == []


def test_a_schema_file_that_is_not_xml_is_a_settings_error(tmp_path: Path) -> None:
    file = tmp_path / "a.xsd"
    file.write_text("<a")
    with pytest.raises(SettingsError, match="not sound XML"):
        read_source(file, locations_allowed=True)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_source(tmp_path / "absent.xsd", locations_allowed=True)
    file.write_bytes(b" " * 2_000_001)
    with pytest.raises(SettingsError, match="too large"):
        read_source(file, locations_allowed=True)


# -- what a document may not do


def _was_called(server: socket.socket) -> bool:
    server.setblocking(False)
    try:
        server.accept()
    except BlockingIOError:
        return False
    return True


def test_a_documents_own_schema_location_is_not_followed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x.xsd"
        for data in (
            KINDS["dialogue 1.0"],
            KINDS["dialogue 1.0"].replace(b"<MsgId>", b"<MsgNo>").replace(b"</MsgId>", b"</MsgNo>"),
        ):
            root = parse(data)
            for element in root.iter("*"):
                if element.tag in (f"{{{schema.MSGHEAD}}}MsgHead", f"{{{schema.DIALOG_10}}}Dialogmelding"):
                    element.set("{http://www.w3.org/2001/XMLSchema-instance}schemaLocation", f"urn:unknown {url}")
                    element.set("{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation", url)
            etree.SubElement(root[1][0][-1], "{urn:unknown}thing")
            assert ("XSD.wildcard", "/MsgHead/Document[1]/RefDoc/Content/*[2]") in rules(root)
        assert not _was_called(server)


@pytest.mark.cost
def test_a_20_mb_attachment_is_checked_in_half_a_second() -> None:
    marker = b"bWFya2Vy"
    data = splice(KINDS["dialogue 1.0"].replace(b"JVBERi0xLjQK", marker), [marker], [os.urandom(15_000_000)])
    assert len(data) > 20_000_000
    root = parse(data)
    started = time.process_time()
    assert check_schema(root) == []
    assert time.process_time() - started < 0.5


@pytest.mark.cost
def test_a_faulty_document_with_very_many_children_is_refused_in_linear_time() -> None:
    bad = b'<Ident><Id>1</Id><TypeId S="x"/></Ident>' * 25_000
    root = parse(
        KINDS["dialogue 1.0"].replace(b"</Sex>", b"").replace(b'<Sex V="1" DN="Mann"/>', b'<Sex V="1"/>' + bad)
    )
    started = time.process_time()
    assert rules(root) == [("XSD.unexpected", "/MsgHead/MsgInfo/Patient")]
    assert time.process_time() - started < 3  # counting siblings for each place would take 5 s and more


def test_a_sound_document_with_very_many_children_is_accepted() -> None:
    many = b'<Ident><Id>1</Id><TypeId V="x"/></Ident>' * 2_000
    root = parse(KINDS["dialogue 1.0"].replace(b'<Sex V="1" DN="Mann"/>', b'<Sex V="1"/>' + many))
    assert check_schema(root) == []


# -- where it runs


def _run(code: str, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(path)!r})\n{code}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_valid_document_is_checked_without_loading_xmlschema(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_bytes(KINDS["dialogue 1.0"])
    code = (
        "from adapter.validation.schema import check_schema\nfrom adapter.xmlio import parse\n"
        f"print(check_schema(parse(open({str(file)!r}, 'rb').read())), 'xmlschema' in sys.modules)"
    )
    assert _run(code, PACKAGE.parent) == "[] False"


def test_the_schemas_are_found_within_an_installed_package(tmp_path: Path) -> None:
    installed = tmp_path / "site" / "adapter"
    shutil.copytree(PACKAGE, installed, ignore=shutil.ignore_patterns("__pycache__", "_share"))
    shutil.copytree(schema_root(), installed / "_share" / "schemas")
    file = tmp_path / "a.xml"
    file.write_bytes(KINDS["receipt 1.1"])
    code = (
        "from adapter.validation.schema import check_schema, schema_root\nfrom adapter.xmlio import parse\n"
        f"print(schema_root(), check_schema(parse(open({str(file)!r}, 'rb').read())))"
    )
    assert _run(code, installed.parent) == f"{installed / '_share' / 'schemas'} []"


def test_compiling_reads_nothing_but_the_documents_given(tmp_path: Path) -> None:
    other = tmp_path / "other.xsd"
    other.write_text(f'<xs:schema xmlns:xs="{XS[1:-1]}" targetNamespace="urn:b"><xs:element name="B"/></xs:schema>')
    text = (
        f'<xs:schema xmlns:xs="{XS[1:-1]}" xmlns:b="urn:b" targetNamespace="urn:a">'
        f'<xs:import namespace="urn:b" schemaLocation="{other}"/><xs:element name="A" type="b:B"/></xs:schema>'
    )
    with pytest.raises((ValueError, etree.XMLSchemaParseError)):
        compile_schema({"urn:a": text.encode()})


# -- long attachments are judged by a short text in their place

_LONG = "QUJD" * 20_000


@pytest.mark.parametrize("wrong", ["*", "=", "A", "\u00e5", "&amp;", " ", "==="])
@pytest.mark.parametrize(("at", "in_short"), [(0, 0), (1, 1), (40_000, 4), (79_998, 6), (80_000, 8)])
@pytest.mark.parametrize("which", [0, 1])
def test_a_fault_anywhere_in_any_long_attachment_is_judged_as_in_a_short_one(
    wrong: str, at: int, in_short: int, which: int
) -> None:
    found = []
    for good, place in (("QUJDQUJD", in_short), (_LONG, at)):
        texts = [good, good]
        texts[which] = good[:place] + wrong + good[place:]
        root = parse(msghead(dialogue(schema.DIALOG_10), more="".join(map(attachment, texts))))
        before = canonical(root)
        found.append(rules(root))
        assert canonical(root) == before
    assert found[0] == found[1]
    if wrong in ("A", "==="):
        assert found[1] == [("XSD.value", f"/MsgHead/Document[{which + 2}]/RefDoc/Content/Base64Container")]


@pytest.mark.parametrize("end", ["QQ==", "QR==", "QUI=", "QUJ="])  # the unused bits must be zero
def test_the_end_of_a_long_attachment_is_judged_as_that_of_a_short_one(end: str) -> None:
    short, long = (parse(msghead(dialogue(schema.DIALOG_10), more=attachment(text + end))) for text in ("QUJD", _LONG))
    assert rules(long) == rules(short)


def test_a_long_attachment_in_the_wrong_place_is_found_where_it_is() -> None:
    text = msghead(dialogue(schema.DIALOG_10), more=attachment(_LONG)).replace(b"<Document>", b"\n<Document>")
    short = parse(text.replace(_LONG.encode(), b"QUJD").replace(b"<Content>", b"<Co>").replace(b"</Content>", b"</Co>"))
    long = parse(text.replace(b"<Content>", b"<Co>").replace(b"</Content>", b"</Co>"))
    assert rules(long) == rules(short) != []
    assert [finding.line for finding in check_schema(long) or []] == [f.line for f in check_schema(short) or []]


def test_a_long_text_that_is_base64_is_told_with_its_element_and_beginning_and_no_other_is() -> None:
    more = attachment(_LONG) + attachment(f"{_LONG[:-8]}#{_LONG[-8:]}") + attachment()
    root = parse(msghead(dialogue(schema.DIALOG_10), more=more))
    sound: dict[Element, str] = {}
    check_schema(root, sound=sound)
    first = next(root.iter(f"{{{schema.BASE64CONTAINER}}}Base64Container"))
    assert sound == {first: _LONG[: schema.BEGINNING]}
