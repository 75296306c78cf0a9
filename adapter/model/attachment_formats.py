"""Attachment formats: which MIME types we know, and whether bytes begin as their type says (P25, rule V11)."""

from __future__ import annotations

_PDF = (b"%PDF-",)
_JPEG = (b"\xff\xd8\xff",)
_PNG = (b"\x89PNG\r\n\x1a\n",)
_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")

# Every spelling that real senders use, and how such a file begins.
_BEGINNINGS: dict[str, tuple[bytes, ...]] = {
    "application/pdf": _PDF,
    "image/jpeg": _JPEG,
    "image/jpg": _JPEG,
    "image/pjpeg": _JPEG,
    "image/pjpg": _JPEG,
    "image/png": _PNG,
    "image/tiff": _TIFF,
}
_USUAL = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/pjpg": "image/jpeg"}
_LOOK_BYTES = 1024  # a PDF may have some bytes before its mark


def usual_name(mime_type: str | None) -> str | None:
    """The MIME type in lower case without parameters, spellings of JPEG joined; None stays None."""
    if mime_type is None:
        return None
    name = mime_type.split(";", 1)[0].strip().lower()
    return _USUAL.get(name, name)


def known_format(mime_type: str | None) -> bool:
    """True for the formats whose bytes we can check: pdf, jpeg, png, tiff."""
    return usual_name(mime_type) in _BEGINNINGS


def matches_magic(mime_type: str | None, content: bytes) -> bool:
    """True when the bytes begin as the MIME type says; False for a type we do not know.

    A PDF's mark may stand anywhere in the first 1,024 bytes, as readers accept it; images must begin with theirs.
    """
    name = usual_name(mime_type)
    marks = _BEGINNINGS.get(name or "")
    if marks is None:
        return False
    if name == "application/pdf":
        return marks[0] in content[:_LOOK_BYTES]
    return content.startswith(marks)
