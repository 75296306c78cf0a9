"""Words of one HTTP call: its limits, its body, its answer. Light to import."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

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
