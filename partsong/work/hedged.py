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
        self._left_s: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._flying: list[asyncio.Task[Completion | Failure]] = []
        self.lost_usd = 0.0
        """What answers have cost that came beside the one that was taken."""

    def leave(self, now_s: float) -> None:
        """A request goes to a worker; the first that does begins the wait for an answer."""
        if not self._left_s.done():
            self._left_s.set_result(now_s)

    async def reply(self, first: _Request, beside: Callable[[], _Request]) -> Completion | Failure:
        """Return the first answer; without one, the failure of the first request: its hedge's may only say that there was none.

        `beside` makes the hedge, and spends it from the budget once it can be made.
        """
        taken = None
        try:
            asked = self._fly(first)
            if await self._overdue(asked) and self._hedge.affords:
                self._fly(beside())
            taken = await self._first_answer() or asked
            self._observe(taken, asked)
            return taken.result()
        finally:
            await self._land(taken)

    def _fly(self, request: _Request) -> "asyncio.Task[Completion | Failure]":
        task = asyncio.ensure_future(request)
        self._flying.append(task)
        return task

    async def _overdue(self, first: "asyncio.Task[Completion | Failure]") -> bool:
        """Return whether the first request is out for long without an answer; what it waits before it is sent does not count."""
        delay_s = self._hedge.delay_s()
        if delay_s is None:
            await asyncio.wait((first,))
            return False
        await asyncio.wait((first, self._left_s), return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            await asyncio.wait((first,), timeout=self._left_s.result() + delay_s - self._now_s())
        return not first.done()

    async def _first_answer(self) -> "asyncio.Task[Completion | Failure] | None":
        out = set(self._flying)
        while out:
            _, out = await asyncio.wait(out, return_when=asyncio.FIRST_COMPLETED)
            for task in self._flying:
                if task.done() and isinstance(task.result(), Completion):
                    return task
        return None

    def _observe(self, taken: "asyncio.Task[Completion | Failure]", asked: "asyncio.Task[Completion | Failure]") -> None:
        reply = taken.result()
        if isinstance(reply, Completion) and self._left_s.done():
            # one that was overtaken has taken so long at least: left out, the percentile would be of what it has cut itself, and shrink
            self._hedge.observe(reply.timing.total_s if asked.done() else self._now_s() - self._left_s.result())

    async def _land(self, taken: "asyncio.Task[Completion | Failure] | None") -> None:
        """Cancel what is still out; an answer that nobody takes is paid for all the same."""
        for task in self._flying:
            task.cancel()
        replies = await asyncio.gather(*self._flying, return_exceptions=True)
        for task, reply in zip(self._flying, replies, strict=True):
            if task is not taken and isinstance(reply, Completion):
                self.lost_usd += reply.cost_usd
