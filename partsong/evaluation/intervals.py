"""Intervals: how far a measured share or mean may be from the truth."""

from collections.abc import Callable, Sequence
from math import ceil, floor, sqrt
from statistics import NormalDist, fmean
from typing import NamedTuple

__all__ = ["Interval", "bootstrap", "wilson"]


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def z_of(level: float) -> float:
    """Return the standard normal's quantile for a two-sided interval: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1.0 + level) / 2.0)


def wilson(right: int, n: int, level: float = 0.95) -> Interval:
    """Return the score interval of a share (Wilson 1927), good for small n and shares near 0 and 1; all of [0, 1] when n is 0."""
    if n == 0:
        return Interval(0.0, 1.0)
    z = z_of(level)
    share = right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(0.0 if right == 0 else max(0.0, middle - half), 1.0 if right == n else min(1.0, middle + half))


def bootstrap(
    values: Sequence[float],
    dice: Callable[[], float],
    *,
    statistic: Callable[[Sequence[float]], float] = fmean,
    level: float = 0.95,
    resamples: int = 1000,
) -> Interval:
    """Return the percentile bootstrap interval (Efron 1979) of a statistic, the mean unless told; `dice` draws from [0, 1).

    For costs and latencies, which no bell describes. Takes resamples x len(values) draws; ValueError when there are no values.
    """
    if not values:
        raise ValueError("no values to resample")
    n = len(values)
    found = sorted(statistic([values[int(dice() * n)] for _ in range(n)]) for _ in range(resamples))
    tail = (1.0 - level) / 2.0
    return Interval(found[floor(tail * (resamples - 1))], found[ceil((1.0 - tail) * (resamples - 1))])
