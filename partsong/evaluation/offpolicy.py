"""Off-policy: what another way of routing would have come to, from rows that were routed partly at random.

A row tells of another policy only where both chose alike, and chance made that more likely for some rows than for others. Weighing each
such row by one over its chance undoes that. A prediction of what was not seen makes it steadier, and does no harm where it is wrong.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from partsong.contracts import Frozen
from partsong.evaluation.figure import Figure
from partsong.evaluation.paired import paired_bootstrap

__all__ = ["Logged", "OffPolicy", "off_policy"]


@dataclass(frozen=True, slots=True)
class Logged:
    """One row as it was routed, and where the other policy would have sent it."""

    chosen: str
    propensity: float
    """How likely that choice was, in (0, 1]."""
    wanted: str
    value: float
    """What the choice came to: 1 or 0 for right, dollars, seconds."""


class OffPolicy(Frozen):
    """Two estimates of the other policy's mean value."""

    weighted: Figure
    """Self-normalised inverse propensity (Swaminathan and Joachims 2015); n is the rows on which both chose alike."""
    doubly_robust: Figure
    """Doubly robust (Dudik, Langford and Li 2011), the prediction being each choice's mean on other rows."""
    effective_rows: float
    """How many rows of equal weight would tell as much (Kish)."""


def off_policy(rows: Sequence[Logged], dice: Callable[[], float]) -> OffPolicy | None:
    """Return the estimates with bootstrap intervals; None when no row was routed as the other policy would have routed it."""
    weights = [1.0 / row.propensity if row.chosen == row.wanted else 0.0 for row in rows]
    alike = sum(weight > 0.0 for weight in weights)
    if not alike:
        return None
    predicted, expected = _predictions(rows)
    robust = [
        at_wanted + weight * (row.value - at_chosen)
        for row, weight, at_wanted, at_chosen in zip(rows, weights, predicted, expected, strict=True)
    ]
    columns = [weights, [weight * row.value for weight, row in zip(weights, rows, strict=True)], robust]
    weighted, doubly_robust = paired_bootstrap(columns, [lambda m: m[1] / m[0], lambda m: m[2]], dice)
    effective = sum(weights) ** 2 / sum(weight * weight for weight in weights)
    return OffPolicy(weighted=weighted.model_copy(update={"n": alike}), doubly_robust=doubly_robust, effective_rows=effective)


def _predictions(rows: Sequence[Logged]) -> tuple[list[float], list[float]]:
    """Return for each row what the wanted and the chosen way come to on the other rows; the mean of all where there is none."""
    total: defaultdict[str, float] = defaultdict(float)
    count: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        total[row.chosen] += row.value
        count[row.chosen] += 1
    mean = sum(total.values()) / len(rows)

    def without(row: Logged, way: str) -> float:
        own = row.chosen == way
        others = count[way] - own
        return (total[way] - own * row.value) / others if others else mean

    return [without(row, row.wanted) for row in rows], [without(row, row.chosen) for row in rows]
