"""What a decrypted attachment holds: raw XML, gzip, or a MIME entity around either (standards digest 3.8).

NAV sends raw or gzip, HITS 1172 describes a MIME part; both are read, at most twice over, with bounded sizes.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass

from adapter.ebxml.check_packaging import is_gzip
from adapter.ebxml.head import DEFAULT_LIMITS, MimeLimits, find_head
from adapter.ebxml.mime import Part
from adapter.ebxml.rulebook import Hit
from adapter.errors import UnreadableError

_ENCODINGS = frozenset({"7bit", "8bit", "binary", "quoted-printable", "base64"})
_LAYERS = 3
_STEP = 1_048_576


@dataclass(frozen=True, slots=True)
class Plaintext:
    """The document's octets, how they were wrapped (outermost first: "mime", "gzip"), and failed rules of 5.15."""

    content: bytes
    layers: tuple[str, ...]
    hits: tuple[Hit, ...] = ()

    @property
    def compressed(self) -> bool:
        return "gzip" in self.layers


def read_plaintext(data: bytes, limits: MimeLimits = DEFAULT_LIMITS) -> Plaintext:
    """The document in a CMS plaintext or in a clear attachment.

    Raises UnreadableError: MIME.GZIP (broken), MIME.SIZE (inflates beyond the bound), and those of MIME heads.
    """
    layers: list[str] = []
    hits: list[Hit] = []
    for _ in range(_LAYERS):
        if is_gzip(data):
            layers.append("gzip")
            data = inflate(data, limits.decoded_bytes)
        elif "mime" in layers or not _has_head(data):
            return Plaintext(data, tuple(layers), tuple(hits))
        else:
            layers.append("mime")
            data = _entity(data, limits, hits)
    return Plaintext(data, tuple(layers), tuple(hits))


def _has_head(data: bytes) -> bool:
    begin = data[:200].removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    return begin[:8].lower() in (b"content-", b"mime-ver")


def _entity(data: bytes, limits: MimeLimits, hits: list[Hit]) -> bytes:
    start = len(data) - len(data.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n"))
    head, body = find_head(data, start, len(data), limits)
    if head.content_type is None:
        hits.append(Hit("u13"))
    elif head.content_type not in ("application/xml", "text/xml", "application/x-gzip", "application/gzip"):
        hits.append(Hit("u14"))
    if head.transfer_encoding is None:
        hits.append(Hit("264"))
    elif head.transfer_encoding not in _ENCODINGS:  # tolerated when it can be read as it stands
        hits.append(Hit("259b"))
        return data[body:]
    return Part(head, memoryview(data)[body:]).content(limits)


def build_plaintext(document: bytes, *, form: str, content_id: str = "document", compressed: bool = False) -> bytes:
    """The octets to encrypt: ``raw`` as they are, ``mime`` as a part with its own head (per partner; NAV takes raw).

    ``compressed``: by gzip first, only where the process or the agreement says so (HITS 1171 chapter 6).
    """
    kind, encoding = ("application/x-gzip", "binary") if compressed else ("application/xml", "8bit")
    if compressed:
        document = gzip.compress(document, mtime=0)
    if form == "raw":
        return document
    head = f"Content-Id: <{content_id}>\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode("ascii") + document


def inflate(data: bytes, limit_bytes: int) -> bytes:
    """Every member of a gzip stream, step by step, so that a bomb stops at the bound."""
    out: list[bytes] = []
    size = 0
    while data:
        member = zlib.decompressobj(wbits=31)
        try:
            while not member.eof:
                piece = member.decompress(data, _STEP)
                data = member.unconsumed_tail
                size += len(piece)
                if size > limit_bytes:
                    raise UnreadableError(f"the document inflates beyond {limit_bytes} bytes", code="MIME.SIZE")
                out.append(piece)
                if not piece and not data and not member.eof:
                    raise UnreadableError("the compressed document is cut", code="MIME.GZIP")
        except zlib.error:
            raise UnreadableError("the compressed document is broken", code="MIME.GZIP") from None
        data = member.unused_data.lstrip(b"\x00")
    return b"".join(out)
