"""CSV: a header, then a record a row; quoted fields may hold line ends."""

import csv
from collections.abc import Iterator, Sequence

from partsong.errors import InputError
from partsong_cluster.batch.lines import ByteSource, Line, forward_to, lines
from partsong_cluster.batch.position import BadRow
from partsong_cluster.batch.record import Record, raw_text, too_long

__all__ = ["csv_records"]


class _TooLongError(Exception):
    """The record at hand is longer than rows may be."""


class _Feed:
    """Gives csv.reader its lines and knows which of them the record at hand is made of."""

    def __init__(self, source: Iterator[Line], longest_bytes: int) -> None:
        self._source = source
        self._longest_bytes = longest_bytes
        self.taken: list[Line] = []
        """Its lines, those past the limit left out."""
        self.size_bytes = 0
        self.line_count = 0

    def begin(self) -> None:
        self.taken, self.size_bytes, self.line_count = [], 0, 0

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        line = next(self._source)
        self.size_bytes += line.size_bytes
        self.line_count += 1
        if not self.taken or self.size_bytes <= self._longest_bytes:
            self.taken.append(line)
        if line.too_long or self.size_bytes > self._longest_bytes:
            raise _TooLongError
        return line.raw.decode("utf-8", "surrogateescape")

    @property
    def raw(self) -> bytes:
        return b"".join(line.raw for line in self.taken)

    def record(self, fields: dict[str, str] | BadRow) -> Record:
        first = self.taken[0]
        return Record(first.number, first.offset, first.number + self.line_count, first.offset + self.size_bytes, fields, self.raw)


def csv_records(source: ByteSource, line: int, offset: int, longest_bytes: int, delimiter: str = ",") -> Iterator[Record]:
    """Yield the records from this place on; the header is read from the file's start whatever the place."""
    csv.field_size_limit(max(csv.field_size_limit(), longest_bytes))
    header, first = _header(source, longest_bytes, delimiter)
    if offset > first.offset:
        forward_to(source, offset, first.offset)
        first = Line(line, offset, b"", 0, too_long=False)
    feed = _Feed(lines(source, first.number, first.offset, longest_bytes), longest_bytes)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        feed.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except _TooLongError:
            yield feed.record(too_long(feed.size_bytes, longest_bytes, feed.raw))
            reader = csv.reader(feed, delimiter=delimiter, strict=True)
        except csv.Error as error:
            yield feed.record(BadRow(f"broken CSV: {error}", raw_text(feed.raw)))
        else:
            if cells:
                yield feed.record(_fields(header, cells, feed))


def _header(source: ByteSource, longest_bytes: int, delimiter: str) -> tuple[Sequence[str], Line]:
    """Return the columns' names, and an empty line at the place where the records begin."""
    feed = _Feed(lines(source, 1, 0, longest_bytes), longest_bytes)
    try:
        names = next(csv.reader(feed, delimiter=delimiter, strict=True), [])
        raw = feed.raw.decode("utf-8-sig")
    except (_TooLongError, csv.Error, UnicodeDecodeError) as error:
        raise InputError("csv-header", f"the header cannot be read: {error}", remedy="the first line names the columns") from None
    names = [name.removeprefix("\ufeff").strip() for name in names] if raw else []
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError("csv-header", f"columns are named twice: {', '.join(twice)}", remedy="give every column its own name")
    return names, Line(1 + len(feed.taken), feed.size_bytes, b"", 0, too_long=False)


def _fields(header: Sequence[str], cells: Sequence[str], feed: _Feed) -> dict[str, str] | BadRow:
    if len(cells) != len(header):
        return BadRow(f"the row has {len(cells)} cells, the header {len(header)}", raw_text(feed.raw))
    if any(not cell.isascii() and _has_stray_bytes(cell) for cell in cells):
        return BadRow("the row is not UTF-8", raw_text(feed.raw))
    return dict(zip(header, cells, strict=True))


def _has_stray_bytes(cell: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in cell)
