"""Paid again: which of the calls that reached the provider nothing excuses, by its own count and the journal's commits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf

from providers.provider import Arrival

__all__ = ["Reach", "paid_again"]


@dataclass(frozen=True, slots=True)
class Reach:
    """When a fault can have taken calls in flight along: from when it struck until what it broke is whole again."""

    from_s: float
    until_s: float
    at_most: int
    """How many calls it can have taken along."""


def paid_again(asks: Iterable[Arrival], held_since: Mapping[str, float], reach: Reach | None) -> int:
    """Return how many asks are paid again; None stands for a fault that takes no call along.

    One is when the journal held the call before it came; or when the call was asked before, and that earlier ask was not under way at any
    moment within the fault's reach; or when it is one more than the fault can have taken along. Asks are given in the order in which they
    came, `held_since` by what is asked, all on one clock.
    """
    paid = excused = 0
    earlier: dict[str, float] = {}
    for ask in asks:
        if ask.at_s > held_since.get(ask.prompt, inf):
            paid += 1
        elif ask.prompt in earlier:
            under_way = reach is not None and earlier[ask.prompt] <= reach.until_s and ask.at_s >= reach.from_s
            excused += under_way
            paid += not under_way
        earlier[ask.prompt] = ask.at_s
    return paid + max(0, excused - (reach.at_most if reach else 0))
