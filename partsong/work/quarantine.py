"""Quarantine: which of the calls in flight at a worker's death killed it. One that did is given up; its neighbours are not.

Whoever was in flight is a suspect. Suspects are asked again a few at a time; those that see a second death go on with nothing else in
flight, so that a third can only be the call's own doing.
"""

import asyncio

__all__ = ["DEATHS", "Quarantine"]

DEATHS = 3
"""Deaths after which a call is given up."""

_SUSPECTS_AT_ONCE = 8
"""A second death makes no more calls than these go one by one; of 64 suspects, eight rounds find the one."""


class Quarantine:
    """One model's, at one caller. Who has entered leaves, whatever becomes of its call."""

    def __init__(self) -> None:
        self._in_flight = 0
        self._empty = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._suspects = asyncio.Semaphore(_SUSPECTS_AT_ONCE)
        self._alone = asyncio.Lock()

    def try_enter(self, deaths: int) -> bool:
        """Enter if there is nothing to wait for: the call has seen no death, and nobody has to be alone."""
        if deaths or not self._open.is_set():
            return False
        self._in_flight += 1
        return True

    async def enter(self, deaths: int) -> None:
        """Return when a call that has seen so many deaths may go. Cancelled while waiting, it has not entered."""
        if deaths >= DEATHS - 1:
            await self._emptied()
        elif deaths:
            await self._suspects.acquire()
            try:
                await self._opened()
            except BaseException:
                self._suspects.release()
                raise
        else:
            await self._opened()
        self._in_flight += 1

    def leave(self, deaths: int) -> None:
        """The call that entered with so many deaths has ended."""
        self._in_flight -= 1
        if not self._in_flight:
            self._empty.set()
        if deaths >= DEATHS - 1:
            self._reopen()
        elif deaths:
            self._suspects.release()

    async def _opened(self) -> None:
        while not self._open.is_set():
            await self._open.wait()

    async def _emptied(self) -> None:
        """Let nobody in, and wait until all are out."""
        await self._alone.acquire()
        self._open.clear()
        try:
            while self._in_flight:
                self._empty.clear()
                await self._empty.wait()
        except BaseException:
            self._reopen()
            raise

    def _reopen(self) -> None:
        self._open.set()
        self._alone.release()
