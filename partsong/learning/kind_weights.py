"""Kind weights: what each model's vote is worth on each kind of task."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from partsong.learning.frugal import vote_accuracy
from partsong.learning.matrix import Cell
from partsong.learning.outcomes import Floats, Outcomes
from partsong.learning.weights import correlation_discount, log_odds

__all__ = ["KindWeights", "kind_weights"]


@dataclass(frozen=True, slots=True)
class KindWeights:
    """What each model's vote is worth on one kind of task, in log-odds; models that err alike count less where that votes better."""

    kind: str
    """`all`: whatever the kind."""
    weights: Floats


def kind_weights(outcomes: Outcomes, cells: Sequence[Cell]) -> tuple[tuple[KindWeights, ...], bool]:
    """Return the weights over all and by kind; models that err alike count less if that votes better on these rows."""
    plain, own = log_odds(outcomes.accuracy), correlation_discount(outcomes.right)
    discounted = vote_accuracy(outcomes, plain * own) > vote_accuracy(outcomes, plain)
    share = own if discounted else np.ones(len(own))
    found = [KindWeights("all", plain * share)]
    for kind in sorted(set(outcomes.kinds)):
        accuracy = {cell.model: cell.accuracy for cell in cells if cell.kind == kind}
        found.append(KindWeights(kind, log_odds(np.array([accuracy[m] for m in outcomes.models])) * share))
    return tuple(found), discounted
