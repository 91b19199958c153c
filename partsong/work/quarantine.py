"""Quarantine: which of the calls in flight at a worker's death killed it. One that did is given up; its neighbours are not.

Whoever was in flight is a suspect. Suspects are asked again one at a time, the second time with nothing else in flight, so that a third
death can only be the call's own doing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["DEATHS", "Quarantine"]

DEATHS = 3
"""Deaths after which a call is given up."""


class Quarantine:
    """One model's, at one caller."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._alone = False
        self._ordinary = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def entered(self, deaths: int) -> AsyncIterator[None]:
        """Enter with a call that has seen so many deaths; held by it while it is in flight."""
        if deaths == 0:
            async with self._ordinarily():
                yield
            return
        async with self._turn:
            if deaths == 1:
                yield
                return
            self._alone = True
            try:
                async with self._changed:
                    await self._changed.wait_for(lambda: not self._ordinary)
                yield
            finally:
                self._alone = False
                await self._tell()

    @asynccontextmanager
    async def _ordinarily(self) -> AsyncIterator[None]:
        if self._alone:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._alone)
        self._ordinary += 1
        try:
            yield
        finally:
            self._ordinary -= 1
            if self._alone and not self._ordinary:
                await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
