"""Policies: all that decides, fitted together on one table of outcomes; what comes of it on rows kept apart is measured beside it."""

from dataclasses import dataclass

import numpy as np

from partsong.learning.frugal import Frugal, Goal, fit_frugal, vote_accuracy
from partsong.learning.gate import Gate, Need, fit_gate, fit_need
from partsong.learning.outcomes import Floats, Outcomes
from partsong.learning.weights import log_odds

__all__ = ["Policies", "best_model", "costs_something", "fit_policies", "pair_of"]

_CHEAP = 0.15
"""A weak model costs at most this share of the strong one."""


@dataclass(frozen=True, slots=True)
class Policies:
    """What one table of outcomes taught about whom to ask."""

    models: tuple[str, ...]
    best: str
    """The most accurate model of known price."""
    gate: Gate
    need: Need
    half: float
    """The need above which half of the questions lie: a route asks the strong model from there on."""
    frugal: dict[Goal, Frugal]
    """Empty when no answer was kept, no price is known, or the best model costs nothing."""


def fit_policies(outcomes: Outcomes, *, beside: Floats | None = None) -> tuple[Policies, Floats]:
    """Fit gate, need and frugal policies; return them, and what the gate says of rows unseen (see fit_gate). `beside`: see fit_need."""
    weak, strong = pair_of(outcomes)
    gate, unseen = fit_gate(outcomes)
    need = fit_need(outcomes, weak, strong, beside=beside)
    best = best_model(outcomes)
    frugal: dict[Goal, Frugal] = {}
    if costs_something(outcomes) and any(answer is not None for row in outcomes.answers for answer in row):
        vote = vote_accuracy(outcomes, log_odds(outcomes.accuracy))
        frugal = fit_frugal(outcomes, unseen, {Goal.BEST: float(outcomes.accuracy[best]), Goal.COST: 1.0, Goal.VOTE: vote})
    half = float(np.median(need.score(outcomes.prompts)))
    return Policies(outcomes.models, outcomes.models[best], gate, need, half, frugal), unseen


def costs_something(outcomes: Outcomes) -> bool:
    """Return whether there is anything to save: the best model of known price costs something."""
    return bool(outcomes.priced) and float(outcomes.mean_cost_usd[best_model(outcomes)]) > 0.0


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
