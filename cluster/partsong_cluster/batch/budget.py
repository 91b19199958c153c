"""Budget: a run's dollars. A row starts only if what is spent, what is in flight at worst, and its own worst case fit together."""

__all__ = ["Budget"]

_SLACK_USD = 1e-9
"""Sums of floats are a hair off."""


class Budget:
    """A plain machine. The worst case of a row is its estimate, or the dearest row seen so far if that was more."""

    def __init__(self, limit_usd: float, spent_usd: float = 0.0) -> None:
        self._limit_usd = limit_usd
        self.spent_usd = spent_usd
        self._held_usd: dict[int, float] = {}
        self._dearest_usd = 0.0

    def worst_usd(self, estimate_usd: float) -> float:
        """Return the worst case of a row of this estimate."""
        return max(estimate_usd, self._dearest_usd)

    def admit(self, row: int, estimate_usd: float) -> bool:
        """Hold the row's worst case if it fits; return whether it does."""
        worst_usd = self.worst_usd(estimate_usd)
        if self.spent_usd + sum(self._held_usd.values()) + worst_usd > self._limit_usd + _SLACK_USD:
            return False
        self._held_usd[row] = worst_usd
        return True

    def settle(self, row: int, cost_usd: float) -> None:
        """Replace the row's worst case by what it cost."""
        self._held_usd.pop(row, None)
        self.spent_usd += cost_usd
        self._dearest_usd = max(self._dearest_usd, cost_usd)
