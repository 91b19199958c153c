"""Crowd: who is right when nobody has labelled anything, from agreement alone (Dawid and Skene 1979, one accuracy a model)."""

from dataclasses import dataclass

import numpy as np

from partsong.learning.outcomes import Floats, Ints

__all__ = ["Crowd", "agree"]

_ROUNDS = 100
_PRIOR = 2.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """What agreement tells."""

    accuracy: Floats
    """Each model's estimated share right. Models that err alike are flattered: agreement cannot tell a shared error from the truth."""
    candidate: Floats
    """Rows x candidates: the chance that each is right."""


def agree(choice: Ints, candidates: int) -> Crowd:
    """Return accuracies and candidates' chances by expectation maximisation, started from plain votes; -1 is no answer."""
    rows, models = choice.shape
    said = np.zeros((rows, models, candidates))
    at = np.nonzero(choice >= 0)
    said[(*at, choice[at])] = 1.0
    open_ = said.any(axis=1)
    chance = said.sum(axis=1) / np.maximum(said.sum(axis=(1, 2)), 1)[:, None]
    rivals = np.maximum(open_.sum(axis=1) - 1, 1)[:, None, None]
    answered = said.sum(axis=2)
    accuracy = np.full(models, 0.5)
    for _ in range(_ROUNDS):
        agreed = (said * chance[:, None, :]).sum(axis=2)
        now = (agreed.sum(axis=0) + _PRIOR * 0.7) / (answered.sum(axis=0) + _PRIOR)
        odds = np.log(now[None, :, None]) - np.log((1 - now[None, :, None]) / rivals)
        score = np.where(open_, (said * odds).sum(axis=1), -np.inf)
        top = np.where(np.isinf(score.max(axis=1, keepdims=True)), 0.0, score.max(axis=1, keepdims=True))
        weight = np.where(open_, np.exp(score - top), 0.0)
        chance = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
        if abs(now - accuracy).max() < 1e-7:
            break
        accuracy = now
    return Crowd(accuracy, chance)
