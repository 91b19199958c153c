"""Retry budget: how many retries a model's answers pay for, so that retries cannot make an outage worse.

As Finagle's RetryBudget: each answer deposits a share of a retry, deposits expire, and a floor of a few retries a second serves callers
that have just begun or ask seldom. (gRPC's retry throttling, proposal A6, has the same aim with a failure count and no floor.) The floor
refills steadily, not once a window, so that calls which wait for it go out one by one. Over any time, retries are at most share * answers
+ least_per_s * (time + ttl_s).
"""

import math

__all__ = ["RetryBudget"]

_BUCKETS = 10
_SLACK = 1e-6
"""Sums of floats, and times, are a hair off; five fifths pay for a retry."""


class RetryBudget:
    """The retries of one model."""

    def __init__(self, share: float, least_per_s: float = 1.0, ttl_s: float = 10.0) -> None:
        """`share` is retries per answer; `least_per_s` is granted besides; a deposit, and what the floor saves up, is worth `ttl_s`."""
        self._share = share
        self._least_per_s = least_per_s
        self._most = max(1.0, least_per_s * ttl_s) if least_per_s > 0.0 else 0.0
        self._floor = self._most
        self._floor_at_s: float | None = None
        self._bucket_s = ttl_s / _BUCKETS
        self._deposits: dict[int, float] = {}  # by the bucket of their time, oldest first

    def deposit(self, now_s: float) -> None:
        """A call was answered."""
        bucket = int(now_s / self._bucket_s)
        if bucket in self._deposits:
            self._deposits[bucket] += self._share
            return
        self._expire(now_s)
        self._deposits[bucket] = self._share

    def withdraw(self, now_s: float) -> bool:
        """Take one retry; False, and nothing is taken, when there is none."""
        if self._balance(now_s) < 1.0 - _SLACK:
            return False
        self._floor = max(0.0, self._floor - self._take(1.0))
        return True

    def ready_at_s(self, now_s: float) -> float:
        """Return when a retry can be taken if no call is answered until then: now, or by the floor alone; infinity without a floor."""
        if self._balance(now_s) >= 1.0 - _SLACK:
            return now_s
        return now_s + (1.0 - self._floor) / self._least_per_s if self._least_per_s > 0.0 else math.inf

    def _balance(self, now_s: float) -> float:
        self._expire(now_s)
        passed_s = 0.0 if self._floor_at_s is None else max(0.0, now_s - self._floor_at_s)
        self._floor = min(self._most, self._floor + passed_s * self._least_per_s)
        self._floor_at_s = now_s
        return self._floor + sum(self._deposits.values())

    def _expire(self, now_s: float) -> None:
        oldest = int(now_s / self._bucket_s) - _BUCKETS
        while self._deposits and (first := next(iter(self._deposits))) <= oldest:
            del self._deposits[first]

    def _take(self, wanted: float) -> float:
        """Take from the deposits, what expires first before the rest; return what they lack."""
        while wanted > 0.0 and self._deposits:
            first = next(iter(self._deposits))
            if self._deposits[first] > wanted:
                self._deposits[first] -= wanted
                return 0.0
            wanted -= self._deposits.pop(first)
        return wanted
