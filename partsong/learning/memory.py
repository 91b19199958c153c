"""Memory: which questions something was learned from, as eight bytes each; figures on those are memory, not learning."""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from partsong.learning.folds import same_text
from partsong.learning.outcomes import Ints

__all__ = ["print_of", "prints_of", "shared_questions"]


def print_of(prompt: str) -> int:
    """Return a number of eight bytes that copies of a question share, and by chance no others."""
    return int.from_bytes(sha256(same_text(prompt).encode()).digest()[:8], "little", signed=True)


def prints_of(prompts: Sequence[str]) -> Ints:
    """Return the questions' prints, each once, in order of size."""
    return np.array(sorted({print_of(prompt) for prompt in prompts}), dtype=np.int64)


def shared_questions(first: Sequence[str], second: Sequence[str]) -> int:
    """Return how many of the second's questions the first holds too."""
    known = {print_of(prompt) for prompt in first}
    return sum(print_of(prompt) in known for prompt in second)
