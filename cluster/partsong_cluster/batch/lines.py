"""Lines of a byte stream with their offsets; a line past the limit is skipped without being held."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from partsong_cluster.batch.position import LONGEST_RAW_CHARACTERS

__all__ = ["ByteSource", "Line", "forward_to", "lines"]

_CHUNK_BYTES = 1 << 16


class ByteSource(Protocol):
    """A binary file, seekable or not."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to so many bytes; none at the end."""
        ...

    def readline(self, size: int = -1, /) -> bytes:
        """Return up to the line's end or so many bytes."""
        ...

    def seekable(self) -> bool:
        """Return whether `seek` works."""
        ...

    def seek(self, offset: int, /) -> object:
        """Go to the byte."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """One line, its end included."""

    number: int
    offset: int
    raw: bytes
    """All of it, or only its head when it is too long."""
    size_bytes: int
    too_long: bool


def lines(source: ByteSource, number: int, offset: int, longest_bytes: int) -> Iterator[Line]:
    """Yield the lines from here on, the first of which has this number and offset."""
    while raw := source.readline(longest_bytes + 1):
        too_long = len(raw) > longest_bytes and not raw.endswith(b"\n")
        size_bytes = len(raw)
        if too_long:
            raw = raw[:LONGEST_RAW_CHARACTERS]
            size_bytes += _skipped_bytes(source)
        yield Line(number, offset, raw, size_bytes, too_long)
        number += 1
        offset += size_bytes


def forward_to(source: ByteSource, offset: int, now: int = 0) -> None:
    """Go on to the byte offset: by seeking, or where that is impossible by reading and dropping."""
    if source.seekable():
        source.seek(offset)
        return
    while now < offset and (dropped := source.read(min(_CHUNK_BYTES, offset - now))):
        now += len(dropped)


def _skipped_bytes(source: ByteSource) -> int:
    """Read to the end of the line and return how much that was."""
    skipped = 0
    while chunk := source.readline(_CHUNK_BYTES):
        skipped += len(chunk)
        if chunk.endswith(b"\n"):
            break
    return skipped
