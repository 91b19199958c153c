"""Forest: extremely randomised trees held as plain arrays, so that they save as numbers and one row takes microseconds."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from partsong.learning.outcomes import Floats, Ints

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesRegressor

__all__ = ["Forest", "Grown", "grow"]

_ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Forest:
    """All trees' nodes in one numbering; a leaf is its own child, so that every row can walk the same number of steps."""

    roots: Ints
    feature: Ints
    threshold: Floats
    next: Ints
    """Of each node the two that follow, one after the other: of figures up to the threshold, and above."""
    value: Floats
    """Node x target; what is predicted at a leaf."""
    depth: int

    def predict(self, features: Floats) -> Floats:
        """Return the mean of the trees for each row and target (Geurts 2006)."""
        parts = [self._some(features[i : i + _ROWS_AT_ONCE]) for i in range(0, len(features), _ROWS_AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, self.value.shape[1]))

    def _some(self, features: Floats) -> Floats:
        flat, at = features.ravel(), np.repeat(self.roots[None, :], len(features), axis=0)
        row = np.arange(len(features))[:, None] * features.shape[1] if len(features) > 1 else None
        for _ in range(self.depth):
            column = self.feature.take(at)
            above = flat.take(column if row is None else row + column) > self.threshold.take(at)
            at = self.next.take(2 * at + above)
        return np.asarray(self.value[at].mean(axis=1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Grown:
    """A forest, and what it says of its own rows by the trees that did not see them."""

    forest: Forest
    unseen: Floats


def grow(features: Floats, targets: Floats, *, trees: int, least: int, seed: int = 0) -> Grown:
    """Return a forest of the targets; no leaf holds fewer than `least` rows. Each tree sees a resample, the rest tells its error."""
    from sklearn.ensemble import ExtraTreesRegressor

    model = ExtraTreesRegressor(trees, min_samples_leaf=least, max_features=0.3, bootstrap=True, random_state=seed, n_jobs=1)
    model.fit(features, targets if targets.shape[1] > 1 else targets[:, 0])
    return Grown(_arrays(model, targets.shape[1]), _unseen(model, features, targets))


def _unseen(model: "ExtraTreesRegressor", features: Floats, targets: Floats) -> Floats:
    """Return the out-of-bag means; a row that every tree saw gets the targets' mean."""
    total = np.zeros(targets.shape)
    count = np.zeros(len(targets))
    packed = features.astype(np.float32)
    for tree, sample in zip(model.estimators_, model.estimators_samples_, strict=True):
        out = np.ones(len(targets), dtype=bool)
        out[sample] = False
        total[out] += tree.predict(packed[out]).reshape(-1, targets.shape[1])
        count[out] += 1
    return np.asarray(np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], targets.mean(axis=0)), dtype=np.float64)


def _arrays(model: "ExtraTreesRegressor", targets: int) -> Forest:
    trees: list[Any] = [e.tree_ for e in model.estimators_]
    starts = np.cumsum([0, *(t.node_count for t in trees)])
    own = [np.arange(t.node_count) for t in trees]
    left = [np.where(t.children_left < 0, o, t.children_left) + s for t, o, s in zip(trees, own, starts[:-1], strict=True)]
    right = [np.where(t.children_right < 0, o, t.children_right) + s for t, o, s in zip(trees, own, starts[:-1], strict=True)]
    return Forest(
        roots=starts[:-1].astype(np.int64),
        feature=np.concatenate([np.maximum(t.feature, 0) for t in trees]).astype(np.int64),
        threshold=np.concatenate([t.threshold for t in trees]).astype(np.float64),
        next=np.stack([np.concatenate(left), np.concatenate(right)], axis=1).ravel().astype(np.int64),
        value=np.concatenate([t.value.reshape(-1, targets) for t in trees]).astype(np.float64),
        depth=max(t.max_depth for t in trees),
    )
