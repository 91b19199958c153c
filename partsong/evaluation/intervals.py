"""Intervals: how far a measured share, mean or quantile may be from the truth."""

from math import exp, floor, lgamma, log, log1p, pi, sqrt, tan
from statistics import NormalDist
from typing import NamedTuple

__all__ = ["Interval", "of_mean", "quantile_ranks", "wilson", "z_of"]


_FAR = 10
"""Standard deviations, and values, below the mean at which a binomial's tail is too small to count."""


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


def of_mean(mean: float, variance: float, n: int, level: float = 0.95) -> Interval | None:
    """Return the interval of a mean of what cannot be below 0, by Student's t; None of fewer than two values, which have no spread.

    Where few values make most of the sum, as costs may, it is too narrow until there are hundreds of them.
    """
    if n < 2:
        return None
    half = _t_of(level, n - 1) * sqrt(variance / n)
    return Interval(max(0.0, mean - half), mean + half)


def _t_of(level: float, freedom: float) -> float:
    """Return Student's quantile for a two-sided interval, within 1 % for 0.95: of 4 degrees of freedom 2.78; the normal's is 1.96."""
    if freedom == 1:
        return tan(pi * level / 2)
    if freedom == 2:
        return level * sqrt(2 / (1 - level**2))
    z = z_of(level)  # the first terms of its expansion: Abramowitz and Stegun 1964, 26.7.5
    terms = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def quantile_ranks(share: float, n: int, level: float = 0.95) -> tuple[int, int]:
    """Return the ranks, from 1, of the values between which a quantile lies, whatever the distribution (Hahn and Meeker 1991, ch. 5).

    How many of n values are below it is binomial, and its own tails are taken: both together are no likelier than `level` leaves.
    0, and n + 1: n values do not bound it.
    """
    return _rank_below(share, n, (1.0 - level) / 2.0), n + 1 - _rank_below(1.0 - share, n, (1.0 - level) / 2.0)


def _rank_below(share: float, n: int, chance: float) -> int:
    """Return the highest rank whose value is above the quantile with at most this chance, which is that of fewer values being below it."""
    lowest = max(0, floor(n * share - _FAR * sqrt(n * share * (1.0 - share)) - _FAR))
    below, ways = 0.0, lgamma(n + 1)
    for rank in range(lowest, n + 1):
        below += exp(ways - lgamma(rank + 1) - lgamma(n - rank + 1) + rank * log(share) + (n - rank) * log1p(-share))
        if below > chance:
            return rank
    return n
