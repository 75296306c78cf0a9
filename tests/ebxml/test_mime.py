from __future__ import annotations

import base64
import email
import hashlib
import random
import time
import tracemalloc
from dataclasses import replace
from datetime import datetime
from email.policy import SMTP

import pytest

from adapter.ebxml.head import MimeLimits
from adapter.ebxml.mime import Part, Shape, content_id_of, unpack, unpack_http
from adapter.ebxml.names import Road
from adapter.ebxml.pack import Attachment, MailHead, Packed, mail_address, pack_http, pack_mail
from adapter.ebxml.read import read, signed_references
from adapter.errors import InputError, UnreadableError
from adapter.xmlio import parse
from tests.ebxml.corpus import needs_corpus, octets
from tests.ebxml.making import NOW

SOAP = b'<?xml version="1.0" encoding="UTF-8"?>\n<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"/>'
CMS = bytes(range(256)) * 9
MAIL = MailHead(
    sender="ours@edi.nhn.no",
    receiver="mailto://theirs@edi.nhn.no",
    subject="ebXML",
    date=NOW,
    message_id="1@edi.nhn.no",
)


def mail(*attachments: Attachment, **changes: str) -> Packed:
    return pack_mail(SOAP, attachments, replace(MAIL, **changes), boundary="b-1", content_id="soap@x")


ATTACHED = Attachment(content_id="att-1@x", content=CMS)
WIRE = mail(ATTACHED).mail()


def code_of(data: bytes, limits: MimeLimits | None = None) -> str:
    with pytest.raises(UnreadableError) as caught:
        unpack(data, limits) if limits else unpack(data)
    return caught.value.code


def test_a_packed_mail_is_read_back_octet_for_octet() -> None:
    package = unpack(WIRE)
    assert (package.shape, package.road, package.closed, package.start_agrees) == (
        Shape.MULTIPART,
        Road.SMTP,
        True,
        True,
    )
    assert package.envelope is not None
    assert package.envelope.content() == SOAP
    assert [part.content() for part in package.attachments] == [CMS]
    assert package.find("cid:att-1@x") is package.attachments[0]


def test_a_packed_mail_has_the_national_form() -> None:
    parsed = email.message_from_bytes(WIRE, policy=SMTP)
    assert parsed["SOAPAction"] == '"ebXML"'
    assert parsed["To"] == "theirs@edi.nhn.no"
    assert parsed["Date"] == "Sat, 21 Nov 2026 12:00:05 +0000"
    assert parsed["Message-ID"] == "<1@edi.nhn.no>"
    assert dict(parsed["Content-Type"].params) == {"type": "text/xml", "start": "<soap@x>", "boundary": "b-1"}
    first, second = parsed.iter_parts()
    assert b"\r\nContent-Type: text/xml; charset=UTF-8\r\n" in WIRE
    assert b"\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n" in WIRE
    assert {part["Content-Transfer-Encoding"] for part in (first, second)} == {"base64"}
    assert first.get_payload(decode=True) == SOAP
    assert second.get_payload(decode=True) == CMS
    assert all(len(line) <= 78 for line in WIRE.split(b"\r\n"))
    assert WIRE.count(b"\n") == WIRE.count(b"\r\n")


def test_a_signal_by_mail_is_one_base64_entity_and_over_http_plain() -> None:
    by_mail = unpack(mail().mail())
    assert (by_mail.shape, by_mail.attachments) == (Shape.SINGLE, ())
    assert by_mail.envelope is not None
    assert by_mail.envelope.content() == SOAP
    web = pack_http(SOAP, (), boundary="b-1", content_id="soap@x")
    assert web.body() == SOAP
    assert dict(web.headers)["Content-ID"] == "<soap@x>"


def test_the_http_form_is_read_with_and_without_its_head() -> None:
    web = pack_http(SOAP, (ATTACHED,), boundary="b-1", content_id="soap@x")
    assert "\n" not in dict(web.headers)["Content-Type"]
    capture = b"POST /msh HTTP/1.1\r\n" + web.mail()
    for package in (unpack_http(web.headers, web.body()), unpack(capture), unpack(web.mail())):
        assert (package.shape, package.road) == (Shape.MULTIPART, Road.HTTP)
        assert [part.content() for part in package.attachments] == [CMS]


def test_a_captured_chunked_answer_is_put_together() -> None:
    body = pack_http(SOAP, (ATTACHED,), boundary="b-1", content_id="soap@x")
    head = "".join(f"{name}: {value}\r\n" for name, value in body.headers).encode()
    chunks = b"".join(
        b"%x;x=1\r\n%s\r\n" % (len(piece), piece) for piece in (body.body()[:100], body.body()[100:]) if piece
    )
    capture = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + head + b"\r\n" + chunks
    assert [part.content() for part in unpack(capture + b"0\r\n\r\n").attachments] == [CMS]
    assert code_of(capture) == "MIME.CHUNKS"


def test_a_bare_envelope_has_no_packaging() -> None:
    package = unpack(b"\xef\xbb\xbf\n" + SOAP)
    assert (package.shape, package.road) == (Shape.NONE, None)
    assert package.envelope is not None


ODDITIES = {
    "no type parameter": (b'type="text/xml";\r\n\t', b""),
    "no start parameter": (b'start="<soap@x>";\r\n\t', b""),
    "no boundary quotes": (b'boundary="b-1"', b"boundary=b-1"),
    "a semicolon at the end": (b'boundary="b-1"', b'boundary="b-1";'),
    "a charset on the multipart": (b'boundary="b-1"', b'charset="utf-8"; boundary="b-1";'),
    "parameters without a semicolon": (b'start="<soap@x>";\r\n\t', b'start="<soap@x>"\r\n\t'),
    "continuations without indentation": (b";\r\n\t", b";\r\n"),
    "bare line feeds": (b"\r\n", b"\n"),
    "odd case of names": (b"Content-Transfer-Encoding: base64", b"content-transfer-ENCODING: Base64"),
    "no brackets around ids": (b"<att-1@x>", b"att-1@x"),
    "a message id without brackets": (b"<1@edi.nhn.no>", b"1"),
    "a date with half a zone": (b"+0000", b"+1"),
    "preamble": (b"7bit\r\n\r\n--b-1", b"7bit\r\n\r\nThis is a multi-part message in MIME format.\r\n\r\n--b-1"),
    "epilogue": (b"--b-1--\r\n", b"--b-1--\r\n\r\n-- \r\nSent from my phone --b-1\r\n"),
    "blank space after the boundary": (b"--b-1\r\n", b"--b-1 \t\r\n"),
    "no blank line before the first boundary": (b"7bit\r\n\r\n--b-1", b"7bit\r\n--b-1"),
    "8-bit characters in a header": (b"Subject: ebXML", b"Subject: Legeoppgj\xf8rsmelding"),
    "a stray 8-bit header name": (b"Subject:", b"X\x96Mailer: x\r\nSubject:"),
    "a folded subject": (b"Subject: ebXML", b"Subject: eb\r\n XML"),
    "mbox's first line": (b"From: ", b"From x@y Thu Nov 30 13:15:29 2023\r\nFrom: "),
    "an empty line at the end of base64": (b"\r\n--b-1--", b"\r\n\r\n\r\n--b-1--"),
    "a longer boundary in the text": (b"7bit\r\n\r\n--b-1", b"7bit\r\n\r\n--b-12\r\n--b-1"),
}


@pytest.mark.parametrize("name", ODDITIES)
def test_what_real_partners_do_is_accepted(name: str) -> None:
    before, after = ODDITIES[name]
    assert before in WIRE
    package = unpack(WIRE.replace(before, after, 1 if before.startswith(b"From") else -1))
    assert package.envelope is not None
    assert package.envelope.content() == SOAP
    assert [part.content() for part in package.attachments] == [CMS]
    assert package.attachments[0].head.content_id == "att-1@x"


def test_a_boundary_of_dashes_is_no_other_boundary() -> None:
    wire = WIRE.replace(b'"b-1"', b'"------=_part_2"').replace(b"--b-1", b"--------=_part_2")
    assert [part.content() for part in unpack(wire).attachments] == [CMS]


def test_a_cut_mail_is_read_as_far_as_it_goes() -> None:
    package = unpack(WIRE[: WIRE.index(b"--b-1--")])
    assert not package.closed
    assert package.attachments[0].content() == CMS
    for cut in range(0, len(WIRE), 97):
        try:
            for part in unpack(WIRE[:cut]).attachments:
                part.content()
        except UnreadableError:
            continue


def test_parts_are_views_of_the_original_octets() -> None:
    package = unpack(WIRE)
    assert package.attachments[0].raw.obj is WIRE


def test_text_parts_keep_every_octet() -> None:
    text = b"<a>\r\n \tline\n\xc3\xa6\r</a>\n\r\n"
    wire = (
        b"Content-Type: multipart/related; boundary=q\r\n\r\n--q\r\nContent-Type: text/xml\r\n\r\n<x/>\r\n--q\r\n"
        b"Content-Type: text/xml\r\nContent-Id: <1>\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + text + b"\r\n--q--"
    )
    assert unpack(wire).attachments[0].content() == text


def test_quoted_printable_is_decoded_and_an_unknown_encoding_is_not_guessed() -> None:
    wire = b"Content-Type: text/xml\r\nContent-Transfer-Encoding: %s\r\n\r\n<a b=3D'=C3=A6'/>=\r\n"
    found = unpack(wire % b"quoted-printable").envelope
    assert found is not None
    assert found.content() == "<a b='æ'/>".encode()
    odd = unpack(wire % b"base65").envelope
    assert odd is not None
    with pytest.raises(UnreadableError) as caught:
        odd.content()
    assert caught.value.code == "MIME.ENCODING"


def test_the_start_parameter_wins_over_the_order_and_its_contradiction_is_noticed() -> None:
    other = Attachment(content_id="other", content=b"<x/>", content_type="text/xml")
    wire = pack_mail(b"<y/>", (other,), MAIL, boundary="b-1", content_id="soap@x").mail()
    swapped = unpack(wire.replace(b'start="<soap@x>"', b'start="<other>"'))
    assert swapped.envelope is not None
    assert swapped.envelope.content() == b"<x/>"
    wrong = unpack(wire.replace(b'start="<soap@x>"', b'start="<nobody>"'))
    assert wrong.envelope is not None
    assert (wrong.envelope.content(), wrong.start_agrees) == (b"<y/>", False)


def test_two_parts_with_one_content_id_are_not_chosen_between() -> None:
    package = unpack(mail(ATTACHED, ATTACHED).mail())
    assert package.find("cid:att-1@x") is None
    assert unpack(WIRE).find("http://x/") is None
    assert unpack(WIRE.replace(b"att-1@x", b"a b@x")).find("cid:a%20b@x") is not None
    assert content_id_of("cid:<a>") == "a"
    assert content_id_of("cid:") is None


def test_bounces_and_automatic_mail_are_known_as_such() -> None:
    report = b"From: <>\r\nContent-Type: multipart/report; boundary=q\r\n\r\n--q\r\n\r\nlost\r\n--q--"
    package = unpack(report)
    assert package.is_report
    assert package.envelope is None
    for field in (b"Auto-Submitted: auto-replied", b"Precedence: bulk", b"Return-Path: <>"):
        assert unpack(b"From: a@b\r\n" + field + b"\r\nContent-Type: text/plain\r\n\r\nback soon").is_automatic
    assert not unpack(b"Auto-Submitted: no\r\n" + WIRE).is_automatic
    assert not unpack(WIRE).is_report


def multipart(body: bytes, head: bytes = b"") -> bytes:
    return b"From: a@b\r\nContent-Type: multipart/related; boundary=q" + head + b"\r\n\r\n" + body


SMALL = MimeLimits(size_bytes=100_000)
HOSTILE = {
    "MIME.SIZE": b" " * 100_001,
    "MIME.PARTS": multipart(b"--q\r\n\r\nx\r\n" * 21),
    "MIME.PARTS many lookalikes": multipart(b"--qq\r\n" * 5_000),
    "MIME.PARTS lookalikes in one line": multipart(b"\n--qqqq" * 5_000),
    "MIME.HEAD": b"X: " + b"y\r\n " * 20_000,
    "MIME.HEAD in a part": multipart(b"--q\r\nX:" + b" y\r\n" * 17_000),
    "MIME.HEADERS": b"a: b\r\n" * 1_001 + b"\r\n",
    "MIME.LINE": b"From: a@b\r\nX: " + b"y" * 8_192 + b"\r\n\r\n",
    "MIME.BOUNDARY": multipart(b"", b"; boundary=r"),
    "MIME.BOUNDARY missing": b"Content-Type: multipart/related\r\n\r\n--q",
    "MIME.BOUNDARY long": b"Content-Type: multipart/related; boundary=" + b"y" * 201 + b"\r\n\r\n--q",
    "MIME.NESTING": multipart(
        b"--q\r\nContent-Type: multipart/mixed; boundary=r\r\n\r\n--r\r\n\r\nx\r\n--r--\r\n--q--"
    ),
}


@pytest.mark.cost
@pytest.mark.parametrize("name", HOSTILE)
def test_what_costs_without_bound_is_refused_at_once(name: str) -> None:
    started = time.process_time()
    assert code_of(HOSTILE[name], SMALL) == name.split()[0]
    assert time.process_time() - started < 0.5


def test_broken_base64_is_refused_rather_than_skipped() -> None:
    for broken in (b"QUJ", b"QUJD*", b"QUJD=QUJD", b"QU=="):
        part = Part(
            unpack(b"Content-Type: text/xml\r\nContent-Transfer-Encoding: base64\r\n\r\n").head, memoryview(broken)
        )
        if broken == b"QU==":
            assert part.content() == b"A"
            continue
        with pytest.raises(UnreadableError) as caught:
            part.content()
        assert caught.value.code == "MIME.BASE64"


def test_a_decoded_part_is_bounded() -> None:
    limits = MimeLimits(decoded_bytes=1_000)
    for encoding in (b"8bit", b"base64"):
        head = unpack(b"Content-Type: text/xml\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n").head
        for size in (1_400, 300_000):
            with pytest.raises(UnreadableError) as caught:
                Part(head, memoryview(base64.b64encode(b"x" * size))).content(limits)
            assert caught.value.code == "MIME.SIZE"


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": "a@b\r\nBcc: x@y"},
        {"receiver": "nobody"},
        {"receiver": "a@b,c@d"},
        {"subject": "a\nb"},
        {"message_id": "<a>"},
        {"mailer": "ø"},
    ],
)
def test_values_that_would_break_a_header_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(InputError):
        mail(**changes)


def test_ids_and_boundaries_are_checked_before_they_are_written() -> None:
    for boundary, content_id in (("b 1 ", "a"), ("b", "a"), ("b-1", "a>\r\n")):
        with pytest.raises(InputError):
            pack_http(SOAP, (ATTACHED,), boundary=boundary, content_id=content_id)


def test_a_subject_in_norwegian_is_encoded() -> None:
    wire = mail(subject="Legeoppgjørsmelding", mailer="Adapter 1.0").mail()
    assert wire.isascii()
    assert email.message_from_bytes(wire, policy=SMTP)["Subject"] == "Legeoppgjørsmelding"
    assert b"X-Mailer: Adapter 1.0\r\n" in wire


@pytest.mark.parametrize("uri", ["mailto://a@b.no", "mailto:a@b.no", "MAILTO://a@b.no ", "a@b.no"])
def test_an_agreements_mail_address_is_taken_in_every_form(uri: str) -> None:
    assert mail_address(uri) == "a@b.no"


@needs_corpus
@pytest.mark.parametrize(
    "name",
    ["speare-oppgjorsmelding.msg", "egenandel-biztalk.eml", "acknowledgment-partner.eml", "legacy-sha1-valid.msg"],
)
def test_the_parts_of_real_messages_have_the_digests_that_their_signatures_name(name: str) -> None:
    package = unpack(octets(name))
    assert package.envelope is not None
    root = parse(package.envelope.content())
    for reference in signed_references(root):
        if reference.uri:
            part = package.find(reference.uri)
            assert part is not None
            algorithm = "sha1" if str(reference.digest_method).endswith("sha1") else "sha256"
            digest = hashlib.new(algorithm, part.content()).digest()
            assert base64.b64encode(digest).decode() == reference.digest
    assert read(root).kind is not None


@needs_corpus
def test_a_capture_of_http_and_a_mail_are_told_apart() -> None:
    assert unpack(octets("legacy-sha1-valid.msg")).road is Road.HTTP
    assert unpack(octets("egenandel-biztalk.eml")).road is Road.SMTP


@pytest.mark.cost
def test_twenty_megabytes_are_packed_and_unpacked_in_a_few_copies() -> None:
    content = random.Random(1).randbytes(20_000_000)
    attached = Attachment(content_id="a@x", content=content)
    best = []
    for _ in range(2):
        started = time.process_time()
        wire = pack_mail(SOAP, (attached,), MAIL, boundary="b-1", content_id="soap@x").mail()
        packed = time.process_time()
        assert unpack(wire).attachments[0].content() == content
        best.append((packed - started, time.process_time() - packed))
    assert min(pack for pack, _ in best) < 0.4, "154 ms when measured by hand (engineering 3d)"
    assert min(rest for _, rest in best) < 0.3, "99 ms when measured by hand (engineering 3d)"
    tracemalloc.start()
    unpack(wire).attachments[0].content()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * len(content)


def test_dates_are_written_in_utc_whatever_zone_they_came_in() -> None:
    later = replace(MAIL, date=datetime.fromisoformat("2026-07-01T01:00:00+02:00"))
    wire = pack_mail(SOAP, (), later, boundary="b-1", content_id="s").mail()
    assert b"Date: Tue, 30 Jun 2026 23:00:00 +0000\r\n" in wire
