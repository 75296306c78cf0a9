"""The answer that holds a document, read while it comes in: a large document is decoded piece by piece.

Neither the JSON text of a large document nor its base64 is ever held as a whole. Only the plain form is read so: one
string of base64 among short fields. Everything unusual is put together again and read as JSON in whole, so that the
outcome is the same.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any

from adapter.transport.call import Kept
from adapter.transport.edi20_json import fields, read_json

_DOCUMENT = re.compile(rb'"businessDocument"\s*:\s*"', re.IGNORECASE)
_CUT = "//cut/out/"  # base64, so that it can be a document, but none that begins as XML does
_LARGE_BYTES = 65_536
_AROUND_BYTES = 4096  # the most that may stand before the document, and after it
_ESCAPE_CHARS = 6  # the longest: \u002B


class DocumentReader:
    """Takes a business-document answer piece by piece (``adapter.transport.call.Intake``)."""

    def __init__(self) -> None:
        self._size_bytes = 0
        self._head = bytearray()  # up to the document's first character
        self._text: _Base64 | None = None
        self._tail = bytearray()  # from the quote that ends it
        self._whole: Kept | None = None  # once it has turned out to be unusual
        self._next = DocumentReader._in_head  # no bound method: such a circle would keep the document

    def expect(self, size_bytes: int) -> None:
        """What the answer says of its size, 0 when it says nothing."""
        self._size_bytes = size_bytes

    def add(self, piece: bytes) -> None:
        """The next bytes of the answer."""
        self._next(self, piece)

    def finish(self) -> tuple[dict[str, Any], bytes | None]:
        """The answer's fields, and its document when that could be decoded on the way.

        Where it is None the document stands among the fields, as text. Raises ValueError as ``read_json``.
        """
        if self._text is not None and self._next is DocumentReader._in_tail:
            rest = b"".join((self._head, _CUT.encode(), self._tail))
            if rest.count(_CUT.encode()) == 1 and b"\\" not in rest:
                found = fields(read_json(rest))
                if found.get("businessdocument") == _CUT:
                    return found, self._text.document()
        return fields(read_json(self._put_together().content())), None

    def _in_head(self, piece: bytes) -> None:
        self._head += piece
        if len(self._head) < _LARGE_BYTES:
            return
        start = _DOCUMENT.search(self._head, 0, _AROUND_BYTES)
        if start is None:
            self._put_together()
            return
        begun = bytes(memoryview(self._head)[start.end() :])
        self._head = self._head[: start.end()]
        self._text = _Base64(self._size_bytes)
        self._next = DocumentReader._in_text
        self._in_text(begun)

    def _in_text(self, piece: bytes) -> None:
        assert self._text is not None
        end = piece.find(b'"')
        if not self._text.add(piece if end < 0 else piece[:end], last=end >= 0):
            self._put_together().add(piece)
        elif end >= 0:
            self._next = DocumentReader._in_tail
            self._in_tail(piece[end:])

    def _in_tail(self, piece: bytes) -> None:
        self._tail += piece
        if len(self._tail) > _AROUND_BYTES:
            self._put_together()

    def _in_whole(self, piece: bytes) -> None:
        self._put_together().add(piece)

    def _put_together(self) -> Kept:
        """All that has come in, or what JSON takes for the same; it is only kept from here on."""
        if self._whole is None:
            self._whole = Kept()
            self._whole.expect(self._size_bytes)
            self._whole.add(self._head)
            if self._text is not None:
                self._whole.add(self._text.undone())
                self._text = None
            self._whole.add(self._tail)
            self._next = DocumentReader._in_whole
        return self._whole


class _Base64:
    """Base64 that comes in pieces, decoded as strictly as the whole would be."""

    def __init__(self, size_bytes: int) -> None:
        from pybase64 import b64decode

        self._decode = b64decode
        self._rest = b""  # what cannot be decoded before more has come
        self._out = BytesIO()
        if size_bytes:
            # Given back at once and never touched: from then on the C library keeps blocks of up to this size for the
            # next steps, instead of fetching each anew from the system and page by page.
            bytes(size_bytes)
            # Growing it would copy it several times.
            self._out.seek(size_bytes // 4 * 3)
            self._out.write(b"\0")
            self._out.seek(0)

    def add(self, text: bytes, *, last: bool) -> bool:
        """Decode the next characters; False when this is no base64, and then none of them was taken."""
        text, held = self._rest + text, b""
        if b"\\" in text:  # .NET writes the plus sign so
            begun = -1 if last else text.rfind(b"\\", -_ESCAPE_CHARS + 1)
            if begun >= 0:
                text, held = text[:begun], text[begun:]
            text = text.replace(b"\\u002B", b"+").replace(b"\\u002b", b"+").replace(b"\\/", b"/")
            if b"\\" in text:
                return False
        end = len(text) if last else max(len(text) - 1, 0) // 4 * 4  # some is left: padding is right only at the end
        try:
            decoded = self._decode(memoryview(text)[:end], validate=True)
        except ValueError:
            return False
        if not last and text[end - 1 : end] == b"=":
            return False
        self._out.write(decoded)
        self._rest = text[end:] + held
        return True

    def document(self) -> bytes:
        """What was decoded. This is the end of it: the bytes are handed on without a copy."""
        self._out.truncate()
        return self._out.getvalue()

    def undone(self) -> bytes:
        """The text again, with what is left over; characters that were escaped come without that."""
        from pybase64 import b64encode

        return b64encode(self.document()) + self._rest
