"""Paid again: which of the calls that reached the provider nothing excuses, by its own count and the journal's commits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf

from providers.provider import Arrival

__all__ = ["Paid", "Reach", "paid_again"]


@dataclass(frozen=True, slots=True)
class Reach:
    """When a fault can have taken calls in flight along: from when it struck until what it broke is whole again."""

    from_s: float
    until_s: float
    at_most: int
    """How many calls it can have taken along."""


@dataclass(frozen=True, slots=True)
class Paid:
    """A call that was paid again."""

    what: str
    at_s: float
    """When it reached the provider."""
    earlier_s: float | None
    """When it had before."""
    held_s: float | None
    """Since when the journal holds it."""

    def told(self, from_s: float) -> str:
        """Return it in words, in seconds from a moment on."""
        moments = {"came": self.at_s, "asked before": self.earlier_s, "held": self.held_s}
        return f"{self.what!r} " + ", ".join(f"{name} {at_s - from_s:+.2f} s" for name, at_s in moments.items() if at_s is not None)


def paid_again(asks: Iterable[Arrival], held_since: Mapping[str, float], reach: Reach | None) -> list[Paid]:
    """Return the asks that are paid again; a reach of None stands for a fault that takes no call along.

    One is when the journal held the call before it came; or when the call was asked before, and that earlier ask was not under way at any
    moment within the fault's reach; or when it is one more than the fault can have taken along. Asks are given in the order in which they
    came, `held_since` by what is asked, all on one clock.
    """
    paid: list[Paid] = []
    excused = 0
    earlier: dict[str, float] = {}
    for ask in asks:
        before_s, held_s = earlier.get(ask.prompt), held_since.get(ask.prompt)
        earlier[ask.prompt] = ask.at_s
        is_held = ask.at_s > (inf if held_s is None else held_s)
        if before_s is None and not is_held:
            continue
        taken_along = before_s is not None and reach is not None and before_s <= reach.until_s and ask.at_s >= reach.from_s
        if taken_along and not is_held and excused < reach.at_most:
            excused += 1
        else:
            paid.append(Paid(ask.prompt, ask.at_s, before_s, held_s))
    return paid
