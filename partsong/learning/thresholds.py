"""Thresholds: from which confidence on each tier of a cascade is trusted, chosen on outcomes so that a promise can be kept.

The rows that teach say what each tier's confidence is worth (trusted.py), which levels of it to try, and in which order: of a grid of them
the most accurate within ever smaller costs, from the safest to the cheapest. The rows kept back are looked at only to test them in that
order (guarantee.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from partsong.learning.folds import firsts
from partsong.learning.guarantee import Promise
from partsong.learning.judged import PolicyFigures, figures_of, kept_back, promise_of, promise_words, teaches
from partsong.learning.outcomes import FEWEST_ROWS, Bools, Floats, Ints, Outcomes
from partsong.learning.policies import best_model, costs_something
from partsong.learning.trusted import Trusted, fit_trusted, honest

__all__ = ["Climb", "Thresholds", "Way", "fit_thresholds"]

_NEVER = 1.0
"""No confidence is worth this much: the tier is always climbed past."""
_MOST_LEVELS = {1: 40, 2: 16, 3: 8}
"""Levels to try of each tier, by how many tiers have one: some hundred ways altogether."""
_FEWEST_LEVELS = 4
_STEPS = 24
"""Ways to climb that are tried, from the best single model's cost down: for each cost the most accurate way within it."""
_MOST_MISSING = 0.05
"""Share of the labelled rows on which a tier's answer may be unknown: those that are left would not be like the whole."""


@dataclass(frozen=True, slots=True)
class Climb:
    """A cascade whose thresholds are to be learned, and what its tiers gave, row by row beside the models' outcomes."""

    plan: str
    """Its name in the mesh file."""
    rungs: tuple[str, ...]
    """Its tiers in words, the last without a rule: `mini by logprob`, `large`."""
    made_of: str
    """Tells the plans that it asks from any other of the same names."""
    tiers: Outcomes
    """A column a tier; `stated` is what its rule measured."""
    asked: Floats
    """How many models each tier asked, rows x tiers."""

    def rows(self, which: Ints) -> "Climb":
        """Return these rows alone."""
        return replace(self, tiers=self.tiers.rows(which), asked=self.asked[which])


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What was learned of one cascade."""

    plan: str
    rungs: tuple[str, ...]
    made_of: str
    promise: Promise | None
    """None where nothing could be tested."""
    words: str
    """What is promised, or why nothing is."""
    rows: int
    """Rows it was tested on, each question once."""
    levels: tuple[float, ...]
    """Of each tier but the last, the chance to be right from which on its answer is trusted; empty when nothing can be promised."""
    worth: tuple[Trusted, ...]
    """What the tiers' confidences are worth, by tier and kind, as the promise was tested with it."""

    @property
    def told(self) -> str:
        """What was learned, in a sentence."""
        if not self.levels:
            return f"{self.plan}: {self.words}"
        ece = {one.model: one.ece for one in self.worth if one.kind == "all"}
        tiers = zip(self.rungs, self.levels, strict=False)  # the last tier has no level
        trusts = ", ".join(f"{rung} from {level:.3f} (ECE {ece[rung]:.3f})" for rung, level in tiers)
        return f"{self.plan}: {self.words}. It trusts {trusts}"


def fit_thresholds(climb: Climb, outcomes: Outcomes, own: Sequence[int], max_loss: float) -> tuple[Thresholds, PolicyFigures | None]:
    """Return the cheapest levels of which the promise holds, and what they gave on the rows kept back; none where it holds of none.

    The promise: not below the best single model, one of the columns `own`, by more than `max_loss`, a share of rows.
    """
    judges, models = kept_back(outcomes.prompts), outcomes.columns(own)
    if not teaches(models, ~judges):
        return _without(climb, "some model is known by rows kept back alone", 0, ()), None
    best = best_model(models.rows(np.flatnonzero(~judges)))
    known = _known(climb, models.right[:, best])
    rows = np.flatnonzero(_labelled(climb, models.right[:, best]) & judges)
    taught, held = climb.rows(np.flatnonzero(known & ~judges)), climb.rows(rows)
    tests = firsts(held.tiers.prompts)
    count = int(tests.sum())
    worth = fit_trusted(taught.tiers)
    if problem := _problem(climb, known, models.columns([best]), worth, count):
        return _without(climb, problem, count, worth), None
    ladder = _ladder(Way.of(taught, worth), float(models.mean_cost_usd[best]))
    if not ladder:
        return _without(climb, "whatever its thresholds, it costs as much as the best single model, or more", count, worth), None
    way = Way.of(held, worth)
    walks = [way.walk(levels) for levels in ladder]
    losses = models.right[rows, best][:, None] - np.stack([walk.right for walk in walks], axis=1)
    promise = promise_of(losses[tests], max_loss)
    walk = walks[promise.index]
    seen = known[rows]  # a row of which something is not known has lost, and has no cost to compare
    right, cost, asked = (each[seen] for each in (walk.right, walk.cost_usd, walk.asked))
    cheaper = promise.kept and bool(cost.mean() < np.nanmean(models.cost_usd[rows[seen], best]))
    words = promise_words(promise, max_loss, cheaper=cheaper)
    found = Thresholds(climb.plan, climb.rungs, climb.made_of, promise, words, count, ladder[promise.index] if cheaper else (), worth)
    return found, figures_of(f"cascade@{climb.plan}", right, cost, None, asked) if cheaper else None


def _known(climb: Climb, best: Floats) -> Bools:
    """Return the rows on which it is known of every tier, and of the best single model, whether it is right."""
    return np.asarray(~np.isnan(climb.tiers.right).any(axis=1) & ~np.isnan(best))


def _labelled(climb: Climb, best: Floats) -> Bools:
    """Return the rows on which it is known of some tier, or of the best single model, whether it is right."""
    return np.asarray(~np.isnan(climb.tiers.right).all(axis=1) | ~np.isnan(best))


def _without(climb: Climb, words: str, rows: int, worth: tuple[Trusted, ...]) -> Thresholds:
    return Thresholds(climb.plan, climb.rungs, climb.made_of, None, words, rows, (), worth)


def _problem(climb: Climb, known: Bools, single: Outcomes, worth: Sequence[Trusted], judges: int) -> str:
    """Return what keeps anything from being tested, in words; empty when nothing does."""
    labelled = int(_labelled(climb, single.right[:, 0]).sum())
    told = {one.model for one in worth if one.kind == "all"}
    silent = [rung for rung in climb.rungs[:-1] if rung not in told]
    if labelled - known.sum() > _MOST_MISSING * labelled:
        return f"of {labelled:,} labelled rows only {known.sum():,} have an answer of every tier; record a run that asks all of them"
    if silent:
        return f"the runs hold too few confidences of {', '.join(silent)} to say what they are worth"
    if judges < FEWEST_ROWS:
        return f"{judges} rows kept back are too few to test anything on"
    if np.isnan(climb.tiers.cost_usd[known]).any() or not single.priced:
        return "the price of a model that it asks is not known: nothing says what is cheaper"
    if not costs_something(single):
        return "the best single model costs nothing: there is nothing to save"
    return ""


@dataclass(frozen=True, slots=True)
class _Walk:
    """What one way to climb came to, row by row."""

    right: Floats
    cost_usd: Floats
    asked: Floats


@dataclass(frozen=True, slots=True)
class Way:
    """Rows to climb on."""

    tiers: Outcomes
    sure: Floats
    """Each tier's confidence made honest; NaN where there is none, which no level trusts."""
    asked: Floats

    @classmethod
    def of(cls, climb: Climb, worth: Sequence[Trusted]) -> "Way":
        """Return the rows with their confidences as they proved to be worth."""
        return cls(climb.tiers, honest(worth, climb.tiers), climb.asked)

    def walk(self, levels: Sequence[float]) -> _Walk:
        """Stop at the first tier that is as sure as its level, else at the last."""
        trusted = np.ones(self.tiers.right.shape, dtype=np.bool_)
        trusted[:, :-1] = self.sure[:, :-1] >= np.array(levels)
        at, rows = trusted.argmax(axis=1), np.arange(len(self.tiers))
        cost, asked = (np.cumsum(each, axis=1)[rows, at] for each in (self.tiers.cost_usd, self.asked))
        return _Walk(self.tiers.right[rows, at], cost, asked)


def _ladder(way: Way, unit_usd: float) -> list[tuple[float, ...]]:
    """Return levels of all tiers from the safest to the cheapest, all of which cost less than `unit_usd`; none where none does."""
    count = way.sure.shape[1] - 1
    grid = list(product(*(_levels(way.sure[:, tier], _MOST_LEVELS.get(count, _FEWEST_LEVELS)) for tier in range(count))))
    accuracy, cost = np.array([(walk.right.mean(), walk.cost_usd.mean()) for walk in map(way.walk, grid)]).T
    budgets = np.linspace(unit_usd, cost.min(), _STEPS) if cost.min() < unit_usd else ()
    return list(dict.fromkeys(grid[int(np.where(cost <= budget, accuracy, -1.0).argmax())] for budget in budgets))


def _levels(sure: Floats, most: int) -> Iterator[float]:
    """Yield levels to try: between neighbouring confidences, so that none turns on the last digit, evenly spread over the rows."""
    seen = np.unique(sure[~np.isnan(sure)])
    between = (seen[1:] + seen[:-1]) / 2
    spread = np.quantile(sure[~np.isnan(sure)], np.linspace(0, 1, most)) if len(between) >= most else seen
    yield from np.unique(between[np.clip(np.searchsorted(between, spread), 0, len(between) - 1)]).tolist() if len(between) else ()
    yield from (0.0, _NEVER)
