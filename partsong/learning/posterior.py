"""Posterior: how likely each candidate answer is right, given who said it.

A conditional logit over the candidates and "none of these": each vote adds the model's weight, moved by what the gate thinks of the model
on this prompt, and the candidate's own form says what right answers look like here. All is fitted together, over random subsets of the
models, so that models which err alike count less than alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from partsong.learning.calibration import logit
from partsong.learning.look import FORMS, Look, form_of
from partsong.learning.outcomes import Bools, Floats, Ints, Outcomes

__all__ = ["Ballots", "Posterior", "ballots", "fit_posterior"]

_STEPS = 160
_RATE = 0.06
_KEEP = 0.01
_KEEP_FORMS = 0.03
_MOST_ASKED = 8
_MOST_ROWS = 3000
_ALIKE = 1e-6


@dataclass(frozen=True, slots=True)
class Ballots:
    """Answers as numbers: which candidate each model names, and which candidate is right."""

    choice: Ints
    """Rows x models; -1 where there is no answer."""
    right: Floats
    """Rows x candidates: 1 right, 0 wrong, NaN where nobody said."""
    forms: Floats
    """Rows x candidates x FORMS: what a candidate looks like."""

    def rows(self, which: Ints | Bools) -> "Ballots":
        """Return these rows alone."""
        return Ballots(self.choice[which], self.right[which], self.forms[which])


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
    forms = np.zeros((*right.shape, len(FORMS)))
    for i, candidate, m in zip(rows.tolist(), said.tolist(), models.tolist(), strict=True):
        forms[i, candidate] = form_of(outcomes.answers[i][m] or "")
    return Ballots(choice, right, forms)


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
    look: Look
    """What a candidate's own form is worth."""

    def votes(self, p_right: Floats) -> Floats:
        """Return rows x models: what a vote is worth on each prompt; never negative."""
        return np.maximum(self.weight + self.lean * self._departure(p_right), 0.0)

    def nothing(self, p_right: Floats) -> Floats:
        """Return the score of "none of these" on each prompt."""
        return np.asarray(self.none - self.none_lean * self._departure(p_right).mean(axis=1), dtype=np.float64)

    def looks(self, forms: Floats) -> Floats:
        """Return what each form (last axis) is worth: `look.of`, for many at once."""
        return np.asarray((forms - np.array(self.look.usual)) @ np.array(self.look.worth), dtype=np.float64)

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
    middle, scale = _usual(cast.forms, said)
    forms = (cast.forms - middle) * scale
    accuracy = np.clip(outcomes.accuracy[pick], 0.02, 0.98)
    start = np.concatenate([0.5 * (np.log(accuracy / (1 - accuracy)) + 1.5), [0.3, 0.5, 0.3], np.zeros(len(FORMS))])
    keep_near = np.where(np.arange(len(start)) < len(pick) + 3, _KEEP, _KEEP_FORMS)
    at, speed, spread = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for step in range(_STEPS):
        asked = _random_subsets(len(keep), len(pick), dice)
        slope = _slope(at, said * asked[:, :, None], cast.right, departure, forms) + keep_near * (at - start)
        speed = 0.9 * speed + 0.1 * slope
        spread = 0.99 * spread + 0.01 * slope**2
        rate = _RATE * (1 - step / _STEPS) + 0.002
        at = at - rate * (speed / (1 - 0.9 ** (step + 1))) / (np.sqrt(spread / (1 - 0.99 ** (step + 1))) + 1e-8)
    names = tuple(outcomes.models[m] for m in pick)
    weight, (lean, none, none_lean), worth = _parts(at)
    look = Look(tuple(middle.tolist()), tuple((worth * scale).tolist()))
    return Posterior(names, np.maximum(weight, 0.0), usual, float(max(lean, 0.0)), float(none), float(max(none_lean, 0.0)), look)


def _parts(at: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the models' weights; how they lean, and "none"; the forms' worth."""
    weight, lean, worth = np.split(at, [-3 - len(FORMS), -len(FORMS)])
    return weight, lean, worth


def _usual(forms: Floats, said: Floats) -> tuple[Floats, Floats]:
    """Return the figures' means over all that was said, and what brings each to a spread of 1 (0 where all are alike)."""
    votes = said.sum(axis=1)[:, :, None]
    share = votes / max(votes.sum(), 1.0)
    middle = (share * forms).sum(axis=(0, 1))
    spread = np.sqrt((share * (forms - middle) ** 2).sum(axis=(0, 1)))
    return middle, np.where(spread > _ALIKE, 1.0 / np.maximum(spread, _ALIKE), 0.0)


def _one_hot(choice: Ints, candidates: int) -> Floats:
    said = np.zeros((*choice.shape, candidates))
    rows, models = np.nonzero(choice >= 0)
    said[rows, models, choice[rows, models]] = 1.0
    return said


def _random_subsets(rows: int, models: int, dice: np.random.Generator) -> Bools:
    size = dice.integers(1, min(models, _MOST_ASKED) + 1, rows)
    rank = dice.random((rows, models)).argsort(axis=1).argsort(axis=1)
    return np.asarray(rank < size[:, None])


def _slope(at: Floats, said: Floats, right: Floats, departure: Floats, forms: Floats) -> Floats:
    weight, (lean, none, none_lean), worth = _parts(at)
    score = np.einsum("imk,im->ik", said, weight + lean * departure) + forms @ worth
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
    slope.append(np.einsum("ik,ikf->f", gap, forms) / len(gap))
    return np.concatenate([np.asarray(s, dtype=np.float64) for s in slope])


def _truth(right: Floats, seen: Bools, odds: Floats, odds_none: Floats) -> tuple[Floats, Floats]:
    """Return which candidate is right, and whether none is; where nobody said, as likely as the weights have it (expectation)."""
    known = np.where(seen, np.nan_to_num(right), 0.0)
    unsettled = known.sum(axis=1) == 0
    maybe = np.where(np.isnan(right) & seen & unsettled[:, None], odds, 0.0)
    left = maybe.sum(axis=1) + odds_none
    return known + maybe / left[:, None], np.where(unsettled, odds_none / left, 0.0)
