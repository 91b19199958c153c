"""Metering: a limiter with a clock: takes callers' wishes, hands out what is leased, wakes when time alone lets the next call go."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from partsong.contracts import Limits, ModelSpec
from partsong.pool.limiter import Limiter, LimitInstruction, Purpose, Standing
from partsong.pool.meter import Meter
from partsong.pool.purse import PurseWish
from partsong.telemetry import Telemetry
from partsong.telemetry.levels import BUDGET_LEFT, LIMIT_USED, LIMITS_WAITING
from partsong.work.clock import Clock

__all__ = ["Metering"]

_DAY_S = 86_400.0
_LEAST_PAUSE_S = 0.005
"""Calls that may go within so long of each other go together."""


class Metering:
    """One engine's."""

    def __init__(self, limiter: Limiter, clock: Clock, deliver: Callable[[LimitInstruction], None], *, held: bool = False) -> None:
        """`held` keeps wishes until `open`: restarted pools hear first what every caller holds."""
        self._limiter = limiter
        self._clock = clock
        self._deliver = deliver
        self._day = clock.unix_s() // _DAY_S
        self._timer: asyncio.TimerHandle | None = None
        self._undelivered: deque[LimitInstruction] = deque()
        self._delivering = False
        self._held: list[tuple[str, PurseWish]] | None = [] if held else None

    @property
    def waiting(self) -> int:
        """Calls that wait for a limit."""
        return self._limiter.waiting

    @property
    def left_usd(self) -> float | None:
        """See Limiter.left_usd."""
        return self._limiter.left_usd

    def watched(self, telemetry: Telemetry) -> None:
        """Tell how much of each limit is used, what waits for one, and what the tightest budget leaves."""
        telemetry.gauge(*LIMITS_WAITING, lambda: self.waiting)
        telemetry.gauge(*BUDGET_LEFT, lambda: self.left_usd)
        for meter in self._limiter.lasting:
            telemetry.gauge(*LIMIT_USED, partial(self._share_used, meter), {"partsong.limit": meter.what})

    def take(self, caller: str, wish: PurseWish) -> None:
        """Carry out a caller's wish."""
        if self._held is not None:
            self._held.append((caller, wish))
            return
        now_s = self._clock.now_s()
        self._turn_day(now_s)
        purpose = Purpose(caller, wish.model, wish.run)
        if wish.settlements:
            self._hand_out(self._limiter.settle(purpose, wish.settlements, now_s))
        if wish.needs:
            self._hand_out(self._limiter.want(purpose, wish.terms, wish.needs, wish.ahead, now_s))
        if wish.over:
            self._hand_out(self._limiter.forget(purpose, now_s))
        self._schedule()

    def join(self, caller: str, born: str, standings: Sequence[Standing], *, dollars_in_terms: bool = False) -> None:
        """See Limiter.join."""
        if self._held is not None:
            self._held = [(other, wish) for other, wish in self._held if other != caller]  # told anew by its standings
        now_s = self._clock.now_s()
        self._turn_day(now_s)
        self._hand_out(self._limiter.join(caller, born, standings, now_s, dollars_in_terms=dollars_in_terms))
        self._schedule()

    def leave(self, caller: str) -> None:
        """See Limiter.leave."""
        self._hand_out(self._limiter.leave(caller, self._clock.now_s()))
        self._schedule()

    def change(self, models: Mapping[str, ModelSpec], accounts: Mapping[str, Limits]) -> None:
        """See Limiter.change."""
        self._hand_out(self._limiter.change(models, accounts, self._clock.now_s()))
        self._schedule()

    def presume(self, for_s: float) -> None:
        """See Limiter.presume; what is in flight unheard of is over after so long."""
        presumed = self._limiter.presume(self._clock.now_s())
        asyncio.get_running_loop().call_later(for_s, self._release, presumed)

    def open(self) -> None:
        """Carry out what was held, and all that comes from now on."""
        held, self._held = self._held or [], None
        for caller, wish in held:
            self.take(caller, wish)

    def close(self) -> None:
        """Wake no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _release(self, presumed: Sequence[tuple[Meter, float]]) -> None:
        for meter, amount in presumed:
            meter.release(amount)
        self._hand_out(self._limiter.due(self._clock.now_s()))
        self._schedule()

    def _share_used(self, meter: Meter) -> float:
        return meter.share_used(self._clock.now_s())

    def _hand_out(self, instructions: Sequence[LimitInstruction]) -> None:
        """Deliver in order: what a delivery leads to (amounts that come straight back) is delivered after it, not within it."""
        self._undelivered.extend(instructions)
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._undelivered:
                self._deliver(self._undelivered.popleft())
        finally:
            self._delivering = False

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._limiter.waiting:
            return
        now_s = self._clock.now_s()
        until_midnight_s = _DAY_S - self._clock.unix_s() % _DAY_S
        pause_s = min(self._limiter.next_s(now_s) - now_s, until_midnight_s)
        if pause_s < math.inf:
            self._timer = asyncio.get_running_loop().call_later(max(_LEAST_PAUSE_S, pause_s), self._wake)

    def _wake(self) -> None:
        self._timer = None
        now_s = self._clock.now_s()
        self._turn_day(now_s)
        self._hand_out(self._limiter.due(now_s))
        self._schedule()

    def _turn_day(self, now_s: float) -> None:
        """Begin a new day when it is past midnight, whether or not a call waited for it; a clock that is set back begins no day anew."""
        day = self._clock.unix_s() // _DAY_S
        if day > self._day:
            self._day = day
            self._hand_out(self._limiter.new_day(now_s))
