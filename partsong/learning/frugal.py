"""Frugal ensemble: ask models in a learned order, stop when the answer is sure or cannot change.

It unites cascade (FrugalGPT, arXiv 2305.05176) and weighted vote: a posterior over the candidate answers, an order in which each next
model gained most for its price, and one level of confidence at which to stop. Order and level are chosen on outcomes, for a goal. An order
that is worked out anew for each prompt (most information per dollar) did worse: docs/quality.md.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from partsong.learning.calibration import Isotonic, Platt
from partsong.learning.folds import folds
from partsong.learning.goal import Goal
from partsong.learning.inquiry import Heard, Inquiry, Voice
from partsong.learning.outcomes import Floats, Ints, Outcomes
from partsong.learning.posterior import Ballots, Posterior, ballots, fit_posterior

__all__ = ["Decision", "Frugal", "Goal", "Option", "at_every_rung", "choose", "fit_frugal", "vote_accuracy", "vote_right"]

_LEVELS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.84, 0.87, 0.9, 0.92, 0.94, 0.955, 0.97, 0.98, 0.988, 0.994, 0.998)
"""How sure one may have to be before one stops asking."""
_TRADES = (0.5, 0.2, 0.08, 0.03, 0.012, 0.003)
"""Accuracy that the best single model's price must buy, from miserly to lavish."""
_LONGEST = 7
_WIDEST = 10
_SEARCH_ROWS = 1500
_PER_MODEL = 0.4
"""Right rows, over all, that one more model in the order must bring: shorter orders overfit less."""
_COUNTED = 0.5
"""How much of an order's accuracy is counted in the search; the rest is what the posterior expects, which single rows sway less."""
_EXPECTED_ROWS = 120
"""Rows that what the posterior expects is worth where options are measured on rows that it did not see."""
_FORGIVEN = 0.015
"""The best single model's own figure is the greatest of many and falls on other rows (the winner's curse): the aim is that much lower."""
_PRICE = {Goal.BEST: 0.16, Goal.COST: 0.003, Goal.VOTE: 0.03}
"""Accuracy that the best single model's cost (for `vote`: the vote's) must buy among the options that reach a goal. The cheapest of them
would be the one that was luckiest on these rows: with a price, gsm gains 0.35 points at a third less cost."""
_LADDER = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2)
"""Prices of accuracy, as above, for the options that a promise is tried with, from the safest to the cheapest."""
_MANY = 2000


@dataclass(frozen=True, slots=True)
class Option:
    """An order of models (columns of the posterior) and the level to stop at, with what it gave on the rows it was found on."""

    order: tuple[int, ...]
    level: float
    accuracy: float
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What was asked, what was answered, how sure one can be, and why it stopped."""

    asked: tuple[str, ...]
    answer: str | None
    p_right: float
    why: str


@dataclass(frozen=True, slots=True)
class Frugal:
    """A learned policy."""

    posterior: Posterior
    option: Option
    honest: Platt | Isotonic
    ladder: tuple[Option, ...]
    """Options from the safest to the cheapest, to keep a promise by; neighbours may be alike."""

    def inquiry(self, votes: Floats, nothing: float) -> Inquiry:
        """Return whom it asks on one prompt, and when to stop; `votes` and `nothing` are the posterior's worths there."""
        voices = tuple(Voice(self.posterior.models[m], float(votes[m])) for m in self.option.order)
        return Inquiry(voices, nothing, self.option.level, in_order=True, look=self.posterior.look)

    def decide(self, votes: Floats, nothing: float, ask: Callable[[str], str | None]) -> Decision:
        """Ask until sure; `ask` brings a model's answer."""
        inquiry = self.inquiry(votes, nothing)
        heard: list[Heard] = []
        while (standing := inquiry.standing(heard)).ask is not None:
            heard.append(Heard(standing.ask.model, ask(standing.ask.model)))
        p_right = float(self.honest(np.array([standing.sure]))[0])
        return Decision(tuple(one.model for one in heard), standing.best, p_right, standing.why)


@dataclass(frozen=True, slots=True)
class _Walk:
    """What each row knows after each model of an order."""

    sure: Floats
    right: Floats
    """NaN where nobody said."""
    decided: Floats
    cost: Floats

    def stopped(self, level: float) -> tuple[Floats, Floats, Floats]:
        """Return of each row, where it stops: how sure it is, whether right, and what it cost."""
        over = (self.sure >= level) | (self.decided > 0)
        over[:, -1] = True
        at = np.arange(len(over)), over.argmax(axis=1)
        return self.sure[at], self.right[at], self.cost[at]


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows to try orders on."""

    cast: Ballots
    votes: Floats
    nothing: Floats
    looks: Floats
    """Rows x candidates: what a candidate's form is worth."""
    cost: Floats

    def rows(self, which: Ints) -> "_Table":
        """Return these rows alone."""
        return _Table(self.cast.rows(which), self.votes[which], self.nothing[which], self.looks[which], self.cost[which])

    def walk(self, order: Sequence[int]) -> _Walk:
        """Follow an order to its end on all rows."""
        rows = np.arange(len(self.cost))
        choice = self.cast.choice[:, list(order)]
        slot = (choice[:, :, None] == choice[:, None, :]).argmax(axis=2)  # who said the same first
        true = np.take_along_axis(self.cast.right, np.maximum(choice, 0), axis=1)
        scores = np.full(choice.shape, -np.inf)
        left = self.votes[:, list(order)].sum(axis=1)
        steps: list[tuple[Floats, Floats, Floats]] = []
        for step, m in enumerate(order):
            said = np.flatnonzero(choice[:, step] >= 0)
            old = scores[said, slot[said, step]]
            scores[said, slot[said, step]] = np.where(np.isinf(old), self.looks[said, choice[said, step]], old) + self.votes[said, m]
            left = left - self.votes[:, m]
            top = scores.argmax(axis=1)
            best = scores[rows, top]
            odds = np.exp(np.clip(scores, -np.inf, 50))
            sure = np.where(np.isinf(best), 0.0, odds[rows, top] / (odds.sum(axis=1) + np.exp(self.nothing)))
            rivals = scores.copy()
            rivals[rows, top] = -np.inf
            lead = best - np.maximum(rivals.max(axis=1), 0.0)
            steps.append((sure, np.where(np.isinf(best), 0.0, true[rows, top]), (lead > left).astype(np.float64)))
        surer, right, decided = (np.stack([step[i] for step in steps], axis=1) for i in (0, 1, 2))
        return _Walk(surer, right, decided, np.cumsum(self.cost[:, list(order)], axis=1))


def _options(
    outcomes: Outcomes, posterior: Posterior, p_right: Floats, columns: Sequence[int], parts: Sequence[_Table], *, seed: int = 0
) -> list[Option]:
    """Return the promising orders and levels of a local search over a range of trades between accuracy and dollars."""
    table = _table(outcomes, posterior, p_right, columns)
    dice = np.random.default_rng(seed)
    small = table.rows(dice.permutation(len(outcomes))[:_SEARCH_ROWS])
    accuracy = outcomes.accuracy[list(columns)]
    cost = table.cost.mean(axis=0)
    unit = cost[int(accuracy.argmax())]
    tried: dict[tuple[int, ...], list[Option]] = {}
    start: tuple[int, ...] = ()
    for trade in _TRADES:
        worth = accuracy - trade * cost / unit
        pool = _pool(worth, cost, accuracy)
        for first in {start or (int(worth.argmax()),), tuple(sorted(pool, key=lambda m: cost[m])[:2])}:
            start = max(
                start or first, _climb(first, pool, small, trade / unit, tried), key=lambda o: _best_worth(o, small, trade / unit, tried)
            )
    found = {o for some_options in tried.values() for o in some_options}
    return _measured(sorted(_promising(found), key=lambda o: o.order), parts)


def _pool(worth: Floats, cost: Floats, accuracy: Floats) -> list[int]:
    good = [int(m) for m in np.argsort(-worth)[: _WIDEST - 4]]
    cheap = [int(m) for m in np.argsort(cost) if accuracy[m] > accuracy.max() - 0.35 and int(m) not in good]
    return good + cheap[: _WIDEST - len(good)]


def _climb(
    order: tuple[int, ...], pool: Sequence[int], table: _Table, price: float, tried: dict[tuple[int, ...], list[Option]]
) -> tuple[int, ...]:
    now = _best_worth(order, table, price, tried)
    while True:
        best = max(_neighbours(order, pool), key=lambda o: _best_worth(o, table, price, tried))
        then = _best_worth(best, table, price, tried)
        if then <= now + 1e-6:
            return order
        order, now = best, then


def _neighbours(order: tuple[int, ...], pool: Sequence[int]) -> Iterable[tuple[int, ...]]:
    for m in pool:
        if m in order:
            continue
        if len(order) < _LONGEST:
            yield from ((*order[:i], m, *order[i:]) for i in range(len(order) + 1))
        yield from ((*order[:i], m, *order[i + 1 :]) for i in range(len(order)))
    if len(order) > 1:
        yield from ((*order[:i], *order[i + 1 :]) for i in range(len(order)))
        yield from ((*order[:i], order[i + 1], order[i], *order[i + 2 :]) for i in range(len(order) - 1))


def _best_worth(order: tuple[int, ...], table: _Table, price: float, tried: dict[tuple[int, ...], list[Option]]) -> float:
    if order not in tried:
        tried[order] = _at_levels(order, table.walk(order))
    return max(o.accuracy - price * o.cost_usd for o in tried[order]) - _PER_MODEL * len(order) / len(table.cost)


def _at_levels(order: tuple[int, ...], walk: _Walk) -> list[Option]:
    """Follow an order with each level; accuracy is partly counted, partly expected."""
    found = []
    for level in _LEVELS:
        sure, right, cost = walk.stopped(level)
        accuracy = _COUNTED * _mean_known(right) + (1 - _COUNTED) * sure.mean()
        found.append(Option(order, level, float(accuracy), float(cost.mean())))
    return found


def _promising(found: Iterable[Option]) -> list[Option]:
    """Return those near the front: no other is both cheaper and more accurate by more than chance."""
    kept: list[Option] = []
    best = 0.0
    for option in sorted(found, key=lambda o: (o.cost_usd, -o.accuracy)):
        if option.accuracy > best - 0.001:
            kept.append(option)
        best = max(best, option.accuracy)
    return kept


def _measured(found: Sequence[Option], parts: Sequence[_Table]) -> list[Option]:
    """Return the options with what they give under posteriors that did not see the rows.

    Accuracy is counted, and where rows are few in part expected, brought to the level that was counted over all options.
    """
    counted, expected, cost_usd = [], [], []
    for order, options in groupby(found, key=lambda o: o.order):
        walks = [table.walk(order) for table in parts]
        for option in options:
            sure, right, cost = np.concatenate([walk.stopped(option.level) for walk in walks], axis=1)
            counted.append(_mean_known(right))
            expected.append(float(sure.mean()))
            cost_usd.append(float(cost.mean()))
    level = np.mean(counted) - np.mean(expected)
    rows = sum(len(table.cost) for table in parts)
    accuracy = (rows * np.array(counted) + _EXPECTED_ROWS * (np.array(expected) + level)) / (rows + _EXPECTED_ROWS)
    return [replace(o, accuracy=a, cost_usd=c) for o, a, c in zip(found, accuracy.tolist(), cost_usd, strict=True)]


def _table(outcomes: Outcomes, posterior: Posterior, p_right: Floats, columns: Sequence[int]) -> _Table:
    pick = list(columns)
    cast = ballots(outcomes)
    own = p_right[:, pick]
    cost = np.where(np.isnan(outcomes.cost_usd), outcomes.mean_cost_usd, outcomes.cost_usd)[:, pick]  # a call nobody priced: the usual
    looks = posterior.looks(cast.forms)
    return _Table(replace(cast, choice=cast.choice[:, pick]), posterior.votes(own), posterior.nothing(own), looks, cost)


def vote_accuracy(outcomes: Outcomes, weights: Floats) -> float:
    """Return how often the weighted vote of all models is right, of the rows where that is known."""
    return _mean_known(vote_right(outcomes, weights))


def vote_right(outcomes: Outcomes, weights: Floats) -> Floats:
    """Return for each row whether the weighted vote of all models is right; among equals the first model's answer stands."""
    cast = ballots(outcomes)
    rows, models = np.nonzero(cast.choice >= 0)
    scores = np.full(cast.right.shape, -1e9)
    scores[rows, cast.choice[rows, models]] = 0.0
    np.add.at(scores, (rows, cast.choice[rows, models]), weights[models])
    return np.asarray(cast.right[np.arange(len(outcomes)), scores.argmax(axis=1)])


def _mean_known(right: Floats) -> float:
    """Return the share right of those where it is known; 0 where it is of none."""
    known = ~np.isnan(right)
    return float(right[known].mean()) if known.any() else 0.0


def choose(found: Sequence[Option], goal: Goal, *, aim: float, best_usd: float, vote_usd: float) -> Option:
    """Return the option for a goal, worth most at the goal's price of accuracy; the most accurate one when none reaches the aim."""
    unit = (vote_usd if goal is Goal.VOTE else best_usd) or 1.0
    most = aim if goal is Goal.BEST else 1.0

    def worth(option: Option) -> float:
        return min(option.accuracy, most) - _PRICE[goal] * option.cost_usd / unit

    if goal is Goal.COST:
        return max([o for o in found if o.cost_usd <= 0.97 * best_usd] or found, key=worth)
    reaching = [o for o in found if o.accuracy >= aim - (_FORGIVEN if goal is Goal.BEST else 0.0)]
    return max(reaching, key=worth) if reaching else max(found, key=lambda o: o.accuracy)


def fit_frugal(outcomes: Outcomes, p_right: Floats, goals: dict[Goal, float], *, seed: int = 0) -> dict[Goal, Frugal]:
    """Return a policy for each goal; its value is the accuracy to aim for. Only models whose price is known are asked."""
    columns = outcomes.priced
    posterior = fit_posterior(outcomes, p_right, columns, seed=seed)
    parts = _by_others(outcomes, p_right, columns, seed)
    found = _options(outcomes, posterior, p_right, columns, parts, seed=seed)
    best = max(columns, key=lambda m: outcomes.accuracy[m])
    best_usd, vote_usd = float(outcomes.mean_cost_usd[best]), float(np.nansum(outcomes.mean_cost_usd))
    picked = {g: choose(found, g, aim=aim, best_usd=best_usd, vote_usd=vote_usd) for g, aim in goals.items()}
    rungs = _ladder(found, best_usd)
    return {g: Frugal(posterior, option, _honest(option, parts), rungs) for g, option in picked.items()}


def _ladder(found: Sequence[Option], best_usd: float) -> tuple[Option, ...]:
    cheaper = [o for o in found if o.cost_usd < best_usd] or found
    return tuple(max(cheaper, key=lambda o: o.accuracy - price * o.cost_usd / (best_usd or 1.0)) for price in _LADDER)


def at_every_rung(policy: Frugal, outcomes: Outcomes, p_right: Floats) -> tuple[Floats, Floats]:
    """Return right (NaN where nobody said) and cost, rows x options of the policy's ladder: to keep a promise by."""
    table = _table(outcomes, policy.posterior, p_right, [outcomes.models.index(m) for m in policy.posterior.models])
    _, right, cost = np.stack([table.walk(option.order).stopped(option.level) for option in policy.ladder], axis=2)
    return right, cost


def _by_others(outcomes: Outcomes, p_right: Floats, columns: Sequence[int], seed: int) -> list[_Table]:
    """Return the rows in parts, each under a posterior fitted on the other parts."""
    fold = folds(outcomes.prompts, 3, salt="honest")
    tables = []
    for f in np.unique(fold):
        seen, out = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        posterior = fit_posterior(outcomes.rows(seen), p_right[seen], columns, seed=seed)
        tables.append(_table(outcomes.rows(out), posterior, p_right[out], columns))
    return tables


def _honest(option: Option, parts: Sequence[_Table]) -> Platt | Isotonic:
    said, truth, _ = np.concatenate([table.walk(option.order).stopped(option.level) for table in parts], axis=1)
    said, truth = said[known := ~np.isnan(truth)], truth[known]
    return Isotonic.fit(said, truth) if len(said) >= _MANY else Platt.fit(said, truth)
