"""Purse: one caller's part of what is limited for a model; calls wait here for their worst case, and settle by what they took."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from partsong.contracts import Failure, Terms
from partsong.errors import PartsongError
from partsong.pool.limiter import Settlement, Standing
from partsong.pool.meter import NOTHING, Amounts

__all__ = ["Purse", "PurseWish", "Reservation"]

_MINUTE_S = 60.0
_REMEMBERED_BY_S = 0.5
_AHEAD_SHARE = 4
"""A quarter as many calls as are in flight are asked for ahead."""


@dataclass(frozen=True, slots=True)
class PurseWish:
    """What a purse tells the limiter: amounts that calls wait for, and calls that ended."""

    model: str
    run: str
    terms: Terms
    needs: Sequence[Amounts] = ()
    ahead: int = 0
    settlements: Sequence[Settlement] = ()
    over: bool = False
    """Whether no more calls of the run will come."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is leased for one call."""

    run: str
    amounts: Amounts


@dataclass(slots=True)
class _RunPurse:
    terms: Terms
    waiters: deque[tuple[Amounts, "asyncio.Future[Failure | None]"]] = field(default_factory=deque)
    ahead: deque[Amounts] = field(default_factory=deque)
    in_flight: int = 0
    leased: Amounts = NOTHING
    used: Amounts = NOTHING
    recent: deque[tuple[float, Amounts]] = field(default_factory=deque)


class Purse:
    """One model's, at one caller. `exchange` hands a wish to the limiter without waiting for it."""

    def __init__(
        self, model: str, exchange: Callable[[PurseWish], None], *, metered: bool, looks_ahead: bool, now_s: Callable[[], float]
    ) -> None:
        """`metered` says that the model is limited whatever the run; `looks_ahead` that asking the limiter takes a message."""
        self._model = model
        self._exchange = exchange
        self.metered = metered
        """Whether the model is limited whatever the run; it may change while calls are in flight."""
        self._looks_ahead = looks_ahead
        self._now_s = now_s
        self._runs: dict[str, _RunPurse] = {}
        self._lost: PartsongError | None = None

    @property
    def waiting(self) -> int:
        """Calls that wait for amounts."""
        return sum(len(purse.waiters) for purse in self._runs.values())

    def limits(self, terms: Terms) -> bool:
        """Whether calls of a run on these terms need a reservation."""
        return self.metered or terms.budget_usd is not None

    async def reserve(self, run: str, terms: Terms, need: Amounts) -> Reservation | Failure:
        """Return when the call may be made, or why it will not be. Cancelled while waiting, nothing is held."""
        if self._lost is not None:
            raise self._lost
        purse = self._runs.setdefault(run, _RunPurse(terms))
        purse.terms = terms
        if purse.ahead and not purse.waiters and purse.ahead[0].covers(need):
            purse.in_flight += 1
            return Reservation(run, purse.ahead.popleft())
        self._give_back_ahead(run, purse)  # too little for this call, and what is held must not be what it waits for
        refusal: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
        purse.waiters.append((need, refusal))
        ahead = purse.in_flight // _AHEAD_SHARE if self._looks_ahead else 0
        self._exchange(PurseWish(self._model, run, terms, needs=(need,), ahead=ahead))
        try:
            failure = await refusal
        except asyncio.CancelledError:
            if refusal.done() and not refusal.cancelled() and refusal.exception() is None and refusal.result() is None:
                self.settle(Reservation(run, need), NOTHING)  # leased in the very moment of the cancellation
            raise
        return Reservation(run, need) if failure is None else failure

    def settle(self, reservation: Reservation, used: Amounts, age_s: float = 0.0) -> None:
        """The call has ended and took this; `age_s` ago its request left, at most."""
        purse = self._runs[reservation.run]
        purse.in_flight -= 1
        self._tell_settled(reservation.run, purse, Settlement(reservation.amounts, used, age_s))

    def leased(self, run: str, count: int) -> None:
        """The limiter leases what the first `count` calls that wait need; those that were cancelled meanwhile give it back."""
        purse = self._runs[run]
        for _ in range(count):
            need, refusal = purse.waiters.popleft()
            purse.leased += need
            if refusal.done():
                self._tell_settled(run, purse, Settlement(need, NOTHING))
                continue
            purse.in_flight += 1
            refusal.set_result(None)

    def leased_ahead(self, run: str, amounts: Amounts, count: int) -> None:
        """The limiter leases further calls; used when they come."""
        purse = self._runs.get(run)
        if purse is None:
            return  # it was told meanwhile that the run is over, and takes them back
        for _ in range(count):
            purse.leased += amounts
            purse.ahead.append(amounts)

    def refused(self, run: str, failure: Failure) -> None:
        """The limiter will not lease what the first call that waits needs."""
        _, refusal = self._runs[run].waiters.popleft()
        if not refusal.done():
            refusal.set_result(failure)

    def give_back_ahead(self) -> None:
        """Return what was leased ahead and is not used: another may be waiting for it."""
        for run, purse in self._runs.items():
            self._give_back_ahead(run, purse)

    def forget(self, run: str) -> None:
        """The run is over; one that has calls in flight after all is not."""
        purse = self._runs.get(run)
        if purse is None:
            return
        self._give_back_ahead(run, purse)
        if not purse.in_flight and not purse.waiters:
            del self._runs[run]
            self._exchange(PurseWish(self._model, run, purse.terms, over=True))

    def standings(self) -> Sequence[Standing]:
        """Return what the limiter is to know of this purse when it has forgotten it; `waits` tells the rest."""
        now_s = self._now_s()
        return [
            Standing(self._model, run, purse.terms, purse.leased, purse.used, [(now_s - at_s, used) for at_s, used in purse.recent])
            for run, purse in self._runs.items()
        ]

    def waits(self) -> Sequence[PurseWish]:
        """Return what calls wait for, to be wanted anew; what was cancelled meanwhile is left out."""
        for purse in self._runs.values():
            purse.waiters = deque(waiter for waiter in purse.waiters if not waiter[1].done())
        return [
            PurseWish(self._model, run, purse.terms, needs=tuple(need for need, _ in purse.waiters))
            for run, purse in self._runs.items()
            if purse.waiters
        ]

    def lose(self, error: PartsongError) -> None:
        """The limiter is gone for good: raise this from every call that waits, and from those to come."""
        self._lost = error
        for purse in self._runs.values():
            for _, refusal in purse.waiters:
                if not refusal.done():
                    refusal.set_exception(error)
            purse.waiters.clear()

    def _give_back_ahead(self, run: str, purse: _RunPurse) -> None:
        while purse.ahead:
            self._tell_settled(run, purse, Settlement(purse.ahead.popleft(), NOTHING))

    def _tell_settled(self, run: str, purse: _RunPurse, settlement: Settlement) -> None:
        purse.leased -= settlement.leased
        purse.used += settlement.used
        now_s = self._now_s()
        if settlement.used is not NOTHING:
            _remember(purse.recent, now_s - settlement.age_s, settlement.used, now_s)
        self._exchange(PurseWish(self._model, run, purse.terms, settlements=(settlement,)))


def _remember(recent: deque[tuple[float, Amounts]], at_s: float, used: Amounts, now_s: float) -> None:
    """Keep what the last minute used, by the second: as one of a thousand calls, it counts from the last of them."""
    if recent and abs(at_s - recent[-1][0]) < _REMEMBERED_BY_S:
        before_s, before = recent.pop()
        at_s, used = max(at_s, before_s), before + used
    recent.append((at_s, used))
    while recent and recent[0][0] < now_s - _MINUTE_S - _REMEMBERED_BY_S:
        recent.popleft()  # the one that just ended too, if it took longer than a minute
