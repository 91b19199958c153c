"""Choice: which worker gets the next call (power of two choices, Mitzenmacher 2001)."""

from collections.abc import Callable, Sequence

__all__ = ["choose"]


def choose(in_flight: Sequence[int], dice: Callable[[], float]) -> int:
    """Return the index of the less loaded of two workers drawn at random; `dice` draws from [0, 1).

    Two draws keep the longest queue near log log n while looking at two workers only.
    """
    n = len(in_flight)
    first = int(dice() * n)
    second = (first + 1 + int(dice() * (n - 1))) % n if n > 1 else first
    return first if in_flight[first] <= in_flight[second] else second
