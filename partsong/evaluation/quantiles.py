"""Quantiles: p50 and p95 of any number of values in flat memory, each within one per cent."""

from collections import Counter
from collections.abc import Mapping
from math import ceil, log

from partsong.evaluation.intervals import Interval, quantile_ranks

__all__ = ["Quantiles", "bucket_of"]

_WITHIN = 0.01
_GAMMA = (1 + _WITHIN) / (1 - _WITHIN)
_LOG_GAMMA = log(_GAMMA)
_SMALLEST = 1e-9


def bucket_of(value: float) -> int:
    """Return the bucket that a value is counted in; what is under a billionth counts as that."""
    return ceil(log(max(value, _SMALLEST)) / _LOG_GAMMA)


class Quantiles:
    """A histogram with buckets that grow by two per cent, so that every quantile is within 1 % (DDSketch: Masson et al. 2019, VLDB 12).

    From a microsecond to a day that is 1,300 buckets at most.
    """

    def __init__(self, counts: Mapping[int, int] | None = None, largest: float = 0.0) -> None:
        """Go on from values counted before by `bucket_of`, and the largest of them."""
        self._counts = Counter(counts or {})
        self._n = self._counts.total()
        self._largest = largest

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[bucket_of(value)] += 1
        self._n += 1
        self._largest = max(self._largest, value)

    def at(self, share: float) -> float:
        """Return the value that this share of all values does not exceed (0.95 for p95), never above the largest; 0 when there are none."""
        return self._ranked(max(1, ceil(share * self._n))) if self._n else 0.0

    def interval(self, share: float) -> Interval | None:
        """Return the 95 % interval of `at`, by order statistics; None when there are too few values to bound it on both sides."""
        low, high = quantile_ranks(share, self._n)
        return Interval(self._ranked(low), self._ranked(high)) if low > 0 and high <= self._n else None

    def _ranked(self, rank: int) -> float:
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= rank:
                break
        value = 2 * _GAMMA**bucket / (_GAMMA + 1)
        return min(value, self._largest) if value > 2 * _SMALLEST else 0.0
