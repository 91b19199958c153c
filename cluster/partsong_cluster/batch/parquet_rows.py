"""Parquet: a record a row; read a few at a time, so that memory does not grow with the file."""

import math
from collections.abc import Iterator
from typing import Any

from partsong.errors import InputError
from partsong_cluster.batch.lines import ByteSource
from partsong_cluster.batch.position import BadRow
from partsong_cluster.batch.record import Record, too_long

__all__ = ["parquet_records"]

_RECORDS_A_BATCH = 256


def parquet_records(source: ByteSource, offset: int, longest_bytes: int) -> Iterator[Record]:
    """Yield the records from this one on (counted from 0)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not source.seekable():
        raise InputError("parquet-stream", "Parquet cannot be read from a stream", remedy="write it to a file first")
    try:
        file = pq.ParquetFile(source)
        groups, number = _groups_from(file.metadata, offset)
        for batch in file.iter_batches(batch_size=_RECORDS_A_BATCH, row_groups=groups):
            for n in range(batch.num_rows):
                if number >= offset:
                    yield Record(number + 1, number, number + 2, number + 1, _fields(batch, n, longest_bytes))
                number += 1
    except (pa.ArrowException, OSError) as error:
        raise InputError("parquet-broken", f"the Parquet file is damaged: {error}", remedy="write it again") from None


def _groups_from(metadata: Any, offset: int) -> tuple[list[int], int]:
    """Return the row groups that hold this record or later ones, and the number of their first record."""
    first = 0
    for group in range(metadata.num_row_groups):
        size = metadata.row_group(group).num_rows
        if first + size > offset:
            return list(range(group, metadata.num_row_groups)), first
        first += size
    return [], first


def _fields(batch: Any, n: int, longest_bytes: int) -> dict[str, Any] | BadRow:
    row = batch.slice(n, 1)
    if row.nbytes > longest_bytes:
        return too_long(row.nbytes, longest_bytes, b"")
    try:
        return {name: _plain(row.column(at)[0].as_py()) for at, name in enumerate(batch.schema.names)}
    except UnicodeDecodeError:
        return BadRow("the row is not UTF-8", "")


def _plain(value: Any) -> Any:
    """Return the value as JSON has it: dates, decimals and bytes as text, no number that is none."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return str(value)
