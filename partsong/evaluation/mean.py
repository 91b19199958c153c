"""Mean: of any number of values in flat memory, with the interval that their spread gives it."""

from partsong.evaluation.intervals import Interval, of_mean

__all__ = ["Mean"]


class Mean:
    """Adds values up one by one, with their squared distances (Welford 1962)."""

    def __init__(self) -> None:
        self.n = 0
        self.value = 0.0
        """0 of nothing."""
        self._squares = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.n += 1
        apart = value - self.value
        self.value += apart / self.n
        self._squares += apart * (value - self.value)

    def interval(self, times: float = 1.0) -> Interval | None:
        """Return the 95 % interval of so many times the mean; None of fewer than two values."""
        return of_mean(times * self.value, times * times * self._squares / max(1, self.n - 1), self.n)
