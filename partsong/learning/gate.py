"""Gate: each model's calibrated chance to be right, and how much the strong model is needed, from the prompt alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from partsong.learning.calibration import Platt
from partsong.learning.outcomes import Floats, Outcomes
from partsong.learning.reader import Reader, read

__all__ = ["Gate", "Need", "fit_gate", "fit_need", "smoothed"]

_KEEP = 0.12
"""Ridge of the smoothing, in rows of evidence for each row."""
_ENOUGH_BESIDE = 0.6


@dataclass(frozen=True, slots=True)
class Gate:
    """One joint reader for all models, and a calibration for each."""

    models: tuple[str, ...]
    reader: Reader
    calibration: tuple[Platt, ...]

    def p_right(self, prompts: Sequence[str], vectors: Floats | None = None) -> Floats:
        """Return prompts x models: the chance that the model is right; `vectors` as in Reader.predict."""
        return _calibrated(self.reader.predict(prompts, vectors), self.calibration)


@dataclass(frozen=True, slots=True)
class Need:
    """How much more often the strong model is right than the weak one, from the prompt alone."""

    weak: str
    strong: str
    reader: Reader
    sign: tuple[float, ...]
    """How the reader's targets add up to the difference."""

    def score(self, prompts: Sequence[str], vectors: Floats | None = None) -> Floats:
        """Return the expected gain of asking the strong model instead of the weak one; the order is what counts."""
        return np.asarray(self.reader.predict(prompts, vectors) @ np.array(self.sign), dtype=np.float64)


def fit_gate(outcomes: Outcomes, *, seed: int = 0) -> tuple[Gate, Floats]:
    """Return a gate, and what it says of its own rows by parts that did not see them (for what is fitted on top of it)."""
    found = read(outcomes.prompts, outcomes.right, outcomes.kinds, outcomes.vectors, seed=seed)
    lines = []
    for m in range(len(outcomes.models)):
        known = ~np.isnan(outcomes.right[:, m])
        lines.append(Platt.fit(_within(found.unseen[known, m]), outcomes.right[known, m]))
    gate = Gate(outcomes.models, found.reader, tuple(lines))
    return gate, _calibrated(found.unseen, gate.calibration)


def fit_need(outcomes: Outcomes, weak: int, strong: int, *, beside: Floats | None = None, seed: int = 0) -> Need:
    """Return the reader of how two models differ; `beside` has other outcomes on the same questions (rows x any, NaN not known).

    What others made of a question tells its difficulty from chance: with enough of them, each model's outcomes are also read half way to
    what the others let expect, and for each model the reading stands that is nearer to what it did on rows unseen.
    """
    pair = outcomes.right[:, [weak, strong]]
    if beside is None or not _enough(beside):
        found = read(outcomes.prompts, pair[:, 1:] - pair[:, :1], outcomes.kinds, outcomes.vectors, seed=seed)
        return Need(outcomes.models[weak], outcomes.models[strong], found.reader, (1.0,))
    truth = np.hstack([pair, pair])
    targets = np.hstack([pair, (pair + smoothed(pair, beside)) / 2])
    found = read(outcomes.prompts, targets, outcomes.kinds, outcomes.vectors, truth=truth, seed=seed)
    error = np.nanmean((found.unseen - truth) ** 2, axis=0)
    sign = np.zeros(4)
    sign[0 if error[0] < error[2] else 2] = -1.0
    sign[1 if error[1] < error[3] else 3] = 1.0
    return Need(outcomes.models[weak], outcomes.models[strong], found.reader, tuple(float(s) for s in sign))


def smoothed(targets: Floats, beside: Floats) -> Floats:
    """Return the targets as the other outcomes on the same questions let expect them (ridge)."""
    known = ~np.isnan(beside)
    figures = np.where(known, beside, np.nanmean(np.where(known.any(axis=0), beside, 0.0), axis=0))
    figures = (figures - figures.mean(axis=0)) / (figures.std(axis=0) + 1e-9)
    mean = np.nanmean(targets, axis=0)
    centred = np.where(np.isnan(targets), 0.0, targets - mean)
    weights = np.linalg.solve(figures.T @ figures + _KEEP * len(targets) * np.eye(figures.shape[1]), figures.T @ centred)
    return np.asarray(mean + figures @ weights, dtype=np.float64)


def _enough(beside: Floats) -> bool:
    return bool(beside.size) and bool((~np.isnan(beside)).mean() >= _ENOUGH_BESIDE)


def _within(p: Floats) -> Floats:
    return np.minimum(np.maximum(p, 0.01), 0.99)


def _calibrated(p: Floats, lines: Sequence[Platt]) -> Floats:
    """Return what Platt's lines make of it; within its limits no odds need be kept off their ends, which takes longer than all the rest."""
    slope, shift = np.array([(line.slope, line.shift) for line in lines]).T
    odds = 1 / _within(p) - 1
    return np.asarray(1 / (1 + odds**slope * np.exp(-shift)), dtype=np.float64)
