"""Which attachments go with which message (P25): formats and counts as data.

HIS 1206 allows PDF only, HIS 1077 and 1228 PDF, JPEG and PNG, HIS 1207 and 1208 the same for certain and others by
agreement; TIFF is NAV's. The standard has no limit on the count; NAV reads the first 40.
"""

from __future__ import annotations

PDF, JPEG, PNG, TIFF = "application/pdf", "image/jpeg", "image/png", "image/tiff"
# Names that real senders use for the same format.
_SAME = {"image/jpg": JPEG, "image/pjpeg": JPEG, "image/pjpg": JPEG, "image/x-png": PNG, "image/tif": TIFF}
COMMON = frozenset({PDF, JPEG, PNG})
READABLE = frozenset({PDF, JPEG, PNG, TIFF})
FORMATS: dict[str, frozenset[str]] = {"DIALOG_STATUS_HENVISNING": frozenset({PDF})}
NAV_FORMATS = READABLE
NAV_COUNT = 40
MAIL_LIMIT_BYTES = 5_500_000  # raw; S/MIME and MIME add base64 twice, and the mail road ends near 10 MB (HIS 1036)


def normal(mime_type: str | None) -> str:
    """A MIME type in lower case, without parameters, and by its usual name."""
    plain = (mime_type or "").partition(";")[0].strip().lower()
    return _SAME.get(plain, plain)


def allowed_formats(msg_type: str | None, *, to_nav: bool = False, agreed: tuple[str, ...] = ()) -> frozenset[str]:
    """The formats that may be sent with a type. An agreement takes the table's place where the standard leaves room."""
    if msg_type in FORMATS:
        return FORMATS[msg_type]
    if agreed:
        return frozenset(normal(mime_type) for mime_type in agreed)
    return NAV_FORMATS if to_nav else COMMON
