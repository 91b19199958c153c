"""Ingest: the input as a stream of rows, each with its position; a bad row costs itself alone."""

import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from partsong.contracts import Task
from partsong.errors import InputError, Place
from partsong_cluster.batch.as_task import Shape, as_task, row_id
from partsong_cluster.batch.csv_rows import csv_records
from partsong_cluster.batch.failed_row import failed_row
from partsong_cluster.batch.jsonl import jsonl_records
from partsong_cluster.batch.lines import ByteSource
from partsong_cluster.batch.openai_request import unused
from partsong_cluster.batch.parquet_rows import parquet_records
from partsong_cluster.batch.places import InputFile
from partsong_cluster.batch.position import LONGEST_RAW_CHARACTERS, BadRow, BadRowError, Position, Read
from partsong_cluster.batch.record import Record, raw_text
from partsong_cluster.batch.remote_errors import AwayError, away, passes, transport_errors

__all__ = ["FirstRow", "Ingest", "InputRules"]

FirstRow = Callable[[str, int], int]
"""Enters an id with its row and returns the first row that has it: this one, or an earlier one."""

_ROWS_A_BLOCK = 256
_BYTES_A_BLOCK = 4_000_000
_MOST_UNUSED = 100


@dataclass(frozen=True, slots=True)
class InputRules:
    """How the input is to be read."""

    shape: Shape = field(default_factory=Shape)
    longest_row_bytes: int = 10_000_000


class Ingest:
    """Reads rows in blocks, from any position on. Blocking; one thread at a time."""

    def __init__(self, files: Sequence[InputFile], rules: InputRules, first_row: FirstRow, start: Position | None = None) -> None:
        self._files = files
        self._rules = rules
        self._first_row = first_row
        self._next = start or Position()
        self._rows = self._read_all(self._next)
        self.unused: Counter[str] = Counter()
        """Rows of this session by fields of OpenAI requests that change nothing here."""

    def block(self) -> Sequence[Read]:
        """Return the next rows, at most 256 of them and not much more than 4 MB; none at the end.

        AwayError where a remote place does not answer: then the next call reads the same rows.
        """
        unused = self.unused.copy()
        try:
            reads = self._read_block()
        except AwayError:
            self.unused = unused
            self._rows = self._read_all(self._next)
            raise
        self._next = reads[-1].after if reads else self._next
        return reads

    def _read_block(self) -> Sequence[Read]:
        reads: list[Read] = []
        size_bytes = 0
        for read, bytes_read in islice(self._rows, _ROWS_A_BLOCK):
            reads.append(read)
            size_bytes += bytes_read
            if size_bytes > _BYTES_A_BLOCK:
                break
        return reads

    def fraction(self, position: Position) -> float | None:
        """Return the share of the input that lies before the position, where sizes tell."""
        sizes = [None if file.compressed or file.kind == "parquet" else file.size_bytes for file in self._files]
        if None in sizes:
            return None
        total = sum(size or 0 for size in sizes)
        before = sum(size or 0 for size in sizes[: position.file]) + position.offset
        return min(1.0, before / total) if total else 1.0

    def _read_all(self, start: Position) -> Iterator[tuple[Read, int]]:
        row = start.row
        for number, file in enumerate(self._files[start.file :], start.file):
            line, offset = (start.line, start.offset) if number == start.file else (1, 0)
            for record in self._read(file, line, offset):
                at = Position(row, number, record.line, record.offset)
                row += 1
                after = Position(row, number, record.next_line, record.next_offset)
                yield Read(at, after, file.name, self._task(record, at)), len(record.raw)

    def _read(self, file: InputFile, line: int, offset: int) -> Iterator[Record]:
        source = file.open()
        try:
            yield from self._records(file, source, line, offset)
        except transport_errors(EOFError, zlib.error) as error:
            if "://" in file.name and passes(error):
                raise away(file.name, "read", error) from error
            raise _broken(file, error) from None
        except InputError as error:
            raise InputError(error.code, error.problems[0].what, at=Place(file.name), remedy=error.problems[0].remedy) from None
        finally:
            source.close()

    def _records(self, file: InputFile, source: ByteSource, line: int, offset: int) -> Iterator[Record]:
        longest_bytes = self._rules.longest_row_bytes
        match file.kind:
            case "jsonl":
                return jsonl_records(source, line, offset, longest_bytes)
            case "csv":
                return csv_records(source, line, offset, longest_bytes)
            case "tsv":
                return csv_records(source, line, offset, longest_bytes, "\t")
            case "parquet":
                return parquet_records(source, offset, longest_bytes)

    def _task(self, record: Record, at: Position) -> Task | BadRow:
        if isinstance(record.fields, BadRow):
            return record.fields
        name, fields, shape = f"row-{at.row + 1}", record.fields, self._rules.shape
        failed = failed_row(fields, shape)
        try:
            _check_characters(record)
            if failed is not None:
                name = failed.custom_id or name
                fields, shape = failed.fields(), replace(shape, columns=failed.columns)
            name = row_id(fields, name, shape)
            task = as_task(fields, name, shape)
            first = self._first_row(name, at.row)
            if first != at.row:
                raise BadRowError(f"the id {name!r} is taken by row {first + 1}")
        except BadRowError as error:
            raw = failed.given if failed is not None and isinstance(failed.given, str) else _raw(record)
            return BadRow(str(error), raw, name)
        self._note_unused(fields.get("body"))
        return task

    def _note_unused(self, body: object) -> None:
        if isinstance(body, dict):
            self.unused.update(name for name in unused(body) if name in self.unused or len(self.unused) < _MOST_UNUSED)


def _check_characters(record: Record) -> None:
    """Refuse NUL: half of what lies behind the adapters would take it for the end of the text."""
    suspicious = not record.raw or b"\\u0000" in record.raw or b"\0" in record.raw
    if suspicious and _has_nul(record.fields):
        raise BadRowError("the text holds a NUL character")


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, Mapping):
        return any(_has_nul(key) or _has_nul(inner) for key, inner in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))


def _raw(record: Record) -> str:
    if record.raw:
        return raw_text(record.raw)
    return json.dumps(record.fields, ensure_ascii=False, default=str)[:LONGEST_RAW_CHARACTERS]


def _broken(file: InputFile, error: Exception) -> InputError:
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return InputError(
        "input-broken",
        f"reading broke off: {why}",
        at=Place(file.name),
        remedy="mend the file and run the same command again: it continues",
    )
