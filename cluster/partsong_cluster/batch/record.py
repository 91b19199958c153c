"""Record: one row of a file as fields, before anybody asks whether they make a task."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from partsong_cluster.batch.position import LONGEST_RAW_CHARACTERS, BadRow

__all__ = ["Record", "json_kind", "raw_text", "too_long"]


@dataclass(frozen=True, slots=True)
class Record:
    """What stands at one line (or record) of a file."""

    line: int
    offset: int
    next_line: int
    next_offset: int
    """Where the next record can be looked for."""
    fields: Mapping[str, Any] | BadRow
    raw: bytes = b""
    """As it stood in the file; empty where the format has no text (Parquet)."""


def raw_text(raw: bytes) -> str:
    """Return the head of the raw input as text, bytes that are no UTF-8 replaced."""
    return raw[: 4 * LONGEST_RAW_CHARACTERS].decode("utf-8", "replace").rstrip("\r\n")[:LONGEST_RAW_CHARACTERS]


def too_long(size_bytes: int, longest_bytes: int, head: bytes) -> BadRow:
    """Return the row that is larger than rows may be."""
    return BadRow(f"the row has {size_bytes:,} bytes; at most {longest_bytes:,} are taken (--max-row)", raw_text(head))


def json_kind(value: object) -> str:
    """Return in words what JSON calls the value's type."""
    return _JSON_KINDS.get(type(value), type(value).__name__)


_JSON_KINDS = {
    bool: "a boolean",
    dict: "an object",
    float: "a number",
    int: "a number",
    list: "a list",
    str: "text",
    type(None): "null",
}
