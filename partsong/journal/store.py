"""A store: where the journal's records become durable. Blocking; the journal calls it from one thread of its own."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from partsong.contracts import CallRecord, Completion, RowRecord
from partsong.contracts.epoch import Epoch
from partsong.contracts.feedback import Feedback
from partsong.journal.sealed import Sealed

__all__ = ["FORGOTTEN_AT_ONCE", "Published", "Record", "RunInfo", "Store"]

FORGOTTEN_AT_ONCE = 1000
"""Rows of a run that are deleted in one transaction, with their calls: others write in between."""

Record = CallRecord | RowRecord | Sealed
"""A finished call or row; sealed where it is to be stored without being opened on the way."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run was started with; a resumed run compares."""

    run: str
    mesh_hash: str
    input_hash: str
    started_s: float
    """Unix time."""


@dataclass(frozen=True, slots=True)
class Published:
    """Up to where the journal's rows stand in the output files."""

    seq: int = 0
    """The last row record written out, by its place in the journal."""
    output_bytes: int = 0
    errors_bytes: int = 0


class Store(Protocol):
    """Durable records of runs. Every method may raise StoreError.

    What changes something is done `under` epochs: it raises FencedError, and changes nothing, when any is not the latest of its name.
    """

    def claim(self, name: str, if_number: int | None = None) -> Epoch:
        """Return the next epoch of this name; it is durable, and fences all earlier holders of the name.

        With `if_number`, only where that is the latest; else the latest is left as it is, and returned.
        """
        ...

    def holds(self, epoch: Epoch) -> bool:
        """Return whether the epoch is the latest of its name."""
        ...

    def append(self, records: Iterable[Record], under: Collection[Epoch] = ()) -> None:
        """Make the records durable in one transaction; a record whose key is there already is left as it was.

        A call's key is (run, row, step, ask_hash): what is asked otherwise at the same step is another call. A row's is (run, row).
        A call that is not settled has no key: each is kept, counts in `spent`, and is found nowhere else.
        """
        ...

    def calls(self, run: str, first_row: int, last_row: int) -> Sequence[CallRecord]:
        """Return the run's calls of rows first..last (both included) that have no row record yet, by row and as they were appended."""
        ...

    def failed_calls(self, run: str, first_row: int, last_row: int) -> Sequence[CallRecord]:
        """Return the run's settled calls of rows first..last (both included) that failed, of finished rows too, by row."""
        ...

    def done(self, run: str, first_row: int, last_row: int) -> frozenset[int]:
        """Return which rows of first..last (both included) have a row record."""
        ...

    def finished(self, run: str, before_row: int) -> int:
        """Return how many rows before this one have a row record."""
        ...

    def row(self, run: str, row: int) -> RowRecord | None:
        """Return the row's record; None if it has none yet."""
        ...

    def rows(self, run: str, after_seq: int, limit: int) -> Sequence[tuple[int, RowRecord]]:
        """Return row records in the order they were appended, each with its place (`seq` grows, gaps may occur).

        At most `limit`, fewer where they are large; none only when there are none.
        """
        ...

    def cached(self, ask_hashes: Sequence[bytes], of: Collection[str] = ()) -> Mapping[bytes, Completion]:
        """Return completions by what was asked, those of the runs `of` before any other's; hashes not there are left out."""
        ...

    def spent(self, run: str | None, since_s: float) -> Mapping[str, float]:
        """Return by model the US dollars that calls since this Unix time have cost or can have cost; models without cost are left out.

        Of one run, or (None) of all runs, those that were forgotten included, whose calls count by the hour in which they ended.
        """
        ...

    def rate(self, feedback: Iterable[Feedback]) -> None:
        """Keep what users say, in one transaction: of one row by one person the latest score and the latest edit.

        An edit that comes without a word leaves the verdict's comment. There is one time for both: what is older than the last that was
        kept, be that a score or an edit, is dropped.
        """
        ...

    def ratings(self, run: str, first_row: int, last_row: int) -> Sequence[Feedback]:
        """Return what users said of rows first..last (both included), by row and person."""
        ...

    def run(self, run: str) -> RunInfo | None:
        """Return what the run was started with; None if it is not there."""
        ...

    def begin(self, info: RunInfo, under: Collection[Epoch] = ()) -> None:
        """Enter a run."""
        ...

    def forget(self, run: str, under: Collection[Epoch] = ()) -> bool:
        """Delete a part of a run, which is unknown from then on; return whether there may be more of it. What it spent stays known."""
        ...

    def published(self, run: str) -> Published:
        """Return the last checkpoint of the output files."""
        ...

    def publish(self, run: str, published: Published, under: Collection[Epoch] = ()) -> None:
        """Record a checkpoint; the output files must be on disk before."""
        ...

    def close(self) -> None:
        """Let go of the store."""
        ...
