"""Trusted: what a model's own confidence is worth, by kind of task, so that a threshold on it means something."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from partsong.learning.calibration import Isotonic, Platt, expected_calibration_error
from partsong.learning.folds import folds
from partsong.learning.outcomes import Floats, Ints, Outcomes

__all__ = ["Trusted", "fit_trusted", "honest", "line_of"]

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


def line_of(worth: Iterable[Trusted], model: str, kind: str) -> Platt | Isotonic | None:
    """Return what makes the model's confidences on tasks of this kind honest, else those on all; None where it stated none."""
    lines = {one.kind: one.line for one in worth if one.model == model}
    return lines.get(kind, lines.get("all"))


def honest(worth: Sequence[Trusted], outcomes: Outcomes) -> Floats:
    """Return what the stated confidences are worth; NaN where there is none, or nothing that makes it honest."""
    found = np.full(outcomes.right.shape, np.nan)
    kinds = np.array(outcomes.kinds or ("all",) * len(outcomes))
    if outcomes.stated is None:
        return found
    for m, model in enumerate(outcomes.models):
        for kind in np.unique(kinds):
            if (line := line_of(worth, model, str(kind))) is not None:
                found[kinds == kind, m] = line(outcomes.stated[kinds == kind, m])
    return found


def _one(model: str, kind: str, stated: Floats, right: Floats, fold: Ints) -> Trusted:
    unseen = np.zeros(len(stated))
    for f in np.unique(fold):
        unseen[fold == f] = _line(stated[fold != f], right[fold != f])(stated[fold == f])
    line = _line(stated, right)
    return Trusted(model, kind, len(stated), line, expected_calibration_error(stated, right), expected_calibration_error(unseen, right))


def _line(stated: Floats, right: Floats) -> Platt | Isotonic:
    return Isotonic.fit(stated, right) if len(stated) >= _MANY else Platt.fit(stated, right)
