"""The head of a mail, an HTTP message or a MIME part: found, bounded, and read.

Only heads that are not plain ASCII are given to the standard mail package, and bodies never are (engineering 3d).
Accepted as seen in real mails: any case of names, folded values, continuation lines without indentation after a
semicolon, parameters without semicolon between them, stray 8-bit characters, and a body whose first boundary follows
the head without a blank line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

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
_Value = TypeVar("_Value")
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


class _once(Generic[_Value]):  # noqa: N801  (a decorator)
    """``functools.cached_property`` without its lock, which costs more than what is worked out here."""

    def __init__(self, work: Callable[[Any], _Value]) -> None:
        self._work, self._name = work, work.__name__
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, head: None, owner: type) -> _once[_Value]: ...
    @overload
    def __get__(self, head: object, owner: type) -> _Value: ...
    def __get__(self, head: object | None, owner: type) -> _once[_Value] | _Value:
        if head is None:
            return self
        value = head.__dict__[self._name] = self._work(head)
        return value


@dataclass(frozen=True)
class Head:
    """Header fields in order, unfolded; names as written. What is asked of it is worked out once."""

    fields: tuple[tuple[str, str], ...] = ()

    @_once
    def _first(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, value in self.fields:
            found.setdefault(name.lower(), value)
        return found

    def get(self, name: str) -> str | None:
        """The first field of that name without blanks around it; "" when it is there and empty."""
        return self._first.get(name.lower())

    def has_any(self, *names: str) -> bool:
        return any(self.get(name) is not None for name in names)

    @_once
    def content_type(self) -> str | None:
        """The media type in lower case without parameters; None when absent or no type."""
        found = _TYPE.match((self.get("Content-Type") or "").strip())
        return found[0].lower() if found else None

    @_once
    def parameters(self) -> dict[str, str]:
        """The Content-Type's parameters by lower-case name; of two with one name the first counts."""
        found: dict[str, str] = {}
        for name, value in self._pairs:
            found.setdefault(name, value)
        return found

    @_once
    def _pairs(self) -> list[tuple[str, str]]:
        rest = (self.get("Content-Type") or "").strip()
        known = _TYPE.match(rest)
        rest = rest[known.end() :] if known else rest
        return [
            (match[1].lower(), _ESCAPED.sub(r"\1", match[2]) if match[2] is not None else match[3])
            for match in _PARAMETER.finditer(rest)
        ]

    def boundary(self, limits: MimeLimits) -> bytes | None:
        """The boundary of a multipart, or None. Raises UnreadableError for two that differ or one out of bounds."""
        found = {value for name, value in self._pairs if name == "boundary"}
        if len(found) > 1:
            raise UnreadableError("the Content-Type names two boundaries", code="MIME.BOUNDARY")
        text = found.pop() if found else ""
        if len(text) > limits.boundary_chars or not text.isprintable() or not text.isascii():
            raise UnreadableError("the boundary is too long or not plain text", code="MIME.BOUNDARY")
        return text.rstrip().encode("ascii") or None

    @_once
    def transfer_encoding(self) -> str | None:
        """Content-Transfer-Encoding in lower case, or None."""
        value = self.get("Content-Transfer-Encoding")
        return value.partition(";")[0].strip().strip('"').lower() or None if value is not None else None

    @_once
    def content_id(self) -> str | None:
        """Content-ID without brackets and blanks, or None."""
        value = (self.get("Content-ID") or "").strip()
        return value.removeprefix("<").removesuffix(">").strip() or None


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
    block = block.replace(b"\r\n", b"\n")
    lines = block.split(b"\n")
    if len(lines) > limits.head_lines:
        raise UnreadableError(f"a head has more than {limits.head_lines} lines", code="MIME.HEADERS")
    if len(max(lines, key=len)) > limits.line_bytes:
        raise UnreadableError(f"a header line is longer than {limits.line_bytes} bytes", code="MIME.LINE")
    return _plain(block.decode("ascii")) if block.isascii() and b"\r" not in block else _unusual(_joined(lines))


def _plain(block: str) -> Head:
    """ASCII in whole lines, as nearly all heads are: what the package makes of it, at a twentieth of the price."""
    fields: list[tuple[str, str]] = []
    for line in block.split("\n"):
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
