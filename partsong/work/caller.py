"""Caller: one model call as a plan wants it: a permit, a worker, attempts until it is answered or has failed for good."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from partsong.contracts import Call, Completion, Failure, FailureCode, ModelSpec, Task
from partsong.errors import PartsongError
from partsong.pool.choice import choose
from partsong.pool.retry import RetryPolicy
from partsong.pool.share import NoWorkerError, Share
from partsong.work.clock import Clock

__all__ = ["Called", "Caller", "WorkerHandle"]


class WorkerHandle(Protocol):
    """A worker, in this process or another."""

    async def ask(self, call: Call, on_text: Callable[[str], None] | None = None) -> Completion | Failure:
        """See Worker.ask."""
        ...


@dataclass(frozen=True, slots=True)
class Called:
    """What a call came to."""

    reply: Completion | Failure
    attempts: int
    latency_s: float
    """From the first attempt's permit to the last attempt's end, waits between them included."""
    lost_usd: float
    """What failed attempts are known to have cost."""
    cannot_start: PartsongError | None = None
    """Why no worker of the model can start, where that is the failure."""


@dataclass(slots=True)
class _Seat:
    worker: WorkerHandle
    in_flight: int = 0


@dataclass(slots=True)
class Caller:
    """Calls one model through its workers."""

    name: str
    spec: ModelSpec
    share: Share
    clock: Clock
    _seats: list[_Seat] = field(default_factory=list)

    def use(self, workers: list[WorkerHandle]) -> None:
        """Send calls to these workers from now on; calls in flight stay where they are."""
        known = {id(seat.worker): seat for seat in self._seats}
        self._seats = [known.get(id(worker)) or _Seat(worker) for worker in workers]

    async def call(
        self, task: Task, step: str, deadline_s: float, traceparent: str, on_text: Callable[[str], None] | None = None
    ) -> Called:
        """Ask until answered or failed for good; `deadline_s` is on the clock's scale, infinity without one."""
        policy = RetryPolicy(self.spec.retries)
        shown = _Shown(on_text) if on_text else None
        began_s: float | None = None
        lost_usd = 0.0
        attempt = 0
        while True:
            attempt += 1
            try:
                await self.share.acquire()
            except NoWorkerError as error:
                latency_s = 0.0 if began_s is None else self.clock.now_s() - began_s
                return Called(self._cannot_start(error.cause), attempt - 1, latency_s, lost_usd, error.cause)
            try:
                began_s = self.clock.now_s() if began_s is None else began_s
                reply = await self._attempt(task, step, deadline_s, traceparent, shown)
            finally:
                self.share.release()
            now_s = self.clock.now_s()
            if isinstance(reply, Completion):
                return Called(reply, attempt, now_s - began_s, lost_usd)
            lost_usd += reply.cost_usd
            wait_s = None if shown and shown.any else policy.wait_s(reply, attempt, deadline_s - now_s, self.clock.dice)
            if wait_s is None:
                return Called(reply, attempt, now_s - began_s, lost_usd)
            await self.clock.sleep(wait_s)

    def _cannot_start(self, cause: PartsongError) -> Failure:
        problem = cause.problems[0]
        message = f"{problem.what}; {problem.remedy}" if problem.remedy else problem.what
        return Failure(code=FailureCode.CANNOT_START, message=message, where=self.name)

    async def _attempt(self, task: Task, step: str, deadline_s: float, traceparent: str, shown: "_Shown | None") -> Completion | Failure:
        if not self._seats:
            return Failure(code=FailureCode.WORKER_LOST, message="the model has no worker left", where=self.name, retryable=True)
        seat = self._seats[choose([s.in_flight for s in self._seats], self.clock.dice)]
        left_s = min(self.spec.timeout, max(0.0, deadline_s - self.clock.now_s()))
        call = Call(model=self.name, task=task, step=step, timeout_s=left_s, traceparent=traceparent)
        seat.in_flight += 1
        try:
            return await seat.worker.ask(call, shown)
        finally:
            seat.in_flight -= 1


class _Shown:
    """Hands text on and remembers that it did: what has been shown cannot be begun again."""

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self._on_text = on_text
        self.any = False

    def __call__(self, text: str) -> None:
        self.any = self.any or bool(text)
        self._on_text(text)
