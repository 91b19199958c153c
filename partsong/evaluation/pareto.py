"""Pareto front: the ways that no other way beats in both cost and accuracy."""

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

__all__ = ["Point", "front"]


class Point(NamedTuple):
    """One way's cost (in any one unit) and accuracy."""

    name: str
    cost: float
    accuracy: float


def front(points: Iterable[Point]) -> list[Point]:
    """Return the points that no other point dominates, cheapest first.

    A point dominates another when it is no dearer and no less accurate, and better in one of the two; equal points both stand.
    """
    kept: list[Point] = []
    best, best_cost = -inf, -inf
    for point in sorted(points, key=lambda p: (p.cost, -p.accuracy, p.name)):
        if point.accuracy > best or (point.accuracy == best and point.cost == best_cost):
            kept.append(point)
            best, best_cost = point.accuracy, point.cost
    return kept
