"""Virtual time: an event loop whose clock jumps to the next timer, and processes that are nothing but the processor time they take."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Station", "VirtualLoop", "run"]

T = TypeVar("T")


class _Jumps(selectors.SelectSelector):
    """Waits for nothing: moves the clock on by what would have been waited."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is left to happen: everybody waits for somebody")
        self.loop.passed(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that sleeps in no time at all. Whatever it runs must know no other clock, and wait for no thread or socket."""

    def __init__(self) -> None:
        jumps = _Jumps()
        jumps.loop = self
        self._at_s = 0.0
        super().__init__(jumps)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._at_s

    def passed(self, seconds: float) -> None:
        """So much time has passed."""
        self._at_s += max(0.0, seconds)


class Station:
    """A process with one thread: work is done in the order in which it comes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._free_s = 0.0
        self.busy_s = 0.0
        """Processor seconds it has used."""

    async def work(self, cost_s: float) -> None:
        """Return when the process has done work of so many seconds."""
        now_s = self._loop.time()
        self._free_s = max(self._free_s, now_s) + cost_s
        self.busy_s += cost_s
        await asyncio.sleep(self._free_s - now_s)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
