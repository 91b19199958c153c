"""Trusted: what a model's own confidence is worth, by kind of task, so that a threshold on it means something."""

from dataclasses import dataclass

import numpy as np

from partsong.learning.calibration import Isotonic, Platt, expected_calibration_error
from partsong.learning.folds import folds
from partsong.learning.outcomes import Floats, Ints, Outcomes

__all__ = ["Trusted", "fit_trusted"]

_FEWEST = 50
"""Confidences of a model on a kind below which the kind has no calibration of its own."""
_MANY = 2000
"""From here on steps instead of a line."""
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Trusted:
    """One model's confidences made honest."""

    model: str
    kind: str
    """`all`: whatever the kind."""
    n: int
    line: Platt | Isotonic
    stated_ece: float
    """Expected calibration error of the confidences as they were stated."""
    ece: float
    """Of the calibrated ones, each row by a line that did not see it."""


def fit_trusted(outcomes: Outcomes) -> tuple[Trusted, ...]:
    """Return a calibration for each model that stated confidences, over all kinds and for each kind with enough of them."""
    if outcomes.stated is None:
        return ()
    kinds = np.array(outcomes.kinds or ("",) * len(outcomes))
    fold = folds(outcomes.prompts, _FOLDS, salt="trusted")
    found = []
    for m, model in enumerate(outcomes.models):
        known = ~np.isnan(outcomes.stated[:, m]) & ~np.isnan(outcomes.right[:, m])
        for kind in ("all", *sorted(set(outcomes.kinds))):
            rows = known if kind == "all" else known & (kinds == kind)
            if rows.sum() >= _FEWEST and len(np.unique(fold[rows])) > 1:
                found.append(_one(model, kind, outcomes.stated[rows, m], outcomes.right[rows, m], fold[rows]))
    return tuple(found)


def _one(model: str, kind: str, stated: Floats, right: Floats, fold: Ints) -> Trusted:
    unseen = np.zeros(len(stated))
    for f in np.unique(fold):
        unseen[fold == f] = _line(stated[fold != f], right[fold != f])(stated[fold == f])
    line = _line(stated, right)
    return Trusted(model, kind, len(stated), line, expected_calibration_error(stated, right), expected_calibration_error(unseen, right))


def _line(stated: Floats, right: Floats) -> Platt | Isotonic:
    return Isotonic.fit(stated, right) if len(stated) >= _MANY else Platt.fit(stated, right)
