"""Journal: many callers, one writer thread, one transaction for all that came while the last was being written."""

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import TypeVar

from partsong.contracts import CallRecord, Completion, RowRecord
from partsong.contracts.epoch import Epoch
from partsong.errors import FencedError, StoreError, WireError
from partsong.journal.away import FIRST_PAUSE_S, LONGEST_PAUSE_S, is_away
from partsong.journal.batches import Batches
from partsong.journal.store import Published, Record, RunInfo, Store

__all__ = ["Journal"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Append:
    records: Sequence[Record]
    under: frozenset[Epoch]


class Journal:
    """A journal in this process over a store that it owns and closes; lives on one event loop. Implements JournalPort."""

    def __init__(self, store: Store, *, max_pending: int = 4096, away: Callable[[StoreError], object] | None = None) -> None:
        """`away` hears, in the journal's thread, each time that the store was not there: all then wait for it; None: they are told."""
        self._store = store
        self._away = away
        self._closing = threading.Event()
        self._thread = ThreadPoolExecutor(1, "partsong-journal")
        self._appends: Batches[_Append, None] = Batches(self._thread, self._written, max_waiting=max_pending)
        self._lookups: Batches[Sequence[bytes], Mapping[bytes, Completion]] = Batches(
            self._thread, self._looked_up, max_waiting=max_pending
        )
        self._closed = False
        self._released = False
        self._durable = 0

    async def __aenter__(self) -> "Journal":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    @property
    def pending_records(self) -> int:
        """Records that wait for the next transaction."""
        return self._appends.waiting

    @property
    def pending_lookups(self) -> int:
        """Look-ups that wait for the next query."""
        return self._lookups.waiting

    @property
    def oldest_s(self) -> float:
        """For how long the oldest append has not been durable; 0 when there is none."""
        return self._appends.oldest_s

    @property
    def transactions(self) -> int:
        """Transactions so far."""
        return self._appends.worked

    @property
    def durable_records(self) -> int:
        """Records made durable so far."""
        return self._durable

    async def claim(self, name: str, if_number: int | None = None) -> Epoch:
        """See Store.claim."""
        return await self._in_turn(lambda: self._store.claim(name, if_number))

    async def holds(self, epoch: Epoch) -> bool:
        """See Store.holds."""
        return await self._in_turn(lambda: self._store.holds(epoch))

    async def append(self, records: Sequence[Record], under: Collection[Epoch] = (), traceparent: str = "") -> None:
        """Return when the records are durable; a caller cancelled meanwhile has its records written all the same: they were paid for."""
        self._check_open()
        await self._appends.outcome(_Append(records, frozenset(under)), len(records))
        self._durable += len(records)

    async def aclose(self) -> None:
        """Write what is pending, close the store; may be called again. A store that is away is not waited for any more."""
        self._closed = True
        self._closing.set()
        await self._appends.finished()
        await self._lookups.finished()
        if self._released:
            return
        self._released = True
        closing = self._thread.submit(self._store.close)
        self._thread.shutdown(wait=False)
        await asyncio.wrap_future(closing)

    async def calls(self, run: str, first_row: int, last_row: int) -> Sequence[CallRecord]:
        """See Store.calls."""
        return await self._in_turn(lambda: self._store.calls(run, first_row, last_row))

    async def done(self, run: str, first_row: int, last_row: int) -> frozenset[int]:
        """See Store.done."""
        return await self._in_turn(lambda: self._store.done(run, first_row, last_row))

    async def finished(self, run: str, before_row: int) -> int:
        """See Store.finished."""
        return await self._in_turn(lambda: self._store.finished(run, before_row))

    async def row(self, run: str, row: int) -> RowRecord | None:
        """See Store.row."""
        return await self._in_turn(lambda: self._store.row(run, row))

    async def rows(self, run: str, after_seq: int, limit: int) -> Sequence[tuple[int, RowRecord]]:
        """See Store.rows."""
        return await self._in_turn(lambda: self._store.rows(run, after_seq, limit))

    async def cached(self, ask_hashes: Sequence[bytes]) -> Mapping[bytes, Completion]:
        """See Store.cached."""
        self._check_open()
        return await self._lookups.outcome(ask_hashes, len(ask_hashes))

    async def spent(self, run: str | None, since_s: float) -> Mapping[str, float]:
        """See Store.spent."""
        return await self._in_turn(lambda: self._store.spent(run, since_s))

    async def run(self, run: str) -> RunInfo | None:
        """See Store.run."""
        return await self._in_turn(lambda: self._store.run(run))

    async def begin(self, info: RunInfo, under: Collection[Epoch] = ()) -> None:
        """See Store.begin."""
        await self._in_turn(lambda: self._store.begin(info, under))

    async def forget(self, run: str, under: Collection[Epoch] = ()) -> None:
        """Delete all of a run; what others write has its turn after each part."""
        while await self._in_turn(lambda: self._store.forget(run, under)):
            pass

    async def published(self, run: str) -> Published:
        """See Store.published."""
        return await self._in_turn(lambda: self._store.published(run))

    async def publish(self, run: str, published: Published, under: Collection[Epoch] = ()) -> None:
        """See Store.publish."""
        await self._in_turn(lambda: self._store.publish(run, published, under))

    async def _in_turn(self, operation: Callable[[], T]) -> T:
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._patiently, operation)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("journal-closed", "the journal is closed", remedy="open the store again")

    def _patiently(self, operation: Callable[[], T]) -> T:
        """Carry it out in the journal's thread, again and again while the store is away: every operation may be repeated."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return operation()
            except StoreError as error:
                if self._away is None or not is_away(error):
                    raise
                self._away(error)
                if self._closing.wait(pause_s):
                    raise
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

    def _written(self, appends: Sequence[_Append]) -> Sequence[Exception | None]:
        """Write all the appends in one transaction; return what became of each."""
        under = frozenset[Epoch]().union(*(append.under for append in appends))
        try:
            self._patiently(lambda: self._store.append(chain.from_iterable(append.records for append in appends), under))
        except StoreError as error:
            return [error] * len(appends)
        except (WireError, FencedError):  # somebody's record cannot be packed, or its epoch is over: the others' must not fail with it
            return [self._written_alone(append) for append in appends]
        return [None] * len(appends)

    def _written_alone(self, append: _Append) -> Exception | None:
        try:
            self._patiently(lambda: self._store.append(append.records, append.under))
        except (StoreError, WireError, FencedError) as error:
            return error
        return None

    def _looked_up(self, lookups: Sequence[Sequence[bytes]]) -> Sequence[Mapping[bytes, Completion]]:
        """Look all of them up in one query; return what was found of each."""
        wanted = list({ask_hash for lookup in lookups for ask_hash in lookup})
        found = self._patiently(lambda: self._store.cached(wanted))
        return [{ask_hash: found[ask_hash] for ask_hash in lookup if ask_hash in found} for lookup in lookups]
