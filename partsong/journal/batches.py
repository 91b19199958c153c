"""Batches: many callers, one batch at work in a thread; what comes meanwhile is the next batch. No timers."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Batches"]

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item, Outcome]):
    item: Item
    outcome: asyncio.Future[Outcome]


class Batches(Generic[Item, Outcome]):
    """Works items off in batches; `work` returns one outcome (or exception) an item, in their order. Lives on one event loop."""

    def __init__(self, thread: Executor, work: Callable[[Sequence[Item]], Sequence[Outcome | Exception]], *, max_waiting: int) -> None:
        self._thread = thread
        self._work = work
        self._max_waiting = max_waiting
        self._batch: list[_Waiting[Item, Outcome]] = []
        self._room = asyncio.Event()
        self._room.set()
        self._worker: asyncio.Task[None] | None = None
        self.waiting = 0
        """Size of the next batch, as its callers count it."""
        self.worked = 0
        """Batches worked off so far."""
        self._began_s: float | None = None
        self._at_work_since_s: float | None = None

    @property
    def oldest_s(self) -> float:
        """For how long the oldest item has been here; 0 when there is none."""
        oldest_s = self._at_work_since_s or self._began_s
        return 0.0 if oldest_s is None else max(0.0, time.monotonic() - oldest_s)

    async def outcome(self, item: Item, size: int = 1) -> Outcome:
        """Return the item's outcome, waiting first while the next batch is full; a cancelled caller's item is worked off all the same."""
        try:
            while self.waiting >= self._max_waiting:
                self._room.clear()
                await self._room.wait()
        finally:
            outcome = self._joined(item, size)
        return await outcome

    async def finished(self) -> None:
        """Return when nothing waits and nothing is at work."""
        while self._worker is not None:
            await asyncio.shield(self._worker)

    def _joined(self, item: Item, size: int) -> asyncio.Future[Outcome]:
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Outcome] = loop.create_future()
        self._began_s = self._began_s or time.monotonic()
        self._batch.append(_Waiting(item, outcome))
        self.waiting += size
        if self._worker is None:
            self._worker = loop.create_task(self._work_off())
        return outcome

    async def _work_off(self) -> None:
        while self._batch:
            batch, self._batch, self.waiting = self._batch, [], 0
            self._at_work_since_s, self._began_s = self._began_s, None
            self._room.set()
            working = asyncio.get_running_loop().run_in_executor(self._thread, self._work, [waiting.item for waiting in batch])
            [outcomes] = await asyncio.gather(working, return_exceptions=True)
            self.worked += 1
            self._at_work_since_s = None
            _settle(batch, [outcomes] * len(batch) if isinstance(outcomes, BaseException) else outcomes)
        self._worker = None


def _settle(batch: Sequence[_Waiting[Item, Outcome]], outcomes: Sequence[Outcome | BaseException]) -> None:
    for waiting, outcome in zip(batch, outcomes, strict=True):
        if waiting.outcome.done():  # its caller was cancelled
            continue
        if isinstance(outcome, BaseException):
            waiting.outcome.set_exception(outcome)
        else:
            waiting.outcome.set_result(outcome)
