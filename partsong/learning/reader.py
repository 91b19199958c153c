"""Reader: what a prompt alone tells of any outcome, by three readings that are mixed as they proved themselves.

Words: a ridge over TF-IDF. Waves and words: a Gaussian kernel over what can be counted, through random features (Rahimi and Recht 2007),
and a ridge over TF-IDF of what it leaves. Trees: extremely randomised, over what can be counted, what words alone say and the task kind
that they suggest. docs/quality.md has what else was tried.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from partsong.learning.folds import folds
from partsong.learning.forest import Forest, grow
from partsong.learning.outcomes import Floats, Ints
from partsong.learning.surface import surfaces
from partsong.learning.wording import Worded, Wording

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Read", "Reader", "read"]

_HEAD, _TAIL = 2_000, 1_000
"""Characters that are read of a longer prompt: a decision takes no longer for a book. Of 100 recorded questions one is as long."""
_FOLDS = 5
_WORDS_RIDGE = 5.0
_KINDS_RIDGE = 1.0
_WAVES_RIDGE = 3.0
_MEANING_RIDGE = 10.0
_WAVES = 1000
_WIDTH = 0.005
_TREES = 120
_LEAST_ROWS = 20
"""Rows of a leaf at least; fewer followed chance in every cross-validation."""
_SHARPNESS = 15.0
_KIND_PRIOR = 10.0


@dataclass(frozen=True, slots=True)
class _Linear:
    """A line: weights x targets, and a shift."""

    weights: Floats
    shift: Floats

    def of(self, rows: "csr_matrix | Worded | Floats") -> Floats:
        return np.asarray(rows @ self.weights + self.shift, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Waves:
    """Random features of a Gaussian kernel over standardised figures."""

    centre: Floats
    scale: Floats
    direction: Floats
    phase: Floats

    @classmethod
    def over(cls, figures: Floats, seed: int) -> "_Waves":
        dice = np.random.default_rng(seed)
        direction = dice.normal(size=(figures.shape[1], _WAVES)) * np.sqrt(2 * _WIDTH)
        return cls(figures.mean(axis=0), figures.std(axis=0) + 1e-9, direction, dice.uniform(0, 2 * np.pi, _WAVES))

    def of(self, figures: Floats) -> Floats:
        standard = np.clip((figures - self.centre) / self.scale, -4, 4)
        return np.asarray(np.sqrt(2 / _WAVES) * np.cos(standard @ self.direction + self.phase), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Lines:
    """What is linear: a line on waves, and on embeddings where there are some; on words one for the targets, one for what waves leave of
    them, one for each kind of task.

    Words are looked up once for all three. (Waves and words in one ridge together are worth no more than one after the other.)
    """

    waves: _Linear
    meaning: _Linear | None
    words: _Linear
    kinds: Floats
    """The targets' means of each kind of task."""

    @classmethod
    def fit(cls, rows: "csr_matrix", waves: Floats, vectors: Floats | None, targets: Floats, member: Floats) -> "_Lines":
        """`member` is 1 where the row is of the kind, rows x kinds."""
        line = _ridge(waves, targets, _WAVES_RIDGE)
        goals = np.hstack([targets, targets - line.of(waves), member])
        keep = np.repeat([_WORDS_RIDGE, _KINDS_RIDGE], [2 * targets.shape[1], member.shape[1]])
        means = (member.T @ targets + _KIND_PRIOR * targets.mean(axis=0)) / (member.sum(axis=0)[:, None] + _KIND_PRIOR)
        meaning = None if vectors is None else _ridge(vectors, targets, _MEANING_RIDGE)
        return cls(line, meaning, _sparse_ridge(rows, goals, keep), means)

    def of(self, rows: "csr_matrix | Worded", waves: Floats, vectors: Floats | None) -> tuple[Floats, Floats]:
        """Return hints for the trees (readings alone, and by the kind that words suggest), and readings x rows x targets."""
        targets = self.kinds.shape[1]
        words, left, scores = np.split(self.words.of(rows), [targets, 2 * targets], axis=1)
        meaning = () if self.meaning is None or vectors is None else (self.meaning.of(vectors),)
        return np.hstack([words, *self._by_kind(scores), *meaning]), np.stack([words, left + self.waves.of(waves), *meaning])

    def _by_kind(self, scores: Floats) -> tuple[Floats, ...]:
        if not len(self.kinds):
            return ()
        odds = np.exp(_SHARPNESS * (scores - scores.max(axis=1, keepdims=True)))
        shares = odds / odds.sum(axis=1, keepdims=True)
        return shares @ self.kinds, shares


@dataclass(frozen=True, slots=True)
class Reader:
    """Fitted readings of a prompt and their mixture."""

    wording: Wording
    waves: _Waves
    lines: _Lines
    forest: Forest
    mix: Floats
    """Weights of words, waves and words, embeddings where there are some, trees; not negative."""
    mean: Floats
    """The targets' means, from which each reading departs."""

    def predict(self, prompts: Sequence[str], vectors: Floats | None = None) -> Floats:
        """Return prompts x targets; `vectors` are the prompts' embeddings, given if they were in fitting."""
        texts = [_ends(prompt) for prompt in prompts]
        rows = self.wording.row(texts[0]) if len(texts) == 1 else self.wording.rows(texts)
        figures = surfaces(texts)
        hints, readings = self.lines.of(rows, self.waves.of(figures), vectors)
        trees = self.forest.predict(np.hstack([hints, figures]))
        return _mixed(np.concatenate([readings, trees[None]]), self.mean, self.mix)


@dataclass(frozen=True, slots=True)
class Read:
    """A reader, and what it says of the rows it was fitted on by parts that did not see them."""

    reader: Reader
    unseen: Floats


def read(
    prompts: Sequence[str],
    targets: Floats,
    kinds: Sequence[str] = (),
    vectors: Floats | None = None,
    *,
    truth: Floats | None = None,
    seed: int = 0,
) -> Read:
    """Return a reader of the targets (rows x targets, NaN not known); `vectors` are the prompts' embeddings.

    `truth` is what the mixture is chosen by, the targets unless told.
    """
    texts = [_ends(prompt) for prompt in prompts]
    wording = Wording.of(texts)
    rows, figures = wording.rows(texts), surfaces(texts)
    mean = np.asarray(np.nanmean(targets, axis=0), dtype=np.float64)
    filled = np.where(np.isnan(targets), mean, targets)
    member = _member(kinds, len(prompts))
    waves = _Waves.over(figures, seed)
    wave_rows = waves.of(figures)

    def lines_of(seen: Ints) -> _Lines:
        return _Lines.fit(rows[seen], wave_rows[seen], None if vectors is None else vectors[seen], filled[seen], member[seen])

    fold = folds(prompts, _FOLDS)
    outs = [np.flatnonzero(fold == f) for f in np.unique(fold)]
    told = []
    for out in outs:
        lines = lines_of(np.setdiff1d(np.arange(len(prompts)), out))
        told.append(lines.of(rows[out], wave_rows[out], None if vectors is None else vectors[out]))
    back = np.argsort(np.concatenate(outs))
    hints = np.concatenate([hint for hint, _ in told])[back]
    grown = grow(np.hstack([hints, figures]), filled, trees=_TREES, least=min(_LEAST_ROWS, max(2, len(prompts) // 40)), seed=seed)
    readings = np.concatenate([np.concatenate([reading for _, reading in told], axis=1)[:, back], grown.unseen[None]])
    mix = _best_mix(readings, filled if truth is None else truth, mean)
    reader = Reader(wording, waves, lines_of(np.arange(len(prompts))), grown.forest, mix, mean)
    return Read(reader, _mixed(readings, mean, mix))


def _ends(prompt: str) -> str:
    return prompt if len(prompt) <= _HEAD + _TAIL else prompt[:_HEAD] + prompt[-_TAIL:]


def _member(kinds: Sequence[str], rows: int) -> Floats:
    """Return rows x kinds, 1 where the row is of the kind."""
    names, number = np.unique(np.array(kinds, dtype=np.str_), return_inverse=True)
    return np.equal.outer(number, np.arange(len(names))).astype(np.float64) if len(names) else np.zeros((rows, 0))


def _sparse_ridge(rows: "csr_matrix", targets: Floats, keep: Floats, steps: int = 40) -> _Linear:
    """Return the ridge line, each target with its own `keep`, by conjugate gradients for all at once.

    To 1e-3, in four bytes: finer did not change a ranking. The steps go over weights of rows, fewer than those of words (the dual).
    """
    narrow = rows.astype(np.float32)
    turned = narrow.T.tocsr()
    shift = targets.mean(axis=0)
    left = (targets - shift).astype(np.float32)
    kept = keep.astype(np.float32)
    weights, way = np.zeros_like(left), left.copy()
    size = (left**2).sum(axis=0)
    first = np.maximum(size, 1e-30)
    for _ in range(steps):
        image = narrow @ (turned @ way) + kept * way
        stride = size / np.maximum((way * image).sum(axis=0), 1e-30)
        weights += stride * way
        left -= stride * image
        now = (left**2).sum(axis=0)
        if (now / first).max() < 1e-6:
            break
        way = left + now / np.maximum(size, 1e-30) * way
        size = now
    return _Linear(np.asarray(turned @ weights, dtype=np.float64), shift)


def _ridge(rows: Floats, targets: Floats, keep: float) -> _Linear:
    middle, shift = rows.mean(axis=0), targets.mean(axis=0)
    centred = (rows - middle).astype(np.float32)
    inner = (centred.T @ centred).astype(np.float64) + keep * np.eye(rows.shape[1])
    weights = np.linalg.solve(inner, centred.T @ (targets - shift))
    return _Linear(weights, shift - middle @ weights)


def _best_mix(readings: Floats, targets: Floats, mean: Floats) -> Floats:
    """Return weights that are not negative and bring the mixture nearest to the targets (stacking, Breiman 1996)."""
    from scipy.optimize import nnls

    known = ~np.isnan(targets)
    departures = (readings - mean)[:, known]
    weights, _ = nnls(departures.T, (targets - mean)[known])
    even = np.full(len(readings), 1 / len(readings))
    return np.asarray(weights if weights.sum() > 0 else even, dtype=np.float64)


def _mixed(readings: Floats, mean: Floats, mix: Floats) -> Floats:
    departures = (readings - mean).reshape(len(mix), -1)
    return np.asarray(mean + (mix @ departures).reshape(readings.shape[1:]), dtype=np.float64)
