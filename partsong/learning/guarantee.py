"""Guarantee: the cheapest threshold that keeps a promise, with a probability one can state, whatever the model's confidences are worth.

Learn then test (arXiv 2110.01052): thresholds are tried from the safest down, each against "the loss is above the bound", and the search
stops at the first that cannot be ruled out. The p-values add up the chances of pairs of right and wrong, whatever n is: no bell assumed.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, log
from statistics import NormalDist

import numpy as np

from partsong.learning.outcomes import Floats

__all__ = ["Promise", "keep_promise", "p_value", "rows_needed"]

_ELSEWHERE = 0.0005
"""Chance, added to each p-value, that the share of rows on which the two differ lies outside the interval that is searched."""
_SHARES = 8
_MOST_ROWS = 1_000_000
"""More rows than that nobody labels: the mean loss is about as great as the bound."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What a search for the cheapest safe threshold found."""

    kept: bool
    """False when the rows cannot support the promise for any threshold."""
    index: int
    """The cheapest threshold that keeps it; the safest one when none does."""
    p_value: float
    more_rows: int
    """About how many more labelled rows the next cheaper threshold wants; 0: it is as bad as the bound, or none is left."""

    def words(self, bound: float, level: float) -> str:
        """Say it for a person."""
        if self.kept:
            return f"not below the best single model by more than {100 * bound:.1f} points, with {100 * level:.0f} % confidence"
        need = f"; about {self.more_rows} more labelled rows would" if self.more_rows else ""
        return f"these rows cannot support the promise of at most {100 * bound:.1f} points at {100 * level:.0f} % confidence{need}"


def p_value(losses: Floats, bound: float) -> float:
    """Return a p-value against "the mean loss is at least `bound`" (above 0) for losses of 1 (worse), 0 and -1 (better).

    The rows that count are those on which the two differ. How many there are is not known beforehand, so the p-value is the greatest over
    an interval of that share (Suissa and Shuster 1991; Berger and Boos 1994), sought at eight points spread evenly over it: between them it
    may be a little greater.
    """
    return _greatest(len(losses), int(losses.sum()), int(np.abs(losses).sum()), bound)


@lru_cache(maxsize=4096)
def _greatest(n: int, lead: int, moved: int, bound: float) -> float:
    if lead >= n * bound:
        return 1.0
    low, high = _share(moved, n)
    shares = np.linspace(max(low, bound), max(high, bound), _SHARES)
    return min(1.0, _ELSEWHERE + max(_as_good(n, lead, moved, float(share), bound) for share in shares))


def _share(moved: int, n: int) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson."""
    from scipy.special import betaincinv

    low = float(betaincinv(moved, n - moved + 1, _ELSEWHERE / 2)) if moved else 0.0
    return low, float(betaincinv(moved + 1, n - moved, 1 - _ELSEWHERE / 2)) if moved < n else 1.0


def _as_good(n: int, lead: int, moved: int, share: float, bound: float) -> float:
    """Return the chance of a result at least as good as this one, were the mean loss `bound` and the two differed on this share of rows.

    Results are ranked by their distance from the bound in standard errors.
    """
    from scipy.special import bdtr, gammaln

    reach = 5 * (n * share * (1 - share)) ** 0.5 + 10
    count = np.arange(max(0, int(n * share - reach)), min(n, int(n * share + reach)) + 1, dtype=np.float64)
    ways = gammaln(n + 1) - gammaln(count + 1) - gammaln(n - count + 1)
    chance = np.exp(ways + count * np.log(share) + (n - count) * np.log1p(-min(share, 1 - 1e-12)))
    far, middle = (n * bound - lead) ** 2 / (moved + 1 - lead**2 / n), n * bound
    stretch = 1 + far / n
    inside = np.maximum(middle**2 - stretch * (middle**2 - far * (count + 1)), 0.0)
    most = np.floor(((middle - np.sqrt(inside)) / stretch + count) / 2 + 1e-9)
    worse = np.where(most >= 0, bdtr(np.clip(most, 0, count), count.astype(np.int64), min((share + bound) / (2 * share), 1.0)), 0.0)
    return float(chance @ worse + max(0.0, 1.0 - chance.sum()))


def keep_promise(losses: Floats, bound: float, *, level: float = 0.95) -> Promise:
    """Return the last threshold, from the safest (column 0) to the cheapest, at which "mean loss at most `bound`" still stands.

    `losses` are rows x thresholds, on rows that neither model nor threshold was fitted on. One error budget serves all thresholds, since
    the order is fixed before the losses are seen.
    """
    risk = 1.0 - level
    best, best_p = -1, 1.0
    for column in range(losses.shape[1]):
        p = p_value(losses[:, column], bound)
        if p > risk:
            return Promise(best >= 0, max(best, 0), best_p if best >= 0 else p, rows_needed(losses[:, column], bound, level=level))
        best, best_p = column, p
    return Promise(best >= 0, max(best, 0), best_p, 0)


def rows_needed(losses: Floats, bound: float, *, level: float = 0.95, power: float = 0.8) -> int:
    """Return about how many more rows would show that the mean loss is under the bound, if it is what these say; 0 if none would."""
    gap = bound - float(losses.mean())
    if gap <= 0:
        return 0
    z = NormalDist().inv_cdf(level) + NormalDist().inv_cdf(power)
    spread = max(float(losses.std()), 1.0 / len(losses))
    # Fewer rows show nothing, though none of them were a loss.
    without_a_loss = log(1.0 - level) / log(1.0 - bound) if 0.0 < bound < 1.0 else 0.0
    more = max(1, ceil(max((z * spread / gap) ** 2 * 1.3, without_a_loss)) - len(losses))
    return more if more <= _MOST_ROWS else 0
