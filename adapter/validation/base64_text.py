"""Judging base64 text piece by piece: a 15 MB attachment is never decoded as a whole."""

from __future__ import annotations

import pybase64

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BLANKS = b" \t\r\n"
_PIECE = 1 << 16  # small enough for the processor's cache


def last_group(text: str) -> str | None:
    """The last four characters of a base64 text that is sound up to them; None when that is not beyond doubt.

    They decide the rest (padding, unused bits). White space may stand anywhere and does not count.
    """
    if not text.isascii():
        return None
    group = rest = b""
    try:
        for start in range(0, len(text), _PIECE):
            piece = rest + _signs(text[start : start + _PIECE].encode("ascii"))
            whole, rest = piece[: len(piece) // 4 * 4], piece[len(piece) // 4 * 4 :]
            if not whole:
                continue
            if b"=" in group or b"=" in whole[:-2]:  # padding ends a text
                return None
            pybase64.b64decode(whole, validate=True)
            group = whole[-4:]
    except ValueError:
        return None
    return None if rest or not group else group.decode("ascii")


def _signs(piece: bytes) -> bytes:
    return piece.translate(None, _BLANKS) if any(blank in piece for blank in _BLANKS) else piece


def is_base64(text: str) -> bool:
    """True when the text is base64 with correct padding; white space may stand anywhere. Empty text is none."""
    if last_group(text) is not None:
        return True
    if not text.isascii():
        return False
    padding_at = text.find("=")
    body_chars = len(text) if padding_at < 0 else padding_at
    tail = "" if padding_at < 0 else text[padding_at : padding_at + 64]
    if padding_at >= 0 and len(text) - padding_at > 64 and text[padding_at + 64 :].strip():
        return False
    signs = 0
    for start in range(0, body_chars, _PIECE):
        piece = text[start : min(start + _PIECE, body_chars)].encode("ascii")
        blanks = sum(piece.count(blank) for blank in (b" ", b"\t", b"\r", b"\n"))
        if len(piece.translate(None, _ALPHABET)) != blanks:
            return False
        signs += len(piece) - blanks
    padding = "".join(tail.split())
    return signs > 0 and padding in ("", "=", "==") and (signs + len(padding)) % 4 == 0


def beginning(text: str, size_bytes: int = 1536) -> bytes:
    """About the first ``size_bytes`` bytes of a base64 text; empty when it does not decode."""
    signs = text[: size_bytes * 2].encode("ascii", "replace").translate(None, _BLANKS)[: size_bytes // 3 * 4]
    try:
        return pybase64.b64decode(signs[: len(signs) // 4 * 4], validate=True)
    except ValueError:
        return b""


def raw_size(chars: int) -> int:
    """How many bytes a base64 text of that many characters stands for, about."""
    return chars * 3 // 4
