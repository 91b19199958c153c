"""JSONL: a JSON object a line, in UTF-8."""

from collections.abc import Iterator

from pydantic_core import from_json

from partsong_cluster.batch.lines import ByteSource, forward_to, lines
from partsong_cluster.batch.position import BadRow
from partsong_cluster.batch.record import Record, json_kind, raw_text, too_long

__all__ = ["jsonl_records"]

_BOM = b"\xef\xbb\xbf"


def jsonl_records(source: ByteSource, line: int, offset: int, longest_bytes: int) -> Iterator[Record]:
    """Yield the records from this place on; blank lines are skipped."""
    forward_to(source, offset)
    for found in lines(source, line, offset, longest_bytes):
        place = (found.number, found.offset, found.number + 1, found.offset + found.size_bytes)
        if found.too_long:
            yield Record(*place, too_long(found.size_bytes, longest_bytes, found.raw), found.raw)
            continue
        raw = found.raw.removeprefix(_BOM) if found.offset == 0 else found.raw
        if not raw.isspace() and raw:
            yield Record(*place, _fields(raw), raw)


def _fields(raw: bytes) -> dict[str, object] | BadRow:
    try:
        fields = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        return BadRow(f"broken JSON: {_why(error, raw)}", raw_text(raw))
    if not isinstance(fields, dict):
        return BadRow(f"a row is a JSON object, not {json_kind(fields)}", raw_text(raw))
    return fields


def _why(error: ValueError, raw: bytes) -> str:
    try:
        raw.decode()
    except UnicodeDecodeError as bad:
        return f"byte {bad.start + 1} (0x{raw[bad.start]:02x}) is not UTF-8"
    return str(error).replace("line 1 column", "column")
