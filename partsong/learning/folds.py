"""Folds: rows split by a hash of their text, so that copies and near copies stay on one side and no dice are needed."""

import re
from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

__all__ = ["firsts", "folds", "same_text"]

_NOT_WORD = re.compile(r"\W+")


def same_text(prompt: str) -> str:
    """Return what two copies of a question share: its words alone, in lower case."""
    return _NOT_WORD.sub(" ", prompt.lower()).strip()


def folds(prompts: Sequence[str], count: int, salt: str = "") -> NDArray[np.int64]:
    """Return each row's fold, 0 to count - 1; the same question falls into the same fold whatever stands beside it."""
    return np.array([int(sha256(f"{salt}:{same_text(p)}".encode()).hexdigest()[:12], 16) % count for p in prompts], dtype=np.int64)


def firsts(prompts: Sequence[str]) -> NDArray[np.bool_]:
    """Return which rows ask what no row before them asks: copies of a question are no new evidence of how often one is right."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(same_text(p), i) == i for i, p in enumerate(prompts)], dtype=np.bool_)
