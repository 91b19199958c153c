"""Quantiles of a stream in flat memory: counts in buckets that grow by 2 %, so every quantile is within 1 % of the true one."""

import math
from collections.abc import Mapping

__all__ = ["bucket_of", "quantile"]

_GROWTH = 1.02
_LEAST = 1e-6
"""Everything below counts as this much."""


def bucket_of(value: float) -> str:
    """Return the bucket that a non-negative number is counted in."""
    return str(math.floor(math.log(max(value, _LEAST) / _LEAST, _GROWTH)))


def quantile(counts: Mapping[str, int], share: float) -> float | None:
    """Return the number that this share of all numbers counted does not pass; None of no numbers."""
    wanted = share * sum(counts.values())
    passed = 0
    for bucket in sorted(map(int, counts)):
        passed += counts[str(bucket)]
        if passed >= wanted:
            return float(_LEAST * _GROWTH ** (bucket + 0.5))
    return None
