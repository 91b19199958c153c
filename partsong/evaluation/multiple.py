"""Many comparisons: p-values that stay honest when the best of several is looked at."""

from collections.abc import Sequence

__all__ = ["holm"]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted so that one error budget serves all of them, in the given order (Holm 1979, Scand. J. Stat. 6:65).

    Whatever the dependence between the comparisons, the chance that any true null is called a difference stays below the level.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    least = 0.0
    for rank, at in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * p_values[at]))
        adjusted[at] = least
    return adjusted
