from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from adapter.ebxml.build import build
from adapter.ebxml.compose import question
from adapter.ebxml.names import Kind, Road
from adapter.ebxml.opening import Opened, SignatureOutcome, judge, open_http, open_json, open_message
from adapter.ebxml.pack import Attachment, pack_http
from adapter.ebxml.plaintext import read_plaintext
from adapter.xmlio import serialise
from tests.ebxml.corpus import expected, needs_corpus, octets
from tests.ebxml.making import ATTACHED, CMS, CONVERSATION, MESSAGE_ID, NOW, SOFTWARE, VALID, mailed, payload, signed

GOOD = serialise(signed(build(payload())))
WIRE = mailed(GOOD, ATTACHED)


def shown(opened: Opened, signature: SignatureOutcome | None = VALID, **more: Any) -> dict[str, Any]:
    return json.loads(json.dumps(open_json("x.eml", opened, judge(opened, signature, **more), signature, **more)))


def test_the_line_of_adapter_open_has_these_fields() -> None:
    line = shown(open_message(WIRE))
    assert {key: line[key] for key in line if key not in ("findings", "signature", "attachments")} == {
        "file": "x.eml",
        "shape": "multipart",
        "kind": "payload",
        "from": "80225",
        "to": "79768",
        "cpa_id": "79768_80225",
        "conversation_id": CONVERSATION,
        "service": "S-DIALOG_NOTAT",
        "action": "DIALOG_NOTAT",
        "message_id": MESSAGE_ID,
        "ref_to_message_id": None,
        "timestamp": "2026-11-21T12:00:05Z",
        "answer": {"kind": "Acknowledgment", "error_code": None},
    }
    assert line["signature"] == {
        "status": "valid",
        "covered": ["", "cid:att-1@example.no"],
        "uncovered": [],
        "algorithms": [],
    }
    assert line["attachments"] == [
        {
            "content_id": "att-1@example.no",
            "content_type": "application/pkcs7-mime",
            "size_bytes": len(CMS),
            "encrypted": True,
            "compressed": None,
        }
    ]
    assert [one["rule"] for one in line["findings"]] == ["EB19"]


def test_a_decrypted_attachment_tells_whether_it_was_compressed() -> None:
    import gzip

    packed = {0: read_plaintext(gzip.compress(b"<a/>"))}
    line = shown(open_message(WIRE), VALID, decrypted=packed)
    assert line["attachments"][0]["compressed"] is True
    assert line["findings"] == []


def test_an_extra_part_that_is_not_signed_is_named_and_answered() -> None:
    opened = open_message(mailed(GOOD, ATTACHED, Attachment(content_id="extra@x", content=CMS)))
    line = shown(opened)
    assert line["signature"]["uncovered"] == ["cid:extra@x"]
    assert line["answer"] == {"kind": "MessageError", "error_code": "SecurityFailure"}


def test_a_part_without_an_id_and_two_with_one_id_are_never_covered() -> None:
    without = open_message(WIRE.replace(b"Content-ID: <att-1@example.no>\r\n", b""))
    assert shown(without)["signature"]["uncovered"] == ["cid:"]
    assert without.parts() == {}
    twice = open_message(mailed(GOOD, ATTACHED, ATTACHED))
    assert shown(twice)["signature"]["uncovered"] == ["cid:att-1@example.no"] * 2
    assert twice.parts() == {}


def test_parts_are_given_by_content_id_for_the_verifier() -> None:
    assert open_message(WIRE).parts() == {"att-1@example.no": CMS}


def test_a_broken_signature_is_answered_with_a_security_failure() -> None:
    line = shown(open_message(WIRE), SignatureOutcome(status="invalid"))
    assert line["answer"] == {"kind": "MessageError", "error_code": "SecurityFailure"}


def test_a_failed_decryption_has_one_answer() -> None:
    line = shown(open_message(WIRE), VALID, decrypted={0: None})
    assert line["answer"] == {"kind": "MessageError", "error_code": "SecurityFailure"}


def test_a_bare_envelope_names_what_its_signature_leaves_out() -> None:
    opened = open_message(GOOD)
    assert opened.road is None
    line = shown(opened, replace(VALID, covered=("",)))
    assert (line["shape"], line["signature"]["uncovered"]) == ("none", ["cid:att-1@example.no"])


def test_pings_and_status_requests_are_recognised_and_get_no_receipt() -> None:
    for kind in (Kind.PING, Kind.STATUS_REQUEST):
        asking = question(
            kind, sender=1, receiver=2, cpa_id="1_2", conversation_id=CONVERSATION, message_id=MESSAGE_ID, now=NOW,
            software=SOFTWARE, asked_message_id="x",
        )  # fmt: skip
        line = shown(open_message(mailed(serialise(signed(build(asking), ())))), SignatureOutcome(status="valid"))
        assert (line["kind"], line["shape"], line["answer"]["kind"]) == (kind.value, "single", "none")


def test_http_is_opened_with_its_head_apart() -> None:
    packed = pack_http(GOOD, (ATTACHED,), boundary="b-1", content_id="s")
    opened = open_http(packed.headers, packed.body())
    assert opened.road is Road.HTTP
    assert shown(opened)["answer"]["kind"] == "Acknowledgment"
    broken = open_http([("Content-Type", "multipart/related")], b"")
    assert (broken.unreadable, broken.road) == ("MIME.BOUNDARY", Road.HTTP)
    assert shown(broken, None)["answer"]["kind"] == "SoapFault"


def test_nothing_is_readable_in_noise_and_nothing_is_answered_by_mail() -> None:
    for noise in (
        b"",
        b"hello",
        b"From: a@b\r\n\r\nhello",
        b"From: a@b\r\nContent-Type: text/xml\r\n\r\n<a",
        b"\x00" * 99,
    ):
        opened = open_message(noise)
        line = shown(opened, None)
        assert line["kind"] is None
        assert line["findings"], noise
        if opened.road is Road.SMTP:
            assert line["answer"] == {"kind": "none", "error_code": None}


def handed_in(name: str, wanted: dict[str, Any], opened: Opened) -> SignatureOutcome | None:
    """What the keys say of a real message, as its row in expected.json states it."""
    if "signature" not in wanted:
        return None
    covered = ("", *(f"cid:{part.content_id}" for part in opened.attachments)) if wanted["signature"] == "valid" else ()
    return SignatureOutcome(status=wanted["signature"], covered=covered)


@needs_corpus
@pytest.mark.parametrize("name", expected())
def test_real_messages_open_as_expected(name: str) -> None:
    wanted = expected()[name]
    opened = open_message(octets(name))
    line = shown(opened, handed_in(name, wanted, opened))
    for key in ("kind", "service", "action"):
        if key in wanted:
            assert line[key] == wanted[key]
    if "covered" in wanted:
        assert len(line["signature"]["covered"]) == wanted["covered"]
        assert line["signature"]["uncovered"] == []
    if "attachments" in wanted:
        assert len(line["attachments"]) == wanted["attachments"]
    if "encrypted" in wanted:
        assert [one["encrypted"] for one in line["attachments"]] == [wanted["encrypted"]]
    if "error_code" in wanted:
        assert line["answer"] == {"kind": "MessageError", "error_code": wanted["error_code"]}
    if wanted.get("signature") == "valid" and line["kind"] == "payload" and "note" not in wanted:
        assert line["answer"]["kind"] == "Acknowledgment"
    if wanted.get("findings") or wanted.get("kind", "") is None:
        assert line["findings"]
    if wanted.get("kind", "") is None:
        assert line["answer"]["kind"] == "none"


@needs_corpus
def test_sha1_is_told_and_a_missing_cpa_id_answered() -> None:
    line = shown(open_message(octets("legacy-sha1-valid.msg")), SignatureOutcome(status="valid", covered=("",)))
    assert "EB16" in [one["rule"] for one in line["findings"]]
    line = shown(open_message(octets("no-cpaid.eml")), SignatureOutcome(status="invalid"))
    assert "11" in [one["rule"] for one in line["findings"]]
    assert line["answer"] == {"kind": "MessageError", "error_code": "Inconsistent"}


OFFICIAL = {
    "ebxml-eksempel.xml": {"12", "102", "36", "38", "265", "266", "271", "272", "279", "EB3", "EB6", "EB27", "EB16"},
    "Acknowledgment.xml": {"12", "36", "38", "271", "272", "EB5", "EB6", "EB16", "EB26"},
    "Acknowledgment-Description.xml": {"17", "116", "117", "273", "274", "36", "38", "EB5", "EB16"},
    "ebxml-header-Description-overvakning-SVAR_CYT.xml": {"EB27", "EB16"},
    "overvakning/ebxml-header.d237e310-796f-4e56-a50b-353b0e5d5947.SVAR_CYT.xml": {
        "17", "u10", "78", "265", "266", "271", "272", "279", "EB27", "EB16"
    },
    "overvakning/ebxml-header-Description-manifest2-overvakning-SVAR_CYT.xml": {"265", "266", "279", "EB27", "EB16"},
    "overvakning/MIME-header.txt": {"51", "EB1", "EB2"},
    "overvakning/MIME-header-X-token.txt": {"51", "EB1", "EB2"},
}  # fmt: skip


@needs_corpus
@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_samples_fail_exactly_these_rules(name: str) -> None:
    opened = open_message(octets(f"official/{name}"))
    assert {hit.rule for hit in opened.hits} == OFFICIAL[name]
    if opened.envelope.kind is Kind.PAYLOAD:  # no official sample has a signature that holds
        answer = judge(opened, SignatureOutcome(status="invalid")).answer
        assert (answer.kind, answer.error_code) == ("MessageError", "SecurityFailure")
