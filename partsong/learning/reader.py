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

_FOLDS = 5
_WORDS_RIDGE = 5.0
_KINDS_RIDGE = 1.0
_WAVES_RIDGE = 3.0
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
class _Kinds:
    """The kind of task that the words suggest, and the targets' mean for each."""

    line: _Linear
    means: Floats

    def of(self, rows: "csr_matrix | Worded") -> Floats:
        scores = _SHARPNESS * self.line.of(rows)
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares = odds / odds.sum(axis=1, keepdims=True)
        return np.hstack([shares @ self.means, shares])


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
    """Waves, and words for what they leave. (Both together in one ridge are worth no more.)"""

    waves: _Linear
    words: _Linear

    @classmethod
    def fit(cls, rows: "csr_matrix", waves: Floats, targets: Floats) -> "_Lines":
        line = _ridge(waves, targets, _WAVES_RIDGE)
        return cls(line, _sparse_ridge(rows, targets - line.of(waves), _WORDS_RIDGE))

    def of(self, rows: "csr_matrix | Worded", waves: Floats) -> Floats:
        return self.words.of(rows) + self.waves.of(waves)


@dataclass(frozen=True, slots=True)
class Reader:
    """Fitted readings of a prompt and their mixture."""

    wording: Wording
    alone: _Linear
    """Words without waves: a reading, and a hint for the trees."""
    kinds: _Kinds | None
    waves: _Waves
    lines: _Lines
    forest: Forest
    mix: Floats
    """Weights of words, lines, trees; not negative."""
    mean: Floats
    """The targets' means, from which each reading departs."""

    def predict(self, prompts: Sequence[str]) -> Floats:
        """Return prompts x targets."""
        rows = self.wording.row(prompts[0]) if len(prompts) == 1 else self.wording.rows(prompts)
        figures = surfaces(prompts)
        words = self.alone.of(rows)
        hints = [words] if self.kinds is None else [words, self.kinds.of(rows)]
        trees = self.forest.predict(np.hstack([*hints, figures]))
        lines = self.lines.of(rows, self.waves.of(figures))
        return _mixed(np.stack([words, lines, trees]), self.mean, self.mix)


@dataclass(frozen=True, slots=True)
class Read:
    """A reader, and what it says of the rows it was fitted on by parts that did not see them."""

    reader: Reader
    unseen: Floats


def read(prompts: Sequence[str], targets: Floats, kinds: Sequence[str] = (), *, truth: Floats | None = None, seed: int = 0) -> Read:
    """Return a reader of the targets (rows x targets, NaN not known); `truth` is what the mixture is chosen by, the targets unless told."""
    wording = Wording.of(prompts)
    rows, figures = wording.rows(prompts), surfaces(prompts)
    mean = np.asarray(np.nanmean(targets, axis=0), dtype=np.float64)
    filled = np.where(np.isnan(targets), mean, targets)
    fold = folds(prompts, _FOLDS)
    waves = _Waves.over(figures, seed)
    wave_rows = waves.of(figures)

    hints = _unseen_hints(rows, filled, kinds, fold)
    grown = grow(np.hstack([hints, figures]), filled, trees=_TREES, least=min(_LEAST_ROWS, max(2, len(prompts) // 40)), seed=seed)
    by_lines = np.zeros_like(filled)
    for f in np.unique(fold):
        lines = _Lines.fit(rows[fold != f], wave_rows[fold != f], filled[fold != f])
        by_lines[fold == f] = lines.of(rows[fold == f], wave_rows[fold == f])
    readings = np.stack([hints[:, : filled.shape[1]], by_lines, grown.unseen])
    mix = _best_mix(readings, filled if truth is None else truth, mean)
    reader = Reader(
        wording=wording,
        alone=_sparse_ridge(rows, filled, _WORDS_RIDGE),
        kinds=_fit_kinds(rows, filled, kinds) if kinds else None,
        waves=waves,
        lines=_Lines.fit(rows, wave_rows, filled),
        forest=grown.forest,
        mix=mix,
        mean=mean,
    )
    return Read(reader, _mixed(readings, mean, mix))


def _unseen_hints(rows: "csr_matrix", targets: Floats, kinds: Sequence[str], fold: Ints) -> Floats:
    parts: list[tuple[Ints, Floats]] = []
    all_kinds = sorted(set(kinds))
    for f in np.unique(fold):
        seen, out = np.flatnonzero(fold != f).astype(np.int64), np.flatnonzero(fold == f).astype(np.int64)
        hint = [_sparse_ridge(rows[seen], targets[seen], _WORDS_RIDGE).of(rows[out])]
        if kinds:
            hint.append(_fit_kinds(rows[seen], targets[seen], [kinds[int(i)] for i in seen], all_kinds).of(rows[out]))
        parts.append((out, np.hstack(hint)))
    hints = np.zeros((len(targets), parts[0][1].shape[1]))
    for where, values in parts:
        hints[where] = values
    return hints


def _fit_kinds(rows: "csr_matrix", targets: Floats, kinds: Sequence[str], names: Sequence[str] = ()) -> _Kinds:
    names = names or sorted(set(kinds))
    number = {k: i for i, k in enumerate(names)}
    member = np.zeros((len(kinds), len(names)))
    member[np.arange(len(kinds)), [number[k] for k in kinds]] = 1.0
    mean = targets.mean(axis=0)
    means = (member.T @ targets + _KIND_PRIOR * mean) / (member.sum(axis=0)[:, None] + _KIND_PRIOR)
    return _Kinds(_sparse_ridge(rows, member, _KINDS_RIDGE), means)


def _sparse_ridge(rows: "csr_matrix", targets: Floats, keep: float, steps: int = 40) -> _Linear:
    """Return the ridge line by conjugate gradients for all targets at once (to 1e-3: finer did not change a ranking)."""
    shift = targets.mean(axis=0)
    goal = rows.T @ (targets - shift)
    weights = np.zeros_like(goal)
    left, way = goal.copy(), goal.copy()
    size = (left**2).sum(axis=0)
    first = np.maximum(size, 1e-30)
    for _ in range(steps):
        image = rows.T @ (rows @ way) + keep * way
        stride = size / np.maximum((way * image).sum(axis=0), 1e-30)
        weights += stride * way
        left -= stride * image
        now = (left**2).sum(axis=0)
        if (now / first).max() < 1e-6:
            break
        way = left + now / np.maximum(size, 1e-30) * way
        size = now
    return _Linear(weights, shift)


def _ridge(rows: Floats, targets: Floats, keep: float) -> _Linear:
    middle, shift = rows.mean(axis=0), targets.mean(axis=0)
    centred = rows - middle
    weights = np.linalg.solve(centred.T @ centred + keep * np.eye(rows.shape[1]), centred.T @ (targets - shift))
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
