"""Usage: what asking each model took: dollars and seconds."""

from dataclasses import dataclass

import numpy as np

from partsong.learning.outcomes import Floats, Outcomes

__all__ = ["ModelUsage", "usage_of"]


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What one model's calls took."""

    model: str
    calls: int
    """Rows with an outcome of it."""
    cost_usd: float
    """Mean of a call; NaN when its price is not known."""
    latency_p50_s: float
    """NaN when no call was timed."""
    latency_p95_s: float


def usage_of(outcomes: Outcomes) -> tuple[ModelUsage, ...]:
    """Return each model's usage, in their order."""
    calls = (~np.isnan(outcomes.right)).sum(axis=0)
    cost = outcomes.mean_cost_usd
    latency = np.full(outcomes.right.shape, np.nan) if outcomes.latency_s is None else outcomes.latency_s
    return tuple(
        ModelUsage(model, int(calls[m]), float(cost[m]), _quantile(latency[:, m], 0.5), _quantile(latency[:, m], 0.95))
        for m, model in enumerate(outcomes.models)
    )


def _quantile(values: Floats, share: float) -> float:
    known = values[~np.isnan(values)]
    return float(np.quantile(known, share)) if known.size else float("nan")
