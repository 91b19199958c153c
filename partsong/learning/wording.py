"""Wording: the words and word pairs of a prompt, weighed by how rare they are (TF-IDF), as one sparse row."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log, sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Wording"]

_TOKEN = re.compile(r"\w\w+")


@dataclass(frozen=True, slots=True)
class Wording:
    """A vocabulary of words and pairs with the weight of each."""

    column: dict[str, int]
    idf: tuple[float, ...]

    @classmethod
    def of(cls, texts: Sequence[str], fewest: int = 2) -> "Wording":
        """Return the vocabulary of these texts; what stands in fewer than `fewest` of them is left out."""
        seen: Counter[str] = Counter()
        for text in texts:
            seen.update(set(_terms(text)))
        kept = sorted(term for term, count in seen.items() if count >= fewest)
        idf = tuple(log((1 + len(texts)) / (1 + seen[term])) + 1.0 for term in kept)
        return cls({term: i for i, term in enumerate(kept)}, idf)

    def row(self, text: str) -> tuple[list[int], list[float]]:
        """Return the columns and weights of one text, of length 1 altogether (or none when no word is known)."""
        counts = Counter(c for c in map(self.column.get, _terms(text)) if c is not None)
        weights = [(1.0 + log(n)) * self.idf[c] for c, n in counts.items()]
        norm = sqrt(sum(w * w for w in weights)) or 1.0
        return list(counts), [w / norm for w in weights]

    def rows(self, texts: Iterable[str]) -> "csr_matrix":
        """Return one sparse row for each text."""
        from scipy.sparse import csr_matrix

        found = [self.row(t) for t in texts]
        ends = np.cumsum([0, *(len(columns) for columns, _ in found)])
        columns = np.array([c for row, _ in found for c in row], dtype=np.int64)
        weights = np.array([w for _, row in found for w in row], dtype=np.float64)
        return csr_matrix((weights, columns, ends), shape=(len(found), len(self.idf)))


def _terms(text: str) -> list[str]:
    words = _TOKEN.findall(text.lower())
    return [*words, *(f"{a} {b}" for a, b in pairwise(words))]
