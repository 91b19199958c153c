"""Comparison: two ways on the same rows: is one right more often than chance would make it?"""

from math import exp, lgamma, log, sqrt

from pydantic import NonNegativeInt

from partsong.contracts import Frozen, Probability
from partsong.evaluation.intervals import Interval, z_of

__all__ = ["Comparison", "mcnemar"]


class Comparison(Frozen):
    """How two ways, A and B, did on the rows that both were graded on."""

    both_right: NonNegativeInt = 0
    only_a: NonNegativeInt = 0
    """Rows that A alone has right."""
    only_b: NonNegativeInt = 0
    """Rows that B alone has right."""
    neither: NonNegativeInt = 0

    def plus(self, a_right: bool, b_right: bool) -> "Comparison":
        """Return this comparison with one more row."""
        cell = _CELLS[a_right, b_right]
        return self.model_copy(update={cell: getattr(self, cell) + 1})

    @property
    def rows(self) -> int:
        """Rows compared."""
        return self.both_right + self.only_a + self.only_b + self.neither

    @property
    def difference(self) -> float:
        """B's accuracy less A's; 0 of no rows."""
        return (self.only_b - self.only_a) / self.rows if self.rows else 0.0

    def difference_interval(self, level: float = 0.95) -> Interval:
        """Return the interval of the difference: Wald's with half a row added to each cell (Agresti & Min 2005), kept in [-1, 1]."""
        only_a, only_b, n = self.only_a + 0.5, self.only_b + 0.5, self.rows + 2
        middle = (only_b - only_a) / n
        half = z_of(level) * sqrt(max(0.0, only_a + only_b - (only_b - only_a) ** 2 / n)) / n
        return Interval(max(-1.0, middle - half), min(1.0, middle + half))

    @property
    def p_value(self) -> Probability:
        """How likely a difference at least this large is when both are equally good (McNemar's exact test)."""
        return mcnemar(self.only_a, self.only_b)


_CELLS = {(True, True): "both_right", (True, False): "only_a", (False, True): "only_b", (False, False): "neither"}


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided exact p-value (McNemar 1947): the discordant rows as tosses of a fair coin."""
    n, few = only_a + only_b, min(only_a, only_b)
    term = total = exp(lgamma(n + 1) - lgamma(few + 1) - lgamma(n - few + 1) - n * log(2.0))
    for k in range(few, 0, -1):  # each term from the one above; they shrink, and once too small to count the rest are too
        term *= k / (n - k + 1)
        total += term
        if term <= total * 1e-17:
            break
    return min(1.0, 2.0 * total)
