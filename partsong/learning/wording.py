"""Wording: the words and word pairs of a prompt, weighed by how rare they are (TF-IDF), as one sparse row."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
    """A vocabulary of words and pairs with the weight of each: first the words, then the pairs."""

    column: dict[str, int]
    pairs: Ints
    """Each pair as one number, in order: its first word's column times the number of words, and its second's. Found by halving, with
    neither a string nor a hash made for each pair of a prompt."""
    idf: Floats

    @classmethod
    def of(cls, texts: Sequence[str], fewest: int = 2) -> "Wording":
        """Return the vocabulary of these texts; what stands in fewer than `fewest` of them is left out."""
        seen = Counter(word for text in texts for word in set(_words(text)))
        kept = sorted(word for word, count in seen.items() if count >= fewest)
        words = cls({word: i for i, word in enumerate(kept)}, np.zeros(0, dtype=np.int64), np.zeros(0))
        each = [np.unique(words._pairs(words._known(text))) for text in texts]  # a pair is no more frequent than its words
        pairs, counts = np.unique(np.concatenate([words.pairs, *each]), return_counts=True)
        often = counts >= fewest
        found = np.array([*(seen[word] for word in kept), *counts[often]], dtype=np.float64)
        return cls(words.column, pairs[often], np.log((1 + len(texts)) / (1 + found)) + 1.0)

    def row(self, text: str) -> Worded:
        """Return one text's row, of length 1 altogether (or none when no word is known)."""
        known = self._known(text)
        pairs = self._pairs(known)
        at = np.searchsorted(self.pairs, pairs)
        there = at < len(self.pairs)
        there[there] = self.pairs[at[there]] == pairs[there]
        columns, counts = np.unique(np.concatenate([known[known >= 0], len(self.column) + at[there]]), return_counts=True)
        weights = (1.0 + np.log(counts)) * self.idf[columns]
        return Worded(columns, weights / (np.sqrt(weights @ weights) or 1.0))

    def rows(self, texts: Iterable[str]) -> "csr_matrix":
        """Return one sparse row for each text."""
        from scipy.sparse import csr_matrix

        found = [self.row(t) for t in texts]
        ends = np.cumsum([0, *(len(row.columns) for row in found)])
        columns = np.concatenate([np.zeros(0, dtype=np.int64), *(row.columns for row in found)])
        weights = np.concatenate([np.zeros(0), *(row.weights for row in found)])
        return csr_matrix((weights, columns, ends), shape=(len(found), len(self.idf)))

    def _known(self, text: str) -> Ints:
        """Return the columns of the text's words in their order, -1 for one that is not in the vocabulary."""
        return np.array([self.column.get(word, -1) for word in _words(text)], dtype=np.int64)

    def _pairs(self, known: Ints) -> Ints:
        first, second = known[:-1], known[1:]
        return (first * len(self.column) + second)[(first >= 0) & (second >= 0)]


def _words(text: str) -> list[str]:
    return _TOKEN.findall(text.lower())
