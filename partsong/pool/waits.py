"""Waits: how long calls waited for a worker, in few numbers: counted by powers, so that what several callers saw adds up exactly."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["NO_WAIT", "Waited", "bucket", "percentile_s"]

_LEAST_S = 0.001
_STEP = 1.25
"""Each bucket ends so much later than the one before: a percentile is at most a quarter too high."""
NO_WAIT = 0
"""The bucket of calls that found a permit there."""


@dataclass(frozen=True, slots=True)
class Waited:
    """What a caller tells of one model's calls since it last told."""

    busy: int = 0
    """The most permits that were in use at once."""
    waiting: int = 0
    """Calls that wait for a permit, and for nothing else: a rate, a budget, a provider that is overloaded."""
    oldest_s: float = 0.0
    """How long the first of them has waited."""
    waits: Mapping[int, int] = field(default_factory=dict)
    """Calls that got their permit, by the bucket of how long that took."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.busy or self.waiting or self.waits)


def bucket(wait_s: float) -> int:
    """Return the bucket of a wait."""
    return NO_WAIT if wait_s <= _LEAST_S else 1 + int(math.log(wait_s / _LEAST_S, _STEP))


def percentile_s(waits: Mapping[int, int], share: float) -> float:
    """Return the wait that this share of the calls did not exceed, rounded up to its bucket's end; 0 of none."""
    left = share * sum(waits.values())
    for number in sorted(waits):
        left -= waits[number]
        if left <= 0.0:
            return 0.0 if number == NO_WAIT else _LEAST_S * _STEP**number
    return 0.0
