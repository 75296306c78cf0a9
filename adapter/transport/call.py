"""Words of one HTTP call: its limits, its body, its answer. Light to import."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

TOO_LARGE = "the answer is larger than the limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times in seconds: to connect, between two pieces of an answer, for the whole call. Size of an answer in bytes."""

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    total_timeout_s: float = 60.0
    response_limit_bytes: int = 4_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``broken`` says why the body is not whole (cut, too large, too slow, encoded), else None."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | bytearray = field(repr=False)
    broken: str | None = None


class Intake(Protocol):
    """Takes an answer's body as it comes in. What it has counts only if the answer turns out not to be broken."""

    def expect(self, size_bytes: int) -> None:
        """Before the first piece: the size that the answer declares, within the limit; 0 when it declares none."""

    def add(self, piece: bytes, /) -> None:
        """The next piece, never an empty one."""


class Kept:
    """Keeps an answer's body as it is."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._size = 0

    def expect(self, size_bytes: int) -> None:
        self._content = bytearray(size_bytes)  # growing it would copy it several times

    def add(self, piece: bytes | bytearray, /) -> None:
        self._content[self._size : self._size + len(piece)] = piece
        self._size += len(piece)

    def content(self) -> bytearray:
        """All pieces in one."""
        del self._content[self._size :]
        return self._content


class Body:
    """A request body read piece by piece, which remembers whether anything of it has left.

    Pieces keep memory flat for large documents, and give each block its own socket time-out (one ``sendall`` of 35 MB
    would have to fit into the connect time-out).
    """

    def __init__(self, pieces: Callable[[], Iterator[bytes]], size_bytes: int) -> None:
        self._pieces = pieces
        self._size_bytes = size_bytes
        self._left = pieces()
        self.started = False

    @classmethod
    def of(cls, content: bytes) -> Body:
        return cls(lambda: iter((content,)), len(content))

    def again(self) -> Body:
        """The same bytes from the start, for a second attempt."""
        return Body(self._pieces, self._size_bytes)

    def __len__(self) -> int:
        return self._size_bytes

    def __iter__(self) -> Iterator[bytes]:  # requests takes it for a stream because of this
        return iter(lambda: self.read(), b"")

    def read(self, size: int = -1) -> bytes:
        """The next piece; pieces are small, so the asked size is not needed."""
        self.started = True
        return next(self._left, b"")
