"""The journal as the engine and a run see it: in this process, or an actor's on another machine."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from partsong.contracts import CallRecord, Completion, RowRecord
from partsong.contracts.epoch import Epoch
from partsong.journal.store import Published, Record, RunInfo

__all__ = ["JournalPort"]


class JournalPort(Protocol):
    """The store's operations, awaited; appends of many callers share one transaction. Every method may raise StoreError."""

    async def claim(self, name: str, if_number: int | None = None) -> Epoch:
        """See Store.claim."""
        ...

    async def holds(self, epoch: Epoch) -> bool:
        """See Store.holds."""
        ...

    async def append(self, records: Sequence[Record], under: Collection[Epoch] = (), traceparent: str = "") -> None:
        """Return when the records are durable. Raises FencedError when any of `under` is not the latest of its name.

        `traceparent` is the W3C trace context of whoever waits for a row's record: a journal in another process has a span under it.
        """
        ...

    async def calls(self, run: str, first_row: int, last_row: int) -> Sequence[CallRecord]:
        """See Store.calls."""
        ...

    async def done(self, run: str, first_row: int, last_row: int) -> frozenset[int]:
        """See Store.done."""
        ...

    async def finished(self, run: str, before_row: int) -> int:
        """See Store.finished."""
        ...

    async def row(self, run: str, row: int) -> RowRecord | None:
        """See Store.row."""
        ...

    async def rows(self, run: str, after_seq: int, limit: int) -> Sequence[tuple[int, RowRecord]]:
        """See Store.rows."""
        ...

    async def cached(self, ask_hashes: Sequence[bytes]) -> Mapping[bytes, Completion]:
        """See Store.cached."""
        ...

    async def spent(self, run: str | None, since_s: float) -> Mapping[str, float]:
        """See Store.spent."""
        ...

    async def run(self, run: str) -> RunInfo | None:
        """See Store.run."""
        ...

    async def begin(self, info: RunInfo, under: Collection[Epoch] = ()) -> None:
        """See Store.begin."""
        ...

    async def forget(self, run: str, under: Collection[Epoch] = ()) -> None:
        """Delete all of a run; see Store.forget."""
        ...

    async def published(self, run: str) -> Published:
        """See Store.published."""
        ...

    async def publish(self, run: str, published: Published, under: Collection[Epoch] = ()) -> None:
        """See Store.publish."""
        ...
