"""Sealed: a record packed once, where it was made, with its key beside it; it travels and is stored without being opened."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from partsong.contracts import CallRecord, Completion, RowRecord
from partsong.wire import Codec

__all__ = ["CALLS", "ROWS", "Sealed", "seal"]

CALLS: Codec[CallRecord] = Codec(CallRecord)
ROWS: Codec[RowRecord] = Codec(RowRecord)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A record's key and its packed whole; a call's has a step, a row's has none."""

    run: str
    row: int
    step: str | None
    ask_hash: bytes
    answered: bool
    """Whether it is a call's and holds a completion, which the cache may give again."""
    packed: bytes
    settled: bool = True
    """Whether it answers its question for good; a call's that does not is kept for its cost alone."""
    model: str = ""
    usd: float = 0.0
    """US dollars that a call has cost, as far as is known, and can have cost beyond that."""
    at_s: float = 0.0
    """Unix time of a call's end."""


def seal(records: Iterable[CallRecord | RowRecord | Sealed]) -> list[Sealed]:
    """Return the records sealed, calls first, those that are sealed already as they are; WireError if one cannot be packed."""
    sealed: list[Sealed] = []
    calls: list[CallRecord] = []
    rows: list[RowRecord] = []
    for record in records:
        match record:
            case Sealed():
                sealed.append(record)
            case CallRecord():
                calls.append(record)
            case RowRecord():
                rows.append(record)
    return [*sealed, *_calls(calls), *_rows(rows)]


def _calls(calls: Sequence[CallRecord]) -> Iterable[Sealed]:
    for call, packed in zip(calls, CALLS.pack_each(calls), strict=True):
        answered = call.settled and isinstance(call.reply, Completion)
        usd = call.cost_usd + call.possible_usd
        yield Sealed(call.run, call.row, call.step, call.ask_hash, answered, packed, call.settled, call.model, usd, call.at_s)


def _rows(rows: Sequence[RowRecord]) -> Iterable[Sealed]:
    for row, packed in zip(rows, ROWS.pack_each(rows), strict=True):
        yield Sealed(row.run, row.row, None, b"", False, packed)
