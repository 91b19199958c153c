"""Preferences: what a judge's verdicts on pairs of answers say of each answer, once its liking for long ones is taken out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

__all__ = ["Pair", "length_bias", "verdicts"]

_KEEP = 4.0
"""Pairs that "length does not matter" is worth before any was seen."""
_STEPS = 50
_SUREST = 0.9
"""How often a verdict that is the same in both orders is believed to be right."""
_CLEAR = 0.6


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one row, and the judge's verdict over both orders."""

    first: str
    second: str
    won: float
    """1 the first in both orders, 0 the second, 0.5 undecided: an order that changes the verdict decides nothing."""
    longer_by: float
    """log(length of the first / length of the second)."""


def length_bias(pairs: Sequence[Pair]) -> float:
    """Return how much the log-odds of winning rise with the log of the length, never below 0 (as in Dubois et al. 2024, arXiv 2404.04475).

    What longer answers win because they are better counts as bias too: the correction errs on the side of "not known".
    """
    bias = 0.0
    for _ in range(_STEPS):
        expected = [_sigmoid(bias * pair.longer_by) for pair in pairs]
        slope = sum((p - pair.won) * pair.longer_by for p, pair in zip(expected, pairs, strict=True)) + _KEEP * bias
        curve = sum(p * (1 - p) * pair.longer_by**2 for p, pair in zip(expected, pairs, strict=True)) + _KEEP
        bias -= slope / curve
    return max(0.0, bias)


def verdicts(pairs: Sequence[Pair], bias: float) -> Mapping[str, bool]:
    """Return which of one row's answers are right: the one that clearly beats every other; those it beats are wrong.

    An answer about which that cannot be said is left out.
    """
    beats: dict[str, dict[str, float]] = {}
    for pair in pairs:
        won = _corrected(pair, bias)
        beats.setdefault(pair.first, {})[pair.second] = won
        beats.setdefault(pair.second, {})[pair.first] = 1.0 - won
    best = next((answer for answer, rivals in beats.items() if all(won >= _CLEAR for won in rivals.values())), None)
    return {} if best is None else {best: True, **dict.fromkeys(beats[best], False)}


def _corrected(pair: Pair, bias: float) -> float:
    """Return the chance that the first answer is better; length takes a verdict away, and never turns it round."""
    won = _sigmoid(_log_odds(pair.won) - bias * pair.longer_by)
    return max(0.5, won) if pair.won > 0.5 else min(0.5, won) if pair.won < 0.5 else 0.5


def _log_odds(won: float) -> float:
    """Return what a verdict says, believed no further than judges deserve."""
    p = 0.5 + (won - 0.5) * (2 * _SUREST - 1)
    return log(p / (1 - p))


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + exp(-max(-500.0, min(500.0, x))))
