"""Usage: what asking each model took, dollars and seconds, with 95 % intervals."""

from dataclasses import dataclass
from math import nan

import numpy as np

from partsong.evaluation.intervals import Interval
from partsong.evaluation.mean import Mean
from partsong.evaluation.quantiles import Quantiles
from partsong.learning.outcomes import Floats, Outcomes

__all__ = ["ModelUsage", "Within", "mean_of", "quantile_of", "usage_of"]

Within = tuple[float, float, float]
"""A figure, and the ends of its 95 % interval: NaN where the calls are too few for one."""


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What one model's calls took."""

    model: str
    calls: int
    """Rows with an outcome of it: its figures are of these."""
    cost_usd: float
    """Mean of a call, for a model that was never called as its price lets expect; NaN when that is not known."""
    cost_usd_low: float
    cost_usd_high: float
    """Student's interval of a mean."""
    latency_p50_s: float
    """Within 1 %; NaN when no call was timed."""
    latency_p50_s_low: float
    latency_p50_s_high: float
    """By order statistics, as the next."""
    latency_p95_s: float
    latency_p95_s_low: float
    latency_p95_s_high: float


def usage_of(outcomes: Outcomes) -> tuple[ModelUsage, ...]:
    """Return each model's usage, in their order."""
    return tuple(_usage(outcomes, m) for m in range(len(outcomes.models)))


def _usage(outcomes: Outcomes, m: int) -> ModelUsage:
    known = ~np.isnan(outcomes.right[:, m])
    latency = outcomes.latency_s[known, m] if outcomes.latency_s is not None else np.empty(0)
    cost = mean_of(outcomes.cost_usd[known, m]) if known.any() else (float(outcomes.mean_cost_usd[m]), nan, nan)
    return ModelUsage(outcomes.models[m], int(known.sum()), *cost, *quantile_of(latency, 0.5), *quantile_of(latency, 0.95))


def mean_of(values: Floats) -> Within:
    """Return the mean of what is known; NaN when nothing is."""
    found = Mean()
    for value in values[~np.isnan(values)].tolist():
        found.add(value)
    return _within(found.value if found.n else nan, found.interval())


def quantile_of(values: Floats, share: float) -> Within:
    """Return the quantile of what is known; NaN when nothing is."""
    found = Quantiles()
    known = values[~np.isnan(values)].tolist()
    for value in known:
        found.add(value)
    return _within(found.at(share) if known else nan, found.interval(share))


def _within(value: float, interval: Interval | None) -> Within:
    return (value, nan, nan) if interval is None else (value, *interval)
