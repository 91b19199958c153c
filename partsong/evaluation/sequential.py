"""Sequential test: whether two arms differ, for whoever looks after every row and stops when it suits.

A test by betting (Waudby-Smith and Ramdas 2024, JRSS-B 86): against the claim that a mean is no larger than zero, a gambler stakes part of
his wealth on each value before he sees it. If the claim is true, no way of betting makes money on average, so that wealth passes 20 at any
time at all with a chance of 1 in 20 at most (Ville 1939). The wealth is the e-value; points against which too little was made are the
confidence sequence, which holds at every look together.

What is bet on is a row's effect as chance shows it: arms are drawn at random, so that an outcome weighed by one over its arm's chance has
the mean that is asked for, whatever the rows are like and however they change (Waudby-Smith et al. 2022, arXiv 2210.10768). What rows of a
stratum came to before is taken off first, which changes no mean and makes the test quicker.
"""

from collections import Counter, defaultdict
from math import exp, log1p
from typing import NamedTuple

from partsong.contracts import Arm
from partsong.evaluation.intervals import Interval

__all__ = ["LEVEL", "SURE", "Effect", "Seen", "Wealth"]

LEVEL = 0.95
"""Of the intervals, and of the test."""
SURE = 20.0
"""The e-value at which the test is sure at that level."""

_STAKES = tuple(0.9 / 2**k for k in range(8))
"""Shares of what can be staked; wealth is spread over them evenly, so that nobody has to know the size of the effect (a mixture)."""
_HALVINGS = 20
_MOST = 1e300
_MOST_LOG = 690.0


class Wealth:
    """What was won by betting that a mean is above zero."""

    def __init__(self) -> None:
        self._shares = [1.0] * len(_STAKES)
        self.best = 1.0
        """The largest e-value so far against "not above zero": what was sure once stays so."""

    def add(self, value: float, bound: float) -> None:
        """Take one value; `bound`, known before it, is as large as any loss it could have brought."""
        x = value / bound
        self._shares = [min(_MOST, share * (1.0 + stake * x)) for share, stake in zip(self._shares, _STAKES, strict=True)]
        self.best = max(self.best, sum(self._shares) / len(_STAKES))


class Seen(NamedTuple):
    """One row's effect as chance shows it."""

    value: float
    most: float
    """As large as it could have been, either way."""


class Effect:
    """Challenger less champion: how much more often it is right (or whatever else is yes or no)."""

    def __init__(self) -> None:
        self._up, self._down = Wealth(), Wealth()
        self._values = Counter[Seen]()
        self._total = 0.0
        self._strata: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        self.rows = 0
        """Rows it rests on."""

    def saw(self, arm: Arm, share: float, yes: bool, stratum: str = "") -> Seen:
        """Take one row, of which chance gave the challenger this share, in (0, 1); rows come in an order that their arm has no part in."""
        rows, times = self._strata[stratum]
        usual = round((times + 1) / (rows + 2), 2)
        self._strata[stratum] = rows + 1, times + yes
        surprise = yes - usual
        return self._taken(Seen(surprise / share if arm == "challenger" else -surprise / (1.0 - share), 1.0 / min(share, 1.0 - share)))

    def saw_both(self, champion: bool, challenger: bool) -> Seen:
        """Take one row that both arms answered."""
        return self._taken(Seen(float(challenger) - float(champion), 1.0))

    def _taken(self, seen: Seen) -> Seen:
        self.rows += 1
        self._total += seen.value
        self._values[seen] += 1
        self._up.add(seen.value, seen.most + 1.0)  # the bound of the interval too, so that the two never disagree
        self._down.add(-seen.value, seen.most + 1.0)
        return seen

    @property
    def difference(self) -> float:
        """The mean effect, in [-1, 1]; 0 of no rows."""
        return max(-1.0, min(1.0, self._total / self.rows)) if self.rows else 0.0

    @property
    def e_value(self) -> float:
        """The largest e-value so far against "no difference", however often one looked."""
        return max(self._up.best, self._down.best) / 2.0

    def interval(self, level: float = LEVEL) -> Interval:
        """Return the confidence sequence as of now."""
        chance = (1.0 - level) / 2.0
        return Interval(self._surely_above(1.0, chance), -self._surely_above(-1.0, chance))

    def _surely_above(self, sign: float, chance: float) -> float:
        """Return the point that the mean, or with sign -1 its negative, is above but for this chance."""
        low, high = -1.0, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            low, high = (middle, high) if self._against(sign, middle) >= 1.0 / chance else (low, middle)
        return -1.0 if low == -1.0 else low

    def _against(self, sign: float, point: float) -> float:
        """Return the e-value of now against a mean of no more than the point; with sign -1, of the negative."""
        logs = (
            sum(n * log1p(stake * (sign * seen.value - point) / (seen.most + 1.0)) for seen, n in self._values.items()) for stake in _STAKES
        )
        return sum(exp(min(_MOST_LOG, log)) for log in logs) / len(_STAKES)
