"""Journal: many callers, one writer thread, one transaction for all that came while the last was being written."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import TypeVar

from partsong.contracts import CallRecord, Completion, RowRecord
from partsong.errors import StoreError, WireError
from partsong.journal.store import Published, Record, RunInfo, Store

__all__ = ["Journal"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Append:
    records: Sequence[Record]
    durable: asyncio.Future[None]


class Journal:
    """A journal in this process over a store that it owns and closes; lives on one event loop. Implements JournalPort."""

    def __init__(self, store: Store, *, max_pending: int = 4096) -> None:
        self._store = store
        self._max_pending = max_pending
        self._thread = ThreadPoolExecutor(1, "partsong-journal")
        self._pending: list[_Append] = []
        self._pending_records = 0
        self._room = asyncio.Event()
        self._room.set()
        self._writer: asyncio.Task[None] | None = None
        self._closed = False
        self._released = False

    async def __aenter__(self) -> "Journal":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    @property
    def pending_records(self) -> int:
        """Records that wait for the next transaction."""
        return self._pending_records

    async def append(self, records: Sequence[Record]) -> None:
        """Return when the records are durable; a caller cancelled meanwhile has its records written all the same."""
        self._check_open()
        try:
            await self._has_room()
        finally:  # also when cancelled here: what the records tell was paid for
            durable = self._enqueued(records)
        await durable

    async def aclose(self) -> None:
        """Write what is pending, close the store; may be called again."""
        self._closed = True
        while self._writer is not None:
            await asyncio.shield(self._writer)
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

    async def rows(self, run: str, after_seq: int, limit: int) -> Sequence[tuple[int, RowRecord]]:
        """See Store.rows."""
        return await self._in_turn(lambda: self._store.rows(run, after_seq, limit))

    async def cached(self, ask_hashes: Sequence[bytes]) -> Mapping[bytes, Completion]:
        """See Store.cached."""
        return await self._in_turn(lambda: self._store.cached(ask_hashes))

    async def run(self, run: str) -> RunInfo | None:
        """See Store.run."""
        return await self._in_turn(lambda: self._store.run(run))

    async def begin(self, info: RunInfo) -> None:
        """See Store.begin."""
        await self._in_turn(lambda: self._store.begin(info))

    async def forget(self, run: str) -> None:
        """See Store.forget."""
        await self._in_turn(lambda: self._store.forget(run))

    async def published(self, run: str) -> Published:
        """See Store.published."""
        return await self._in_turn(lambda: self._store.published(run))

    async def publish(self, run: str, published: Published) -> None:
        """See Store.publish."""
        await self._in_turn(lambda: self._store.publish(run, published))

    async def _in_turn(self, operation: Callable[[], T]) -> T:
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._thread, operation)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("journal-closed", "the journal is closed", remedy="open the store again")

    async def _has_room(self) -> None:
        while self._pending_records >= self._max_pending:
            self._room.clear()
            await self._room.wait()

    def _enqueued(self, records: Sequence[Record]) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        durable: asyncio.Future[None] = loop.create_future()
        self._pending.append(_Append(records, durable))
        self._pending_records += len(records)
        if self._writer is None:
            self._writer = loop.create_task(self._write_all())
        return durable

    async def _write_all(self) -> None:
        while self._pending:
            group, self._pending, self._pending_records = self._pending, [], 0
            self._room.set()
            writing = asyncio.get_running_loop().run_in_executor(self._thread, _written, self._store, group)
            [outcome] = await asyncio.gather(writing, return_exceptions=True)
            _settle(group, outcome)
        self._writer = None


def _written(store: Store, group: Sequence[_Append]) -> Sequence[Exception | None]:
    """Write the group in one transaction; return what became of each append."""
    try:
        store.append(chain.from_iterable(append.records for append in group))
    except StoreError as error:
        return [error] * len(group)
    except WireError:  # somebody's record cannot be packed: the others' must not fail with it
        return [_written_alone(store, append) for append in group]
    return [None] * len(group)


def _written_alone(store: Store, append: _Append) -> Exception | None:
    try:
        store.append(append.records)
    except (StoreError, WireError) as error:
        return error
    return None


def _settle(group: Sequence[_Append], outcome: Sequence[Exception | None] | BaseException) -> None:
    outcomes = [outcome] * len(group) if isinstance(outcome, BaseException) else outcome
    for append, error in zip(group, outcomes, strict=True):
        if append.durable.done():  # its caller was cancelled
            continue
        if error is None:
            append.durable.set_result(None)
        else:
            append.durable.set_exception(error)
