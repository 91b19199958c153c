"""Clusters: kinds of task found in the prompts' words, where nobody named any; each is called by the words that tell it from the others."""

from collections.abc import Sequence
from math import isqrt

import numpy as np

from partsong.learning.wording import Wording

__all__ = ["clusters"]

_ROWS_EACH = 40
"""Rows a cluster at least, on average: fewer could not fill a cell of the matrix."""
_MOST = 8
_DIRECTIONS = 30
_WORDS = 3


def clusters(prompts: Sequence[str]) -> tuple[str, ...]:
    """Return each prompt's cluster by name; one for all where there are too few to part, or they share no words."""
    count = min(_MOST, isqrt(len(prompts) // 10), len(prompts) // _ROWS_EACH)
    wording = Wording.of(prompts, fewest=3)
    if count < 2 or len(wording.idf) <= _DIRECTIONS:
        return ("all",) * len(prompts)
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.preprocessing import normalize

    rows = wording.rows(prompts)
    directions = normalize(TruncatedSVD(_DIRECTIONS, random_state=0).fit_transform(rows))
    found = KMeans(count, n_init=4, random_state=0).fit_predict(directions)
    terms = [term for term in wording.column if " " not in term]
    columns = [wording.column[term] for term in terms]
    usual = np.asarray(rows[:, columns].mean(axis=0)).ravel()
    names = {}
    for c in range(count):
        own = np.asarray(rows[found == c][:, columns].mean(axis=0)).ravel() - usual
        names[c] = ", ".join(terms[int(i)] for i in np.argsort(-own)[:_WORDS])
    return tuple(names[int(c)] for c in found)
