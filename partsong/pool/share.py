"""Share: one caller's part of a model's permits; its calls wait here, each run's in the order they came, the runs by their weights."""

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable

from partsong.errors import PartsongError
from partsong.pool.fair import FairQueue, Ticket
from partsong.pool.waits import NO_WAIT, Waited, bucket

__all__ = ["NoWorkerError", "Share"]

_Waiter = tuple[asyncio.Future[None], float]
"""A call that waits, and since when."""


class NoWorkerError(Exception):
    """No worker of the model can start; `cause` says why and what to do."""

    def __init__(self, cause: PartsongError) -> None:
        super().__init__(cause.code)
        self.cause = cause


class Share:
    """Permits leased by this caller. `exchange(want, give_back)` asks the pool for more, or gives some back, without waiting for it."""

    def __init__(self, exchange: Callable[[int, int], None], now_s: Callable[[], float]) -> None:
        self._exchange = exchange
        self._now_s = now_s
        self._waiters: FairQueue[_Waiter] = FairQueue()
        self._arrivals: deque[Ticket[_Waiter]] = deque()  # those that still wait, and others until they come to the front
        self._waits: Counter[int] = Counter()
        self._most_in_use = 0
        self._paused = False
        self._most_busy = math.inf
        self._idle = 0
        self._keep_idle = False
        self._busy = 0
        self._owed = 0
        self._unstaffed: PartsongError | None = None
        self._lost: PartsongError | None = None
        self._asked = 0  # wanted of the pool and not granted yet; never more than ever waited, so that a slow pool is not asked twice

    @property
    def waiting(self) -> int:
        """Calls that wait for a permit."""
        return len(self._waiters)

    @property
    def busy(self) -> int:
        """Permits in use."""
        return self._busy

    async def acquire(self, run: str = "", weight: float = 1.0) -> None:
        """Return holding one permit, in turn with other runs. Cancelled while waiting, it holds none.

        Raises NoWorkerError while no worker can start, and what `lose` was told.
        """
        if (error := self._refusal()) is not None:
            raise error
        if self.try_acquire():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ticket = self._waiters.push(run, weight, (waiter, self._now_s()))
        self._arrivals.append(ticket)
        self._tell(0)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release()  # granted in the very moment of the cancellation
            self._waiters.remove(ticket)
            raise

    def try_acquire(self) -> bool:
        """Take a permit if one is idle and no call waits for it."""
        if not self._idle or self._waiters or self._busy >= self._most_busy or self._paused:
            return False
        self._idle -= 1
        self._use()
        self._waits[NO_WAIT] += 1
        return True

    def hold_to(self, most_busy: float) -> None:
        """Use no more permits at once than this, however many are leased."""
        if most_busy != self._most_busy:
            self._most_busy = most_busy
            self._settle(0)

    def pause(self, paused: bool) -> None:
        """Whether calls are to wait whatever is leased: the pools may have leased it to others."""
        if paused != self._paused:
            self._paused = paused
            self._settle(0)

    def waited(self) -> Waited:
        """Return how calls have waited since this was last asked; calls that wait for the provider, not for a worker, are not counted."""
        while self._arrivals and not self._arrivals[0].queued:
            self._arrivals.popleft()
        waits, self._waits = self._waits, Counter()
        busy, self._most_in_use = max(self._busy, self._most_in_use), self._busy
        if self._held_back or not self._arrivals:
            return Waited(busy, waits=dict(waits))
        return Waited(busy, len(self._waiters), self._now_s() - self._arrivals[0].item[1], dict(waits))

    def release(self) -> None:
        """Give one permit up: to the pool if it asked for it, to the next call that waits, else keep it idle."""
        self._busy -= 1
        self._settle(1)

    def granted(self, count: int) -> None:
        """The pool leases `count` more."""
        self._asked -= count
        self._settle(count)

    def recalled(self, count: int) -> None:
        """The pool wants `count` back as their calls end."""
        self._owed += count
        self._settle(0)

    def renew(self) -> tuple[int, int]:
        """The pool has forgotten this caller: return how many permits it holds, and how many more it wants, to tell it anew."""
        self._owed = 0
        self._asked = self._useful()
        return self._busy + self._idle, self._asked

    def keep_idle(self, keep: bool) -> None:
        """Whether permits that no call waits for stay here or go back at once."""
        self._keep_idle = keep
        self._settle(0)

    def fail(self, error: PartsongError) -> None:
        """No worker of the model can start, and why: NoWorkerError from every call that waits, and from those to come until `staffed`."""
        self._unstaffed = error
        self._refuse()

    def staffed(self) -> None:
        """A worker of the model takes calls, or may be tried again."""
        self._unstaffed = None

    def lose(self, error: PartsongError) -> None:
        """The pool is gone for good: raise this from every call that waits, and from those to come."""
        self._lost = error
        self._refuse()

    @property
    def _held_back(self) -> bool:
        """Whether calls wait because the provider is overloaded, not for want of permits."""
        return self._busy >= self._most_busy or self._paused

    def _use(self) -> None:
        self._busy += 1
        self._most_in_use = max(self._most_in_use, self._busy)

    def _refuse(self) -> None:
        while self._waiters:
            waiter, _ = self._waiters.pop()
            if not waiter.done() and (error := self._refusal()) is not None:
                waiter.set_exception(error)

    def _refusal(self) -> Exception | None:
        """Return a new error each time: one that is raised again and again keeps every traceback."""
        if self._lost is not None:
            return self._lost
        return NoWorkerError(self._unstaffed) if self._unstaffed is not None else None

    def _settle(self, count: int) -> None:
        """Place `count` permits that came free: what is owed first, then calls that wait."""
        self._idle += count
        back = min(self._idle, self._owed)
        self._owed -= back
        self._idle -= back
        now_s = self._now_s() if self._waiters else 0.0
        while self._idle and self._waiters and self._busy < self._most_busy and not self._paused:
            waiter, since_s = self._waiters.pop()
            if not waiter.done():
                self._idle -= 1
                self._use()
                self._waits[bucket(now_s - since_s) if not self._held_back else NO_WAIT] += 1
                waiter.set_result(None)
        if not self._keep_idle:
            back += self._idle
            self._idle = 0
        self._tell(back)

    def _tell(self, back: int) -> None:
        """Give back what is not needed, want what is; a permit that was granted and went straight back leaves its call waiting."""
        short = max(0, self._useful() - self._asked)
        self._asked += short
        if back or short:
            self._exchange(short, back)

    def _useful(self) -> int:
        """Return how many permits more could be used at once."""
        return int(max(0, min(len(self._waiters), self._most_busy - self._busy - self._idle)))
