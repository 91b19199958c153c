"""Sample ratio: whether the shares that a split gave are those it was told to give; if not, something drops rows of one side."""

from collections.abc import Sequence
from math import erfc, exp, lgamma, log, sqrt

__all__ = ["MISMATCH", "sample_ratio_p"]

MISMATCH = 0.001
"""Below this p-value a split is not to be believed (Fabijan et al. 2019, KDD: the level used in practice, since it is looked at often)."""


def sample_ratio_p(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Return how likely counts at least this far from the shares are by chance (Pearson's chi-square); 1 when there are no rows.

    The shares are positive, and need not add up to 1. ValueError when they do not fit the counts.
    """
    if len(counts) != len(shares) or len(counts) < 2 or min(shares) <= 0.0:
        raise ValueError("each of two sides or more has a count and a positive share")
    rows, whole = sum(counts), sum(shares)
    if rows == 0:
        return 1.0
    due = [rows * share / whole for share in shares]
    return _beyond(sum((count - each) ** 2 / each for count, each in zip(counts, due, strict=True)), len(counts) - 1)


def _beyond(x: float, freedom: int) -> float:
    """Return the chance that a chi-square variable exceeds x (Abramowitz and Stegun 26.4.4 and 26.4.5: finite sums for whole freedom)."""
    if x <= 0.0:
        return 1.0
    half, odd = x / 2.0, freedom % 2
    start = 0.5 if odd else 0.0
    terms = (exp(-half + (start + k) * log(half) - lgamma(start + k + 1.0)) for k in range((freedom - odd) // 2))
    return min(1.0, (erfc(sqrt(half)) if odd else 0.0) + sum(terms))
