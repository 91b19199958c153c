"""Frontier: the rows handed out and not yet done, and with them the position before which every row is done."""

from partsong_cluster.batch.position import Position, Read

__all__ = ["Frontier"]


class Frontier:
    """A plain machine: rows go in in the input's order and are settled in any."""

    def __init__(self, start: Position) -> None:
        self._open: dict[int, Position] = {}
        self._next = start

    def __len__(self) -> int:
        return len(self._open)

    @property
    def low(self) -> Position:
        """Every row before this position is done."""
        return next(iter(self._open.values()), self._next)

    @property
    def high(self) -> Position:
        """Up to here the input is read."""
        return self._next

    def enter(self, read: Read) -> None:
        """A row is handed out."""
        self._open[read.at.row] = read.at
        self._next = read.after

    def skip(self, read: Read) -> None:
        """A row turns out to be done already."""
        self._next = read.after

    def settle(self, row: int) -> None:
        """A row is done for good."""
        del self._open[row]
