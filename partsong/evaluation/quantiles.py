"""Quantiles: p50 and p95 of any number of values in flat memory, each within one per cent."""

from collections import Counter
from math import ceil, log

__all__ = ["Quantiles"]

_WITHIN = 0.01
_GAMMA = (1 + _WITHIN) / (1 - _WITHIN)
_LOG_GAMMA = log(_GAMMA)
_SMALLEST = 1e-9


class Quantiles:
    """A histogram with buckets that grow by two per cent, so that every quantile is within 1 % (DDSketch: Masson et al. 2019, VLDB 12).

    From a microsecond to a day that is 1,300 buckets at most.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._n = 0

    def add(self, value: float) -> None:
        """Count one value; what is under a billionth counts as that."""
        self._counts[ceil(log(max(value, _SMALLEST)) / _LOG_GAMMA)] += 1
        self._n += 1

    def at(self, share: float) -> float:
        """Return the value that this share of all values does not exceed (0.95 for p95); 0 when there are none."""
        if not self._n:
            return 0.0
        rank = max(1, ceil(share * self._n))
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= rank:
                break
        value = 2 * _GAMMA**bucket / (_GAMMA + 1)
        return value if value > 2 * _SMALLEST else 0.0
