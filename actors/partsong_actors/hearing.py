"""Hearing: whether an actor gives any sign of life, judged by how long calls to it are out.

Time is counted in ticks of this process's own: when it stood still itself, for however long, that was one tick, and the actor is not deaf.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["DEAF_AFTER_S", "Hearing"]

DEAF_AFTER_S = 6.0
"""How long an actor may give no sign of life: room for a busy machine, and for Python code that holds its process up."""

_TICKS = 6

T = TypeVar("T")


class Hearing:
    """One actor's, as one caller sees it; every call to it must come back sooner than `deaf_after_s` if it is alive."""

    def __init__(self, turned: Callable[[], None], still_deaf: Callable[[], None], deaf_after_s: float = DEAF_AFTER_S) -> None:
        """`turned` is called when the actor has become deaf or hears again, `still_deaf` again and again while it is."""
        self._turned = turned
        self._still_deaf = still_deaf
        self._tick_s = deaf_after_s / _TICKS
        self._out = 0
        self._silent_ticks = 0
        self._ticking = False
        self.deaf = False
        """Whether it gives no sign of life."""

    async def of(self, call: Awaitable[T]) -> T:
        """Return what the call returns; that it comes back, however, is a sign of life."""
        self._out += 1
        if not self._ticking:
            self._ticking = True
            self._silent_ticks = 0
            asyncio.get_running_loop().call_later(self._tick_s, self._tick)
        try:
            return await call
        finally:
            self._out -= 1
            self._silent_ticks = 0
            if self.deaf:
                self.deaf = False
                self._turned()

    def _tick(self) -> None:
        self._ticking = self._out > 0
        if not self._ticking:
            return
        asyncio.get_running_loop().call_later(self._tick_s, self._tick)
        self._silent_ticks += 1
        if self._silent_ticks < _TICKS:
            return
        if not self.deaf:
            self.deaf = True
            self._turned()
        self._still_deaf()
