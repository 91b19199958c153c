"""Wording: the words and word pairs of a prompt, weighed by how rare they are (TF-IDF), as one sparse row."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from partsong.learning.outcomes import Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Worded", "Wording"]

_TOKEN = re.compile(r"\w\w+")


@dataclass(frozen=True, slots=True)
class Worded:
    """One text: a sparse row, of which a decision needs the products alone (SciPy's takes longer to make than to multiply)."""

    columns: Ints
    weights: Floats

    def __matmul__(self, table: Floats) -> Floats:
        return np.asarray(self.weights @ table[self.columns], dtype=np.float64)[None, :]


@dataclass(frozen=True, slots=True)
class Wording:
    """A vocabulary of words and pairs with the weight of each."""

    column: dict[str, int]
    idf: Floats

    @classmethod
    def of(cls, texts: Sequence[str], fewest: int = 2) -> "Wording":
        """Return the vocabulary of these texts; what stands in fewer than `fewest` of them is left out."""
        seen: Counter[str] = Counter()
        for text in texts:
            seen.update(set(_terms(text)))
        kept = sorted(term for term, count in seen.items() if count >= fewest)
        idf = np.log((1 + len(texts)) / (1 + np.array([seen[term] for term in kept], dtype=np.float64))) + 1.0
        return cls({term: i for i, term in enumerate(kept)}, idf)

    def row(self, text: str) -> Worded:
        """Return one text's row, of length 1 altogether (or none when no word is known)."""
        counts = Counter(map(self.column.get, _terms(text)))
        counts.pop(None, None)
        columns = np.array(list(counts), dtype=np.int64)
        weights = (1.0 + np.log(np.array(list(counts.values()), dtype=np.float64))) * self.idf[columns]
        return Worded(columns, weights / (np.sqrt(weights @ weights) or 1.0))

    def rows(self, texts: Iterable[str]) -> "csr_matrix":
        """Return one sparse row for each text."""
        from scipy.sparse import csr_matrix

        found = [self.row(t) for t in texts]
        ends = np.cumsum([0, *(len(row.columns) for row in found)])
        columns = np.concatenate([np.zeros(0, dtype=np.int64), *(row.columns for row in found)])
        weights = np.concatenate([np.zeros(0), *(row.weights for row in found)])
        return csr_matrix((weights, columns, ends), shape=(len(found), len(self.idf)))


def _terms(text: str) -> list[str]:
    words = _TOKEN.findall(text.lower())
    return [*words, *(f"{a} {b}" for a, b in pairwise(words))]
