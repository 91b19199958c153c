"""Hedged: one attempt, and a second request beside it when the first takes long. The first to answer is taken, the other cancelled."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from partsong.contracts import Completion, Failure
from partsong.pool.hedge import Hedge

__all__ = ["Hedged"]

_Request = Coroutine[Any, Any, Completion | Failure]


class Hedged:
    """One attempt of a model's that may be hedged."""

    def __init__(self, hedge: Hedge, now_s: Callable[[], float]) -> None:
        self._hedge = hedge
        self._now_s = now_s
        self.left_s: float | None = None
        """When the first request went to a worker."""

    def leave(self, now_s: float) -> None:
        """A request goes to a worker."""
        self.left_s = now_s if self.left_s is None else self.left_s

    async def reply(self, first: _Request, beside: Callable[[], _Request]) -> Completion | Failure:
        """Return the first answer; without one, the failure of the first request: its hedge's may only say that there was none."""
        asked = asyncio.ensure_future(first)
        flying = {asked}
        try:
            if await self._overdue(asked) and self._hedge.spend():
                flying.add(asyncio.ensure_future(beside()))
            reply = await _first_answer(asked, flying)
            if isinstance(reply, Completion) and self.left_s is not None:
                # one that was overtaken has taken so long at least: left out, the percentile would be of what it has cut itself, and shrink
                self._hedge.observe(reply.timing.total_s if asked.done() else self._now_s() - self.left_s)
            return reply
        finally:
            await _cancelled(flying)

    async def _overdue(self, first: "asyncio.Task[Completion | Failure]") -> bool:
        """Return whether the first request is out for long without an answer; what it waits before it is sent does not count."""
        delay_s = self._hedge.delay_s()
        if delay_s is None:
            await asyncio.wait((first,))
            return False
        wait_s = delay_s
        while wait_s > 0.0:
            await asyncio.wait((first,), timeout=wait_s)
            if first.done():
                return False
            wait_s = delay_s if self.left_s is None else self.left_s + delay_s - self._now_s()
        return True


async def _first_answer(
    first: "asyncio.Task[Completion | Failure]", flying: "set[asyncio.Task[Completion | Failure]]"
) -> Completion | Failure:
    left = flying
    while left:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if isinstance(reply := task.result(), Completion):
                return reply
    return first.result()


async def _cancelled(flying: "set[asyncio.Task[Completion | Failure]]") -> None:
    for task in flying:
        task.cancel()
    await asyncio.gather(*flying, return_exceptions=True)
