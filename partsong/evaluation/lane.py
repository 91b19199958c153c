"""Lane: what one way came to on the rows that all ways are compared on; lanes can be chosen and mixed, always on other rows."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypeVar

from partsong.evaluation.pareto import Point, front

__all__ = ["Lane", "best_elsewhere", "mixed", "spliced"]

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Lane:
    """A number a row."""

    right: Sequence[float]
    """1 or 0; between them, of a mix, how likely it is right."""
    cost: Sequence[float]
    """In any one unit; of a mix, what is to be expected."""

    def on(self, rows: Sequence[int]) -> tuple[float, float]:
        """Return accuracy and mean cost on these rows."""
        return fmean(self.right[row] for row in rows), fmean(self.cost[row] for row in rows)


def best_elsewhere(lanes: Mapping[Name, Lane], fold: Sequence[int]) -> list[Name]:
    """Return for each row the way that is most often right on the rows of other folds, the cheapest of equals: no row judges itself."""
    chosen: dict[int, Name] = {}
    for part in set(fold):
        others = _others(fold, part)
        worth = {name: lane.on(others) for name, lane in lanes.items()}
        chosen[part] = max(worth, key=lambda name: (worth[name][0], -worth[name][1]))
    return [chosen[part] for part in fold]


def spliced(lanes: Mapping[Name, Lane], chosen: Sequence[Name]) -> Lane:
    """Return the lane that goes along another for each row."""
    return Lane([lanes[name].right[row] for row, name in enumerate(chosen)], [lanes[name].cost[row] for row, name in enumerate(chosen)])


def mixed(lanes: Mapping[Name, Lane], fold: Sequence[int], budget: float) -> Lane:
    """Return the most accurate random mix of two ways that costs the budget a row, chosen on the rows of other folds.

    A mix sends a share of the rows, drawn by lot, to the dearer one; its accuracy and cost are expectations, without the lot's own chance.
    With more than the dearest useful way costs there is nothing to buy, and with less than the cheapest costs there is no mix: then that
    way stands alone.
    """
    right, cost = [0.0] * len(fold), [0.0] * len(fold)
    for part in set(fold):
        shares = _shares(lanes, _others(fold, part), budget)
        for row in (row for row, mine in enumerate(fold) if mine == part):
            right[row] = sum(share * lanes[name].right[row] for name, share in shares)
            cost[row] = sum(share * lanes[name].cost[row] for name, share in shares)
    return Lane(right, cost)


def _others(fold: Sequence[int], part: int) -> list[int]:
    return [row for row, mine in enumerate(fold) if mine != part] or list(range(len(fold)))


def _shares(lanes: Mapping[Name, Lane], rows: Sequence[int], budget: float) -> list[tuple[Name, float]]:
    """Return the one or two ways of the mix with their shares."""
    by_name = {str(at): name for at, name in enumerate(lanes)}
    worth = {at: lanes[name].on(rows) for at, name in by_name.items()}
    hull = _hull(front(Point(at, cost, accuracy) for at, (accuracy, cost) in worth.items()))
    at = max((place for place, point in enumerate(hull) if point.cost <= budget), default=0)
    here = hull[at]
    if budget <= here.cost or at == len(hull) - 1:
        return [(by_name[here.name], 1.0)]
    dearer = hull[at + 1]
    share = (budget - here.cost) / (dearer.cost - here.cost)
    return [(by_name[here.name], 1.0 - share), (by_name[dearer.name], share)]


def _hull(points: Sequence[Point]) -> list[Point]:
    """Return the points of a front that no mix of two others beats (its upper concave hull), cheapest first."""
    hull: list[Point] = []
    for point in points:
        if hull and point.cost == hull[-1].cost:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-2], point):
            hull.pop()
        hull.append(point)
    return hull


def _slope(a: Point, b: Point) -> float:
    return (b.accuracy - a.accuracy) / (b.cost - a.cost)
