"""Drains: workers that get no new calls. Each may be ended when no caller has any there, or when none can have any more."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from partsong_actors.news import Recruit

__all__ = ["Drain", "Drains"]


@dataclass(slots=True)
class Drain:
    """One worker that is drained."""

    model: str
    recruit: Recruit
    until_s: float
    """Nothing is in flight there after that."""
    unheard: set[str]
    """Callers that may have calls there."""
    ending: bool = field(default=False)


class Drains:
    """All of one system's."""

    def __init__(self) -> None:
        self._all: dict[str, Drain] = {}

    def __contains__(self, key: str) -> bool:
        """Whether the worker of this key is drained."""
        return key in self._all

    def begin(self, drain: Drain) -> None:
        """Wait for its callers from now on."""
        self._all[drain.recruit.key] = drain

    def joined(self, caller: str) -> Sequence[Drain]:
        """A caller is here: return what it is to be told to leave."""
        for drain in self._all.values():
            drain.unheard.add(caller)
        return list(self._all.values())

    def left(self, caller: str, key: str) -> None:
        """A caller has nothing there any more."""
        if key in self._all:
            self._all[key].unheard.discard(caller)

    def gone(self, caller: str) -> None:
        """A caller is gone, and nothing of it is in flight."""
        for drain in self._all.values():
            drain.unheard.discard(caller)

    def forget(self, key: str) -> None:
        """The worker has ended."""
        self._all.pop(key, None)

    def keep(self, keys: Collection[str]) -> None:
        """Forget all workers but these."""
        self._all = {key: drain for key, drain in self._all.items() if key in keys}

    def over(self, now_s: float) -> Iterable[Drain]:
        """Yield, once each, those that may be ended now."""
        for drain in self._all.values():
            if not drain.ending and (not drain.unheard or now_s >= drain.until_s):
                drain.ending = True
                yield drain
