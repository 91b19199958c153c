"""Listeners: whoever follows what a system tells, each by itself; one that has gone away costs nothing for long."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from partsong.contracts import Notice

__all__ = ["Listeners"]

_MOST_UNHEARD = 1000
"""Notices that a listener may be behind; one that is further behind has gone away."""
_GONE_AFTER_S = 60.0
"""A listener asks again every few seconds; one that has not for so long has gone away."""


@dataclass(slots=True)
class _Listener:
    seen_s: float
    unheard: asyncio.Queue[Notice] = field(default_factory=lambda: asyncio.Queue(_MOST_UNHEARD))


class Listeners:
    """Those of one system."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._all: dict[str, _Listener] = {}

    def __len__(self) -> int:
        """How many something is kept for."""
        return len(self._all)

    async def heard(self, name: str, within_s: float) -> Sequence[Notice]:
        """Return what this listener should be told, as soon as there is anything, else nothing after so long."""
        now_s = self._now_s()
        self._all = {known: one for known, one in self._all.items() if now_s - one.seen_s < _GONE_AFTER_S}
        listener = self._all.setdefault(name, _Listener(now_s))
        try:
            async with asyncio.timeout(within_s):
                first = await listener.unheard.get()
        except TimeoutError:
            return []
        finally:
            listener.seen_s = self._now_s()
        return [first, *(listener.unheard.get_nowait() for _ in range(listener.unheard.qsize()))]

    def tell(self, notice: Notice) -> None:
        """Tell all of them."""
        for name, listener in list(self._all.items()):
            if listener.unheard.full():
                del self._all[name]
            else:
                listener.unheard.put_nowait(notice)
