"""Guarantee: the cheapest threshold that keeps a promise, with a probability one can state, whatever the model's confidences are worth.

Learn then test (arXiv 2110.01052): thresholds are tried from the safest down, each against "the loss is above the bound", and the search
stops at the first that cannot be ruled out. The p-values are those of a betting martingale (arXiv 2010.09686): valid for every n, no bell
assumed. Conformal risk control (arXiv 2208.02814) bounds the expected loss instead, for losses that fall as the threshold rises.
"""

from dataclasses import dataclass
from math import ceil, exp, log
from statistics import NormalDist

import numpy as np

from partsong.learning.outcomes import Floats

__all__ = ["Promise", "controlled", "keep_promise", "p_value", "rows_needed"]


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
            return f"not worse than by {100 * bound:.1f} points, with {level:.0%} confidence"
        need = f"; about {self.more_rows} more labelled rows would" if self.more_rows else ""
        return f"these rows cannot support the promise of at most {100 * bound:.1f} points at {level:.0%} confidence{need}"


def p_value(losses: Floats, bound: float, low: float = -1.0, high: float = 1.0) -> float:
    """Return a p-value against "the mean loss is above the bound" for losses between low and high.

    The bettor stakes on each loss being below the bound, by what the losses before it suggest, and never all it has; one over the
    greatest wealth is the p-value (Ville).
    """
    scaled, limit = (losses - low) / (high - low), (bound - low) / (high - low)
    wealth, most = 0.0, 0.0
    total, squares, seen = 0.5 * limit + 0.5, 0.25, 1
    for loss in scaled:
        mean, spread = total / seen, squares / seen
        stake = min(max((limit - mean) / (spread + (limit - mean) ** 2), 0.0), 0.75 / max(1.0 - limit, 1e-9))
        wealth += log(max(1.0 + stake * (limit - float(loss)), 1e-12))
        most = max(most, wealth)
        seen += 1
        total += float(loss)
        squares += (float(loss) - mean) ** 2
    return exp(-most)


def keep_promise(losses: Floats, bound: float, *, level: float = 0.95, low: float = -1.0, high: float = 1.0) -> Promise:
    """Return the last threshold, from the safest (column 0) to the cheapest, at which "mean loss at most `bound`" still stands.

    `losses` are rows x thresholds, on rows that neither model nor threshold was fitted on. One error budget serves all thresholds, since
    the order is fixed before the losses are seen.
    """
    risk = 1.0 - level
    best, best_p = -1, 1.0
    for column in range(losses.shape[1]):
        p = p_value(losses[:, column], bound, low, high)
        if p > risk:
            return Promise(best >= 0, max(best, 0), best_p if best >= 0 else p, rows_needed(losses[:, column], bound, level=level))
        best, best_p = column, p
    return Promise(best >= 0, max(best, 0), best_p, 0)


def rows_needed(losses: Floats, bound: float, *, level: float = 0.95, power: float = 0.8) -> int:
    """Return about how many more rows would show that the mean loss is under the bound, if it is what these say; 0 if it is not."""
    gap = bound - float(losses.mean())
    if gap <= 0:
        return 0
    z = NormalDist().inv_cdf(level) + NormalDist().inv_cdf(power)
    spread = max(float(losses.std()), 1.0 / len(losses))
    return max(1, ceil((z * spread / gap) ** 2 * 1.3) - len(losses))


def controlled(losses: Floats, bound: float, most: float = 1.0) -> int | None:
    """Return the cheapest threshold whose expected loss on a new row is at most `bound` (conformal risk control); None when there is none.

    `losses` are rows x thresholds from the safest to the cheapest, each row's loss never falling along them and at most `most`.
    """
    n = len(losses)
    risk = (losses.sum(axis=0) + most) / (n + 1)
    safe = np.flatnonzero(np.logical_and.accumulate(risk <= bound))
    return int(safe[-1]) if safe.size else None
