"""Membership: a party's standing with the pools; when its line to them breaks it joins anew and tells all it knows.

Each joining is a *life* with a name of its own. What is sent under a life that is over counts for nothing at either end, so nothing has
to be repeated, put in order or taken back: whoever joins says what is so (permits held, workers there), the pools forget what they knew.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from ray.exceptions import RayError

from partsong_actors.again import comes_back

__all__ = ["Membership", "PoolLine", "StalePoolsError"]

_PAUSE_S = 0.2
"""Between two attempts to join."""

News = TypeVar("News")
N = TypeVar("N", covariant=True)


class StalePoolsError(Exception):
    """Pools were joined that have successors already, and do not know it yet."""


class PoolLine(Protocol[N]):
    """How a party reaches the pools."""

    def join(self, life: str) -> Awaitable[None]:
        """Join under this life, with what is so at the moment of the call. Raises StalePoolsError when others must be joined."""
        ...

    def news(self, life: str) -> Awaitable[Sequence[N] | None]:
        """Return what the party should know, as soon as there is any; None when the life is over."""
        ...


class Membership(Generic[News]):
    """One party's."""

    def __init__(self, line: PoolLine[News], hear: Callable[[News], None]) -> None:
        self._line = line
        self._hear = hear
        self._joined = asyncio.Event()
        self._listening: asyncio.Future[Sequence[News] | None] | None = None
        self.life = ""
        """The present life; what happens now is known to the pools by its joining, or must be told under it."""

    async def keep(self) -> None:
        """Join, hear news, join anew when the line breaks; runs until cancelled. Raises RayError when the pools will not be back."""
        while True:
            self.life = uuid.uuid4().hex
            self._joined.clear()
            try:
                await self._line.join(self.life)
                self._joined.set()
                while (news := await self._next()) is not None:
                    for one in news:
                        self._hear(one)
            except StalePoolsError:
                pass
            except RayError as error:
                if not comes_back(error):
                    raise
            await asyncio.sleep(_PAUSE_S)

    async def tell(self, life: str, send: Callable[[], Awaitable[None]]) -> None:
        """Send what happened under this life, once it has joined; if it is over, a later joining has told it."""
        while not self._joined.is_set():
            await self._joined.wait()
        if life != self.life:
            return
        try:
            await send()
        except RayError:
            if life == self.life and self._listening is not None:
                self._listening.cancel()  # not known whether it arrived: begin a new life

    async def _next(self) -> Sequence[News] | None:
        """Return the next news; None when this life is over."""
        self._listening = asyncio.ensure_future(self._line.news(self.life))
        try:
            await asyncio.wait([self._listening])
            return None if self._listening.cancelled() else self._listening.result()
        finally:
            self._listening.cancel()
