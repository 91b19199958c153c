"""Off-policy: what another way of routing would have come to, from rows that were routed partly at random.

A row tells of another policy only where both chose alike, and chance made that more likely for some rows than for others. Weighing each
such row by one over its chance undoes that. A prediction of what was not seen makes it steadier, and does no harm where it is wrong.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import NonNegativeInt

from partsong.contracts import Frozen
from partsong.evaluation.figure import Figure
from partsong.evaluation.paired import paired_bootstrap

__all__ = ["Logged", "OffPolicy", "off_policy"]

_FEWEST_EFFECTIVE = 30.0
"""Rows of equal weight; of fewer no interval is to be believed."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One row as it was routed, and where the other policy would have sent it."""

    chosen: str
    propensity: float
    """How likely that choice was, in (0, 1)."""
    wanted: str
    value: float
    """What the choice came to: 1 or 0 for right, dollars, seconds."""
    lottery: str = ""
    """What drew it: ways that this never chose had no chance on its rows."""


class OffPolicy(Frozen):
    """Two estimates of the other policy's mean value."""

    weighted: Figure
    """Self-normalised inverse propensity (Swaminathan and Joachims 2015); n is the rows on which both chose alike. Of the rows whose wanted
    way had a chance."""
    doubly_robust: Figure | None
    """Doubly robust (Dudik, Langford and Li 2011), the prediction being each choice's mean on other rows; None when a way is wanted that no
    row was ever drawn for, or one alone: there is nothing to predict it by."""
    effective_rows: float
    """How many rows of equal weight would tell as much (Kish); 30 at least."""
    without_chance: NonNegativeInt
    """Rows whose wanted way had no chance, since their lottery never chose it: the estimate says nothing of them."""


def off_policy(rows: Sequence[Logged], dice: Callable[[], float]) -> OffPolicy | None:
    """Return the estimates with bootstrap intervals; None where the rows that were routed as the other policy would weigh less than 30."""
    count = Counter((row.lottery, row.chosen) for row in rows)
    told = [row for row in rows if count[row.lottery, row.wanted]]
    weights = [1.0 / row.propensity if row.chosen == row.wanted else 0.0 for row in told]
    squares = sum(weight * weight for weight in weights)
    effective = sum(weights) ** 2 / squares if squares else 0.0
    if effective < _FEWEST_EFFECTIVE:
        return None
    [weighted] = paired_bootstrap(
        [weights, [weight * row.value for weight, row in zip(weights, told, strict=True)]], [lambda m: m[1] / m[0]], dice
    )
    return OffPolicy(
        weighted=weighted.model_copy(update={"n": sum(weight > 0.0 for weight in weights)}),
        doubly_robust=_doubly_robust(rows, weights, count, dice) if all(count[row.lottery, row.wanted] > 1 for row in rows) else None,
        effective_rows=effective,
        without_chance=len(rows) - len(told),
    )


def _doubly_robust(rows: Sequence[Logged], weights: Sequence[float], count: Counter[tuple[str, str]], dice: Callable[[], float]) -> Figure:
    """Return the estimate, of rows whose wanted way each was chosen on two rows at least."""
    total: defaultdict[tuple[str, str], float] = defaultdict(float)
    for row in rows:
        total[row.lottery, row.chosen] += row.value

    def predicted(row: Logged) -> float:
        own, way = row.chosen == row.wanted, (row.lottery, row.wanted)
        return (total[way] - own * row.value) / (count[way] - own)

    robust = []
    for row, weight in zip(rows, weights, strict=True):  # a row that was routed otherwise has no weight
        usual = predicted(row)
        robust.append(usual + weight * (row.value - usual))
    return paired_bootstrap([robust], [lambda m: m[0]], dice)[0]
