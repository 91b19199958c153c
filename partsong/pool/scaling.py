"""Scaling: how many workers a model's calls need, by how long they wait for one.

Calls that wait for longer than the target ask for more workers, as many at once as would take all that wait, up to the pace; what waits for
a rate, a budget or an overloaded provider does not count, since no worker would help it. A worker is let go when the others were enough for
the whole idle time. So it grows in seconds and shrinks in minutes, and does not flap. A machine: reports and the time in, a number out.
"""

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from partsong.contracts import Scale, WorkerRange
from partsong.pool.waits import Waited, percentile_s

__all__ = ["Scaling", "Staffed"]

_WINDOW_S = 30.0
"""Over how long waits are looked at."""
_SLICES = 15
_REPORTED_S = 5.0
"""How long a report counts: a caller that is at work reports every second, one that died does not."""
_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Staffed:
    """A pool's workers at a moment, and what each of them takes."""

    ready: int
    starting: int
    concurrency: int
    """Calls that a worker makes at once."""
    permits: int
    """Calls that may be on their way to it and at it."""


class Scaling:
    """One model's."""

    def __init__(self, workers: WorkerRange, scale: Scale) -> None:
        self._range = workers
        self._scale = scale
        self._reports: dict[str, tuple[float, Waited]] = {}
        self._slices: deque[tuple[float, Counter[int]]] = deque()
        self._needs: deque[tuple[float, int]] = deque()  # of the idle time, each above all later ones
        self._watched_s: float | None = None
        self.p95_s = 0.0
        """How long 95 of 100 calls waited at most of late, or the one that waits now if that is longer; as of the last `wanted`."""

    def change(self, workers: WorkerRange, scale: Scale) -> None:
        """Hold to other numbers from now on."""
        self._range, self._scale = workers, scale

    def heard(self, caller: str, told: Waited, now_s: float) -> None:
        """A caller reports."""
        self._reports[caller] = (now_s, told)
        if told.waits:
            if not self._slices or now_s - self._slices[-1][0] >= _WINDOW_S / _SLICES:
                self._slices.append((now_s, Counter()))
            self._slices[-1][1].update(told.waits)

    def grown(self) -> None:
        """A worker was added: how long calls waited without it proves nothing any more."""
        self._slices.clear()

    def wanted(self, wanted: int, staffed: Staffed, now_s: float) -> int:
        """Return how many workers there should be, where `wanted` were until now; asked every second or so."""
        reports = self._current(now_s)
        waiting = sum(told.waiting for told in reports)
        self.p95_s = max([self._percentile_s(now_s), *(told.oldest_s for told in reports)])
        self._note(math.ceil((sum(told.busy for told in reports) + waiting) / staffed.concurrency), now_s)
        least, most = self._range.min, self._range.max
        if waiting and self.p95_s > self._scale.queue:
            short = math.ceil(waiting / staffed.permits) - staffed.starting
            wanted += max(0, min(short, self._scale.pace - staffed.starting))
        elif self._scale.idle is not None and not staffed.starting and self._watched_for_s(now_s) >= self._scale.idle:
            wanted = min(wanted, max(self._most_needed(now_s), staffed.ready - 1))
        return max(least, min(most, wanted))

    def _percentile_s(self, now_s: float) -> float:
        while self._slices and self._slices[0][0] <= now_s - _WINDOW_S:
            self._slices.popleft()
        together: Counter[int] = Counter()
        for _, waits in self._slices:
            together.update(waits)
        return percentile_s(together, _SHARE)

    def _current(self, now_s: float) -> Sequence[Waited]:
        self._reports = {caller: report for caller, report in self._reports.items() if now_s - report[0] < _REPORTED_S}
        return [told for _, told in self._reports.values()]

    def _note(self, need: int, now_s: float) -> None:
        self._watched_s = now_s if self._watched_s is None else self._watched_s
        while self._needs and self._needs[-1][1] <= need:
            self._needs.pop()
        self._needs.append((now_s, need))
        idle_s = self._scale.idle or 0.0
        while len(self._needs) > 1 and self._needs[0][0] <= now_s - idle_s:
            self._needs.popleft()

    def _watched_for_s(self, now_s: float) -> float:
        return 0.0 if self._watched_s is None else now_s - self._watched_s

    def _most_needed(self, now_s: float) -> int:
        return self._needs[0][1]
