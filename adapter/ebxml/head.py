"""The head of a mail, an HTTP message or a MIME part: found, bounded, and read.

Only heads that are not plain ASCII are given to the standard mail package, and bodies never are (engineering 3d).
Accepted as seen in real mails: any case of names, folded values, continuation lines without indentation after a
semicolon, parameters without semicolon between them, stray 8-bit characters, and a body whose first boundary follows
the head without a blank line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from adapter.errors import UnreadableError


@dataclass(frozen=True, slots=True, kw_only=True)
class MimeLimits:
    """Bounds on a message; sizes in bytes. NHN takes mails up to 51,200,000 bytes (ebxml digest 1.4)."""

    size_bytes: int = 60_000_000
    decoded_bytes: int = 60_000_000
    parts: int = 20
    head_bytes: int = 65_536
    head_lines: int = 1_000
    line_bytes: int = 8_192
    boundary_chars: int = 200


DEFAULT_LIMITS = MimeLimits()
_BLANK = re.compile(rb"\r?\n\r?\n|\r?\n(?=--[^\r\n:]*\r?\n)")
_PARAMETER = re.compile(r"([A-Za-z0-9!#$&.+^_-]{1,60})\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"][^\s;]*))")
_FIELD = re.compile(rb"([!-9;<>-~]{1,200})[ \t]*:")  # no "=": that is a parameter on a line of its own
_NAME = re.compile(r"[!-9;<>-~]{1,200}")
_USUAL = frozenset(
    ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "SOAPAction", "Received", "Return-Path")
) | frozenset(("Content-Type", "Content-ID", "Content-Transfer-Encoding", "Content-Id", "X-Mailer", "Delivered-To"))
_CONTINUED = re.compile(rb"[A-Za-z0-9!#$&.+^_-]{1,60}\s*=")
_TYPE = re.compile(r"[A-Za-z0-9!#$&.+^_-]{1,80}/[A-Za-z0-9!#$&.+^_-]{1,80}")
_ESCAPED = re.compile(r"\\(.)")
_FOLD = re.compile(r"\s*[\r\n]+\s*")


class Head:
    """Header fields in order, unfolded; names as written. What is asked of every head is worked out at once.

    ``content_type`` is the media type in lower case without parameters, None when absent or no type; ``parameters`` are
    its parameters by lower-case name, of two with one name the first; ``transfer_encoding`` in lower case or None;
    ``content_id`` without brackets and blanks, or None.
    """

    __slots__ = ("_first", "_pairs", "content_id", "content_type", "fields", "parameters", "transfer_encoding")

    def __init__(self, fields: tuple[tuple[str, str], ...] = ()) -> None:
        self.fields = fields
        first: dict[str, str] = {}
        for name, value in fields:
            first.setdefault(name.lower(), value)
        self._first = first
        self.content_type: str | None
        self._pairs: tuple[tuple[str, str], ...]
        self.parameters: Mapping[str, str]
        self.content_type, self._pairs, self.parameters = _read_type(first.get("content-type", ""))
        encoding = first.get("content-transfer-encoding")
        self.transfer_encoding: str | None = None
        if encoding is not None:
            self.transfer_encoding = encoding.partition(";")[0].strip().strip('"').lower() or None
        content_id = first.get("content-id", "").strip()
        self.content_id: str | None = content_id.removeprefix("<").removesuffix(">").strip() or None

    def get(self, name: str) -> str | None:
        """The first field of that name without blanks around it; "" when it is there and empty."""
        return self._first.get(name.lower())

    def has_any(self, *names: str) -> bool:
        return any(name.lower() in self._first for name in names)

    def boundary(self, limits: MimeLimits) -> bytes | None:
        """The boundary of a multipart, or None. Raises UnreadableError for two that differ or one out of bounds."""
        found = {value for name, value in self._pairs if name == "boundary"}
        if len(found) > 1:
            raise UnreadableError("the Content-Type names two boundaries", code="MIME.BOUNDARY")
        text = found.pop() if found else ""
        if len(text) > limits.boundary_chars or not text.isprintable() or not text.isascii():
            raise UnreadableError("the boundary is too long or not plain text", code="MIME.BOUNDARY")
        return text.rstrip().encode("ascii") or None


@lru_cache(maxsize=64)
def _read_type(written: str) -> tuple[str | None, tuple[tuple[str, str], ...], Mapping[str, str]]:
    """Media type, all parameters in order, and the first of each name. Kept: of most parts it is the same text."""
    rest = written.strip()
    known = _TYPE.match(rest)
    pairs = tuple(
        (match[1].lower(), _ESCAPED.sub(r"\1", match[2]) if match[2] is not None else match[3])
        for match in _PARAMETER.finditer(rest, known.end() if known else 0)
    )
    return known[0].lower() if known else None, pairs, MappingProxyType(dict(reversed(pairs)))


def of_fields(fields: Iterable[tuple[str, str]]) -> Head:
    """A head from the fields of an HTTP server or client."""
    return Head(tuple((name, _FOLD.sub(" ", value).strip()) for name, value in fields))


def find_head(data: bytes, start: int, end: int, limits: MimeLimits) -> tuple[Head, int]:
    """The head that begins at ``start``, and where the body begins.

    Raises UnreadableError: MIME.HEAD (too large), MIME.HEADERS (too many lines), MIME.LINE (a line too long).
    """
    if data[start : start + 1] in (b"\r", b"\n"):
        for blank in (b"\r\n", b"\n"):
            if data.startswith(blank, start, end):
                return Head(), start + len(blank)
    found = _BLANK.search(data, start, min(end, start + limits.head_bytes + 4))
    if found is None and end - start > limits.head_bytes:
        raise UnreadableError(f"a head is larger than {limits.head_bytes} bytes", code="MIME.HEAD")
    stop, body = (found.start(), found.end()) if found else (end, end)
    return _read(data[start:stop], limits), body


def _read(block: bytes, limits: MimeLimits) -> Head:
    if block.isascii():
        text = block.decode("ascii").replace("\r\n", "\n")
        lines = text.split("\n")
        _guard_lines(lines, limits)
        return _plain(lines) if "\r" not in text else _unusual(_joined([line.encode() for line in lines]))
    rows = block.replace(b"\r\n", b"\n").split(b"\n")
    _guard_lines(rows, limits)
    return _unusual(_joined(rows))


def _guard_lines(lines: Sequence[str] | Sequence[bytes], limits: MimeLimits) -> None:
    if len(lines) > limits.head_lines:
        raise UnreadableError(f"a head has more than {limits.head_lines} lines", code="MIME.HEADERS")
    if len(max(lines, key=len)) > limits.line_bytes:
        raise UnreadableError(f"a header line is longer than {limits.line_bytes} bytes", code="MIME.LINE")


def _plain(lines: Iterable[str]) -> Head:
    """ASCII in whole lines, as nearly all heads are: what the package makes of it, at a twentieth of the price."""
    fields: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if name in _USUAL and colon:
            fields.append((name, value.strip()))
        elif line[:1] in (" ", "\t"):
            _continue(fields, line)
        elif colon and _NAME.fullmatch(name.rstrip(" \t")):
            fields.append((name.rstrip(" \t"), value.strip()))
        elif _CONTINUED.match(line.encode()):
            _continue(fields, line)
    return Head(tuple(fields))


def _continue(fields: list[tuple[str, str]], line: str) -> None:
    if fields:
        name, value = fields[-1]
        fields[-1] = name, f"{value} {line.strip()}".strip()


def _unusual(lines: list[bytes]) -> Head:
    from email.parser import BytesHeaderParser
    from email.policy import compat32

    parsed = BytesHeaderParser(policy=compat32).parsebytes(b"\n".join(lines) + b"\n\n")
    return of_fields((name, str(value)) for name, value in parsed.items())


def _joined(lines: list[bytes]) -> list[bytes]:
    """Header lines with their continuations made proper; lines that are no header at all are left out."""
    out: list[bytes] = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            out += [line] if out else []
            continue
        found = _FIELD.match(line)
        if found:
            out.append(found[1] + b":" + line[found.end() :])
        elif out and _CONTINUED.match(line):
            out.append(b" " + line)
    return out
