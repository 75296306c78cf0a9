"""Pack an envelope and its attachments in the national form: mail and HTTP (HIS 1037 5.5, 8.1; ebxml digest 1.3–1.5).

Nothing is encoded twice and the body stays in pieces, so a large message is held about once beside its parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime

import pybase64

from adapter.ebxml.names import SOAP_ACTION
from adapter.errors import InputError

CMS_TYPE = "application/pkcs7-mime; smime-type=enveloped-data"
_BLOCK = 57 * 16_384  # whole base64 lines of 76 characters
_ID = re.compile(r"[A-Za-z0-9._@+=-]{1,200}")  # the same in a header and, unescaped, in a cid: URI
_BOUNDARY = re.compile(r"[A-Za-z0-9'()+_,./:=?-]{1,69}[A-Za-z0-9'()+_,./:=?-]")
_LINE = re.compile(r"[ -~]{1,900}")
_ADDRESS = re.compile(r"[!-~]{1,64}@[A-Za-z0-9.\[\]:-]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One part beside the envelope: ``content_id`` without brackets, ``content`` the octets that are signed."""

    content_id: str
    content: bytes
    content_type: str = CMS_TYPE


@dataclass(frozen=True, slots=True, kw_only=True)
class MailHead:
    """What a mail says of itself. Every sending has a new ``message_id`` (without brackets), resends too."""

    sender: str
    receiver: str
    subject: str
    date: datetime
    message_id: str
    mailer: str | None = None
    more: tuple[tuple[str, str], ...] = ()  # further headers: name and value


@dataclass(frozen=True, slots=True)
class Packed:
    """A message ready for the wire: headers, and the body in pieces."""

    headers: tuple[tuple[str, str], ...]
    pieces: tuple[bytes, ...]

    @property
    def body_bytes(self) -> int:
        return sum(map(len, self.pieces))

    def body(self) -> bytes:
        return b"".join(self.pieces)

    def mail(self) -> bytes:
        """The whole mail with CRLF line ends."""
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers) + "\r\n"
        return b"".join((head.encode("ascii"), *self.pieces))


def pack_mail(
    envelope: bytes, attachments: Sequence[Attachment], mail: MailHead, *, boundary: str, content_id: str
) -> Packed:
    """A mail: multipart/related with base64 parts, or one base64 text/xml for a message without attachments.

    ``content_id`` is the envelope's. Raises InputError for a value that a header cannot carry.
    """
    headers = [
        ("From", _address(mail.sender, "sender")),
        ("To", _address(mail.receiver, "receiver")),
        ("Subject", _subject(mail.subject)),
        ("Date", format_datetime(mail.date.astimezone(UTC))),
        ("Message-ID", f"<{_id(mail.message_id, 'message_id')}>"),
        ("MIME-Version", "1.0"),
        ("SOAPAction", SOAP_ACTION),
    ]
    if mail.mailer:
        headers.append(("X-Mailer", _line(mail.mailer, "mailer")))
    headers += [(name, _line(value, name)) for name, value in mail.more]
    if not attachments:
        headers += [
            ("Content-Type", "text/xml; charset=UTF-8"),
            ("Content-ID", f"<{_id(content_id, 'content_id')}>"),
            ("Content-Transfer-Encoding", "base64"),
        ]
        return Packed(tuple(headers), tuple(_base64_lines(envelope)))
    headers += [("Content-Type", _related(boundary, content_id, "\r\n\t")), ("Content-Transfer-Encoding", "7bit")]
    return Packed(tuple(headers), tuple(_multipart(envelope, attachments, boundary, content_id)))


def pack_http(envelope: bytes, attachments: Sequence[Attachment], *, boundary: str, content_id: str) -> Packed:
    """A request or response body: parts in base64 as NAV demands; a message without attachments is plain text/xml."""
    headers = [("SOAPAction", SOAP_ACTION), ("MIME-Version", "1.0")]
    if not attachments:
        headers += [
            ("Content-Type", "text/xml; charset=UTF-8"),
            ("Content-ID", f"<{_id(content_id, 'content_id')}>"),
            ("Content-Transfer-Encoding", "8bit"),
        ]
        return Packed(tuple(headers), (envelope,))
    headers += [("Content-Type", _related(boundary, content_id, " ")), ("Content-Transfer-Encoding", "8bit")]
    return Packed(tuple(headers), tuple(_multipart(envelope, attachments, boundary, content_id)))


def _related(boundary: str, content_id: str, fold: str) -> str:
    if not _BOUNDARY.fullmatch(boundary):
        raise InputError("a boundary has 2 to 70 of the characters that RFC 2046 allows", where="boundary")
    start = f'start="<{_id(content_id, "content_id")}>"'
    return f'multipart/related; type="text/xml";{fold}{start};{fold}boundary="{boundary}"'


def _multipart(envelope: bytes, attachments: Sequence[Attachment], boundary: str, content_id: str) -> Iterator[bytes]:
    yield _part_head(boundary, content_id, "text/xml; charset=UTF-8")
    yield from _base64_lines(envelope)
    for attachment in attachments:
        yield _part_head(boundary, attachment.content_id, _line(attachment.content_type, "content_type"))
        yield from _base64_lines(attachment.content)
    yield f"--{boundary}--\r\n".encode("ascii")


def _part_head(boundary: str, content_id: str, content_type: str) -> bytes:
    lines = (
        f"--{boundary}",
        f"Content-ID: <{_id(content_id, 'content_id')}>",
        f"Content-Type: {content_type}",
        "Content-Transfer-Encoding: base64",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _base64_lines(content: bytes) -> Iterator[bytes]:
    """Lines of 76 characters with CRLF, block by block."""
    view = memoryview(content)
    for at in range(0, len(view), _BLOCK):
        yield pybase64.encodebytes(view[at : at + _BLOCK]).replace(b"\n", b"\r\n")


def _id(text: str, where: str) -> str:
    if not _ID.fullmatch(text):
        raise InputError("an id is 1 to 200 of A-Z a-z 0-9 . _ @ + = -", where=where)
    return text


def _line(text: str, where: str) -> str:
    if not _LINE.fullmatch(text):
        raise InputError("a header value is one line of ASCII", where=where)
    return text


def _address(text: str, where: str) -> str:
    """An address as a header carries it; ``mailto:`` and ``mailto://`` of agreements are taken off."""
    plain = mail_address(text)
    if not _ADDRESS.fullmatch(plain) or re.search(r"[<>,;:\\\"()]", plain):
        raise InputError("not a mail address", where=where)
    return plain


def mail_address(uri: str) -> str:
    """The address of a CPA endpoint: ``mailto://a@b``, ``mailto:a@b`` or ``a@b``."""
    return re.sub(r"^mailto:(?://)?", "", uri.strip(), flags=re.IGNORECASE)


def _subject(text: str) -> str:
    if any(ord(character) < 32 for character in text) or len(text) > 300:
        raise InputError("a subject is one line of at most 300 characters", where="subject")
    return (
        text if text.isascii() else Header(text, "utf-8", maxlinelen=76, header_name="Subject").encode(linesep="\r\n")
    )
