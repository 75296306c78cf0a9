"""The formats that attachments have, and how each one begins."""

from __future__ import annotations

_PDF_WITHIN = 1024  # readers accept a few bytes before the header


def matches_magic(mime_type: str, content: bytes) -> bool:
    """True when the first bytes (about 1 KB is enough) are those of the format; False for a format not listed here."""
    match mime_type.partition(";")[0].strip().lower():
        case "application/pdf":
            return b"%PDF-" in content[:_PDF_WITHIN]
        case "image/jpeg" | "image/jpg" | "image/pjpeg" | "image/pjpg":
            return content.startswith(b"\xff\xd8\xff")
        case "image/png" | "image/x-png":
            return content.startswith(b"\x89PNG\r\n\x1a\n")
        case "image/tiff" | "image/tif":
            return content.startswith((b"II*\x00", b"MM\x00*"))
        case _:
            return False
