from __future__ import annotations

import re

import pytest
from lxml import etree

from adapter.errors import Finding, Severity
from adapter.validation import schema
from adapter.validation.schema import check_schema, schema_set
from adapter.xmlio import Element, parse
from tests.validation.schema_samples import REFERRAL_20, every_kind, msghead

KINDS = every_kind()
HEAD = "/MsgHead/MsgInfo"
CONTENT = "/MsgHead/Document[1]/RefDoc/Content"
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'

# (what is replaced, by what, rule, path) in a valid dialogue message 1.0 with an attachment
FAULTS = [
    ("<Type V=", "<Ack V=", "XSD.missing", f"{HEAD}/Type"),
    ("<MsgId>3f0c5a52-3f1e-4c7f-8b7a-2d5f6a0c9e11</MsgId>", "", "XSD.missing", f"{HEAD}/MsgId"),
    ("</Sender>", "</Sender><Sender/>", "XSD.unexpected", f"{HEAD}/Sender[2]"),
    ("<RefToParent>a</RefToParent>", "", "XSD.missing", f"{HEAD}/ConversationRef/RefToParent"),
    ("<Notat>", "<Notat/><Notat>", "XSD.missing", f"{CONTENT}/Dialogmelding/Notat[1]/TemaKodet"),
    ("<MsgInfo>", "<MsgInfo><MsgId>x</MsgId>", "XSD.unexpected", f"{HEAD}/MsgId[2]"),
    ("</Patient>", "<x12057900565/></Patient>", "XSD.unexpected", f"{HEAD}/Patient/*[8]"),
    ("<Type V=", "Words<Type V=", "XSD.unexpected", f"{HEAD}/text()"),
    ('<Sex V="1" DN="Mann"/>', '<Sex V="1">1</Sex>', "XSD.unexpected", f"{HEAD}/Patient/Sex/text()"),
    ('<Sex V="1" DN="Mann"/>', '<Sex V="1"><Type V="1"/></Sex>', "XSD.unexpected", f"{HEAD}/Patient/Sex/Type"),
    (">1990-01-02<", "><Id/>1990-01-02<", "XSD.unexpected", f"{HEAD}/Patient/DateOfBirth/Id"),
    ("<FamilyName>Prove</FamilyName><GivenName>", "<GivenName>", None, None),
    ("<Patient>", "<Patient><DateOfBirth>1990-01-02</DateOfBirth>", "XSD.order", f"{HEAD}/Patient/FamilyName"),
    (">1990-01-02<", ">1990-1-2<", "XSD.value", f"{HEAD}/Patient/DateOfBirth"),
    (">v1.2 2006-05-24<", ">v1.1 2006-02-15<", "XSD.value", f"{HEAD}/MIGversion"),
    (">v1.2 2006-05-24<", "> <", "XSD.empty", f"{HEAD}/MIGversion"),
    (">2026-11-21T10:00:00<", "> <", "XSD.empty", f"{HEAD}/GenDate"),
    ('<IssueDate V="2026-11-21"/>', '<IssueDate V="21.11"/>', "XSD.value", "/MsgHead/Document[1]/RefDoc/IssueDate/@V"),
    ('<IssueDate V="2026-11-21"/>', '<IssueDate V=""/>', "XSD.empty", "/MsgHead/Document[1]/RefDoc/IssueDate/@V"),
    ('V="FNR" S="2', 'V="FNR" S="urn:oid:2', "XSD.value", f"{HEAD}/Patient/Ident/TypeId/@S"),
    ('<Sex V="1"', '<Sex S="2.16" V="1"', "XSD.attribute", f"{HEAD}/Patient/Sex/@S"),
    ('<Sex V="1"', '<Sex name12057900565="1"', "XSD.attribute", f"{HEAD}/Patient/Sex/@*"),
    ("<GenDate>", '<GenDate V="1">', "XSD.attribute", f"{HEAD}/GenDate/@V"),
    ('<Sex V="1"', f'<Sex {XSI} xsi:type="unknown" V="1"', "XSD.attribute", f"{HEAD}/Patient/Sex/@xsi:type"),
    ('<Sex V="1"', f'<Sex {XSI} xsi:nil="true" V="1"', "XSD.attribute", f"{HEAD}/Patient/Sex/@xsi:nil"),
    ("<Content><Dialogmelding", "<Content><MsgHead2/><Dialogmelding", "XSD.wildcard", f"{CONTENT}/*[1]"),
    ("</Dialogmelding>", '</Dialogmelding><a xmlns="urn:x"/>', "XSD.wildcard", f"{CONTENT}/*[2]"),
    ("</Dialogmelding>", "</Dialogmelding><MsgHead2/>", "XSD.wildcard", f"{CONTENT}/*[2]"),
    (">JVBERi0xLjQK<", ">A<", "XSD.value", "/MsgHead/Document[2]/RefDoc/Content/Base64Container"),
]


def spoilt(before: str, after: str, kind: str = "dialogue 1.0") -> Element:
    text = KINDS[kind].decode()
    assert before in text
    changed = text.replace(before, after, 1)
    if before == "<Type V=":
        changed = changed.replace('DN="x"/><MIG', 'DN="x"/><MIG', 1)
    return parse(changed.encode())


def found(root: Element) -> list[Finding]:
    return check_schema(root) or []


@pytest.mark.parametrize(("before", "after", "rule", "path"), FAULTS)
def test_a_fault_has_its_kind_and_its_place(before: str, after: str, rule: str | None, path: str | None) -> None:
    findings = check_schema(spoilt(before, after))
    if rule is None:
        assert not findings  # allowed by the schema, or a body of another kind
        return
    assert findings is not None
    assert (rule, path) in [(finding.rule, finding.path) for finding in findings]
    assert all(f.severity is Severity.ERROR and f.apprec == "T02" and f.line and f.source for f in findings)


def test_what_was_expected_is_said_in_words_of_the_schema() -> None:
    cases = {
        (">1990-01-02<", ">1990-1-2<"): "the value must be a date, YYYY-MM-DD",
        (">v1.2 2006-05-24<", ">v1<"): "the value must be: v1.2 2006-05-24",
        ('<IssueDate V="2026-11-21"/>', '<IssueDate V="x"/>'): "the value must be a date or a time, such as YYYY-MM-DD "
        "or YYYY-MM-DDThh:mm:ss",
        ("<RefToParent>a</RefToParent>", ""): "RefToParent is missing",
        ("<MsgInfo>", "<MsgInfo><MsgId>x</MsgId>"): "this element may occur at most once here",
        (">JVBERi0xLjQK<", ">A<"): "the value must be base64",
    }
    for change, text in cases.items():
        assert text in [finding.text for finding in found(spoilt(*change))]


def test_p11_a_misplaced_element_does_not_hide_the_faults_after_it() -> None:
    text = KINDS["dialogue 1.0"].decode().replace("1990-01-02", "1990-1-2")
    text = text.replace("<MsgInfo>", '<MsgInfo><RequestedPriority V="N"/>').replace("<TemaKodet", "<Other/><TemaKodet")
    text = text.replace("<Tema>Theme</Tema>", "<DatoNotat>x</DatoNotat><Tema/><Foresporsel/>")
    root = parse(text.encode())
    receiver = root.find(".//{*}Receiver")
    assert receiver is not None
    del receiver[:]
    before = etree.tostring(root)
    note = f"{CONTENT}/Dialogmelding/Notat"
    assert {
        ("XSD.order", f"{HEAD}/Type"),
        ("XSD.value", f"{HEAD}/Patient/DateOfBirth"),
        ("XSD.missing", f"{HEAD}/Receiver/Organisation"),
        ("XSD.unexpected", f"{note}/*[1]"),
        ("XSD.value", f"{note}/DatoNotat[1]"),
        ("XSD.missing", f"{note}/Foresporsel[1]/TypeForesp"),
    } <= {(f.rule, f.path) for f in found(root)}
    assert etree.tostring(root) == before


def test_what_stands_in_for_an_absent_element_has_no_faults_of_its_own() -> None:
    root = parse(KINDS["referral 1.0"])
    request = root.find("{*}ServReq")
    assert request is not None
    del request[:]
    names = ("ServType", "IssueDate", "MsgDescr", "Id", "Patient", "ServProvider", "Requester", "Diagnosis")
    assert [(f.rule, f.path) for f in found(root)] == [("XSD.missing", f"/Message/ServReq/{name}") for name in names]


def test_a_large_document_is_looked_at_once() -> None:
    items = "<InfItem><Observation/></InfItem>" * 900
    body = REFERRAL_20.replace("<ReasonAsText>", items + "<ReasonAsText>", 1)
    many = "".join(f"<Diagnosis><Concept/>{'<Modifier/>' * 950}</Diagnosis>" for _ in range(20))
    findings = found(parse(msghead(body.replace("<Diagnosis>", many + "<Diagnosis>", 1))))
    assert 0 < len(findings) <= 100
    assert {f.rule for f in findings} == {"XSD.missing"}


def test_all_that_is_absent_is_named_at_once() -> None:
    root = parse(KINDS["receipt 1.1"])
    for child in list(root)[2:]:
        root.remove(child)
    names = ("GenDate", "Id", "Sender", "Receiver", "Status", "OriginalMsgId")
    assert [(f.rule, f.path) for f in found(root)] == [("XSD.missing", f"/AppRec/{name}") for name in names]


def test_a_choice_without_any_of_its_sides_names_them_all() -> None:
    root = parse(KINDS["receipt 1.0"])
    hcp = root.find(".//{*}HCP")
    assert hcp is not None
    hcp.remove(hcp[0])
    assert [(f.rule, f.path, f.text) for f in found(root)] == [
        ("XSD.missing", "/AppRec/Sender/HCP/Inst", "one of Inst, HCProf is missing")
    ]


def test_two_sides_of_a_choice_exclude_each_other() -> None:
    more = '<Observation/><Medication><DrugId V="x"/><Status V="1"/></Medication><Type V="ANAM"/>'
    body = REFERRAL_20.replace("<InfItem>", f"<InfItem>{more}</InfItem><InfItem>", 1)
    assert [(f.rule, f.path, f.text) for f in found(parse(msghead(body)))] == [
        (
            "XSD.unexpected",
            f"{CONTENT.replace('[1]', '')}/Henvisning/InfItem[1]/Medication",
            "this element and Observation exclude each other",
        )
    ]


def test_an_empty_organisation_is_no_schema_fault_but_half_of_one_is() -> None:
    root = spoilt("<MsgId>", "<MsgId>")
    unit = root.find(".//{*}Sender/{*}Organisation")
    assert unit is not None
    del unit[:]
    assert found(root) == []
    etree.SubElement(unit, unit.tag)
    paths = [(f.rule, f.path) for f in found(root)]
    assert paths == [("XSD.missing", f"{HEAD}/Sender/Organisation/{name}") for name in ("OrganisationName", "Ident")]


def test_a_faulty_signature_is_explained_too() -> None:
    method = '<CanonicalizationMethod Algorithm="a"/><SignatureMethod Algorithm="b"/>'
    signature = f'<Signature xmlns="{schema.XMLDSIG}"><SignedInfo>{method}<Reference/></SignedInfo>'
    signature += "<SignatureValue>!</SignatureValue><KeyInfo/><Object><SignatureProperties>"
    signature += "<SignatureProperty Target='a'/></SignatureProperties></Object></Signature>"
    top = "/MsgHead/Signature"
    assert [(f.rule, f.path) for f in found(parse(msghead("", after=signature)))] == [
        ("XSD.missing", f"{top}/SignedInfo/Reference/DigestMethod"),
        ("XSD.missing", f"{top}/SignedInfo/Reference/DigestValue"),
        ("XSD.missing", f"{top}/KeyInfo/*"),
        ("XSD.missing", f"{top}/Object/SignatureProperties/SignatureProperty/*"),
    ]
    bare = f'<Signature xmlns="{schema.XMLDSIG}"><SignedInfo><CanonicalizationMethod/></SignedInfo></Signature>'
    assert [(f.rule, f.path) for f in found(parse(msghead("", after=bare)))][:2] == [
        ("XSD.attribute", f"{top}/SignedInfo/CanonicalizationMethod/@Algorithm"),
        ("XSD.missing", f"{top}/SignedInfo/SignatureMethod"),
    ]


def test_a_value_that_two_elements_share_is_named_as_such() -> None:
    twice = f'<Signature xmlns="{schema.XMLDSIG}" Id="a"><SignedInfo Id="a"/></Signature>'
    texts = {f.text for f in found(parse(msghead("", after=twice))) if f.rule == "XSD.value"}
    assert texts == {"the value must be a name that occurs once in the document"}


def test_the_same_fault_at_the_same_place_is_told_once() -> None:
    root = spoilt('<Sex V="1"', '<Sex a="1" b="2" c="3" V="1"')
    assert [(f.rule, f.path) for f in found(root)] == [("XSD.attribute", f"{HEAD}/Patient/Sex/@*")]


def test_the_findings_of_one_document_are_bounded() -> None:
    body = REFERRAL_20.replace(
        "<ReasonAsText>", "<InfItem><Observation/><Type S='x'/></InfItem>" * 500 + "<ReasonAsText>", 1
    )
    findings = found(parse(msghead(body.replace("<Observation/>", "<Observation S='1'/>"))))
    assert 0 < len(findings) <= schema.MAX_FAULTS
    crowded = found(parse(msghead(REFERRAL_20.replace("<Diagnosis>", "<Other/>" * 500 + "<Diagnosis>", 1))))
    assert 0 < len(crowded) <= 20


def test_a_fault_that_no_model_describes_still_gives_a_finding() -> None:
    typed = f'<div {XSI} xmlns="{schema.MSGHEAD}" xmlns:m="{schema.MSGHEAD}" xsi:type="m:Cover"><Other/></div>'
    body = (
        f'<Dialogmelding xmlns="{schema.DIALOG_10}"><Notat><TemaKodet/><TekstNotatInnhold>{typed}</TekstNotatInnhold>'
    )
    findings = found(parse(msghead(f"{body}</Notat></Dialogmelding>")))
    assert [(f.rule, f.text) for f in findings] == [("XSD.unexpected", "this element does not belong here")]


def test_paths_of_prefixed_and_unprefixed_documents_are_the_same() -> None:
    plain = spoilt("<RefToParent>a</RefToParent>", "")
    text = etree.tostring(plain).decode()
    prefixed = re.sub(r"<(/?)([A-Z][A-Za-z]*)", r"<\1m:\2", text.split("<Document>")[0]) + "</m:MsgHead>"
    prefixed = prefixed.replace("xmlns=", "xmlns:m=", 1)
    bare = text.split("<Document>")[0] + "</MsgHead>"
    assert [(f.rule, f.path) for f in found(parse(prefixed.encode()))] == [
        (f.rule, f.path) for f in found(parse(bare.encode()))
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_p21_no_finding_quotes_a_text_an_attribute_or_an_unknown_name(kind: str) -> None:
    canary = "Zebrafnr12057900565"
    for spoil in (_texts, _values, _names, _attributes, _children):
        root = parse(KINDS[kind])
        spoil(root, canary)
        findings = check_schema(root)
        told = repr(findings)
        assert canary not in told
        assert "120579" not in told
        if findings is not None and spoil is not _names:
            assert findings


def _texts(root: Element, canary: str) -> None:
    for element in root.iter("*"):
        element.text = canary


def _values(root: Element, canary: str) -> None:
    for element in root.iter("*"):
        for name in element.attrib:
            element.set(name, canary)
        element.set("U", canary)


def _names(root: Element, canary: str) -> None:
    for element in list(root.iter("*"))[5:]:
        element.tag = f"{{{etree.QName(element).namespace}}}{canary}"


def _attributes(root: Element, canary: str) -> None:
    for element in root.iter("*"):
        element.set(canary, "1")
        element.set(f"{{urn:{canary}}}a", "1")


def _children(root: Element, canary: str) -> None:
    for element in list(root.iter("*")):
        etree.SubElement(element, canary)


def test_the_log_of_the_validator_is_kept_short() -> None:
    root = parse(msghead(REFERRAL_20.replace("<Diagnosis>", "<ReasonAsText/>" * 200 + "<Diagnosis>", 1)))
    for element in root.iter("*"):
        element.set("unknown", "1")
    log = schema_set().validator([schema.MSGHEAD, schema.REFERRAL_20]).log(root)
    assert len(log) == schema.MAX_FAULTS
