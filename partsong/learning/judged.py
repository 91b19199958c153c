"""Judged: what the policies give on a third of the rows when the other two thirds taught them, and what can be promised by it.

Only the policy that a promise was tested with stays as it was then; the others are fitted anew on every row afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from partsong.evaluation.intervals import wilson
from partsong.learning.calibration import expected_calibration_error
from partsong.learning.folds import firsts, folds
from partsong.learning.frugal import Frugal, Goal, at_every_rung, vote_right
from partsong.learning.gate import Gate
from partsong.learning.guarantee import Promise, keep_promise
from partsong.learning.outcomes import Bools, Floats, Outcomes
from partsong.learning.policies import Policies, fit_policies
from partsong.learning.posterior import ballots
from partsong.learning.weights import log_odds

__all__ = ["Kept", "PolicyFigures", "figures_of", "judged", "kept_back", "promise_of", "promise_words", "promised", "teaches"]

_KEPT_BACK = 3
"""One row in so many judges instead of teaching."""
_FEWEST_JUDGES = 30
"""Fewer rows kept back judge nothing: their interval would be wider than any difference between policies."""
_LEVEL = 0.95
_MOST_NAMED = 1_000_000
"""More rows than that nobody labels: the policy loses about as much as the bound."""


@dataclass(frozen=True, slots=True)
class PolicyFigures:
    """What one policy gave on rows kept back from the fitting."""

    policy: str
    """`best`: the best single model; `vote`: the log-odds vote of all; `gate`; `frugal@GOAL`, `frugal@promised`; `cascade@PLAN`."""
    n: int
    accuracy: float
    low: float
    high: float
    """95 % interval (Wilson)."""
    usd_per_1000: float
    """NaN when the price of any call is not known."""
    ece: float
    """Expected calibration error of its stated chance to be right, ten bins; NaN where it states none."""
    asked: float
    """Models asked for a row, mean."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A promise that was tested, and the policy it was tested with."""

    promise: Promise
    words: str
    rows: int
    """Rows it was tested on, each question once."""
    gate: Gate | None
    policy: Frugal | None
    """None when no policy cheaper than the best single model can be promised."""
    figures: PolicyFigures | None
    """What it gave on those rows, which chose among its options too: a little too good."""


def judged(outcomes: Outcomes, max_loss: float, value_usd: float) -> tuple[tuple[PolicyFigures, ...], Kept | None]:
    """Return the policies' figures and what can be promised of them; nothing when too few rows can be kept back.

    `value_usd`: what a right answer is worth to the gate.
    """
    judges = kept_back(outcomes.prompts)
    once = judges & firsts(outcomes.prompts)  # copies of a question are no new evidence
    if once.sum() < _FEWEST_JUDGES or not teaches(outcomes, ~judges):
        return (), None
    taught, held = (outcomes.rows(np.flatnonzero(rows)) for rows in (~judges, once))
    fitted, _ = fit_policies(taught)
    p_right = fitted.gate.p_right(held.prompts, held.vectors)
    ensembles = (_ensemble(goal.value, policy, held, p_right) for goal, policy in fitted.frugal.items())
    figures = (_single(held, fitted), *_of_vote(held, taught), *_of_gate(held, taught, p_right, value_usd), *ensembles)
    return figures, promised(fitted, held, max_loss)


def kept_back(prompts: Sequence[str]) -> Bools:
    """Return which rows judge instead of teaching."""
    return np.asarray(folds(prompts, _KEPT_BACK, salt="judge") == 0)


def teaches(outcomes: Outcomes, rows: Bools) -> bool:
    """Return whether each model has outcomes among these rows."""
    return bool((~np.isnan(outcomes.right[rows])).any(axis=0).all())


def _single(held: Outcomes, fitted: Policies) -> PolicyFigures:
    best = held.models.index(fitted.best)
    return figures_of("best", held.right[:, best], held.cost_usd[:, best], None, np.ones(len(held)))


def _of_vote(held: Outcomes, taught: Outcomes) -> tuple[PolicyFigures, ...]:
    """Return the figure of all models' vote; none where no answers were kept."""
    if not any(answer is not None for row in held.answers for answer in row):
        return ()
    weights = log_odds(taught.accuracy)
    return (figures_of("vote", vote_right(held, weights), held.cost_usd.sum(axis=1), None, np.full(len(held), float(len(held.models)))),)


def _of_gate(held: Outcomes, taught: Outcomes, p_right: Floats, value_usd: float) -> tuple[PolicyFigures, ...]:
    """Return the figure of a gate among the models of known price, when waiting costs nothing; none where no price is known."""
    if not taught.priced:
        return ()
    among = np.array(taught.priced)
    chosen = among[(p_right[:, among] * value_usd - taught.mean_cost_usd[among]).argmax(axis=1)]
    rows = np.arange(len(held))
    return (figures_of("gate", held.right[rows, chosen], held.cost_usd[rows, chosen], p_right[rows, chosen], np.ones(len(held))),)


def _ensemble(goal: str, policy: Frugal, held: Outcomes, p_right: Floats) -> PolicyFigures:
    column = {model: j for j, model in enumerate(held.models)}
    own = p_right[:, [column[m] for m in policy.posterior.models]]
    votes, nothing = policy.posterior.votes(own), policy.posterior.nothing(own)
    cast = ballots(held)
    right, cost, sure, asked = (np.zeros(len(held)) for _ in range(4))
    for i, answers in enumerate(held.answers):
        decision = policy.decide(votes[i], float(nothing[i]), _asker(answers, column))
        given = [column[m] for m in decision.asked]
        named = [cast.choice[i, m] for m in given if answers[m] is not None and answers[m] == decision.answer]
        right[i] = cast.right[i, named[0]] if named else 0.0
        cost[i], sure[i], asked[i] = held.cost_usd[i, given].sum(), decision.p_right, len(given)
    return figures_of(f"frugal@{goal}", right, cost, sure, asked)


def _asker(answers: tuple[str | None, ...], column: dict[str, int]) -> Callable[[str], str | None]:
    return lambda model: answers[column[model]]


def figures_of(policy: str, right: Floats, cost: Floats, sure: Floats | None, asked: Floats) -> PolicyFigures:
    """Return a policy's figures of what it came to on each row; `sure` is how likely right it says it was."""
    known = ~np.isnan(right)
    n = int(known.sum())
    low, high = wilson(round(float(right[known].sum())), n)
    ece = float("nan") if sure is None or not n else expected_calibration_error(sure[known], right[known])
    accuracy = float(right[known].mean()) if n else float("nan")
    return PolicyFigures(policy, n, accuracy, low, high, float(cost.mean()) * 1000, ece, float(asked.mean()))


def promised(fitted: Policies, held: Outcomes, max_loss: float) -> Kept | None:
    """Return what can be promised of the ensemble that aims at the best single model, tried from the safest of its options down.

    None when there is no such ensemble. `max_loss`: how much less often than the best single model it may be right.
    """
    policy, best = fitted.frugal.get(Goal.BEST), held.models.index(fitted.best)
    held = held.rows(held.labelled)
    if policy is None or not len(held):
        return None
    p_right = fitted.gate.p_right(held.prompts, held.vectors)
    right, cost = at_every_rung(policy, held, p_right)
    losses = held.right[:, [best]] - right
    promise = promise_of(losses, max_loss)
    cheaper = promise.kept and bool(cost[:, promise.index].mean() < held.cost_usd[:, best].mean())
    tested = replace(policy, option=policy.ladder[promise.index]) if cheaper else None
    words = promise_words(promise, max_loss, cheaper=cheaper)
    if tested is None:
        return Kept(promise, words, len(held), None, None, None)
    return Kept(promise, words, len(held), fitted.gate, tested, _ensemble("promised", tested, held, p_right))


def promise_of(losses: Floats, max_loss: float) -> Promise:
    """Return what can be promised by these rows (see keep_promise); as only some of any further ones would be kept back, it takes more.

    A loss that is not known (NaN) counts as one: rows that nobody judged may be the very ones that the policy loses.
    """
    promise = keep_promise(np.nan_to_num(losses, nan=1.0), max_loss, level=_LEVEL)
    return replace(promise, more_rows=_KEPT_BACK * promise.more_rows)


def promise_words(promise: Promise, max_loss: float, *, cheaper: bool) -> str:
    """Return what is promised, or that nothing is; `cheaper`: than the best single model."""
    if cheaper:
        return promise.words(max_loss, _LEVEL)
    enough = 0 < promise.more_rows <= _MOST_NAMED
    why = "what can be promised costs as much" if promise.kept else "more rows like these would not do"
    more = f"about {promise.more_rows:,} more labelled rows would do" if enough else why
    points = f"{100 * max_loss:.1f} points"
    return f"nothing but the best single model can be promised to lose at most {points} with {100 * _LEVEL:.0f} % confidence; {more}"
