"""Coalescing: send at once when nothing is on its way; while a send is, collect what comes, and send that as one."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

__all__ = ["Coalescer"]

T = TypeVar("T")
R = TypeVar("R")


class Coalescer(Generic[T, R]):
    """Turns single items into batches without a timer: under load batches grow by themselves, an idle line waits for nothing."""

    def __init__(self, send: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]], *, at_once: int = 1, most: int = 1024) -> None:
        """`send` takes a batch and returns for each item a result or what to raise; `at_once` sends may be under way, of `most` items."""
        self._send = send
        self._free = at_once
        self._most = most
        self._queue: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._sends: set[asyncio.Task[None]] = set()

    @property
    def queued(self) -> int:
        """Items that wait for a send to come back."""
        return len(self._queue)

    async def __call__(self, item: T) -> R:
        """Return the item's result; cancelled, the item may be sent all the same."""
        return await self.put(item)

    def put(self, item: T) -> asyncio.Future[R]:
        """Queue the item, in order, and return the future of its result."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        if self._free:
            self._free -= 1
            task = asyncio.create_task(self._drain())
            self._sends.add(task)
            task.add_done_callback(self._sends.discard)
        return future

    async def _drain(self) -> None:
        try:
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(self._most, len(self._queue)))]
                await self._deliver(batch)
        finally:
            self._free += 1

    async def _deliver(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results: Sequence[R | BaseException] = await self._send([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  handed on to each of the senders, who know what to answer
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
