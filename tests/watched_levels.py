"""Watched levels: telemetry that keeps how deep every queue was at most, looked at every few milliseconds instead of every ten seconds."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from partsong.telemetry import Telemetry, TelemetrySpec
from partsong.telemetry.attributes import Attribute
from partsong.telemetry.levels import Level

__all__ = ["WatchedLevels"]

_EVERY_S = 0.002


class WatchedLevels(Telemetry):
    """Records nothing else."""

    def __init__(self) -> None:
        super().__init__(TelemetrySpec())
        self._reads: dict[str, list[Callable[[], float | None]]] = defaultdict(list)
        self.deepest: dict[str, float] = defaultdict(float)
        self.looks = 0

    def gauge(
        self, name: str, unit: str, description: str, read: Callable[[], float | None], attributes: Mapping[str, Attribute] | None = None
    ) -> None:
        self._reads[name].append(read)

    def most(self, level: Level) -> float:
        """Return how deep the deepest queue of the level was; a level that nobody tells is an error."""
        assert level.name in self._reads, f"nobody tells {level.name}"
        return self.deepest[level.name]

    @asynccontextmanager
    async def watching(self, also: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
        """Look until the end."""
        looking = asyncio.create_task(self._look(also))
        try:
            yield
        finally:
            assert not looking.done(), "the look-out has ended"
            looking.cancel()

    async def _look(self, also: Callable[[], None]) -> None:
        while True:
            for name, reads in self._reads.items():
                self.deepest[name] = max([self.deepest[name], *(depth for read in reads if (depth := read()) is not None)])
            also()
            self.looks += 1
            await asyncio.sleep(_EVERY_S)
