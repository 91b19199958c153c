"""Newcomer: a model without outcomes of its own is judged by its card at first, and by a dozen probes soon.

What is hard for the models one knows is hard for it too: its log-odds on a prompt are theirs on average, moved by a shift (one-parameter
item response, Rasch 1960). The card says where the shift starts; each probe moves it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, pi, sqrt

import numpy as np

from partsong.learning.calibration import logit, sigmoid
from partsong.learning.outcomes import FEWEST_ROWS, Floats, Outcomes

__all__ = ["Newcomer", "doubts_of", "known_models", "newcomers", "welcome"]

_SPREAD = 0.7
"""How far, in log-odds, a model is from what its card lets expect (standard deviation): a card is worth about eight probes."""
_STEPS = 30


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A new model, as far as it is known."""

    model: str
    probes: int
    """Outcomes of its own."""
    shift: float
    """Log-odds by which it is better than the others on average."""
    spread: float
    """Standard deviation of the shift."""
    expected: float = float("nan")
    """Share right to be expected on the rows that the others were learned from."""

    @property
    def words(self) -> str:
        """What it is known by, as tables say it."""
        return f"new: {self.probes} probe{'' if self.probes == 1 else 's'}"

    def p_right(self, others: Floats) -> Floats:
        """Return its chance to be right on each prompt; `others`: prompts x known models, theirs (`Gate.p_right`).

        What the shift may be is averaged over: doubt draws the chance towards one half (MacKay 1992).
        """
        return sigmoid((self.shift + logit(others).mean(axis=1)) / sqrt(1 + pi * self.spread**2 / 8))


def known_models(outcomes: Outcomes, cards: Mapping[str, float]) -> list[int]:
    """Return the columns of the models that are judged by outcomes of their own.

    Of the others there are fewer than FEWEST_ROWS, or they are missing from most rows and a card speaks for the model.
    """
    count = (~np.isnan(outcomes.right)).sum(axis=0)
    fewest = [max(FEWEST_ROWS, len(outcomes) / 2) if model in cards else FEWEST_ROWS for model in outcomes.models]
    return [m for m, least in enumerate(fewest) if count[m] >= least]


def newcomers(outcomes: Outcomes, known: Sequence[int], unseen: Floats, cards: Mapping[str, float]) -> tuple[Newcomer, ...]:
    """Return the models that are new; those without both outcome and card are left out.

    `unseen`: what the gate says of the known ones on these rows. Without a card a model starts as good as they are on average.
    """
    usual = logit(unseen).mean(axis=0)
    found = []
    for m, model in enumerate(outcomes.models):
        did = ~np.isnan(outcomes.right[:, m])
        if m in known or not (did.any() or model in cards):
            continue
        card = cards.get(model, float(sigmoid(usual.mean())))
        one = welcome(model, card, usual, unseen[did], (outcomes.right[did, m] == 1.0).tolist())
        found.append(replace(one, expected=float(one.p_right(unseen).mean())))
    return tuple(found)


def doubts_of(outcomes: Outcomes, known: Sequence[int], new: Sequence[Newcomer], cards: Mapping[str, float]) -> Iterator[str]:
    """Yield what to know of models without outcomes enough."""
    by_name = {one.model: one for one in new}
    for m, (model, cost_usd) in enumerate(zip(outcomes.models, outcomes.mean_cost_usd.tolist(), strict=True)):
        if m in known:
            continue
        if model not in by_name:
            yield f"{model}: no reply of it, as this mesh would ask it, is labelled; it is left out. --card {model}=0.8 says what to expect"
            continue
        one = by_name[model]
        start = f"its card's {100 * cards[model]:.0f} %" if model in cards else f"the others' mean (no --card {model}=SHARE was given)"
        asked = "nothing asks it: its price is not known" if isnan(cost_usd) else "the gate alone asks it, no ensemble does"
        yield f"{model}: {one.words}; {100 * one.expected:.0f} % right expected, from {start}; {asked}"


def welcome(model: str, expected: float, usual: Floats, others: Floats, right: Sequence[bool]) -> Newcomer:
    """Return what is known of a new model after some probes, which may be none.

    `expected`: the share right that its card (family, size, published figures) lets expect on this traffic; `usual`: each known model's
    mean log-odds there; `others`: probes x known models, their chances to be right; `right`: how the newcomer did on each probe.
    """
    prior = float(logit(np.array(expected)) - usual.mean())
    ease, did = logit(others).mean(axis=1), np.array(right, dtype=np.float64)
    shift, curve = prior, 1 / _SPREAD**2
    for _ in range(_STEPS):  # Newton's method on the log of the posterior, which is concave
        p = sigmoid(shift + ease)
        curve = float((p * (1 - p)).sum()) + 1 / _SPREAD**2
        shift += (float((did - p).sum()) - (shift - prior) / _SPREAD**2) / curve
    return Newcomer(model, len(right), shift, 1 / sqrt(curve))
