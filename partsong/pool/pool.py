"""Pool: one model's workers and permits; decides grants, recalls and when another worker is worth starting.

Events in, instructions out, like `Permits`, which it holds: each ready worker adds its concurrency to the capacity.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from partsong.contracts import WorkerRange
from partsong.pool.permits import Instruction, Permits

__all__ = ["Pool", "PoolInstruction", "StartWorker"]


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Start one more worker; report `worker_ready` or `worker_gone` when it is known."""


PoolInstruction = Instruction | StartWorker


class Pool:
    """One model's pool."""

    def __init__(self, workers: WorkerRange, concurrency: int, ahead: int = 0) -> None:
        """Each worker makes `concurrency` calls at once, and holds to it itself; `ahead` more may be on their way to it.

        So a slot that comes free finds the next call there, instead of waiting for it to cross to the worker's process.
        """
        self._range = workers
        self._leased_a_worker = concurrency + ahead
        self._begun = False
        self._ready = 0
        self._starting = 0
        self.permits = Permits()

    @property
    def ready(self) -> int:
        """Workers that take calls."""
        return self._ready

    @property
    def hopeless(self) -> bool:
        """Whether no worker takes calls and none is starting."""
        return not self._ready and not self._starting

    def begin(self) -> Sequence[PoolInstruction]:
        """Start as many workers as the mesh file wants at least; begun before, nothing."""
        if self._begun:
            return []
        self._begun = True
        return self._least()

    def staffed(self, ready: int, starting: int) -> Sequence[PoolInstruction]:
        """Whoever starts the workers says how many there are; whatever was ordered before is forgotten, and ordered anew if it lacks."""
        self._begun = self._begun or ready + starting > 0
        self._ready, self._starting = ready, starting
        resized = self.permits.resize(ready * self._leased_a_worker)
        return self._grown([*resized, *self._least()] if self._begun else resized)

    def join(self, caller: str, held: int = 0, wanted: int = 0) -> Sequence[PoolInstruction]:
        """A caller is here; see Permits.join."""
        return self._grown(self.permits.join(caller, held, wanted))

    def want(self, caller: str, count: int) -> Sequence[PoolInstruction]:
        """A caller wants more permits."""
        return self._grown(self.permits.want(caller, count))

    def give_back(self, caller: str, count: int) -> Sequence[PoolInstruction]:
        """A caller gives permits back."""
        return self.permits.give_back(caller, count)

    def worker_ready(self) -> Sequence[PoolInstruction]:
        """A started worker takes calls."""
        self._starting -= 1
        self._ready += 1
        return self._grown(self.permits.resize(self._ready * self._leased_a_worker))

    def worker_gone(self, *, was_ready: bool) -> Sequence[PoolInstruction]:
        """A worker ended, or could not start."""
        if was_ready:
            self._ready -= 1
        else:
            self._starting -= 1
        return self.permits.resize(self._ready * self._leased_a_worker)

    def _least(self) -> Sequence[StartWorker]:
        missing = max(0, self._range.min - self._ready - self._starting)
        self._starting += missing
        return [StartWorker()] * missing

    def _grown(self, instructions: Sequence[PoolInstruction]) -> Sequence[PoolInstruction]:
        """Add one worker at a time while calls wait that the ones at work cannot take."""
        if self.permits.waiting and not self._starting and self._ready < self._range.max:
            self._starting += 1
            return [*instructions, StartWorker()]
        return instructions
