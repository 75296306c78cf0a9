"""Envelopes signed and verified: what is covered, what is left out, and what real partners send."""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from datetime import timedelta
from pathlib import Path

import pytest
from lxml import etree

from adapter import xmlio
from adapter.ebxml.build import build
from adapter.ebxml.opening import open_message
from adapter.ebxml.read import read, signature_of, signed_references
from adapter.errors import EnvelopeSignatureError, InputError
from adapter.security.envelope_profile import NEXT, SOAP, XPATH
from adapter.security.envelope_signature import judge_validity, sign_envelope, verify_envelope
from adapter.security.keys import SigningKey
from adapter.security.profile import DS, ENVELOPED, INCLUSIVE, RSA_SHA256, SHA256
from tests.security.envelopes import EB, EXPRESSION, GOOD, MESSAGE_HEADER, PART, SYNC_REPLY, unsigned, xpath
from tests.security.handmade import INCLUSIVE as C14N_STEP
from tests.security.oracles import EXC

ENVELOPED_STEP = f'<ds:Transform Algorithm="{ENVELOPED}"></ds:Transform>'
TWO_STEPS = f"<ds:Transforms>{ENVELOPED_STEP}{C14N_STEP}</ds:Transforms>"
COMMENTED = C14N_STEP.replace(INCLUSIVE, INCLUSIVE + "#WithComments")


def failed(root: xmlio.Element, parts: dict[str, bytes] | None = None, **more: object) -> EnvelopeSignatureError:
    with pytest.raises(EnvelopeSignatureError) as caught:
        verify_envelope(root, PART if parts is None else parts, **more)  # type: ignore[arg-type]
    assert caught.value.code == "ENVELOPE"
    return caught.value


# --- signing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [{}, PART, {"a@b": b"a", "c@d": b"", "e": os.urandom(100_000)}], ids=["0", "1", "3"])
def test_what_is_signed_verifies_and_comes_back(company: SigningKey, parts: dict[str, bytes]) -> None:
    signed = sign_envelope(unsigned(), company, parts)
    found = verify_envelope(xmlio.parse(signed), parts, pinned=company.certificate)
    assert found.covered == ("", *[f"cid:{name}" for name in parts])
    assert found.certificate == company.certificate
    assert found.algorithms == (RSA_SHA256, SHA256)
    assert not found.sha1
    assert xmlio.canonical(found.root) == found.octets == xmlio.canonical(unsigned())


def test_the_national_form_is_written(company: SigningKey) -> None:
    root = xmlio.parse(sign_envelope(unsigned(), company, PART))
    assert root[0][-1] is signature_of(root)
    first, second = signed_references(root)
    assert [step.algorithm for step in first.transforms] == [ENVELOPED, XPATH, INCLUSIVE]
    assert first.transforms[1].xpath == EXPRESSION
    assert (first.uri, second.uri, second.transforms) == ("", "cid:part@test", ())
    assert second.digest == b64encode(hashlib.sha256(PART["part@test"]).digest()).decode()
    data = root.findall(f".//{{{DS}}}X509Data/{{{DS}}}X509Certificate")
    assert len(data) == 1


def test_signing_leaves_the_tree_as_it_was(company: SigningKey) -> None:
    root = unsigned(MESSAGE_HEADER + SYNC_REPLY)
    before = etree.tostring(root)
    sign_envelope(root, company, PART)
    assert etree.tostring(root) == before


def test_the_signed_octets_are_the_canonical_form_and_go_out_as_they_are(company: SigningKey) -> None:
    root = unsigned()
    signed = sign_envelope(root, company, {})
    declaration, _, text = signed.partition(b"\n")
    assert declaration == b'<?xml version="1.0" encoding="UTF-8"?>'
    assert xmlio.canonical(xmlio.parse(signed)) == text


@pytest.mark.parametrize(
    "text",
    [
        f'<Envelope xmlns="{SOAP}"><Header></Header><Body></Body></Envelope>',
        f'<e:Envelope xmlns:e="{SOAP}" xml:lang="no" xmlns:ds="{DS}"><e:Header xml:lang="en" xml:space="preserve">'
        "<x>æøå</x></e:Header></e:Envelope>",
        f'<Envelope xmlns="{SOAP}" xmlns:SOAP="urn:other"><Header>\n\t</Header><SOAP:x></SOAP:x></Envelope>',
        f'<e:Envelope xmlns:e="{SOAP}" xmlns:ds="urn:other"><e:Header/><e:Body><ds:x/></e:Body></e:Envelope>',
        f'<e:Envelope xmlns:e="{SOAP}" xmlns="urn:d"><e:Header xmlns:a="urn:a" xmlns=""><a:x/></e:Header></e:Envelope>',
        f'<e:Envelope xmlns:e="{SOAP}" xmlns:æ="urn:m"><e:Header><æ:x/></e:Header></e:Envelope>',
    ],
    ids=["default", "xml attributes", "prefix taken", "ds taken", "declared below", "letters outside ASCII"],
)
def test_any_prefixes_and_inherited_attributes_are_signed_as_they_stand(company: SigningKey, text: str) -> None:
    signed = sign_envelope(xmlio.parse(text.encode()), company, PART)
    found = verify_envelope(xmlio.parse(signed), PART)
    assert found.octets == xmlio.canonical(xmlio.parse(text.encode()))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<a/>", "SIGN.ENVELOPE"),
        (f'<e:Envelope xmlns:e="{SOAP}"><e:Body/></e:Envelope>', "SIGN.ENVELOPE"),
        (f'<e:Envelope xmlns:e="{SOAP}"><e:Body/><e:Header/></e:Envelope>', "SIGN.ENVELOPE"),
        (f'<e:Envelope xmlns:e="{SOAP}"><e:Header><e:Header/></e:Header></e:Envelope>', "SIGN.ENVELOPE"),
        (f'<e:Envelope xmlns:e="{SOAP}"><e:Header/><e:Header/></e:Envelope>', "SIGN.ENVELOPE"),
        (f'<e:Envelope xmlns:e="{SOAP}"><e:Header/><s:Signature xmlns:s="{DS}"/></e:Envelope>', "SIGN.TWICE"),
        (f'<e:Envelope xmlns:e="{SOAP}"><e:Header/><e:Body e:actor="{NEXT}"/></e:Envelope>', "SIGN.NEXT_HOP"),
        (f'<e:Envelope xmlns:e="{SOAP}" e:actor="{NEXT}"><e:Header/></e:Envelope>', "SIGN.NEXT_HOP"),
    ],
)
def test_what_is_no_envelope_to_sign_is_refused(company: SigningKey, text: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        sign_envelope(xmlio.parse(text.encode()), company, {})
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["", "a b", 'a"b', "<a>", "a&b", "a%b", "å", "a\n"])
def test_a_content_id_that_would_need_an_escape_is_refused(company: SigningKey, name: str) -> None:
    with pytest.raises(InputError) as caught:
        sign_envelope(unsigned(), company, {name: b""})
    assert caught.value.code == "SIGN.CONTENT_ID"


# --- what is left out for the next hop --------------------------------------------------------------------------------


def test_sync_reply_is_left_out_where_the_xpath_leaves_it_out(company: SigningKey) -> None:
    signed = sign_envelope(unsigned(MESSAGE_HEADER + SYNC_REPLY), company, PART)
    found = verify_envelope(xmlio.parse(signed), PART)
    assert found.left_out == ("SyncReply",)
    assert found.root.find(f".//{{{EB}}}SyncReply") is None
    without = verify_envelope(xmlio.parse(signed.replace(SYNC_REPLY.encode(), b"")), PART)
    assert without.octets == found.octets


def test_sync_reply_is_covered_where_no_xpath_leaves_it_out(company: SigningKey) -> None:
    text = GOOD.signed(company, header=MESSAGE_HEADER + SYNC_REPLY, transforms=TWO_STEPS)
    found = verify_envelope(xmlio.parse(text.encode()), PART)
    assert found.left_out == ()
    assert found.root.find(f".//{{{EB}}}SyncReply") is not None
    assert failed(xmlio.parse(text.replace(SYNC_REPLY, "").encode())).rule == "50"


def test_a_foreign_block_for_the_next_hop_is_nobodys_word(company: SigningKey) -> None:
    block = f'<x:trace xmlns:x="urn:x" SOAP:actor="{NEXT}"><x:y></x:y></x:trace>'
    found = verify_envelope(GOOD.parsed(company, unsigned=block), PART)
    assert found.left_out == ("trace",)
    assert b"trace" not in found.octets


@pytest.mark.parametrize("name", ["MessageHeader", "Acknowledgment", "ErrorList", "AckRequested", "MessageOrder"])
def test_a_block_that_we_act_on_is_never_left_out(company: SigningKey, name: str) -> None:
    block = f'<eb:{name} SOAP:actor="{NEXT}"></eb:{name}>'
    error = failed(GOOD.parsed(company, unsigned=block))
    assert error.uncovered == ("",)


def test_only_a_block_of_the_header_can_be_for_the_next_hop(company: SigningKey) -> None:
    inside = MESSAGE_HEADER.replace("<eb:Service>", f'<x SOAP:actor="{NEXT}"></x><eb:Service>')
    text = GOOD.signed(company)
    assert failed(xmlio.parse(text.replace(MESSAGE_HEADER, inside).encode())).rule == "50"
    body = text.replace("<SOAP:Body>", f'<SOAP:Body SOAP:actor="{NEXT}">')
    assert failed(xmlio.parse(body.encode())).uncovered == ("",)
    whole = text.replace("<SOAP:Envelope", f'<SOAP:Envelope SOAP:actor="{NEXT}"')
    assert failed(xmlio.parse(whole.encode())).uncovered == ("",)


def test_text_after_what_is_left_out_stays(company: SigningKey) -> None:
    signed = sign_envelope(unsigned(f"{MESSAGE_HEADER}\n {SYNC_REPLY}\n  "), company, {})
    assert b"\n \n  </SOAP:Header>" in verify_envelope(xmlio.parse(signed), {}).octets


# --- how SignedInfo is canonicalised ----------------------------------------------------------------------------------


def test_the_octets_of_signed_info_are_those_of_a_subset_not_of_a_bare_subtree(company: SigningKey) -> None:
    """lxml writes a false xmlns="" when it canonicalises an element within a tree that uses a default namespace."""
    text = GOOD.signed(company)
    begin, end = text.index("<ds:Signature "), text.index("</ds:Signature>") + len("</ds:Signature>")
    block = text[begin:end].replace("<ds:", "<").replace("</ds:", "</").replace("xmlns:ds=", "xmlns=")
    info = block[block.index("<SignedInfo>") : block.index("</SignedInfo>") + len("</SignedInfo>")]
    scope = f' xmlns="{DS}" xmlns:SOAP="{SOAP}" xmlns:eb="{EB}" xmlns:xlink="http://www.w3.org/1999/xlink"'
    value = company.sign(info.replace("<SignedInfo>", f"<SignedInfo{scope}>").encode())
    old = block[block.index("<SignatureValue>") : block.index("</SignatureValue>")]
    block = block.replace(old, "<SignatureValue>" + b64encode(value).decode())
    root = xmlio.parse((text[:begin] + block + text[end:]).encode())
    nested = root.find(f".//{{{DS}}}SignedInfo")
    assert b'xmlns=""' in etree.tostring(nested, method="c14n", with_tail=False)  # the trap is there
    assert verify_envelope(root, PART).covered == ("", "cid:part@test")


@pytest.mark.parametrize(
    "steps",
    [
        ENVELOPED_STEP,
        f"{ENVELOPED_STEP}{xpath()}",
        f"{xpath()}{ENVELOPED_STEP}{C14N_STEP}",
        f"{ENVELOPED_STEP}{COMMENTED}",
    ],
    ids=["enveloped", "no C14N named", "XPath first", "with comments"],
)
def test_declared_transforms_are_executed_whatever_partners_leave_out(company: SigningKey, steps: str) -> None:
    root = GOOD.parsed(company, transforms=f"<ds:Transforms>{steps}</ds:Transforms>")
    assert verify_envelope(root, PART).covered == ("", "cid:part@test")


def test_exclusive_c14n_covers_what_it_writes_and_no_more(company: SigningKey) -> None:
    header = f'<eb:MessageHeader xmlns:eb="{EB}" xmlns:a="urn:a" SOAP:mustUnderstand="1"></eb:MessageHeader>'
    written = header.replace(' xmlns:a="urn:a"', "")
    begin = f'<SOAP:Envelope xmlns:SOAP="{SOAP}"><SOAP:Header>'
    text = f"{begin}{written}</SOAP:Header><SOAP:Body></SOAP:Body></SOAP:Envelope>"
    step = C14N_STEP.replace(INCLUSIVE, EXC)
    steps = f"<ds:Transforms>{ENVELOPED_STEP}{step}</ds:Transforms>"
    root = GOOD.parsed(company, header=header, body="", transforms=steps, digested=text)
    found = verify_envelope(root, PART)
    assert found.octets == text.encode()
    assert "a" not in found.root[0][0].nsmap


@pytest.mark.parametrize(
    "expression",
    [
        EXPRESSION.replace('"', "'"),
        EXPRESSION.replace(" | ", "|"),
        f"\n  {EXPRESSION}\n".replace("(ancestor", "( ancestor").replace("]", " ]"),
        f'not(ancestor-or-self::node()[@SOAP:actor="{NEXT}"] | '
        'ancestor-or-self::node()[@SOAP:actor="urn:oasis:names:tc:ebxml-msg:actor:nextMSH"])',
    ],
    ids=["apostrophes", "no blanks", "more blanks", "the other way round"],
)
def test_the_one_xpath_is_known_however_it_is_spaced(company: SigningKey, expression: str) -> None:
    steps = f"<ds:Transforms>{ENVELOPED_STEP}{xpath(expression)}{C14N_STEP}</ds:Transforms>"
    assert verify_envelope(GOOD.parsed(company, transforms=steps, unsigned=SYNC_REPLY), PART).left_out == ("SyncReply",)


def test_verifying_leaves_the_tree_as_it_was_and_can_be_done_again(company: SigningKey) -> None:
    root = GOOD.parsed(company, unsigned=SYNC_REPLY)
    before = etree.tostring(root)
    first = verify_envelope(root, PART)
    failed(root, {"part@test": b"other"})
    assert etree.tostring(root) == before
    assert verify_envelope(root, PART).octets == first.octets


# --- whom and what to accept ------------------------------------------------------------------------------------------


def test_another_certificate_than_the_agreed_one_is_refused(company: SigningKey, person: SigningKey) -> None:
    root = GOOD.parsed(company)
    assert verify_envelope(root, PART, pinned=company.certificate).covered
    assert failed(root, pinned=person.certificate).rule == "44"


def test_sha1_is_accepted_only_where_it_is_agreed(company: SigningKey) -> None:
    root = GOOD.parsed(company, hash_name="sha1")
    assert verify_envelope(root, PART, allow_sha1=True).sha1
    error = failed(root)
    assert error.rule == "84"
    assert all("sha1" in name for name in error.algorithms)


def test_a_signal_may_name_parts_that_it_has_not_and_they_are_not_covered(company: SigningKey) -> None:
    root = GOOD.parsed(company)
    found = verify_envelope(root, {}, signal=True)
    assert (found.covered, found.missing) == (("",), ("cid:part@test",))
    assert failed(root, {}).uncovered == ("cid:part@test",)
    assert failed(root, {"other": b""}, signal=True).rule == "EB3"


@pytest.mark.parametrize("uri", ["CID:part@test", "cid:&lt;part@test>", "cid:p%61rt%40test"])
def test_a_content_id_may_be_written_as_a_uri_allows(company: SigningKey, uri: str) -> None:
    reference = GOOD.part_reference("part@test", PART["part@test"]).replace("cid:part@test", uri)
    found = verify_envelope(GOOD.parsed(company, part_references=reference), PART)
    assert len(found.covered) == 2


def test_the_rules_of_validity_are_told_by_the_time(company: SigningKey) -> None:
    begin, end = company.certificate.not_valid_before_utc, company.certificate.not_valid_after_utc
    moments = (begin - timedelta(seconds=1), begin, end, end + timedelta(seconds=1))
    assert [judge_validity(company.certificate, when) for when in moments] == ["104", None, None, "105"]


def test_a_part_of_a_larger_tree_is_not_verified(company: SigningKey) -> None:
    wrapped = xmlio.parse(f"<w>{GOOD.signed(company)}</w>".encode())
    with pytest.raises(InputError):
        verify_envelope(wrapped[0], PART)


# --- real messages ----------------------------------------------------------------------------------------------------

REAL = {
    "speare-oppgjorsmelding.msg": (2, False),
    "egenandel-biztalk.eml": (2, False),
    "acknowledgment-partner.eml": (1, False),
    "legacy-sha1-valid.msg": (2, True),
}


@pytest.mark.parametrize("name", REAL)
def test_real_signatures_hold(corpus: Path, name: str) -> None:
    opened = open_message((corpus / name).read_bytes())
    assert opened.root is not None
    count, sha1 = REAL[name]
    found = verify_envelope(opened.root, opened.parts(), allow_sha1=True)
    assert len(found.covered) == count
    assert found.sha1 is sha1
    assert read(found.root).message_id == opened.envelope.message_id
    if sha1:
        assert failed(opened.root, opened.parts()).rule == "84"


@pytest.mark.parametrize("name", REAL)
def test_real_messages_do_not_survive_a_change(corpus: Path, name: str) -> None:
    opened = open_message((corpus / name).read_bytes())
    assert opened.octets is not None
    changed = opened.octets.replace(b"MessageId>", b"MessageId> ", 1)
    assert failed(xmlio.parse(changed), opened.parts(), allow_sha1=True).rule == "50"
    for part in opened.parts():
        spoiled = {**opened.parts(), part: opened.parts()[part] + b"\0"}
        assert failed(xmlio.parse(opened.octets), spoiled, allow_sha1=True).uncovered == (f"cid:{part}",)
        assert failed(xmlio.parse(opened.octets), {}, allow_sha1=True).uncovered == (f"cid:{part}",)


@pytest.mark.parametrize("name", ["inntekt-edited-cpaid.eml", "no-cpaid.eml"])
def test_messages_edited_after_signing_are_refused(corpus: Path, name: str) -> None:
    opened = open_message((corpus / name).read_bytes())
    assert opened.root is not None
    failed(opened.root, opened.parts(), allow_sha1=True)


def test_the_official_samples_have_no_sound_signature(corpus: Path) -> None:
    seen = 0
    for file in sorted((corpus / "official").rglob("*.xml")):
        opened = open_message(file.read_bytes())
        if opened.root is None or signature_of(opened.root) is None:
            continue
        seen += 1
        failed(opened.root, opened.parts(), allow_sha1=True, signal=True)
    assert seen >= 5


def test_an_envelope_as_it_is_built_is_signed_and_verified(company: SigningKey, corpus: Path) -> None:
    opened = open_message((corpus / "speare-oppgjorsmelding.msg").read_bytes())
    root = build(opened.envelope)
    signed = sign_envelope(root, company, opened.parts())
    found = verify_envelope(xmlio.parse(signed), opened.parts(), pinned=company.certificate)
    assert read(found.root).message_id == opened.envelope.message_id
