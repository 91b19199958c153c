"""Figure: a number as it may be told: with its interval, and the rows that it rests on."""

from pydantic import NonNegativeInt

from partsong.contracts import Frozen
from partsong.evaluation.intervals import wilson

__all__ = ["Figure", "share_of"]


class Figure(Frozen):
    """An estimate."""

    value: float
    low: float
    """The interval's lower end, 95 % unless told."""
    high: float
    n: NonNegativeInt
    """Rows behind it."""

    def beyond(self, point: float) -> bool:
        """Return whether the interval leaves the point out: what these rows show is more than chance."""
        return not self.low <= point <= self.high


def share_of(count: int, n: int) -> Figure | None:
    """Return a share with its score interval; None of no rows."""
    if n == 0:
        return None
    low, high = wilson(count, n)
    return Figure(value=count / n, low=low, high=high, n=n)
