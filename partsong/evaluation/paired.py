"""Paired bootstrap: what follows from sums over rows (differences, savings, cost per right answer), with intervals."""

from collections.abc import Callable, Sequence
from math import ceil, floor, inf

from partsong.evaluation.figure import Figure

__all__ = ["Statistic", "paired_bootstrap"]

Statistic = Callable[[Sequence[float]], float]
"""What is wanted, out of the columns' means: `lambda m: m[1] - m[0]`, `lambda m: 1 - m[1] / m[0]`."""

_MOST_GROUPS = 500


def paired_bootstrap(
    columns: Sequence[Sequence[float]],
    statistics: Sequence[Statistic],
    dice: Callable[[], float],
    *,
    level: float = 0.95,
    resamples: int = 1000,
) -> list[Figure]:
    """Return each statistic of the columns' means with its percentile interval; `dice` draws from [0, 1).

    A column holds one number a row, and rows are drawn whole, so that what two ways share of a row's difficulty cancels out (paired
    bootstrap: Efron and Tibshirani 1993, ch. 8). Rows past five hundred are drawn in five hundred groups of equal size, put together at
    random, which leaves means as they are and the time flat. A statistic that divides by nothing is infinite. ValueError without rows.
    """
    n = len(columns[0]) if columns else 0
    if n == 0:
        raise ValueError("no rows to resample")
    groups = min(n, _MOST_GROUPS)
    order = sorted(range(n), key=lambda _: dice())  # the rows' own order may repeat in step with the groups
    sums = [[sum(map(column.__getitem__, order[g::groups])) for g in range(groups)] for column in columns]
    sizes = [float(len(range(g, n, groups))) for g in range(groups)]
    found: list[list[float]] = [[] for _ in statistics]
    for _ in range(resamples):
        drawn = [int(dice() * groups) for _ in range(groups)]
        rows = sum(map(sizes.__getitem__, drawn))
        means = [sum(map(column.__getitem__, drawn)) / rows for column in sums]
        for values, statistic in zip(found, statistics, strict=True):
            values.append(_of(statistic, means))
    means = [sum(column) / n for column in sums]
    return [_figure(_of(statistic, means), sorted(values), level, n) for statistic, values in zip(statistics, found, strict=True)]


def _of(statistic: Statistic, means: Sequence[float]) -> float:
    try:
        return statistic(means)
    except ZeroDivisionError:
        return inf


def _figure(value: float, found: Sequence[float], level: float, n: int) -> Figure:
    tail = (1.0 - level) / 2.0 * (len(found) - 1)
    return Figure(value=value, low=found[floor(tail)], high=found[ceil(len(found) - 1 - tail)], n=n)
