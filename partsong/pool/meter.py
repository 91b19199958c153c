"""Meter: how much of one limited quantity is left: what is leased, what was used, and when that is forgotten.

A plain machine on a clock that its callers own. An amount is leased before a call and settled after it, so that the sum of what was used
and the worst case of what is in flight never passes the limit. A call whose worst case alone is more than a minute's limit is leased the
whole limit and so goes alone: its tokens are an estimate, and its reply may well be shorter. Dollars do not stretch so.
"""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

__all__ = ["NOTHING", "Amounts", "Horizon", "Meter"]

_MINUTE_S = 60.0
_ARRIVED_S = 0.8
"""A request has arrived when its reply is there, or after so long: it counts from then on. What left 60 s apart may arrive closer together;
the difference costs 1.3 per cent of a limit."""
_BURST_SHARE = 0.03
"""What may be used at once of a minute's amount after a pause; more would have to be waited for in the next minute."""
_BUCKET_S = 0.05
_LEARNS = 0.05
"""How much one call changes the expected share of the worst case that calls use."""
_SLACK = 1e-9
"""Sums of floats are a hair off; a limit of 0.3 takes three times 0.1."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a call takes of everything that can be limited."""

    requests: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    usd: float = 0.0

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.usd + other.usd,
        )

    def __sub__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            self.requests - other.requests,
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            self.usd - other.usd,
        )

    def covers(self, other: "Amounts") -> bool:
        """Whether no part of the other is larger."""
        return (
            self.requests >= other.requests
            and self.prompt_tokens >= other.prompt_tokens
            and self.completion_tokens >= other.completion_tokens
            and self.usd >= other.usd
        )


NOTHING = Amounts()


class Horizon(Enum):
    """When what was used is forgotten."""

    AT_ONCE = "at once"
    """Calls in flight."""
    MINUTE = "minute"
    """Over any 60 seconds, spread evenly."""
    DAY = "day"
    """When `reset` says that a new day has begun."""
    RUN = "run"
    """Never."""


class Meter:
    """One limit."""

    def __init__(self, what: str, limit: float, horizon: Horizon, counts: Callable[[Amounts], float]) -> None:
        """`what` names the limit for a person; `counts` picks what it counts."""
        self.what = what
        self.limit = limit
        self.horizon = horizon
        self.counts = counts
        self._leased = 0.0
        self._used = 0.0
        self._expiries: list[float] = []
        self._expiring: dict[float, float] = {}
        self._burst = max(min(1.0, limit), _BURST_SHARE * limit)
        self._level = self._burst
        self._level_at_s: float | None = None
        self._paced = 0.0
        self._share_used = 1.0

    @property
    def leased(self) -> float:
        """What calls in flight may come to."""
        return self._leased

    @property
    def left(self) -> float:
        """What is neither used nor leased, as of the last event."""
        return self.limit - self._used - self._leased

    def used(self, now_s: float) -> float:
        """What was used and is not forgotten yet."""
        self._forget(now_s)
        return self._used

    def share_used(self, now_s: float) -> float:
        """Return which share is used or leased; it changes nothing, so another thread may ask."""
        used = self._used
        if self.horizon is Horizon.MINUTE:
            used = sum(amount for until_s, amount in list(self._expiring.items()) if until_s > now_s)
        return (used + self._leased) / self.limit

    def fits(self, amounts: Amounts, now_s: float) -> bool:
        """Whether a call of these amounts may be made now."""
        amount = self._held(amounts)
        self._forget(now_s)
        if self._used + self._leased + amount > self.limit + _SLACK:
            return False
        return self.horizon is not Horizon.MINUTE or self._refilled(now_s) >= self._pace(amount) - _SLACK

    def lease(self, amounts: Amounts, now_s: float) -> None:
        """Hold the amounts for a call; they must fit."""
        amount = self._held(amounts)
        self._leased += amount
        if self.horizon is Horizon.MINUTE:
            expected = amount * self._share_used
            self._paced += expected
            self._level = self._refilled(now_s) - expected

    def settle(self, leased: Amounts, used: Amounts, age_s: float, now_s: float) -> None:
        """Replace what was leased by what was used; `age_s` is how long ago the request left, at most."""
        held, amount = self._held(leased), self.counts(used)
        if self.horizon is Horizon.MINUTE and held:
            expected = self._paced * min(1.0, held / self._leased) if self._leased else 0.0
            self._paced -= expected
            self._level = min(self._burst, self._refilled(now_s) + expected - amount)
            self._share_used += _LEARNS * (min(1.0, amount / held) - self._share_used)
        self._leased = max(0.0, self._leased - held)
        self.add(amount, now_s - age_s, now_s)

    def add(self, amount: float, at_s: float, now_s: float) -> None:
        """Count an amount whose request left at `at_s`."""
        if self.horizon is Horizon.AT_ONCE or amount <= 0:
            return
        if self.horizon is Horizon.MINUTE:
            until_s = min(at_s + _ARRIVED_S, now_s) + _MINUTE_S
            if until_s <= now_s:
                return
            bucket = math.ceil(until_s / _BUCKET_S) * _BUCKET_S
            if bucket not in self._expiring:
                heapq.heappush(self._expiries, bucket)
                self._expiring[bucket] = 0.0
            self._expiring[bucket] += amount
        self._used += amount

    def hold(self, amounts: Amounts) -> None:
        """Count what a caller holds already, whether or not it fits."""
        self._leased += self._held(amounts)

    def change(self, what: str, limit: float) -> None:
        """Hold to another limit from now on; what was used still counts."""
        self.what, self.limit = what, limit
        self._burst = max(min(1.0, limit), _BURST_SHARE * limit)

    def presume(self, now_s: float) -> float:
        """Count all that is left as used just now, and as in flight: by callers that nobody has heard of. Return what `release` takes."""
        left = max(0.0, self.left)
        if self.horizon is Horizon.MINUTE:
            self.add(left, now_s, now_s)
        if self.horizon is not Horizon.AT_ONCE:
            return 0.0
        self._leased += left
        return left

    def release(self, amount: float) -> None:
        """What was presumed to be in flight must have ended."""
        self._leased = max(0.0, self._leased - amount)

    def reset(self) -> None:
        """A new day: forget what was used."""
        self._used = 0.0

    def exhausted(self, amounts: Amounts, now_s: float) -> bool:
        """Whether such a call cannot be made before a new day, a new run, or a larger limit: nothing in flight can give back enough."""
        if self.horizon not in (Horizon.DAY, Horizon.RUN):
            return False
        alone = self._leased <= _SLACK or self.counts(amounts) > self.limit + _SLACK
        return alone and not self.fits(amounts, now_s)

    def ample(self, amounts: Amounts, now_s: float) -> bool:
        """Whether so much is left that these amounts are nothing beside it, and nobody need be exact about them."""
        if self.horizon not in (Horizon.RUN, Horizon.DAY):
            return False
        return 10 * self.counts(amounts) <= self.left

    def fits_at_s(self, amounts: Amounts, now_s: float) -> float:
        """Return when such a call fits by the passing of time alone; infinity when something has to be settled first."""
        amount = self._held(amounts)
        if self.horizon is not Horizon.MINUTE:
            return now_s if self.fits(amounts, now_s) else math.inf
        short = self._refilled(now_s) - self._pace(amount)
        paced_s = now_s if short >= 0 else now_s - short * _MINUTE_S / self.limit
        over = self.used(now_s) + self._leased + amount - self.limit
        if over <= _SLACK:
            return paced_s
        for expiry in sorted(self._expiries):
            over -= self._expiring[expiry]
            if over <= _SLACK:
                return max(paced_s, expiry)
        return math.inf

    def _held(self, amounts: Amounts) -> float:
        """Return what is leased for a call of these amounts."""
        amount = self.counts(amounts)
        return min(amount, self.limit) if self.horizon is Horizon.MINUTE else amount

    def _pace(self, amount: float) -> float:
        """Return what must have come in for a call of this amount to follow the last: what such calls come to, not what is feared."""
        return min(amount * self._share_used, self._burst)

    def _refilled(self, now_s: float) -> float:
        if self._level_at_s is not None:
            self._level = min(self._burst, self._level + max(0.0, now_s - self._level_at_s) * self.limit / _MINUTE_S)
        self._level_at_s = now_s
        return self._level

    def _forget(self, now_s: float) -> None:
        while self._expiries and self._expiries[0] <= now_s:
            self._used -= self._expiring.pop(heapq.heappop(self._expiries))
        if self.horizon is Horizon.MINUTE and not self._expiries:
            self._used = 0.0  # what is left over is the rounding of many sums
