"""Worked: what one way came to, row by row, in seventeen bytes a row: right, cost, latency."""

from array import array
from math import isnan, nan

__all__ = ["RIGHT", "UNGRADED", "WRONG", "Worked"]

UNGRADED, WRONG, RIGHT = 0, 1, 2
"""What stands in `marks`."""


class Worked:
    """Columns by the row's number; rows that did not come are not there."""

    def __init__(self) -> None:
        self.marks = bytearray()
        """Whether each row is right."""
        self.cost = array("d")
        """Cost of each row, in any one unit; NaN where the row is not there."""
        self.latency_s = array("d")
        """Seconds until the answer; NaN where there was none."""

    def __len__(self) -> int:
        return len(self.marks)

    def put(self, row: int, right: bool | None, cost: float, latency_s: float | None) -> None:
        """Enter a row; `right` is None when there is nothing to compare it with, `latency_s` when it was not answered."""
        if missing := max(0, row + 1 - len(self.marks)):
            self.marks.extend(bytes(missing))
            self.cost.extend([nan] * missing)
            self.latency_s.extend([nan] * missing)
        self.marks[row] = UNGRADED if right is None else RIGHT if right else WRONG
        self.cost[row] = cost
        self.latency_s[row] = nan if latency_s is None else latency_s

    def has(self, row: int) -> bool:
        """Return whether the row is there."""
        return row < len(self.cost) and not isnan(self.cost[row])

    def answered(self, row: int) -> bool:
        """Return whether the row has an answer."""
        return row < len(self.latency_s) and not isnan(self.latency_s[row])
