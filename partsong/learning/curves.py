"""Curves: what a score that orders questions by need is worth (RouteLLM, arXiv 2406.18665)."""

import numpy as np

from partsong.learning.outcomes import Floats

__all__ = ["apgr", "calls_for"]


def apgr(score: Floats, weak: Floats, strong: Floats) -> float:
    """Return the area under the performance gap recovered, over the share of strong calls from 0 to 1; equal scores count as in any order.

    0.5 is a random mix. NaN when the two models are equally often right: there is no gap to recover.
    """
    gain = strong - weak
    if gain.sum() == 0:
        return float("nan")
    recovered = _recovered(score, gain)
    return float(np.trapezoid(recovered, dx=1.0 / len(score)))


def calls_for(share: float, score: Floats, weak: Floats, strong: Floats) -> float:
    """Return CPT: the least share of strong calls that recovers this share of the gap."""
    recovered = _recovered(score, strong - weak)
    return float(np.argmax(recovered >= share) / len(score))


def _recovered(score: Floats, gain: Floats) -> Floats:
    order = np.argsort(-score, kind="stable")
    values, tie = np.unique(-score[order], return_inverse=True)
    mean_of_tie = np.bincount(tie, gain[order], len(values)) / np.bincount(tie, minlength=len(values))
    return np.asarray(np.concatenate([[0.0], np.cumsum(mean_of_tie[tie])]) / gain.sum(), dtype=np.float64)
