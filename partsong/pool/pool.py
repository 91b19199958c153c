"""Pool: one model's workers and permits; decides grants, recalls, which workers are started, and which are drained.

Events in, instructions out, like `Permits` and `Scaling`, which it holds: each worker that takes calls adds its permits to the capacity. It
wants a number of workers and orders what lacks; what is too many, or was built from an older entry of the mesh file, it drains one by one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from partsong.contracts import Scale, WorkerRange
from partsong.pool.permits import Instruction, Permits
from partsong.pool.scaling import Scaling, Staffed
from partsong.pool.waits import Waited

__all__ = ["DrainWorker", "Hand", "Pool", "PoolInstruction", "StartWorker"]

_BACK_WITHIN_S = 20.0
"""How long a worker whose process is away is waited for before another is started; Ray restarts one within seconds if it has room."""
_FIRST_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 120.0
"""Between two attempts to start workers that cannot be started."""


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Start one more worker; report `worker_ready` or `start_failed` when it is known."""


@dataclass(frozen=True, slots=True)
class DrainWorker:
    """Send this worker no more calls, end it when those in flight are done; report `worker_gone` then."""

    key: str


PoolInstruction = Instruction | StartWorker | DrainWorker


@dataclass(slots=True)
class Hand:
    """A worker that was started and opened."""

    key: str
    concurrency: int
    """Calls that it makes at once."""
    built: str = ""
    """What it was built from; another than the pool's: it is to be replaced."""
    away_s: float | None = None
    """Since when its process is away; None: it takes calls."""


class Pool:
    """One model's pool."""

    def __init__(
        self, workers: WorkerRange, concurrency: int, *, looks_ahead: bool = False, scale: Scale | None = None, built: str = ""
    ) -> None:
        """Each worker makes `concurrency` calls at once, and holds to it itself.

        A pool that `looks_ahead` lets half as many more be on their way to a worker: a slot that comes free finds the next call there,
        instead of waiting for it to cross to the worker's process.
        """
        self._range = workers
        self._concurrency = concurrency
        self._looks_ahead = looks_ahead
        self._built = built
        self._hands: dict[str, Hand] = {}
        self._draining: dict[str, Hand] = {}
        self._starting = 0
        self._no_room = False
        self._removed = False
        self._wanted = 0
        self._failures = 0
        self._starts_from_s = -math.inf
        self._scaling = Scaling(workers, scale or Scale())
        self.permits = Permits()

    @property
    def wanted(self) -> int:
        """Workers that there should be."""
        return self._wanted

    @property
    def ready(self) -> int:
        """Workers that take calls."""
        return sum(hand.away_s is None for hand in self._hands.values())

    @property
    def starting(self) -> int:
        """Workers that are being started."""
        return self._starting

    @property
    def draining(self) -> int:
        """Workers that finish their last calls."""
        return len(self._draining)

    @property
    def hopeless(self) -> bool:
        """Whether no worker takes calls and none is starting."""
        return not self._hands and not self._starting

    @property
    def taking(self) -> Sequence[str]:
        """The workers that calls may be sent to; also those whose processes are away, while these may be back any moment."""
        return list(self._hands)

    @property
    def p95_s(self) -> float:
        """How long 95 of 100 calls waited at most of late, as of the last tick."""
        return self._scaling.p95_s

    def staffed(self, hands: Sequence[Hand], draining: Sequence[Hand], starting: int, now_s: float) -> Sequence[PoolInstruction]:
        """Whoever starts the workers says which there are; whatever was ordered before is forgotten, and ordered anew if it lacks."""
        self._hands = {hand.key: hand for hand in hands}
        self._draining = {hand.key: hand for hand in draining}
        self._starting = starting
        if hands or starting:
            self._wanted = max(self._wanted, min(self._range.max, max(self._range.min, len(hands) + starting)))
        return self._settled(now_s)

    def join(self, caller: str, held: int, wanted: int, now_s: float) -> Sequence[PoolInstruction]:
        """A caller is here; see Permits.join."""
        return [*self.permits.join(caller, held, wanted), *self._asked(now_s)]

    def leave(self, caller: str) -> Sequence[PoolInstruction]:
        """A caller has ended; see Permits.leave."""
        return self.permits.leave(caller)

    def want(self, caller: str, count: int, now_s: float) -> Sequence[PoolInstruction]:
        """A caller wants more permits; the model's workers start when it is first wanted, and again when it was let go."""
        return [*self.permits.want(caller, count), *self._asked(now_s)]

    def give_back(self, caller: str, count: int) -> Sequence[PoolInstruction]:
        """A caller gives permits back."""
        return self.permits.give_back(caller, count)

    def heard(self, caller: str, told: Waited, now_s: float) -> None:
        """A caller reports how long its calls wait; `tick` acts on it."""
        self._scaling.heard(caller, told, now_s)

    def tick(self, now_s: float) -> Sequence[PoolInstruction]:
        """A second has passed: start and drain what the waits and the time ask for."""
        if self._wanted:
            staffed = Staffed(self.ready, self._starting, self._concurrency, self._permits(self._concurrency))
            self._wanted = self._scaling.wanted(self._wanted, staffed, now_s)
        elif self.permits.waiting and not self._removed:
            self._wanted = max(1, self._range.min)
        return self._settled(now_s)

    def change(self, workers: WorkerRange, concurrency: int, scale: Scale, built: str, now_s: float) -> Sequence[PoolInstruction]:
        """The model's entry is another from now on; workers built from the old one are replaced one by one."""
        self._range, self._concurrency, self._built = workers, concurrency, built
        self._scaling.change(workers, scale)
        self._failures, self._starts_from_s, self._removed = 0, now_s, False
        if self._wanted:
            self._wanted = max(workers.min, min(workers.max, self._wanted))
        return [*self._asked(now_s), *self._settled(now_s)]

    def remove(self) -> Sequence[PoolInstruction]:
        """The model is no longer there: drain all of its workers."""
        self._removed = True
        self._wanted = 0
        return [*self._drained(list(self._hands)), *self._resized()]

    def worker_ready(self, hand: Hand, now_s: float) -> Sequence[PoolInstruction]:
        """A started worker takes calls, or one that was away does again."""
        if hand.key not in self._hands:
            self._starting = max(0, self._starting - 1)
        self._hands[hand.key] = hand
        self._failures = 0
        self._scaling.grown()
        return self._settled(now_s)

    def start_failed(self, now_s: float) -> Sequence[PoolInstruction]:
        """A worker could not start; another attempt is made later."""
        self._starting = max(0, self._starting - 1)
        self._starts_from_s = now_s + min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0**self._failures)
        self._failures += 1
        return self._settled(now_s)

    def start_given_up(self, now_s: float) -> Sequence[PoolInstruction]:
        """A worker that was ordered is not started any more, for it would be built from an older entry."""
        self._starting = max(0, self._starting - 1)
        return self._settled(now_s)

    def no_room(self, now_s: float) -> Sequence[PoolInstruction]:
        """A worker that is starting finds no room: where it is to take an older one's place, the older one makes room first."""
        self._no_room = True
        return self._settled(now_s)

    def worker_away(self, key: str, now_s: float) -> Sequence[PoolInstruction]:
        """A worker's process is away; Ray may bring it back."""
        if key in self._hands and self._hands[key].away_s is None:
            self._hands[key].away_s = now_s
        return self._settled(now_s)

    def worker_leaves(self, keys: Sequence[str], now_s: float) -> Sequence[PoolInstruction]:
        """These workers' node is going away: drain them, and start as many elsewhere."""
        return [*self._drained([key for key in keys if key in self._hands]), *self._settled(now_s)]

    def worker_gone(self, key: str, now_s: float) -> Sequence[PoolInstruction]:
        """A worker has ended, drained or dead for good."""
        self._hands.pop(key, None)
        self._draining.pop(key, None)
        return self._settled(now_s)

    def _asked(self, now_s: float) -> Sequence[PoolInstruction]:
        if not self.permits.waiting or self._wanted or self._removed:
            return []
        self._wanted = max(1, self._range.min)
        return self._settled(now_s)

    def _settled(self, now_s: float) -> Sequence[PoolInstruction]:
        return [*self._resized(), *self._lacking(now_s), *self._surplus(), *self._resized()]

    def _resized(self) -> Sequence[Instruction]:
        return self.permits.resize(sum(self._permits(hand.concurrency) for hand in self._hands.values() if hand.away_s is None))

    def _permits(self, concurrency: int) -> int:
        return concurrency + (concurrency // 2 if self._looks_ahead else 0)

    def _lacking(self, now_s: float) -> Sequence[StartWorker]:
        """Order what lacks; and one more than is wanted while older ones are replaced."""
        if now_s < self._starts_from_s:
            return []
        waited_for = sum(hand.away_s is None or now_s - hand.away_s < _BACK_WITHIN_S for hand in self._hands.values())
        have = waited_for + self._starting
        lack = max(0, self._wanted - have)
        if not lack and have == self._wanted and not self._starting and not self._draining and self._old():
            lack = 1
        if lack:
            self._starting += lack
            self._no_room = False
        return [StartWorker()] * lack

    def _surplus(self) -> Sequence[DrainWorker]:
        """Drain one of what is too many, when none is being drained: older ones first, else those that came last."""
        if self._draining:
            return []
        ready = [hand for hand in self._hands.values() if hand.away_s is None]
        makes_room = self._no_room and self._starting and self._old() and len(ready) >= self._wanted
        if len(ready) <= self._wanted and not makes_room:
            return []
        old = [hand for hand in ready if hand.built != self._built]
        return self._drained([(old or ready[::-1])[0].key])

    def _old(self) -> bool:
        return any(hand.built != self._built for hand in self._hands.values())

    def _drained(self, keys: Sequence[str]) -> Sequence[DrainWorker]:
        for key in keys:
            self._draining[key] = self._hands.pop(key)
        return [DrainWorker(key) for key in keys]
