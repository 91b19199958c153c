"""Hedge: how long a call is waited for before a second one is sent beside it, and how many such there may be.

Dean and Barroso (The Tail at Scale, 2013): send the second request when the first has taken longer than the 95th percentile, so that
about one call in twenty is sent twice and the tail is cut short. Where all calls grow slow at once, hedges would only add load: a budget
of a share of the calls bounds them, saved up for a short burst at most (tokens, as gRPC and Google's clients throttle hedges).
"""

import math
from typing import Literal

__all__ = ["Hedge"]

_QUANTILE = 0.95
_LEAST_OBSERVED = 50
"""Fewer calls do not show a 95th percentile."""
_SAVED_CALLS = 200
"""The budget of so many calls can be saved up for later."""
_GROWTH = 1.05
"""From bucket to bucket of the histogram: how exact the percentile is."""
_SHORTEST_S = 0.001
_BUCKETS = 320
"""Up to 1.05 ** 320 ms: more than an hour and a half."""
_REMEMBERED = 2000
"""Once so many calls weigh in, each counts half: the percentile follows the provider."""
_LOOK_EVERY = 10
"""Calls between two looks at the histogram."""
_SLACK = 1e-9


class Hedge:
    """The hedges of one model."""

    def __init__(self, after: float | Literal["p95"], share: float) -> None:
        """`after` is a time in seconds, or the observed 95th percentile; `share` is how many calls in one may be hedged."""
        self._after_s = None if after == "p95" else float(after)
        self._share = share
        self._most = max(1.0, share * _SAVED_CALLS)
        self._saved = 0.0
        self._latencies = _Histogram()

    def called(self) -> None:
        """A call is made; a hedge is none."""
        self._saved = min(self._most, self._saved + self._share)

    @property
    def affords(self) -> bool:
        """Whether the budget has a hedge."""
        return self._saved >= 1.0 - _SLACK

    def spend(self) -> bool:
        """Take one hedge; False, and nothing is taken, when the budget has none."""
        if not self.affords:
            return False
        self._saved = max(0.0, self._saved - 1.0)
        return True

    def observe(self, latency_s: float) -> None:
        """A first call took so long; so does one that its hedge overtook, by the time that it was cancelled.

        Were the overtaken ones left out, the percentile would be taken of what it had cut itself, and shrink without end.
        """
        if self._after_s is None:
            self._latencies.add(latency_s)

    def delay_s(self) -> float | None:
        """Return how long to wait for a call before a second is sent; None while too few are observed to say."""
        return self._latencies.quantile_s if self._after_s is None else self._after_s


class _Histogram:
    """A quantile of the latest latencies, 5 per cent exact, in constant memory: buckets on a logarithmic scale that fade."""

    def __init__(self) -> None:
        self._counts = [0.0] * _BUCKETS
        self._sum = 0.0
        self._unseen = 0
        self.quantile_s: float | None = None

    def add(self, latency_s: float) -> None:
        bucket = math.ceil(math.log(max(latency_s, _SHORTEST_S) / _SHORTEST_S) / math.log(_GROWTH))
        self._counts[min(bucket, _BUCKETS - 1)] += 1.0
        self._sum += 1.0
        self._unseen += 1
        if self._sum >= _REMEMBERED:
            self._counts = [count / 2.0 for count in self._counts]
            self._sum = sum(self._counts)
        if self._sum >= _LEAST_OBSERVED and (self._unseen >= _LOOK_EVERY or self.quantile_s is None):
            self.quantile_s = self._quantile()
            self._unseen = 0

    def _quantile(self) -> float:
        """Return the upper edge of the bucket that it lies in."""
        above = (1.0 - _QUANTILE) * self._sum
        bucket = _BUCKETS - 1
        while bucket > 0 and (above := above - self._counts[bucket]) >= 0.0:
            bucket -= 1
        return _SHORTEST_S * _GROWTH**bucket
