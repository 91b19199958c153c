"""Power: how many rows a comparison needs before it can show what one hopes to see."""

from math import ceil, sqrt
from statistics import NormalDist

__all__ = ["power_of", "rows_for"]

_NORMAL = NormalDist()


def rows_for(difference: float, disagreement: float, *, level: float = 0.95, power: float = 0.8) -> int:
    """Return how many rows show a difference of accuracies by McNemar's test, with this power (Connor 1987, Biometrics 43:207).

    `disagreement` is the share of rows on which exactly one of the two is right; it is no less than the difference. ValueError for no
    difference, which no number of rows shows.
    """
    gap = abs(difference)
    if not 0.0 < gap <= 1.0:
        raise ValueError("only a difference between 0 and 1 can be shown")
    apart = max(disagreement, gap)
    z, z_power = _NORMAL.inv_cdf((1.0 + level) / 2.0), _NORMAL.inv_cdf(power)
    return ceil(((z * sqrt(apart) + z_power * sqrt(max(0.0, apart - gap * gap))) / gap) ** 2)


def power_of(rows: int, difference: float, disagreement: float, *, level: float = 0.95) -> float:
    """Return how likely this many rows are to show the difference (Connor 1987); the test's own error rate when there is none."""
    gap = abs(difference)
    apart = max(disagreement, gap)
    if rows == 0 or apart == 0.0:
        return 0.0
    z = _NORMAL.inv_cdf((1.0 + level) / 2.0)
    spread = sqrt(max(apart - gap * gap, 1e-12))
    upper = (gap * sqrt(rows) - z * sqrt(apart)) / spread
    lower = (-gap * sqrt(rows) - z * sqrt(apart)) / spread
    return _NORMAL.cdf(upper) + _NORMAL.cdf(lower)
