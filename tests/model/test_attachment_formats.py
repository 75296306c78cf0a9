from __future__ import annotations

import pytest

from adapter.model.attachment_formats import known_format, matches_magic, usual_name

PDF = b"%PDF-1.7\n..."
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00"
TIFF = b"II*\x00\x08\x00"


@pytest.mark.parametrize(
    ("mime_type", "content"),
    [
        ("application/pdf", PDF),
        ("Application/PDF; charset=binary", PDF),
        ("application/pdf", b"\r\n" + PDF),
        ("image/jpeg", JPEG),
        ("image/pjpeg", JPEG),
        ("image/jpg", JPEG),
        ("image/png", PNG),
        ("image/tiff", TIFF),
        ("image/tiff", b"MM\x00*\x00"),
    ],
)
def test_p25_bytes_that_begin_as_their_type_says_match(mime_type: str, content: bytes) -> None:
    assert matches_magic(mime_type, content)


@pytest.mark.parametrize(
    ("mime_type", "content"),
    [
        ("application/pdf", JPEG),
        ("application/pdf", b""),
        ("application/pdf", b"x" * 2000 + PDF),
        ("image/jpeg", PNG),
        ("image/png", b" " + PNG),
        ("image/tiff", b"II"),
        ("text/plain", b"hello"),
        ("application/x-msdownload", b"MZ"),
        (None, PDF),
        ("", PDF),
    ],
)
def test_p25_other_bytes_and_unknown_types_do_not_match(mime_type: str | None, content: bytes) -> None:
    assert not matches_magic(mime_type, content)


def test_spellings_of_one_format_have_one_name() -> None:
    assert {usual_name(name) for name in ("image/JPG", "image/pjpeg ", "image/jpeg;q=1")} == {"image/jpeg"}
    assert usual_name(None) is None


def test_only_formats_that_can_be_checked_are_known() -> None:
    assert known_format("image/png")
    assert not known_format("text/xml")
    assert not known_format(None)
