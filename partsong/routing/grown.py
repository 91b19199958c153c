"""Grown: a small decision tree fitted to outcomes, in the conditions that a person would write (CART on what each model is worth)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from partsong.contracts import Task
from partsong.errors import InputError
from partsong.learning.folds import folds
from partsong.learning.outcomes import Floats, Ints, Outcomes
from partsong.routing.traits import Trait, traits
from partsong.routing.tree import Tree

if TYPE_CHECKING:
    from sklearn.tree import DecisionTreeRegressor

__all__ = ["Grown", "Leaf", "Worth", "grown", "usual_value_usd"]

_FEWEST = 20
"""Rows of a leaf at least; of fewer the better model is chance."""
_FOLDS = 5
_TIMES_THE_PRICE = 20.0


@dataclass(frozen=True, slots=True)
class Worth:
    """What asking one model, or one after another way, gave."""

    use: str
    accuracy: float
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where rows end."""

    rows: int
    chosen: Worth
    rival: Worth
    """The most accurate of the others there."""


@dataclass(frozen=True, slots=True)
class Grown:
    """A tree, and what it is worth."""

    tree: Tree
    leaves: dict[tuple[str, ...], Leaf]
    """By the leaf's place in the tree."""
    judged: Worth
    """What trees grown in the same way gave on rows that they had not seen."""
    single: Worth
    """What one model for all rows gave there."""


def usual_value_usd(outcomes: Outcomes) -> float:
    """Return what a right answer is taken to be worth where nobody says: twenty answers of the most accurate model."""
    best = max(outcomes.priced, key=lambda m: outcomes.accuracy[m], default=None)
    return 1.0 if best is None else max(1e-9, _TIMES_THE_PRICE * float(outcomes.mean_cost_usd[best]))


def grown(tasks: Sequence[Task], outcomes: Outcomes, *, value_usd: float, depth: int = 3, hidden: frozenset[str] = frozenset()) -> Grown:
    """Return a tree of at most this depth that sends each row to the model worth most there: a right answer's value less the price.

    `tasks` are the outcomes' rows. InputError when there are too few rows to part.
    """
    fewest = max(_FEWEST, len(tasks) // 50)
    if len(tasks) < 2 * fewest:
        what = f"{len(tasks)} rows are too few for a tree: each leaf wants {fewest}"
        raise InputError("too-few-outcomes", what, remedy=f"label at least {2 * fewest} rows")
    columns = list(outcomes.priced) or list(range(len(outcomes.models)))
    table = _Table(
        names=tuple(outcomes.models[m] for m in columns),
        right=_filled(outcomes.right[:, columns]),
        cost=np.nan_to_num(outcomes.cost_usd[:, columns]),
        value_usd=value_usd,
    )
    seen = traits(tasks, fewest, hidden)
    columns_seen = np.array([trait.values for trait in seen], dtype=np.float64).reshape(len(seen), len(tasks)).T
    judged, single = _judged(columns_seen, table, folds(outcomes.prompts, _FOLDS, salt="tree"), depth, fewest)
    return _Growing(seen, columns_seen, table).whole(depth, fewest, judged, single)


@dataclass(frozen=True, slots=True)
class _Table:
    names: tuple[str, ...]
    right: Floats
    cost: Floats
    value_usd: float

    @property
    def worth(self) -> Floats:
        """Rows x models."""
        return self.right * self.value_usd - self.cost

    def rows(self, which: Ints) -> "_Table":
        return _Table(self.names, self.right[which], self.cost[which], self.value_usd)

    def of(self, model: int) -> Worth:
        return Worth(self.names[model], float(self.right[:, model].mean()), float(self.cost[:, model].mean()))

    def best(self) -> int:
        return int(self.worth.mean(axis=0).argmax())


@dataclass(frozen=True, slots=True)
class _Growing:
    seen: Sequence[Trait]
    columns: Floats
    table: _Table

    def whole(self, depth: int, fewest: int, judged: Worth, single: Worth) -> Grown:
        """Fit to all rows, and say it in conditions."""
        leaves: dict[tuple[str, ...], Leaf] = {}
        fitted = _fitted(self.columns, self.table, depth, fewest)
        tree = self._said(None if fitted is None else fitted.tree_, 0, np.arange(len(self.columns)), (), leaves)
        return Grown(tree, leaves, judged, single)

    def _said(self, fitted: Any, node: int, rows: Ints, place: tuple[str, ...], leaves: dict[tuple[str, ...], Leaf]) -> Tree:
        """Return the node as a tree; a branch both of whose ends use the same model is one leaf."""
        if fitted is not None and fitted.children_left[node] >= 0:
            column, threshold = int(fitted.feature[node]), float(fitted.threshold[node])
            over = self.columns[rows, column] > threshold
            then = self._said(fitted, int(fitted.children_right[node]), rows[over], (*place, "then"), leaves)
            other = self._said(fitted, int(fitted.children_left[node]), rows[~over], (*place, "else"), leaves)
            if then.use is None or then.use != other.use:
                return Tree(condition=self.seen[column].above(threshold), then=then, otherwise=other)
            del leaves[*place, "then"], leaves[*place, "else"]
        here = self.table.rows(rows)
        chosen = here.best()
        rivals = [m for m in range(len(here.names)) if m != chosen]
        rival = max(rivals, key=lambda m: float(here.right[:, m].mean()), default=chosen)
        leaves[place] = Leaf(len(rows), here.of(chosen), here.of(rival))
        return Tree(use=here.names[chosen])


def _judged(columns: Floats, table: _Table, fold: Ints, depth: int, fewest: int) -> tuple[Worth, Worth]:
    """Return what trees give on parts they have not seen, and what the model gives there that was best for all of the others."""
    rows = np.arange(len(columns))
    by_tree, alone = np.zeros(len(columns), dtype=np.int64), np.zeros(len(columns), dtype=np.int64)
    for f in np.unique(fold):
        taught, held = rows[fold != f], rows[fold == f]
        fitted = _fitted(columns[taught], table.rows(taught), depth, fewest)
        alone[held] = table.rows(taught).best()
        by_tree[held] = alone[held] if fitted is None else fitted.predict(columns[held]).reshape(len(held), -1).argmax(axis=1)
    return _given("the tree", table, by_tree), _given(table.names[table.best()], table, alone)


def _given(use: str, table: _Table, chosen: Ints) -> Worth:
    rows = np.arange(len(chosen))
    return Worth(use, float(table.right[rows, chosen].mean()), float(table.cost[rows, chosen].mean()))


def _fitted(columns: Floats, table: _Table, depth: int, fewest: int) -> "DecisionTreeRegressor | None":
    """Return the fitted tree; it looks at how models differ on a row, not at how hard the row is for all."""
    from sklearn.tree import DecisionTreeRegressor

    if not columns.shape[1] or len(table.names) < 2:
        return None
    worth = table.worth
    model = DecisionTreeRegressor(max_depth=depth, min_samples_leaf=fewest, random_state=0)
    return model.fit(columns, worth - worth.mean(axis=1, keepdims=True))


def _filled(right: Floats) -> Floats:
    """Return the outcomes with each model's mean where one is not known."""
    return np.where(np.isnan(right), np.nanmean(right, axis=0), right)
