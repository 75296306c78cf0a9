from __future__ import annotations

import gzip

import pytest

from adapter.ebxml.head import MimeLimits
from adapter.ebxml.plaintext import build_plaintext, inflate, read_plaintext
from adapter.errors import UnreadableError
from tests.ebxml.corpus import needs_corpus, octets

DOCUMENT = "<?xml version='1.0'?>\n<MsgHead>æ</MsgHead>".encode()
PART = b"Content-Type: application/xml\r\nContent-Transfer-Encoding: base64\r\n\r\n"


def test_raw_and_mime_are_written_and_both_are_read() -> None:
    assert build_plaintext(DOCUMENT, form="raw") == DOCUMENT
    packed = build_plaintext(DOCUMENT, form="mime", content_id="doc@x")
    assert packed.startswith(
        b"Content-Id: <doc@x>\r\nContent-Type: application/xml\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    for data, layers in ((DOCUMENT, ()), (packed, ("mime",)), (gzip.compress(DOCUMENT, mtime=0), ("gzip",))):
        found = read_plaintext(data)
        assert (found.content, found.layers, found.hits) == (DOCUMENT, layers, ())
    assert read_plaintext(gzip.compress(packed, mtime=0)).layers == ("gzip", "mime")
    assert read_plaintext(gzip.compress(DOCUMENT, mtime=0)).compressed


def test_a_document_is_never_changed_by_looking_for_a_head() -> None:
    for document in (b"\xef\xbb\xbf<a/>", b" <a/>", b"not xml at all", b""):
        assert read_plaintext(document).content == document


def test_a_transfer_encoding_inside_is_undone_and_its_faults_are_told() -> None:
    assert read_plaintext(PART + b"PGEvPg==\r\n").content == b"<a/>"
    assert [hit.rule for hit in read_plaintext(b"Content-Id: x\r\n\r\n<a/>").hits] == ["u13", "264"]
    odd = read_plaintext(b"Content-Type: text/xml\r\nContent-Transfer-Encoding: odd\r\n\r\n<a/>")
    assert (odd.content, [hit.rule for hit in odd.hits]) == (b"<a/>", ["259b"])  # tolerated: it can be read


def test_several_members_of_a_gzip_stream_are_one_document() -> None:
    assert inflate(gzip.compress(b"<a>", mtime=0) + gzip.compress(b"</a>", mtime=0) + b"\x00\x00", 100) == b"<a></a>"


def test_a_bomb_stops_at_the_bound() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(UnreadableError) as caught:
        read_plaintext(bomb, MimeLimits(decoded_bytes=5_000_000))
    assert caught.value.code == "MIME.SIZE"


@pytest.mark.parametrize(
    "broken", [gzip.compress(DOCUMENT, mtime=0)[:-9], b"\x1f\x8bnonsense", gzip.compress(DOCUMENT, mtime=0) + b"rest"]
)
def test_a_broken_stream_is_refused(broken: bytes) -> None:
    with pytest.raises(UnreadableError) as caught:
        read_plaintext(broken)
    assert caught.value.code == "MIME.GZIP"


@needs_corpus
def test_the_real_compressed_document_is_the_real_document() -> None:
    found = read_plaintext(octets("speare-oppgjorsmelding.gz"))
    assert found.content.replace(b"\r\n", b"\n") == octets("speare-oppgjorsmelding-document.xml")
    assert found.layers == ("gzip",)
