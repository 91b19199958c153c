"""Weights: what a model's vote is worth when all vote (log-odds; Nitzan and Paroush 1982), and less where models err alike."""

import numpy as np

from partsong.learning.outcomes import Floats

__all__ = ["correlation_discount", "log_odds"]


def log_odds(accuracy: Floats, candidates: float = 2.0) -> Floats:
    """Return log(p (k - 1) / (1 - p)): the weight of a vote among k candidates whose wrong ones are equally likely; never negative."""
    p = np.clip(accuracy, 0.005, 0.995)
    return np.asarray(np.maximum(np.log(p * (candidates - 1) / (1 - p)), 0.0), dtype=np.float64)


def correlation_discount(right: Floats) -> Floats:
    """Return the share of each model's voice that is its own: 1 / (1 + the positive correlations of its errors with the others').

    Two copies of one model get one half each, so together they speak with one voice.
    """
    known = np.where(np.isnan(right), np.nanmean(right, axis=0), right)
    spread = known.std(axis=0)
    centred = (known - known.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    alike = np.clip(centred.T @ centred / len(known), 0.0, 1.0)
    np.fill_diagonal(alike, 0.0)
    return np.asarray(1.0 / (1.0 + alike.sum(axis=1)), dtype=np.float64)
