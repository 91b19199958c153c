"""Capability matrix: models x task kinds, each cell an accuracy with interval, cost and count; small counts shrink to the model's mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from partsong.contracts import PartType
from partsong.learning.folds import firsts
from partsong.learning.outcomes import Bools, Floats, Outcomes
from partsong.learning.usage import mean_of, quantile_of

__all__ = ["Cell", "Gap", "capability_matrix", "gaps", "reading_gaps"]

_LEAST_PRIOR = 2.0
_MOST_PRIOR = 50.0
"""Rows that a model's mean is worth at most for a kind that was hardly tried: kinds do differ, also where these rows show no sign of it."""
_JEFFREYS = 0.5
"""Of right and of wrong rows, beside the model's mean: no number of rows that are all alike makes it certain that the next is."""
_FEWEST = 20
"""Below this many rows a cell counts as not known when gaps are named."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One model on one kind of task."""

    model: str
    kind: str
    n: int
    accuracy: float
    """Shrunk towards the model's mean (empirical Bayes), so that three lucky rows are not a talent."""
    low: float
    high: float
    """The 95 % credible interval."""
    cost_usd: float
    """Mean cost of these rows' calls; NaN when the price is not known, or there is none."""
    cost_usd_low: float
    cost_usd_high: float
    """95 % interval, as in `ModelUsage`: NaN where rows are too few for one."""
    latency_s: float
    """Median of these rows' calls; NaN when none was timed."""
    latency_s_low: float
    latency_s_high: float


@dataclass(frozen=True, slots=True)
class Gap:
    """What the models leave open."""

    kind: str
    reason: Literal["nobody-good", "only-one", "hardly-tried", "only-one-reads"]
    words: str


def capability_matrix(outcomes: Outcomes) -> list[Cell]:
    """Return a cell for each model and kind, models in their order, kinds by name; one kind "all" when none are known."""
    kinds = np.array(outcomes.kinds or ("all",) * len(outcomes))
    names = sorted(set(kinds.tolist()))
    cells = []
    latency = np.full(outcomes.right.shape, np.nan) if outcomes.latency_s is None else outcomes.latency_s
    for m, model in enumerate(outcomes.models):
        known = _asked_once(outcomes, m)
        right = np.array([outcomes.right[known & (kinds == k), m].sum() for k in names])
        count = np.array([(known & (kinds == k)).sum() for k in names], dtype=np.float64)
        strength, mean = _prior(right, count)
        for k, name in enumerate(names):
            own = known & (kinds == name)
            usd, took_s = mean_of(outcomes.cost_usd[own, m]), quantile_of(latency[own, m], 0.5)
            a, b = right[k] + strength * mean + _JEFFREYS, count[k] - right[k] + strength * (1 - mean) + _JEFFREYS
            low, high = _credible(a, b)
            cells.append(Cell(model, name, int(count[k]), float(a / (a + b)), low, high, *usd, *took_s))
    return cells


def _asked_once(outcomes: Outcomes, m: int) -> Bools:
    """Return the rows on which it is known whether the model is right, each question once."""
    known = np.flatnonzero(~np.isnan(outcomes.right[:, m]))
    rows = np.zeros(len(outcomes), dtype=np.bool_)
    rows[known[firsts([outcomes.prompts[i] for i in known])]] = True
    return rows


def _prior(right: Floats, count: Floats) -> tuple[float, float]:
    """Return how many rows the model's mean is worth, and that mean: the beta prior with the spread that the kinds show (moments).

    It is worth no more rows than it was taken from.
    """
    mean = (right.sum() + _JEFFREYS) / (count.sum() + 2 * _JEFFREYS)
    tried = count > 0
    if tried.sum() < 2:
        return _LEAST_PRIOR, float(mean)
    shares = right[tried] / count[tried]
    weight = count[tried]
    seen = float((weight * (shares - mean) ** 2).sum() / weight.sum())
    chance = float(mean * (1 - mean) * tried.sum() / weight.sum())
    between = max(seen - chance, 1e-4)
    return float(np.clip(mean * (1 - mean) / between - 1, _LEAST_PRIOR, min(_MOST_PRIOR, max(_LEAST_PRIOR, count.sum())))), float(mean)


def _credible(a: float, b: float) -> tuple[float, float]:
    from scipy.stats import beta

    low, high = beta.ppf([0.025, 0.975], a, b)
    return float(low), float(high)


def gaps(cells: Sequence[Cell], good: float = 0.7) -> list[Gap]:
    """Return what a person should know: kinds that nobody does well, that only one does, that were hardly tried."""
    found = []
    for kind in sorted({c.kind for c in cells}):
        row = [c for c in cells if c.kind == kind]
        able = [c for c in row if c.accuracy >= good]
        if max(c.n for c in row) < _FEWEST:
            most = max(c.n for c in row)
            found.append(Gap(kind, "hardly-tried", f"{kind}: at most {most} row{'' if most == 1 else 's'} a model; too few to say"))
        elif not able:
            best = max(row, key=lambda c: c.accuracy)
            found.append(
                Gap(kind, "nobody-good", f"no model above {100 * good:.0f} % on {kind} (best {best.model}, {100 * best.accuracy:.0f} %)")
            )
        elif len(able) == 1 and len(row) > 1:
            found.append(Gap(kind, "only-one", f"only {able[0].model} is above {100 * good:.0f} % on {kind}"))
    return found


def reading_gaps(accepts: Mapping[str, Sequence[PartType]]) -> list[Gap]:
    """Return the kinds of content, text and code aside, that one model alone reads of those whose cards are given."""
    readers = {part: [model for model, parts in accepts.items() if part in parts] for parts in accepts.values() for part in parts}
    alone = {part: models[0] for part, models in readers.items() if len(models) == 1 and len(accepts) > 1}
    return [Gap(part, "only-one-reads", f"only {model} reads {_READ[part]}") for part, model in sorted(alone.items()) if part in _READ]


_READ: Mapping[PartType, str] = {"image": "images", "audio": "sound", "file": "files"}
