"""Settings: what learning is for, and which of the policies they ask for."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from partsong.learning.judged import Kept, PolicyFigures

__all__ = ["Settings", "advised"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What learning is for."""

    max_loss: float = 0.01
    """How far below the best single model a promised policy may be, as a share of rows."""
    budget_usd: float | None = None
    """US dollars that 1,000 rows may cost."""
    value_of_correct_usd: float | None = None
    """US dollars that one more right answer is worth."""


def advised(figures: Sequence[PolicyFigures], kept: Kept | None, settings: Settings) -> str:
    """Return the policy to use: worth most by the value of a right answer, else most accurate within the budget, else the promised one.

    Value and budget choose among policies whose price is known.
    """
    priced = [f for f in figures if not isnan(f.usd_per_1000)]
    open_ = [f for f in priced if settings.budget_usd is None or f.usd_per_1000 <= settings.budget_usd]
    if settings.value_of_correct_usd is not None and open_:
        value = 1000 * settings.value_of_correct_usd
        return max(open_, key=lambda f: f.accuracy * value - f.usd_per_1000).policy
    if settings.budget_usd is not None and open_:
        return max(open_, key=lambda f: f.accuracy).policy
    return "promised" if kept is not None and kept.policy is not None else "best"
