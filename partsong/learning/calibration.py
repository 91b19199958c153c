"""Calibration: making "0.9 sure" mean right nine times in ten, and measuring how far it is from that."""

from dataclasses import dataclass

import numpy as np

from partsong.learning.outcomes import Floats

__all__ = ["Isotonic", "Platt", "expected_calibration_error", "logit", "sigmoid"]

_EDGE = 1e-6


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + e^-x)."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -500, 500))), dtype=np.float64)


def logit(p: Floats) -> Floats:
    """Return the log-odds of a probability, kept off 0 and 1."""
    q = np.clip(p, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(q / (1 - q)), dtype=np.float64)


def expected_calibration_error(sure: Floats, right: Floats, bins: int = 10) -> float:
    """Return ECE over bins of equal width: the mean distance between confidence and accuracy, weighed by the rows of a bin."""
    bin_of = np.minimum((sure * bins).astype(np.int64), bins - 1)
    gaps = [abs(sure[bin_of == b].mean() - right[bin_of == b].mean()) * (bin_of == b).sum() for b in np.unique(bin_of)]
    return float(sum(gaps) / len(sure))


@dataclass(frozen=True, slots=True)
class Platt:
    """A line through the log-odds: for few rows, where steps would follow chance (Platt 1999)."""

    slope: float
    shift: float

    @classmethod
    def fit(cls, sure: Floats, right: Floats, steps: int = 50, keep: float = 1.0) -> "Platt":
        """Return the line of greatest likelihood, held near the identity by a prior worth `keep` rows."""
        at = np.array([1.0, 0.0])
        design = np.stack([logit(sure), np.ones_like(sure)], axis=1)

        def loss(line: Floats) -> float:
            score = design @ line
            return float((np.logaddexp(0.0, score) - right * score).sum() + keep / 2 * ((line - [1.0, 0.0]) ** 2).sum())

        for _ in range(steps):
            p = sigmoid(design @ at)
            slope = design.T @ (p - right) + keep * (at - [1.0, 0.0])
            curve = (design * (p * (1 - p))[:, None]).T @ design + keep * np.eye(2)
            step = np.linalg.solve(curve, slope)
            while loss(at - step) > loss(at) and abs(step).max() > 1e-9:
                step = step / 2
            at = at - step
            if abs(step).max() < 1e-9:
                break
        return cls(float(max(at[0], 0.0)), float(at[1]))

    def __call__(self, sure: Floats) -> Floats:
        """Return the confidences made honest."""
        return sigmoid(self.slope * logit(sure) + self.shift)


@dataclass(frozen=True, slots=True)
class Isotonic:
    """Steps that never fall (pool adjacent violators), joined by lines: for many rows."""

    at: tuple[float, ...]
    value: tuple[float, ...]

    @classmethod
    def fit(cls, sure: Floats, right: Floats, least: int = 20) -> "Isotonic":
        """Return the rising steps nearest the outcomes; steps start from runs of `least` rows, so that none is a single row's chance."""
        order = np.argsort(sure, kind="stable")
        runs = np.array_split(order, max(1, len(order) // least))
        blocks: list[tuple[float, float, int]] = []
        for run in runs:
            blocks.append((float(sure[run].mean()), float(right[run].mean()), len(run)))
            while len(blocks) > 1 and blocks[-2][1] >= blocks[-1][1]:
                (xa, ya, na), (xb, yb, nb) = blocks[-2:]
                blocks[-2:] = [((xa * na + xb * nb) / (na + nb), (ya * na + yb * nb) / (na + nb), na + nb)]
        return cls(tuple(b[0] for b in blocks), tuple((b[1] * b[2] + 0.5) / (b[2] + 1) for b in blocks))

    def __call__(self, sure: Floats) -> Floats:
        """Return the confidences made honest."""
        return np.asarray(np.interp(sure, self.at, self.value), dtype=np.float64)
