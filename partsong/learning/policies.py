"""Policies: all that decides, fitted together on one table of outcomes; what comes of it on rows kept apart is measured beside it."""

from dataclasses import dataclass

from partsong.learning.frugal import Frugal, Goal, fit_frugal, vote_accuracy
from partsong.learning.gate import Gate, fit_gate
from partsong.learning.outcomes import Floats, Outcomes
from partsong.learning.weights import log_odds

__all__ = ["Policies", "best_model", "costs_something", "fit_policies", "pair_of", "usual_value_usd"]

_CHEAP = 0.15
"""A weak model costs at most this share of the strong one."""
_TIMES_THE_PRICE = 20.0


@dataclass(frozen=True, slots=True)
class Policies:
    """What one table of outcomes taught about whom to ask."""

    models: tuple[str, ...]
    best: str
    """The most accurate model of known price."""
    gate: Gate
    frugal: dict[Goal, Frugal]
    """Empty when no answer was kept, fewer than two prices are known, or the best model costs nothing."""


def fit_policies(outcomes: Outcomes) -> tuple[Policies, Floats]:
    """Fit gate and frugal policies; return them, and what the gate says of rows unseen (see fit_gate)."""
    gate, unseen = fit_gate(outcomes)
    best = best_model(outcomes)
    frugal: dict[Goal, Frugal] = {}
    if len(outcomes.priced) > 1 and costs_something(outcomes) and any(answer is not None for row in outcomes.answers for answer in row):
        vote = vote_accuracy(outcomes, log_odds(outcomes.accuracy))
        frugal = fit_frugal(outcomes, unseen, {Goal.BEST: float(outcomes.accuracy[best]), Goal.COST: 1.0, Goal.VOTE: vote})
    return Policies(outcomes.models, outcomes.models[best], gate, frugal), unseen


def costs_something(outcomes: Outcomes) -> bool:
    """Return whether there is anything to save: the best model of known price costs something."""
    return bool(outcomes.priced) and float(outcomes.mean_cost_usd[best_model(outcomes)]) > 0.0


def usual_value_usd(outcomes: Outcomes) -> float:
    """Return what a right answer is taken to be worth where nobody says, US dollars: twenty answers of the most accurate model."""
    return max(1e-9, _TIMES_THE_PRICE * float(outcomes.mean_cost_usd[best_model(outcomes)])) if outcomes.priced else 1.0


def best_model(outcomes: Outcomes) -> int:
    """Return the most accurate model of those whose price is known; of all when none is."""
    return max(outcomes.priced or range(len(outcomes.models)), key=lambda m: outcomes.accuracy[m])


def pair_of(outcomes: Outcomes) -> tuple[int, int]:
    """Return the weak and the strong model of two or more: the best, and the best of the much cheaper ones, else of the others."""
    strong = best_model(outcomes)
    cost = outcomes.mean_cost_usd
    others = [m for m in range(len(outcomes.models)) if m != strong]
    priced = [m for m in others if m in outcomes.priced]
    cheap = [m for m in priced if cost[m] <= _CHEAP * cost[strong]]
    return max(cheap or priced or others, key=lambda m: outcomes.accuracy[m]), strong
