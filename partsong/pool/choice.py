"""Choice: which worker gets the next call (power of two choices, Mitzenmacher 2001)."""

from collections.abc import Callable

__all__ = ["choose"]


def choose(n: int, in_flight: Callable[[int], int], dice: Callable[[], float]) -> int:
    """Return which of `n` workers, by its index, is the less loaded of two drawn at random; `dice` draws from [0, 1).

    Two draws keep the longest queue near log log n while looking at two workers only, whatever their number.
    """
    first = int(dice() * n)
    second = (first + 1 + int(dice() * (n - 1))) % n if n > 1 else first
    return first if in_flight(first) <= in_flight(second) else second
