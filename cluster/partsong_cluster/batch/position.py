"""Position: where a row stands in the input, and what was read there."""

from dataclasses import dataclass

from partsong.contracts import Task

__all__ = ["LONGEST_RAW_CHARACTERS", "BadRow", "BadRowError", "Position", "Read"]

LONGEST_RAW_CHARACTERS = 10_000
"""How much of an unreadable row is kept for the errors file."""


@dataclass(frozen=True, slots=True)
class Position:
    """The place of one row; reading can start again here."""

    row: int = 0
    """Row number over all files, from 0; blank lines are no rows."""
    file: int = 0
    """Which of the input's files, from 0."""
    line: int = 1
    """Line (CSV, JSONL) or record (Parquet), from 1."""
    offset: int = 0
    """Bytes before it in the uncompressed file; records before it in a Parquet file."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no task."""

    reason: str
    raw: str
    """The input as it stood, cut short."""
    id: str = ""
    """The row's id, where that much could be read."""


@dataclass(frozen=True, slots=True)
class Read:
    """One row as it was read."""

    at: Position
    after: Position
    """Where reading goes on after it."""
    file: str
    task: Task | BadRow


class BadRowError(ValueError):
    """What was read is no task; the text says why. Costs its row alone: it never leaves the reading."""
