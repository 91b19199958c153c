"""Permits: how many calls of one model may be in flight, leased to callers; exact whatever their number.

A small machine: events in, instructions out, no clock and no waiting of its own. A permit is in one of two places, free here or leased to a
caller, so that the sum over callers can never pass the capacity. A lone caller keeps what it does not use, which spares a message a call;
with others about, idle permits come back at once, and who holds more than a fair share while another waits is asked to give some back.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Grant", "Instruction", "KeepIdle", "Permits", "Recall"]


@dataclass(frozen=True, slots=True)
class Grant:
    """Lease `count` more permits to the caller."""

    caller: str
    count: int


@dataclass(frozen=True, slots=True)
class Recall:
    """Ask the caller to give back `count` permits as their calls end."""

    caller: str
    count: int


@dataclass(frozen=True, slots=True)
class KeepIdle:
    """Tell the caller whether it may keep permits that it does not use."""

    caller: str
    keep: bool


Instruction = Grant | Recall | KeepIdle


class Permits:
    """The permits of one model."""

    def __init__(self, capacity: int = 0) -> None:
        self._capacity = capacity
        self._held: dict[str, int] = {}
        self._recalled: dict[str, int] = {}
        self._wanted: OrderedDict[str, int] = OrderedDict()  # of equals, first come, first served

    @property
    def capacity(self) -> int:
        """Calls that may be in flight at once."""
        return self._capacity

    @property
    def leased(self) -> int:
        """Permits that callers hold."""
        return sum(self._held.values())

    @property
    def waiting(self) -> int:
        """Permits asked for and not granted."""
        return sum(self._wanted.values())

    def join(self, caller: str, held: int = 0, wanted: int = 0) -> Sequence[Instruction]:
        """A caller is here with what it holds and wants; whatever was known of it before is forgotten.

        What it holds counts whether or not it was leased here: after a death, callers know better. Above the capacity nothing is granted.
        """
        self._forget(caller)
        self._held[caller] = held
        if wanted:
            self._wanted[caller] = wanted
        return [*self._settle(), *self._keeping()]

    def leave(self, caller: str) -> Sequence[Instruction]:
        """A caller is gone, and will not be back under this name; what it held is free."""
        self._forget(caller)
        return [*self._settle(), *self._keeping()]

    def want(self, caller: str, count: int) -> Sequence[Instruction]:
        """A caller wants `count` more, besides what it asked for before."""
        if count:
            self._wanted[caller] = self._wanted.get(caller, 0) + count
        return self._settle()

    def give_back(self, caller: str, count: int) -> Sequence[Instruction]:
        """A caller gives back permits."""
        held = self._held.get(caller, 0)
        assert count <= held, f"{caller} gives back {count} permits and holds {held}"
        self._held[caller] = held - count
        self._recalled[caller] = max(0, self._recalled.get(caller, 0) - count)
        return self._settle()

    def resize(self, capacity: int) -> Sequence[Instruction]:
        """Workers came or went. Below what is leased, nothing is granted until enough has come back, which callers are asked for."""
        if capacity == self._capacity:
            return []
        self._capacity = capacity
        return self._settle()

    def _forget(self, caller: str) -> None:
        for known in (self._wanted, self._held, self._recalled):
            known.pop(caller, None)

    def _keeping(self) -> list[Instruction]:
        return [KeepIdle(caller, len(self._held) == 1) for caller in self._held]

    def _settle(self) -> list[Instruction]:
        return [*self._grants(), *self._excess(), *self._recalls()]

    def _grants(self) -> list[Instruction]:
        """Lease what is free, one by one, to who holds the fewest: a caller of a thousand calls does not keep one of ten waiting."""
        granted: dict[str, int] = {}
        for _ in range(self._capacity - self.leased):
            if not self._wanted:
                break
            caller = min(self._wanted, key=lambda name: self._held.get(name, 0))  # of equals, who came first
            self._held[caller] = self._held.get(caller, 0) + 1
            self._wanted[caller] -= 1
            if not self._wanted[caller]:
                del self._wanted[caller]
            granted[caller] = granted.get(caller, 0) + 1
        return [Grant(caller, count) for caller, count in granted.items()]

    def _excess(self) -> list[Instruction]:
        """Ask for what is leased beyond the capacity, from who holds most: whoever keeps idle permits gives them back at once."""
        excess = self.leased - sum(self._recalled.values()) - self._capacity
        recalls: dict[str, int] = {}
        for _ in range(excess):
            caller = max(self._held, key=lambda name: self._held[name] - self._recalled.get(name, 0))
            self._recalled[caller] = self._recalled.get(caller, 0) + 1
            recalls[caller] = recalls.get(caller, 0) + 1
        return [Recall(caller, count) for caller, count in recalls.items()]

    def _recalls(self) -> list[Instruction]:
        """Ask callers above a fair share for what the waiting ones lack of theirs."""
        sharing = {caller for caller, held in self._held.items() if held} | set(self._wanted)
        if not self._wanted or len(sharing) < 2:
            return []
        fair = self._capacity // len(sharing)  # 0 when there are more callers than permits: then one waits for another's call to end
        short = sum(max(0, min(wanted, max(1, fair) - self._held.get(caller, 0))) for caller, wanted in self._wanted.items())
        short -= sum(self._recalled.values())
        recalls: list[Instruction] = []
        for caller, held in self._held.items():
            count = min(short, held - fair - self._recalled.get(caller, 0))
            if count > 0:
                self._recalled[caller] = self._recalled.get(caller, 0) + count
                short -= count
                recalls.append(Recall(caller, count))
        return recalls
