"""Posterior: how likely each candidate answer is right, given who said it.

A conditional logit over the candidates and "none of these": each vote adds the model's weight, moved by what the gate thinks of the model
on this prompt. The weights are fitted together, over random subsets of the models, so that models which err alike count less than alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from partsong.learning.calibration import logit
from partsong.learning.outcomes import Bools, Floats, Ints, Outcomes

__all__ = ["Ballots", "Posterior", "ballots", "fit_posterior"]

_STEPS = 160
_RATE = 0.06
_KEEP = 0.01
_MOST_ASKED = 8
_MOST_ROWS = 3000


@dataclass(frozen=True, slots=True)
class Ballots:
    """Answers as numbers: which candidate each model names, and which candidate is right."""

    choice: Ints
    """Rows x models; -1 where there is no answer."""
    right: Floats
    """Rows x candidates: 1 right, 0 wrong, NaN where nobody said."""

    def rows(self, which: Ints | Bools) -> "Ballots":
        """Return these rows alone."""
        return Ballots(self.choice[which], self.right[which])


def ballots(outcomes: Outcomes) -> Ballots:
    """Number the candidates of each row in the order of the models; an answer labelled both right and wrong counts as wrong."""
    choice = np.full(outcomes.right.shape, -1, dtype=np.int64)
    for i, answers in enumerate(outcomes.answers):
        number: dict[str, int] = {}
        for m, answer in enumerate(answers):
            if answer is not None:
                choice[i, m] = number.setdefault(answer, len(number))
    rows, models = np.nonzero(choice >= 0)
    said = choice[rows, models]
    right = np.zeros((len(choice), choice.max(initial=0) + 1))
    right[rows, said] = np.nan
    np.fmin.at(right, (rows, said), outcomes.right[rows, models])
    return Ballots(choice, right)


@dataclass(frozen=True, slots=True)
class Posterior:
    """What a vote is worth."""

    models: tuple[str, ...]
    weight: Floats
    usual: Floats
    """The gate's mean log-odds of each model, from which a prompt departs."""
    lean: float
    """How much of the gate's departure moves a vote's weight."""
    none: float
    """The score of "the right answer is none that was said"."""
    none_lean: float
    """How much an easy prompt lowers it."""

    def votes(self, p_right: Floats) -> Floats:
        """Return rows x models: what a vote is worth on each prompt; never negative."""
        return np.maximum(self.weight + self.lean * self._departure(p_right), 0.0)

    def nothing(self, p_right: Floats) -> Floats:
        """Return the score of "none of these" on each prompt."""
        return np.asarray(self.none - self.none_lean * self._departure(p_right).mean(axis=1), dtype=np.float64)

    def _departure(self, p_right: Floats) -> Floats:
        return logit(p_right) - self.usual


def fit_posterior(outcomes: Outcomes, p_right: Floats, models: Sequence[int], *, seed: int = 0) -> Posterior:
    """Return the posterior of these models (columns) by maximum likelihood over random subsets (Adam), held near halved log-odds."""
    pick = list(models)
    dice = np.random.default_rng(seed)
    keep = dice.permutation(len(outcomes))[:_MOST_ROWS]
    cast = ballots(outcomes).rows(keep)
    said = _one_hot(cast.choice[:, pick], cast.right.shape[1])
    usual = logit(p_right[:, pick]).mean(axis=0)
    departure = logit(p_right[:, pick])[keep] - usual
    accuracy = np.clip(outcomes.accuracy[pick], 0.02, 0.98)
    start = np.concatenate([0.5 * (np.log(accuracy / (1 - accuracy)) + 1.5), [0.3, 0.5, 0.3]])
    at, speed, spread = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for step in range(_STEPS):
        asked = _random_subsets(len(keep), len(pick), dice)
        slope = _slope(at, said * asked[:, :, None], cast.right, departure) + _KEEP * (at - start)
        speed = 0.9 * speed + 0.1 * slope
        spread = 0.99 * spread + 0.01 * slope**2
        rate = _RATE * (1 - step / _STEPS) + 0.002
        at = at - rate * (speed / (1 - 0.9 ** (step + 1))) / (np.sqrt(spread / (1 - 0.99 ** (step + 1))) + 1e-8)
    names = tuple(outcomes.models[m] for m in pick)
    return Posterior(names, np.maximum(at[:-3], 0.0), usual, float(max(at[-3], 0.0)), float(at[-2]), float(max(at[-1], 0.0)))


def _one_hot(choice: Ints, candidates: int) -> Floats:
    said = np.zeros((*choice.shape, candidates))
    rows, models = np.nonzero(choice >= 0)
    said[rows, models, choice[rows, models]] = 1.0
    return said


def _random_subsets(rows: int, models: int, dice: np.random.Generator) -> Bools:
    size = dice.integers(1, min(models, _MOST_ASKED) + 1, rows)
    rank = dice.random((rows, models)).argsort(axis=1).argsort(axis=1)
    return np.asarray(rank < size[:, None])


def _slope(at: Floats, said: Floats, right: Floats, departure: Floats) -> Floats:
    weight, lean, none, none_lean = at[:-3], at[-3], at[-2], at[-1]
    score = np.einsum("imk,im->ik", said, weight + lean * departure)
    seen = np.asarray(said.any(axis=1))
    ease = departure.mean(axis=1)
    odds = np.where(seen, np.exp(np.clip(score, -30, 30)), 0.0)
    odds_none = np.exp(np.clip(none - none_lean * ease, -30, 30))
    total = odds.sum(axis=1) + odds_none
    truth, truth_none = _truth(right, seen, odds, odds_none)
    gap = odds / total[:, None] - truth
    gap_none = odds_none / total - truth_none
    per_vote = np.einsum("imk,ik->im", said, gap)
    slope = [per_vote.mean(axis=0), [(per_vote * departure).sum(axis=1).mean()], [gap_none.mean()], [(-gap_none * ease).mean()]]
    return np.concatenate([np.asarray(s, dtype=np.float64) for s in slope])


def _truth(right: Floats, seen: Bools, odds: Floats, odds_none: Floats) -> tuple[Floats, Floats]:
    """Return which candidate is right, and whether none is; where nobody said, as likely as the weights have it (expectation)."""
    known = np.where(seen, np.nan_to_num(right), 0.0)
    unsettled = known.sum(axis=1) == 0
    maybe = np.where(np.isnan(right) & seen & unsettled[:, None], odds, 0.0)
    left = maybe.sum(axis=1) + odds_none
    return known + maybe / left[:, None], np.where(unsettled, odds_none / left, 0.0)
