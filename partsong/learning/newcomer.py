"""Newcomer: a model without outcomes of its own is judged by its card at first, and by a dozen probes soon.

What is hard for the models one knows is hard for it too: its log-odds on a prompt are theirs on average, moved by a shift (one-parameter
item response, Rasch 1960). The card says where the shift starts; each probe moves it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt

import numpy as np

from partsong.learning.calibration import logit, sigmoid
from partsong.learning.outcomes import Floats

__all__ = ["Newcomer", "welcome"]

_SPREAD = 0.7
"""How far, in log-odds, a model is from what its card lets expect (standard deviation): a card is worth about eight probes."""
_STEPS = 30


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A new model, as far as it is known."""

    shift: float
    """Log-odds by which it is better than the others on average."""
    spread: float
    """Standard deviation of the shift."""

    def p_right(self, others: Floats) -> Floats:
        """Return its chance to be right on each prompt; `others`: prompts x known models, theirs (`Gate.p_right`).

        What the shift may be is averaged over: doubt draws the chance towards one half (MacKay 1992).
        """
        return sigmoid((self.shift + logit(others).mean(axis=1)) / sqrt(1 + pi * self.spread**2 / 8))


def welcome(expected: float, usual: Floats, others: Floats, right: Sequence[bool]) -> Newcomer:
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
    return Newcomer(shift, 1 / sqrt(curve))
